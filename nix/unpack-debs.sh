# SPDX-License-Identifier: MIT OR Apache-2.0
#
# Unpacks Debian packages into $out as one tree with merged /usr: no maintainer scripts,
# no documentation, nothing of /etc and /var. The content is what `cargo kernel toolchain add`
# makes of the same packages; a Nix archive keeps neither owners nor times.
#
# The sandbox has no programs. The first part is run by the builder, a static busybox that has ash without
# its optional features, mkdir, tar and unxz. The second part is run by the bash of $tools. The programs
# there name a loader that does not exist, so each is started through the one that they come with.
#
# In the environment: out, builder, tools (see nix/bootstrap.toml), debs (paths of the packages)
# and toolchain (its name).
set -eu
umask 022
unpacked=$NIX_BUILD_TOP/tools

if [ "${1-}" = "" ]; then
    "$builder" mkdir "$unpacked"
    "$builder" unxz < "$tools" | "$builder" tar x -C "$unpacked"
    for loader in "$unpacked"/lib/ld-linux*.so.?; do
        exec "$loader" --library-path "$unpacked/lib" "$unpacked/bin/bash" "$0" "$loader"
    done
fi

loader=$1
set -o pipefail
export LC_ALL=C
tool() {
    local program=$1
    shift
    "$loader" --library-path "$unpacked/lib" "$unpacked/bin/$program" "$@"
}
decompress() {
    case $1 in
        *.xz) "$builder" unxz ;;
        *.gz) tool gzip -dc ;;
        *.tar) tool cat ;;
        *)
            echo "Cannot decompress $1 in the Nix sandbox: only xz and gzip are supported." >&2
            echo "Unpack the packages outside the sandbox: cargo kernel toolchain add $toolchain" >&2
            return 1
            ;;
    esac
}

tool mkdir -p "$out/usr"
for directory in bin sbin lib lib64; do
    tool mkdir -p "$out/usr/$directory"
    tool ln -s "usr/$directory" "$out/$directory"
done

for deb in $debs; do
    data=
    for member in $(tool ar t "$deb"); do
        case $member in data.tar*) data=$member ;; esac
    done
    tool ar p "$deb" "$data" | decompress "$data" | tool tar -x -f - -C "$out" --keep-directory-symlink --no-same-owner \
        --exclude=./etc --exclude=./var \
        --exclude=./usr/share/doc --exclude=./usr/share/man --exclude=./usr/share/info \
        --exclude=./usr/share/locale --exclude=./usr/share/lintian --exclude=./usr/share/bug
done

# The links that update-alternatives would create.
while read -r link target; do
    if [ -e "$out/usr/bin/$target" ] && ! [ -e "$out/usr/bin/$link" ]; then
        tool ln -s "$target" "$out/usr/bin/$link"
    fi
done << 'EOF'
awk mawk
cc gcc
lzma xz
unlzma xz
which which.debianutils
yacc bison.yacc
EOF
tool chmod -R u+w "$out"
