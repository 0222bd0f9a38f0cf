//! A tree that was read as bytes, and back: what a cache keeps.
//!
//! The arenas are written as they are, in words of 32 bits, little endian. An image holds
//! for the program that wrote it: its layout follows the structures.

use std::io::Read;
use std::sync::{Arc, OnceLock};

use super::diagnostic::{Diagnostic, Severity};
use super::intern::Names;
use super::model::{
    Choice, Comparison, Dependency, Expr, ExprId, Exprs, Model, Node, NodeKind, Position, Property,
    PropertyKind, Step, Symbol, Texts, Type,
};
use super::{Dialect, Kconfig};

/// What gives the text of a file by its index in [`Kconfig::files`], when a help text is asked for.
pub type ReadFile = Box<dyn Fn(u32) -> Vec<u8> + Send + Sync>;

/// The texts of the files.
pub(super) struct Contents {
    held: Vec<OnceLock<Arc<[u8]>>>,
    read: ReadFile,
}

impl Contents {
    /// Of files that are in memory already.
    pub(super) fn of(files: Vec<Arc<[u8]>>) -> Self {
        Contents {
            held: files.into_iter().map(OnceLock::from).collect(),
            read: Box::new(|_| Vec::new()),
        }
    }

    pub(super) fn get(&self, file: u32) -> &[u8] {
        self.held[file as usize].get_or_init(|| (self.read)(file).into())
    }
}

impl std::fmt::Debug for Contents {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} files", self.held.len())
    }
}

impl Kconfig {
    /// The tree as bytes, without the text of its files.
    pub fn to_image(&self) -> Vec<u8> {
        let model = &self.model;
        let mut image = Writer(Vec::with_capacity(8 << 20));
        let dialect = self.dialect;
        image.all(&[
            dialect.choice_is_symbol,
            dialect.optional_choices,
            dialect.choice_bool,
            dialect.transitional,
            dialect.conditional_depends,
            dialect.repeated_inclusion_is_error,
            dialect.negations_end_submenus,
        ]);
        image.strings(self.files.iter().map(String::as_str));
        image.bytes(&self.main_menu);
        image.bytes(self.prefix.as_bytes());
        image.strings(self.referenced.iter().map(|(name, _)| name.as_str()));
        image.strings(self.referenced.iter().map(|(_, value)| value.as_str()));
        image.strings(self.unset.iter().map(String::as_str));
        image.word(self.diagnostics.len() as u32);
        for diagnostic in &self.diagnostics {
            image.word(diagnostic.severity as u32);
            image.bytes(diagnostic.file.as_bytes());
            image.word(diagnostic.line);
            image.bytes(diagnostic.message.as_bytes());
            image.word(diagnostic.requested.into());
        }
        let (bytes, ends, hashes, quoted) = model.names.parts();
        image.bytes(bytes);
        image.all(ends);
        image.all(hashes);
        image.all(quoted);
        image.all(&model.symbols);
        image.all(&model.nodes);
        image.all(&model.properties);
        image.all(&model.dependencies);
        image.all(&model.exprs.0);
        image.all(&model.schedule);
        image.bytes(&model.texts.bytes);
        image.all(&model.texts.ends);
        image.word(model.modules);
        image.word(model.choices.len() as u32);
        for choice in &model.choices {
            image.word(choice.symbol);
            image.word(choice.optional.into());
            image.all(&choice.members);
            image.all(&choice.entries);
            image.all(&choice.prompts);
        }
        image.0
    }

    /// Reads what [`to_image`](Self::to_image) of the same program wrote; nothing where it is
    /// cut off. Whoever keeps images makes sure that they come back as they were.
    pub fn from_image(image: &mut dyn Read, read: ReadFile) -> Option<Self> {
        let mut image = Words(image);
        let dialect: Vec<bool> = image.all()?;
        let dialect = Dialect {
            choice_is_symbol: *dialect.first()?,
            optional_choices: *dialect.get(1)?,
            choice_bool: *dialect.get(2)?,
            transitional: *dialect.get(3)?,
            conditional_depends: *dialect.get(4)?,
            repeated_inclusion_is_error: *dialect.get(5)?,
            negations_end_submenus: *dialect.get(6)?,
        };
        let files = image.strings()?;
        let main_menu = image.bytes()?;
        let prefix = image.string()?;
        let names = image.strings()?;
        let referenced = names.into_iter().zip(image.strings()?).collect();
        let unset = image.strings()?;
        let mut diagnostics = Vec::new();
        for _ in 0..image.word()? {
            diagnostics.push(Diagnostic {
                severity: match image.word()? {
                    0 => Severity::Info,
                    1 => Severity::Warning,
                    _ => Severity::Error,
                },
                file: image.string()?,
                line: image.word()?,
                message: image.string()?,
                requested: image.word()? != 0,
            });
        }
        let names = Names::of_parts(image.bytes()?, image.all()?, image.all()?, image.all()?);
        let mut model = Model {
            names,
            symbols: image.all()?,
            nodes: image.all()?,
            properties: image.all()?,
            dependencies: image.all()?,
            exprs: Exprs(image.all()?),
            schedule: image.all()?,
            texts: Texts {
                bytes: image.bytes()?,
                ends: image.all()?,
            },
            modules: image.word()?,
            choices: Vec::new(),
        };
        for _ in 0..image.word()? {
            model.choices.push(Choice {
                symbol: image.word()?,
                optional: image.word()? != 0,
                members: image.all()?,
                entries: image.all()?,
                prompts: image.all()?,
            });
        }
        let held = files.iter().map(|_| OnceLock::new()).collect();
        Some(Kconfig {
            model,
            dialect,
            files,
            contents: Contents { held, read },
            main_menu,
            prefix,
            referenced,
            unset,
            diagnostics,
        })
    }
}

