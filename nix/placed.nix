# A directory that has to be added to the store before the build: its path follows from name and hash,
# and no derivation can make it. This one only says so; its shell is that of ./bootstrap.nix.
{ system, name, sha256, hint }:
derivation {
  inherit name system;
  builder = (import ./bootstrap.nix { inherit system; }).busybox;
  args = [ "ash" "-c" "echo '${name} is not in the Nix store; add it with: ${hint}' >&2; exit 1" ];
  outputHashMode = "recursive";
  outputHashAlgo = "sha256";
  outputHash = sha256;
}
