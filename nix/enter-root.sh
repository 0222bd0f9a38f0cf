# SPDX-License-Identifier: MIT OR Apache-2.0
#
# Runs $buildScript in a toolchain's root inside the Nix sandbox.
#
# The sandbox contains only the inputs of the derivation, and programs of Debian packages
# expect to be in /usr. So the root's own loader starts the root's own bash, which creates a
# user namespace and mounts the root where its programs expect it. Everything before the
# last line runs outside the root and has to name the loader.
#
# In the environment: root, enterScript, buildScript and the variables that Nix sets.
set -eu
libraries=$root/usr/lib/x86_64-linux-gnu
run() {
    local program=$1
    shift
    "$libraries/ld-linux-x86-64.so.2" --inhibit-cache --library-path "$libraries" "$root/usr/$program" "$@"
}

if [ "${1-}" != inside ]; then
    if ! run bin/unshare --user --map-root-user --mount --fork \
        "$libraries/ld-linux-x86-64.so.2" --inhibit-cache --library-path "$libraries" \
        "$root/usr/bin/true"; then
        echo "Cannot create a user namespace in the Nix sandbox, which the toolchain $root needs." >&2
        echo "Allow it as root: sysctl -w kernel.unprivileged_userns_clone=1 user.max_user_namespaces=10000" >&2
        echo "(also kernel.apparmor_restrict_unprivileged_userns=0 where that key exists)," >&2
        echo "or use the toolchain \"nixpkgs\" or \"host\"." >&2
        exit 1
    fi
    exec "$libraries/ld-linux-x86-64.so.2" --inhibit-cache --library-path "$libraries" \
        "$root/usr/bin/unshare" --user --map-root-user --mount \
        "$libraries/ld-linux-x86-64.so.2" --inhibit-cache --library-path "$libraries" \
        "$root/usr/bin/bash" "$enterScript" inside
fi

new=$TMPDIR/.root
run bin/mkdir -p "$new"/{etc,usr,tmp,proc,dev,nix/store} "$new$NIX_BUILD_TOP"
for directory in bin sbin lib lib64; do
    run bin/ln -s "usr/$directory" "$new/$directory"
done
echo 'root:x:0:0::/:/bin/sh' > "$new/etc/passwd"
echo 'root:x:0:' > "$new/etc/group"
mount() { run bin/mount -n "$@"; }
mount --rbind "$root/usr" "$new/usr"
mount --rbind /nix/store "$new/nix/store"
mount --rbind /proc "$new/proc"
mount --rbind /dev "$new/dev"
mount --bind "$NIX_BUILD_TOP" "$new$NIX_BUILD_TOP"
export PATH=/usr/bin:/usr/sbin
exec "$libraries/ld-linux-x86-64.so.2" --inhibit-cache --library-path "$libraries" \
    "$root/usr/sbin/chroot" "$new" /usr/bin/bash "$buildScript"
