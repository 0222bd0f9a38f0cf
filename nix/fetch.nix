# A file from the network by its hash, without nixpkgs: Nix fetches it itself. Its store path
# follows from name and hash alone.
{ name, url, sha256 }:
derivation {
  inherit name url;
  urls = [ url ];
  system = "builtin";
  builder = "builtin:fetchurl";
  outputHashMode = "flat";
  outputHashAlgo = "sha256";
  outputHash = sha256;
  unpack = false;
  executable = false;
  preferLocalBuild = true;
  impureEnvVars = [ "http_proxy" "https_proxy" "ftp_proxy" "all_proxy" "no_proxy" ];
}
