//! Probes that need no shell: the handful of forms that compare words.
//!
//! Only what is certain is answered; everything else is the shell's.

/// The output of `command`, if it is one of the simple forms. `on_path` says whether
/// a program is found, `exists` whether a path is there.
pub(super) fn answer(
    command: &str,
    on_path: impl Fn(&str) -> bool,
    exists: impl Fn(&str) -> bool,
) -> Option<Vec<u8>> {
    if let Some(rest) = command.strip_prefix("set -- ") {
        let (list, echo) = rest.split_once(" && echo $")?;
        let number: usize = echo
            .trim_end()
            .parse()
            .ok()
            .filter(|number| (1..10).contains(number))?;
        let words = words(list)?;
        let word = words.get(number - 1).map_or("", String::as_str);
        return plain(word).then(|| format!("{word}\n").into_bytes());
    }
    let rest = command.strip_prefix("{ ")?;
    let (condition, rest) = rest.split_once("; } >/dev/null 2>&1 && echo \"")?;
    let (yes, no) = rest.split_once("\" || echo \"")?;
    let no = no.strip_suffix('"')?;
    if !plain(yes) || !plain(no) {
        return None;
    }
    let holds = evaluate(&words(condition)?, on_path, exists)?;
    Some(format!("{}\n", if holds { yes } else { no }).into_bytes())
}

/// Whether `echo` prints a word as it is: no option, no escape.
fn plain(word: &str) -> bool {
    !(word.len() == 2 && matches!(word, "-n" | "-e" | "-E"))
        && word
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.,:=/+".contains(&byte))
}

fn evaluate(
    words: &[String],
    on_path: impl Fn(&str) -> bool,
    exists: impl Fn(&str) -> bool,
) -> Option<bool> {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let operand = |word: &str| !matches!(word, "(" | ")" | "!" | "-a" | "-o");
    match words[..] {
        // Not found may still be a builtin: the shell knows.
        ["command", "-v", program] if on_path(program) => Some(true),
        ["test", "-z", text] => Some(text.is_empty()),
        ["test", "-n", text] => Some(!text.is_empty()),
        ["test", "-e", path] if path.starts_with('/') => Some(exists(path)),
        ["test", a, operator, b] if operand(a) && operand(b) => {
            let number = |text: &str| text.parse::<i64>().ok();
            Some(match operator {
                "=" => a == b,
                "!=" => a != b,
                "-eq" => number(a)? == number(b)?,
                "-ne" => number(a)? != number(b)?,
                "-lt" => number(a)? < number(b)?,
                "-le" => number(a)? <= number(b)?,
                "-gt" => number(a)? > number(b)?,
                "-ge" => number(a)? >= number(b)?,
                _ => return None,
            })
        }
        _ => None,
    }
}

/// Splits a simple command; nothing if the shell would do more than split it.
fn words(text: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut current: Option<String> = None;
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match character {
            ' ' | '\t' => words.extend(current.take()),
            '"' | '\'' => {
                let word = current.get_or_insert_default();
                loop {
                    match characters.next()? {
                        end if end == character => break,
                        '$' | '`' | '\\' if character == '"' => return None,
                        inside => word.push(inside),
                    }
                }
            }
            plain if plain.is_alphanumeric() || "-_.,:=/+@%!".contains(plain) => {
                current.get_or_insert_default().push(plain);
            }
            _ => return None,
        }
    }
    words.extend(current);
    Some(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn simple_forms_are_answered_as_the_shell_does() {
        let check = |command: &str, expected: Option<&str>| {
            let answer = answer(command, |name| name == "gcc", |path| path == "/there");
            let answer = answer.map(|output| String::from_utf8(output).unwrap());
            assert_eq!(answer.as_deref(), expected, "{command}");
        };
        let if_success = |condition: &str| {
            format!("{{ {condition}; }} >/dev/null 2>&1 && echo \"y\" || echo \"n\"")
        };
        let holds =
            |condition: &str, expected: Option<&str>| check(&if_success(condition), expected);
        holds("test \"GCC\" = GCC", Some("y\n"));
        holds("test \"GCC\" = Clang", Some("n\n"));
        holds("test -z \"GCC 120200\"", Some("n\n"));
        holds("test -z \"\"", Some("y\n"));
        holds("test -n x", Some("y\n"));
        holds("test 12 -ge 9", Some("y\n"));
        holds("test x -ge 9", None);
        holds("test -e /there", Some("y\n"));
        holds("test -e /not", Some("n\n"));
        holds("test -e relative", None);
        holds("command -v gcc", Some("y\n"));
        holds("command -v cd", None);
        holds("test -n \"$X\"", None);
        holds("test a = b || true", None);
        holds("test ! = x", None);
        holds("gcc -Werror", None);
        check("set -- GCC 120200 && echo $2", Some("120200\n"));
        check("set -- GCC && echo $2", Some("\n"));
        check("set -- a;b && echo $1", None);
        check("set -- * && echo $1", None);
        check(
            "{ command -v gcc; } >/dev/null 2>&1 && echo \"n\" || echo \"y\"",
            Some("n\n"),
        );
        check(
            "{ true; } >/dev/null 2>&1 && echo \"-m32\" || echo \"\"",
            None,
        );
    }

    #[test]
    fn answers_agree_with_a_real_shell() {
        for condition in [
            "test \"a b\" = 'a b'",
            "test -z ''",
            "test -5 -lt 3",
            "test 007 -eq 7",
            "test a != a",
            "test -e /",
        ] {
            let command = format!("{{ {condition}; }} >/dev/null 2>&1 && echo \"y\" || echo \"n\"");
            let call = crate::process::Call::new("/bin/sh", "/").args(["-c", &command]);
            let output = crate::effect::exec::capture(&call).unwrap();
            let answer = answer(
                &command,
                |_| false,
                |path| std::path::Path::new(path).exists(),
            );
            assert_eq!(answer, Some(output.stdout), "{command}");
        }
    }
}
