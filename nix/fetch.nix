# A file from the network by its hash, without nixpkgs: Nix fetches it itself. Its store path
# follows from name and hash alone. `executable` sets the executable bit, which only the hash of an archive
# (NAR) covers.
{ name, url, sha256, executable ? false }:
derivation {
  inherit name url executable;
  urls = [ url ];
  system = "builtin";
  builder = "builtin:fetchurl";
  outputHashMode = if executable then "recursive" else "flat";
  outputHashAlgo = "sha256";
  outputHash = sha256;
  unpack = false;
  preferLocalBuild = true;
  impureEnvVars = [ "http_proxy" "https_proxy" "ftp_proxy" "all_proxy" "no_proxy" ];
}
