//! From manifests and the command line to a [`Spec`]. Pure: the texts are handed in.

use std::collections::{HashMap, HashSet};

use camino::{Utf8Path, Utf8PathBuf};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::compiler::{self, NamedCompiler, ToolchainRule};
use super::error::{Error, Problem, nearest, suggest};
use super::input::{Document, Input, Outcome, Place, line_starts, toml_key};
use super::layer::{Common, CompilerName, Layer};
use super::make_flag;
use super::matrix::{self, Declared};
use super::overrides::Overrides;
use super::settings::{Read, Setting, Table, find, suggest_key};
use super::{
    BackendChoice, Compiler, ConfigBase, DirtyRelease, Jobs, KernelName, KernelSpec, Spec,
    Timestamp, ToolchainName,
};
use crate::arch::Arch;
use crate::release::{Field, Template};
use crate::sourced::{Origin, Sourced};

/// A `Cargo.toml` that may declare kernels.
#[derive(Clone, Debug)]
pub struct Manifest {
    /// The file, as errors are to name it.
    pub path: Utf8PathBuf,
    /// Its text.
    pub text: String,
    /// Which of its tables is meant. The root of a workspace that is a package, too, is handed in twice.
    pub table: ManifestTable,
}

/// The table of a manifest that declares kernels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ManifestTable {
    /// `[workspace.metadata.kernel]`.
    Workspace,
    /// `[package.metadata.kernel]`.
    Package,
}

impl ManifestTable {
    fn path(self) -> [&'static str; 3] {
        match self {
            ManifestTable::Workspace => ["workspace", "metadata", "kernel"],
            ManifestTable::Package => ["package", "metadata", "kernel"],
        }
    }
}

/// What a [`Spec`] depends on besides manifests and flags.
#[derive(Clone, Debug)]
pub struct Context {
    /// The workspace root: what relative paths in manifests are relative to.
    pub root: Utf8PathBuf,
    /// What relative paths on the command line are relative to.
    pub current_dir: Utf8PathBuf,
    /// Cargo's target directory.
    pub target_dir: Utf8PathBuf,
    /// The architecture of this machine; `None` where the kernel has none of that name.
    pub host: Option<Arch>,
}

