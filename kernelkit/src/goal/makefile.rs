//! As much of make's language as an architecture's Makefile needs to say what its
//! configuration goals do. What is not understood is not guessed.

use std::collections::BTreeMap;

use camino::Utf8PathBuf;

/// What a line of a recipe does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// `$(MAKE) [KCONFIG_ALLCONFIG=FILE] -f $(srctree)/Makefile GOAL…`.
    Goals {
        goals: Vec<String>,
        /// From the top of the tree.
        allconfig: Option<Utf8PathBuf>,
    },
    /// `$(call merge_into_defconfig,BASE,FRAGMENT…)`, files of the architecture's `configs`,
    /// fragments without `.config` (`scripts/Makefile.defconf`).
    Merge {
        base: String,
        fragments: Vec<String>,
    },
    /// Anything else.
    Other,
}

/// The rules of goals that end in `config` and are spelled out.
#[derive(Debug, Default)]
pub(super) struct Rules {
    rules: BTreeMap<String, Vec<Action>>,
    computed: bool,
}

impl Rules {
    pub(super) fn read(makefile: &str) -> Self {
        let mut rules = Rules::default();
        let mut current: Option<String> = None;
        for line in logical_lines(makefile) {
            if let Some(recipe) = line.strip_prefix('\t') {
                if let Some(goal) = &current {
                    let actions = rules.rules.entry(goal.clone()).or_default();
                    actions.push(action(recipe));
                }
                continue;
            }
            let line = line.split('#').next().unwrap_or_default().trim_end();
            if line.is_empty() {
                continue;
            }
            current = None;
            let Some((target, rest)) = line.split_once(':') else {
                rules.computed |= line.contains("$(eval") && line.contains("config");
                continue;
            };
            let target = target.trim();
            if rest.starts_with(['=', ':']) {
                continue;
            }
            if !is_plain(target) {
                // Of `%.config` in a directory, and the like, no goal is made.
                rules.computed |= target.ends_with("defconfig") || target.ends_with("configs)");
                continue;
            }
            if !target.ends_with("config") {
                continue;
            }
            let prerequisites: Vec<_> = rest.split_whitespace().map(str::to_owned).collect();
            let actions = rules.rules.entry(target.to_owned()).or_default();
            if !prerequisites.is_empty() {
                actions.push(Action::Goals {
                    goals: prerequisites,
                    allconfig: None,
                });
            }
            current = Some(target.to_owned());
        }
        rules
    }

    /// What is done for `goal`; `None` where no rule spells it out.
    pub(super) fn actions(&self, goal: &str) -> Option<&[Action]> {
        self.rules.get(goal).map(Vec::as_slice)
    }

    /// The goals with rules.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.rules.keys().map(String::as_str)
    }

    /// Whether there are rules for configuration goals whose names are computed.
    pub(super) fn computed(&self) -> bool {
        self.computed
    }
}

fn is_plain(word: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
    !word.is_empty() && word.bytes().all(plain)
}

/// Lines with their continuations.
fn logical_lines(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let mut continued = false;
    for line in text.lines() {
        let (body, more) = match line.strip_suffix('\\') {
            Some(body) => (body, true),
            None => (line, false),
        };
        match lines.last_mut().filter(|_| continued) {
            Some(last) => {
                last.push(' ');
                last.push_str(body.trim_start());
            }
            None => lines.push(body.to_owned()),
        }
        continued = more;
    }
    lines
}

fn action(recipe: &str) -> Action {
    let line = recipe.trim_start_matches(['@', '+', '-', ' ', '\t']);
    let line = line.strip_prefix("$(Q)").unwrap_or(line).trim();
    if let Some(call) = line
        .strip_prefix("$(call merge_into_defconfig_override,")
        .or_else(|| line.strip_prefix("$(call merge_into_defconfig,"))
        && let Some((base, fragments)) = call
            .strip_suffix(')')
            .and_then(|arguments| arguments.split_once(','))
        && let fragments = fragments.split_whitespace().map(str::to_owned)
        && is_plain(base.trim())
    {
        let fragments: Vec<_> = fragments.collect();
        return match fragments.iter().all(|fragment| is_plain(fragment)) {
            true => Action::Merge {
                base: base.trim().to_owned(),
                fragments,
            },
            false => Action::Other,
        };
    }
    submake(line).unwrap_or(Action::Other)
}

