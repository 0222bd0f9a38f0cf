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

    # The release is read from what was built: a generated header only tells what would be compiled.
    differs() {
        echo "$1 carries the release ${2:-(none)}, and not $release of kernel.lock: the tree or a patch sets another." >&2
        exit 1
    }
    # Linux version RELEASE (BY@HOST) (COMPILER) VERSION, not a format string with %.
    banner_pattern='Linux version [!-$&-~]+ \([^@]*@[^)%]*\) \(.*\) #.*'
    banner_in() { grep -aoE -m1 "$banner_pattern" || true; }
    check_banner() {
        local words
        read -ra words <<< "${2%%$'\n'*}"
        if [ "${words[2]-}" != "$release" ]; then
            differs "The banner in $1" "${words[2]-}"
        fi
    }
    # A number of the image: byte, size in bytes.
    number() { od -An --endian=little "-tu$2" "-j$1" "-N$2" "$build/$image" | tr -d ' '; }
    decompress_kernel() {
        case $1 in
            1f8b*) gzip -dc ;;
            425a*) bzip2 -dc ;;
            5d00*) xz --format=lzma -dc ;;
            fd37*) xz -dc ;;
            894c*) lzop -dc ;;
            0221*) lz4 -dc ;;
            28b5*) zstd -dc ;;
            *)
                echo "The payload of $image begins with the bytes $1, which no known compression does." >&2
                return 1
                ;;
        esac
    }
    banner=$(banner_in < "$build/vmlinux")
    banner=${banner%%$'\n'*}
    check_banner vmlinux "$banner"
    case $image in
        arch/x86/*)
            # The setup header, as Documentation/arch/x86/boot.rst has it.
            if [ "$(od -An -c -j514 -N4 "$build/$image" | tr -d ' ')" != HdrS ]; then
                echo "$image has no x86 setup header." >&2
                exit 1
            fi
            text=$(dd "if=$build/$image" bs=1 "skip=$(($(number 526 2) + 512))" count=256 status=none | tr '\0' '\n')
            text=${text%%$'\n'*}
            if [ "${text%% *}" != "$release" ]; then
                differs "The setup header of $image" "${text%% *}"
            fi
            sectors=$(number 497 1)
            payload=$(((${sectors/#0/4} + 1) * 512 + $(number 584 4)))
            length=$(number 588 4)
            magic=$(od -An -tx1 "-j$payload" -N2 "$build/$image" | tr -d ' ')
            # All but gzip have the size appended. The program that made it is here.
            if [ "$magic" != 1f8b ]; then
                length=$((length - 4))
            fi
            dd "if=$build/$image" iflag=skip_bytes,count_bytes "skip=$payload" "count=$length" bs=1M status=none \
                | decompress_kernel "$magic" > "$NIX_BUILD_TOP/kernel" \
                || {
                    echo "The payload of $image cannot be decompressed." >&2
                    exit 1
                }
            check_banner "$image" "$(banner_in < "$NIX_BUILD_TOP/kernel")"
            rm "$NIX_BUILD_TOP/kernel"
            ;;
        *)
            found=$(banner_in < "$build/$image")
            if [ -z "$found" ]; then
                found=$({ gzip -dc < "$build/$image" 2> /dev/null || true; } | banner_in)
            fi
            if [ -n "$found" ]; then
                check_banner "$image" "$found"
            else
                echo "kernel: $image is packed in a way that this script does not read; vmlinux has the release"
            fi
            ;;
    esac
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
    if [ -d "$modules/$tree" ]; then
        # All at once: a kernel can have 6000. A module that is not found to be right is wrong.
        comm -23 <(find "$modules/$tree" -name '*.ko' -type f | sort) \
            <(grep -rlaF --include='*.ko' "vermagic=$release " "$modules/$tree" | sort) > "$NIX_BUILD_TOP/differing"
        find "$modules/$tree" -name '*.ko.*' -type f | while read -r file; do
            decompress "$file" < "$file" | grep -caF "vermagic=$release " > /dev/null || echo "$file"
        done >> "$NIX_BUILD_TOP/differing"
        while read -r file; do
            vermagic=$(decompress "$file" < "$file" | grep -aoE 'vermagic=[^ ]*' || true)
            vermagic=${vermagic%%$'\n'*}
            differs "The module ${file#"$modules/$tree/"}" "${vermagic#vermagic=}"
        done < "$NIX_BUILD_TOP/differing"
    fi
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
if [ -z "${layerFiles-}" ]; then
    [[ $banner =~ ^Linux\ version\ ([^ ]+)\ \(([^@]*)@([^\)]*)\)\ \((.*)\)\ (#.*)$ ]]
    UTS_RELEASE=${BASH_REMATCH[1]}
    LINUX_COMPILE_BY=${BASH_REMATCH[2]}
    LINUX_COMPILE_HOST=${BASH_REMATCH[3]}
    LINUX_COMPILER=${BASH_REMATCH[4]}
    UTS_VERSION=${BASH_REMATCH[5]}
    UTS_MACHINE=$(sed -n 's/^#define UTS_MACHINE[[:space:]]*"\(.*\)"/\1/p' "$build/include/generated/compile.h")
    BUILD_ID=$({ readelf -n "$build/vmlinux" 2> /dev/null || true; } | sed -n 's/.*Build ID: //p')
    BUILD_ID=${BUILD_ID%%$'\n'*}
fi
{
    printf '{\n  "schema": 1,\n  "backend": "%s",\n' "${layerBackend-nix}"
    for key in name:kernelName arch:arch version:kernelVersion release:release digest:digest toolchain-id:toolchainId; do
        variable=${key#*:}
        printf '  "%s": "%s",\n' "${key%%:*}" "${!variable}"
    done
    printf '  "observed": {\n'
    separator=
    for name in UTS_RELEASE UTS_VERSION UTS_MACHINE LINUX_COMPILER LINUX_COMPILE_BY LINUX_COMPILE_HOST; do
        printf '%s    "%s": "%s"' "$separator" "${name,,}" "${!name}"
        separator=$',\n'
    done
    if [ -n "${BUILD_ID-}" ]; then
        printf '%s    "build_id": "%s"' "$separator" "$BUILD_ID"
    fi
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
