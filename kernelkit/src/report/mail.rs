//! A report as a mail: an Internet message (RFC 5322) with plain text and HTML as alternatives
//! (RFC 2046), in characters that every mail server takes.

use std::fmt::Write as _;

use base64::Engine as _;
use serde::Serialize;

use super::{Report, html, text};
use crate::source::Sha256;

/// A mail address: `name@domain` in ASCII, without a display name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Address(String);

/// Not an address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no mail address (`name@domain`)")]
pub struct InvalidAddress(pub String);

impl Address {
    /// The address.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The sender where nobody names one.
    pub fn of_this_machine() -> Address {
        Address("cargo-kernel@localhost".to_owned())
    }

    fn domain(&self) -> &str {
        self.0
            .rsplit_once('@')
            .map_or("localhost", |(_, domain)| domain)
    }
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::str::FromStr for Address {
    type Err = InvalidAddress;

    /// The atoms of RFC 5322, section 3.2.3; nothing that ends a header or a command of SMTP.
    fn from_str(text: &str) -> Result<Self, InvalidAddress> {
        let atom =
            |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~.".contains(&byte);
        let part = |part: &str| {
            !part.is_empty() && part.bytes().all(atom) && !part.starts_with(['.', '-'])
        };
        match text.split_once('@') {
            Some((name, domain)) if part(name) && part(domain) && text.len() <= 254 => {
                Ok(Address(text.to_owned()))
            }
            _ => Err(InvalidAddress(text.to_owned())),
        }
    }
}

/// A mail server: a name or an IPv4 address, and a port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Server {
    host: String,
    port: u16,
}

/// Not a server.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no mail server (`host` or `host:port`)")]
pub struct InvalidServer(pub String);

impl Server {
    /// The name or the address.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl std::fmt::Display for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

impl std::str::FromStr for Server {
    type Err = InvalidServer;

