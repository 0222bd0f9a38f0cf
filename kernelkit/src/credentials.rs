//! Names and passwords in URLs, and values of variables that hold a secret: what is left without them, and where
//! those of URLs are kept meanwhile.
//!
//! A URL that is written down or shown (lock, manifest, derivation, cache, message) is a [`public`] one. The
//! credentials that the user wrote into it are held in [`Credentials`], in memory only, and join it
//! again where a server is asked.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::source::Source;

/// Parameters of a query whose values are keys: of GitHub and GitLab, of signed URLs of S3, Azure and
/// Google.
const SECRET_PARAMETERS: [&str; 18] = [
    "access_token",
    "api_key",
    "apikey",
    "auth",
    "awsaccesskeyid",
    "job_token",
    "key",
    "pass",
    "password",
    "private_token",
    "secret",
    "sig",
    "signature",
    "token",
    "x-amz-credential",
    "x-amz-security-token",
    "x-amz-signature",
    "x-goog-signature",
];

/// The parts of a URL (RFC 3986, appendix B) that matter here.
struct Parts<'a> {
    scheme: &'a str,
    userinfo: Option<&'a str>,
    /// Host, port and path.
    place: &'a str,
    query: Option<&'a str>,
    fragment: &'a str,
}

impl<'a> Parts<'a> {
    fn of(url: &'a str) -> Option<Self> {
        let (scheme, rest) = url.split_once("://")?;
        let (rest, fragment) = rest.split_at(rest.find('#').unwrap_or(rest.len()));
        let (rest, query) = match rest.split_once('?') {
            Some((rest, query)) => (rest, Some(query)),
            None => (rest, None),
        };
        let authority = rest.find('/').unwrap_or(rest.len());
        let (userinfo, place) = match rest[..authority].rfind('@') {
            Some(at) => (Some(&rest[..at]), &rest[at + 1..]),
            None => (None, rest),
        };
        Some(Parts {
            scheme,
            userinfo,
            place,
            query,
            fragment,
        })
    }

    /// Over SSH the user's name says nothing that is secret, and the server needs it.
    fn is_ssh(&self) -> bool {
        self.scheme.ends_with("ssh")
    }

    /// Scheme, host and port.
    fn origin(&self) -> String {
        let host = self.place.split('/').next().unwrap_or_default();
        format!("{}://{host}", self.scheme).to_ascii_lowercase()
    }
}

/// How the names of other parameters end whose values are keys.
const SECRET_ENDINGS: [&str; 8] = [
    "access_key",
    "api_key",
    "jwt",
    "password",
    "private_key",
    "secret",
    "signature",
    "token",
];

fn is_secret(parameter: &&str) -> bool {
    let name = decoded(parameter.split('=').next().unwrap_or_default());
    let name = name.to_ascii_lowercase();
    let plain = name.replace('-', "_");
    SECRET_PARAMETERS.contains(&name.as_str())
        || SECRET_ENDINGS.iter().any(|ending| plain.ends_with(ending))
}

/// A URL without user, password and keys; anything else as it is.
pub fn public(url: &str) -> String {
    let Some(parts) = Parts::of(url) else {
        return url.to_owned();
    };
    let user = match parts.userinfo {
        Some(userinfo) if parts.is_ssh() => {
            format!("{}@", userinfo.split(':').next().unwrap_or_default())
        }
        _ => String::new(),
    };
    let query = parts.query.map(|query| {
        let parts = query.split(['&', ';']);
        match parts.clone().any(|part| is_secret(&part)) {
            true => parts
                .filter(|part| !is_secret(part))
                .collect::<Vec<_>>()
                .join("&"),
            false => query.to_owned(),
        }
    });
    let query = match query {
        Some(query) if query.is_empty() && parts.query != Some("") => String::new(),
        Some(query) => format!("?{query}"),
        None => String::new(),
    };
    let Parts {
        scheme,
        place,
        fragment,
        ..
    } = parts;
    format!("{scheme}://{user}{place}{query}{fragment}")
}

/// How the name of a variable ends whose value is to stay unknown.
const SECRET_VARIABLES: [&str; 11] = [
    "PIN",
    "PASSWORD",
    "PASSWD",
    "PASSPHRASE",
    "TOKEN",
    "SECRET",
    "CREDENTIALS",
    "API_KEY",
    "PRIVATE_KEY",
    "SECRET_KEY",
    "ACCESS_KEY",
];

/// Whether a variable of make or of the environment holds a secret, by its name.
pub(crate) fn is_secret_variable(name: &str) -> bool {
    let upper = name.to_ascii_uppercase().replace('-', "_");
    SECRET_VARIABLES.iter().any(|word| {
        upper
            .strip_suffix(word)
            .is_some_and(|rest| rest.is_empty() || rest.ends_with('_'))
    })
}

