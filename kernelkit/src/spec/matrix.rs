//! A matrix: kernels by the product of axes, each axis one setting with several values.

use std::collections::BTreeMap;

use camino::Utf8Path;
use serde::Serialize;
use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue};

use super::KernelName;
use super::error::{Problem, suggest};
use super::input::{Input, Outcome, Place};
use super::layer::Layer;
use super::read::{ReadLayer, read_table};
use super::settings::{Read, Setting, Table, find, suggest_key};
use crate::sourced::Origin;

/// No more kernels of one matrix: what makes more was not meant.
const MAX_KERNELS: usize = 10_000;

/// Which cell of a matrix a kernel is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Cell {
    /// The matrix's name.
    pub matrix: String,
    /// The name of its value on each axis.
    pub axes: BTreeMap<String, String>,
}

impl Cell {
    /// How the kernels of its matrix get names that no other one has.
    pub(super) fn other_names(&self) -> String {
        let matrix = &self.matrix;
        let axes: String = self
            .axes
            .keys()
            .map(|axis| format!("-{{{axis}}}"))
            .collect();
        format!(
            "kernels of a matrix are called by its `name`: in `{matrix}`, write `name = \"{matrix}{axes}\"`"
        )
    }
}

/// A kernel that a manifest declares, in a table of its own or by a matrix.
#[derive(Clone)]
pub(super) struct Declared {
    pub(super) name: KernelName,
    pub(super) origin: Origin,
    pub(super) cell: Option<Cell>,
    pub(super) own: ReadLayer,
}

/// The parts of a matrix's table that are not settings of its kernels.
#[derive(Default)]
pub(super) struct MatrixParts<'a> {
    axes: Vec<Axis>,
    name: Option<(String, Origin)>,
    include: Vec<Entry<'a>>,
    exclude: Vec<Entry<'a>>,
}

/// One setting, and the values it takes.
struct Axis {
    setting: &'static Setting,
    values: Vec<Value>,
    /// Whether the values have names of their own: then no others can be made up.
    named: bool,
}

/// What a kernel is called by, and the setting it makes.
#[derive(Clone)]
struct Value {
    name: String,
    layer: Layer,
}

/// An item of `include` or `exclude`.
struct Entry<'a> {
    place: Place<'a>,
    origin: Origin,
    table: &'a DeTable<'a>,
}

/// One value for each axis, and what an `include` sets besides.
struct Combination {
    values: Vec<Value>,
    extra: Layer,
    origin: Origin,
}

pub(super) fn read_axes(parts: &mut MatrixParts<'_>, input: &Input<'_>) -> Outcome<()> {
    let DeValue::Table(table) = input.value.get_ref() else {
        return Err(input.wrong_type(input.value));
    };
    let mut problems = Vec::new();
    let mut keys: Vec<_> = table.iter().collect();
    // As they are written: it is the order in the kernels' names.
    keys.sort_by_key(|(key, _)| key.span().start);
    for (key, value) in keys {
        let place = input.place.inside(key);
        let Some(setting) = find(Table::Kernel, key.get_ref()) else {
            problems.push(
                Problem::new(
                    format!("`{}` is not a setting of kernels", key.get_ref()),
                    place.origin(),
                )
                .hint(suggest_key(Table::Kernel, key.get_ref())),
            );
            continue;
        };
        match read_axis(setting, &place, value, (input.base, input.root)) {
            Ok(axis) => parts.axes.push(axis),
            Err(wrong) => problems.extend(wrong),
        }
    }
    if table.is_empty() {
        problems.push(input.problem("the matrix has no axis").hint(
            "name settings and their values, such as `axes = { arch = [\"x86_64\", \"arm64\"] }`".to_owned(),
        ));
    }
    if problems.is_empty() {
        Ok(())
    } else {
        Err(problems)
    }
}

