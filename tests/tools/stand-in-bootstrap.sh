#!/bin/bash
# SPDX-License-Identifier: MIT OR Apache-2.0
#
# stand-in-bootstrap.sh DIR: DIR/busybox and DIR/bootstrap-tools.tar.xz, which take the place of nixpkgs' files of
# those names (nix/bootstrap.toml) where there is no network: the same interface and layout, made of this
# machine's programs.
set -euo pipefail
mkdir -p "$1"
cd "$1"

# nixpkgs' busybox also runs as <hash>-busybox, as it is called in the store. Debian's does not; it gets its name from
# a program around it.
cat > busybox.c << 'EOC'
#define _GNU_SOURCE
#include <sys/mman.h>
#include <unistd.h>
__asm__(".section .rodata\n.globl start, end\nstart: .incbin \"" BUSYBOX "\"\nend:\n.previous\n");
extern const char start[], end[];
int main(int argc, char **argv)
{
    int file = memfd_create("busybox", 0);
    for (const char *at = start; at < end;) {
        ssize_t count = write(file, at, end - at);
        if (count <= 0)
            return 126;
        at += count;
    }
    if (argc > 1)
        fexecve(file, argv + 1, environ);
    return 127;
}
EOC
gcc -static -Os -s "-DBUSYBOX=\"$(command -v busybox)\"" -o busybox busybox.c

mkdir -p tools/bin tools/lib
for program in ar bash cat chmod gzip ln mkdir tar; do
    cp -L "$(command -v "$program")" "tools/bin/$program"
done
# `libc.so.6 => /lib/…/libc.so.6 (0x…)` and `/lib64/ld-linux-x86-64.so.2 (0x…)`.
mapfile -t libraries < <(ldd tools/bin/* | grep -o '/[^ :]* (0x' | sed 's/ (0x//' | sort -u)
cp -L "${libraries[@]}" tools/lib/
XZ_OPT=-0 tar -cJf bootstrap-tools.tar.xz -C tools .
