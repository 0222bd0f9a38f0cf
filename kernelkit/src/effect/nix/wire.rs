//! The words of the worker protocol: little-endian 64-bit numbers, and strings padded with
//! zeros to a multiple of eight (Nix, `src/libstore/worker-protocol.hh`).

use std::io::{self, Read, Write};

use super::daemon::{Activity, Event};

/// Longest string that is taken from a daemon: a log line or a message, never contents.
const STRING_LIMIT: u64 = crate::limits::NIX_STRING.most;

/// What a daemon says while it works, before its answer.
const LAST: u64 = 0x616c_7473;
const ERROR: u64 = 0x6378_7470;
const NEXT: u64 = 0x6f6c_6d67;
const WRITE: u64 = 0x6461_7416;
const START_ACTIVITY: u64 = 0x5354_5254;
const STOP_ACTIVITY: u64 = 0x5354_4f50;
const RESULT: u64 = 0x5253_4c54;

fn invalid(what: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.into())
}

pub(super) fn read_number(input: &mut impl Read) -> io::Result<u64> {
    let mut bytes = [0; 8];
    input.read_exact(&mut bytes)?;
    Ok(u64::from_le_bytes(bytes))
}

pub(super) fn read_bool(input: &mut impl Read) -> io::Result<bool> {
    Ok(read_number(input)? != 0)
}

/// Bytes that are not UTF-8 are replaced: they are for people to read.
pub(super) fn read_string(input: &mut impl Read) -> io::Result<String> {
    let length = read_number(input)?;
    if length > STRING_LIMIT {
        return Err(invalid(format!("a string of {length} bytes")));
    }
    let mut bytes = vec![0; length as usize];
    input.read_exact(&mut bytes)?;
    let mut padding = [0; 7];
    let padding = &mut padding[..(8 - length as usize % 8) % 8];
    input.read_exact(padding)?;
    if padding.iter().any(|byte| *byte != 0) {
        return Err(invalid("a string whose padding is not zero"));
    }
    Ok(String::from_utf8(bytes)
        .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()))
}

pub(super) fn read_strings(input: &mut impl Read) -> io::Result<Vec<String>> {
    (0..read_number(input)?)
        .map(|_| read_string(input))
        .collect()
}

pub(super) fn write_number(output: &mut impl Write, number: u64) -> io::Result<()> {
    output.write_all(&number.to_le_bytes())
}

pub(super) fn write_string(output: &mut impl Write, text: &str) -> io::Result<()> {
    write_number(output, text.len() as u64)?;
    output.write_all(text.as_bytes())?;
    output.write_all(&[0; 8][..(8 - text.len() % 8) % 8])
}

pub(super) fn write_strings<S: AsRef<str>>(
    output: &mut impl Write,
    texts: impl ExactSizeIterator<Item = S>,
) -> io::Result<()> {
    write_number(output, texts.len() as u64)?;
    for text in texts {
        write_string(output, text.as_ref())?;
    }
    Ok(())
}

/// A daemon's refusal: its message, and where it came from, outermost first.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) message: String,
    pub(super) traces: Vec<String>,
}

/// A field of an activity or of its result.
enum Field {
    Number(u64),
    Text(String),
}

fn read_fields(input: &mut impl Read) -> io::Result<Vec<Field>> {
    (0..read_number(input)?)
        .map(|_| match read_number(input)? {
            0 => read_number(input).map(Field::Number),
            1 => read_string(input).map(Field::Text),
            kind => Err(invalid(format!("a field of the kind {kind}"))),
        })
        .collect()
}

fn text(fields: &[Field], index: usize) -> &str {
    match fields.get(index) {
        Some(Field::Text(text)) => text,
        _ => "",
    }
}

fn number(fields: &[Field], index: usize) -> u64 {
    match fields.get(index) {
        Some(Field::Number(number)) => *number,
        _ => 0,
    }
}