/// The kernels that `manifests` declare, with `overrides` over each of them.
///
/// Where no manifest declares a kernel and `overrides` name a source, there is one
/// kernel: what the command line describes. Where nothing is declared at all, the result has
/// no kernels, and [`Spec::select`] says so.
///
/// # Errors
/// Everything that is wrong, not only the first thing.
pub fn parse(
    manifests: &[Manifest],
    overrides: &Overrides,
    context: &Context,
) -> Result<Spec, Error> {
    let mut problems = Vec::new();
    let mut common = Common::default();
    let mut declarations: Vec<Declarations> = Vec::new();
    for manifest in manifests {
        match read_manifest(manifest, context, &mut common) {
            Ok((declared, mut wrong)) => {
                wrong.extend(declared.unknown_compilers(&common));
                wrong.sort_by_key(Problem::place);
                declarations.push(declared);
                problems.extend(wrong);
            }
            Err(problem) => problems.push(problem),
        }
    }
    let (flags, wrong) = read_overrides(overrides, context, &mut common);
    let flags_are_broken = !wrong.is_empty();
    problems.extend(wrong);

    let workspace_defaults = declarations
        .iter()
        .find(|declared| declared.table == ManifestTable::Workspace)
        .map(|declared| declared.defaults.clone())
        .unwrap_or_default();
    let flavours = Flavours::of(&declarations);
    let rules = compiler::rules(&common, &mut problems);
    let compilers = Compilers {
        declared: &common.compilers,
        rules: &rules,
    };
    let mut kernels = Vec::new();
    let mut declared_at: HashMap<KernelName, Origin> = HashMap::new();
    for declared in &declarations {
        let defaults = declared
            .defaults
            .layer
            .clone()
            .over(&workspace_defaults.layer);
        let unread = flags_are_broken || declared.defaults.broken || workspace_defaults.broken;
        for kernel in &declared.kernels {
            let Declared {
                name,
                origin,
                cell,
                own,
            } = kernel;
            if let Some(first) = declared_at.get(name) {
                problems.push(
                    Problem::new(
                        format!("kernel `{name}` is declared twice, first at {first}"),
                        origin.clone(),
                    )
                    .hint(match cell {
                        Some(cell) => cell.other_names(),
                        None => format!("rename one of them, for example to `{name}-2`"),
                    }),
                );
                continue;
            }
            declared_at.insert(name.clone(), origin.clone());
            let flavour = match flavour(&own.layer, &defaults, &flavours) {
                Ok(flavour) => flavour,
                Err(problem) => {
                    problems.push(problem);
                    continue;
                }
            };
            let layers = Layers {
                flags: &flags,
                flavour,
                own: &own.layer,
                defaults: &defaults,
            };
            match complete(name.clone(), Some(origin), layers, &compilers, context) {
                Ok(kernel) => kernels.push(KernelSpec {
                    cell: cell.clone(),
                    ..kernel
                }),
                // What is missing may be what could not be read, and that is reported.
                Err(_) if unread || own.broken => {}
                Err(wrong) => problems.extend(wrong),
            }
        }
    }
    if declared_at.is_empty() && flags.source.is_some() && problems.is_empty() {
        let layers = Layers {
            flags: &flags,
            flavour: None,
            own: &Layer::default(),
            defaults: &workspace_defaults.layer,
        };
        let kernel = name_from_flags(overrides, &flags)
            .and_then(|name| complete(name, None, layers, &compilers, context));
        match kernel {
            Ok(kernel) => kernels.push(kernel),
            Err(wrong) => problems.extend(wrong),
        }
    }
    for default in &common.default_kernels {
        if !declared_at.contains_key(&default.value) {
            let known = declared_at.keys().map(KernelName::as_str);
            problems.push(unknown_kernel(
                &default.value,
                known,
                default.origin.clone(),
            ));
        }
    }
    problems.extend(unknown_flavours(&kernels, &flavours));
    // A flag makes kernels that nobody declared.
    let as_declared = flags.source.is_none() && flags.arch.is_none() && flags.compiler.is_none();
    if problems.is_empty() && as_declared {
        problems.extend(compiler::idle(&rules, &kernels));
    }
    Error::check(problems)?;
    Ok(Spec {
        root: context.root.clone(),
        target_dir: context.target_dir.clone(),
        default_kernels: common.default_kernels,
        fragment_dirs: common.fragment_dirs,
        mail: common.mail,
        kernels,
    })
}

impl Spec {
    /// The one kernel that the command line describes, where there is no `Cargo.toml`.
    ///
    /// # Errors
    /// As [`parse`]; also where the command line names no source.
    pub fn from_overrides(overrides: &Overrides, context: &Context) -> Result<Spec, Error> {
        let spec = parse(&[], overrides, context)?;
        if spec.kernels.is_empty() {
            return Err(nothing_declared().into());
        }
        Ok(spec)
    }

