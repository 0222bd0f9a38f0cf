//! Bytes to tokens, over a stack of included files.

use std::io::BufRead as _;
use std::sync::Arc;

use super::Error;
use super::diagnostic::Diagnostic;
use super::preprocess::{Macros, Site, reference_length};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Keyword {
    Bool,
    Choice,
    Comment,
    Config,
    DefBool,
    DefTristate,
    Default,
    Depends,
    Endchoice,
    Endif,
    Endmenu,
    Help,
    Hex,
    If,
    Imply,
    Int,
    Mainmenu,
    Menu,
    Menuconfig,
    Modules,
    On,
    Optional,
    Prompt,
    Range,
    Select,
    Source,
    String,
    Transitional,
    Tristate,
    Visible,
}

impl Keyword {
    fn parse(word: &[u8]) -> Option<Self> {
        use Keyword::*;
        // Nearly every word is a symbol, and symbols are upper case.
        if !word[0].is_ascii_lowercase() {
            return None;
        }
        Some(match word {
            b"bool" => Bool,
            b"choice" => Choice,
            b"comment" => Comment,
            b"config" => Config,
            b"def_bool" => DefBool,
            b"def_tristate" => DefTristate,
            b"default" => Default,
            b"depends" => Depends,
            b"endchoice" => Endchoice,
            b"endif" => Endif,
            b"endmenu" => Endmenu,
            b"help" => Help,
            b"hex" => Hex,
            b"if" => If,
            b"imply" => Imply,
            b"int" => Int,
            b"mainmenu" => Mainmenu,
            b"menu" => Menu,
            b"menuconfig" => Menuconfig,
            b"modules" => Modules,
            b"on" => On,
            b"optional" => Optional,
            b"prompt" => Prompt,
            b"range" => Range,
            b"select" => Select,
            b"source" => Source,
            b"string" => String,
            b"transitional" => Transitional,
            b"tristate" => Tristate,
            b"visible" => Visible,
            _ => return None,
        })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Token {
    /// End of the current file.
    End,
    Newline,
    /// Its text is in [`Lexer::text`], as for [`Token::Quoted`].
    Word,
    Quoted,
    Keyword(Keyword),
    And,
    Or,
    Not,
    Open,
    Close,
    Equal,
    Unequal,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
    ColonEqual,
    PlusEqual,
}

/// A file being read.
pub(super) struct Frame {
    pub(super) file: u32,
    bytes: Arc<[u8]>,
    position: usize,
    line: u32,
    /// Line of the last `source` statement.
    pub(super) source_line: u32,
    /// Whether anything stands on the current line before `position`.
    inside_statement: bool,
}

pub(super) struct Lexer<'a> {
    pub(super) frames: Vec<Frame>,
    pub(super) macros: Macros<'a>,
    /// Names of the files, as written.
    pub(super) files: Vec<String>,
    /// Text of the last word or string.
    pub(super) text: Vec<u8>,
    /// Line the last token began on.
    pub(super) line: u32,
    /// Which words are keywords in this tree.
    pub(super) optional_keyword: bool,
    pub(super) transitional_keyword: bool,
}

fn is_word(byte: u8) -> bool {
    const TABLE: [bool; 256] = {
        let mut table = [false; 256];
        let mut byte = 0;
        while byte < 256 {
            let character = byte as u8;
            table[byte] =
                character.is_ascii_alphanumeric() || character == b'_' || character == b'-';
            byte += 1;
        }
        table
    };
    TABLE[usize::from(byte)]
}

/// Bytes before the newline. Half of a tree's text is help, which is skipped by lines.
fn line_length(text: &[u8]) -> usize {
    let mut rest = text;
    let skipped = rest.skip_until(b'\n').expect("memory can be read");
    match text[..skipped].last() {
        Some(b'\n') => skipped - 1,
        // The last line may lack its newline.
        _ => skipped,
    }
}

impl Lexer<'_> {
    pub(super) fn push_file(&mut self, file: u32, bytes: Arc<[u8]>) {
        self.frames.push(Frame {
            file,
            bytes,
            position: 0,
            line: 1,
            source_line: 0,
            inside_statement: false,
        });
    }

    pub(super) fn frame(&self) -> &Frame {
        self.frames.last().expect("a file is open while lexing")
    }

    fn frame_mut(&mut self) -> &mut Frame {
        self.frames.last_mut().expect("a file is open while lexing")
    }

