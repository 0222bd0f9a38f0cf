# One kernel of kernel.lock as a derivation, by builtins alone.
#
# `kernelkit::nix::kernel` writes the same .drv from the same entry, byte for byte: every
# attribute here is a string or a list of strings, and nothing is read but the files that
# the lock names. Scripts and configs are store files of their own (toFile), so that no
# other file of the repository reaches the derivation.
{ directory # of kernel.lock
, name
, kernel # the table [kernels.<name>]
, toolchain # see toolchains.nix
}:
let
  script = file: builtins.toFile (baseNameOf file) (builtins.readFile file);
  lines = builtins.concatStringsSep "\n";
  sourceOf = source:
    if source.kind == "path" then
      import ./placed.nix
        {
          inherit (toolchain) system;
          inherit (source) name sha256;
          hint = "cargo kernel lock";
        }
    else if source ? sha256 then
      import ./fetch.nix { inherit (source) name url sha256; }
    else
      throw "the source of `${name}` is a git commit, for which kernel.lock has no hash that Nix can fetch; use a tarball or a Debian package in Cargo.toml";
  # The file, and the script's options where they are not the usual ones.
  patch = { path, sha256, strip ? 1, fuzz ? 0 }:
    let
      file = builtins.path {
        name = baseNameOf path;
        path = directory + "/${path}";
        recursive = false;
        inherit sha256;
      };
    in
    if strip == 1 && fuzz == 0 then file else "${file} ${toString strip} ${toString fuzz}";
  configText = builtins.readFile (directory + "/${kernel.config.path}");
  config =
    if builtins.hashString "sha256" configText != kernel.config.sha256 then
      throw "${kernel.config.path} is not the file that kernel.lock names; run `cargo kernel lock`"
    else
      builtins.toFile "${name}.config" configText;
  # Only kernels that need it have the attribute.
  trust =
    if !(kernel ? trust) then { }
    else
      let text = builtins.readFile (directory + "/${kernel.trust.path}"); in
      if builtins.hashString "sha256" text != kernel.trust.sha256 then
        throw "${kernel.trust.path} is not the file that kernel.lock names; run `cargo kernel lock`"
      else { trustedCertificates = builtins.toFile "trusted-certificates.pem" text; };
  drv = derivation (toolchain.environment // trust // {
    # A release may have `~`, a store name may not.
    name = "linux-${builtins.replaceStrings [ "~" ] [ "-" ] kernel.release}";
    inherit (toolchain) system builder;
    args = toolchain.arguments (script ./build-kernel.sh);
    outputs = [ "out" "modules" "dev" "debug" ];
    buildScript = script ./build-kernel.sh;
    kernelName = name;
    inherit (kernel) arch release digest;
    kernelVersion = kernel.version;
    toolchainId = kernel.toolchain-id;
    src = sourceOf kernel.source;
    sourceKind = kernel.source.kind;
    sourceMember = kernel.source.member or "";
    patches = lines (map patch (kernel.source.patches or [ ]));
    inherit config;
    makeVariables = lines kernel.make.variables;
    makeGoals = lines (kernel.make.goals or [ ]);
    kcflags = kernel.make.kcflags or "";
    kaflags = kernel.make.kaflags or "";
    inherit (kernel.install) image;
    imageName = kernel.install.name;
    installModules = if kernel.install.modules then "1" else "";
    enableParallelBuilding = "1";
  });
in
drv // import ./passthru.nix { inherit drv kernel configText toolchain; }
