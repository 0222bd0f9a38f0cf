//! Writing `.config`, defconfig, `auto.conf`, `autoconf.h` and `rustc_cfg`.

use super::Kconfig;
use super::eval::Values;
use super::model::{M, NONE, NodeKind, SymbolId, Type};

impl Kconfig {
    /// Symbols in the order `auto.conf` lists them: that of the kernel's hash
    /// table, the newest first within a bucket. Choices, nameless, are in the first.
    pub(super) fn hash_order(&self) -> Vec<SymbolId> {
        let buckets = if self.dialect.choice_is_symbol {
            9973
        } else {
            1 << 14
        };
        let names = &self.model.names;
        let mut order: Vec<(u32, std::cmp::Reverse<SymbolId>)> = (M + 2..names.len() as SymbolId)
            .filter(|symbol| !names.is_quoted(*symbol))
            .map(|symbol| (names.hash(symbol) % buckets, std::cmp::Reverse(symbol)))
            .collect();
        order.sort_unstable();
        order.into_iter().map(|(_, symbol)| symbol.0).collect()
    }
}

fn push_quoted(out: &mut Vec<u8>, text: &[u8]) {
    out.push(b'"');
    for byte in text {
        if matches!(byte, b'"' | b'\\') {
            out.push(b'\\');
        }
        out.push(*byte);
    }
    out.push(b'"');
}

