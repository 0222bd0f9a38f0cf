//! Compilers by name, and the rules that choose one by version, architecture and
//! configuration.

use std::collections::HashMap;
use std::fmt;

use camino::Utf8PathBuf;
use serde::{Serialize, Serializer};
use toml::de::{DeTable, DeValue};

use super::error::{Problem, nearest};
use super::input::{Input, Outcome};
use super::layer::{Common, CompilerName, CompilerParts, RuleParts};
use super::settings::{Read, Table};
use super::value::InvalidValue;
use super::{Compiler, KernelSpec, read};
use crate::arch::Arch;
use crate::config::Symbol;
use crate::merge::Merged;
use crate::source::Source;
use crate::sourced::{Origin, Sourced};
use crate::version::{KernelVersion, Selector, Series, VersionRange};

/// A compiler by its name: `gcc`, `clang`, one of several that lie side by side (`gcc-11`,
/// `clang-19`), or one that `compilers` declares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedCompiler {
    /// What it is called.
    pub name: String,
    /// The family.
    pub family: Compiler,
    /// What stands before the names of GNU programs; where absent, what the architecture's
    /// cross compilers are usually called.
    pub prefix: Option<String>,
    /// What stands behind the name of `gcc`, or behind those of all LLVM programs: `-11`.
    pub suffix: String,
    /// A directory that is looked into before `PATH`.
    pub path: Option<Utf8PathBuf>,
}

impl NamedCompiler {
    /// The usual one of a family.
    pub fn usual(family: Compiler) -> Self {
        NamedCompiler {
            name: family.name().to_owned(),
            family,
            prefix: None,
            suffix: String::new(),
            path: None,
        }
    }

    /// `gcc`, `clang`, or one of them with its major version behind it, as distributions call
    /// those that lie side by side.
    fn well_known(name: &str) -> Option<Self> {
        let (family, version) = match name.split_once('-') {
            Some((family, version)) => (family, Some(version)),
            None => (name, None),
        };
        let number = |text: &str| {
            !text.is_empty()
                && text
                    .bytes()
                    .all(|byte| byte.is_ascii_digit() || byte == b'.')
        };
        if !version.is_none_or(number) {
            return None;
        }
        let family = [Compiler::Gcc, Compiler::Clang]
            .into_iter()
            .find(|known| known.name() == family)?;
        Some(NamedCompiler {
            name: name.to_owned(),
            suffix: version
                .map(|version| format!("-{version}"))
                .unwrap_or_default(),
            ..NamedCompiler::usual(family)
        })
    }
}

impl fmt::Display for NamedCompiler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

impl Serialize for NamedCompiler {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.name)
    }
}

impl Compiler {
    /// `gcc` or `clang`.
    pub fn name(self) -> &'static str {
        match self {
            Compiler::Gcc => "gcc",
            Compiler::Clang => "clang",
        }
    }
}

/// Which kernels a compiler is for: a row of `toolchains`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ToolchainRule {
    /// The versions; all where absent.
    pub when: Option<VersionRange>,
    /// The architectures; all where none is named.
    pub arches: Vec<Arch>,
    /// Symbols that the kernel's fragments ask for, all of them.
    pub config: Vec<Symbol>,
    /// The compiler.
    #[serde(rename = "use")]
    pub compiler: NamedCompiler,
}

impl ToolchainRule {
    /// For every kernel.
    pub(super) fn always(compiler: NamedCompiler) -> Self {
        ToolchainRule {
            when: None,
            arches: Vec::new(),
            config: Vec::new(),
            compiler,
        }
    }

    /// Whether it is for a kernel of this version and architecture that asks for `merged`.
    pub fn matches(&self, version: &KernelVersion, arch: Arch, merged: &Merged) -> bool {
        self.when
            .as_ref()
            .is_none_or(|range| range.contains(version))
            && self.is_for(arch)
            && self
                .config
                .iter()
                .all(|symbol| merged.asks(symbol.as_str()))
    }