    /// The kernels that `patterns` mean: names, or glob patterns such as `tiny-*`. They come
    /// in the order of the patterns, each once. Without patterns: the kernels of
    /// `default`, and all of them where no `default` is declared, as cargo does with
    /// `default-members`.
    ///
    /// # Errors
    /// A pattern that matches no kernel; no kernel declared at all.
    pub fn select(&self, patterns: &[String]) -> Result<Vec<&KernelSpec>, Error> {
        if self.kernels.is_empty() {
            return Err(nothing_declared().into());
        }
        let mut selected: Vec<&KernelSpec> = Vec::new();
        let mut problems = Vec::new();
        let by_name: HashMap<&str, &KernelSpec> = self
            .kernels
            .iter()
            .map(|kernel| (kernel.name.as_str(), kernel))
            .collect();
        if patterns.is_empty() {
            match self.default_kernels.as_slice() {
                [] => selected.extend(&self.kernels),
                defaults => {
                    let names = defaults.iter().map(|default| default.as_str());
                    selected.extend(names.filter_map(|name| by_name.get(name)));
                }
            }
        }
        for text in patterns {
            if let Some(hint) = make_flag::hint_for_argument(text) {
                let shown = crate::credentials::redact(text);
                let message = format!("`{shown}` is not the name of a kernel");
                problems.push(Problem::new(message, None).hint(hint));
                continue;
            }
            let is_pattern = text.contains(['*', '?', '[']);
            match glob::Pattern::new(text) {
                Err(error) => problems.push(
                    Problem::new(format!("`{text}` is not a pattern: {}", error.msg), None)
                        .hint("quote special characters in brackets, such as `[*]`".to_owned()),
                ),
                Ok(pattern) => {
                    let before = selected.len();
                    if is_pattern {
                        let kernels = self.kernels.iter();
                        selected.extend(kernels.filter(|it| pattern.matches(it.name.as_str())));
                    } else {
                        selected.extend(by_name.get(text.as_str()));
                    }
                    if selected.len() > before {
                        continue;
                    }
                    let known = self.kernels.iter().map(|kernel| kernel.name.as_str());
                    problems.push(if is_pattern {
                        Problem::new(format!("no kernel matches `{text}`"), None)
                            .hint(nearest_to_pattern(text, known.collect()))
                    } else {
                        unknown_kernel(text, known, None)
                    });
                }
            }
        }
        Error::check(problems)?;
        let mut names: HashSet<&KernelName> = HashSet::new();
        selected.retain(|kernel| names.insert(&kernel.name));
        Ok(selected)
    }
}

/// How many names a hint has.
const NAMED: usize = 8;

/// All names where they are few, else those that are most like the pattern.
fn nearest_to_pattern(pattern: &str, mut known: Vec<&str>) -> String {
    if known.len() <= NAMED && !known.is_empty() {
        return format!("there is: {}", known.join(", "));
    }
    let plain = pattern.replace(['*', '?', '[', ']'], "");
    // The order of the names stays where they are equally near.
    known.sort_by_key(|name| strsim::damerau_levenshtein(&plain, name));
    format!(
        "the nearest are {}; `cargo kernel list` has all {}",
        known[..NAMED].join(", "),
        known.len()
    )
}

fn nothing_declared() -> Problem {
    Problem::new("no kernel is declared", None).hint(
        "`cargo kernel init` writes a starter into Cargo.toml; without one, name a source and a configuration: `--source DIR --preset tiny`"
            .to_owned(),
    )
}

fn unknown_kernel<'a>(
    name: impl AsRef<str>,
    known: impl Iterator<Item = &'a str>,
    origin: impl Into<Option<Origin>>,
) -> Problem {
    let name = name.as_ref();
    // Sorted, so that the same mistake reads the same each time.
    let mut known: Vec<&str> = known.collect();
    known.sort_unstable();
    let hint = if known.is_empty() {
        nothing_declared().hint
    } else {
        Some(suggest(name, known))
    };
    Problem::new(format!("unknown kernel `{name}`"), origin).hint(hint)
}

/// A table of kernel settings as read; `broken` where some of it could not be.
#[derive(Clone, Default)]
pub(super) struct ReadLayer {
    pub(super) layer: Layer,
    pub(super) broken: bool,
}

/// What one manifest declares.
struct Declarations {
    table: ManifestTable,
    defaults: ReadLayer,
    flavours: Vec<(KernelName, ReadLayer)>,
    kernels: Vec<Declared>,
}