    /// `host:port`, or `host` for port 25.
    fn from_str(text: &str) -> Result<Self, InvalidServer> {
        let (host, port) = match text.split_once(':') {
            Some((host, port)) => (host, port.parse().ok()),
            None => (text, Some(25)),
        };
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-');
        match port.filter(|port| *port > 0) {
            Some(port) if !host.is_empty() && host.bytes().all(plain) => Ok(Server {
                host: host.to_owned(),
                port,
            }),
            _ => Err(InvalidServer(text.to_owned())),
        }
    }
}

/// The whole mail, lines ended by CR LF. Of equal reports it is equal, byte for byte.
pub fn mail(report: &Report, from: &Address, to: &[Address]) -> String {
    let parts = [
        ("text/plain", text(report)),
        ("text/html", html::mail_html(report)),
    ];
    let digest = Sha256::of(format!("{}{}", report.to_json(), parts[1].1).as_bytes()).to_string();
    // It cannot occur in a part: quoted-printable has `=_` nowhere.
    let boundary = format!("=_{}", &digest[..32]);
    let mut mail = String::new();
    let mut header = |name: &str, value: &str| {
        let _ = write!(mail, "{name}: {value}\r\n");
    };
    let finished = report.started.saturating_add(report.seconds as i64);
    let date = jiff::Timestamp::from_second(finished).unwrap_or_default();
    header(
        "Date",
        &date.strftime("%a, %d %b %Y %H:%M:%S +0000").to_string(),
    );
    header("From", from.as_str());
    let to: Vec<_> = to.iter().map(Address::as_str).collect();
    header("To", &to.join(",\r\n "));
    header("Subject", &encoded(&html::title(report)));
    header(
        "Message-ID",
        &format!("<{}.report@{}>", &digest[..32], from.domain()),
    );
    header("MIME-Version", "1.0");
    // RFC 3834: nobody's holiday notice is wanted.
    header("Auto-Submitted", "auto-generated");
    header(
        "Content-Type",
        &format!("multipart/alternative;\r\n boundary=\"{boundary}\""),
    );
    mail.push_str("\r\n");
    for (kind, body) in parts {
        let _ = write!(
            mail,
            "--{boundary}\r\nContent-Type: {kind}; charset=utf-8\r\n\
             Content-Transfer-Encoding: quoted-printable\r\n\r\n"
        );
        quote(&mut mail, &body);
    }
    let _ = write!(mail, "--{boundary}--\r\n");
    mail
}

/// A header's text. What is not plain ASCII becomes encoded words (RFC 2047), each of at most 75
/// characters and with whole characters in it.
fn encoded(text: &str) -> String {
    let printable = |byte: u8| (0x20..0x7f).contains(&byte);
    if text.bytes().all(printable) && text.len() <= 60 && !text.contains("=?") {
        return text.to_owned();
    }
    let mut words = Vec::new();
    let mut word = String::new();
    for character in text.chars() {
        // 39 bytes are 52 in base64, 64 as a word, and 73 behind the header's name.
        if word.len() + character.len_utf8() > 39 {
            words.push(std::mem::take(&mut word));
        }
        word.push(if character.is_control() {
            ' '
        } else {
            character
        });
    }
    words.push(word);
    let word = |word: &String| {
        let base64 = base64::engine::general_purpose::STANDARD.encode(word);
        format!("=?utf-8?B?{base64}?=")
    };
    words.iter().map(word).collect::<Vec<_>>().join("\r\n ")
}

/// Text in quoted-printable (RFC 2045, section 6.7): lines of at most 76 characters.
fn quote(mail: &mut String, text: &str) {
    for line in text.lines() {
        let mut width = 0;
        let mut bytes = line.bytes().peekable();
        while let Some(byte) = bytes.next() {
            let last = bytes.peek().is_none();
            let plain = match byte {
                b'=' => false,
                b' ' | b'\t' => !last,
                // A dot alone ends a mail in SMTP, and `From` begins one in a mailbox.
                b'.' | b'F' => width > 0,
                0x21..=0x7e => true,
                _ => false,
            };
            let needed = if plain { 1 } else { 3 };
            if width + needed > 75 {
                mail.push_str("=\r\n");
                width = 0;
            }
            width += needed;
            match plain {
                true => mail.push(char::from(byte)),
                false => {
                    let _ = write!(mail, "={byte:02X}");
                }
            }
        }
        mail.push_str("\r\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::batch;

    fn address(text: &str) -> Address {
        text.parse().unwrap()
    }

    #[test]
    fn addresses_carry_no_headers() {
        for good in ["a@b", "kernel+ci@lists.example.org", "o'brien@example.org"] {
            assert_eq!(address(good).as_str(), good);
        }
        for bad in [
            "",
            "a",
            "@b",
            "a@",
            "a b@c",
            "a@b\r\nBcc: c@d",
            "a@b>",
            "<a@b>",
            "ä@b",
            "-x@b",
            "a@b@c",
        ] {
            assert_eq!(bad.parse::<Address>(), Err(InvalidAddress(bad.to_owned())));
        }
    }

    #[test]
    fn servers_are_hosts_with_or_without_a_port() {
        for (text, shown) in [("mail", "mail:25"), ("127.0.0.1:2525", "127.0.0.1:2525")] {
            assert_eq!(text.parse::<Server>().unwrap().to_string(), shown);
        }
        for bad in ["", ":25", "mail:", "mail:0", "mail:x", "smtp://mail", "a b"] {
            assert!(bad.parse::<Server>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_mail_has_short_ascii_lines_and_is_the_same_each_time() {
        let make = || {
            mail(
                &batch(),
                &address("ci@example.org"),
                &[address("a@b"), address("c@d")],
            )
        };
        let mail = make();
        assert_eq!(mail, make());
        for line in mail.split("\r\n") {
            assert!(line.len() <= 78, "{line}");
            assert!(
                line.bytes().all(|byte| (0x20..0x7f).contains(&byte)),
                "{line}"
            );
            assert_ne!(line, ".");
        }
        let (head, body) = mail.split_once("\r\n\r\n").unwrap();
        assert!(head.contains("\r\nTo: a@b,\r\n c@d\r\n"), "{head}");
        let boundary = head.split('"').nth(1).unwrap();
        assert_eq!(body.matches(&format!("--{boundary}\r\n")).count(), 2);
        assert!(body.ends_with(&format!("--{boundary}--\r\n")));
    }

    #[test]
    fn subjects_of_any_script_are_encoded_words() {
        for (text, expected) in [
            ("3 kernels: 3 passed", "3 kernels: 3 passed"),
            ("übel", "=?utf-8?B?w7xiZWw=?="),
            ("a\r\nBcc: x", "=?utf-8?B?YSAgQmNjOiB4?="),
        ] {
            assert_eq!(encoded(text), expected);
        }
        let long = encoded(&"ü".repeat(200));
        assert!(long.lines().all(|line| line.trim().len() <= 75), "{long}");
    }

    #[test]
    fn quoted_printable_keeps_lines_and_spaces() {
        let mut quoted = String::new();
        quote(
            &mut quoted,
            &format!("a=b \n.\nFrom me\n{}", "x".repeat(80)),
        );
        assert_eq!(
            quoted,
            format!(
                "a=3Db=20\r\n=2E\r\n=46rom me\r\n{}=\r\nxxxxx\r\n",
                "x".repeat(75)
            )
        );
    }
}
