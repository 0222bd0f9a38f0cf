//! Configuration files as people and scripts break them.

use crate::random::Random;

const VALUES: &[&[u8]] = &[
    b"n",
    b"m",
    b"y",
    b"Y",
    b"yes",
    b"0",
    b"-5",
    b"007",
    b"99999999",
    b"18446744073709551616",
    b"0xff",
    b"0XFF",
    b"ff",
    b"0x",
    b"\"x\"",
    b"\"a\\\"b\\\\c\" tail",
    b"\"open",
    b"\"\"",
    b"",
    b" y",
    b"\"\xe4\xff\"",
];

const LINES: &[&[u8]] = &[
    b"CONFIG_",
    b"CONFIG_=y",
    b"CONFIG_NO_SUCH_SYMBOL=y",
    b"# CONFIG_NO_SUCH_SYMBOL is not set",
    b"CONFIG_PCI",
    b"CONFIG_PCI y",
    b" CONFIG_PCI=y",
    b"# CONFIG_PCI is not set ",
    b"#CONFIG_PCI is not set",
    b"# CONFIG_PCI is not setting",
    b"# CONFIG_PCI",
    b"garbage",
    b"=y",
    b"\r",
    b"",
    b"#",
];

/// `text` with lines dropped, doubled, damaged, flipped and sometimes out of order.
pub(super) fn mutate(random: &mut Random, text: &[u8]) -> Vec<u8> {
    // Some files are hurt badly and some hardly: both find different faults.
    let rate = [1, 3, 10][random.below(3)];
    let carriage_returns = random.chance(10);
    let mut lines = Vec::new();
    for line in text.split(|byte| *byte == b'\n') {
        let mut line = line.to_vec();
        if random.chance(rate * 3) {
            match random.below(8) {
                0..=2 => continue,
                3 => lines.push(line.clone()),
                4 => line.extend_from_slice(random.pick(&[b"\r".as_slice(), b" ", b"x", b"#"])),
                5 => lines.push(random.pick(LINES).to_vec()),
                _ => line = set(random, &line),
            }
        }
        if carriage_returns {
            line.push(b'\r');
        }
        lines.push(line);
    }
    if random.chance(20) {
        random.shuffle(&mut lines);
    }
    let mut text = lines.join(&b'\n');
    if random.chance(80) {
        text.push(b'\n');
    }
    text
}

/// The line with another value; one that sets nothing stays.
fn set(random: &mut Random, line: &[u8]) -> Vec<u8> {
    let unset = line
        .strip_prefix(b"# ")
        .and_then(|line| line.strip_suffix(b" is not set"));
    let end = line.iter().position(|byte| *byte == b'=');
    let Some(name) = unset.or(end.map(|end| &line[..end])) else {
        return line.to_vec();
    };
    if random.chance(20) {
        return [b"# ", name, b" is not set"].concat();
    }
    [name, b"=", random.pick(VALUES)].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_set_or_unset_and_comments_stay() {
        let mut random = Random::new(1, "");
        for line in [b"CONFIG_A=y".as_slice(), b"# CONFIG_A is not set"] {
            for _ in 0..100 {
                let line = set(&mut random, line);
                let unset = line == b"# CONFIG_A is not set";
                assert!(unset || line.starts_with(b"CONFIG_A="), "{line:?}");
            }
        }
        assert_eq!(set(&mut random, b"# end of menu"), b"# end of menu");
    }

    #[test]
    fn mutations_differ_from_the_text_and_from_each_other() {
        let text = b"CONFIG_A=y\n".repeat(200);
        let mut random = Random::new(1, "");
        let (one, other) = (mutate(&mut random, &text), mutate(&mut random, &text));
        assert_ne!(one, text);
        assert_ne!(one, other);
    }
}