impl Declarations {
    fn unknown_compilers(&self, common: &Common) -> Vec<Problem> {
        let flavours = self.flavours.iter().map(|(_, layer)| layer);
        let kernels = self.kernels.iter().map(|kernel| &kernel.own);
        let layers = std::iter::once(&self.defaults)
            .chain(flavours)
            .chain(kernels);
        let names = layers.filter_map(|read| read.layer.compiler.as_ref());
        names
            .filter_map(|name| compiler::find(name, &common.compilers).err())
            .collect()
    }
}

/// Reads one manifest: what it declares and what is wrong with it. A TOML syntax error is an `Err`.
fn read_manifest(
    manifest: &Manifest,
    context: &Context,
    common: &mut Common,
) -> Result<(Declarations, Vec<Problem>), Problem> {
    let lines = line_starts(&manifest.text);
    let document = Document::new(&manifest.path, &manifest.text, &lines);
    let mut declared = Declarations {
        table: manifest.table,
        defaults: ReadLayer::default(),
        flavours: Vec::new(),
        kernels: Vec::new(),
    };
    let mut problems = Vec::new();
    let parsed = DeTable::parse(&manifest.text).map_err(|error| {
        let offset = error.span().map_or(0, |span| span.start);
        let message = error.message().trim_end().replace('\n', ", ");
        // What the parser says where it hopes for the end of a value.
        let message = message.trim_end_matches(", expected nothing");
        Problem::new(message, document.origin(offset, "")).hint(
            "the file is not valid TOML (https://toml.io); text, versions too, stands in quotes"
                .to_owned(),
        )
    })?;
    let Some((key, value)) = walk(parsed.get_ref(), &manifest.table.path()) else {
        return Ok((declared, problems));
    };
    let place = Place::File {
        document,
        span: key.span(),
        key: manifest.table.path().join("."),
    };
    let read = |place: &Place<'_>, table: &DeTable<'_>| {
        let mut layer = Layer::default();
        let result = read_table(
            place,
            table,
            Table::Kernel,
            (&context.root, &context.root),
            &mut |setting, input| match setting.read {
                Read::Kernel(read) => read(&mut layer, input),
                _ => unreachable!("a row of the kernel table is read as one"),
            },
        );
        let wrong = result.err().unwrap_or_default();
        let broken = !wrong.is_empty();
        (ReadLayer { layer, broken }, wrong)
    };
    let DeValue::Table(table) = value.get_ref() else {
        problems.push(not_a_table("kernel", &place));
        return Ok((declared, problems));
    };
    let result = read_table(
        &place,
        table,
        Table::Workspace,
        (&context.root, &context.root),
        &mut |setting, input| {
            if let Read::Workspace(read) = setting.read {
                return read(common, input);
            }
            let DeValue::Table(table) = input.value.get_ref() else {
                return Err(vec![not_a_table(setting.key, &input.place)]);
            };
            if setting.key == "defaults" {
                let (layer, wrong) = read(&input.place, table);
                declared.defaults = layer;
                return if wrong.is_empty() { Ok(()) } else { Err(wrong) };
            }
            let mut wrong = Vec::new();
            for (name, value) in table {
                let place = input.place.inside(name);
                let name: KernelName = match name.get_ref().parse() {
                    Ok(name) => name,
                    Err(error) => {
                        let error: super::InvalidName = error;
                        wrong.push(
                            Problem::new(error.to_string(), place.origin())
                                .hint("rename it, for example to `tiny-arm64`".to_owned()),
                        );
                        continue;
                    }
                };
                let DeValue::Table(table) = value.get_ref() else {
                    wrong.push(not_a_table(name.as_str(), &place));
                    continue;
                };
                if setting.key == "matrix" {
                    let bases = (&*context.root, &*context.root);
                    let (kernels, inner) = matrix::read(&name, &place, table, bases);
                    wrong.extend(inner);
                    declared.kernels.extend(kernels);
                    continue;
                }
                let (own, inner) = read(&place, table);
                wrong.extend(inner);
                if setting.key == "flavours" {
                    declared.flavours.push((name, own));
                } else {
                    declared.kernels.push(Declared {
                        name,
                        origin: place.origin(),
                        cell: None,
                        own,
                    });
                }
            }
            if wrong.is_empty() { Ok(()) } else { Err(wrong) }
        },
    );
    problems.extend(result.err().unwrap_or_default());
    Ok((declared, problems))
}