fn submake(line: &str) -> Option<Action> {
    let mut allconfig = None;
    let mut goals = Vec::new();
    let mut makes = false;
    let mut words = line.split_whitespace();
    while let Some(word) = words.next() {
        if word == "$(MAKE)" && !makes {
            makes = true;
        } else if let Some(file) = word.strip_prefix("KCONFIG_ALLCONFIG=") {
            let file = file.strip_prefix("$(srctree)/").unwrap_or(file);
            if file.contains('$') || file.starts_with('/') {
                return None;
            }
            allconfig = Some(Utf8PathBuf::from(file));
        } else if word == "-f" && makes {
            words.next().filter(|file| *file == "$(srctree)/Makefile")?;
        } else if makes && is_plain(word) {
            goals.push(word.to_owned());
        } else {
            return None;
        }
    }
    (makes && !goals.is_empty()).then_some(Action::Goals { goals, allconfig })
}

/// Something in a Makefile that is not understood here.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NotUnderstood;

/// The variables at a place of a Makefile.
pub(super) struct Variables<'a> {
    values: BTreeMap<String, Result<String, NotUnderstood>>,
    machine: &'a str,
}

/// A conditional that a line stands in.
struct Branch {
    /// Whether its lines hold; not known where the condition is not understood.
    holds: Option<bool>,
    /// Whether one of its branches did.
    taken: Option<bool>,
}

