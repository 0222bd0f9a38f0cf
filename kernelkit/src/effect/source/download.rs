//! HTTP downloads that resume, are verified before anybody sees them, and appear whole.
//!
//! A file arrives as `<name>.part`, with `<name>.part.json` saying where it is from; once
//! it has the right SHA-256 it is renamed. Proxies are taken from `https_proxy`, `http_proxy`,
//! `all_proxy` and `no_proxy`, in either case, and have to allow CONNECT; `SSL_CERT_FILE` replaces the built-in certificates.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::net::ToSocketAddrs as _;
use std::time::{Duration, Instant};

use camino::{Utf8Path, Utf8PathBuf};
use serde::{Deserialize, Serialize};
use ureq::http::{HeaderMap, Response, StatusCode, header};
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::typestate::WithoutBody;
use ureq::{Agent, Body, BodyReader, Proxy, RequestBuilder, ResponseExt as _};

use super::{Context, Progress, cache, hash, scan};
use crate::credentials;
use crate::effect::environment::Environment;
use crate::effect::exec;
use crate::effect::fs::{self, Context as _};
use crate::effect::inside::{self, Last};
use crate::limits::{self, Exceeded, Limit};
use crate::source::Sha256;

/// Why something was not downloaded.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The server has no such file.
    #[error("{url} does not exist")]
    NotFound {
        /// What was asked for.
        url: String,
    },
    /// The server refused.
    #[error("{url} was answered with HTTP status {status}")]
    Status {
        /// What was asked for.
        url: String,
        /// Such as 403.
        status: u16,
    },
    /// The name of the server or the proxy is not known.
    #[error("the host of {url} was not found")]
    Host {
        /// What was asked for.
        url: String,
    },
    /// No connection, or it broke before the body came.
    #[error("cannot reach {url}")]
    Connection {
        /// What was asked for.
        url: String,
        /// What the HTTP library said.
        #[source]
        source: ureq::Error,
    },
    /// The body broke off.
    #[error("the download of {url} stopped after {done} bytes")]
    Broken {
        /// What was asked for.
        url: String,
        /// Bytes that are kept.
        done: u64,
        /// What the HTTP library said.
        #[source]
        source: io::Error,
    },
    /// Not the bytes that were expected; they are thrown away.
    #[error("{url} has SHA-256 {actual}, not {expected}")]
    Hash {
        /// What was asked for.
        url: String,
        /// What it should be.
        expected: Sha256,
        /// What it is.
        actual: Sha256,
    },
    /// A proxy's URL or a certificate file that cannot be used.
    #[error("the environment variable {variable} cannot be used")]
    Setting {
        /// Its name.
        variable: String,
        /// What is wrong with it.
        #[source]
        source: ureq::Error,
    },
    /// One address names the next without end.
    #[error("{url} leads from address to address: {}", addresses.join(", then "))]
    Redirects {
        /// What was asked for.
        url: String,
        /// Each address once, in order, without its query.
        addresses: Vec<String>,
    },
    /// Larger than anything that is asked for.
    #[error("{url} is refused: {limit}")]
    Limit {
        /// What was asked for.
        url: String,
        /// What is beyond its limit.
        limit: Exceeded,
    },
    /// Offline, and not in the cache.
    #[error("{url} is not in the cache, and kernelkit is offline")]
    Offline {
        /// What would have been asked for.
        url: String,
    },
    /// None of several addresses has the file.
    #[error("no address has the file: {}", list(failures))]
    Nowhere {
        /// What became of each, in the order in which they were tried.
        failures: Vec<Error>,
    },
}

/// Errors, each with what caused it, in one line.
fn list(errors: &[Error]) -> String {
    let texts: Vec<_> = errors
        .iter()
        .map(|error| {
            let mut text = error.to_string();
            let mut cause = std::error::Error::source(error);
            while let Some(next) = cause {
                text.push_str(&format!(": {next}"));
                cause = next.source();
            }
            text
        })
        .collect();
    texts.join("; ")
}

