# A pinned set of Debian packages as one store path. The path follows from the pin's name and
# hash, whoever makes it: `cargo kernel toolchain add`, which needs no sandbox, or this
# derivation. It brings its own shell and tools, because a sandbox need not have any.
{ id, pin }:
let
  bootstrap = fromTOML (builtins.readFile ./bootstrap.toml);
  files = bootstrap.${pin.system} or (throw "the toolchain `${id}` is for ${pin.system}, and nix/bootstrap.toml has files only for ${toString (builtins.attrNames bootstrap)}");
  fetch = import ./fetch.nix;
in
derivation {
  inherit (pin) name system;
  builder = fetch {
    name = "busybox";
    inherit (files.busybox) url;
    sha256 = files.busybox.hash;
    executable = true;
  };
  args = [ "ash" "-e" (builtins.toFile "unpack-debs.sh" (builtins.readFile ./unpack-debs.sh)) ];
  tools = fetch {
    name = "bootstrap-tools.tar.xz";
    inherit (files.tools) url;
    sha256 = files.tools.hash;
  };
  debs = map
    (package: fetch {
      name = "${package.name}.deb";
      inherit (package) url sha256;
    })
    pin.package;
  toolchain = id;
  outputHashMode = "recursive";
  outputHashAlgo = "sha256";
  outputHash = pin.sha256;
}
