# The files of ./bootstrap.toml for one system, fetched by Nix itself.
{ system }:
let
  systems = fromTOML (builtins.readFile ./bootstrap.toml);
  files = systems.${system} or (throw "nix/bootstrap.toml has no shell and tools for ${system}; supported are ${toString (builtins.attrNames systems)}");
  fetch = import ./fetch.nix;
in
{
  busybox = fetch {
    name = "busybox";
    inherit (files.busybox) url;
    sha256 = files.busybox.hash;
    executable = true;
  };
  tools = fetch {
    name = "bootstrap-tools.tar.xz";
    inherit (files.tools) url;
    sha256 = files.tools.hash;
  };
}
