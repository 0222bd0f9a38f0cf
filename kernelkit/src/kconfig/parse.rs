//! Tokens to the model: statements, one flat loop over a stack of open blocks.
//!
//! Grammar: Documentation/kbuild/kconfig-language.rst.

use std::collections::HashMap;
use std::sync::Arc;

use camino::Utf8Path;

use super::diagnostic::{Diagnostic, Severity};
use super::intern::Names;
use super::lex::{Keyword, Lexer, Token};
use super::model::{
    Choice, Comparison, Dependency, Expr, ExprId, Exprs, M, Model, N, NONE, Node, NodeId, NodeKind,
    Position, Property, PropertyKind, Symbol, SymbolId, Texts, Type, Y,
};
use super::preprocess::{Assignment, Macros, Site};
use super::{Dialect, Error, Reader};

/// Bounds for trees that include files without end.
const MAX_INCLUSIONS: usize = 100_000;
const MAX_DEPTH: usize = 1000;
const MAX_BYTES: usize = 512 << 20;

struct Block {
    node: NodeId,
    /// Length of the include stack where it began: it must end in that file.
    depth: usize,
}

/// What parsing leaves behind.
pub(super) struct Parsed {
    pub(super) model: Model,
    pub(super) files: Vec<String>,
    pub(super) contents: Vec<Arc<[u8]>>,
    pub(super) referenced: Vec<(String, String)>,
    pub(super) unset: Vec<String>,
    pub(super) diagnostics: Vec<Diagnostic>,
    pub(super) main_menu: Vec<u8>,
}

struct Parser<'a> {
    lexer: Lexer<'a>,
    peeked: Option<Token>,
    reader: &'a dyn Reader,
    source_tree: Option<&'a str>,
    dialect: Dialect,
    model: Model,
    contents: Vec<Arc<[u8]>>,
    known_files: HashMap<String, u32>,
    /// Where each file was included first.
    included_at: Vec<Position>,
    blocks: Vec<Block>,
    inclusions: usize,
    bytes: usize,
    main_menu: Option<Vec<u8>>,
}

/// Reads the tree from `Kconfig` file `root` on.
pub(super) fn parse<'a>(
    reader: &'a dyn Reader,
    root: &str,
    macros: Macros<'a>,
    source_tree: Option<&'a str>,
    dialect: Dialect,
) -> Result<Parsed, Error> {
    let mut names = Names::default();
    for constant in [b"n", b"m", b"y"] {
        names.intern(constant, false);
    }
    let root_node = Node {
        kind: NodeKind::Root,
        position: Position { file: 0, line: 0 },
        parent: NONE,
        end: 0,
        symbol: NONE,
        next: NONE,
        prompt: NONE,
        dependencies: (0, 0),
        visible: ExprId::Y,
        visible_inside: ExprId::Y,
        visible_line: 0,
        dep: ExprId::Y,
        help: (0, 0),
    };
    let mut parser = Parser {
        lexer: Lexer {
            frames: Vec::new(),
            macros,
            files: Vec::new(),
            text: Vec::new(),
            line: 0,
            optional_keyword: dialect.optional_choices,
            transitional_keyword: dialect.transitional,
        },
        peeked: None,
        reader,
        source_tree,
        dialect,
        model: Model {
            names,
            symbols: vec![Symbol::new(Type::Tristate); 3],
            nodes: vec![root_node],
            properties: Vec::new(),
            dependencies: Vec::new(),
            choices: Vec::new(),
            exprs: Exprs::new(),
            texts: Texts::default(),
            modules: N,
            schedule: Vec::new(),
        },
        contents: Vec::new(),
        known_files: HashMap::new(),
        included_at: Vec::new(),
        blocks: vec![Block { node: 0, depth: 0 }],
        inclusions: 0,
        bytes: 0,
        main_menu: None,
    };
    parser.open(root)?;
    parser.statements()?;
    parser.finish()
}

