//! `sign`: what a kernel's signatures go by.

use camino::Utf8PathBuf;
use toml::de::{DeTable, DeValue};

use super::error::{Problem, nearest};
use super::input::{Input, Outcome};
use super::source;

/// The keys of the table.
const KEYS: [&str; 1] = ["trust"];

/// Reads the table: files with certificates that the kernel is to trust, absolute.
pub(super) fn read(input: &Input<'_>) -> Outcome<Vec<Utf8PathBuf>> {
    let DeValue::Table(table) = input.value.get_ref() else {
        return Err(input.wrong_type(input.value));
    };
    let mut trust = Vec::new();
    let mut problems = Vec::new();
    for (key, value) in DeTable::iter(table) {
        let inner = Input {
            setting: input.setting,
            value,
            place: input.place.inside(key),
            base: input.base,
            root: input.root,
        };
        let read = match key.get_ref().as_ref() {
            "trust" => inner
                .one_or_more(|text| Ok(source::resolve(input.base, text)))
                .map(|files| trust = files.into_iter().map(|file| file.value).collect()),
            unknown => {
                let hint = match nearest(unknown, KEYS) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("the keys here are: {}", KEYS.join(", ")),
                };
                let message = format!("unknown setting `{unknown}`");
                Err(vec![Problem::new(message, inner.place.origin()).hint(hint)])
            }
        };
        problems.extend(read.err().unwrap_or_default());
    }
    match problems.is_empty() {
        true => Ok(trust),
        false => Err(problems),
    }
}
