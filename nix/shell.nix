# `default` to work on cargo kernel, `build` to build kernels by hand; `nixpkgs-<arch>` and
# `nixpkgs-clang-<arch>` are those toolchains as `cargo kernel` uses them outside of the sandbox: the
# environment that their derivations have, without a source.
{ system, nixpkgs }:
let
  pkgs = nixpkgs system;
  unpinned = import ./unpinned.nix;
  argumentsOf = id: arch: {
    directory = ./.;
    table = unpinned.${id};
    inherit id arch system nixpkgs;
  };
  shell = name: toolchain: packages: derivation (toolchain.environment // {
    inherit name;
    inherit (toolchain) system builder;
    # `nix develop` sources the set-up and never builds this.
    args = [ "-c" "echo this is a development shell, not a package: use nix develop >&2; exit 1" ];
    outputs = [ "out" ];
    nativeBuildInputs = toolchain.environment.nativeBuildInputs ++ map toString packages;
  });
  native = import ./toolchains.nix
    (argumentsOf "nixpkgs" { x86_64-linux = "x86_64"; aarch64-linux = "arm64"; }.${system});
  toolchains = builtins.listToAttrs (builtins.concatMap
    (id: map
      (arch:
        let name = "${id}-${arch}"; arguments = argumentsOf id arch; in
        {
          inherit name;
          value = shell name (import ./toolchains.nix arguments) [ ] // {
            # For `cargo kernel`, which writes the derivations of kernels itself.
            describe = import ./describe.nix arguments;
          };
        })
      [ "x86_64" "arm64" "riscv64" ])
    [ "nixpkgs" "nixpkgs-clang" ]);
in
toolchains // {
  build = shell "kernel-build" native [ ];
  default = shell "cargo-kernel" native [
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