    /// Remembers where the next file is included.
    pub(super) fn set_source_line(&mut self, line: u32) {
        if let Some(frame) = self.frames.last_mut() {
            frame.source_line = line;
        }
    }

    pub(super) fn file_name(&self) -> &str {
        &self.files[self.frame().file as usize]
    }

    /// Line reading has come to.
    pub(super) fn current_line(&self) -> u32 {
        self.frame().line
    }

    pub(super) fn warn(&mut self, message: impl Into<String>) {
        let warning = Diagnostic::warning(self.file_name(), self.current_line(), message);
        self.macros.diagnostics.push(warning);
    }

    pub(super) fn syntax_error(&self, message: impl Into<String>) -> Error {
        Error::Syntax {
            file: self.file_name().to_owned(),
            line: self.line,
            message: message.into(),
        }
    }

    /// The next token. A statement that ends with its file gets a newline first.
    pub(super) fn next(&mut self) -> Result<Token, Error> {
        loop {
            let frame = self.frames.last_mut().expect("a file is open while lexing");
            let bytes = &frame.bytes;
            while let Some(b' ' | b'\t') = bytes.get(frame.position) {
                frame.position += 1;
            }
            self.line = frame.line;
            let Some(&byte) = bytes.get(frame.position) else {
                if frame.inside_statement {
                    frame.inside_statement = false;
                    self.warn("no new line at end of file");
                    return Ok(Token::Newline);
                }
                return Ok(Token::End);
            };
            if is_word(byte) || byte == b'$' {
                frame.inside_statement = true;
                match self.word()? {
                    Some(token) => return Ok(token),
                    None => continue,
                }
            }
            let following = bytes.get(frame.position + 1).copied();
            let (token, length) = match (byte, following) {
                (b'\n', _) => {
                    frame.position += 1;
                    frame.line += 1;
                    frame.inside_statement = false;
                    return Ok(Token::Newline);
                }
                (b'#', _) => {
                    frame.position += line_length(&bytes[frame.position..]);
                    continue;
                }
                (b'\\', Some(b'\n')) => {
                    frame.position += 2;
                    frame.line += 1;
                    continue;
                }
                (b'"' | b'\'', _) => {
                    frame.inside_statement = true;
                    frame.position += 1;
                    self.string(byte)?;
                    return Ok(Token::Quoted);
                }
                (b'&', Some(b'&')) => (Token::And, 2),
                (b'|', Some(b'|')) => (Token::Or, 2),
                (b'!', Some(b'=')) => (Token::Unequal, 2),
                (b'<', Some(b'=')) => (Token::LessEqual, 2),
                (b'>', Some(b'=')) => (Token::GreaterEqual, 2),
                (b':', Some(b'=')) => (Token::ColonEqual, 2),
                (b'+', Some(b'=')) => (Token::PlusEqual, 2),
                (b'!', _) => (Token::Not, 1),
                (b'=', _) => (Token::Equal, 1),
                (b'<', _) => (Token::Less, 1),
                (b'>', _) => (Token::Greater, 1),
                (b'(', _) => (Token::Open, 1),
                (b')', _) => (Token::Close, 1),
                _ => {
                    frame.position += 1;
                    let shown = char::from(byte);
                    self.warn(format!("ignoring unsupported character '{shown}'"));
                    continue;
                }
            };
            frame.inside_statement = true;
            frame.position += length;
            return Ok(token);
        }
    }

    /// A word; nothing if its references expand to nothing.
    fn word(&mut self) -> Result<Option<Token>, Error> {
        let frame = self.frames.last_mut().expect("a file is open while lexing");
        let start = frame.position;
        let rest = &frame.bytes[start..];
        let length = rest.iter().position(|byte| !is_word(*byte));
        let length = length.unwrap_or(rest.len());
        let word = &rest[..length];
        self.text.clear();
        self.text.extend_from_slice(word);
        frame.position += length;
        if rest.get(length) != Some(&b'$') {
            let keyword = Keyword::parse(word).filter(|keyword| match keyword {
                Keyword::Optional => self.optional_keyword,
                Keyword::Transitional => self.transitional_keyword,
                _ => true,
            });
            return Ok(Some(keyword.map_or(Token::Word, Token::Keyword)));
        }
        let bytes = Arc::clone(&frame.bytes);
        let mut position = frame.position;
        let mut text = std::mem::take(&mut self.text);
        while let Some(&byte) = bytes.get(position) {
            if byte == b'$' {
                position = self.reference(&bytes, position, &mut text)?;
            } else if is_word(byte) {
                text.push(byte);
                position += 1;
            } else {
                break;
            }
        }
        self.frame_mut().position = position;
        self.text = text;
        Ok((!self.text.is_empty()).then_some(Token::Word))
    }

