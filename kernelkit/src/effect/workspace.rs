//! Finds the workspace and reads what it declares.
//!
//! Cargo is the authority on what a workspace is and where its target directory lies,
//! so `cargo metadata --no-deps` is asked; it needs no network. Only where the
//! answer follows from the manifest alone is the process saved.

use camino::{Utf8Path, Utf8PathBuf};
use toml::de::DeTable;

use crate::arch::Arch;
use crate::effect::environment::Environment;
use crate::effect::{exec, fs};
use crate::process::Call;
use crate::source::{Sha256, Source};
use crate::spec::{self, Context, Manifest, ManifestTable, Overrides, Spec};

/// Why no [`Spec`] could be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no manifest, and the command line does not describe a kernel.
    #[error("there is no Cargo.toml in {directory} or above it")]
    NoManifest {
        /// Where the search began.
        directory: Utf8PathBuf,
    },
    /// A manifest cannot be read.
    #[error(transparent)]
    File(#[from] fs::Error),
    /// Cargo does not accept the workspace.
    #[error("cargo cannot read the workspace of {manifest}")]
    Cargo {
        /// The manifest it was asked about.
        manifest: Utf8PathBuf,
        /// How it failed, with its own words.
        #[source]
        source: exec::Error,
    },
    /// Cargo's answer makes no sense.
    #[error("cannot understand what cargo says of {manifest}")]
    Answer {
        /// The manifest it was asked about.
        manifest: Utf8PathBuf,
        /// What is odd.
        #[source]
        source: cargo_metadata::Error,
    },
    /// The settings are wrong.
    #[error(transparent)]
    Spec(#[from] spec::Error),
}

impl Error {
    /// What to do next.
    pub fn hint(&self) -> Option<String> {
        match self {
            Error::NoManifest { .. } => Some(
                "`cargo kernel init` writes one; without one, name a source and a configuration: `--source DIR --preset tiny`"
                    .to_owned(),
            ),
            Error::File(error) => error.hint(),
            Error::Cargo { source, .. } => match source {
                exec::Error::NotFound { .. } => {
                    Some("install Rust (https://rustup.rs), or set CARGO to the cargo to use".to_owned())
                }
                _ => source.hint(),
            },
            Error::Answer { .. } => Some("set CARGO to another version of cargo".to_owned()),
            Error::Spec(error) => error.hint(),
        }
    }
}

/// Reads the kernels of the workspace that `manifest_path` belongs to (otherwise: the nearest
/// `Cargo.toml`, from the current directory upward), with `overrides` over them.
///
/// Without any manifest the kernel is what `overrides` describe; it is built below
/// `./target`, or `CARGO_TARGET_DIR`.
///
/// Where the workspace is in a directory that is the source of one of its kernels, the target directory is
/// below the user's cache directory, unless it was chosen: a source is never written to.
///
/// # Errors
/// No manifest and no overrides that name a source; a workspace that cargo does not
/// accept; settings that are wrong.
pub fn load(
    environment: &Environment,
    manifest_path: Option<&Utf8Path>,
    overrides: &Overrides,
) -> Result<Spec, Error> {
    let mut spec = declared(environment, manifest_path, overrides)?;
    if let Some(target_dir) = outside(&spec, environment) {
        spec.target_dir = target_dir;
    }
    // From here on nothing that shows or writes a source has anything to hide.
    for kernel in &mut spec.kernels {
        kernel.source.value = environment.credentials.learn(&kernel.source.value);
    }
    Ok(spec)
}

/// Another target directory, where cargo's own default would be in the source of a kernel.
fn outside(spec: &Spec, environment: &Environment) -> Option<Utf8PathBuf> {
    let chosen = environment.variables.get("CARGO_TARGET_DIR");
    let default = fs::real_path(&spec.root).join("target");
    let target_dir = fs::real_path(&spec.target_dir);
    if chosen.is_some_and(|chosen| !chosen.is_empty()) || target_dir != default {
        return None;
    }
    let within = spec
        .kernels
        .iter()
        .any(|kernel| match &kernel.source.value {
            Source::Directory { path } => default.starts_with(fs::real_path(path)),
            _ => false,
        });
    let root = default.parent()?;
    let digest = Sha256::of(root.as_str().as_bytes()).to_string();
    let name = root.file_name().unwrap_or("root");
    within.then(|| {
        let targets = environment.cache_dir.join("target");
        targets.join(format!("{name}-{}", &digest[..16]))
    })
}

fn declared(
    environment: &Environment,
    manifest_path: Option<&Utf8Path>,
    overrides: &Overrides,
) -> Result<Spec, Error> {
    let current_dir = &environment.current_dir;
    let context = |root: Utf8PathBuf, target_dir: Utf8PathBuf| Context {
        root,
        current_dir: current_dir.clone(),
        target_dir,
        host: host_arch(),
    };
    let nearest = || {
        current_dir
            .ancestors()
            .map(|directory| directory.join("Cargo.toml"))
            .find(|path| path.is_file())
    };
    let Some(manifest) = manifest_path
        .map(|path| current_dir.join(path))
        .or_else(nearest)
    else {
        if overrides.source.is_none() {
            return Err(Error::NoManifest {
                directory: current_dir.clone(),
            });
        }
        let target_dir = environment
            .variables
            .get("CARGO_TARGET_DIR")
            .filter(|directory| !directory.is_empty())
            .map_or("target", String::as_str);
        let context = context(current_dir.clone(), current_dir.join(target_dir));
        return Ok(Spec::from_overrides(overrides, &context)?);
    };
    let text = fs::input_text(&manifest)?;
    let Ok(table) = DeTable::parse(&text) else {
        // Cargo would refuse it too, but would not say where in a form to be pointed at.
        let manifests = [named(
            current_dir,
            &manifest,
            text,
            ManifestTable::Workspace,
        )];
        let root = current_dir.clone();
        let context = context(root.clone(), root);
        return Ok(spec::parse(&manifests, overrides, &context)?);
    };
    let workspace = match answer_at_once(environment, &manifest, table.get_ref()) {
        Some(workspace) => workspace,
        None => ask_cargo(environment, &manifest)?,
    };
    let manifests = workspace
        .declaring
        .into_iter()
        .map(|(path, table)| {
            let text = if path == manifest {
                text.clone()
            } else {
                fs::input_text(&path)?
            };
            Ok(named(current_dir, &path, text, table))
        })
        .collect::<Result<Vec<_>, fs::Error>>()?;
    let context = context(workspace.root, workspace.target_dir);
    Ok(spec::parse(&manifests, overrides, &context)?)
}

/// A manifest with the path that reads best in an error: relative to the current directory, inside of it.
fn named(current_dir: &Utf8Path, path: &Utf8Path, text: String, table: ManifestTable) -> Manifest {
    let path = path.strip_prefix(current_dir).unwrap_or(path).to_owned();
    Manifest { path, text, table }
}

/// What cargo knows of a workspace.
#[derive(Debug, PartialEq, Eq)]
struct Workspace {
    root: Utf8PathBuf,
    target_dir: Utf8PathBuf,
    /// The manifests that declare kernels, and where in them.
    declaring: Vec<(Utf8PathBuf, ManifestTable)>,
}

/// Asks cargo, which takes some tens of milliseconds.
fn ask_cargo(environment: &Environment, manifest: &Utf8Path) -> Result<Workspace, Error> {
    let cargo = environment
        .variables
        .get("CARGO")
        .filter(|path| !path.is_empty());
    let inherited = environment
        .variables
        .iter()
        .filter(|(name, _)| name.starts_with("CARGO") || name.starts_with("RUSTUP"));
    let call = Call::new(
        cargo.map_or("cargo", String::as_str),
        &environment.current_dir,
    )
    .args([
        "metadata",
        "--no-deps",
        "--format-version",
        "1",
        "--manifest-path",
    ])
    .arg(manifest.as_str())
    .envs(&environment.tool_variables())
    .envs(
        &inherited
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect(),
    );
    let output = exec::capture(&call).map_err(|source| Error::Cargo {
        manifest: manifest.to_owned(),
        source,
    })?;
    let metadata =
        cargo_metadata::MetadataCommand::parse(output.text()).map_err(|source| Error::Answer {
            manifest: manifest.to_owned(),
            source,
        })?;
    let mut declaring = Vec::new();
    if metadata.workspace_metadata.get("kernel").is_some() {
        declaring.push((
            metadata.workspace_root.join("Cargo.toml"),
            ManifestTable::Workspace,
        ));
    }
    for package in &metadata.packages {
        if package.metadata.get("kernel").is_some() {
            declaring.push((package.manifest_path.clone(), ManifestTable::Package));
        }
    }
    Ok(Workspace {
        root: metadata.workspace_root,
        target_dir: metadata.target_directory,
        declaring,
    })
}

/// What [`ask_cargo`] would answer, where the manifest alone decides it: a virtual
/// workspace without members is its own root and nothing else, and its target directory is
/// what CARGO_TARGET_DIR says, or `target` where no configuration file says otherwise (the
/// Cargo Book, "Workspaces" and "Configuration"). `None` where cargo must be asked.
fn answer_at_once(
    environment: &Environment,
    manifest: &Utf8Path,
    table: &DeTable<'_>,
) -> Option<Workspace> {
    let workspace = table.get("workspace")?.get_ref().as_table()?;
    let members = workspace
        .get("members")
        .map_or(Some(0), |members| Some(members.get_ref().as_array()?.len()))?;
    let alone = members == 0 && !table.contains_key("package") && !table.contains_key("project");
    // Cargo resolves `..` in `--manifest-path` in a way of its own.
    let plain = manifest.file_name() == Some("Cargo.toml")
        && manifest
            .components()
            .all(|component| component.as_str() != "..");
    if !alone || !plain {
        return None;
    }
    let root = manifest.parent()?.components().collect::<Utf8PathBuf>();
    let declares = workspace
        .get("metadata")
        .and_then(|metadata| metadata.get_ref().as_table()?.get("kernel"))
        .is_some();
    Some(Workspace {
        target_dir: target_dir(environment, &root)?,
        declaring: declares
            .then(|| (manifest.to_owned(), ManifestTable::Workspace))
            .into_iter()
            .collect(),
        root,
    })
}

/// Cargo's target directory, where that of `root` is not set by a configuration file;
/// `None` where one may set it, or where that cannot be found out.
fn target_dir(environment: &Environment, root: &Utf8Path) -> Option<Utf8PathBuf> {
    let variables = &environment.variables;
    // The variable wins over configuration files. Cargo refuses an empty one.
    if let Some(directory) = variables.get("CARGO_TARGET_DIR") {
        let given = !directory.is_empty();
        return given.then(|| environment.current_dir.join(directory));
    }
    if variables.contains_key("CARGO_BUILD_TARGET_DIR") {
        return None;
    }
    let cargo_home = match variables.get("CARGO_HOME") {
        Some(home) => environment.current_dir.join(home),
        None => Utf8Path::new(variables.get("HOME")?).join(".cargo"),
    };
    let configurations = environment
        .current_dir
        .ancestors()
        .map(|directory| directory.join(".cargo"))
        .chain([cargo_home]);
    for directory in configurations {
        for name in ["config", "config.toml"] {
            let Some(text) = fs::optional_input(directory.join(name)).ok()? else {
                continue;
            };
            let text = String::from_utf8(text).ok()?;
            let table = DeTable::parse(&text).ok()?;
            let table = table.get_ref();
            let build = table.get("build").map(|build| build.get_ref().as_table());
            let sets = build
                .is_some_and(|build| build.is_none_or(|build| build.contains_key("target-dir")));
            // An included file may set anything.
            if sets || table.contains_key("include") {
                return None;
            }
        }
    }
    Some(root.join("target"))
}

/// The architecture of this machine, as the kernel calls it.
fn host_arch() -> Option<Arch> {
    let uname = rustix::system::uname();
    Arch::host(uname.machine().to_str().ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A directory with `files`, and an environment whose current directory is `current` in it.
    fn workspace(files: &[(&str, &str)], current: &str) -> (tempfile::TempDir, Environment) {
        let guard = tempfile::tempdir().unwrap();
        let root = Utf8PathBuf::from_path_buf(guard.path().canonicalize().unwrap()).unwrap();
        for (path, text) in files {
            fs::write_atomic(root.join(path), text.as_bytes()).unwrap();
        }
        fs::create_dir_all(root.join(current)).unwrap();
        let mut variables = Environment::read().unwrap().variables;
        variables.retain(|name, _| !name.ends_with("TARGET_DIR"));
        let environment = Environment::from_variables(root.join(current), variables);
        (guard, environment)
    }

    const KERNEL: &str = "[workspace]\nmembers = []\n[workspace.metadata.kernel.kernels.tiny]\nversion = \"6.12\"\npreset = \"tiny\"\n";
    const PACKAGE: &str = "[package]\nname = \"a\"\nversion = \"0.1.0\"\nedition = \"2024\"\n[lib]\npath = \"lib.rs\"\n[package.metadata.kernel.kernels.small]\nversion = \"6.1\"\npreset = \"tiny\"\n";

    /// What is answered at once must be what cargo answers.
    fn check(files: &[(&str, &str)], current: &str, variables: &[(&str, &str)], at_once: bool) {
        let (_guard, mut environment) = workspace(files, current);
        let root = environment
            .current_dir
            .ancestors()
            .find(|directory| directory.join("Cargo.toml").is_file())
            .unwrap()
            .to_owned();
        for (name, value) in variables {
            environment
                .variables
                .insert((*name).to_owned(), (*value).to_owned());
        }
        let manifest = root.join("Cargo.toml");
        let text = fs::read_to_string(&manifest).unwrap();
        let table = DeTable::parse(&text).unwrap();
        let answer = answer_at_once(&environment, &manifest, table.get_ref());
        assert_eq!(answer.is_some(), at_once, "{files:?} {variables:?}");
        if let Some(answer) = answer {
            assert_eq!(answer, ask_cargo(&environment, &manifest).unwrap());
        }
    }

    #[test]
    fn what_is_answered_at_once_is_cargos_answer() {
        let plain = ("Cargo.toml", KERNEL);
        check(&[plain], ".", &[], true);
        check(&[plain], "a/b", &[], true);
        check(&[("Cargo.toml", "[workspace]\n")], ".", &[], true);
        check(
            &[plain, (".cargo/config.toml", "[build]\njobs = 1\n")],
            ".",
            &[],
            true,
        );
        // A workspace inside of another one is a root of its own.
        check(
            &[
                ("Cargo.toml", "[workspace]\nmembers = []\n"),
                ("a/Cargo.toml", KERNEL),
            ],
            "a",
            &[],
            true,
        );

        for directory in ["elsewhere", "../elsewhere", "/elsewhere"] {
            check(&[plain], "a", &[("CARGO_TARGET_DIR", directory)], true);
        }
        check(
            &[plain, (".cargo/config.toml", "build.target-dir = \"x\"\n")],
            ".",
            &[("CARGO_TARGET_DIR", "elsewhere")],
            true,
        );

        check(
            &[plain],
            ".",
            &[("CARGO_BUILD_TARGET_DIR", "elsewhere")],
            false,
        );
        check(
            &[plain, (".cargo/config.toml", "build.target-dir = \"x\"\n")],
            ".",
            &[],
            false,
        );
        check(
            &[plain, ("a/.cargo/config", "[build]\ntarget-dir = \"x\"\n")],
            "a",
            &[],
            false,
        );
        check(
            &[plain, ("home/config.toml", "build.target-dir = \"x\"\n")],
            ".",
            &[("CARGO_HOME", "home")],
            false,
        );
        check(
            &[plain, (".cargo/config.toml", "include = [\"x.toml\"]\n")],
            ".",
            &[],
            false,
        );
        check(
            &[("Cargo.toml", "[workspace]\nmembers = [\"a\"]\n")],
            ".",
            &[],
            false,
        );
        check(&[("Cargo.toml", PACKAGE)], ".", &[], false);
    }

    fn names(spec: &Spec) -> Vec<&str> {
        spec.kernels
            .iter()
            .map(|kernel| kernel.name.as_str())
            .collect()
    }

    #[test]
    fn members_declare_kernels_too_and_the_target_directory_is_cargos() {
        let root = KERNEL.replace("[]", "[\"a\"]");
        let (_guard, mut environment) = workspace(
            &[
                ("Cargo.toml", &root),
                ("a/Cargo.toml", PACKAGE),
                ("a/lib.rs", ""),
                (".cargo/config.toml", "[build]\ntarget-dir = \"out\"\n"),
            ],
            "a",
        );
        let spec = load(&environment, None, &Overrides::default()).unwrap();
        let root = environment.current_dir.parent().unwrap().to_owned();
        assert_eq!(names(&spec), ["tiny", "small"]);
        assert_eq!(spec.root, root);
        assert_eq!(spec.target_dir, root.join("out"));

        environment
            .variables
            .insert("CARGO_TARGET_DIR".into(), "../over".into());
        let spec = load(&environment, None, &Overrides::default()).unwrap();
        assert_eq!(spec.target_dir, environment.current_dir.join("../over"));
    }

    #[test]
    fn without_a_manifest_the_command_line_must_describe_the_kernel() {
        let (_guard, mut environment) = workspace(&[], "a");
        // The search goes up to the root of the file system, which has no manifest.
        let error = load(&environment, None, &Overrides::default()).unwrap_err();
        assert!(matches!(error, Error::NoManifest { .. }), "{error}");
        assert!(error.hint().unwrap().contains("cargo kernel init"));

        let overrides = Overrides {
            source: Some("../linux".into()),
            preset: Some("tiny".into()),
            ..Overrides::default()
        };
        let spec = load(&environment, None, &overrides).unwrap();
        assert_eq!(names(&spec), ["tiny"]);
        assert_eq!(spec.target_dir, environment.current_dir.join("target"));
        environment
            .variables
            .insert("CARGO_TARGET_DIR".into(), "/out".into());
        assert_eq!(
            load(&environment, None, &overrides).unwrap().target_dir,
            "/out"
        );
    }

    #[test]
    fn a_workspace_in_the_source_of_its_kernel_is_built_outside_of_it() {
        let kernel = |source: &str| {
            format!(
                "[workspace]\n[workspace.metadata.kernel.kernels.a]\nsource = \"{source}\"\npreset = \"tiny\"\n"
            )
        };
        let check = |root: &str, source: &str, set: Option<&str>, within: bool| {
            let manifest = format!("{root}/Cargo.toml");
            let (_guard, mut environment) = workspace(&[(&manifest, &kernel(source))], root);
            if let Some(set) = set {
                let set = environment.current_dir.join(set);
                environment
                    .variables
                    .insert("CARGO_TARGET_DIR".into(), set.into());
            }
            let spec = load(&environment, None, &Overrides::default()).unwrap();
            let targets = environment.cache_dir.join("target");
            let case = format!("{root} {source} {set:?}: {}", spec.target_dir);
            assert_eq!(spec.target_dir.starts_with(&targets), within, "{case}");
            let again = load(&environment, None, &Overrides::default()).unwrap();
            assert_eq!(spec.target_dir, again.target_dir);
        };
        check("linux", ".", None, true);
        check("linux/my/workspace", "../..", None, true);
        check("linux", "..", None, true);
        check("linux", "kernel", None, false);
        check("project", "../linux", None, false);
        check("project", "../proj", None, false);
        check("linux", ".", Some("out"), false);
        check("linux", ".", Some("target"), false);

        // Without a manifest, and where the default is a link that leads elsewhere.
        let (_guard, environment) = workspace(&[("big/file", "")], "linux");
        let overrides = Overrides {
            source: Some(".".into()),
            preset: Some("tiny".into()),
            ..Overrides::default()
        };
        let targets = environment.cache_dir.join("target");
        let spec = load(&environment, None, &overrides).unwrap();
        assert!(spec.target_dir.starts_with(&targets), "{}", spec.target_dir);
        std::os::unix::fs::symlink("../big", environment.current_dir.join("target")).unwrap();
        let spec = load(&environment, None, &overrides).unwrap();
        assert_eq!(spec.target_dir, environment.current_dir.join("target"));
    }

    #[test]
    fn a_manifest_that_is_not_toml_is_pointed_at() {
        let (_guard, environment) = workspace(&[("Cargo.toml", "[workspace]\nmembers = [\n")], "a");
        let error = load(&environment, None, &Overrides::default()).unwrap_err();
        assert!(matches!(error, Error::Spec(_)), "{error}");
        assert!(error.to_string().contains("Cargo.toml:2:12: "), "{error}");
    }

    #[test]
    fn cargos_refusal_is_shown() {
        let (_guard, environment) = workspace(
            &[("Cargo.toml", "[workspace]\nmembers = [\"gone\"]\n")],
            ".",
        );
        let error = load(&environment, None, &Overrides::default()).unwrap_err();
        let Error::Cargo {
            source: exec::Error::Failed { tail, .. },
            ..
        } = &error
        else {
            panic!("{error:?}")
        };
        assert!(tail.iter().any(|line| line.contains("gone")), "{tail:?}");
    }
}
