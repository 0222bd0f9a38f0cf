# What nixpkgs' linuxPackagesFor and NixOS' modules ask of a kernel.
{ drv, kernel, configText, toolchain }:
let
  compare = builtins.compareVersions kernel.version;
  values = builtins.listToAttrs (builtins.concatMap
    (line:
      let parts = if builtins.isString line then builtins.match "CONFIG_([A-Za-z0-9_]+)=(.*)" line else null; in
      if parts == null then [ ] else [{ name = builtins.elemAt parts 0; value = builtins.elemAt parts 1; }])
    (builtins.split "\n" configText));
  symbol = option: builtins.replaceStrings [ "CONFIG_" ] [ "" ] option;
  getValue = option: values.${symbol option} or null;
  isYes = option: getValue option == "y";
  isModule = option: getValue option == "m";
  self = {
    pname = "linux";
    inherit (kernel) version;
    modDirVersion = kernel.release;
    kernelOlder = version: compare version < 0;
    kernelAtLeast = version: compare version >= 0;
    config = {
      inherit getValue isYes isModule;
      isSet = option: values ? ${symbol option};
      isEnabled = option: isYes option || isModule option;
      isDisabled = option: !(isYes option || isModule option);
      isNo = option: getValue option == null;
    };
    configfile = drv.config;
    features = { };
    kernelPatches = [ ];
    randstructSeed = "";
    isLTS = false;
    isZen = false;
    isHardened = false;
    isLibre = false;
    structuredExtraConfig = { };
    # kernel.lock decides what is built; whoever overrides gets the same kernel.
    override = _: drv // self;
    overrideAttrs = _: drv // self;
    passthru = self;
    meta = {
      description = "Linux ${kernel.release} for ${kernel.arch}";
      homepage = "https://www.kernel.org/";
      platforms = [ (kernel.system or toolchain.target) ];
      outputsToInstall = [ "out" ];
      license = { spdxId = "GPL-2.0-only"; shortName = "gpl2Only"; free = true; };
    };
  } // (if toolchain ? stdenv then { inherit (toolchain) stdenv; } else { });
in
self