/// A text with `***` for the value of each assignment to such a variable, up to the quote that it began after,
/// or to the next space. Symbols of a configuration hold none.
fn without_values(text: &str) -> Option<String> {
    let is_quote = |character: &char| "'\"`".contains(*character);
    let mut shown = String::new();
    let mut from = 0;
    while let Some(at) = text[from..].find('=') {
        let at = from + at;
        let before = text[from..at].trim_end_matches([':', '+', '?', ' ']);
        let start = before
            .rfind(|one: char| !one.is_ascii_alphanumeric() && !"_-".contains(one))
            .map_or(0, |at| at + 1);
        let (before, name) = before.split_at(start);
        let outside = before.chars().next_back();
        let mut end = at + 1;
        // Parameters of a URL are known by other names.
        if is_secret_variable(name)
            && !name.starts_with("CONFIG_")
            && !outside.is_some_and(|one| "?&#;/".contains(one))
        {
            let value = &text[end..];
            let skipped = value.len() - value.trim_start_matches([' ', '=', '\\']).len();
            let value = &value[skipped..];
            let length = match (value.chars().next().filter(is_quote), outside) {
                (Some(quote), _) => value[1..].find(quote).map(|at| at + 2),
                (None, Some(quote)) if is_quote(&quote) => value.find(quote),
                _ => value
                    .find(|one: char| one.is_whitespace() || is_quote(&one) || ",)]".contains(one)),
            };
            end += skipped;
            if !value.is_empty() {
                shown.push_str(&text[from..end]);
                shown.push_str("***");
                end += length.unwrap_or(value.len());
                from = end;
                continue;
            }
        }
        shown.push_str(&text[from..end]);
        from = end;
    }
    shown.push_str(&text[from..]);
    (shown != text).then_some(shown)
}

/// A text with `***` for the credentials in each of its URLs, for the value of each `Authorization` header, and for
/// that of each variable that holds a secret.
pub fn redact(text: &str) -> Cow<'_, str> {
    let mut redacted = Cow::Borrowed(text);
    let mut from = 0;
    while let Some(at) = redacted[from..].find("://") {
        let start = from + at + "://".len();
        let ends =
            |character: char| character.is_whitespace() || "'\"`<>(){},;".contains(character);
        let end = redacted[start..]
            .find(ends)
            .map_or(redacted.len(), |end| start + end);
        let word = &redacted[start..end];
        let authority = word.find(['/', '?', '#']).unwrap_or(word.len());
        let scheme_is_ssh = redacted[..start].ends_with("ssh://");
        let mut shown = String::new();
        let rest = match word[..authority].rfind('@') {
            Some(user) if scheme_is_ssh && !word[..user].contains(':') => word,
            Some(user) => {
                shown.push_str("***@");
                &word[user + 1..]
            }
            None => word,
        };
        for (index, part) in rest.split_inclusive(['?', '&', '#']).enumerate() {
            match part.split_once('=') {
                Some((name, value)) if index > 0 && is_secret(&name) => {
                    let separator = value.len() - value.trim_end_matches(['?', '&', '#']).len();
                    shown.push_str(&format!("{name}=***{}", &value[value.len() - separator..]));
                }
                _ => shown.push_str(part),
            }
        }
        from = start + shown.len();
        if shown != redacted[start..end] {
            redacted = Cow::Owned(format!("{}{shown}{}", &redacted[..start], &redacted[end..]));
        }
    }
    const HEADER: &str = "authorization: ";
    if let Some(at) = redacted.to_ascii_lowercase().find(HEADER) {
        let start = at + HEADER.len();
        let end = redacted[start..].find(['\'', '"', '\n']);
        let end = end.map_or(redacted.len(), |end| start + end);
        redacted = Cow::Owned(format!("{}***{}", &redacted[..start], &redacted[end..]));
    }
    match without_values(&redacted) {
        Some(shown) => Cow::Owned(shown),
        None => redacted,
    }
}

/// The credentials of the URLs that the user named, by what the URLs are without them. Copies share
/// one table. It is never written down, and shows nothing of itself.
#[derive(Clone, Default)]
pub struct Credentials(Arc<RwLock<BTreeMap<String, Secret>>>);

#[derive(Clone)]
struct Secret {
    /// As it was given.
    url: String,
    /// `user:password`, decoded.
    login: Option<String>,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials(***)")
    }
}

