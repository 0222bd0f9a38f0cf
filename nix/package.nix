# cargo-kernel itself, from this repository and its Cargo.lock.
{ pkgs, source }:
let
  inherit (pkgs) lib;
  manifest = fromTOML (builtins.readFile (source + "/Cargo.toml"));
in
pkgs.rustPlatform.buildRustPackage {
  pname = "cargo-kernel";
  inherit (manifest.workspace.package) version;
  src = lib.fileset.toSource {
    root = source;
    # The fragments and the scripts of nix/ are compiled in.
    fileset = lib.fileset.unions (map (file: source + "/${file}") [
      "Cargo.toml"
      "Cargo.lock"
      "cargo-kernel"
      "fragments"
      "kernelkit"
      "nix"
      "xtask"
    ]);
  };
  cargoLock.lockFile = source + "/Cargo.lock";
  cargoBuildFlags = [ "--package" "cargo-kernel" ];
  # `cargo xtask test` runs the tests; they need kernel trees.
  doCheck = false;
  meta = {
    description = "Build, boot and identify custom Linux kernels from Cargo.toml";
    license = [ lib.licenses.mit lib.licenses.asl20 ];
    mainProgram = "cargo-kernel";
    platforms = lib.platforms.linux;
  };
}
