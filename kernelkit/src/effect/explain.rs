//! What the explainer needs besides a tree's Kconfig: the fragments that ask, and the
//! files of other architectures.

use std::collections::BTreeSet;

use camino::Utf8Path;
use serde::Serialize;

use super::configure::Native;
use super::fs;
use crate::config;
use crate::fragment::{self, Library};
use crate::kconfig::{Fix, Place, Reason, Refusal, Rename, Resolution, Setting, renamed};
use crate::merge::{self, Merged};
use crate::request::{ConfigRequest, Method};

/// A request that does not hold: its line, why, and what would help.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Refused {
    /// The request, and what came out.
    #[serde(flatten)]
    pub request: merge::Unmet,
    /// The fragment's line, as it is written.
    pub line: String,
    /// Why, and the smallest fix; nothing where the native engine does not serve.
    pub refusal: Option<Refusal>,
    /// The fix as changes to the fragments.
    pub repair: Option<Repair>,
    /// What is known of a symbol that this kernel does not define.
    pub absent: Option<Absent>,
    /// What the tree's own script has to say about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// A fix as changes to the fragments at hand: a fragment takes a symbol once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Repair {
    /// Lines that no fragment has yet.
    pub add: Vec<Setting>,
    /// Lines that are to become others.
    pub change: Vec<Change>,
    /// Lines that cannot hold at the same time, and have to go.
    pub drop: Vec<Change>,
    /// The request cannot hold as it is: this is the nearest to it that can.
    pub nearest: bool,
}

/// A line of a fragment that is to be another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Change {
    /// The line; nothing where it stands in no fragment.
    pub place: Option<fragment::Place>,
    /// What it is to say, or says.
    pub setting: Setting,
}

/// Turns a fix into changes to what `merged` asks for.
pub fn repair(fix: &Fix, merged: &Merged) -> Repair {
    let asked = |symbol: &str| merged.get(&symbol.parse().ok()?);
    let mut repair = Repair {
        add: Vec::new(),
        change: Vec::new(),
        drop: Vec::new(),
        nearest: fix.nearest,
    };
    for setting in &fix.settings {
        match asked(&setting.symbol) {
            None => repair.add.push(setting.clone()),
            Some(request)
                if config::Value::parse(&setting.value).as_ref() == Some(&request.asked.value) => {}
            Some(request) => repair.change.push(Change {
                place: Some(request.asked.place.clone()),
                setting: setting.clone(),
            }),
        }
    }
    for lost in &fix.loses {
        let symbol = format!("CONFIG_{}", lost.symbol);
        let request = asked(&symbol);
        let changed = |change: &Change| change.setting.symbol == symbol;
        if !repair.change.iter().any(changed) {
            let value = request.map_or_else(
                || lost.wanted.to_string(),
                |request| request.asked.value.to_string(),
            );
            repair.drop.push(Change {
                place: request.map(|request| request.asked.place.clone()),
                setting: Setting { symbol, value },
            });
        }
    }
    repair
}

/// What is known of a symbol that no file read for a kernel defines.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Absent {
    /// Names that may have been meant, the likeliest first.
    pub similar: Vec<String>,
    /// What took its place.
    pub renamed: Option<&'static Rename>,
    /// Other architectures that define it.
    pub elsewhere: Vec<Elsewhere>,
}

/// A symbol in the files of another architecture.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Elsewhere {
    /// The architecture's directory below `arch/`.
    pub arch: String,
    /// The entry.
    pub place: Place,
}

impl Refused {
    /// Why, in one sentence without its full stop.
    pub fn sentence(&self) -> String {
        if let Some(sentence) = self
            .absent
            .as_ref()
            .and_then(|absent| absent.sentence(self.request.symbol.as_str()))
        {
            return sentence;
        }
        match &self.refusal {
            Some(refusal) => refusal.sentence.clone(),
            None => match &self.request.got {
                Some(value) => format!("it is {value}"),
                None => "it is not in the configuration".to_owned(),
            },
        }
    }
}