impl Credentials {
    /// The URL without its credentials, which are kept.
    pub fn learn_url(&self, url: &str) -> String {
        let public = public(url);
        if public != url
            && let Some(parts) = Parts::of(url)
        {
            let login = parts.userinfo.filter(|_| !parts.is_ssh()).map(decoded);
            let secret = Secret {
                url: url.to_owned(),
                // A token alone is a name without a password.
                login: login.map(|login| match login.contains(':') {
                    true => login,
                    false => format!("{login}:"),
                }),
            };
            let mut table = self.0.write().unwrap_or_else(PoisonError::into_inner);
            table.insert(public.clone(), secret);
        }
        public
    }

    /// The source without credentials, which are kept.
    #[must_use]
    pub fn learn(&self, source: &Source) -> Source {
        let mut source = source.clone();
        match &mut source {
            Source::Tarball { location: url, .. }
            | Source::Git {
                repository: url, ..
            } => *url = self.learn_url(url),
            Source::Directory { .. } | Source::Debian { .. } | Source::Release { .. } => {}
        }
        source
    }

    /// The URL that a server is asked for: with the keys of its query, without user and password.
    pub fn address(&self, url: &str) -> String {
        let table = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let given = table.get(url).and_then(|secret| Parts::of(&secret.url));
        match given {
            Some(Parts {
                scheme,
                place,
                query: Some(query),
                ..
            }) => format!("{scheme}://{place}?{query}"),
            _ => url.to_owned(),
        }
    }

    /// `user:password` for a URL: its own, or that of another on the same server.
    pub fn login(&self, url: &str) -> Option<String> {
        let table = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let own = table.get(url).and_then(|secret| secret.login.clone());
        let origin = Parts::of(url)?.origin();
        own.or_else(|| {
            let same = |secret: &&Secret| {
                Parts::of(&secret.url).is_some_and(|parts| parts.origin() == origin)
            };
            table
                .values()
                .filter(same)
                .find_map(|secret| secret.login.clone())
        })
    }

    /// Every URL over HTTP that has a login, with it.
    pub fn logins(&self) -> Vec<(String, String)> {
        let table = self.0.read().unwrap_or_else(PoisonError::into_inner);
        table
            .iter()
            .filter(|(url, _)| url.to_ascii_lowercase().starts_with("http"))
            .filter_map(|(url, secret)| Some((url.clone(), secret.login.clone()?)))
            .collect()
    }
}

/// The value of an `Authorization` header (RFC 7617).
pub fn basic(login: &str) -> String {
    format!("Basic {}", STANDARD.encode(login))
}

/// The login that a netrc file (curl(1), `--netrc`) has for a host, as `user:password`.
pub fn netrc(text: &str, host: &str) -> Option<String> {
    // Macros end at an empty line, and have words of their own.
    let mut in_macro = false;
    let words = text
        .lines()
        .filter(|line| {
            in_macro =
                (in_macro || line.trim_start().starts_with("macdef")) && !line.trim().is_empty();
            !in_macro && !line.trim_start().starts_with('#')
        })
        .flat_map(str::split_whitespace);
    let (mut here, mut user, mut password) = (false, None, None);
    let mut words = words.peekable();
    while let Some(word) = words.next() {
        match word {
            "machine" | "default" => {
                if here && password.is_some() {
                    break;
                }
                (user, password) = (None, None);
                here = word == "default" || words.next() == Some(host);
            }
            "login" => user = words.next(),
            "password" => password = words.next(),
            "account" => drop(words.next()),
            _ => {}
        }
    }
    (here && password.is_some()).then(|| {
        format!(
            "{}:{}",
            user.unwrap_or_default(),
            password.unwrap_or_default()
        )
    })
}

