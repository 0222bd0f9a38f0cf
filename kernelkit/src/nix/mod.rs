//! Nix's formats and rules, as far as kernels need them: store paths, derivations,
//! archives, binary caches.
//!
//! Pure: nothing here reads a store or starts Nix;
//! [`effect::nix`](crate::effect::nix) does. What a module computes is what Nix ≥ 2.8
//! computes, byte for byte, and tests hold it to that with `nix-instantiate`,
//! `nix-store` and `nix hash` as oracles.
//!
//! | module | what it owns |
//! |---|---|
//! | [`hash`] | digests as Nix writes them: nixbase32, SRI, hexadecimal |
//! | [`store_path`] | store paths and how they follow from content |
//! | [`derivation`] | `.drv` files: reading, writing, and the paths of outputs |
//! | [`debian_root`] | a toolchain made of Debian packages: which, and where their files lie |
//! | [`nar`] | Nix archives, the form in which a store path is hashed and copied |
//! | [`narinfo`] | the files of a binary cache, and their signatures |
//! | [`command`] | the programs `nix` and `nix-store`, and what differs by version |
//! | [`kernel`] | a kernel of `kernel.lock` as a derivation |
//! | [`failure`] | why Nix refused, and the way out |
//!
//! A derivation without input derivations, and where its output will be:
//!
//! ```
//! use kernelkit::nix::derivation::Recipe;
//! use kernelkit::nix::store_path::StoreDir;
//!
//! let store = StoreDir::default();
//! let hello = Recipe::new("hello", "x86_64-linux", "/bin/sh")
//!     .args(["-c", "echo hello > $out"])
//!     .derive(&store, |_| None)?;
//! assert_eq!(
//!     store.join(hello.output("out").expect("it has no other")),
//!     "/nix/store/fvchbymk0m4jvldpb9m5hy0bjy2lf30k-hello",
//! );
//! # Ok::<(), kernelkit::nix::derivation::Error>(())
//! ```

pub mod command;
pub mod debian_root;
pub mod derivation;
pub mod failure;
pub mod hash;
pub mod kernel;
pub mod nar;
pub mod narinfo;
pub mod store_path;
