//! kernel.org's signed lists of hashes, and gpgv, which checks the signature.
//!
//! gpgv (GnuPG) trusts exactly the keys of one keyring file, which is the user's to
//! fill; kernelkit ships no keys.

use camino::{Utf8Path, Utf8PathBuf};

use super::{Context, Error as SourceError, download};
use crate::effect::{exec, fs};
use crate::process::Call;
use crate::source::{Sha256, sums};

/// Why a list of hashes is not believed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Somebody changed it, or it is damaged.
    #[error("the signature of {url} is bad")]
    BadSignature {
        /// The list.
        url: String,
        /// gpgv's own words.
        answer: String,
    },
    /// Signed with a key that the keyring lacks.
    #[error("{url} is signed with a key that {keyring} does not have: {key}")]
    UnknownKey {
        /// The list.
        url: String,
        /// The keyring.
        keyring: Utf8PathBuf,
        /// Fingerprint or key id.
        key: String,
    },
    /// The keyring that was named is not there.
    #[error("there is no keyring {keyring}")]
    NoKeyring {
        /// The keyring.
        keyring: Utf8PathBuf,
    },
}

impl Error {
    /// What to do next.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Error::BadSignature { answer, .. } => {
                format!("do not use it; gpgv said: {answer}")
            }
            Error::UnknownKey { keyring, key, .. } => format!(
                "once you have made sure that the key is kernel.org's (https://www.kernel.org/signature.html), \
                 add it: gpg --no-default-keyring --keyring {keyring} --recv-keys {key}"
            ),
            Error::NoKeyring { .. } => {
                "export the keys that you trust: `gpg --export autosigner@kernel.org > FILE`"
                    .to_owned()
            }
        })
    }
}

/// The user's keyring of kernel.org's keys, where there is one.
pub(super) fn keyring(context: &Context<'_>) -> Result<Option<Utf8PathBuf>, SourceError> {
    if let Some(keyring) = &context.keyring {
        return if keyring.is_file() {
            Ok(Some(keyring.clone()))
        } else {
            Err(Error::NoKeyring {
                keyring: keyring.clone(),
            }
            .into())
        };
    }
    let config = super::config_dir(context.environment);
    Ok(Some(config.join("kernelkit/kernel.org.gpg")).filter(|keyring| keyring.is_file()))
}

/// The hash of the file `name` in the `sha256sums.asc` beside `url`, and the fingerprint of
/// the key that signed the list, where there is a keyring. `None` where no list has the file.
pub(super) fn look_up(
    url: &str,
    name: &str,
    keyring: Option<Utf8PathBuf>,
    context: &Context<'_>,
) -> Result<Option<(Sha256, Option<String>)>, SourceError> {
    let path = url.split(['?', '#']).next().unwrap_or(url);
    let Some((directory, _)) = path.rsplit_once('/') else {
        return Ok(None);
    };
    let list_url = format!("{directory}/sha256sums.asc");
    let Some(list) = download::bytes(&list_url, context)? else {
        return Ok(None);
    };
    let (text, key) = match keyring {
        None => (sums::signed_text(&String::from_utf8_lossy(&list)), None),
        Some(keyring) => {
            let (text, key) = verify(&list_url, &list, &keyring, context)?;
            (text, Some(key))
        }
    };
    Ok(sums::find(&text, name).map(|sum| (sum, key)))
}

/// The text that was signed, as gpgv prints it, and the key's fingerprint.
fn verify(
    url: &str,
    list: &[u8],
    keyring: &Utf8Path,
    context: &Context<'_>,
) -> Result<(String, String), SourceError> {
    let environment = context.environment;
    let scratch = environment.cache_dir.join("known");
    fs::create_dir_all(&scratch)?;
    let scratch = tempfile::Builder::new()
        .prefix(".tmp-")
        .tempdir_in(&scratch)
        .map_err(|source| fs::Error {
            action: "create directory",
            path: scratch,
            source,
        })?;
    let dir = Utf8Path::from_path(scratch.path()).expect("made below a UTF-8 path");
    let (signed, text) = (dir.join("signed"), dir.join("text"));
    fs::write_atomic(&signed, list)?;
    // A path without a slash would be looked for in ~/.gnupg.
    let keyring = environment.current_dir.join(keyring);
    let call = Call::new("gpgv", dir)
        .envs(&environment.tool_variables())
        .args(["--status-fd", "1", "--keyring", keyring.as_str()])
        .args(["--output", text.as_str(), signed.as_str()]);
    let (output, status) = exec::capture_unchecked(&call)?;
    let answer = output.text();
    let field = |keyword: &str| {
        answer.lines().find_map(|line| {
            let mut words = line.strip_prefix("[GNUPG:] ")?.split(' ');
            (words.next()? == keyword).then(|| words.map(str::to_owned).collect::<Vec<_>>())
        })
    };
    if status.success()
        && let Some(key) = field("VALIDSIG").and_then(|words| words.into_iter().next())
    {
        return Ok((fs::read_to_string(&text)?, key));
    }
    let url = url.to_owned();
    if let Some(words) = field("NO_PUBKEY") {
        return Err(Error::UnknownKey {
            url,
            keyring,
            key: words.first().cloned().unwrap_or_default(),
        }
        .into());
    }
    let words = String::from_utf8_lossy(&output.stderr);
    Err(Error::BadSignature {
        url,
        answer: words.lines().last().unwrap_or_default().to_owned(),
    }
    .into())
}
