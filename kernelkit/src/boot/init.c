/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The first process of a kernel under test, built against the kernel's own
 * nolibc (tools/include/nolibc) of 6.1 and later.
 *
 * The initramfs may hold, next to /init:
 *   /kernelkit/modules  a line for each module: "NAME FILE [FILE...]", the files
 *                       in load order, the module's own file last
 *   /kernelkit/check    report, load every line of the list, end the guest;
 *                       without it: a small command loop on the console
 *
 * A file tells what to do, and not the kernel's command line, because a
 * kernel may be configured to ignore that.
 */
#include "nolibc.h"
#include <asm/ioctls.h>

/* The raw system calls of nolibc have a longer name since 7.0. */
#ifdef my_syscall1
#define syscall1 my_syscall1
#define syscall3 my_syscall3
#else
#define syscall1 __nolibc_syscall1
#define syscall3 __nolibc_syscall3
#endif

#define MODULES "/kernelkit/modules"
#define CHECK "/kernelkit/check"

/* Values of the kernel's interface that no UAPI header names alike everywhere. */
#define SYSLOG_CONSOLE_OFF 6
#define SYSLOG_CONSOLE_ON 7
#define RESTART 0x01234567
#define NOTE_BUILD_ID 3
#define NO_SUCH_FILE (-2)
#define EXISTS_ALREADY (-17)

/* new_utsname: sysname, nodename, release, version, machine, domainname */
static char names[6][65];
static char line[16384];

/* The next line of fd without its newline; -1 at the end. An overlong line is cut. */
static int read_line(int fd)
{
	int length = 0;
	char c;

	for (;;) {
		if (read(fd, &c, 1) != 1) {
			if (!length)
				return -1;
			break;
		}
		if (c == '\n')
			break;
		if (length + 1 < (int)sizeof(line))
			line[length++] = c;
	}
	line[length] = 0;
	return length;
}

/* Cuts the first word off *rest; an empty string where there is none. */
static char *next_word(char **rest)
{
	char *word = *rest, *end;

	while (*word == ' ')
		word++;
	for (end = word; *end && *end != ' '; end++)
		;
	*rest = *end ? end + 1 : end;
	*end = 0;
	return word;
}

/* 0 or a negative error number. */
static int load(const char *path)
{
	int fd = open(path, 0 /* O_RDONLY */, 0);
	int result;

	if (fd < 0)
		return NO_SUCH_FILE;
	result = syscall3(__NR_finit_module, fd, "", 0);
	close(fd);
	return result;
}

/*
 * The kernel's messages go to the same console and could cut into a line of the
 * report: they are held back until it is out.
 */
static void begin_line(void)
{
	syscall3(__NR_syslog, SYSLOG_CONSOLE_OFF, 0, 0);
}

static void end_line(void)
{
	printf("\n");
	syscall3(__NR_ioctl, 1, TCSBRK, 1); /* waits until it is out: tcdrain() */
	syscall3(__NR_syslog, SYSLOG_CONSOLE_ON, 0, 0);
}

static void report(const char *key, const char *value)
{
	begin_line();
	printf("@kernelkit %s %s", key, value);
	end_line();
}

static union {
	unsigned int words[4096];
	unsigned char bytes[16384];
} notes;

/* Reads a file into notes; how many bytes there are. */
static unsigned int read_notes(const char *path)
{
	int fd = open(path, 0, 0), count;
	unsigned int length = 0;

	if (fd < 0)
		return 0;
	while ((count = read(fd, notes.bytes + length, sizeof(notes) - length)) > 0)
		length += count;
	close(fd);
	return length;
}

/*
 * Reports the build id in a file of notes, or "-" where it has none. A note is: sizes of name and
 * content and a type, 32 bits each, then both, padded to 4 bytes.
 */
static void report_build_id(const char *of, const char *path)
{
	unsigned int length = read_notes(path), at = 0, i;
	const char *digits = "0123456789abcdef";
	int found = 0;

	begin_line();
	printf("@kernelkit build-id %s ", of);
	while (!found && length - at >= 12) {
		unsigned int *note = notes.words + at / 4, name = note[0], size = note[1];

		at += 12;
		if (name > length - at || ((name + 3) & ~3U) > length - at)
			break;
		at += (name + 3) & ~3U;
		if (size > length - at)
			break;
		if (note[2] == NOTE_BUILD_ID && name == 4 && !memcmp(note + 3, "GNU", 4)) {
			for (i = 0; i < size; i++) {
				unsigned char byte = notes.bytes[at + i];

				printf("%c%c", digits[byte >> 4], digits[byte & 15]);
			}
			found = 1;
		}
		size = (size + 3) & ~3U;
		at += size < length - at ? size : length - at;
	}
	if (!found)
		printf("-");
	end_line();
}