/// Follows `path` through tables; `None` where it ends early or passes something else.
fn walk<'a, 'i>(
    table: &'a DeTable<'i>,
    path: &[&str],
) -> Option<(
    &'a Spanned<toml::de::DeString<'i>>,
    &'a Spanned<DeValue<'i>>,
)> {
    let (first, rest) = path.split_first()?;
    let (key, value) = table.iter().find(|(key, _)| key.get_ref() == first)?;
    if rest.is_empty() {
        return Some((key, value));
    }
    walk(value.get_ref().as_table()?, rest)
}

fn not_a_table(key: &str, place: &Place<'_>) -> Problem {
    Problem::new(format!("`{key}` must be a table"), place.origin()).hint(
        "kernels are declared as `[workspace.metadata.kernel.kernels.<name>]`, with a key a line below"
            .to_owned(),
    )
}

/// Reads every key of a table through its row of the settings; unknown keys and
/// everything that `read` complains about are collected.
pub(super) fn read_table<'a>(
    place: &Place<'a>,
    table: &'a DeTable<'a>,
    kind: Table,
    (base, root): (&'a Utf8Path, &'a Utf8Path),
    read: &mut dyn FnMut(&'static Setting, &Input<'a>) -> Outcome<()>,
) -> Outcome<()> {
    let mut problems = Vec::new();
    for (key, value) in table {
        let Some(setting) = find(kind, key.get_ref()) else {
            problems.push(unknown_key(key, value, kind, place));
            continue;
        };
        let input = Input {
            setting,
            value,
            place: place.inside(key),
            base,
            root,
        };
        problems.extend(read(setting, &input).err().unwrap_or_default());
    }
    if problems.is_empty() {
        Ok(())
    } else {
        Err(problems)
    }
}

fn unknown_key(
    key: &Spanned<impl AsRef<str>>,
    value: &Spanned<DeValue<'_>>,
    kind: Table,
    table: &Place<'_>,
) -> Problem {
    let place = table.inside(key);
    let key = key.get_ref().as_ref();
    let path = match table {
        Place::File { key, .. } => key.as_str(),
        Place::CommandLine { flag } => flag.as_str(),
    };
    let kernel = kind == Table::Workspace
        && value.get_ref().is_table()
        && nearest(key, ["defaults", "kernels", "flavours", "matrix"]).is_none();
    let hint = if kernel {
        format!(
            "a kernel is declared as `[{path}.kernels.{}]`",
            toml_key(key)
        )
    } else {
        suggest_key(kind, key)
    };
    Problem::new(format!("unknown key `{key}` in `{path}`"), place.origin()).hint(hint)
}

/// Reads the command line by the same rows of the settings.
fn read_overrides(
    overrides: &Overrides,
    context: &Context,
    common: &mut Common,
) -> (Layer, Vec<Problem>) {
    let mut layer = Layer::default();
    let mut problems = Vec::new();
    for (key, value) in overrides.values() {
        let setting = find(Table::Kernel, key)
            .or_else(|| find(Table::Workspace, key))
            .expect("every override is a setting");
        let flag = match value.get_ref() {
            DeValue::Boolean(false) => setting.negative_flag(),
            _ => setting.flag.map(str::to_owned),
        };
        let input = Input {
            setting,
            value: &value,
            place: Place::CommandLine {
                flag: flag.expect("every override has a flag"),
            },
            base: &context.current_dir,
            root: &context.root,
        };
        let result = match setting.read {
            Read::Kernel(read) => read(&mut layer, &input),
            Read::Workspace(read) => read(common, &input),
            Read::Source(_)
            | Read::Patch(_)
            | Read::Matrix(_)
            | Read::Compiler(_)
            | Read::Rule(_)
            | Read::Tables => {
                unreachable!("such rows have no flag")
            }
        };
        problems.extend(result.err().unwrap_or_default());
    }
    (layer, problems)
}

