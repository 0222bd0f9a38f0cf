//! Compares what a build needs with what the machine has.

use std::collections::BTreeMap;

use camino::{Utf8Path, Utf8PathBuf};

use super::environment::Environment;
use super::toolchain::{in_parallel, is_rustup};
use super::{exec, fs};
use crate::doctor::{
    Finding, Need, PackageManager, Packages, Privilege, Probe, State, System, Version,
};
use crate::process::Call;

/// Variables that lead a package manager to its mirrors.
const PROXIES: [&str; 8] = [
    "http_proxy",
    "https_proxy",
    "ftp_proxy",
    "no_proxy",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "FTP_PROXY",
    "NO_PROXY",
];

/// Why the machine could not be looked at.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file could not be read.
    #[error(transparent)]
    File(#[from] fs::Error),
    /// A program could not be asked.
    #[error(transparent)]
    Exec(#[from] exec::Error),
}

impl Error {
    /// What to do next.
    pub fn hint(&self) -> Option<String> {
        match self {
            Error::File(error) => error.hint(),
            Error::Exec(error) => error.hint(),
        }
    }
}

/// What installing takes here.
pub fn system(environment: &Environment) -> System {
    let os_release = ["/etc/os-release", "/usr/lib/os-release"]
        .into_iter()
        .find_map(|path| fs::read_to_string(path).ok())
        .unwrap_or_default();
    let mut variables = environment.tool_variables();
    // Package scripts look for programs there, and Debian keeps it off users' PATH.
    variables.insert(
        "PATH".to_owned(),
        format!("{}:/usr/sbin:/sbin", environment.path),
    );
    for name in PROXIES {
        if let Some(value) = environment.variables.get(name) {
            variables.insert(name.to_owned(), value.clone());
        }
    }
    let lists_missing = !Utf8Path::new("/var/lib/apt/lists")
        .read_dir_utf8()
        .is_ok_and(|mut lists| {
            lists.any(|list| list.is_ok_and(|list| list.file_name().contains("_Packages")))
        });
    System {
        manager: PackageManager::of_system(&os_release),
        privilege: if rustix::process::geteuid().is_root() {
            Privilege::Root
        } else if exec::find_on_path("sudo", &environment.path).is_some() {
            Privilege::Sudo
        } else {
            Privilege::None
        },
        lists_missing,
        variables,
    }
}

/// The state of every need, in their order.
pub fn inspect(
    needs: &[Need],
    system: &System,
    environment: &Environment,
) -> Result<Vec<Finding>, Error> {
    in_parallel(needs, |need| {
        let package = match system.manager {
            // Packages do not add to what rustup has installed.
            _ if need.probe == Probe::RustSource && rustc_is_rustups(environment) => None,
            Some(manager) => choose(&need.packages, manager, system)?,
            None => None,
        };
        Ok(Finding {
            need: need.clone(),
            state: state(need, environment)?,
            package,
        })
    })
}

fn rustc_is_rustups(environment: &Environment) -> bool {
    exec::find_on_path("rustc", &environment.path).is_some_and(|place| is_rustup(&place))
}

fn state(need: &Need, environment: &Environment) -> Result<State, Error> {
    let found = match &need.probe {
        Probe::Program { program } => find_program(program, environment),
        Probe::Header { header, compiler } => find_header(header, compiler, environment)?,
        Probe::RustSource => find_rust_source(environment)?,
    };
    let Some(path) = found else {
        return Ok(State::Missing);
    };
    let version = match &need.probe {
        Probe::Program { program } => ask_version(program, &path, environment)?,
        Probe::Header { .. } | Probe::RustSource => None,
    };
    Ok(match (version, &need.minimum) {
        (Some(version), Some(minimum)) if !version.satisfies(minimum) => {
            State::TooOld { path, version }
        }
        (version, _) => State::Found { path, version },
    })
}

fn find_program(program: &str, environment: &Environment) -> Option<Utf8PathBuf> {
    let path = &environment.path;
    // The kernel's makefiles look there for depmod too (`scripts/depmod.sh`).
    exec::find_on_path(program, &format!("{path}:/usr/sbin:/sbin"))
}

fn ask_version(
    program: &str,
    path: &Utf8Path,
    environment: &Environment,
) -> Result<Option<Version>, Error> {
    let arg = match program {
        "openssl" => "version",
        // bzip2 prints its version and goes on to compress.
        "bzip2" => "--help",
        _ => "--version",
    };
    let call = tool(path.as_str(), environment).arg(arg);
    let (output, _) = exec::capture_unchecked(&call)?;
    let text = output.text() + &String::from_utf8_lossy(&output.stderr);
    Ok(text
        .lines()
        .find(|line| line.bytes().any(|byte| byte.is_ascii_digit()))
        .and_then(Version::find))
}

/// Asks the preprocessor, which alone knows where it looks.
fn find_header(
    header: &str,
    compiler: &str,
    environment: &Environment,
) -> Result<Option<Utf8PathBuf>, Error> {
    if exec::find_on_path(compiler, &environment.path).is_none() {
        return Ok(None);
    }
    // -M lists the files that are included, as a rule for make.
    let call = tool(compiler, environment).args(["-M", "-x", "c", "-include", header, "/dev/null"]);
    let (output, status) = exec::capture_unchecked(&call)?;
    let listed = output.text();
    let place = listed
        .split_ascii_whitespace()
        .find(|path| Utf8Path::new(path).ends_with(header));
    Ok(status.success().then(|| place.unwrap_or(header).into()))
}

fn find_rust_source(environment: &Environment) -> Result<Option<Utf8PathBuf>, Error> {
    if exec::find_on_path("rustc", &environment.path).is_none() {
        return Ok(None);
    }
    let (output, _) = exec::capture_unchecked(&tool("rustc", environment).arg("--print=sysroot"))?;
    let source = Utf8PathBuf::from(output.text().trim()).join("lib/rustlib/src/rust/library");
    Ok(source.join("core/src/lib.rs").is_file().then_some(source))
}

fn tool(program: &str, environment: &Environment) -> Call {
    let rustup: BTreeMap<String, String> = ["RUSTUP_HOME", "RUSTUP_TOOLCHAIN"]
        .into_iter()
        .filter_map(|name| Some((name.to_owned(), environment.variables.get(name)?.clone())))
        .collect();
    Call::new(program, "/")
        .envs(&environment.tool_variables())
        .envs(&rustup)
}

/// The first alternative that the system knows. Without lists nothing is known: then the last
/// one, which has been there for longest.
fn choose(
    packages: &Packages,
    manager: PackageManager,
    system: &System,
) -> Result<Option<String>, Error> {
    let names = packages.with(manager);
    if names.len() > 1 && manager == PackageManager::Apt && !system.lists_missing {
        for name in names {
            let call = Call::new("apt-cache", "/")
                .args(["show", "--no-all-versions", name])
                .envs(&system.variables);
            if exec::capture_unchecked(&call)?.1.success() {
                return Ok(Some(name.clone()));
            }
        }
    }
    Ok(names.last().cloned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::DotConfig;
    use crate::doctor::{Feature, Minimums, Query, needs};
    use crate::effect::minimum;
    use crate::spec::Compiler;
    use crate::toolchain::Affixes;

    /// A directory of shell scripts that is the whole of `PATH`, and a tree that has an opinion.
    struct Machine {
        _guard: tempfile::TempDir,
        root: Utf8PathBuf,
    }

    impl Machine {
        fn new(programs: &[(&str, &str)]) -> Self {
            let guard = tempfile::tempdir().unwrap();
            let root = Utf8PathBuf::from_path_buf(guard.path().to_owned()).unwrap();
            fs::create_dir_all(root.join("bin")).unwrap();
            for (name, body) in programs {
                // By a child, so that no other test's child inherits the file open for writing.
                let write = Call::new("/bin/sh", "/")
                    .arg("-c")
                    .arg(r#"printf '#!/bin/sh\n%s\n' "$1" > "$0"; /bin/chmod 755 "$0""#)
                    .arg(root.join("bin").join(name).as_str())
                    .arg(*body);
                exec::capture(&write).unwrap();
            }
            Machine {
                _guard: guard,
                root,
            }
        }

        fn environment(&self) -> Environment {
            let path = self.root.join("bin").into_string();
            Environment::from_variables(self.root.clone(), [("PATH".to_owned(), path)].into())
        }

        fn inspect(&self, config: &str, minimums: &Minimums) -> Vec<Finding> {
            let config = DotConfig::parse(config).unwrap();
            let environment = self.environment();
            let system = System {
                manager: Some(PackageManager::Apt),
                privilege: Privilege::Root,
                lists_missing: true,
                variables: BTreeMap::new(),
            };
            let needs = needs(&Query {
                arch: "x86_64".parse().unwrap(),
                host: "x86_64".parse().unwrap(),
                compiler: Compiler::Gcc,
                affixes: &Affixes::default(),
                config: Some(&config),
                minimums: Some(minimums),
                features: &[Feature::Boot],
            });
            inspect(&needs, &system, &environment).unwrap()
        }
    }

    fn said(findings: &[Finding], name: &str) -> String {
        let finding = findings.iter().find(|finding| finding.need.name == name);
        finding.unwrap().to_string()
    }

    #[test]
    fn what_is_there_too_old_or_missing_is_told_apart() {
        let machine = Machine::new(&[
            // A compiler whose only header is gelf.h.
            (
                "gcc",
                "case \"$*\" in\n--version) echo 'gcc (Debian 12.2.0-14) 12.2.0';;\n\
                 *gelf.h*) echo 'null.o: /dev/null /usr/include/gelf.h';;\n*) exit 1;;\nesac",
            ),
            ("pahole", "echo v1.16"),
            ("flex", "echo flex 2.6.4"),
            ("bison", "exit 1"),
        ]);
        let mut minimums = Minimums::default();
        minimums.set("pahole", "1.22".parse().unwrap());
        minimums.set("flex", "2.5.35".parse().unwrap());
        minimums.set("bison", "2.0".parse().unwrap());
        let findings = machine.inspect(
            "CONFIG_DEBUG_INFO_BTF=y\nCONFIG_MODULE_SIG_FORMAT=y\n",
            &minimums,
        );
        let bin = machine.root.join("bin");
        let rows = [
            ("gcc", format!("gcc 12.2.0 at {bin}/gcc (compiles every object)")),
            ("pahole", "pahole 1.16 is too old, 1.22 is needed (CONFIG_DEBUG_INFO_BTF: writes the BTF section)".to_owned()),
            ("flex", format!("flex 2.6.4 at {bin}/flex (generates the lexers of Kconfig and dtc)")),
            // It does not say how old it is: the build will tell.
            ("bison", format!("bison at {bin}/bison (generates the parsers of Kconfig and dtc)")),
            ("make", "make is missing, package make (runs the other programs)".to_owned()),
            ("libelf", "libelf at /usr/include/gelf.h (CONFIG_DEBUG_INFO_BTF: objtool and resolve_btfids read objects with it)".to_owned()),
            ("libcrypto", "libcrypto is missing, package libssl-dev (CONFIG_MODULE_SIG_FORMAT: extract-cert and sign-file are linked with it)".to_owned()),
            ("qemu-system-x86_64", "qemu-system-x86_64 is missing, package qemu-system-x86 (runs the kernel)".to_owned()),
        ];
        for (name, expected) in rows {
            assert_eq!(said(&findings, name), expected);
        }
        let blocking: Vec<_> = findings
            .iter()
            .filter(|finding| finding.blocks())
            .map(|finding| finding.need.name.as_str())
            .collect();
        assert!(blocking.contains(&"pahole") && blocking.contains(&"make"));
        assert!(!blocking.contains(&"flex") && !blocking.contains(&"libelf"));
    }

    #[test]
    fn without_a_compiler_its_headers_are_missing_too() {
        let findings = Machine::new(&[]).inspect("", &Minimums::default());
        assert_eq!(
            said(&findings, "libc"),
            "libc is missing, package libc6-dev (programs of the build are compiled against it)"
        );
    }

    #[test]
    fn the_trees_script_wins_over_its_table() {
        let machine = Machine::new(&[]);
        let tree = machine.root.join("tree");
        let rule = "=====  =====  =====\n";
        let table = format!(
            "{rule}Program  Version  Command\n{rule}GNU C  5.1  gcc\nbc  1.06.95  bc\n{rule}"
        );
        fs::write_atomic(
            tree.join("Documentation/process/changes.rst"),
            table.as_bytes(),
        )
        .unwrap();
        let read = || {
            // The script is started by name: what runs it must be there.
            let mut environment = machine.environment();
            environment.path = "/usr/bin:/bin".to_owned();
            minimum::read(&tree, "loongarch64".parse().unwrap(), &environment).unwrap()
        };
        assert_eq!(read().get("gcc"), Some(&"5.1".parse().unwrap()));
        let script = "[ $1 = gcc ] && echo 8.1.0 && exit\n[ $1 = llvm ] && [ $SRCARCH = loongarch ] && echo 18.0.0 && exit\nexit 1\n";
        fs::write_atomic(tree.join("scripts/min-tool-version.sh"), script.as_bytes()).unwrap();
        let minimums = read();
        let rows = [
            ("gcc", Some("8.1.0")),
            ("llvm", Some("18.0.0")),
            ("bc", Some("1.06.95")),
            ("rustc", None),
        ];
        for (name, expected) in rows {
            assert_eq!(
                minimums.get(name),
                expected.map(|text| text.parse().unwrap()).as_ref(),
                "{name}"
            );
        }
        assert_eq!(
            minimum::read(
                "/nowhere".into(),
                "arm64".parse().unwrap(),
                &machine.environment()
            )
            .unwrap(),
            Minimums::default()
        );
    }
}