impl Absent {
    /// What is known, in one sentence without its full stop; nothing where that is
    /// no more than what a [`Refusal`] says.
    pub fn sentence(&self, symbol: &str) -> Option<String> {
        let (first, more) = self.elsewhere.split_first()?;
        let mut text = format!("{symbol} exists only for {}", first.arch);
        for (index, other) in more.iter().enumerate() {
            let word = if index + 1 == more.len() { " and" } else { "," };
            text.push_str(&format!("{word} {}", other.arch));
        }
        Some(format!("{text} ({})", first.place))
    }
}

/// Every symbol's value, with inputs called by the lines of the fragments and of the
/// user's file that they come from.
pub fn resolve<'n>(
    native: &'n Native,
    request: &ConfigRequest,
) -> Result<Resolution<'n>, fs::Error> {
    // The user's file stands in the text without the lines that fragments override.
    let kept: Vec<usize> = match &request.method {
        Method::File { path } => {
            let base = fs::read_to_string(path)?;
            let overridden = |line: &str| matches!(config::parse_line(line), Some(Ok((symbol, _))) if request.merged.get(&symbol).is_some());
            (1..)
                .zip(base.lines())
                .filter(|(_, line)| !overridden(line))
                .map(|(number, _)| number)
                .collect()
        }
        _ => Vec::new(),
    };
    let place = |(index, line): (usize, &str)| {
        let asked = match config::parse_line(line) {
            Some(Ok((symbol, _))) => request.merged.get(&symbol),
            _ => None,
        };
        match asked {
            Some(request) => fragment_place(&request.asked.place),
            None => Place {
                file: native.name.clone(),
                line: *kept.get(index).unwrap_or(&(index + 1)) as u32,
            },
        }
    };
    let lines = native.text.lines().enumerate().map(place).collect();
    let mut resolution = native.resolve();
    resolution.attribute(0, lines);
    Ok(resolution)
}

/// A fragment's line as a file and a number.
fn fragment_place(place: &fragment::Place) -> Place {
    let file = match &place.path {
        Some(path) => path.to_string(),
        None => format!("{}.config", place.fragment),
    };
    Place {
        file,
        line: place.line as u32,
    }
}

/// The requests as names and values.
pub fn requests(request: &ConfigRequest) -> Vec<(String, String)> {
    let requests = request.merged.requests().iter();
    requests
        .map(|request| {
            let name = request.symbol.as_str().to_owned();
            (name, request.asked.value.to_string())
        })
        .collect()
}

/// Why each of `unmet` does not hold.
pub fn refused(
    unmet: Vec<merge::Unmet>,
    native: Option<&Native>,
    request: &ConfigRequest,
    library: &Library,
    tree: &Utf8Path,
) -> Result<Vec<Refused>, fs::Error> {
    let resolution = native.map(|native| resolve(native, request)).transpose()?;
    let requests = requests(request);
    let requests: Vec<(&str, &str)> = requests
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    let refused = unmet.into_iter().map(|unmet| {
        let place = &unmet.wanted.place;
        let file = library.get(&place.fragment);
        let line = file.and_then(|file| file.text().lines().nth(place.line - 1));
        let wanted = unmet.wanted.value.to_string();
        let refusal = resolution.as_ref().and_then(|resolution| {
            resolution.check_with(unmet.symbol.as_str(), &wanted, &requests)
        });
        let absent = match (&refusal, &resolution, native) {
            (Some(refusal), Some(resolution), Some(native)) if is_absent(&refusal.reason) => {
                Some(absent(resolution, native, tree, unmet.symbol.as_str())?)
            }
            _ => None,
        };
        let fix = refusal.as_ref().and_then(|refusal| refusal.fix.as_ref());
        Ok(Refused {
            repair: fix.map(|fix| repair(fix, &request.merged)),
            line: line.map_or_else(
                || config::line(&unmet.symbol, &unmet.wanted.value),
                str::to_owned,
            ),
            request: unmet,
            refusal,
            absent,
            note: None,
        })
    });
    refused.collect()
}

