# SPDX-License-Identifier: MIT OR Apache-2.0
#
# Builds one kernel of kernel.lock in the Nix sandbox.
#
# It runs the commands that `cargo kernel build` runs on the host, so the bytes are the same. Bash;
# the environment has the attributes of nix/kernel.nix, all strings (lists have one entry per line), and PATH.
#
# The layout of the outputs is defined here only: `cargo kernel build --publish` and `--register`
# run the last part of this script on an existing build. `layerFiles` is where that build is installed,
# `layerBuild` and `layerSource` are its directories, `layerDev` is the final path of $dev.
if [ -n "${stdenv-}" ]; then
    source "$stdenv/setup"
fi
set -euo pipefail
umask 022
cd "$NIX_BUILD_TOP"
source=${layerSource-$NIX_BUILD_TOP/source}
build=${layerBuild-$NIX_BUILD_TOP/build}

# make treats every environment variable as a make variable, so it gets as few as on the host;
# the compiler wrappers of nixpkgs read the paths of headers and libraries from variables.
clean=(env -i "PATH=$PATH" "HOME=$NIX_BUILD_TOP" "TMPDIR=${TMPDIR:-/tmp}" LC_ALL=C TZ=UTC PYTHONDONTWRITEBYTECODE=1)
while read -r name; do
    case $name in
        NIX_CC_* | NIX_CFLAGS_* | NIX_LDFLAGS* | NIX_BINTOOLS_* | NIX_PKG_CONFIG_* | NIX_HARDENING_* | NIX_ENFORCE_* | NIX_STORE | PKG_CONFIG*)
            clean+=("$name=${!name}")
            ;;
    esac
done < <(compgen -e)
export LC_ALL=C TZ=UTC

if [ -z "${layerFiles-}" ]; then
    # Lists have one word per line, because a make variable may contain spaces.
    mapfile -t variables < <(printf %s "$makeVariables${makeVariables:+$'\n'}$toolchainVariables${toolchainVariables:+$'\n'}")
    mapfile -t goals < <(printf %s "$makeGoals${makeGoals:+$'\n'}")
    # 0 means all cores to Nix; make has no such value.
    jobs=${NIX_BUILD_CORES:-1}
    if [ "$jobs" = 0 ]; then
        jobs=$(nproc)
    fi
    maps="-fdebug-prefix-map=$source=/usr/src/linux -fdebug-prefix-map=$build=/usr/src/linux/build"
    kernel_make() {
        "${clean[@]}" make -C "$source" "O=$build" --no-print-directory "-j$jobs" \
            "${variables[@]}" "KCFLAGS=$maps${kcflags:+ $kcflags}" "KAFLAGS=$maps${kaflags:+ $kaflags}" "$@"
    }

    echo "kernel: unpacking $src"
    mkdir -p "$source" "$build"
    decompress() {
        case $1 in
            *.xz) xz -dc ;;
            *.zst) zstd -dc ;;
            *.gz) gzip -dc ;;
            *.bz2) bzip2 -dc ;;
            *) cat ;;
        esac
    }
    unpack() { decompress "$1" | tar -x -f - -C "$source" --strip-components=1 --no-same-owner; }
    case $sourceKind in
        deb)
            data=$(ar t "$src" | grep '^data\.tar')
            ar p "$src" "$data" | decompress "$data" | tar -x -f - --to-stdout "./$sourceMember" | unpack "$sourceMember"
            ;;
        tarball) unpack "$src" < "$src" ;;
        path)
            rmdir "$source"
            cp -r --no-preserve=ownership "$src" "$source"
            chmod -R u+w "$source"
            ;;
    esac
    while read -r file strip fuzz; do
        if [ -n "$file" ]; then
            echo "kernel: applying $file"
            patch -d "$source" "-p${strip:-1}" --batch --forward "--fuzz=${fuzz:-0}" --no-backup-if-mismatch < "$file"
        fi
    done <<< "$patches"

    echo "kernel: configuring $release"
    cp "$config" "$build/.config"
    chmod u+w "$build/.config"
    kernel_make olddefconfig
    if ! diff -u "$config" "$build/.config"; then
        echo "The kernel's conf changes the locked configuration; the differences are above." >&2
        echo "The configuration was locked with another toolchain: run \`cargo kernel lock\` again." >&2
        exit 1
    fi

    # The path is the value of CONFIG_SYSTEM_TRUSTED_KEYS.
    if [ -n "${trustedCertificates-}" ]; then
        mkdir -p "$build/certs"
        cp "$trustedCertificates" "$build/certs/kernelkit-trusted.pem"
    fi

    echo "kernel: building $release for $arch"
    kernel_make "${goals[@]}"
    found=$("${clean[@]}" make -s -C "$source" "O=$build" --no-print-directory "${variables[@]}" kernelrelease)
    if [ "$found" != "$release" ]; then
        echo "The built kernel has the release $found, but kernel.lock has $release: run \`cargo kernel lock\` again." >&2
        exit 1
    fi
