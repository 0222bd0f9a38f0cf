# A pinned set of Debian packages as one store path. The path follows from the pin's name and
# hash, whoever makes it: `cargo kernel toolchain add`, which needs no sandbox, or this
# derivation, which needs ar, tar and xz in it.
{ id
, pin
, shell ? "/bin/sh"
, environment ? { }
}:
derivation (environment // {
  inherit (pin) name system;
  builder = shell;
  args = [ (builtins.toFile "unpack-debs.sh" (builtins.readFile ./unpack-debs.sh)) ];
  debs = map
    (package: import ./fetch.nix {
      name = "${package.name}.deb";
      inherit (package) url sha256;
    })
    pin.package;
  toolchain = id;
  outputHashMode = "recursive";
  outputHashAlgo = "sha256";
  outputHash = pin.sha256;
})
