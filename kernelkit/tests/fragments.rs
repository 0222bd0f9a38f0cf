//! Our fragments on real kernels: what they ask for is what one gets.
//!
//! Each fragment stands alone, on top of nothing but `core/64bit`, `core/modules`, the
//! architecture's fragment and `allnoconfig`: that is what it means for a fragment to
//! be self-contained. Each preset is tried as it is, and with `debug = true`.
//!
//! They are resolved natively; for one preset of each tree and architecture the kernel's
//! own `conf` confirms it, byte for byte.
#![allow(clippy::disallowed_methods, clippy::print_stdout, clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use camino::{Utf8Path, Utf8PathBuf};
use kernelkit::arch::Arch;
use kernelkit::config::{DotConfig, Symbol};
use kernelkit::effect::environment::{Environment, cores};
use kernelkit::effect::kconfig::{Probes, Tree, load_tree};
use kernelkit::effect::{exec, fs};
use kernelkit::fragment::{Base, Fragment, Layer, Layers, Library, Selection};
use kernelkit::kconfig::{Input, Kconfig, Mode, Request};
use kernelkit::merge::{merge, verify};
use kernelkit::process::Call;
use kernelkit::version::KernelVersion;

mod trees;

/// What a fragment of our own may stand on.
const GROUND: [&str; 3] = ["core/64bit", "core/modules", "arch/@arch"];

/// The architectures that every fragment is for which does not say otherwise.
const ARCHES: [&str; 3] = ["x86_64", "arm64", "riscv64"];

/// The architectures that have `preset/tiny` and no more.
const TINY_ARCHES: [&str; 7] = [
    "arm",
    "i386",
    "loongarch64",
    "mips",
    "mipsel",
    "powerpc64le",
    "s390x",
];

/// One tree, configured for one architecture in one object directory.
struct Bench<'a> {
    tree: &'a Utf8Path,
    arch: Arch,
    version: KernelVersion,
    build: Utf8PathBuf,
    environment: &'a Environment,
}

impl<'a> Bench<'a> {
    fn new(tree: &'a Utf8Path, arch: Arch, environment: &'a Environment) -> Self {
        let makefile = fs::read_to_string(tree.join("Makefile")).unwrap();
        let version = KernelVersion::from_makefile(&makefile).unwrap();
        let build = Utf8PathBuf::from(env!("CARGO_TARGET_TMPDIR"))
            .join(format!("fragments/{version}-{arch}"));
        fs::create_dir_all(&build).unwrap();
        Bench {
            tree,
            arch,
            version,
            build,
            environment,
        }
    }