fi

echo "kernel: installing"
mkdir -p "$out/boot" "$modules"
if [ -n "${layerFiles-}" ]; then
    cp "$layerFiles/boot"/{"$imageName",System.map,config}-"$release" "$out/boot/"
else
    cp "$build/$image" "$out/boot/$imageName-$release"
    cp "$build/System.map" "$out/boot/System.map-$release"
    cp "$build/.config" "$out/boot/config-$release"
fi
# The names that NixOS and its tools expect.
ln -s "boot/$imageName-$release" "$out/${image##*/}"
ln -s "boot/System.map-$release" "$out/System.map"
ln -s "boot/config-$release" "$out/config"
tree=lib/modules/$release
if [ "$installModules" != 1 ]; then
    :
elif [ -n "${layerFiles-}" ]; then
    cp -r "$layerFiles/lib" "$modules/"
else
    kernel_make modules_install "INSTALL_MOD_PATH=$modules"
    rm -f "$modules/$tree/build" "$modules/$tree/source"
fi

if [ -n "$debug" ]; then
    mkdir -p "$debug"
    cp "$build/vmlinux" "$build/System.map" "$debug/"
    if [ -e "$build/vmlinux-gdb.py" ]; then
        mkdir -p "$debug/scripts"
        cp -L "$build/vmlinux-gdb.py" "$debug/"
        cp -rL "$build/scripts/gdb" "$debug/scripts/"
    fi
fi

# Files that `make M=` needs: Makefiles, headers and scripts of the source tree, generated files and
# the programs of scripts/ of the build. The build's Makefile names the source tree by its path.
if [ -n "$dev" ]; then
    mkdir -p "$dev"
fi
if [ -n "$dev" ] && grep -q '^CONFIG_MODULES=y' "$config"; then
    mkdir -p "$dev/$tree/source" "$dev/$tree/build"
    main=${image#arch/}
    main=${main%%/*}
    (
        cd "$source"
        find . -maxdepth 1 -type f -print0
        find . \( -name 'Makefile*' -o -name 'Kconfig*' -o -name 'Kbuild*' \) \
            ! -path './Documentation/*' ! -path './tools/*' -type f -print0
        find include scripts -print0
        if [ -d "arch/$main" ]; then
            find "arch/$main" \( -name '*.h' -o -name '*.lds*' -o -name '*.sh' -o -path '*/tools/*' \) -type f -print0
        fi
    ) | sort -zu | (cd "$source" && tar -c --null --no-recursion -T - -f -) | tar -x -f - -C "$dev/$tree/source"
    (
        cd "$build"
        find .config Module.symvers Makefile include scripts arch/*/include arch/*/lds arch/*/kernel/module.lds tools/objtool/objtool \
            -type f ! -name '*.[osa]' ! -name '*.cmd' ! -path 'scripts/kconfig/*' -print0 2> /dev/null || true
    ) | sort -zu | (cd "$build" && tar -c --null -T - -f -) | tar -x -f - -C "$dev/$tree/build"
    # A tree for another architecture cannot use the programs of the builder; there,
    # `make modules_prepare` builds them. A file's kind is its ELF class, byte order and machine.
    elf_kind() {
        local head
        head=$(od -An -tx1 -v -N20 "$1" | tr -d ' \n')
        case $head in
            7f454c46*) echo "${head:8:4}${head:36:4}" ;;
        esac
    }
    if [ -e "$build/vmlinux" ]; then
        own=$(elf_kind "$build/vmlinux")
        find "$dev/$tree/build" -type f -perm /111 -print0 | while IFS= read -r -d '' file; do
            kind=$(elf_kind "$file")
            if [ -n "$kind" ] && [ "$kind" != "$own" ]; then
                rm "$file"
            fi
        done
    fi
    # Debug information of the programs, objtool above all, names the directories of this build, and
    # the build id is a hash of it. The builder's strip handles programs of its own architecture only.
    own=$(elf_kind "$BASH")
    find "$dev/$tree/build" -type f -perm -u+x | while read -r file; do
        if [ -n "$own" ] && [ "$(elf_kind "$file")" = "$own" ]; then
            strip --strip-debug --remove-section=.note.gnu.build-id "$file"
        fi
    done
    # Only in text files: replacing a path by a longer one breaks a program.
    grep -rlIF "$source" "$dev/$tree/build" | while read -r file; do
        sed -i "s|$source|${layerDev-$dev}/$tree/source|g" "$file"
    done || true
