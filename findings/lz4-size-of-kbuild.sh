#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
#
# lz4 1.9.4-1 (Debian 12) on a stream as Kbuild makes it for CONFIG_KERNEL_LZ4: the legacy format (`lz4 -l`), with the
# size of the data appended as four bytes, little-endian (`size_append` in scripts/Makefile.lib).
#
# What most expect: a stream with something after it is decompressed with a warning, or refused before anything is written.
# What happens: the legacy format has no end mark, so the size is taken for the header of one more block. All of the data
# comes out right, byte for byte; then `lz4 -dc` says `Read error : cannot access compressed block` and exits with 53.
# So neither the exit status alone nor the output alone tells whether a kernel's payload is whole: cut the four bytes off
# first, or count what comes out.
#
# Run outside of CI; it needs apt-get and dpkg-deb. Exits with 1 when the behaviour has changed.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
apt-get -q download lz4=1.9.4-1 liblz4-1=1.9.4-1 > /dev/null 2>&1
for package in *.deb; do
    dpkg-deb -x "$package" root
done
lz4() { LD_LIBRARY_PATH=$work/root/usr/lib/x86_64-linux-gnu root/usr/bin/lz4 "$@"; }

# Something that compresses, of a size whose bytes say nothing by accident.
seq 1 60000 > data
lz4 -q -l -9 data payload
size=$(stat -c %s data)
cp payload of-kbuild
for shift in 0 8 16 24; do
    printf "\\x$(printf %02x $((size >> shift & 255)))" >> of-kbuild
done

check() { # FILE STATUS
    status=0
    lz4 -dc "$1" > out 2> said || status=$?
    echo "$1: exit status $status, $(stat -c %s out) of $size bytes: $(tr -d '\r' < said | tail -n 1)"
    [ "$status" = "$2" ] && cmp -s data out
}
if check payload 0 && check of-kbuild 53; then
    echo "as described"
else
    echo "the behaviour has changed" >&2
    exit 1
fi
