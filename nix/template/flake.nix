{
  description = "Kernels built by cargo kernel";

  # Where cargo kernel's repository is.
  inputs.kernelkit.url = "path:../cargo-kernel";

  outputs = { self, kernelkit }:
    let
      system = "x86_64-linux";
    in
    {
      # kernel-<name> for every kernel of kernel.lock, which `cargo kernel lock` writes.
      packages.${system} = kernelkit.lib.kernelPackages { directory = self; inherit system; };

      # What the toolchains of nixpkgs are.
      devShells.${system} = kernelkit.lib.devShells { inherit system; };

      # For NixOS:
      #   boot.kernelPackages = pkgs.linuxPackagesFor
      #     (kernelkit.lib.mkKernel { directory = self; name = "vm"; inherit system; });
    };
}
