# A toolchain as plain strings, with what they refer to: all that `kernelkit::nix::kernel`
# needs to write the derivations of a toolchain that only the evaluator knows. Takes the
# arguments of ./toolchains.nix.
arguments:
let
  toolchain = import ./toolchains.nix arguments;
  # As `derivation` writes a value into the environment.
  text = value: if builtins.isList value then toString value else "${value}";
  json = builtins.toJSON {
    inherit (toolchain) system builder;
    arguments = toolchain.arguments (builtins.toFile "build-kernel.sh" (builtins.readFile ./build-kernel.sh));
    environment = builtins.mapAttrs (_: text) toolchain.environment;
  };
in
{
  value = builtins.fromJSON (builtins.unsafeDiscardStringContext json);
  context = builtins.getContext json;
}