    /// Expands what the `$` at `position` begins; returns where it ends.
    fn reference(
        &mut self,
        bytes: &[u8],
        position: usize,
        out: &mut Vec<u8>,
    ) -> Result<usize, Error> {
        if bytes.get(position + 1) != Some(&b'(') {
            out.push(b'$');
            return Ok(position + 1);
        }
        let frame = self.frames.last().expect("a file is open while lexing");
        let site = Site {
            file: &self.files[frame.file as usize],
            line: frame.line,
        };
        let length = reference_length(&bytes[position..], site)?;
        let clause = &bytes[position + 2..position + length - 1];
        self.macros.expand_reference(clause, &[], site, out)?;
        Ok(position + length)
    }

    /// The rest of a string behind its opening quote.
    fn string(&mut self, quote: u8) -> Result<(), Error> {
        let bytes = Arc::clone(&self.frame().bytes);
        let mut position = self.frame().position;
        let mut text = std::mem::take(&mut self.text);
        text.clear();
        loop {
            match bytes.get(position) {
                None | Some(b'\n') => {
                    self.warn("multi-line strings not supported");
                    break;
                }
                Some(byte) if *byte == quote => {
                    position += 1;
                    break;
                }
                Some(b'\\') => {
                    if let Some(byte) = bytes.get(position + 1).filter(|byte| **byte != b'\n') {
                        text.push(*byte);
                        position += 1;
                    }
                    position += 1;
                }
                Some(b'$') => position = self.reference(&bytes, position, &mut text)?,
                Some(_) => {
                    let rest = &bytes[position..];
                    let special =
                        |byte: &u8| matches!(*byte, b'\n' | b'\\' | b'$') || *byte == quote;
                    let plain = rest.iter().position(special).unwrap_or(rest.len());
                    text.extend_from_slice(&rest[..plain]);
                    position += plain;
                }
            }
        }
        self.frame_mut().position = position;
        self.text = text;
        Ok(())
    }

    /// The rest of the line, as the value of an assignment; the newline stays.
    pub(super) fn value(&mut self) -> Vec<u8> {
        let frame = self.frame_mut();
        let rest = &frame.bytes[frame.position..];
        let line = &rest[..line_length(rest)];
        frame.position += line.len();
        let blank = |byte: &u8| matches!(byte, b' ' | b'\t');
        let start = line.iter().position(|byte| !blank(byte));
        line[start.unwrap_or(line.len())..].to_vec()
    }

    /// The byte range of the help text that begins on the next line.
    pub(super) fn help(&mut self) -> (u32, u32) {
        let frame = self.frame_mut();
        let bytes = &frame.bytes;
        let mut indent = None;
        let first = frame.position;
        let (mut start, mut end) = (first, first);
        while frame.position < bytes.len() {
            let rest = &bytes[frame.position..];
            let mut column = 0;
            let mut blank = 0;
            for byte in rest {
                match byte {
                    b' ' => column += 1,
                    b'\t' => column = (column & !7) + 8,
                    _ => break,
                }
                blank += 1;
            }
            let length = blank + line_length(&rest[blank..]);
            if length > blank {
                // Only the very first line may stand at the margin.
                if column == 0 && frame.position > first {
                    break;
                }
                match indent {
                    None => {
                        indent = Some(column);
                        start = frame.position;
                    }
                    Some(indent) if column < indent => break,
                    Some(_) => {}
                }
                end = frame.position + length;
            }
            frame.position += length;
            if frame.position < bytes.len() {
                frame.position += 1;
                frame.line += 1;
            }
        }
        (start as u32, end as u32)
    }
}

/// A help text without its indentation.
pub(super) fn unindent(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    let mut out = String::with_capacity(text.len());
    let mut indent = None;
    for line in text.lines() {
        let mut column = 0;
        let mut expanded = String::new();
        let body = line.trim_start_matches([' ', '\t']);
        for character in line[..line.len() - body.len()].chars() {
            let next = if character == '\t' {
                (column & !7) + 8
            } else {
                column + 1
            };
            expanded.extend(std::iter::repeat_n(' ', next - column));
            column = next;
        }
        let indent = *indent.get_or_insert(column);
        if !body.is_empty() {
            out.push_str(&expanded[indent.min(column)..]);
            out.push_str(body.trim_end());
        }
        out.push('\n');
    }
    out
}
