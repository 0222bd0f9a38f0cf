//! Caches that kernelkit wrote, as Nix takes them.

use kernelkit::effect::nix::cache;
use kernelkit::effect::nix::nar;
use kernelkit::nix::failure::Cause;
use kernelkit::nix::nar::Node;
use kernelkit::nix::narinfo::{CacheInfo, NarInfo, SecretKey};
use kernelkit::nix::store_path::{StoreDir, StorePath};

use crate::world::with_each_nix;

#[test]
fn a_signed_path_is_taken_and_an_unsigned_one_refused() {
    with_each_nix(|nix| {
        let store = StoreDir::default();
        let tree = Node::directory([("vmlinuz", Node::file("bytes"))]);
        let path = nix.root.join("tree");
        nar::unpack(tree.to_bytes().as_slice(), &path).unwrap();
        let key = SecretKey::from_seed("kernels-1", [3; 32]);
        let cache_dir = nix.root.join("cache");
        cache::create(&cache_dir, &CacheInfo::default()).unwrap();
        let trusted = format!("trusted-public-keys = {}", key.public());
        let config = format!("{}\n{trusted}\n", nix.env["NIX_CONFIG"]);
        let url = format!("file://{cache_dir}");
        let rows = [("signed", true), ("unsigned", false), ("wrong", false)];
        for (index, (name, accepted)) in rows.into_iter().enumerate() {
            let digits = "0".repeat(31);
            let object: StorePath = format!("{digits}{index}-{name}").parse().unwrap();
            let mut info = NarInfo::new(object.clone(), tree.hash());
            match name {
                "signed" => info.sign(&store, &key),
                "wrong" => info.sign(&store, &SecretKey::from_seed("kernels-1", [4; 32])),
                _ => {}
            }
            cache::publish(&cache_dir, &store, &info, &path).unwrap();
            let taken = nix.try_run_with(
                &[("NIX_CONFIG", &config)],
                "nix",
                &["copy", "--from", &url, &store.display(&object)],
            );
            assert_eq!(taken.success, accepted, "{name}: {}", taken.stderr);
            match accepted {
                true => assert_eq!(nar::hash(&nix.real(&object)).unwrap(), tree.hash()),
                false => {
                    let cause = Cause::of(&taken.stderr);
                    assert_eq!(cause, Some(Cause::Unsigned), "{}", taken.stderr);
                }
            }
        }
    });
}
