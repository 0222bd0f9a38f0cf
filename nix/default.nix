# The kernels of a kernel.lock, by builtins alone: `kernels.<name>`, a derivation each.
# `nixpkgs` is asked for by toolchains of that kind only.
{ directory # of kernel.lock
, system ? "x86_64-linux" # of the machine that builds
, nixpkgs ? (_: throw "a toolchain of kind `nixpkgs` needs the argument `nixpkgs`, a function from a system to its packages")
, toolchain ? null # the id of a toolchain instead of what the lock says
}:
let
  lockFile = directory + "/kernel.lock";
  lock =
    if !builtins.pathExists lockFile then
      throw "there is no kernel.lock; run `cargo kernel lock`, and `git add` what it writes"
    else
      let read = fromTOML (builtins.readFile lockFile); in
      if read.version == 2 then read
      else if read.version == 1 then
        throw "kernel.lock has format 1; run `cargo kernel lock`, which rewrites it in format 2 with the same sources"
      else throw "kernel.lock has format ${toString read.version}; this flake reads format 2";
  # A pin of Debian packages beside the lock is a toolchain too.
  unpinned = import ./unpinned.nix;
  pinFile = id: "kernel.lock.d/${id}.toml";
  tableOf = id:
    lock.toolchains.${id} or unpinned.${id} or (
      if builtins.pathExists (directory + "/${pinFile id}") then { kind = "debian-root"; pin = pinFile id; }
      else throw "kernel.lock has no toolchain `${id}`, and there is no ${pinFile id}"
    );
  idOf = kernel: if toolchain == null then kernel.toolchain else toolchain;
  pinOf = id: fromTOML (builtins.readFile (directory + "/${(tableOf id).pin}"));
  select = predicate: set: builtins.listToAttrs (builtins.concatMap
    (name: if predicate set.${name} then [{ inherit name; value = set.${name}; }] else [ ])
    (builtins.attrNames set));
  isRoot = id: (tableOf id).kind == "debian-root";
  # A Debian root runs on one system only.
  runsHere = kernel:
    let id = idOf kernel; in !isRoot id || (pinOf id).system == system;
  # A set, so that each id is there once.
  ids = builtins.listToAttrs
    (map (name: { name = idOf lock.kernels.${name}; value = null; }) (builtins.attrNames (lock.kernels or { })));
in
{
  kernels = builtins.mapAttrs
    (name: kernel:
      let id = idOf kernel; in
      import ./kernel.nix {
        inherit directory name kernel;
        toolchain = import ./toolchains.nix {
          inherit id directory system nixpkgs;
          inherit (kernel) arch;
          table = tableOf id;
        };
      })
    (select runsHere (lock.kernels or { }));

  # The Debian roots of these kernels: what their derivations depend on, by itself.
  roots = builtins.listToAttrs (builtins.concatMap
    (id:
      if !isRoot id || (pinOf id).system != system then [ ]
      else [{ name = id; value = import ./debian-root.nix { inherit id; pin = pinOf id; }; }])
    (builtins.attrNames ids));
}
