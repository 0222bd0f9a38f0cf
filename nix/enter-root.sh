# Enters a toolchain's root inside the Nix sandbox and runs $buildScript there.
#
# The sandbox holds nothing but the derivation's inputs, and programs of a Debian package
# expect to lie in /usr. So the root's own loader starts the root's own bash, which makes a
# user namespace and mounts the root where its programs expect it. Everything before the
# last line runs outside of it and must name the loader.
#
# In the environment: root, enterScript, buildScript and what Nix sets.
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
        echo "This machine does not let the build make a user namespace, which the toolchain $root needs." >&2
        echo "As root: sysctl -w kernel.unprivileged_userns_clone=1 user.max_user_namespaces=10000" >&2
        echo "(and kernel.apparmor_restrict_unprivileged_userns=0 where there is such a key)," >&2
        echo "or choose the toolchain \"nixpkgs\" or \"host\"." >&2
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