/// Passes on what the daemon says until its answer follows. The outer error is the
/// connection's, the inner one the daemon's.
pub(super) fn read_events(
    input: &mut impl Read,
    on_event: &mut dyn FnMut(Event<'_>),
) -> io::Result<Result<(), Refusal>> {
    loop {
        match read_number(input)? {
            LAST => return Ok(Ok(())),
            ERROR => return read_refusal(input).map(Err),
            NEXT | WRITE => {
                let message = read_string(input)?;
                on_event(Event::Message(message.trim_end()));
            }
            START_ACTIVITY => {
                let id = read_number(input)?;
                let _level = read_number(input)?;
                let kind = read_number(input)?;
                let about = read_string(input)?;
                let fields = read_fields(input)?;
                let _parent = read_number(input)?;
                let activity = match kind {
                    100 => Activity::Copy {
                        path: text(&fields, 0),
                    },
                    101 => Activity::Fetch {
                        url: text(&fields, 0),
                    },
                    105 => Activity::Build {
                        derivation: text(&fields, 0),
                    },
                    108 => Activity::Substitute {
                        path: text(&fields, 0),
                        cache: text(&fields, 1),
                    },
                    _ => Activity::Other,
                };
                on_event(Event::Started {
                    id,
                    activity,
                    about: &about,
                });
            }
            STOP_ACTIVITY => on_event(Event::Stopped {
                id: read_number(input)?,
            }),
            RESULT => {
                let id = read_number(input)?;
                let kind = read_number(input)?;
                let fields = read_fields(input)?;
                match kind {
                    101 | 107 => on_event(Event::Line {
                        id,
                        line: text(&fields, 0),
                    }),
                    104 => on_event(Event::Phase {
                        id,
                        name: text(&fields, 0),
                    }),
                    105 => on_event(Event::Progress {
                        id,
                        done: number(&fields, 0),
                        expected: number(&fields, 1),
                    }),
                    _ => {}
                }
            }
            word => return Err(invalid(format!("the word {word:#x}"))),
        }
    }
}

fn read_refusal(input: &mut impl Read) -> io::Result<Refusal> {
    let _type = read_string(input)?;
    let _level = read_number(input)?;
    let _name = read_string(input)?;
    let message = read_string(input)?;
    let _position = read_number(input)?;
    let traces = (0..read_number(input)?)
        .map(|_| {
            let _position = read_number(input)?;
            read_string(input).map(|trace| plain(&trace))
        })
        .collect::<io::Result<_>>()?;
    Ok(Refusal {
        message: plain(&message),
        traces,
    })
}

/// Without the terminal's colours.
pub(super) fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut parts = text.split("\x1b[");
    plain.push_str(parts.next().unwrap_or_default());
    for part in parts {
        let end = part.find(|c: char| c.is_ascii_alphabetic());
        plain.push_str(end.map_or(part, |end| &part[end + 1..]));
    }
    plain
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn words(words: &[u64]) -> Vec<u8> {
        words.iter().flat_map(|word| word.to_le_bytes()).collect()
    }

    fn string(text: &str) -> Vec<u8> {
        let mut bytes = Vec::new();
        write_string(&mut bytes, text).unwrap();
        bytes
    }

    fn events(bytes: &[u8]) -> (Vec<String>, io::Result<Result<(), Refusal>>) {
        let mut seen = Vec::new();
        let result = read_events(&mut &bytes[..], &mut |event| {
            seen.push(format!("{event:?}"))
        });
        (seen, result)
    }

    #[test]
    fn a_build_is_told_as_it_goes() {
        let bytes = [
            words(&[NEXT]),
            string("these derivations will be built\n"),
            words(&[START_ACTIVITY, 7, 3, 105]),
            string("building '/nix/store/x-a.drv'"),
            words(&[3, 1]),
            string("/nix/store/x-a.drv"),
            words(&[1]),
            string(""),
            words(&[0, 1, 0]),
            words(&[RESULT, 7, 101, 1, 1]),
            string("  CC      init/main.o"),
            words(&[RESULT, 7, 105, 4, 0, 1, 0, 2, 0, 0, 0, 0]),
            words(&[STOP_ACTIVITY, 7, LAST]),
        ]
        .concat();
        let (seen, result) = events(&bytes);
        result.unwrap().unwrap();
        assert_eq!(
            seen,
            [
                r#"Message("these derivations will be built")"#,
                r#"Started { id: 7, activity: Build { derivation: "/nix/store/x-a.drv" }, about: "building '/nix/store/x-a.drv'" }"#,
                r#"Line { id: 7, line: "  CC      init/main.o" }"#,
                "Progress { id: 7, done: 1, expected: 2 }",
                "Stopped { id: 7 }",
            ]
        );
    }

    #[test]
    fn a_refusal_has_its_message_without_colours() {
        let bytes = [
            words(&[ERROR]),
            string("Error"),
            words(&[0]),
            string("Error"),
            string("path '\x1b[35;1m/nix/store/x-a\x1b[0m' is not valid"),
            words(&[0, 1, 0]),
            string("while building"),
        ]
        .concat();
        let refusal = events(&bytes).1.unwrap().unwrap_err();
        assert_eq!(refusal.message, "path '/nix/store/x-a' is not valid");
        assert_eq!(refusal.traces, ["while building"]);
    }

    #[test]
    fn a_cut_or_foreign_stream_is_an_error() {
        let rows = [
            (words(&[]), io::ErrorKind::UnexpectedEof),
            (words(&[NEXT, 100]), io::ErrorKind::UnexpectedEof),
            (words(&[NEXT, u64::MAX]), io::ErrorKind::InvalidData),
            (words(&[0x1234]), io::ErrorKind::InvalidData),
            (words(&[NEXT, 1, u64::MAX]), io::ErrorKind::InvalidData),
            (words(&[RESULT, 1, 101, 1, 9]), io::ErrorKind::InvalidData),
        ];
        for (bytes, kind) in rows {
            assert_eq!(events(&bytes).1.unwrap_err().kind(), kind, "{bytes:?}");
        }
    }

    proptest! {
        #[test]
        fn strings_read_what_they_write(texts: Vec<String>) {
            let mut bytes = Vec::new();
            write_strings(&mut bytes, texts.iter()).unwrap();
            prop_assert_eq!(bytes.len() % 8, 0);
            prop_assert_eq!(read_strings(&mut &bytes[..]).unwrap(), texts);
        }
    }
}