fn read_axis(
    setting: &'static Setting,
    place: &Place<'_>,
    value: &Spanned<DeValue<'_>>,
    bases: (&Utf8Path, &Utf8Path),
) -> Outcome<Axis> {
    let Setting { key, example, .. } = setting;
    let named = format!("name its values: `{key} = {{ a = {example} }}`");
    let wrong = |message: &str, hint: String| {
        vec![Problem::new(format!("the axis `{key}` {message}"), place.origin()).hint(hint)]
    };
    let listed = format!("list its values, `{key} = [{example}]`, or {named}");
    let mut values = Vec::new();
    let mut problems = Vec::new();
    let mut add = |name: Option<String>, item: &Spanned<DeValue<'_>>, place: Place<'_>| {
        let Some(name) = name else {
            problems.extend(wrong("has a value that needs a name", named.clone()));
            return;
        };
        match read_value(setting, item, place, bases) {
            Ok(layer) => values.push(Value { name, layer }),
            Err(wrong) => problems.extend(wrong),
        }
    };
    let has_names = match value.get_ref() {
        DeValue::Array(items) => {
            for item in items.iter() {
                add(value_name(setting, item), item, place.clone());
            }
            false
        }
        DeValue::Table(table) => {
            let mut items: Vec<_> = table.iter().collect();
            items.sort_by_key(|(key, _)| key.span().start);
            for (key, item) in items {
                add(Some(slug(key.get_ref())), item, place.inside(key));
            }
            true
        }
        _ => return Err(wrong("must be a list or a table", listed)),
    };
    if problems.is_empty() && values.is_empty() {
        problems.extend(wrong("has no value", listed));
    }
    for (index, value) in values.iter().enumerate() {
        if values[..index].iter().any(|other| other.name == value.name) {
            problems.extend(wrong(
                &format!("has `{}` twice", value.name),
                "remove one of them".to_owned(),
            ));
        }
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    Ok(Axis {
        setting,
        values,
        named: has_names,
    })
}

/// What one value of a setting makes of a kernel.
fn read_value(
    setting: &'static Setting,
    value: &Spanned<DeValue<'_>>,
    place: Place<'_>,
    (base, root): (&Utf8Path, &Utf8Path),
) -> Outcome<Layer> {
    let mut layer = Layer::default();
    let input = Input {
        setting,
        value,
        place,
        base,
        root,
    };
    match setting.read {
        Read::Kernel(read) => read(&mut layer, &input)?,
        _ => unreachable!("axes are settings of kernels"),
    }
    Ok(layer)
}

/// What a value in a list is called. A switch is called by its setting where it is on, and
/// not at all where it is off.
fn value_name(setting: &Setting, value: &Spanned<DeValue<'_>>) -> Option<String> {
    match value.get_ref() {
        DeValue::String(text) => Some(slug(text)),
        DeValue::Integer(integer) => Some(integer.as_str().to_owned()),
        DeValue::Boolean(true) => Some(setting.key.to_owned()),
        DeValue::Boolean(false) => Some(String::new()),
        _ => None,
    }
}

/// The text as a part of a kernel's name.
fn slug(text: &str) -> String {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
    text.chars()
        .map(|c| if allowed(c) { c } else { '-' })
        .collect()
}

pub(super) fn read_name(parts: &mut MatrixParts<'_>, input: &Input<'_>) -> Outcome<()> {
    let text = input.text()?.to_owned();
    parts.name = Some((text, input.place.origin()));
    Ok(())
}

pub(super) fn read_include<'a>(parts: &mut MatrixParts<'a>, input: &Input<'a>) -> Outcome<()> {
    parts.include = entries(input)?;
    Ok(())
}

pub(super) fn read_exclude<'a>(parts: &mut MatrixParts<'a>, input: &Input<'a>) -> Outcome<()> {
    parts.exclude = entries(input)?;
    Ok(())
}

fn entries<'a>(input: &Input<'a>) -> Outcome<Vec<Entry<'a>>> {
    let items: &DeArray<'_> = match input.value.get_ref() {
        DeValue::Array(items) => items,
        _ => return Err(input.wrong_type(input.value)),
    };
    let mut entries = Vec::new();
    for item in items.iter() {
        let DeValue::Table(table) = item.get_ref() else {
            return Err(input.wrong_type(input.value));
        };
        entries.push(Entry {
            place: input.place.clone(),
            origin: input.place.at(item.span()),
            table,
        });
    }
    Ok(entries)
}

