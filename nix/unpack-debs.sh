# Unpacks Debian packages into $out as one tree with merged /usr: no maintainer scripts,
# no documentation, nothing of /etc and /var. The content is what `cargo kernel toolchain add`
# makes of the same packages; a Nix archive keeps neither owners nor times.
#
# POSIX sh. In the environment: out, and debs, the packages' paths.
set -eu
umask 022
PATH=${PATH:+$PATH:}/usr/bin:/bin
export LC_ALL=C

for tool in ar tar xz ln mkdir chmod rm; do
    command -v "$tool" >/dev/null || {
        echo "This sandbox has no $tool to unpack the toolchain's packages with." >&2
        echo "Add the toolchain to the store with: cargo kernel toolchain add ${toolchain-}" >&2
        echo "or, with nixpkgs at hand: nix build .#toolchain-${toolchain-}" >&2
        exit 1
    }
done

mkdir -p "$out/usr"
for directory in bin sbin lib lib64; do
    mkdir -p "$out/usr/$directory"
    ln -s "usr/$directory" "$out/$directory"
done

for deb in $debs; do
    data=$(ar t "$deb" | while read -r member; do
        case $member in data.tar*) echo "$member" ;; esac
    done)
    case $data in
        *.xz) filter=xz ;;
        *.zst) filter=zstd ;;
        *.gz) filter=gzip ;;
        *) filter=cat ;;
    esac
    [ "$filter" = cat ] || filter="$filter -dc"
    ar p "$deb" "$data" | $filter | tar -x -f - -C "$out" --keep-directory-symlink --no-same-owner \
        --exclude=./etc --exclude=./var \
        --exclude=./usr/share/doc --exclude=./usr/share/man --exclude=./usr/share/info \
        --exclude=./usr/share/locale --exclude=./usr/share/lintian --exclude=./usr/share/bug
done

# What update-alternatives would link.
while read -r link target; do
    if [ -e "$out/usr/bin/$target" ] && ! [ -e "$out/usr/bin/$link" ]; then
        ln -s "$target" "$out/usr/bin/$link"
    fi
done <<'EOF'
awk mawk
cc gcc
lzma xz
unlzma xz
which which.debianutils
yacc bison.yacc
EOF
chmod -R u+w "$out"
