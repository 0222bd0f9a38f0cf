# The toolchains that need no pin, so that each is one whether a kernel names it or not.
{
  host.kind = "host";
  nixpkgs.kind = "nixpkgs";
  nixpkgs-clang = { kind = "nixpkgs"; compiler = "clang"; };
}