    fn is_for_all(&self) -> bool {
        self.when.is_none() && self.arches.is_empty() && self.config.is_empty()
    }

    fn is_for(&self, arch: Arch) -> bool {
        self.arches.is_empty() || self.arches.contains(&arch)
    }

    /// Whether it matches `kernel`, as far as that is known before its source is looked at.
    fn matches_ahead(&self, kernel: &KernelSpec, versions: &Ahead) -> Match {
        if !self.is_for(kernel.arch.value) {
            return Match::Never;
        }
        let version = match (&self.when, versions) {
            (None, _) => Match::Surely,
            (Some(range), Ahead::One(version)) if range.contains(version) => Match::Surely,
            (Some(_), Ahead::One(_)) => Match::Never,
            (Some(range), Ahead::Series(series)) => series_in(range, *series),
            (Some(_), Ahead::Any) => Match::Perhaps,
        };
        match version {
            Match::Surely if !self.config.is_empty() => Match::Perhaps,
            version => version,
        }
    }
}

impl fmt::Display for ToolchainRule {
    /// Its conditions, then its compiler: `>=4.2, <4.19, arm64: gcc-7`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let conditions: Vec<String> = self
            .when
            .iter()
            .map(ToString::to_string)
            .chain(self.arches.iter().map(ToString::to_string))
            .chain(self.config.iter().map(ToString::to_string))
            .collect();
        match conditions.as_slice() {
            [] => write!(f, "any kernel: {}", self.compiler),
            conditions => write!(f, "{}: {}", conditions.join(", "), self.compiler),
        }
    }
}

/// The first rule that is for a kernel of this version and architecture that asks for `merged`.
pub fn choose<'r>(
    rules: &'r [Sourced<ToolchainRule>],
    version: &KernelVersion,
    arch: Arch,
    merged: &Merged,
) -> Option<&'r Sourced<ToolchainRule>> {
    rules
        .iter()
        .find(|rule| rule.matches(version, arch, merged))
}

/// Whether a rule matches a kernel that was not looked at yet.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Match {
    Never,
    Perhaps,
    Surely,
}

/// What a source says about its version before it is there.
#[derive(Clone, PartialEq, Eq, Hash)]
enum Ahead {
    One(KernelVersion),
    Series(Series),
    Any,
}

impl Ahead {
    fn of(source: &Source) -> Ahead {
        let selector = match source {
            Source::Release { selector } => selector.as_str(),
            Source::Debian { package, .. } => {
                package.strip_prefix("linux-source-").unwrap_or_default()
            }
            _ => "",
        };
        match selector.parse() {
            Ok(Selector::Exact(version)) => Ahead::One(version),
            Ok(Selector::Series(series)) => Ahead::Series(series),
            _ => Ahead::Any,
        }
    }
}

/// Whether the releases of a series are in a range. No series has had as many as are tried.
fn series_in(range: &VersionRange, series: Series) -> Match {
    let series = series.to_string();
    let series = series.trim_end_matches(".y");
    let contains = |number: u32| {
        let version = format!("{series}.{number}").parse();
        version.is_ok_and(|version| range.contains(&version))
    };
    let count = (0..1000).filter(|number| contains(*number)).count();
    match count {
        0 => Match::Never,
        1000 => Match::Surely,
        _ => Match::Perhaps,
    }
}

/// Whether one rule before the last is for all kernels already.
fn hidden_by_like(rules: &[Sourced<ToolchainRule>]) -> bool {
    let before = rules.split_last().map_or(&[][..], |(_, before)| before);
    before.iter().any(|rule| rule.is_for_all())
}

