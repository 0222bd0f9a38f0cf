#!/bin/bash
# SPDX-License-Identifier: MIT OR Apache-2.0
#
# get-nix.sh SUITE DIR: unpacks the Nix of another Debian release with its libraries below DIR,
# so that DIR/bin/nix runs here. Nothing is installed, and no root is needed.
set -euo pipefail
suite=$1
mkdir -p "$2"
directory=$(cd "$2" && pwd)
nix=$directory/bin/nix
if [ -x "$directory/bin/nix-daemon" ] && "$nix" --version; then
    exit
fi

apt=$directory/apt
rm -rf "$directory"/{apt,debs,root,bin}
mkdir -p "$apt"/{lists,archives}/partial "$directory"/{debs,root,bin}
echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian $suite main" > "$apt/sources.list"
: > "$apt/status"
own=(
    -qq
    -o "Dir::Etc::SourceList=$apt/sources.list" -o Dir::Etc::SourceParts=/dev/null
    -o Dir::Etc::Preferences=/dev/null -o Dir::Etc::PreferencesParts=/dev/null
    -o "Dir::State=$apt" -o "Dir::State::Lists=$apt/lists" -o "Dir::State::status=$apt/status"
    -o "Dir::Cache=$apt" -o Debug::NoLocking=1 -o APT::Sandbox::User=
    -o APT::Install-Recommends=0 -o Acquire::Languages=none
)
apt-get "${own[@]}" update
# Of all that it depends on, a program needs the libraries.
mapfile -t packages < <(apt-get "${own[@]}" --print-uris --yes install nix-bin |
    awk '$2 ~ /^(nix-bin|lib[^_]*)_/ && $2 !~ /^lib(perl|pam|audit|semanage)|-perl_/ { sub(/_.*/, "", $2); print $2 }')
cd "$directory/debs"
apt-get "${own[@]}" download "${packages[@]}"
for deb in *.deb; do
    dpkg-deb -x "$deb" "$directory/root"
done
cd "$directory"
rm -rf debs apt

libraries=$directory/root/usr/lib/x86_64-linux-gnu
for name in nix nix-instantiate nix-store nix-daemon; do
    printf '#!/bin/sh\nexec %s --library-path %s --argv0 %s %s "$@"\n' \
        "$libraries/ld-linux-x86-64.so.2" "$libraries" "$name" "$directory/root/usr/bin/nix" > "bin/$name"
    chmod +x "bin/$name"
done
"$nix" --version
