# `default` to work on cargo kernel, `build` to build kernels by hand: the environment that
# the derivations of the toolchain `nixpkgs` have, without their source.
{ system, nixpkgs }:
let
  pkgs = nixpkgs system;
  toolchain = import ./toolchains.nix {
    directory = ./.;
    id = "nixpkgs";
    table.kind = "nixpkgs";
    arch = { x86_64-linux = "x86_64"; aarch64-linux = "arm64"; }.${system};
    inherit system nixpkgs;
  };
  shell = name: packages: derivation (toolchain.environment // {
    inherit name;
    inherit (toolchain) system builder;
    # `nix develop` sources the set-up and never builds this.
    args = [ "-c" "echo this is a shell, not a package >&2; exit 1" ];
    outputs = [ "out" ];
    nativeBuildInputs = toolchain.environment.nativeBuildInputs ++ map toString packages;
  });
in
{
  build = shell "kernel-build" [ ];
  default = shell "cargo-kernel" [
    pkgs.cargo
    pkgs.rustc
    pkgs.rustfmt
    pkgs.clippy
    pkgs.git
    pkgs.ccache
    pkgs.mdbook
    pkgs.qemu
  ];
}