fi

# The run layer must not refer to the toolchain.
if grep -raoE -m1 "$NIX_STORE/[0-9a-z]{32}-[^/ ]*" "$out" "$modules" | grep -vF -e "$out" -e "$modules" | head -n 5 | grep .; then
    echo "The installed files refer to the store paths above; they would keep the toolchain in the Nix store." >&2
    exit 1
fi

# Keys and their meaning are those of the manifest of `cargo kernel build`.
file_sum() { sha256sum < "$1" | cut -d ' ' -f 1; }
file_entry() {
    printf '    {"kind": "%s", "path": "%s", "size": %s, "sha256": "%s"}' "$1" "$2" "$(stat -c %s "$out/$2")" "$(file_sum "$out/$2")"
}
define() {
    if [ -n "${layerFiles-}" ]; then
        printf %s "${!1}"
        return
    fi
    sed -n "s/^#define $1[[:space:]]*\"\(.*\)\"/\1/p" "$build"/include/generated/{utsrelease,utsversion,compile}.h 2> /dev/null || true
}
{
    printf '{\n  "schema": 1,\n  "backend": "%s",\n' "${layerBackend-nix}"
    for key in name:kernelName arch:arch version:kernelVersion release:release digest:digest toolchain-id:toolchainId; do
        variable=${key#*:}
        printf '  "%s": "%s",\n' "${key%%:*}" "${!variable}"
    done
    printf '  "observed": {\n'
    separator=
    for name in UTS_RELEASE UTS_VERSION UTS_MACHINE LINUX_COMPILER LINUX_COMPILE_BY LINUX_COMPILE_HOST; do
        printf '%s    "%s": "%s"' "$separator" "${name,,}" "$(define "$name")"
        separator=$',\n'
    done
    printf '\n  },\n  "outputs": [\n'
    file_entry image "boot/$imageName-$release"
    printf ',\n'
    file_entry system-map "boot/System.map-$release"
    printf ',\n'
    file_entry config "boot/config-$release"
    if [ -d "$modules/$tree" ]; then
        cd "$modules/$tree"
        # Ordered by path components, as Rust orders paths.
        listing=$(find . -type f -printf '%P\n' | tr / '\1' | sort | tr '\1' / | while read -r file; do
            printf '%s  %s\n' "$(file_sum "$file")" "$file"
        done)
        printf ',\n    {"kind": "modules", "path": "%s", "size": %s, "sha256": "%s"}' "$tree" \
            "$(find . -type f -printf '%s\n' | { total=0; while read -r size; do total=$((total + size)); done; echo "$total"; })" \
            "$(printf '%s\n' "$listing" | sha256sum | cut -d ' ' -f 1)"
    fi
    printf '\n  ]\n}\n'
} > "$out/manifest.json"
echo "kernel: $release is done"