/// The name of the kernel that only the command line describes.
fn name_from_flags(overrides: &Overrides, flags: &Layer) -> Outcome<KernelName> {
    if let Some(name) = &overrides.name {
        return name
            .parse()
            .map_err(|error: super::InvalidName| vec![Problem::new(error.to_string(), None)]);
    }
    let preset = match &flags.base {
        Some(Sourced {
            value: ConfigBase::Preset { name },
            ..
        }) => name.rsplit('/').next().and_then(|name| name.parse().ok()),
        _ => None,
    };
    Ok(preset.unwrap_or_else(|| "kernel".parse().expect("`kernel` is a valid name")))
}

/// What is declared of flavours.
struct Flavours<'a> {
    /// In the order of the manifests.
    names: Vec<&'a str>,
    layers: HashMap<&'a str, &'a Layer>,
}

impl<'a> Flavours<'a> {
    fn of(declarations: &'a [Declarations]) -> Self {
        let mut flavours = Flavours {
            names: Vec::new(),
            layers: HashMap::new(),
        };
        for (name, read) in declarations.iter().flat_map(|declared| &declared.flavours) {
            flavours.names.push(name.as_str());
            flavours.layers.entry(name.as_str()).or_insert(&read.layer);
        }
        flavours
    }
}

/// A kernel's flavour, which its own table or the defaults may choose.
fn flavour<'f>(
    own: &Layer,
    defaults: &Layer,
    flavours: &Flavours<'f>,
) -> Result<Option<&'f Layer>, Problem> {
    let Some(flavour) = own.flavour.as_ref().or(defaults.flavour.as_ref()) else {
        return Ok(None);
    };
    let Some(layer) = flavours.layers.get(flavour.value.as_str()) else {
        let hint = match flavours.names.as_slice() {
            [] => format!(
                "declare it: `[workspace.metadata.kernel.flavours.{}]`",
                flavour.value
            ),
            names => suggest(flavour.value.as_str(), names.iter().copied()),
        };
        let message = format!("unknown flavour `{}`", flavour.value);
        return Err(Problem::new(message, flavour.origin.clone()).hint(hint));
    };
    Ok(Some(layer))
}

/// The layers of a kernel, from the top.
#[derive(Clone, Copy)]
struct Layers<'a> {
    flags: &'a Layer,
    flavour: Option<&'a Layer>,
    own: &'a Layer,
    defaults: &'a Layer,
}

impl Layers<'_> {
    /// All of them as one. What flags and flavour add to may stand in the defaults.
    fn merged(self) -> Layer {
        let below = self.own.clone().over(self.defaults);
        let below = match self.flavour {
            Some(flavour) => flavour.clone().adding_to(&below),
            None => below,
        };
        self.flags.clone().adding_to(&below)
    }

    /// What is said of this kernel, rather than of all of them.
    fn of_it<T>(self, setting: impl Fn(&Layer) -> Option<&Sourced<T>>) -> Option<Sourced<T>>
    where
        T: Clone,
    {
        [Some(self.flags), self.flavour, Some(self.own)]
            .into_iter()
            .flatten()
            .find_map(|layer| setting(layer).cloned())
    }
}

/// Flavours that patches are for and nobody declares.
fn unknown_flavours(kernels: &[KernelSpec], flavours: &Flavours<'_>) -> Vec<Problem> {
    let mut problems = Vec::new();
    for kernel in kernels {
        for set in kernel.patches.iter() {
            let unknown = set
                .flavours
                .iter()
                .filter(|name| !flavours.layers.contains_key(name.as_str()));
            problems.extend(unknown.map(|name| {
                let message = format!(
                    "the patches {} are for an unknown flavour `{name}`",
                    set.path
                );
                Problem::new(message, kernel.patches.origin.clone())
                    .hint(suggest(name.as_str(), flavours.names.iter().copied()))
            }));
        }
    }
    problems
}