/// Rules that can be for no kernel of the workspace: each is somebody's mistake.
pub(super) fn idle(rules: &[Sourced<ToolchainRule>], kernels: &[KernelSpec]) -> Vec<Problem> {
    // Of a thousand kernels few differ in what a rule goes by.
    let by_rule = kernels.iter().filter(|kernel| !kernel.rules.is_empty());
    let by_rule: HashMap<(Arch, Ahead), &KernelSpec> = by_rule
        .map(|kernel| ((kernel.arch.value, Ahead::of(&kernel.source.value)), kernel))
        .collect();
    let mut used = vec![false; rules.len()];
    let mut hidden = vec![false; rules.len()];
    for ((_, ahead), kernel) in &by_rule {
        let mut open = true;
        for (index, rule) in rules.iter().enumerate() {
            let matches = rule.matches_ahead(kernel, ahead);
            let seen = match open {
                true => &mut used[index],
                false => &mut hidden[index],
            };
            *seen |= matches != Match::Never;
            open &= matches != Match::Surely;
        }
    }
    // A last rule for all others is somebody's care.
    let care = |index: usize, rule: &ToolchainRule| {
        index + 1 == rules.len() && rule.is_for_all() && !hidden_by_like(rules)
    };
    let idle = rules
        .iter()
        .enumerate()
        .filter(|(index, rule)| !used[*index] && !care(*index, rule));
    idle.map(|(index, rule)| {
        let hint = match hidden[index] {
            _ if by_rule.is_empty() => {
                "every kernel names its own `compiler`: remove the rule, or their compilers"
            }
            true => "the first rule that matches wins: put it before those that are for its kernels, too",
            false => "remove it, or widen `when` and `arch` to kernels that are declared",
        }
        .to_owned();
        Problem::new(
            format!("the toolchain rule `{}` matches no kernel of this workspace", rule.value),
            rule.origin.clone(),
        )
        .hint(hint)
    })
    .collect()
}

/// A compiler's name, to be found when all declarations are read.
pub(super) fn name(input: &Input<'_>) -> Outcome<CompilerName> {
    Ok(CompilerName {
        name: input.text()?.to_owned(),
        origin: input.place.at(input.value.span()),
    })
}

/// The compiler of that name.
pub(super) fn find(
    CompilerName { name, origin }: &CompilerName,
    declared: &[Sourced<NamedCompiler>],
) -> Result<NamedCompiler, Problem> {
    let own = declared.iter().find(|compiler| compiler.name == *name);
    if let Some(compiler) = own {
        return Ok(compiler.value.clone());
    }
    NamedCompiler::well_known(name).ok_or_else(|| {
        let known = declared.iter().map(|compiler| compiler.name.as_str());
        let known: Vec<&str> = ["gcc", "clang"].into_iter().chain(known).collect();
        let hint = match nearest(name, known.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!(
                "there is: {}; those with a version behind it, such as `gcc-11`; and what `compilers` declares",
                known.join(", ")
            ),
        };
        Problem::new(format!("unknown compiler `{name}`"), origin.clone()).hint(hint)
    })
}