/* Reports the build id of a module that was loaded from a file. */
static void report_module_build_id(const char *file)
{
	static const char before[] = "/sys/module/", after[] = "/notes/.note.gnu.build-id";
	static char path[256];
	const char *name = file, *c;
	unsigned int length = sizeof(before) - 1;

	for (c = file; *c; c++)
		if (*c == '/')
			name = c + 1;
	memcpy(path, before, length);
	for (c = name; *c && *c != '.' && length + sizeof(after) < sizeof(path); c++)
		path[length++] = *c == '-' ? '_' : *c;
	memcpy(path + length, after, sizeof(after));
	report_build_id(file, path);
}

static void check(void)
{
	int fd = open(MODULES, 0, 0);
	int has_sysfs;

	mkdir("/sys", 0755);
	has_sysfs = !mount("sysfs", "/sys", "sysfs", 0, 0);
	report("release", names[2]);
	report("version", names[3]);
	report("machine", names[4]);
	report("sysfs", has_sysfs ? "yes" : "no");
	if (has_sysfs)
		report_build_id("kernel", "/sys/kernel/notes");
	while (fd >= 0 && read_line(fd) >= 0) {
		char *rest = line, *path;

		next_word(&rest);
		while (*(path = next_word(&rest))) {
			int result = load(path);

			begin_line();
			printf("@kernelkit module %d %s", result, path);
			end_line();
			if (has_sysfs && (!result || result == EXISTS_ALREADY))
				report_module_build_id(path);
		}
	}
	report("end", ".");
}

static void list(void)
{
	int fd = open(MODULES, 0, 0);

	if (fd < 0) {
		printf("this initramfs holds no modules\n");
		return;
	}
	while (read_line(fd) >= 0) {
		char *rest = line;

		printf("%s\n", next_word(&rest));
	}
	close(fd);
}

/* Loads the module called name (of the list) with its dependencies, or the file name. */
static void insert(const char *name)
{
	int fd = open(MODULES, 0, 0), result = NO_SUCH_FILE;

	while (fd >= 0 && read_line(fd) >= 0) {
		char *rest = line, *path;

		if (strcmp(next_word(&rest), name))
			continue;
		while (*(path = next_word(&rest))) {
			result = load(path);
			printf("%s: %d\n", path, result);
			if (result && result != EXISTS_ALREADY)
				break;
		}
		close(fd);
		return;
	}
	if (fd >= 0)
		close(fd);
	if (*name == '/')
		result = load(name);
	printf("%s: %d\n", name, result);
}

static void print_names(void)
{
	printf("%s %s %s %s\n", names[0], names[2], names[3], names[4]);
}

static void command_loop(void)
{
	print_names();
	printf("`help` lists the commands; `poweroff`, or Ctrl-A X, ends the guest\n");
	for (;;) {
		char command[256], *rest = command, *word, *argument;

		printf("# ");
		if (read_line(0) < 0)
			return;
		line[sizeof(command) - 1] = 0;
		memcpy(command, line, strlen(line) + 1);
		word = next_word(&rest);
		argument = next_word(&rest);
		if (!*word)
			continue;
		else if (!strcmp(word, "uname"))
			print_names();
		else if (!strcmp(word, "modules"))
			list();
		else if (!strcmp(word, "insmod") && *argument)
			insert(argument);
		else if (!strcmp(word, "poweroff"))
			return;
		else
			printf("uname          what is running\n"
			       "modules        names of the modules at hand\n"
			       "insmod NAME    load one, its dependencies first; 0 is success, else -errno\n"
			       "poweroff       end the guest (Ctrl-A X works always)\n");
	}
}

int main(void)
{
	int fd = open(CHECK, 0, 0);

	syscall1(__NR_uname, names);
	if (fd >= 0)
		check();
	else
		command_loop();
	/*
	 * A restart, because a small kernel may not know how to switch its machine
	 * off: QEMU runs with -no-reboot and ends there.
	 */
	reboot(RESTART);
	for (;;)
		;
	return 0;
}