impl Values<'_> {
    fn push_header(&self, out: &mut Vec<u8>, begin: &[u8], line: &[u8], end: &[u8]) {
        out.extend_from_slice(begin);
        out.extend_from_slice(line);
        out.extend_from_slice(b" Automatically generated file; DO NOT EDIT.\n");
        out.extend_from_slice(line);
        out.push(b' ');
        out.extend_from_slice(&self.kconfig.main_menu);
        out.push(b'\n');
        out.extend_from_slice(end);
    }

    fn push_name(&self, out: &mut Vec<u8>, symbol: SymbolId) {
        out.extend_from_slice(self.kconfig.prefix.as_bytes());
        out.extend_from_slice(self.model().names.get(symbol));
    }

    /// The symbol's line, as in `.config`.
    pub(super) fn push_line(&self, out: &mut Vec<u8>, symbol: SymbolId, unset_as_no: bool) {
        let kind = self.model().symbol(symbol).kind;
        let value = self.bytes_of(symbol);
        if kind.is_logical() && value == b"n" && !unset_as_no {
            out.extend_from_slice(b"# ");
            self.push_name(out, symbol);
            out.extend_from_slice(b" is not set\n");
            return;
        }
        self.push_name(out, symbol);
        out.push(b'=');
        if kind == Type::String {
            push_quoted(out, value);
        } else {
            out.extend_from_slice(value);
        }
        out.push(b'\n');
    }

    pub(super) fn dot_config(&self) -> Vec<u8> {
        let model = self.model();
        let mut out = Vec::with_capacity(256 << 10);
        self.push_header(&mut out, b"#\n", b"#", b"#\n");
        let mut done = vec![false; model.symbols.len()];
        // Visible menus around the current node: where they end, and their title.
        let mut open: Vec<(u32, u32)> = Vec::new();
        let mut gap = false;
        let end_of = |out: &mut Vec<u8>, title: u32| {
            out.extend_from_slice(b"# end of ");
            out.extend_from_slice(model.texts.get(title));
            out.push(b'\n');
        };
        for (index, node) in model.nodes.iter().enumerate().skip(1) {
            while let Some((_, title)) = open.pop_if(|(end, _)| *end <= index as u32) {
                end_of(&mut out, title);
                gap = true;
            }
            match node.kind {
                NodeKind::Menu | NodeKind::Comment => {
                    if self.expr(node.visible) == 0 || self.expr(node.dep) == 0 {
                        continue;
                    }
                    out.extend_from_slice(b"\n#\n# ");
                    out.extend_from_slice(model.texts.get(node.prompt));
                    out.extend_from_slice(b"\n#\n");
                    gap = false;
                    if node.kind == NodeKind::Menu {
                        open.push((node.end, node.prompt));
                    }
                }
                NodeKind::Config | NodeKind::Menuconfig => {
                    let seen = &mut done[node.symbol as usize];
                    if std::mem::replace(seen, true) || !self.is_written(node.symbol) {
                        continue;
                    }
                    if std::mem::take(&mut gap) {
                        out.push(b'\n');
                    }
                    self.push_line(&mut out, node.symbol, false);
                }
                NodeKind::Root | NodeKind::If | NodeKind::Choice => {}
            }
        }
        while let Some((_, title)) = open.pop() {
            end_of(&mut out, title);
        }
        out
    }

    /// Written symbols with another value than n, in the order of the hash table.
    fn set_symbols(&self) -> impl Iterator<Item = SymbolId> {
        self.kconfig.hash_order().into_iter().filter(|symbol| {
            let logical = self.model().symbol(*symbol).kind.is_logical();
            self.is_written(*symbol) && !(logical && self.tristate(*symbol) == 0)
        })
    }

    pub(super) fn auto_conf(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(64 << 10);
        self.push_header(&mut out, b"#\n", b"#", b"#\n");
        for symbol in self.set_symbols() {
            self.push_name(&mut out, symbol);
            out.push(b'=');
            out.extend_from_slice(self.bytes_of(symbol));
            out.push(b'\n');
        }
        out
    }

    pub(super) fn autoconf_h(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(64 << 10);
        self.push_header(&mut out, b"/*\n", b" *", b" */\n");
        for symbol in self.set_symbols() {
            let value = self.bytes_of(symbol);
            out.extend_from_slice(b"#define ");
            self.push_name(&mut out, symbol);
            match self.model().symbol(symbol).kind {
                Type::Bool | Type::Tristate => {
                    out.extend_from_slice(if value == b"m" { b"_MODULE 1" } else { b" 1" });
                }
                Type::String => {
                    out.push(b' ');
                    push_quoted(&mut out, value);
                }
                Type::Hex if self.needs_hex_prefix(symbol) => {
                    out.extend_from_slice(b" 0x");
                    out.extend_from_slice(value);
                }
                _ => {
                    out.push(b' ');
                    out.extend_from_slice(value);
                }
            }
            out.push(b'\n');
        }
        out
    }

    pub(super) fn rustc_cfg(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(64 << 10);
        for symbol in self.set_symbols() {
            if self.model().symbol(symbol).kind.is_logical() {
                out.extend_from_slice(b"--cfg=");
                self.push_name(&mut out, symbol);
                out.push(b'\n');
            }
            out.extend_from_slice(b"--cfg=");
            self.push_name(&mut out, symbol);
            out.push(b'=');
            let value = self.bytes_of(symbol);
            if self.needs_hex_prefix(symbol) {
                push_quoted(&mut out, &[b"0x", value].concat());
            } else {
                push_quoted(&mut out, value);
            }
            out.push(b'\n');
        }
        out
    }

    /// C and Rust need the prefix that Kconfig leaves to taste.
    fn needs_hex_prefix(&self, symbol: SymbolId) -> bool {
        self.model().symbol(symbol).kind == Type::Hex
            && !matches!(self.bytes_of(symbol), [b'0', b'x' | b'X', ..])
    }

    /// What make needs to know when `auto.conf` is out of date.
    pub(super) fn auto_conf_cmd(&self, auto_conf: &str) -> Vec<u8> {
        let kconfig = self.kconfig;
        let old = kconfig.dialect.choice_is_symbol;
        let mut out = String::new();
        let target = if old { auto_conf } else { "$(autoconfig)" };
        if !old {
            out.push_str(&format!("autoconfig := {auto_conf}\n\n"));
        }
        out.push_str("deps_config := \\\n");
        let mut files: Vec<_> = kconfig.files.iter().collect();
        if old {
            files.reverse();
        }
        for file in files {
            out.push_str(&format!("\t{file} \\\n"));
        }
        out.push_str(&format!("\n{target}: $(deps_config)\n"));
        let gap = if old { "" } else { "\n" };
        if old {
            out.push('\n');
        } else {
            out.push_str("$(deps_config): ;\n");
        }
        for (name, value) in &kconfig.referenced {
            out.push_str(&format!(
                "{gap}ifneq \"$({name})\" \"{value}\"\n{target}: FORCE\nendif\n"
            ));
        }
        if old {
            out.push_str("\n$(deps_config): ;\n");
        }
        out.into_bytes()
    }

    /// The text a symbol has without a user value.
    fn default_text(&self, symbol: SymbolId) -> &[u8] {
        let model = self.model();
        let entry = model.symbol(symbol);
        match entry.kind {
            Type::Bool | Type::Tristate => {
                let mut value = self.logical_default(symbol).map_or(0, |(_, value)| value);
                value = value.max(self.reverse(symbol));
                let member = entry.choice != NONE;
                if value == 1 && (entry.kind == Type::Bool || (self.modules() == 0 && !member)) {
                    value = 2;
                }
                value = value.max(self.implied(symbol));
                [&b"n"[..], b"m", b"y"][usize::from(value)]
            }
            kind => match self.text_default(symbol) {
                Some(default) => self.bytes_of(default),
                None if self.kconfig.dialect.choice_is_symbol => b"",
                None => match kind {
                    Type::Int => b"0",
                    Type::Hex => b"0x0",
                    _ => b"",
                },
            },
        }
    }

    pub(super) fn savedefconfig(&self) -> Vec<u8> {
        let model = self.model();
        let mut out = Vec::new();
        let mut done = vec![false; model.symbols.len()];
        for node in &model.nodes {
            if !matches!(node.kind, NodeKind::Config | NodeKind::Menuconfig) {
                continue;
            }
            let symbol = node.symbol;
            let seen = std::mem::replace(&mut done[symbol as usize], true);
            if seen || !self.is_written(symbol) || self.visible(symbol) <= self.reverse(symbol) {
                continue;
            }
            if self.bytes_of(symbol) == self.default_text(symbol) {
                continue;
            }
            let entry = model.symbol(symbol);
            if entry.choice != NONE && self.tristate(symbol) == 2 {
                let choice = &model.choices[entry.choice as usize];
                let counts = !self.kconfig.dialect.choice_is_symbol
                    || (!choice.optional && entry.kind == Type::Bool);
                if counts && self.default_member(entry.choice) == Some(symbol) {
                    continue;
                }
            }
            self.push_line(&mut out, symbol, false);
        }
        out
    }

    /// What `helpnewconfig` prints.
    pub(super) fn new_symbols_help(&self) -> Vec<u8> {
        let menus = self.model().menus(self.kconfig.dialect);
        let mut out = Vec::new();
        for node in self.new_entries(&menus) {
            out.extend_from_slice(b"-----\n");
            out.extend_from_slice(&self.help_block(node, &menus));
            out.extend_from_slice(b"-----\n");
        }
        out
    }
}
