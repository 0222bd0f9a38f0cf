# `nix flake check`: what can be said of the lock without building a kernel, and that
# cargo-kernel builds.
{ system, pkgs, directory, kernels, package }:
let
  manifest = fromTOML (builtins.readFile (directory + "/Cargo.toml"));
  declared = builtins.attrNames (manifest.workspace.metadata.kernel.kernels or { });
  locked = (fromTOML (builtins.readFile (directory + "/kernel.lock"))).kernels;
  missing = builtins.filter (name: !(locked ? ${name})) declared;
  # Forces every derivation: each config is hashed, each file is found.
  paths = map (name: builtins.unsafeDiscardStringContext kernels.${name}.drvPath) (builtins.attrNames kernels);
in
{
  inherit package;
  lock =
    if missing != [ ] then
      throw "kernel.lock lacks ${toString missing}, which Cargo.toml declares; run `cargo kernel lock`"
    else
      derivation {
        name = "kernel-lock";
        inherit system paths;
        builder = "${pkgs.bash}/bin/bash";
        args = [ "-c" "echo $paths > $out" ];
      };
}
