# The toolchains of kernel.lock. Each is
#   system       where it runs
#   target       what its kernels run on, in Nix' words
#   builder, arguments   what starts a build script
#   environment  more of the derivation's environment, strings only
# `nixpkgs` is a function of a system: what does not need it does not force it.
{ directory # of kernel.lock
, id # the key in [toolchains]
, table # [toolchains.<id>]
, arch # the kernel's
, system # of the machine that builds
, nixpkgs
}:
let
  targets = {
    x86_64 = "x86_64-linux";
    arm64 = "aarch64-linux";
    riscv64 = "riscv64-linux";
    i386 = "i686-linux";
  };
  common = {
    target = targets.${arch} or "${arch}-linux";
  };
  enterScript = builtins.toFile "enter-root.sh" (builtins.readFile ./enter-root.sh);

  kinds = {
    # Debian packages in a store path of their own, entered by user namespaces.
    debian-root =
      let
        pin = fromTOML (builtins.readFile (directory + "/${table.pin}"));
        root = import ./debian-root.nix { inherit id pin; };
        libraries = "${root}/usr/lib/x86_64-linux-gnu";
      in
      common // {
        inherit (pin) system;
        inherit root;
        builder = "${libraries}/ld-linux-x86-64.so.2";
        arguments = _: [
          "--inhibit-cache"
          "--library-path"
          libraries
          "${root}/usr/bin/bash"
          enterScript
        ];
        environment = {
          inherit root enterScript;
          toolchainVariables = "";
        };
      };

    # What nixpkgs builds its own kernels with: the compiler without its wrapper for the
    # kernel, the wrapped one for the programs that run in the build.
    nixpkgs =
      let
        pkgs = nixpkgs system;
        native = common.target == system;
        target = if native then pkgs else pkgs.pkgsCross.${crosses.${arch}};
        crosses = { x86_64 = "gnu64"; arm64 = "aarch64-multiplatform"; riscv64 = "riscv64"; };
        cc = target.stdenv.cc;
        prefix = if native then "" else cc.targetPrefix;
        clang = (table.compiler or "gcc") == "clang";
        llvm = pkgs.llvmPackages;
        tool = package: name: "${package}/bin/${name}";
      in
      common // {
        inherit system;
        inherit (target) stdenv;
        builder = tool pkgs.bash "bash";
        arguments = script: [ "-e" script ];
        environment = {
          inherit (pkgs) stdenv;
          nativeBuildInputs = map toString ([
            pkgs.bc
            pkgs.bison
            pkgs.cpio
            pkgs.elfutils
            pkgs.flex
            pkgs.kmod
            pkgs.openssl
            pkgs.pahole
            pkgs.perl
            pkgs.python3
            pkgs.rsync
            pkgs.xz
            pkgs.zstd
          ]
          # Headers and libraries for the kernel's host programs.
          ++ map (package: package.dev or package) [ pkgs.elfutils pkgs.openssl pkgs.zlib ]
          ++ (if clang then [ llvm.clang-unwrapped llvm.lld llvm.llvm ] else [ ]));
          toolchainVariables = builtins.concatStringsSep "\n" (
            if clang then [
              "HOSTCC=cc"
              "CC=${tool llvm.clang-unwrapped "clang"}"
            ] else [
              "HOSTCC=cc"
              "CC=${tool cc.cc "${prefix}gcc"}"
            ] ++ map
              ({ variable, name }: "${variable}=${tool cc.bintools.bintools "${prefix}${name}"}")
              [
                { variable = "LD"; name = "ld"; }
                { variable = "AR"; name = "ar"; }
                { variable = "NM"; name = "nm"; }
                { variable = "OBJCOPY"; name = "objcopy"; }
                { variable = "OBJDUMP"; name = "objdump"; }
                { variable = "READELF"; name = "readelf"; }
                { variable = "STRIP"; name = "strip"; }
              ]
          );
        };
      };

    # The machine's own programs, through Nix' sandbox-paths. Impure: only the toolchain id
    # tells one machine from another.
    host = common // {
      inherit system;
      builder = "/bin/bash";
      arguments = script: [ "-e" script ];
      environment = {
        PATH = "/usr/bin:/usr/sbin:/bin:/sbin";
        toolchainVariables = "";
      };
    };
  };
in
kinds.${table.kind} or (throw "kernel.lock: toolchain `${id}` has the unknown kind `${table.kind}`; supported are ${toString (builtins.attrNames kinds)}")
