# A directory that was put into the store before: its path follows from name and hash, and
# nothing in here could make it.
{ system, name, sha256, hint }:
derivation {
  inherit name system;
  builder = "/bin/sh";
  args = [ "-c" "echo '${name} has to be in the store first: ${hint}' >&2; exit 1" ];
  outputHashMode = "recursive";
  outputHashAlgo = "sha256";
  outputHash = sha256;
}
