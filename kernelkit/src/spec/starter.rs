//! What `cargo kernel init` writes.

use super::KernelName;
use super::input::{toml_key, toml_string};
use super::settings::{SETTINGS, Table};
use super::source::release;

/// What the starter is added to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StarterPlace {
    /// Nothing: the starter is a whole `Cargo.toml`, of a workspace that holds kernels only.
    NewWorkspace,
    /// A `Cargo.toml` with a `[workspace]` table.
    Workspace,
    /// A `Cargo.toml` with a `[package]` table.
    Package,
}

/// A commented declaration of one kernel, to be appended to what `place` says. Every
/// setting is in it; those that are not needed are comments.
///
/// `source` is anything that the setting `source` takes as a string (see
/// [`parse_source`](super::parse_source)).
pub fn starter(place: StarterPlace, name: &KernelName, source: &str, preset: &str) -> String {
    let mut text = String::new();
    let table = match place {
        StarterPlace::NewWorkspace => {
            text.push_str("# A workspace without Rust packages: cargo is content with that.\n[workspace]\nmembers = []\nresolver = \"3\"\n\n");
            "workspace.metadata.kernel"
        }
        StarterPlace::Workspace => "workspace.metadata.kernel",
        StarterPlace::Package => "package.metadata.kernel",
    };
    let name = name.as_str();
    let key = if release(source).is_ok() {
        "version"
    } else {
        "source"
    };
    text.push_str(&format!(
        "# Kernels that `cargo kernel` builds. Lines that begin with `#` show further settings;\n\
         # the value is an example, the comment above says what holds without it.\n\
         [{table}]\n\n"
    ));
    section(
        &mut text,
        Table::Workspace,
        &[("default", format!("[{}]", toml_string(name)))],
    );
    text.push_str(&format!("\n[{table}.kernels.{}]\n\n", toml_key(name)));
    section(
        &mut text,
        Table::Kernel,
        &[(key, toml_string(source)), ("preset", toml_string(preset))],
    );
    text
}

/// The settings of `table`: those that are `set` as they are, the others as comments.
fn section(text: &mut String, table: Table, set: &[(&str, String)]) {
    // The other tables are written as such, not as keys.
    let keys = SETTINGS
        .iter()
        .filter(|setting| setting.table() == table && setting.kind != "table");
    for (index, setting) in keys.enumerate() {
        if index > 0 {
            text.push('\n');
        }
        let default = match setting.default {
            "" => String::new(),
            default => format!(" Default: {default}."),
        };
        for line in wrap(&format!("{}{default}", setting.doc), 96) {
            text.push_str(&format!("# {line}\n"));
        }
        match set.iter().find(|(key, _)| *key == setting.key) {
            Some((key, value)) => text.push_str(&format!("{key} = {value}\n")),
            None => text.push_str(&format!("#{} = {}\n", setting.key, setting.example)),
        }
    }
}

/// Breaks `text` at spaces into lines of at most `width` characters, where words allow it.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let line = lines.last_mut().expect("there is always a line");
        if line.is_empty() {
            line.push_str(word);
        } else if line.chars().count() + 1 + word.chars().count() <= width {
            line.push(' ');
            line.push_str(word);
        } else {
            lines.push(word.to_owned());
        }
    }
    lines
}
