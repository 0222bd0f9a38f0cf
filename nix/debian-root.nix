# A pinned set of Debian packages as one store path. The path follows from the pin's name and
# hash, whoever makes it: `cargo kernel toolchain add`, which needs no sandbox, or this
# derivation. It brings its own shell and tools, because a sandbox need not have any.
{ id, pin }:
let
  bootstrap = import ./bootstrap.nix { inherit (pin) system; };
in
derivation {
  inherit (pin) name system;
  builder = bootstrap.busybox;
  args = [ "ash" "-e" (builtins.toFile "unpack-debs.sh" (builtins.readFile ./unpack-debs.sh)) ];
  inherit (bootstrap) tools;
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
}