impl<'a> Variables<'a> {
    /// The value that `makefile` gives to `name`, if it does. `known` are variables from before;
    /// `MACHINE` among them is what `uname -m` prints.
    pub(super) fn assigned(
        makefile: &str,
        known: &[(&str, &'a str)],
        name: &str,
    ) -> Result<Option<String>, NotUnderstood> {
        let machine = known.iter().find(|(name, _)| *name == "MACHINE");
        let mut variables = Variables {
            values: known
                .iter()
                .map(|(name, value)| ((*name).to_owned(), Ok((*value).to_owned())))
                .collect(),
            machine: machine.map_or("", |(_, machine)| machine),
        };
        let mut branches: Vec<Branch> = Vec::new();
        let mut in_define = false;
        for line in logical_lines(makefile) {
            // `#` in a comment only: a value with one is not understood anyway.
            let line = line.split('#').next().unwrap_or_default().trim();
            let (word, rest) = line
                .split_once(|character: char| character.is_whitespace() || character == '(')
                .unwrap_or((line, ""));
            match word {
                "endef" => in_define = false,
                "define" => in_define = true,
                _ if in_define => {}
                "ifeq" | "ifneq" | "ifdef" | "ifndef" => {
                    let holds = variables.condition(word, rest).ok();
                    branches.push(Branch {
                        holds,
                        taken: holds,
                    });
                }
                "else" => {
                    let (kind, condition) = rest
                        .trim()
                        .split_once(|character: char| character.is_whitespace() || character == '(')
                        .unwrap_or((rest.trim(), ""));
                    let condition = match kind {
                        "" => Some(true),
                        kind => variables.condition(kind, condition).ok(),
                    };
                    if let Some(branch) = branches.last_mut() {
                        branch.holds = match (branch.taken, condition) {
                            (Some(true), _) => Some(false),
                            (Some(false), condition) => condition,
                            (None, _) => None,
                        };
                        branch.taken = match (branch.taken, branch.holds) {
                            (Some(true), _) | (_, Some(true)) => Some(true),
                            (Some(false), Some(false)) => Some(false),
                            _ => None,
                        };
                    }
                }
                "endif" => {
                    branches.pop();
                }
                _ => variables.assign(line, &branches),
            }
        }
        match variables.values.remove(name) {
            Some(Ok(value)) => Ok(Some(value)),
            Some(Err(error)) => Err(error),
            None => Ok(None),
        }
    }

    fn assign(&mut self, line: &str, branches: &[Branch]) {
        let Some((left, value)) = line.split_once('=') else {
            return;
        };
        let appends = left.ends_with('+');
        let if_absent = left.ends_with('?');
        let name = left.trim_end_matches([':', '+', '?']).trim();
        if !is_plain(name) || branches.iter().any(|branch| branch.holds == Some(false)) {
            return;
        }
        if if_absent && self.values.contains_key(name) {
            return;
        }
        let unsure = branches.iter().any(|branch| branch.holds.is_none());
        let value = match unsure || appends {
            true => Err(NotUnderstood),
            false => self.expand(value.trim()),
        };
        self.values.insert(name.to_owned(), value);
    }

    fn condition(&self, kind: &str, rest: &str) -> Result<bool, NotUnderstood> {
        let rest = rest.trim();
        match kind {
            "ifdef" | "ifndef" => {
                let defined = match self.values.get(rest) {
                    Some(Ok(value)) => !value.is_empty(),
                    // Nothing is configured yet.
                    None if rest.starts_with("CONFIG_") => false,
                    _ => return Err(NotUnderstood),
                };
                Ok(defined == (kind == "ifdef"))
            }
            "ifeq" | "ifneq" => {
                let rest = rest.trim_start_matches('(');
                let rest = rest.strip_suffix(')').ok_or(NotUnderstood)?;
                let comma = top_level_comma(rest).ok_or(NotUnderstood)?;
                let left = self.expand(rest[..comma].trim())?;
                let right = self.expand(rest[comma + 1..].trim())?;
                Ok((left == right) == (kind == "ifeq"))
            }
            _ => Err(NotUnderstood),
        }
    }

    fn expand(&self, text: &str) -> Result<String, NotUnderstood> {
        let Some(start) = text.find('$') else {
            return Ok(text.to_owned());
        };
        let rest = text[start..].strip_prefix("$(").ok_or(NotUnderstood)?;
        let end = closing(rest).ok_or(NotUnderstood)?;
        let value = self.reference(&rest[..end])?;
        let after = self.expand(&rest[end + 1..])?;
        Ok(format!("{}{value}{after}", &text[..start]))
    }

    fn reference(&self, inside: &str) -> Result<String, NotUnderstood> {
        let Some((function, arguments)) = inside.split_once(' ') else {
            return match self.values.get(inside) {
                Some(Ok(value)) => Ok(value.clone()),
                None if inside.starts_with("CONFIG_") => Ok(String::new()),
                _ => Err(NotUnderstood),
            };
        };
        let split = |text: &str| -> Vec<String> {
            let mut parts = Vec::new();
            let mut rest = text;
            while let Some(comma) = top_level_comma(rest) {
                parts.push(rest[..comma].trim().to_owned());
                rest = &rest[comma + 1..];
            }
            parts.push(rest.trim().to_owned());
            parts
        };
        match (function, split(arguments).as_slice()) {
            ("if", [condition, yes]) => match self.expand(condition)?.is_empty() {
                true => Ok(String::new()),
                false => self.expand(yes),
            },
            ("if", [condition, yes, no]) => match self.expand(condition)?.is_empty() {
                true => self.expand(no),
                false => self.expand(yes),
            },
            ("filter", [patterns, words]) => {
                let patterns = self.expand(patterns)?;
                let words = self.expand(words)?;
                let matches = |word: &&str| {
                    patterns
                        .split_whitespace()
                        .any(|pattern| match pattern.split_once('%') {
                            Some((start, end)) => {
                                word.len() >= start.len() + end.len()
                                    && word.starts_with(start)
                                    && word.ends_with(end)
                            }
                            None => pattern == *word,
                        })
                };
                let found: Vec<_> = words.split_whitespace().filter(matches).collect();
                Ok(found.join(" "))
            }
            ("shell", _) if arguments.trim() == "uname -m" => Ok(self.machine.to_owned()),
            ("shell", _) if arguments.trim() == "uname -m | sed -e 's/i.86/i386/'" => {
                let is_i386 = self.machine.len() == 4
                    && self.machine.starts_with('i')
                    && self.machine.ends_with("86");
                Ok(match is_i386 {
                    true => "i386".to_owned(),
                    false => self.machine.to_owned(),
                })
            }
            _ => Err(NotUnderstood),
        }
    }
}

/// Where the parenthesis closes that is open before `text`.
fn closing(text: &str) -> Option<usize> {
    let mut depth = 0usize;
    for (index, byte) in text.bytes().enumerate() {
        match byte {
            b'(' => depth += 1,
            b')' if depth == 0 => return Some(index),
            b')' => depth -= 1,
            _ => {}
        }
    }
    None
}

fn top_level_comma(text: &str) -> Option<usize> {
    let mut depth = 0usize;
    for (index, byte) in text.bytes().enumerate() {
        match byte {
            b'(' => depth += 1,
            b')' => depth = depth.saturating_sub(1),
            b',' if depth == 0 => return Some(index),
            _ => {}
        }
    }
    None
}