/// Reads `compilers`: a table of tables.
pub(super) fn read_compilers(common: &mut Common, input: &Input<'_>) -> Outcome<()> {
    let DeValue::Table(table) = input.value.get_ref() else {
        return Err(input.wrong_type(input.value));
    };
    let mut problems = Vec::new();
    for (name, value) in table {
        let place = input.place.inside(name);
        let origin = place.origin();
        let name = name.get_ref().to_string();
        let DeValue::Table(table) = value.get_ref() else {
            problems.push(
                Problem::new(format!("the compiler `{name}` must be a table"), origin).hint(
                    format!("write it like `{name} = {{ family = \"gcc\", suffix = \"-7\" }}`"),
                ),
            );
            continue;
        };
        let mut parts = CompilerParts::default();
        let read = read::read_table(
            &place,
            table,
            Table::Compiler,
            (input.base, input.root),
            &mut |setting, inner| match setting.read {
                Read::Compiler(read) => read(&mut parts, inner),
                _ => unreachable!("a row of the compiler table is read as one"),
            },
        );
        if let Err(wrong) = read {
            problems.extend(wrong);
            continue;
        }
        let usual = NamedCompiler::well_known(&name);
        let Some(family) = parts.family.or(usual.as_ref().map(|usual| usual.family)) else {
            problems.push(
                Problem::new(format!("the compiler `{name}` has no `family`"), origin)
                    .hint("set `family = \"gcc\"` or `family = \"clang\"`".to_owned()),
            );
            continue;
        };
        if family == Compiler::Clang && parts.prefix.is_some() {
            problems.push(
                Problem::new(format!("the compiler `{name}` has a `prefix`"), origin)
                    .hint("LLVM's programs have none: use `suffix` and `path`".to_owned()),
            );
            continue;
        }
        common.compilers.push(Sourced {
            value: NamedCompiler {
                suffix: parts
                    .suffix
                    .or(usual
                        .map(|usual| usual.suffix)
                        .filter(|_| parts.path.is_none()))
                    .unwrap_or_default(),
                name,
                family,
                prefix: parts.prefix,
                path: parts.path,
            },
            origin,
        });
    }
    done(problems)
}

/// Reads `toolchains`: a list of tables.
pub(super) fn read_rules(common: &mut Common, input: &Input<'_>) -> Outcome<()> {
    let DeValue::Array(items) = input.value.get_ref() else {
        return Err(input.wrong_type(input.value));
    };
    let mut problems = Vec::new();
    for item in items.iter() {
        let DeValue::Table(table) = item.get_ref() else {
            problems.extend(input.wrong_type(item));
            continue;
        };
        match read_rule(input, table, input.place.at(item.span())) {
            Ok(parts) => common.rules.push(Sourced {
                value: parts,
                origin: input.place.at(item.span()),
            }),
            Err(wrong) => problems.extend(wrong),
        }
    }
    done(problems)
}

fn read_rule(input: &Input<'_>, table: &DeTable<'_>, origin: Origin) -> Outcome<RuleParts> {
    let mut parts = RuleParts::default();
    read::read_table(
        &input.place,
        table,
        Table::Rule,
        (input.base, input.root),
        &mut |setting, inner| match setting.read {
            Read::Rule(read) => read(&mut parts, inner),
            _ => unreachable!("a row of the rule table is read as one"),
        },
    )?;
    if parts.compiler.is_none() {
        return Err(vec![
            Problem::new("a rule in `toolchains` needs a `use`", origin)
                .hint("write it like `{ when = \">=4.2, <4.19\", use = \"gcc-7\" }`".to_owned()),
        ]);
    }
    Ok(parts)
}

fn done(problems: Vec<Problem>) -> Outcome<()> {
    if problems.is_empty() {
        Ok(())
    } else {
        Err(problems)
    }
}

/// What the rules say, once all compilers are known.
pub(super) fn rules(common: &Common, problems: &mut Vec<Problem>) -> Vec<Sourced<ToolchainRule>> {
    let mut rules = Vec::new();
    for Sourced {
        value: parts,
        origin,
    } in &common.rules
    {
        let Some(name) = &parts.compiler else {
            continue;
        };
        match find(name, &common.compilers) {
            Ok(compiler) => rules.push(Sourced {
                value: ToolchainRule {
                    when: parts.when.clone(),
                    arches: parts.arches.clone(),
                    config: parts.config.clone(),
                    compiler,
                },
                origin: origin.clone(),
            }),
            Err(problem) => problems.push(problem),
        }
    }
    rules
}

/// A symbol, with or without `CONFIG_`.
pub(super) fn symbol(text: &str) -> Result<Symbol, InvalidValue> {
    text.parse().map_err(|_| {
        InvalidValue::new(
            format!("`{text}` is not a symbol of a configuration"),
            "write its name, such as `RUST`",
        )
    })
}