/// The kernels of `[….matrix.<name>]`, and what is wrong with it.
pub(super) fn read<'a>(
    matrix: &KernelName,
    place: &Place<'a>,
    table: &'a DeTable<'a>,
    bases: (&'a Utf8Path, &'a Utf8Path),
) -> (Vec<Declared>, Vec<Problem>) {
    let mut parts = MatrixParts::default();
    let mut own = Layer::default();
    let result = read_table(
        place,
        table,
        Table::Matrix,
        bases,
        &mut |setting, input| match setting.read {
            Read::Matrix(read) => read(&mut parts, input),
            Read::Kernel(read) => read(&mut own, input),
            _ => unreachable!("the table has no other rows"),
        },
    );
    let mut problems = result.err().unwrap_or_default();
    if parts.axes.is_empty() {
        if problems.is_empty() {
            problems.push(
                Problem::new(format!("the matrix `{matrix}` has no `axes`"), place.origin()).hint(
                    "name settings and their values, such as `axes = { arch = [\"x86_64\", \"arm64\"] }`".to_owned(),
                ),
            );
        }
        return (Vec::new(), problems);
    }
    let broken = !problems.is_empty();
    let combinations = match parts.combinations(place, bases) {
        Ok(combinations) => combinations,
        Err(wrong) => {
            problems.extend(wrong);
            return (Vec::new(), problems);
        }
    };
    let mut kernels: Vec<Declared> = Vec::new();
    let mut seen: BTreeMap<KernelName, Vec<String>> = BTreeMap::new();
    for combination in combinations {
        let name = match parts.kernel_name(matrix, &combination) {
            Ok(name) => name,
            Err(wrong) => {
                problems.push(wrong);
                // The others have the same template.
                break;
            }
        };
        let described: Vec<String> = combination
            .values
            .iter()
            .map(|value| value.name.clone())
            .collect();
        if let Some(first) = seen.get(&name) {
            let of = |names: &[String]| names.join(", ");
            problems.push(
                Problem::new(
                    format!(
                        "the matrix `{matrix}` has two kernels `{name}`: ({}) and ({})",
                        of(first),
                        of(&described)
                    ),
                    combination.origin,
                )
                .hint(
                    "let `name` use every axis, and give each value a name of its own".to_owned(),
                ),
            );
            continue;
        }
        let axes = parts.axes.iter().zip(&combination.values);
        let cell = Cell {
            matrix: matrix.to_string(),
            axes: axes
                .map(|(axis, value)| (axis.setting.key.to_owned(), value.name.clone()))
                .collect(),
        };
        let mut layer = Layer::default();
        for value in &combination.values {
            layer = layer.over(&value.layer);
        }
        let layer = combination.extra.adding_to(&layer.over(&own));
        seen.insert(name.clone(), described);
        kernels.push(Declared {
            name,
            origin: combination.origin,
            cell: Some(cell),
            own: ReadLayer { layer, broken },
        });
    }
    (kernels, problems)
}