/// A structure of always the same number of words.
trait Record<const WORDS: usize>: Sized {
    fn pack(&self) -> [u32; WORDS];
    fn unpack(words: [u32; WORDS]) -> Self;
}

struct Writer(Vec<u8>);

impl Writer {
    fn word(&mut self, word: u32) {
        self.0.extend_from_slice(&word.to_le_bytes());
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.word(bytes.len() as u32);
        self.0.extend_from_slice(bytes);
    }

    fn strings<'a>(&mut self, strings: impl ExactSizeIterator<Item = &'a str>) {
        self.word(strings.len() as u32);
        for string in strings {
            self.bytes(string.as_bytes());
        }
    }

    fn all<T: Record<WORDS>, const WORDS: usize>(&mut self, records: &[T]) {
        self.word(records.len() as u32);
        for record in records {
            for word in record.pack() {
                self.word(word);
            }
        }
    }
}

struct Words<'a>(&'a mut dyn Read);

/// Bytes that are read at once.
const PIECE: usize = 1 << 16;

impl Words<'_> {
    fn word(&mut self) -> Option<u32> {
        let mut word = [0; 4];
        self.0.read_exact(&mut word).ok()?;
        Some(u32::from_le_bytes(word))
    }

    fn bytes(&mut self) -> Option<Vec<u8>> {
        let length = self.word()? as usize;
        let mut bytes = Vec::with_capacity(length.min(PIECE));
        let read = (&mut *self.0).take(length as u64).read_to_end(&mut bytes);
        (read.ok()? == length).then_some(bytes)
    }

    fn string(&mut self) -> Option<String> {
        String::from_utf8(self.bytes()?).ok()
    }

    fn strings(&mut self) -> Option<Vec<String>> {
        let length = self.word()?;
        (0..length).map(|_| self.string()).collect()
    }

    fn all<T: Record<WORDS>, const WORDS: usize>(&mut self) -> Option<Vec<T>> {
        let size = 4 * WORDS;
        let mut left = self.word()? as usize;
        let mut buffer = vec![0; left.min(PIECE / size) * size];
        let mut records = Vec::new();
        while left > 0 {
            let piece = &mut buffer[..left.min(PIECE / size) * size];
            self.0.read_exact(piece).ok()?;
            left -= piece.len() / size;
            if records.is_empty() {
                // No more than there may be in a file of a length that was not made up.
                records.reserve_exact(left.min(1 << 20) + piece.len() / size);
            }
            records.extend(piece.chunks_exact(size).map(|record| {
                let mut words = [0; WORDS];
                for (word, bytes) in words.iter_mut().zip(record.as_chunks::<4>().0) {
                    *word = u32::from_le_bytes(*bytes);
                }
                T::unpack(words)
            }));
        }
        Some(records)
    }
}

impl Record<1> for u32 {
    fn pack(&self) -> [u32; 1] {
        [*self]
    }

    fn unpack([word]: [u32; 1]) -> Self {
        word
    }
}

impl Record<1> for bool {
    fn pack(&self) -> [u32; 1] {
        [(*self).into()]
    }

    fn unpack([word]: [u32; 1]) -> Self {
        word != 0
    }
}

impl Record<1> for ExprId {
    fn pack(&self) -> [u32; 1] {
        [self.0]
    }

    fn unpack([word]: [u32; 1]) -> Self {
        ExprId(word)
    }
}

impl Record<10> for Symbol {
    fn pack(&self) -> [u32; 10] {
        let kind = self.kind as u32 | u32::from(self.transitional) << 8;
        [
            kind,
            self.choice,
            self.own_choice,
            self.first_node,
            self.last_node,
            self.properties.0,
            self.properties.1,
            self.dir_dep.0,
            self.rev_dep.0,
            self.implied.0,
        ]
    }