impl Error {
    /// What to do next.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Error::NotFound { .. } => "check the version or the URL".to_owned(),
            Error::Status { status: 407, .. } => {
                "the proxy wants a name and a password: https_proxy=http://NAME:PASSWORD@HOST:PORT".to_owned()
            }
            Error::Status { status: 401 | 403, .. } => {
                "the server wants a login: write it into ~/.netrc, or before the host, `https://USER:PASSWORD@…`".to_owned()
            }
            Error::Status { .. } => "try again later".to_owned(),
            Error::Host { .. } => {
                "is this machine online? A proxy is taken from https_proxy; `--offline` uses what is in the cache"
                    .to_owned()
            }
            Error::Connection { .. } => {
                "is this machine online? A proxy is taken from https_proxy, certificates from SSL_CERT_FILE"
                    .to_owned()
            }
            Error::Broken { .. } => "run the same command again: it continues where it stopped".to_owned(),
            Error::Hash { .. } => {
                "either the sha256 is wrong, or what the server sends is: compare it with another source".to_owned()
            }
            Error::Redirects { .. } => {
                "name the address at which the file is; `curl -LI` with the same URL shows the way".to_owned()
            }
            Error::Limit { .. } => "what it answers is not what was asked for: check the URL".to_owned(),
            Error::Setting { .. } => "correct or unset it".to_owned(),
            Error::Offline { .. } => "run it once without `--offline`".to_owned(),
            // The last address is the one that keeps files.
            Error::Nowhere { failures } => return failures.last()?.hint(),
        })
    }

    /// Whether the next attempt may go better.
    fn is_passing(&self) -> bool {
        match self {
            Error::Connection { .. } | Error::Broken { .. } => true,
            Error::Status { status, .. } => matches!(status, 408 | 429 | 500 | 502 | 503 | 504),
            _ => false,
        }
    }
}

/// Where a partly downloaded file comes from.
#[derive(Debug, Serialize, Deserialize)]
struct Part {
    url: String,
    /// The server's ETag or Last-Modified: what `If-Range` (RFC 9110, 13.1.5) compares.
    validator: Option<String>,
}

/// Puts the file at `url` at `target`, unless it is there already. Returns its SHA-256, which is
/// `expected` where that is given.
pub(in crate::effect) fn file(
    url: &str,
    target: &Utf8Path,
    expected: Option<Sha256>,
    context: &Context<'_>,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<Sha256, super::Error> {
    let url = &*context.environment.credentials.learn_url(url);
    let directory = target.parent().unwrap_or(Utf8Path::new("."));
    fs::create_dir_all(directory)?;
    let _lock = cache::Lock::take(&suffixed(target, "lock"), progress)?;
    if target.exists() {
        let actual = hash::sha256(target)?;
        if expected.is_none_or(|expected| expected == actual) {
            return Ok(actual);
        }
        fs::remove_file(target)?;
    }
    if context.offline {
        return Err(Error::Offline {
            url: url.to_owned(),
        }
        .into());
    }
    let request = Request::new(url, context.environment)?;
    let part = suffixed(target, "part");
    let mut attempt = 1;
    loop {
        let resumed = match transfer(&request, &part, expected, progress) {
            Ok(resumed) => resumed,
            Err(super::Error::Download(error))
                if error.is_passing() && attempt < context.attempts =>
            {
                pause(context.retry_pause * 2_u32.pow(attempt - 1))?;
                attempt += 1;
                continue;
            }
            Err(error) => return Err(error),
        };
        let actual = hash::sha256(&part)?;
        if expected.is_none_or(|expected| expected == actual) {
            fs::rename(&part, target)?;
            fs::remove_file(suffixed(&part, "json"))?;
            return Ok(actual);
        }
        discard(&part)?;
        // What was there before may have been another file's beginning.
        if !resumed {
            return Err(Error::Hash {
                url: url.to_owned(),
                expected: expected.expect("compared above"),
                actual,
            }
            .into());
        }
    }
}

