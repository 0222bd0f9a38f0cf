// SPDX-License-Identifier: MIT OR Apache-2.0
// Preloaded into a tree's conf: popen() answers from the file $KCONFIG_ORACLE_REPLAY, lines of
// COMMAND<TAB>OUTPUT with \n, \t and \\ escaped, so that a run needs no compiler.
// A command that is not in the file ends the process with a status conf itself never has.
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { UNKNOWN_COMMAND = 98, NO_RECORD = 99 };

static const char *record, *record_end;

static void open_record(void)
{
	const char *path = getenv("KCONFIG_ORACLE_REPLAY");
	int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	struct stat status;

	if (file < 0 || fstat(file, &status) || status.st_size == 0) {
		dprintf(2, "replay: no record\n");
		_exit(NO_RECORD);
	}
	record = mmap(NULL, status.st_size, PROT_READ, MAP_PRIVATE, file, 0);
	if (record == MAP_FAILED)
		_exit(NO_RECORD);
	record_end = record + status.st_size;
	close(file);
}

/* One character of a field, or -1 at its end. */
static int next_char(const char **at)
{
	int c = *(*at)++;

	if (c == '\t' || c == '\n')
		return -1;
	if (c != '\\')
		return (unsigned char)c;
	c = *(*at)++;
	return c == 'n' ? '\n' : c == 't' ? '\t' : c;
}

FILE *popen(const char *command, const char *mode)
{
	const char *line, *at;

	(void)mode;
	if (!record)
		open_record();
	for (line = record; line < record_end; line = strchr(line, '\n') + 1) {
		const char *wanted = command;
		int c;

		at = line;
		while ((c = next_char(&at)) >= 0 && c == (unsigned char)*wanted)
			wanted++;
		if (c < 0 && !*wanted) {
			FILE *output = tmpfile();

			while (output && (c = next_char(&at)) >= 0)
				putc(c, output);
			if (output)
				rewind(output);
			return output;
		}
	}
	dprintf(2, "replay: not recorded: %s\n", command);
	_exit(UNKNOWN_COMMAND);
}

int pclose(FILE *output)
{
	return fclose(output);
}