    fn unpack(words: [u32; 10]) -> Self {
        let [
            kind,
            choice,
            own_choice,
            first_node,
            last_node,
            start,
            end,
            dir_dep,
            rev_dep,
            implied,
        ] = words;
        Symbol {
            kind: match kind & 0xff {
                0 => Type::Unknown,
                1 => Type::Bool,
                2 => Type::Tristate,
                3 => Type::Int,
                4 => Type::Hex,
                _ => Type::String,
            },
            transitional: kind >> 8 != 0,
            choice,
            own_choice,
            first_node,
            last_node,
            properties: (start, end),
            dir_dep: ExprId(dir_dep),
            rev_dep: ExprId(rev_dep),
            implied: ExprId(implied),
        }
    }
}

impl Record<16> for Node {
    fn pack(&self) -> [u32; 16] {
        [
            self.kind as u32,
            self.position.file,
            self.position.line,
            self.parent,
            self.end,
            self.symbol,
            self.next,
            self.prompt,
            self.dependencies.0,
            self.dependencies.1,
            self.visible.0,
            self.visible_inside.0,
            self.visible_line,
            self.dep.0,
            self.help.0,
            self.help.1,
        ]
    }

    fn unpack(words: [u32; 16]) -> Self {
        Node {
            kind: match words[0] {
                0 => NodeKind::Root,
                1 => NodeKind::Config,
                2 => NodeKind::Menuconfig,
                3 => NodeKind::Choice,
                4 => NodeKind::If,
                5 => NodeKind::Menu,
                _ => NodeKind::Comment,
            },
            position: Position {
                file: words[1],
                line: words[2],
            },
            parent: words[3],
            end: words[4],
            symbol: words[5],
            next: words[6],
            prompt: words[7],
            dependencies: (words[8], words[9]),
            visible: ExprId(words[10]),
            visible_inside: ExprId(words[11]),
            visible_line: words[12],
            dep: ExprId(words[13]),
            help: (words[14], words[15]),
        }
    }
}

impl Record<9> for Property {
    fn pack(&self) -> [u32; 9] {
        let (kind, a, b) = match self.kind {
            PropertyKind::Prompt(text) => (0, text, 0),
            PropertyKind::Default(value) => (1, value.0, 0),
            PropertyKind::Select(symbol) => (2, symbol, 0),
            PropertyKind::Imply(symbol) => (3, symbol, 0),
            PropertyKind::Range(low, high) => (4, low, high),
        };
        [
            kind,
            a,
            b,
            self.owner,
            self.node,
            self.line,
            self.own.0,
            self.menus.0,
            self.condition.0,
        ]
    }

    fn unpack([kind, a, b, owner, node, line, own, menus, condition]: [u32; 9]) -> Self {
        Property {
            kind: match kind {
                0 => PropertyKind::Prompt(a),
                1 => PropertyKind::Default(ExprId(a)),
                2 => PropertyKind::Select(a),
                3 => PropertyKind::Imply(a),
                _ => PropertyKind::Range(a, b),
            },
            owner,
            node,
            line,
            own: ExprId(own),
            menus: ExprId(menus),
            condition: ExprId(condition),
        }
    }
}

impl Record<2> for Dependency {
    fn pack(&self) -> [u32; 2] {
        [self.expr.0, self.line]
    }

    fn unpack([expr, line]: [u32; 2]) -> Self {
        let expr = ExprId(expr);
        Dependency { expr, line }
    }
}

/// The order is that of the words that stand for them.
const COMPARISONS: [Comparison; 6] = [
    Comparison::Equal,
    Comparison::Unequal,
    Comparison::Less,
    Comparison::LessEqual,
    Comparison::Greater,
    Comparison::GreaterEqual,
];

impl Record<3> for Expr {
    fn pack(&self) -> [u32; 3] {
        match *self {
            Expr::Not(a) => [0, a.0, 0],
            Expr::And(a, b) => [1, a.0, b.0],
            Expr::Or(a, b) => [2, a.0, b.0],
            Expr::Compare(comparison, a, b) => [3 + comparison as u32, a, b],
        }
    }

    fn unpack([kind, a, b]: [u32; 3]) -> Self {
        match kind {
            0 => Expr::Not(ExprId(a)),
            1 => Expr::And(ExprId(a), ExprId(b)),
            2 => Expr::Or(ExprId(a), ExprId(b)),
            other => Expr::Compare(COMPARISONS[(other - 3) as usize % COMPARISONS.len()], a, b),
        }
    }
}

impl Record<2> for Step {
    fn pack(&self) -> [u32; 2] {
        match *self {
            Step::Expr(index) => [0, index],
            Step::Symbol(symbol) => [1, symbol],
            Step::Choice(index) => [2, index],
        }
    }

    fn unpack([kind, index]: [u32; 2]) -> Self {
        match kind {
            0 => Step::Expr(index),
            1 => Step::Symbol(index),
            _ => Step::Choice(index),
        }
    }
}