impl MatrixParts<'_> {
    /// The product of the axes, less what is excluded, and what is included.
    fn combinations(
        &self,
        place: &Place<'_>,
        bases: (&Utf8Path, &Utf8Path),
    ) -> Outcome<Vec<Combination>> {
        let all: Vec<Vec<Value>> = self.axes.iter().map(|axis| axis.values.clone()).collect();
        let mut combinations = product(&all, &Layer::default(), &place.origin())
            .ok_or_else(|| vec![too_many(place.origin())])?;
        let mut problems = Vec::new();
        for entry in &self.exclude {
            let (wanted, wrong) = self.selection(entry, false, bases);
            if !wrong.is_empty() {
                problems.extend(wrong);
                continue;
            }
            let before = combinations.len();
            combinations.retain(|combination| {
                let mut pairs = combination.values.iter().zip(&wanted.0);
                !pairs.all(|(value, names)| {
                    names
                        .as_ref()
                        .is_none_or(|names| names.iter().any(|name| name.name == value.name))
                })
            });
            if combinations.len() == before {
                problems.push(
                    Problem::new("this excludes nothing", entry.origin.clone()).hint(
                        "remove it, or look whether another entry has excluded it before"
                            .to_owned(),
                    ),
                );
            }
        }
        for entry in &self.include {
            let (wanted, wrong) = self.selection(entry, true, bases);
            if !wrong.is_empty() {
                problems.extend(wrong);
                continue;
            }
            let values: Vec<Vec<Value>> = wanted
                .0
                .into_iter()
                .zip(&self.axes)
                .map(|(names, axis)| names.unwrap_or_else(|| axis.values.clone()))
                .collect();
            match product(&values, &wanted.1, &entry.origin) {
                Some(more) => combinations.extend(more),
                None => problems.push(too_many(entry.origin.clone())),
            }
        }
        if combinations.len() > MAX_KERNELS {
            problems.push(too_many(place.origin()));
        }
        if combinations.is_empty() && problems.is_empty() {
            problems.push(
                Problem::new("the matrix has no kernel left", place.origin())
                    .hint("`exclude` removes them all".to_owned()),
            );
        }
        if problems.is_empty() {
            Ok(combinations)
        } else {
            Err(problems)
        }
    }

    /// For each axis the values that an entry names, or nothing where it names none; and
    /// the settings it makes besides, which an exclusion cannot.
    #[allow(clippy::type_complexity)]
    fn selection(
        &self,
        entry: &Entry<'_>,
        including: bool,
        bases: (&Utf8Path, &Utf8Path),
    ) -> ((Vec<Option<Vec<Value>>>, Layer), Vec<Problem>) {
        let mut wanted: Vec<Option<Vec<Value>>> = vec![None; self.axes.len()];
        let mut extra = Layer::default();
        let mut problems = Vec::new();
        for (key, value) in entry.table {
            let place = entry.place.inside(key);
            let index = self
                .axes
                .iter()
                .position(|axis| axis.setting.key == key.get_ref());
            let Some(index) = index else {
                match find(Table::Kernel, key.get_ref()).filter(|_| including) {
                    Some(setting) => match read_value(setting, value, place, bases) {
                        Ok(layer) => extra = extra.over(&layer),
                        Err(wrong) => problems.extend(wrong),
                    },
                    None => {
                        let axes = self
                            .axes
                            .iter()
                            .map(|axis| axis.setting.key)
                            .collect::<Vec<_>>();
                        problems.push(
                            Problem::new(
                                format!("the matrix has no axis `{}`", key.get_ref()),
                                place.origin(),
                            )
                            .hint(suggest(key.get_ref(), axes)),
                        );
                    }
                }
                continue;
            };
            let axis = &self.axes[index];
            let items: Vec<&Spanned<DeValue<'_>>> = match value.get_ref() {
                DeValue::Array(items) => items.iter().collect(),
                _ => vec![value],
            };
            let mut values = Vec::new();
            for item in items {
                let name = value_name(axis.setting, item);
                let known = axis
                    .values
                    .iter()
                    .find(|value| Some(&value.name) == name.as_ref());
                match (known, name) {
                    (Some(known), _) => values.push(known.clone()),
                    (None, Some(name)) if including && !axis.named => {
                        match read_value(axis.setting, item, place.clone(), bases) {
                            Ok(layer) => values.push(Value { name, layer }),
                            Err(wrong) => problems.extend(wrong),
                        }
                    }
                    (None, name) => {
                        let names: Vec<&str> = axis
                            .values
                            .iter()
                            .map(|value| value.name.as_str())
                            .collect();
                        let name = name.unwrap_or_default();
                        problems.push(
                            Problem::new(
                                format!("the axis `{}` has no value `{name}`", axis.setting.key),
                                place.origin(),
                            )
                            .hint(suggest(&name, names)),
                        );
                    }
                }
            }
            wanted[index] = Some(values);
        }
        if entry.table.is_empty() {
            problems.push(
                Problem::new("this entry names no axis", entry.origin.clone())
                    .hint("write it like `{ arch = \"arm64\" }`".to_owned()),
            );
        }
        ((wanted, extra), problems)
    }

    /// By the template, or the matrix's name and the values' with hyphens between them.
    fn kernel_name(
        &self,
        matrix: &KernelName,
        combination: &Combination,
    ) -> Result<KernelName, Problem> {
        let (text, origin) = match &self.name {
            None => {
                let values = combination.values.iter().map(|value| value.name.as_str());
                let parts = std::iter::once(matrix.as_str()).chain(values);
                let parts: Vec<&str> = parts.filter(|part| !part.is_empty()).collect();
                (parts.join("-"), &combination.origin)
            }
            Some((template, origin)) => {
                let mut text = String::new();
                let mut rest = template.as_str();
                while let Some((before, behind)) = rest.split_once('{') {
                    text.push_str(before);
                    let (key, behind) = behind.split_once('}').ok_or_else(|| {
                        Problem::new(
                            format!("`{template}` has `{{` without `}}`"),
                            origin.clone(),
                        )
                        .hint("axes stand in braces: `{arch}`".to_owned())
                    })?;
                    let index = self.axes.iter().position(|axis| axis.setting.key == key);
                    let index = index.ok_or_else(|| {
                        let axes: Vec<&str> =
                            self.axes.iter().map(|axis| axis.setting.key).collect();
                        Problem::new(format!("the matrix has no axis `{key}`"), origin.clone())
                            .hint(suggest(key, axes))
                    })?;
                    text.push_str(&combination.values[index].name);
                    rest = behind;
                }
                text.push_str(rest);
                // A switch that is off leaves its place empty.
                let parts: Vec<&str> = text.split('-').filter(|part| !part.is_empty()).collect();
                (parts.join("-"), origin)
            }
        };
        text.parse().map_err(|error: super::InvalidName| {
            Problem::new(error.to_string(), origin.clone()).hint(
                "give the axes' values shorter names, or set `name`, such as `name = \"{arch}\"`"
                    .to_owned(),
            )
        })
    }
}

fn product(axes: &[Vec<Value>], extra: &Layer, origin: &Origin) -> Option<Vec<Combination>> {
    let size = axes
        .iter()
        .try_fold(1_usize, |size, values| size.checked_mul(values.len()))?;
    if size > MAX_KERNELS {
        return None;
    }
    let mut rows: Vec<Vec<Value>> = vec![Vec::new()];
    for values in axes {
        rows = rows
            .iter()
            .flat_map(|row| {
                values.iter().map(|value| {
                    let mut row = row.clone();
                    row.push(value.clone());
                    row
                })
            })
            .collect();
    }
    let combination = |values| Combination {
        values,
        extra: extra.clone(),
        origin: origin.clone(),
    };
    Some(rows.into_iter().map(combination).collect())
}

fn too_many(origin: Origin) -> Problem {
    Problem::new(
        format!("the matrix has more than {MAX_KERNELS} kernels"),
        origin,
    )
    .hint("name fewer values, or divide it".to_owned())
}