/// Whether a kernel does not define the symbol.
pub fn is_absent(reason: &Reason) -> bool {
    matches!(reason, Reason::Unknown(_) | Reason::NotDefined)
}

/// What is known of `symbol`, which this kernel does not define.
pub fn absent(
    resolution: &Resolution<'_>,
    native: &Native,
    tree: &Utf8Path,
    symbol: &str,
) -> Result<Absent, fs::Error> {
    let variables = &native.loaded.variables;
    let own = variables.get("SRCARCH").map_or("", String::as_str);
    let read: BTreeSet<&str> = native
        .loaded
        .kconfig
        .files()
        .iter()
        .map(String::as_str)
        .collect();
    Ok(Absent {
        similar: resolution.similar(symbol),
        renamed: renamed(symbol),
        elsewhere: elsewhere(tree, own, &read, symbol)?,
    })
}

/// The architectures other than `own` whose Kconfig files define `symbol`. The files are
/// scanned for their `config` and `source` lines alone; nothing in them is run.
fn elsewhere(
    tree: &Utf8Path,
    own: &str,
    read: &BTreeSet<&str>,
    symbol: &str,
) -> Result<Vec<Elsewhere>, fs::Error> {
    let mut found = Vec::new();
    let Ok(directories) = tree.join("arch").read_dir_utf8() else {
        return Ok(found);
    };
    let mut arches: Vec<String> = directories
        .filter_map(|entry| Some(entry.ok()?.file_name().to_owned()))
        .filter(|arch| arch != own)
        .collect();
    arches.sort();
    for arch in arches {
        let mut pending = vec![format!("arch/{arch}/Kconfig")];
        let mut seen = BTreeSet::new();
        'files: while let Some(file) = pending.pop() {
            if read.contains(file.as_str()) || !seen.insert(file.clone()) {
                continue;
            }
            let Some(bytes) = fs::read_optional(tree.join(&file))? else {
                continue;
            };
            let text = String::from_utf8_lossy(&bytes);
            for (number, line) in (1..).zip(text.lines()) {
                let mut words = line.split_whitespace();
                match (words.next(), words.next()) {
                    (Some("config" | "menuconfig"), Some(name)) if name == symbol => {
                        let place = Place { file, line: number };
                        found.push(Elsewhere { arch, place });
                        break 'files;
                    }
                    (Some("source"), Some(name)) => {
                        let name = name.trim_matches('"').replace("$(SRCARCH)", &arch);
                        if !name.contains('$') {
                            pending.push(name);
                        }
                    }
                    _ => {}
                }
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_architectures_are_found_by_their_own_files_alone() {
        let guard = tempfile::tempdir().unwrap();
        let tree = Utf8Path::from_path(guard.path()).unwrap();
        let files = [
            ("arch/x86/Kconfig", "config ONLY_X86\n"),
            (
                "arch/arm64/Kconfig",
                "source \"arch/$(SRCARCH)/Kconfig.more\"\nsource \"shared/Kconfig\"\n",
            ),
            ("arch/arm64/Kconfig.more", "\nmenuconfig ARM_THING\n"),
            (
                "arch/riscv/Kconfig",
                "config ARM_THING\nsource \"arch/riscv/Kconfig\"\nsource \"gone/Kconfig\"\n",
            ),
            ("shared/Kconfig", "config SHARED\n"),
        ];
        for (file, text) in files {
            let path = tree.join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let read = BTreeSet::from(["Kconfig", "shared/Kconfig", "arch/x86/Kconfig"]);
        let find = |symbol| -> String {
            let absent = Absent {
                elsewhere: elsewhere(tree, "x86", &read, symbol).unwrap(),
                ..Absent::default()
            };
            absent.sentence(symbol).unwrap_or_default()
        };
        assert_eq!(
            find("ARM_THING"),
            "ARM_THING exists only for arm64 and riscv (arch/arm64/Kconfig.more:2)"
        );
        assert_eq!(find("SHARED"), "");
        assert_eq!(find("ONLY_X86"), "");
        assert_eq!(find("ARM"), "");
    }
}
