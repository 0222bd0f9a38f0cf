//! `mail`: whom a report is sent to, and how.

use serde::Serialize;
use toml::de::{DeTable, DeValue};

use super::error::{Problem, nearest};
use super::input::{Input, Outcome};
use super::value::InvalidValue;
use crate::report::{Address, InvalidAddress, InvalidServer, Server};

/// Where mails with reports go.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Mail {
    /// The recipients.
    pub to: Vec<Address>,
    /// The sender; `cargo-kernel@localhost` where absent.
    pub from: Option<Address>,
    /// The server; `sendmail` where absent.
    pub server: Option<Server>,
}

/// The keys of the table.
const KEYS: [&str; 3] = ["to", "from", "server"];

/// Reads the table; everything that is wrong with it is reported.
pub(super) fn read(input: &Input<'_>) -> Outcome<Mail> {
    let DeValue::Table(table) = input.value.get_ref() else {
        return Err(input.wrong_type(input.value));
    };
    let mut mail = Mail::default();
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
            "to" => inner
                .one_or_more(address)
                .map(|to| mail.to = to.into_iter().map(|to| to.value).collect()),
            "from" => inner.parsed(address).map(|from| mail.from = Some(from)),
            "server" => inner
                .parsed(server)
                .map(|server| mail.server = Some(server)),
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
        true => Ok(mail),
        false => Err(problems),
    }
}

fn address(text: &str) -> Result<Address, InvalidValue> {
    text.parse().map_err(|error: InvalidAddress| {
        InvalidValue::new(error.to_string(), "write the address alone, without a name")
    })
}

fn server(text: &str) -> Result<Server, InvalidValue> {
    text.parse().map_err(|error: InvalidServer| {
        InvalidValue::new(error.to_string(), "without a port it is 25; for a server that asks for encryption or a password, leave it out and set up sendmail")
    })
}
