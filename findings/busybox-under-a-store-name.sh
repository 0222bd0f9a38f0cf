#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
#
# busybox-static 1:1.35.0-4+deb12u1+b1 (Debian 12), started by a file name as the Nix store gives: <hash>-busybox.
#
# What most expect: a busybox that is called by a name it does not know takes its first argument for the applet, so that
# any copy of it can start `busybox ash`. What happens: it does so only where its own name begins with `busybox`. Under
# `0c1fkj…-busybox` it prints `applet not found` and exits with 127, whatever the arguments are. A derivation whose builder
# is such a file (builtin:fetchurl with `executable`) never starts; nixpkgs patches its bootstrap busybox for this, other
# distributions' builds cannot stand in for it without a wrapper that sets argv[0].
#
# Run outside of CI; it needs apt-get and dpkg-deb. Exits with 1 when the behaviour has changed.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
apt-get -q download 'busybox-static=1:1.35.0-4+deb12u1+b1' > /dev/null 2>&1
dpkg-deb -x ./*.deb root
program=$(find root -type f -name busybox -perm -u+x | head -n 1)

check() { # NAME STATUS OUTPUT
    cp "$program" "$1"
    status=0
    said=$("./$1" ash -c 'echo started' 2>&1) || status=$?
    echo "$1: exit status $status: $said"
    [ "$status" = "$2" ] && [ "$said" = "$3" ]
}
name=0c1fkjz3l5s8xk2v9q4n7m6p1w3y5b8d-busybox
if check busybox 0 started && check busybox-1.35 0 started && check "$name" 127 "$name: applet not found"; then
    # Its own name is all that it goes by.
    said=$(exec -a busybox "./$name" ash -c 'echo started')
    echo "$name as busybox: $said"
    [ "$said" = started ] && echo "as described" && exit 0
fi
echo "the behaviour has changed" >&2
exit 1