impl Parser<'_> {
    fn next(&mut self) -> Result<Token, Error> {
        match self.peeked.take() {
            Some(token) => Ok(token),
            None => self.lexer.next(),
        }
    }

    fn peek(&mut self) -> Result<Token, Error> {
        let token = self.next()?;
        self.peeked = Some(token);
        Ok(token)
    }

    fn error(&self, message: impl Into<String>) -> Error {
        self.lexer.syntax_error(message)
    }

    fn expect(&mut self, wanted: Token, what: &str) -> Result<(), Error> {
        if self.next()? == wanted {
            Ok(())
        } else {
            Err(self.error(format!("syntax error: expected {what}")))
        }
    }

    fn end_of_statement(&mut self) -> Result<(), Error> {
        self.expect(Token::Newline, "the end of the line")
    }

    fn position(&self) -> Position {
        Position {
            file: self.lexer.frame().file,
            line: self.lexer.line,
        }
    }

    // Files.

    fn open(&mut self, name: &str) -> Result<(), Error> {
        self.inclusions += 1;
        let too_much = self.inclusions > MAX_INCLUSIONS
            || self.bytes > MAX_BYTES
            || self.lexer.frames.len() >= MAX_DEPTH;
        if too_much {
            return Err(self.error("too many included files"));
        }
        let file = match self.known_files.get(name) {
            Some(&file) => file,
            None => {
                let bytes = self.read(name)?;
                let file = self.contents.len() as u32;
                self.known_files.insert(name.to_owned(), file);
                self.lexer.files.push(name.to_owned());
                self.contents.push(bytes.into());
                let position = match self.lexer.frames.last() {
                    Some(frame) => Position {
                        file: frame.file,
                        line: self.lexer.line,
                    },
                    None => Position { file: 0, line: 0 },
                };
                self.included_at.push(position);
                file
            }
        };
        let bytes = Arc::clone(&self.contents[file as usize]);
        self.bytes += bytes.len();
        self.lexer.push_file(file, bytes);
        Ok(())
    }

    fn read(&self, name: &str) -> Result<Vec<u8>, Error> {
        let not_found = |error: &std::io::Error| error.kind() == std::io::ErrorKind::NotFound;
        let result = match self.reader.read(Utf8Path::new(name)) {
            Err(error) if not_found(&error) && !name.starts_with('/') => match self.source_tree {
                Some(tree) => self.reader.read(&Utf8Path::new(tree).join(name)),
                None => Err(error),
            },
            result => result,
        };
        result.map_err(|source| {
            let (file, line) = match self.lexer.frames.last() {
                Some(_) => (self.lexer.file_name().to_owned(), self.lexer.line),
                None => (name.to_owned(), 0),
            };
            Error::Source {
                file,
                line,
                name: name.to_owned(),
                source,
            }
        })
    }

    fn source(&mut self) -> Result<(), Error> {
        self.expect(Token::Quoted, "a file name in quotes")?;
        let name = String::from_utf8(std::mem::take(&mut self.lexer.text))
            .map_err(|_| self.error("file name is not UTF-8"))?;
        let line = self.lexer.line;
        self.end_of_statement()?;
        self.lexer.line = line;
        if let Some(&file) = self.known_files.get(&name) {
            let open = self.lexer.frames.iter().any(|frame| frame.file == file);
            let first = self.included_at[file as usize];
            if open {
                return Err(self.recursive_inclusion(name, file));
            }
            if self.dialect.repeated_inclusion_is_error && first.line > 0 {
                return Err(Error::RepeatedInclusion {
                    file: self.lexer.file_name().to_owned(),
                    line,
                    name,
                    first_file: self.lexer.files[first.file as usize].clone(),
                    first_line: first.line,
                });
            }
        }
        self.lexer.set_source_line(line);
        self.open(&name)
    }

    fn recursive_inclusion(&self, name: String, file: u32) -> Error {
        let mut path = Vec::new();
        for frame in self.lexer.frames.iter().rev() {
            let line = if path.is_empty() {
                self.lexer.line
            } else {
                frame.source_line
            };
            path.push((self.lexer.files[frame.file as usize].clone(), line));
            if frame.file == file {
                break;
            }
        }
        Error::RecursiveInclusion { name, path }
    }

    // Nodes.

    fn node(&mut self, kind: NodeKind, symbol: SymbolId, position: Position) -> NodeId {
        let node = self.model.nodes.len() as NodeId;
        let dependencies = self.model.dependencies.len() as u32;
        self.model.nodes.push(Node {
            kind,
            position,
            parent: self.blocks.last().map_or(NONE, |block| block.node),
            end: node + 1,
            symbol,
            next: NONE,
            prompt: NONE,
            dependencies: (dependencies, dependencies),
            visible: ExprId::Y,
            visible_inside: ExprId::Y,
            visible_line: 0,
            dep: ExprId::Y,
            help: (0, 0),
        });
        if symbol != NONE {
            let entry = &mut self.model.symbols[symbol as usize];
            if entry.first_node == NONE {
                entry.first_node = node;
            } else {
                self.model.nodes[entry.last_node as usize].next = node;
            }
            self.model.symbols[symbol as usize].last_node = node;
        }
        node
    }

    fn open_block(&mut self, node: NodeId) -> Result<(), Error> {
        if self.blocks.len() >= MAX_DEPTH {
            return Err(self.error("blocks are nested too deeply"));
        }
        self.blocks.push(Block {
            node,
            depth: self.lexer.frames.len(),
        });
        Ok(())
    }

    fn close_block(&mut self, kind: NodeKind, keyword: &str) -> Result<(), Error> {
        self.end_of_statement()?;
        let block = self.blocks.last().expect("the root block is never closed");
        let node = &self.model.nodes[block.node as usize];
        if node.kind != kind {
            return Err(self.error(format!("unexpected '{keyword}' statement")));
        }
        if block.depth != self.lexer.frames.len() {
            return Err(self.error(format!(
                "'{keyword}' in different file than '{}'",
                &keyword["end".len()..]
            )));
        }
        let node = block.node;
        self.blocks.pop();
        self.model.nodes[node as usize].end = self.model.nodes.len() as NodeId;
        Ok(())
    }

    fn end_of_file(&mut self) -> Result<(), Error> {
        let block = self.blocks.last().expect("the root block is never closed");
        let depth = self.lexer.frames.len();
        if block.node != 0 && block.depth == depth {
            let node = &self.model.nodes[block.node as usize];
            let keyword = match node.kind {
                NodeKind::If => "if",
                NodeKind::Menu => "menu",
                _ => "choice",
            };
            return Err(Error::Syntax {
                file: self.lexer.file_name().to_owned(),
                line: node.position.line,
                message: format!("missing end statement for this '{keyword}' entry"),
            });
        }
        self.lexer.frames.pop();
        Ok(())
    }

    fn inside_choice(&self) -> bool {
        self.blocks
            .iter()
            .any(|block| self.model.nodes[block.node as usize].kind == NodeKind::Choice)
    }

    fn intern(&mut self, quoted: bool) -> SymbolId {
        let text = &self.lexer.text;
        match text.as_slice() {
            b"n" => return N,
            b"m" => return M,
            b"y" => return Y,
            _ => {}
        }
        let (symbol, new) = self.model.names.intern(text, quoted);
        if new {
            self.model.symbols.push(Symbol::new(Type::Unknown));
        }
        symbol
    }

    fn word(&mut self, what: &str) -> Result<SymbolId, Error> {
        self.expect(Token::Word, what)?;
        Ok(self.intern(false))
    }

    fn symbol(&mut self) -> Result<SymbolId, Error> {
        match self.next()? {
            Token::Word => Ok(self.intern(false)),
            Token::Quoted => Ok(self.intern(true)),
            _ => Err(self.error("syntax error: expected a symbol")),
        }
    }

    /// A prompt, title or main menu text, without the blanks in front.
    fn title(&mut self) -> Result<u32, Error> {
        self.expect(Token::Quoted, "a text in quotes")?;
        Ok(self.add_text())
    }

    fn add_text(&mut self) -> u32 {
        let text = &self.lexer.text;
        let blank = |byte: &u8| matches!(byte, b' ' | b'\t');
        let start = text.iter().position(|byte| !blank(byte));
        let text = &text[start.unwrap_or(text.len())..];
        self.model.texts.push(text)
    }

    // Statements.

    fn statements(&mut self) -> Result<(), Error> {
        let mut first = true;
        while !self.lexer.frames.is_empty() {
            let token = self.next()?;
            match token {
                Token::Newline => continue,
                Token::End => self.end_of_file()?,
                Token::Keyword(Keyword::Mainmenu) if first => {
                    self.expect(Token::Quoted, "a text in quotes")?;
                    self.main_menu = Some(std::mem::take(&mut self.lexer.text));
                    self.end_of_statement()?;
                }
                Token::Keyword(Keyword::Config) => self.config(NodeKind::Config)?,
                Token::Keyword(Keyword::Menuconfig) if !self.inside_choice() => {
                    self.config(NodeKind::Menuconfig)?;
                }
                Token::Keyword(Keyword::Comment) => self.comment()?,
                Token::Keyword(Keyword::If) => self.if_block()?,
                Token::Keyword(Keyword::Endif) => self.close_block(NodeKind::If, "endif")?,
                Token::Keyword(Keyword::Endmenu) => self.close_block(NodeKind::Menu, "endmenu")?,
                Token::Keyword(Keyword::Endchoice) => {
                    self.close_block(NodeKind::Choice, "endchoice")?;
                }
                Token::Keyword(Keyword::Menu) if !self.inside_choice() => self.menu()?,
                Token::Keyword(Keyword::Choice) if !self.inside_choice() => self.choice()?,
                Token::Keyword(Keyword::Source) if !self.inside_choice() => self.source()?,
                Token::Word if !self.inside_choice() => self.assignment()?,
                _ => return Err(self.error("syntax error: unexpected statement")),
            }
            first = false;
        }
        Ok(())
    }

    fn assignment(&mut self) -> Result<(), Error> {
        let name = std::mem::take(&mut self.lexer.text);
        let operator = match self.next()? {
            Token::Equal => Assignment::Recursive,
            Token::ColonEqual => Assignment::Simple,
            Token::PlusEqual => Assignment::Append,
            _ => return Err(self.error("syntax error: unknown statement")),
        };
        let value = self.lexer.value();
        let site = Site {
            file: &self.lexer.files
                [self.lexer.frames.last().map_or(0, |frame| frame.file) as usize],
            line: self.lexer.line,
        };
        self.lexer.macros.assign(&name, operator, &value, site)?;
        self.end_of_statement()
    }

    fn if_block(&mut self) -> Result<(), Error> {
        let position = self.position();
        let expr = self.condition()?;
        self.end_of_statement()?;
        let node = self.node(NodeKind::If, NONE, position);
        self.depend(node, expr, position.line);
        self.open_block(node)
    }

    fn menu(&mut self) -> Result<(), Error> {
        let position = self.position();
        let title = self.title()?;
        self.end_of_statement()?;
        let node = self.node(NodeKind::Menu, NONE, position);
        self.model.nodes[node as usize].prompt = title;
        loop {
            match self.next()? {
                Token::Newline => {}
                Token::Keyword(Keyword::Depends) => self.depends(node)?,
                Token::Keyword(Keyword::Visible) => self.visible(node)?,
                token => {
                    self.peeked = Some(token);
                    break;
                }
            }
        }
        self.open_block(node)
    }

    fn visible(&mut self, node: NodeId) -> Result<(), Error> {
        let line = self.lexer.line;
        if self.peek()? == Token::Keyword(Keyword::If) {
            self.next()?;
            let start = self.model.exprs.0.len();
            let expr = self.expression(false)?;
            let exprs = &mut self.model.exprs;
            let inside = exprs.with_modules(expr, start);
            let menu = &mut self.model.nodes[node as usize];
            menu.visible = exprs.and(menu.visible, expr);
            menu.visible_inside = exprs.and(menu.visible_inside, inside);
            menu.visible_line = line;
        }
        self.end_of_statement()
    }

    fn comment(&mut self) -> Result<(), Error> {
        let position = self.position();
        let title = self.title()?;
        self.end_of_statement()?;
        let node = self.node(NodeKind::Comment, NONE, position);
        self.model.nodes[node as usize].prompt = title;
        loop {
            match self.next()? {
                Token::Newline => {}
                Token::Keyword(Keyword::Depends) => self.depends(node)?,
                token => {
                    self.peeked = Some(token);
                    return Ok(());
                }
            }
        }
    }

    fn choice(&mut self) -> Result<(), Error> {
        let position = self.position();
        let symbol = if self.dialect.choice_is_symbol && self.peek()? == Token::Word {
            self.next()?;
            self.intern(false)
        } else {
            let symbol = self.model.names.anonymous();
            self.model.symbols.push(Symbol::new(Type::Unknown));
            symbol
        };
        self.end_of_statement()?;
        let node = self.node(NodeKind::Choice, symbol, position);
        let index = match self.model.symbols[symbol as usize].own_choice {
            NONE => {
                let index = self.model.choices.len();
                self.model.choices.push(Choice {
                    symbol,
                    optional: false,
                    members: Vec::new(),
                    entries: Vec::new(),
                    prompts: Vec::new(),
                });
                self.model.symbols[symbol as usize].own_choice = index as u32;
                index
            }
            index => index as usize,
        };
        loop {
            let token = self.next()?;
            let old = self.dialect.choice_is_symbol;
            match token {
                Token::Newline => continue,
                Token::Keyword(Keyword::Prompt) => self.prompt(node, symbol)?,
                Token::Keyword(Keyword::Bool) if self.dialect.choice_bool => {
                    self.set_type(node, symbol, Type::Bool);
                    self.optional_prompt(node, symbol)?;
                }
                Token::Keyword(Keyword::Tristate) if old => {
                    self.set_type(node, symbol, Type::Tristate);
                    self.optional_prompt(node, symbol)?;
                }
                Token::Keyword(Keyword::Optional) if old => {
                    self.model.choices[index].optional = true;
                    self.end_of_statement()?;
                }
                Token::Keyword(Keyword::Default) => {
                    let line = self.lexer.line;
                    let value = self.word("a symbol")?;
                    let own = self.optional_condition()?;
                    self.end_of_statement()?;
                    let kind = PropertyKind::Default(ExprId::symbol(value));
                    self.property(kind, node, symbol, line, own);
                }
                Token::Keyword(Keyword::Depends) => self.depends(node)?,
                Token::Keyword(Keyword::Help) => self.help(node)?,
                token => {
                    self.peeked = Some(token);
                    break;
                }
            }
        }
        if !self.dialect.choice_is_symbol && self.model.nodes[node as usize].prompt == NONE {
            self.say(Diagnostic::error, position, "choice must have a prompt");
        }
        self.open_block(node)
    }

    fn config(&mut self, kind: NodeKind) -> Result<(), Error> {
        let position = self.position();
        let symbol = self.word("a symbol")?;
        self.end_of_statement()?;
        if symbol <= Y {
            return Err(self.error("a constant cannot be configured"));
        }
        let node = self.node(kind, symbol, position);
        loop {
            let token = self.next()?;
            let line = self.lexer.line;
            let Token::Keyword(keyword) = token else {
                if token == Token::Newline {
                    continue;
                }
                self.peeked = Some(token);
                break;
            };
            match keyword {
                Keyword::Bool => self.typed(node, symbol, Type::Bool)?,
                Keyword::Tristate => self.typed(node, symbol, Type::Tristate)?,
                Keyword::Int => self.typed(node, symbol, Type::Int)?,
                Keyword::Hex => self.typed(node, symbol, Type::Hex)?,
                Keyword::String => self.typed(node, symbol, Type::String)?,
                Keyword::DefBool => {
                    self.default(node, symbol, line)?;
                    self.set_type(node, symbol, Type::Bool);
                }
                Keyword::DefTristate => {
                    self.default(node, symbol, line)?;
                    self.set_type(node, symbol, Type::Tristate);
                }
                Keyword::Default => self.default(node, symbol, line)?,
                Keyword::Prompt => self.prompt(node, symbol)?,
                Keyword::Select | Keyword::Imply => {
                    let target = self.word("a symbol")?;
                    let own = self.optional_condition()?;
                    self.end_of_statement()?;
                    let kind = if keyword == Keyword::Select {
                        PropertyKind::Select(target)
                    } else {
                        PropertyKind::Imply(target)
                    };
                    self.property(kind, node, symbol, line, own);
                }
                Keyword::Range => {
                    let (low, high) = (self.symbol()?, self.symbol()?);
                    let own = self.optional_condition()?;
                    self.end_of_statement()?;
                    self.property(PropertyKind::Range(low, high), node, symbol, line, own);
                }
                Keyword::Modules => {
                    self.end_of_statement()?;
                    let old = self.model.modules;
                    if old != N && old != symbol {
                        let name = |symbol| String::from_utf8_lossy(self.model.names.get(symbol));
                        let message = format!(
                            "symbol '{}' redefines option 'modules' already defined by symbol '{}'",
                            name(symbol),
                            name(old)
                        );
                        self.say(Diagnostic::error, Position { line, ..position }, message);
                    } else {
                        self.model.modules = symbol;
                    }
                }
                Keyword::Transitional => {
                    self.end_of_statement()?;
                    self.model.symbols[symbol as usize].transitional = true;
                }
                Keyword::Depends => self.depends(node)?,
                Keyword::Help => self.help(node)?,
                _ => {
                    self.peeked = Some(token);
                    break;
                }
            }
        }
        let is_prompted = self.model.nodes[node as usize].prompt != NONE;
        if kind == NodeKind::Menuconfig && !is_prompted {
            let message = "menuconfig statement without prompt";
            match self.dialect.transitional {
                true => self.say(Diagnostic::error, position, message),
                false => self.say(Diagnostic::warning, position, message),
            }
        }
        if !self.dialect.choice_is_symbol && self.model.choice_around(node).is_some() {
            if !is_prompted {
                self.say(
                    Diagnostic::error,
                    position,
                    "choice member must have a prompt",
                );
            }
            if self.model.symbols[symbol as usize].kind != Type::Bool {
                self.say(Diagnostic::error, position, "choice member must be bool");
            }
        }
        Ok(())
    }

    fn say<M>(
        &mut self,
        severity: impl Fn(&str, u32, M) -> Diagnostic,
        place: Position,
        message: M,
    ) {
        let file = &self.lexer.files[place.file as usize];
        let diagnostic = severity(file, place.line, message);
        self.lexer.macros.diagnostics.push(diagnostic);
    }

    fn set_type(&mut self, node: NodeId, symbol: SymbolId, kind: Type) {
        let declared = self.model.symbols[symbol as usize].kind;
        if declared == Type::Unknown {
            self.model.symbols[symbol as usize].kind = kind;
        } else if declared != kind {
            let name = String::from_utf8_lossy(self.model.names.get(symbol)).into_owned();
            let message = format!(
                "ignoring type redefinition of '{name}' from '{}' to '{}'",
                declared.keyword(),
                kind.keyword()
            );
            let place = self.model.nodes[node as usize].position;
            self.say(Diagnostic::warning, place, message);
        }
    }

    fn typed(&mut self, node: NodeId, symbol: SymbolId, kind: Type) -> Result<(), Error> {
        self.set_type(node, symbol, kind);
        self.optional_prompt(node, symbol)
    }

    fn optional_prompt(&mut self, node: NodeId, symbol: SymbolId) -> Result<(), Error> {
        if self.peek()? == Token::Quoted {
            self.prompt(node, symbol)
        } else {
            self.end_of_statement()
        }
    }

    fn prompt(&mut self, node: NodeId, symbol: SymbolId) -> Result<(), Error> {
        let line = self.lexer.line;
        let title = self.title()?;
        let own = self.optional_condition()?;
        let mut menus = ExprId::Y;
        self.end_of_statement()?;
        let entry = &self.model.nodes[node as usize];
        if entry.prompt != NONE {
            let file = entry.position.file;
            self.say(
                Diagnostic::warning,
                Position { file, line },
                "prompt redefined",
            );
        }
        let entry = &mut self.model.nodes[node as usize];
        entry.prompt = title;
        let mut around = entry.parent;
        while around != NONE {
            let menu = &self.model.nodes[around as usize];
            let (visible, parent) = (menu.visible_inside, menu.parent);
            menus = self.model.exprs.and(menus, visible);
            around = parent;
        }
        self.property(PropertyKind::Prompt(title), node, symbol, line, own);
        if let Some(property) = self.model.properties.last_mut() {
            property.menus = menus;
        }
        Ok(())
    }

    fn default(&mut self, node: NodeId, symbol: SymbolId, line: u32) -> Result<(), Error> {
        let value = self.expression(false)?;
        let own = self.optional_condition()?;
        self.end_of_statement()?;
        self.property(PropertyKind::Default(value), node, symbol, line, own);
        Ok(())
    }

    fn property(
        &mut self,
        kind: PropertyKind,
        node: NodeId,
        owner: SymbolId,
        line: u32,
        own: ExprId,
    ) {
        self.model.properties.push(Property {
            kind,
            owner,
            node,
            line,
            own,
            menus: ExprId::Y,
            condition: ExprId::Y,
        });
    }

    fn depend(&mut self, node: NodeId, expr: ExprId, line: u32) {
        self.model.dependencies.push(Dependency { expr, line });
        self.model.nodes[node as usize].dependencies.1 = self.model.dependencies.len() as u32;
    }

    fn depends(&mut self, node: NodeId) -> Result<(), Error> {
        let line = self.lexer.line;
        self.expect(Token::Keyword(Keyword::On), "'on'")?;
        let mut expr = self.condition()?;
        if self.dialect.conditional_depends && self.peek()? == Token::Keyword(Keyword::If) {
            self.next()?;
            let start = self.model.exprs.0.len();
            let condition = self.expression(false)?;
            let negated = self.model.exprs.equals_no(condition, start);
            expr = self.model.exprs.or(expr, negated);
        }
        self.end_of_statement()?;
        self.depend(node, expr, line);
        Ok(())
    }

    fn help(&mut self, node: NodeId) -> Result<(), Error> {
        let line = self.lexer.line;
        self.end_of_statement()?;
        let old = self.model.nodes[node as usize].help;
        let help = self.lexer.help();
        if self.dialect.transitional && (old.0 < old.1 || help.0 == help.1) {
            let message = if old.0 < old.1 {
                "second help text"
            } else {
                "blank help text"
            };
            let error = Diagnostic::error(self.lexer.file_name(), line, message);
            self.lexer.macros.diagnostics.push(error);
        }
        self.model.nodes[node as usize].help = help;
        Ok(())
    }

    // Expressions.

    fn optional_condition(&mut self) -> Result<ExprId, Error> {
        if self.peek()? == Token::Keyword(Keyword::If) {
            self.next()?;
            self.condition()
        } else {
            Ok(ExprId::Y)
        }
    }

    fn condition(&mut self) -> Result<ExprId, Error> {
        self.expression(true)
    }

    /// An expression, by operator precedence with explicit stacks: nesting costs no stack.
    fn expression(&mut self, modules: bool) -> Result<ExprId, Error> {
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        enum Pending {
            Open,
            Or,
            And,
            Not,
        }
        let mut pending: Vec<Pending> = Vec::new();
        let mut operands: Vec<ExprId> = Vec::new();
        let reduce = |exprs: &mut Exprs,
                      pending: &mut Vec<Pending>,
                      operands: &mut Vec<ExprId>,
                      least: Pending| {
            while let Some(top) = pending.last().copied().filter(|top| *top >= least) {
                pending.pop();
                let right = operands.pop().expect("an operator has its operands");
                let result = match top {
                    Pending::Not => exprs.push(Expr::Not(right)),
                    _ => {
                        let left = operands.pop().expect("an operator has its operands");
                        exprs.push(if top == Pending::And {
                            Expr::And(left, right)
                        } else {
                            Expr::Or(left, right)
                        })
                    }
                };
                operands.push(result);
            }
        };
        loop {
            match self.next()? {
                Token::Not => {
                    pending.push(Pending::Not);
                    continue;
                }
                Token::Open => {
                    pending.push(Pending::Open);
                    continue;
                }
                token @ (Token::Word | Token::Quoted) => {
                    let left = self.intern(token == Token::Quoted);
                    let operand = match self.comparison()? {
                        Some(comparison) => {
                            let right = self.symbol()?;
                            let compare = Expr::Compare(comparison, left, right);
                            self.model.exprs.push(compare)
                        }
                        None if left == M && modules => ExprId::M_AND_MODULES,
                        None => ExprId::symbol(left),
                    };
                    operands.push(operand);
                }
                _ => return Err(self.error("syntax error: expected an expression")),
            }
            // Behind an operand: operators, and parentheses that close.
            loop {
                let exprs = &mut self.model.exprs;
                reduce(exprs, &mut pending, &mut operands, Pending::Not);
                match self.next()? {
                    Token::And => {
                        reduce(
                            &mut self.model.exprs,
                            &mut pending,
                            &mut operands,
                            Pending::And,
                        );
                        pending.push(Pending::And);
                        break;
                    }
                    Token::Or => {
                        reduce(
                            &mut self.model.exprs,
                            &mut pending,
                            &mut operands,
                            Pending::Or,
                        );
                        pending.push(Pending::Or);
                        break;
                    }
                    Token::Close => {
                        reduce(
                            &mut self.model.exprs,
                            &mut pending,
                            &mut operands,
                            Pending::Or,
                        );
                        if pending.pop() != Some(Pending::Open) {
                            return Err(self.error("syntax error: unmatched ')'"));
                        }
                    }
                    token => {
                        self.peeked = Some(token);
                        reduce(
                            &mut self.model.exprs,
                            &mut pending,
                            &mut operands,
                            Pending::Or,
                        );
                        if !pending.is_empty() {
                            return Err(self.error("syntax error: missing ')'"));
                        }
                        return Ok(operands.pop().expect("one operand is left"));
                    }
                }
            }
        }
    }

    fn comparison(&mut self) -> Result<Option<Comparison>, Error> {
        let comparison = match self.peek()? {
            Token::Equal => Comparison::Equal,
            Token::Unequal => Comparison::Unequal,
            Token::Less => Comparison::Less,
            Token::LessEqual => Comparison::LessEqual,
            Token::Greater => Comparison::Greater,
            Token::GreaterEqual => Comparison::GreaterEqual,
            _ => return Ok(None),
        };
        self.next()?;
        Ok(Some(comparison))
    }

    fn finish(mut self) -> Result<Parsed, Error> {
        let nodes = self.model.nodes.len() as NodeId;
        self.model.nodes[0].end = nodes;
        let files = self.lexer.files;
        let mut diagnostics = self.lexer.macros.diagnostics;
        let failed = |diagnostics: &[Diagnostic]| {
            let mut severities = diagnostics.iter().map(|diagnostic| diagnostic.severity);
            severities.any(|severity| severity == Severity::Error)
        };
        if !failed(&diagnostics) {
            self.model.link(self.dialect, &files, &mut diagnostics);
        }
        if failed(&diagnostics) {
            return Err(Error::Invalid { diagnostics });
        }
        self.model.order(self.dialect, &files)?;
        Ok(Parsed {
            model: self.model,
            files,
            contents: self.contents,
            referenced: self.lexer.macros.referenced,
            unset: self.lexer.macros.unset,
            diagnostics,
            main_menu: self.main_menu.unwrap_or_else(|| b"Main menu".to_vec()),
        })
    }
}