    /// `CROSS_COMPILE`, or `None` where the compiler is not installed.
    fn cross_compile(arch: Arch, environment: &Environment) -> Option<&'static str> {
        let is_host = Arch::host(std::env::consts::ARCH) == Ok(arch);
        let prefix = if is_host {
            ""
        } else {
            arch.row().cross_prefix?
        };
        exec::find_on_path(&format!("{prefix}gcc"), &environment.path).map(|_| prefix)
    }

    fn load(&self) -> Kconfig {
        let prefix = Bench::cross_compile(self.arch, self.environment).unwrap();
        let make_variables = BTreeMap::from([("CROSS_COMPILE".to_owned(), prefix.to_owned())]);
        let tree = Tree {
            source: self.tree,
            directory: &self.build,
            arch: self.arch.row().kernel_arch,
            make_variables: &make_variables,
            environment: &self.environment.tool_variables(),
        };
        load_tree(&tree, &Probes::Run(None)).unwrap().kconfig
    }

    /// What the tree's own `conf` makes of requests.
    fn make(&self, requests: &str, base: Base) -> String {
        let path = self.build.join("requests");
        fs::write_atomic(&path, requests.as_bytes()).unwrap();
        let prefix = Bench::cross_compile(self.arch, self.environment).unwrap();
        let call = Call::new("make", self.tree)
            .arg("-s")
            .arg(format!("O={}", self.build))
            .arg(format!("ARCH={}", self.arch.row().kernel_arch))
            .arg(format!("CROSS_COMPILE={prefix}"))
            .arg(format!("KCONFIG_ALLCONFIG={path}"))
            .arg(base.make_goal())
            .envs(&self.environment.tool_variables());
        exec::capture(&call).unwrap();
        fs::read_to_string(self.build.join(".config")).unwrap()
    }

    /// What a selection asks for that its `.config` does not have.
    fn complaints(&self, kconfig: &Kconfig, layers: &Layers<'_>, confirm: bool) -> Vec<String> {
        let merged = merge(layers.fragments());
        let requests = merged.to_config_text();
        let base = layers.base.unwrap_or(Base::AllNoConfig);
        let resolution = kconfig.resolve(&Request {
            mode: match base {
                Base::AllNoConfig => Mode::Allnoconfig,
                Base::AllDefConfig => Mode::Alldefconfig,
            },
            inputs: &[Input {
                name: "requests",
                text: requests.as_bytes(),
            }],
            warn_unknown: false,
        });
        let result = String::from_utf8(resolution.dot_config()).unwrap();
        if confirm {
            assert_eq!(result, self.make(&requests, base), "{}", self.build);
        }
        let result = DotConfig::parse(&result).unwrap();
        verify(&merged, &result)
            .into_iter()
            .filter(|unmet| !unmet.optional && !self.lacks_tools(&unmet.symbol, &result))
            .map(|unmet| format!("{} {}: {unmet}", self.version, self.arch))
            .collect()
    }

    /// Whether a request fails for want of a tool that not every machine has. CI has
    /// pahole; a Rust toolchain of the kernel's taste may be missing even there.
    fn lacks_tools(&self, symbol: &Symbol, result: &DotConfig) -> bool {
        let pahole = exec::find_on_path("pahole", &self.environment.path);
        let tool = match symbol.as_str() {
            "RUST" if !result.is_enabled("RUST_IS_AVAILABLE") => "Rust toolchain",
            "DEBUG_INFO_BTF" | "DEBUG_INFO_BTF_MODULES"
                if pahole.is_none() && !self.environment.ci =>
            {
                "pahole"
            }
            _ => return false,
        };
        println!("{symbol} was not tried: there is no {tool}");
        true
    }

    /// The fragments to merge for each thing that is tried here.
    fn cases<'l>(&self, library: &'l Library) -> Vec<Layers<'l>> {
        let select = |preset, fragments: &[String], debug| {
            let selection = Selection {
                preset,
                fragments,
                debug,
                trust: false,
                arch: self.arch,
                version: &self.version,
            };
            library.select(&selection).unwrap()
        };
        let ground = GROUND.map(|name| name.replace("@arch", self.arch.name()));
        let mut cases = Vec::new();
        for fragment in library.iter().filter(|fragment| self.is_tried(fragment)) {
            let name = fragment.name().as_str();
            if let Some(preset) = name.strip_prefix("preset/") {
                cases.push(select(Some(preset), &[], false));
                if ARCHES.contains(&self.arch.name()) {
                    cases.push(select(Some(preset), &[], true));
                }
            } else if !ARCHES.contains(&self.arch.name()) {
                // Nobody has said that they are for it.
            } else if !ground.iter().any(|ground| ground == name) {
                let mut fragments = ground.to_vec();
                fragments.push(name.to_owned());
                cases.push(select(None, &fragments, false));
            }
        }
        cases
    }

    /// `version/` fragments come along with what they extend.
    fn is_tried(&self, fragment: &Fragment) -> bool {
        fragment.name().layer() != Layer::Version
            && fragment.header().applies_to_arch(self.arch)
            && fragment.header().applies_to_version(&self.version)
    }
}

#[test]
fn every_request_of_our_fragments_holds() {
    let environment = Environment::read().unwrap();
    let library = Library::embedded();
    let trees = trees::trees();
    let mut benches = Vec::new();
    for name in ARCHES.iter().chain(&TINY_ARCHES) {
        let arch: Arch = name.parse().unwrap();
        if Bench::cross_compile(arch, &environment).is_none() {
            println!("{arch} is not tried: there is no compiler for it");
            continue;
        }
        benches.extend(
            trees
                .iter()
                .map(|tree| Bench::new(tree, arch, &environment)),
        );
    }

    let queue = Mutex::new(benches.iter());
    let complaints = Mutex::new(BTreeSet::new());
    let tried = Mutex::new(BTreeSet::new());
    let next = || queue.lock().unwrap().next();
    std::thread::scope(|scope| {
        for _ in 0..cores().min(benches.len()) {
            scope.spawn(|| {
                while let Some(bench) = next() {
                    let kconfig = bench.load();
                    let mut confirm = true;
                    for layers in bench.cases(&library) {
                        let preset = layers
                            .fragments()
                            .any(|fragment| fragment.name().layer() == Layer::Preset);
                        let confirm = preset && std::mem::take(&mut confirm);
                        let found = bench.complaints(&kconfig, &layers, confirm);
                        complaints.lock().unwrap().extend(found);
                        let names = layers.fragments().map(|fragment| fragment.name().clone());
                        tried.lock().unwrap().extend(names);
                    }
                }
            });
        }
    });

    let complaints: BTreeSet<String> = complaints.into_inner().unwrap();
    let complaints: Vec<_> = complaints.into_iter().collect();
    assert!(complaints.is_empty(), "\n{}", complaints.join("\n"));
    let tried = tried.into_inner().unwrap();
    for fragment in library.iter() {
        if !trees.is_empty() && !tried.contains(fragment.name()) {
            println!("{} was not tried on any tree", fragment.name());
        }
    }
}
