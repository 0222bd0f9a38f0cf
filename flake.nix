{
  description = "cargo kernel: custom Linux kernels, named by their content";

  inputs.nixpkgs.url = "github:NixOS/nixpkgs/nixos-26.05";

  # The work is in nix/. Kernels whose toolchain is not nixpkgs evaluate and build without it.
  outputs = { self, nixpkgs }:
    let
      systems = [ "x86_64-linux" "aarch64-linux" ];
      eachSystem = make: builtins.listToAttrs (map (system: { name = system; value = make system; }) systems);
      pkgsOf = system: nixpkgs.legacyPackages.${system};
      kernelsOf = system: import ./nix { directory = self; inherit system; nixpkgs = pkgsOf; };
      prefixed = prefix: set: builtins.listToAttrs
        (map (name: { name = "${prefix}-${name}"; value = set.${name}; }) (builtins.attrNames set));
      cargoKernel = pkgs: import ./nix/package.nix { inherit pkgs; source = ./.; };
    in
    {
      packages = eachSystem (system:
        let pkgs = pkgsOf system; kernels = kernelsOf system; in
        prefixed "kernel" kernels.kernels
        // prefixed "toolchain" kernels.roots
        // { cargo-kernel = cargoKernel pkgs; default = cargoKernel pkgs; });

      devShells = eachSystem (system: import ./nix/shell.nix { inherit system; nixpkgs = pkgsOf; });

      apps = eachSystem (system:
        let app = { type = "app"; program = "${cargoKernel (pkgsOf system)}/bin/cargo-kernel"; }; in
        { default = app; cargo-kernel = app; });

      checks = eachSystem (system: import ./nix/checks.nix {
        inherit system;
        pkgs = pkgsOf system;
        directory = self;
        kernels = (kernelsOf system).kernels;
        package = cargoKernel (pkgsOf system);
      });

      lib = import ./nix/lib.nix { nixpkgs = pkgsOf; };

      overlays.default = final: _: {
        cargo-kernel = cargoKernel final;
        kernelkit = self.lib // {
          inherit (import ./nix {
            directory = self;
            inherit (final.stdenv.buildPlatform) system;
            nixpkgs = _: final;
          }) kernels;
        };
      };

      templates.default = {
        path = ./nix/template;
        description = "A repository of kernels built by cargo kernel";
      };
    };
}