/// What the workspace knows of compilers.
struct Compilers<'a> {
    declared: &'a [Sourced<NamedCompiler>],
    rules: &'a [Sourced<ToolchainRule>],
}

impl Compilers<'_> {
    /// A kernel's compiler, and the rules that choose another where it has none of its own.
    fn of(
        &self,
        layers: Layers<'_>,
        merged: Option<&Sourced<CompilerName>>,
    ) -> Result<(Sourced<NamedCompiler>, Vec<Sourced<ToolchainRule>>), Problem> {
        let named = match merged {
            None => None,
            Some(name) => Some(Sourced {
                value: compiler::find(name, self.declared)?,
                origin: name.origin.clone(),
            }),
        };
        let by_rule = layers.of_it(|layer| layer.compiler.as_ref()).is_none();
        let mut rules = match by_rule {
            true => self.rules.to_vec(),
            false => Vec::new(),
        };
        if let (false, Some(default)) = (rules.is_empty(), &named) {
            rules.push(default.clone().map(ToolchainRule::always));
        }
        let usual = || Sourced::default_value(NamedCompiler::usual(Compiler::Gcc));
        Ok((named.unwrap_or_else(usual), rules))
    }
}

/// The kernel that layers make, with the defaults under them.
fn complete(
    name: KernelName,
    origin: Option<&Origin>,
    layers: Layers<'_>,
    compilers: &Compilers<'_>,
    context: &Context,
) -> Outcome<KernelSpec> {
    let layer = layers.merged();
    let mut problems = Vec::new();
    let compiler = compilers.of(layers, layer.compiler.as_ref());
    let compiler = compiler.map_err(|problem| problems.push(problem)).ok();
    if layer.source.is_none() {
        problems.push(
            Problem::new(
                format!("kernel `{name}` has neither `source` nor `version`"),
                origin.cloned(),
            )
            .hint("set one, such as `version = \"6.12\"` or `source = \"../linux\"`".to_owned()),
        );
    }
    let fragments = layer
        .fragments
        .unwrap_or_else(|| Sourced::default_value(Vec::new()));
    let base = match (layer.base, layer.allnoconfig_base) {
        (Some(base), _) => {
            // In the defaults it is for those kernels that it has an effect on.
            let misplaced = layers.of_it(|layer| layer.allnoconfig_base.as_ref());
            if let Some(allnoconfig) = misplaced {
                problems.push(
                    Problem::new(
                        format!(
                            "`allnoconfig-base` has no effect on kernel `{name}`, which starts from {}",
                            base_in_words(&base)
                        ),
                        allnoconfig.origin,
                    )
                    .hint("remove it; it is for kernels that are made of `fragments` alone".to_owned()),
                );
            }
            base
        }
        (None, allnoconfig) => {
            if fragments.value.is_empty() {
                problems.push(
                    Problem::new(
                        format!("kernel `{name}` says nothing about its configuration"),
                        origin.cloned(),
                    )
                    .hint("set `preset`, `make`, `config` or `fragments`, such as `preset = \"tiny\"`".to_owned()),
                );
            }
            // Where nobody chose the base, it follows from there being fragments alone.
            allnoconfig
                .unwrap_or_else(|| Sourced::default_value(true))
                .map(|allnoconfig| ConfigBase::Fragments { allnoconfig })
        }
    };
    let arch = layer
        .arch
        .or_else(|| context.host.map(Sourced::default_value));
    if arch.is_none() {
        problems.push(
            Problem::new(
                format!("kernel `{name}` has no `arch`, and this machine's is unknown"),
                origin.cloned(),
            )
            .hint("set it, such as `arch = \"x86_64\"`".to_owned()),
        );
    }
    let release = or(layer.release, Template::default());
    for (field, is_set) in [
        (Field::Build, layer.build.is_some()),
        (Field::Dist, layer.dist.is_some()),
        (Field::Flavour, layer.flavour.is_some()),
    ] {
        if release.value.names(field) && !is_set {
            let key = field.name();
            problems.push(
                Problem::new(
                    format!(
                        "the release of kernel `{name}` names `{{{key}}}`, but `{key}` is not set"
                    ),
                    Some(release.origin.clone()),
                )
                .hint(format!(
                    "set `{key}`, or leave `{{{key}}}` out of `release`"
                )),
            );
        }
    }
    let toolchain = or(layer.toolchain, ToolchainName::HOST);
    // A toolchain of nixpkgs has one compiler: no rule chooses it.
    let compiler = match (compiler, toolchain.value.nixpkgs()) {
        (Some(_), Some(own)) if layer.compiler.is_none() => {
            let own = Sourced {
                value: NamedCompiler::usual(own),
                origin: toolchain.origin.clone(),
            };
            Some((own, Vec::new()))
        }
        (Some((compiler, _)), Some(own)) if compiler.value != NamedCompiler::usual(own) => {
            let (is, other) = match own {
                Compiler::Gcc => ("gcc", "nixpkgs-clang"),
                Compiler::Clang => ("clang", "nixpkgs"),
            };
            problems.push(
                Problem::new(
                    format!(
                        "the compiler of the toolchain `{}` is {is}",
                        toolchain.value
                    ),
                    Some(compiler.origin),
                )
                .hint(format!(
                    "leave `compiler` out, or set `toolchain = \"{other}\"`"
                )),
            );
            None
        }
        (compiler, _) => compiler,
    };
    let (Some(source), Some(arch), Some((compiler, rules)), true) =
        (layer.source, arch, compiler, problems.is_empty())
    else {
        return Err(problems);
    };
    Ok(KernelSpec {
        name,
        cell: None,
        flavour: layer.flavour,
        source,
        patches: or(layer.patches, Vec::new()),
        series: layer.series,
        patch_fuzz: or(layer.patch_fuzz, 0),
        arch,
        base,
        fragments,
        debug: or(layer.debug, false),
        label: layer.label,
        release,
        build: layer.build,
        dist: layer.dist,
        trust: or(layer.trust, Vec::new()),
        edit: layer.edit,
        dirty_release: or(layer.dirty_release, DirtyRelease::Stable),
        compiler,
        rules,
        toolchain,
        backend: or(layer.backend, BackendChoice::Auto),
        make_flags: or(layer.make_flags, Vec::new()),
        targets: or(layer.targets, Vec::new()),
        jobs: or(layer.jobs, Jobs::Auto),
        ccache: or(layer.ccache, true),
        ccache_max_size: or(layer.ccache_max_size, "10G".to_owned()),
        reproducible: or(layer.reproducible, true),
        timestamp: or(layer.timestamp, Timestamp::Fixed),
        compile_commands: or(layer.compile_commands, true),
        gdb_scripts: or(layer.gdb_scripts, true),
        rust_analyzer: or(layer.rust_analyzer, true),
        install: or(layer.install, true),
        modules_install: or(layer.modules_install, true),
        source_symlink: or(layer.source_symlink, false),
        reuse: or(layer.reuse, true),
        borrow_objects: or(layer.borrow_objects, true),
        publish: or(layer.publish, false),
    })
}

fn or<T>(value: Option<Sourced<T>>, default: T) -> Sourced<T> {
    value.unwrap_or_else(|| Sourced::default_value(default))
}

fn base_in_words(base: &ConfigBase) -> String {
    match base {
        ConfigBase::Preset { name } => format!("preset `{name}`"),
        ConfigBase::Make { goals } => format!("`make {}`", goals.join(" ")),
        ConfigBase::File { path } => format!("`{path}`"),
        ConfigBase::Fragments { .. } => "its fragments".to_owned(),
    }
}
