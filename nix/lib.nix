# For other flakes: the kernels of their own kernel.lock.
{ nixpkgs }:
let default = nixpkgs; in
rec {
  # { directory, system ?, nixpkgs ?, toolchain ? } → { <name> = derivation; }
  mkKernels = arguments: (import ./. ({ inherit nixpkgs; } // arguments)).kernels;

  # The same with a `name`: one derivation. It has what nixpkgs' `linuxPackagesFor` asks for.
  mkKernel = { name, ... }@arguments:
    let kernels = mkKernels (removeAttrs arguments [ "name" ]); in
    kernels.${name} or (throw "kernel.lock has no kernel `${name}`; it has ${toString (builtins.attrNames kernels)}");

  # { kernel-<name> = derivation; }, as `packages.<system>` wants them.
  kernelPackages = arguments:
    let kernels = mkKernels arguments; in
    builtins.listToAttrs
      (map (name: { name = "kernel-${name}"; value = kernels.${name}; }) (builtins.attrNames kernels));

  # `devShells.<system>`: `build`, and the toolchains of nixpkgs.
  devShells = { system, nixpkgs ? default }: import ./shell.nix { inherit system nixpkgs; };
}