/// Percent-encoded octets as what they stand for (RFC 3986, 2.1).
fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        let hex = (*first == b'%')
            .then(|| std::str::from_utf8(tail.get(..2)?).ok())
            .flatten()
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match hex {
            Some(byte) => {
                bytes.push(byte);
                rest = &tail[2..];
            }
            None => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_public_url_has_no_credentials_and_nothing_else_is_lost() {
        for (url, expected) in [
            ("https://user:pw@host/x.tar.xz", "https://host/x.tar.xz"),
            ("https://TOKEN@host:8443/x", "https://host:8443/x"),
            ("https://u:p@ss@host/x@y", "https://host/x@y"),
            ("https://host/x?access_token=t", "https://host/x"),
            (
                "https://host/x?h=v6.12&Token=t&a=b#sha256=0",
                "https://host/x?h=v6.12&a=b#sha256=0",
            ),
            (
                "https://host/x?X-Amz-Signature=1&X-Amz-Date=2",
                "https://host/x?X-Amz-Date=2",
            ),
            ("https://host/x?", "https://host/x?"),
            ("ssh://git@host/x", "ssh://git@host/x"),
            ("ssh://git:pw@host/x", "ssh://git@host/x"),
            ("git@host:linux.git", "git@host:linux.git"),
            ("/home/a@b/linux", "/home/a@b/linux"),
        ] {
            assert_eq!(public(url), expected);
            assert_eq!(public(expected), expected);
        }
    }

    #[test]
    fn texts_are_redacted_wherever_a_url_stands() {
        for (text, expected) in [
            (
                "fatal: unable to access 'https://u:p@host/x/': no",
                "fatal: unable to access 'https://***@host/x/': no",
            ),
            (
                "(http://a@b/c) https://d:e@f",
                "(http://***@b/c) https://***@f",
            ),
            (
                "https://h/x?a=b&token=t&c=d#e",
                "https://h/x?a=b&token=***&c=d#e",
            ),
            ("https://h/x?sig=abc", "https://h/x?sig=***"),
            ("ssh://git@host/x git@host:x", "ssh://git@host/x git@host:x"),
            ("ssh://git:pw@host/x", "ssh://***@host/x"),
            (
                "A='Authorization: Basic dTpw' git",
                "A='Authorization: ***' git",
            ),
            ("nothing@here: /a?token=b", "nothing@here: /a?token=b"),
            (
                "no kernel is called `KBUILD_SIGN_PIN=a b`, or W=1",
                "no kernel is called `KBUILD_SIGN_PIN=***`, or W=1",
            ),
            (
                "write `make-flags = [\"KBUILD_SIGN_PIN=a b\"]`",
                "write `make-flags = [\"KBUILD_SIGN_PIN=***\"]`",
            ),
            ("KEY_PASSWORD='a b' make W=1", "KEY_PASSWORD=*** make W=1"),
            (
                "X=1 my-token=a MY_PIN:=b W=2",
                "X=1 my-token=*** MY_PIN:=*** W=2",
            ),
            ("[hsm_pin = a, W=1]", "[hsm_pin = ***, W=1]"),
            ("TOKEN=", "TOKEN="),
            ("TOKEN=a", "TOKEN=***"),
            (
                "CONFIG_A_TOKEN=y SPIN=1 -fplugin=x",
                "CONFIG_A_TOKEN=y SPIN=1 -fplugin=x",
            ),
        ] {
            assert_eq!(redact(text), expected);
            assert_eq!(redact(expected), expected);
        }
    }

    #[test]
    fn what_was_learnt_goes_to_the_same_server_only() {
        let credentials = Credentials::default();
        let url = credentials.learn_url("https://us%40er:p%3aw@host/a/x.tar?h=1&token=t");
        assert_eq!(url, "https://host/a/x.tar?h=1");
        assert_eq!(
            credentials.address(&url),
            "https://host/a/x.tar?h=1&token=t"
        );
        let login = Some("us@er:p:w".to_owned());
        assert_eq!(credentials.login(&url), login);
        assert_eq!(
            credentials.clone().login("https://host/a/sha256sums.asc"),
            login
        );
        for other in [
            "https://host:444/a/x.tar",
            "http://host/a/x.tar",
            "https://host.evil/a/x.tar",
        ] {
            assert_eq!(credentials.login(other), None, "{other}");
            assert_eq!(credentials.address(other), other);
        }
        assert_eq!(format!("{credentials:?}"), "Credentials(***)");
        let token = credentials.learn_url("https://TOKEN@git.host/linux");
        assert_eq!(credentials.login(&token).as_deref(), Some("TOKEN:"));
        // An ssh user is no secret to be remembered.
        let ssh = credentials.learn_url("ssh://git:pw@ssh.host/x");
        assert_eq!(credentials.login(&ssh), None);
    }

    #[test]
    fn netrc_has_logins_by_host() {
        let text = "# machine a\nmachine a login u password p\nmacdef init\nmachine b login x password y\n\nmachine b\n  login v\n  password q\ndefault login d password e\n";
        for (host, expected) in [("a", "u:p"), ("b", "v:q"), ("c", "d:e")] {
            assert_eq!(netrc(text, host).as_deref(), Some(expected));
        }
        assert_eq!(netrc("machine a login u password p", "b"), None);
        assert_eq!(netrc("machine a login u", "a"), None);
    }

    proptest! {
        #[test]
        fn no_password_is_shown(user in "[a-z]{1,5}", password in "[a-z0-9:@%]{1,8}", path in "[a-z/?&=#]{0,12}") {
            let secret = format!("SECRET{password}");
            let url = format!("https://{user}:{secret}@host/{path}");
            prop_assert!(!public(&url).contains("SECRET"));
            let text = format!("error: `{url}`");
            prop_assert!(!redact(&text).contains("SECRET"), "{}", redact(&text));
            prop_assert_eq!(public(&public(&url)), public(&url));
        }
    }
}
