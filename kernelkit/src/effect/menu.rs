//! The kernel's own configuration interfaces, on a copy of the predicted `.config`.

use camino::Utf8PathBuf;

use super::build::Session;
use super::environment::Environment;
use super::{doctor, exec, fs, lock, source, toolchain};
use crate::doctor::{Feature, Finding, Query, State, install_calls, needs};
use crate::make::Kbuild;
use crate::plan::{Facts, toolchain_variables};
use crate::process::{Call, quote};
use crate::spec::KernelSpec;

/// One of the kernel's configuration programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interface {
    /// The make goal.
    pub goal: &'static str,
    /// What it is.
    pub about: &'static str,
    /// What has to be installed for it, where `cargo kernel doctor` does not know.
    libraries: Option<&'static str>,
}

/// Every interface.
pub static INTERFACES: [Interface; 5] = [
    Interface {
        goal: "menuconfig",
        about: "menus in the terminal",
        libraries: None,
    },
    Interface {
        goal: "nconfig",
        about: "menus in the terminal, with function keys",
        libraries: None,
    },
    Interface {
        goal: "xconfig",
        about: "windows, with Qt",
        libraries: Some(
            "Qt with its C++ headers: qt6-base-dev on Debian, for trees before 6.6 qtbase5-dev",
        ),
    },
    Interface {
        goal: "gconfig",
        about: "windows, with GTK",
        libraries: Some(
            "GTK with its headers: libgtk-3-dev on Debian, for trees before 6.17 libgtk2.0-dev and libglade2-dev",
        ),
    },
    Interface {
        goal: "config",
        about: "one question after the other",
        libraries: None,
    },
];

/// Variables that lead a program to its terminal or display, and those that the kernel's
/// interfaces read themselves (Documentation/kbuild/kconfig.rst).
const PASSED: [&str; 14] = [
    "COLORTERM",
    "COLUMNS",
    "DBUS_SESSION_BUS_ADDRESS",
    "DISPLAY",
    "LINES",
    "MENUCONFIG_COLOR",
    "MENUCONFIG_MODE",
    "NCONFIG_MODE",
    "TERM",
    "TERMINFO",
    "TERMINFO_DIRS",
    "WAYLAND_DISPLAY",
    "XAUTHORITY",
    "XDG_RUNTIME_DIR",
];

/// Why there is no edited configuration.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file.
    #[error(transparent)]
    Fs(#[from] fs::Error),
    /// Make could not be run, or the user stopped it.
    #[error(transparent)]
    Exec(#[from] exec::Error),
    /// It failed.
    #[error("`make {}` failed with {status}{}", interface.goal, if missing.is_empty() { String::new() } else { format!("; it needs what is missing here: {}", missing.join(", ")) })]
    Failed {
        /// The interface.
        interface: &'static Interface,
        /// `exit status 2` or the like.
        status: String,
        /// What it is drawn with and is not installed.
        missing: Vec<String>,
        /// The commands that install it; empty where nothing is missing.
        install: Vec<String>,
        /// The call.
        call: Box<Call>,
    },
}

impl Error {
    /// What to do next.
    pub fn hint(&self) -> Option<String> {
        match self {
            Error::Fs(error) => error.hint(),
            Error::Exec(exec::Error::Interrupted) => Some("nothing was written".to_owned()),
            Error::Exec(error) => error.hint(),
            Error::Failed {
                install,
                interface,
                call,
                ..
            } => Some(match (install.as_slice(), interface.libraries) {
                ([], Some(libraries)) => format!("{} needs {libraries}", interface.goal),
                ([], None) => format!("to run it by hand: {call}"),
                (calls, _) => format!("install it: {}", calls.join(" && ")),
            }),
        }
    }
}

fn words(call: &Call) -> String {
    let words = std::iter::once(&call.program).chain(&call.args);
    words.map(|word| quote(word)).collect::<Vec<_>>().join(" ")
}

/// Lets the user edit the configuration of `spec` and returns the whole `.config` that was
/// saved, or the one there was. It lies in a directory beside the build; the build directory
/// and the tree are left alone.
pub fn edit(
    session: &Session<'_>,
    spec: &KernelSpec,
    facts: &Facts,
    interface: &'static Interface,
    waiting: &mut dyn FnMut(&str),
) -> Result<Vec<u8>, Error> {
    // A tree that is gone is missed by make.
    let _reading = source::share(&facts.tree, &session.source_context());
    let build = session.state(spec).join("menu");
    let purpose = format!("cargo kernel config menu {}", spec.name);
    let _lock = lock::acquire(&session.state(spec).join("menu.lock"), &purpose, waiting)?;
    fs::create_dir_all(&build)?;
    let dot_config: Utf8PathBuf = build.join(".config");
    fs::write_atomic(&dot_config, facts.config.text().as_bytes())?;
    let mut environment = facts.environment.clone();
    for name in PASSED {
        if let Some(value) = session.environment.variables.get(name) {
            environment.insert(name.to_owned(), value.clone());
        }
    }
    // In the C locale a terminal gets no lines to draw with.
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"].iter();
    let locale = locale.filter_map(|name| session.environment.variables.get(*name));
    if let Some(locale) = locale.into_iter().find(|locale| !locale.is_empty()) {
        environment.remove("LC_ALL");
        environment.insert("LC_CTYPE".to_owned(), locale.clone());
    }
    let kbuild = Kbuild {
        source: facts.tree.dir.clone(),
        build,
        variables: toolchain_variables(&facts.toolchain, false),
        environment,
        jobs: facts.cores,
    };
    let call = kbuild.call(&["-s", interface.goal]);
    let status = exec::interactive(&call)?;
    if !status.success() {
        let missing = missing(spec, facts, interface, session.environment);
        let system = doctor::system(session.environment);
        return Err(Error::Failed {
            interface,
            status: exec::describe(status),
            install: install_calls(&missing, &system).iter().map(words).collect(),
            missing: missing
                .into_iter()
                .map(|finding| finding.need.name)
                .collect(),
            call: Box::new(call),
        });
    }
    Ok(fs::read(&dot_config)?)
}

/// What an interface in the terminal needs and the machine does not have.
fn missing(
    spec: &KernelSpec,
    facts: &Facts,
    interface: &Interface,
    environment: &Environment,
) -> Vec<Finding> {
    if !matches!(interface.goal, "menuconfig" | "nconfig") {
        return Vec::new();
    }
    let find = || {
        let arch = spec.arch.value;
        let affixes = toolchain::affixes(arch, &facts.compiler, environment).ok()?;
        let query = |features| Query {
            arch,
            host: toolchain::host_arch().unwrap_or(arch),
            compiler: facts.compiler.family,
            affixes: &affixes,
            config: None,
            minimums: None,
            features,
        };
        let always = needs(&query(&[]));
        let mut needs = needs(&query(&[Feature::Menuconfig]));
        needs.retain(|need| !always.contains(need));
        doctor::inspect(&needs, &doctor::system(environment), environment).ok()
    };
    let mut findings = find().unwrap_or_default();
    findings.retain(|finding| finding.state == State::Missing);
    // Without pkg-config the library is looked for where it usually is.
    if findings
        .iter()
        .all(|finding| finding.need.name != "ncurses")
    {
        findings.clear();
    }
    findings
}
