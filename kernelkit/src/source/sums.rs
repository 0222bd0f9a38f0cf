//! Lists of SHA-256 sums, as kernel.org publishes them in `sha256sums.asc`.

use super::Sha256;

/// The text inside a PGP clear-signed message (RFC 9580, section 7), with nothing of what
/// stands around it; the text itself where it is not signed. The signature is *not* checked.
pub fn signed_text(message: &str) -> String {
    const BEGIN: &str = "-----BEGIN PGP SIGNED MESSAGE-----";
    let mut lines = message.lines().skip_while(|line| line.trim_end() != BEGIN);
    if lines.next().is_none() {
        return message.to_owned();
    }
    lines
        .skip_while(|line| !line.trim().is_empty())
        .skip(1)
        .take_while(|line| line.trim_end() != "-----BEGIN PGP SIGNATURE-----")
        .map(|line| format!("{}\n", line.strip_prefix("- ").unwrap_or(line)))
        .collect()
}

/// The sum of the file `name` in a list of lines `<hash>  <name>`; a `*` before the name
/// (sha256sum(1), binary mode) is no part of it.
pub fn find(list: &str, name: &str) -> Option<Sha256> {
    list.lines().find_map(|line| {
        let (hash, file) = line.split_once(' ')?;
        let file = file.strip_prefix([' ', '*']).unwrap_or(file);
        (file.trim_end() == name).then(|| hash.parse().ok())?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    #[test]
    fn only_what_is_signed_is_read() {
        let outside = HASH.replace('0', "f");
        let message = format!(
            "{outside}  a.tar.xz\n-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\n{HASH}  a.tar.xz\n- -dash\n\
             -----BEGIN PGP SIGNATURE-----\n\n{outside}  b.tar.xz\n-----END PGP SIGNATURE-----\n"
        );
        let text = signed_text(&message);
        assert_eq!(text, format!("{HASH}  a.tar.xz\n-dash\n"));
        assert_eq!(find(&text, "a.tar.xz"), Some(HASH.parse().unwrap()));
        assert_eq!(find(&text, "b.tar.xz"), None);
    }

    #[test]
    fn names_are_compared_whole() {
        for (line, name, found) in [
            (
                format!("{HASH}  linux-6.1.tar.xz"),
                "linux-6.1.tar.xz",
                true,
            ),
            (
                format!("{HASH} *linux-6.1.tar.xz\r"),
                "linux-6.1.tar.xz",
                true,
            ),
            (
                format!("{HASH}  xlinux-6.1.tar.xz"),
                "linux-6.1.tar.xz",
                false,
            ),
            (
                "0123  linux-6.1.tar.xz".to_owned(),
                "linux-6.1.tar.xz",
                false,
            ),
        ] {
            assert_eq!(find(&line, name).is_some(), found, "{line}");
        }
    }
}