/// Puts a file at `target` from the first of its addresses that has these very bytes.
pub(in crate::effect) fn first(
    urls: &[String],
    target: &Utf8Path,
    expected: Sha256,
    context: &Context<'_>,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<(), super::Error> {
    let mut failures = Vec::new();
    for url in urls {
        match file(url, target, Some(expected), context, progress) {
            Ok(_) => return Ok(()),
            Err(super::Error::Download(
                error @ (Error::NotFound { .. }
                | Error::Status { .. }
                | Error::Host { .. }
                | Error::Connection { .. }
                | Error::Broken { .. }
                | Error::Redirects { .. }
                | Error::Limit { .. }
                | Error::Hash { .. }),
            )) => failures.push(error),
            Err(error) => return Err(error),
        }
    }
    Err(match failures.len() {
        1 => failures.remove(0),
        _ => Error::Nowhere { failures },
    }
    .into())
}

/// A small file's bytes; `None` where the server has none.
pub(super) fn bytes(url: &str, context: &Context<'_>) -> Result<Option<Vec<u8>>, super::Error> {
    let url = &*context.environment.credentials.learn_url(url);
    if context.offline {
        return Err(Error::Offline {
            url: url.to_owned(),
        }
        .into());
    }
    let request = Request::new(url, context.environment)?;
    let once = || -> Result<Vec<u8>, Error> {
        let response = request
            .get()
            .call()
            .map_err(|error| connection(&request.agent, url, error))?;
        let response = checked(url, response)?;
        let mut bytes = Vec::new();
        let mut body = Pieces::new(url, response, 0, limits::HTTP_TEXT)?;
        while let Some(piece) = body.next()? {
            bytes.extend_from_slice(piece);
        }
        Ok(bytes)
    };
    let mut attempt = 1;
    loop {
        match once() {
            Ok(bytes) => return Ok(Some(bytes)),
            Err(Error::NotFound { .. }) => return Ok(None),
            Err(error) if error.is_passing() && attempt < context.attempts => {
                pause(context.retry_pause * 2_u32.pow(attempt - 1))?;
                attempt += 1;
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// Fetches what `part` lacks. Returns whether there was something to begin with.
fn transfer(
    asked: &Request<'_>,
    part: &Utf8Path,
    expected: Option<Sha256>,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<bool, super::Error> {
    let url = asked.url;
    let known = fs::read_optional(suffixed(part, "json"))?
        .and_then(|bytes| serde_json::from_slice::<Part>(&bytes).ok())
        .filter(|known| known.url == url);
    let have = scan::stamp(part)?.map_or(0, |stamp| stamp.size);
    let mut request = asked.get();
    let mut from = 0;
    // Without a validator only the hash can tell whether both halves belong together.
    if let Some(known) = known
        && have > 0
        && (known.validator.is_some() || expected.is_some())
    {
        from = have;
        request = request.header(header::RANGE, format!("bytes={from}-"));
        if let Some(validator) = known.validator {
            request = request.header(header::IF_RANGE, validator);
        }
    }
    let response = request
        .call()
        .map_err(|error| connection(&asked.agent, url, error))?;
    let range = content_range(response.headers());
    match response.status() {
        StatusCode::RANGE_NOT_SATISFIABLE if from > 0 => {
            if range == Some((None, Some(from))) {
                return Ok(true);
            }
            discard(part)?;
            return transfer(asked, part, expected, progress);
        }
        StatusCode::PARTIAL_CONTENT if range.and_then(|(start, _)| start) == Some(from) => {}
        StatusCode::PARTIAL_CONTENT => {
            discard(part)?;
            return Err(Error::Status {
                url: url.to_owned(),
                status: StatusCode::PARTIAL_CONTENT.as_u16(),
            }
            .into());
        }
        _ => from = 0,
    }
    let response = checked(url, response)?;
    let validator = [header::ETAG, header::LAST_MODIFIED]
        .into_iter()
        .filter_map(|name| response.headers().get(name)?.to_str().ok())
        // `If-Range` takes no weak tags.
        .find(|value| !value.starts_with("W/"))
        .map(str::to_owned);
    let state = Part {
        url: url.to_owned(),
        validator,
    };
    inside::check(part, Last::Followed).context("write", part)?;
    let mut out = OpenOptions::new()
        .create(true)
        .append(true)
        .open(part)
        .context("write", part)?;
    out.set_len(from).context("write", part)?;
    let json = serde_json::to_vec(&state).expect("a part is plain data");
    fs::write_atomic(suffixed(part, "json"), &json)?;
    receive(url, part, response, &mut out, from, progress)?;
    Ok(from > 0)
}

fn receive(
    url: &str,
    part: &Utf8Path,
    response: Response<Body>,
    out: &mut File,
    from: u64,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<(), super::Error> {
    let total = response.body().content_length().map(|length| from + length);
    let name = part.file_stem().unwrap_or(part.as_str());
    let mut body = Pieces::new(url, response, from, limits::HTTP_FILE)?;
    loop {
        if exec::interrupted() {
            return Err(super::Error::Interrupted);
        }
        let done = body.done;
        progress(Progress::Downloading { name, done, total });
        match body.next()? {
            Some(piece) => out.write_all(piece).context("write", part)?,
            None => return Ok(()),
        }
    }
}

/// A body as it comes, within the limits of size and speed.
struct Pieces<'a> {
    url: &'a str,
    body: BodyReader<'static>,
    total: Option<u64>,
    done: u64,
    limit: Limit,
    pace: Pace,
    buffer: Vec<u8>,
}

impl<'a> Pieces<'a> {
    /// `from` bytes are there already.
    fn new(url: &'a str, response: Response<Body>, from: u64, limit: Limit) -> Result<Self, Error> {
        let total = response.body().content_length();
        let total = total.map(|length| from.saturating_add(length));
        let pieces = Pieces {
            url,
            body: response.into_body().into_reader(),
            total,
            done: from,
            limit,
            pace: Pace::begin(Instant::now()),
            buffer: vec![0; 1 << 17],
        };
        pieces.within(total.unwrap_or(from))?;
        Ok(pieces)
    }

    fn within(&self, size: u64) -> Result<(), Error> {
        self.limit.check(size).map_err(|limit| Error::Limit {
            url: self.url.to_owned(),
            limit,
        })
    }

    /// The next bytes; `None` at the end.
    fn next(&mut self) -> Result<Option<&[u8]>, Error> {
        let broken = |done, source| Error::Broken {
            url: self.url.to_owned(),
            done,
            source,
        };
        let count = self
            .body
            .read(&mut self.buffer)
            .map_err(|source| broken(self.done, source))?;
        if count == 0 {
            return match self.total {
                Some(total) if total != self.done => {
                    Err(broken(self.done, io::ErrorKind::UnexpectedEof.into()))
                }
                _ => Ok(None),
            };
        }
        self.done += count as u64;
        self.within(self.done)?;
        let pace = self.pace.take(Instant::now(), count as u64);
        pace.map_err(|limit| broken(self.done, io::Error::new(io::ErrorKind::TimedOut, limit)))?;
        Ok(Some(&self.buffer[..count]))
    }
}

/// How fast something comes: at least [`limits::SLOWEST`] bytes a second over [`limits::SLOW_TIME`]. A server that
/// sends a byte a minute is never silent for long.
struct Pace {
    since: Instant,
    bytes: u64,
}

impl Pace {
    fn begin(now: Instant) -> Self {
        Pace {
            since: now,
            bytes: 0,
        }
    }

    fn take(&mut self, now: Instant, count: u64) -> Result<(), Exceeded> {
        self.bytes = self.bytes.saturating_add(count);
        let time = limits::SLOW_TIME;
        if now.saturating_duration_since(self.since) < time.time() {
            return Ok(());
        }
        if self.bytes < limits::SLOWEST * time.most {
            return Err(Exceeded { limit: time });
        }
        *self = Pace::begin(now);
        Ok(())
    }
}

fn discard(part: &Utf8Path) -> Result<(), fs::Error> {
    fs::remove_file(part)?;
    fs::remove_file(suffixed(part, "json"))
}

fn suffixed(path: &Utf8Path, suffix: &str) -> Utf8PathBuf {
    Utf8PathBuf::from(format!("{path}.{suffix}"))
}

fn pause(time: Duration) -> Result<(), super::Error> {
    match exec::wait(time) {
        true => Err(super::Error::Interrupted),
        false => Ok(()),
    }
}

fn checked(url: &str, response: Response<Body>) -> Result<Response<Body>, Error> {
    let url = url.to_owned();
    match response.status() {
        status if status.is_success() => Ok(response),
        // No more of them were followed.
        status if status.is_redirection() => {
            let mut addresses: Vec<String> = Vec::new();
            for address in response.get_redirect_history().unwrap_or_default() {
                let address = format!(
                    "{}://{}{}",
                    address.scheme_str().unwrap_or("http"),
                    address.host().unwrap_or_default(),
                    address.path()
                );
                if !addresses.contains(&address) {
                    addresses.push(address);
                }
            }
            Err(Error::Redirects { url, addresses })
        }
        StatusCode::NOT_FOUND | StatusCode::GONE => Err(Error::NotFound { url }),
        status => Err(Error::Status {
            url,
            status: status.as_u16(),
        }),
    }
}

fn connection(agent: &Agent, url: &str, error: ureq::Error) -> Error {
    let url = url.to_owned();
    // A failed look-up arrives as an I/O error of no kind; behind a proxy it is not ours.
    let unknown = |host: &str| (host, 0).to_socket_addrs().is_err();
    match error {
        ureq::Error::HostNotFound => Error::Host { url },
        ureq::Error::Io(_) if agent.config().proxy().is_none() && unknown(host(&url)) => {
            Error::Host { url }
        }
        source => Error::Connection { url, source },
    }
}

/// First byte and length of the whole, of `bytes 5-9/10` or `bytes */10`.
fn content_range(headers: &HeaderMap) -> Option<(Option<u64>, Option<u64>)> {
    let text = headers.get(header::CONTENT_RANGE)?.to_str().ok()?;
    let (range, total) = text.strip_prefix("bytes ")?.split_once('/')?;
    let start = range
        .split_once('-')
        .and_then(|(start, _)| start.parse().ok());
    Some((start, total.parse().ok()))
}

fn agent(url: &str, environment: &Environment) -> Result<Agent, Error> {
    let mut config = Agent::config_builder()
        .http_status_as_error(false)
        // An archive is to arrive as it is, whatever it is compressed with.
        .accept_encoding("identity")
        .user_agent(concat!("kernelkit/", env!("CARGO_PKG_VERSION")))
        .max_redirects(u32::try_from(limits::HTTP_REDIRECTS.most).unwrap_or(u32::MAX))
        .max_redirects_will_error(false)
        .save_redirect_history(true)
        .timeout_resolve(Some(Duration::from_secs(30)))
        .timeout_connect(Some(Duration::from_secs(30)))
        .timeout_recv_response(Some(Duration::from_secs(60)))
        .timeout_per_read(Some(Duration::from_secs(60)))
        .proxy(proxy(url, environment)?);
    let variable = "SSL_CERT_FILE";
    if let Some(path) = environment
        .variables
        .get(variable)
        .filter(|path| !path.is_empty())
    {
        let setting = |source| Error::Setting {
            variable: variable.to_owned(),
            source,
        };
        let pem = fs::read_within(path.as_str().into(), limits::INPUT)
            .map_err(|error| setting(error.into()))?;
        let certificates = parse_pem(&pem)
            .filter_map(|item| match item {
                Ok(PemItem::Certificate(certificate)) => Some(Ok(certificate)),
                Ok(_) => None,
                Err(error) => Some(Err(error)),
            })
            .collect::<Result<Vec<Certificate<'static>>, _>>()
            .map_err(setting)?;
        config = config.tls_config(
            TlsConfig::builder()
                .root_certs(RootCerts::new_with_certs(&certificates))
                .build(),
        );
    }
    Ok(config.build().new_agent())
}

/// What a server is asked for.
struct Request<'a> {
    agent: Agent,
    /// Without credentials: what is shown and written down.
    url: &'a str,
    address: String,
    authorization: Option<String>,
}

impl<'a> Request<'a> {
    /// The login is that of the URL as the user wrote it, else that of `~/.netrc` (`NETRC`).
    fn new(url: &'a str, environment: &Environment) -> Result<Self, Error> {
        let netrc = || {
            let own = environment.home.join(".netrc");
            let path = (environment.variables.get("NETRC")).map_or(own, Utf8PathBuf::from);
            let text = fs::optional_input(path).ok()??;
            credentials::netrc(&String::from_utf8_lossy(&text), host(url))
        };
        let login = environment.credentials.login(url).or_else(netrc);
        Ok(Request {
            agent: agent(url, environment)?,
            url,
            address: environment.credentials.address(url),
            authorization: login.map(|login| credentials::basic(&login)),
        })
    }

    fn get(&self) -> RequestBuilder<WithoutBody> {
        let request = self.agent.get(&self.address);
        match &self.authorization {
            Some(value) => request.header(header::AUTHORIZATION, value),
            None => request,
        }
    }
}

/// The proxy for `url`, by the variables that curl reads.
fn proxy(url: &str, environment: &Environment) -> Result<Option<Proxy>, Error> {
    let variable = |name: &str| {
        [name.to_owned(), name.to_ascii_uppercase()]
            .into_iter()
            .find_map(|name| {
                let value = environment.variables.get(&name)?;
                (!value.is_empty()).then(|| (name, value.clone()))
            })
    };
    let scheme = if url.starts_with("https:") {
        "https_proxy"
    } else {
        "http_proxy"
    };
    let Some((name, value)) = variable(scheme).or_else(|| variable("all_proxy")) else {
        return Ok(None);
    };
    let excluded = variable("no_proxy").map_or(String::new(), |(_, value)| value);
    if is_excluded(host(url), &excluded) {
        return Ok(None);
    }
    Proxy::new(&value)
        .map(Some)
        .map_err(|source| Error::Setting {
            variable: name,
            source,
        })
}

fn host(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit('@').next().unwrap_or_default();
    match host.strip_prefix('[') {
        Some(bracketed) => bracketed.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    }
}

/// Whether `no_proxy` names the host, a domain that it is in, or everything.
fn is_excluded(host: &str, no_proxy: &str) -> bool {
    no_proxy.split([',', ' ']).any(|entry| {
        let entry = entry.trim_start_matches("*.").trim_start_matches('.');
        entry == "*"
            || (!entry.is_empty()
                && (host == entry
                    || host
                        .strip_suffix(entry)
                        .is_some_and(|rest| rest.ends_with('.'))))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transfer_may_be_as_slow_as_the_limit_and_no_slower() {
        let begin = Instant::now();
        let minute = limits::SLOW_TIME.time();
        let whole = limits::SLOWEST * limits::SLOW_TIME.most;
        for (bytes, passes) in [(whole, true), (whole - 1, false), (0, false)] {
            let mut pace = Pace::begin(begin);
            // Nothing is said before the time is over.
            pace.take(begin + minute / 2, 0).unwrap();
            assert_eq!(pace.take(begin + minute, bytes).is_ok(), passes, "{bytes}");
        }
        // Each stretch counts for itself: what came fast before is no credit.
        let mut pace = Pace::begin(begin);
        pace.take(begin + minute, 1 << 40).unwrap();
        pace.take(begin + minute * 2, 1).unwrap_err();
    }

    #[test]
    fn no_proxy_names_hosts_and_their_domains() {
        for (host, list, expected) in [
            ("cdn.kernel.org", "kernel.org", true),
            ("cdn.kernel.org", ".kernel.org", true),
            ("cdn.kernel.org", "*.kernel.org,localhost", true),
            ("kernel.org", "a.org, kernel.org", true),
            ("notkernel.org", "kernel.org", false),
            ("kernel.org", "*", true),
            ("kernel.org", "", false),
        ] {
            assert_eq!(is_excluded(host, list), expected, "{host} {list:?}");
        }
    }

    #[test]
    fn the_host_is_what_stands_between_user_and_port() {
        for (url, expected) in [
            ("https://cdn.kernel.org/pub", "cdn.kernel.org"),
            ("http://me:pass@127.0.0.1:8080/x@y", "127.0.0.1"),
            ("http://[::1]:80/", "::1"),
        ] {
            assert_eq!(host(url), expected);
        }
    }
}
