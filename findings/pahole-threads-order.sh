#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
#
# pahole 1.24 (Debian 12: package pahole 1.24-4.1) with `-J -j2`, as scripts/pahole-flags.sh of Linux 6.1 calls it with `-j` where
# CONFIG_DEBUG_INFO_BTF is set and pahole is 1.22 or newer.
#
# What most expect: threads make it faster and nothing else: the same object gives the same BTF.
# What happens: the types are numbered in the order in which the threads finish their compilation units. Of one object, of 60
# small units here, most runs give the bytes of a run without `-j`, and some give others, of the same length. With one thread
# all runs are the same. So a kernel with BTF is reproducible by luck only, the more seldom the more units and cores there are,
# and a build that was compared twice proves nothing.
#
# Run outside of CI; it needs apt-get, dpkg-deb, gcc and binutils. Exits with 1 when the behaviour has changed: when 400 runs
# with two threads give the same bytes, or six runs with one do not.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
apt-get -q download pahole=1.24-4.1 libbpf1=1:1.1.2-0+deb12u1 libdw1=0.188-2.1 libelf1=0.188-2.1 > /dev/null 2>&1
for package in *.deb; do
    dpkg-deb -x "$package" root
done
pahole() { LD_LIBRARY_PATH=$work/root/usr/lib/x86_64-linux-gnu root/usr/bin/pahole "$@"; }
pahole --version

for unit in $(seq 1 60); do
    cat > "unit$unit.c" << END
struct s$unit { int a$unit; struct s$unit *next; char bytes[$unit]; };
enum e$unit { E$unit = $unit };
long f$unit(struct s$unit *one, enum e$unit two) { return one->a$unit + two; }
END
    gcc -g -c "unit$unit.c"
done
ld -r unit*.o -o all.o

btf() { # [OPTION]: the hash of the BTF, and its length
    cp all.o one.o
    pahole -J "$@" one.o
    objcopy --dump-section .BTF=btf one.o 2> /dev/null
    echo "$(sha256sum < btf | cut -c 1-12) $(stat -c %s btf)"
}
alone=$(for _ in 1 2 3 4 5 6; do btf; done | sort -u)
echo "one thread, six runs: $alone"
other=
for run in $(seq 1 400); do
    with=$(btf -j2)
    if [ "$with" != "$alone" ]; then
        other=$with
        echo "two threads, run $run: $other"
        break
    fi
done
if [ "$(echo "$alone" | wc -l)" = 1 ] && [ -n "$other" ] && [ "${other#* }" = "${alone#* }" ]; then
    echo "as described"
else
    echo "the behaviour has changed" >&2
    exit 1
fi
