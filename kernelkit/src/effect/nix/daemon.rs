//! A client of the Nix daemon: puts derivations into a store, asks, builds.
//!
//! It speaks the worker protocol, as Nix' own programs do, over the daemon's socket or a
//! `nix-daemon --stdio` of its own, which also serves stores without a daemon. One request
//! at a time; after a lost connection every further request is refused.

mod channel;
mod error;
mod message;

use std::collections::BTreeSet;
use std::io::{self, BufReader, Read as _, Write as _};

use camino::Utf8Path;

use super::nar;
use super::wire::{
    Refusal, plain, read_bool, read_events, read_number, read_string, read_strings, write_number,
    write_string, write_strings,
};
use crate::effect::exec;
use crate::nix::hash::Hash;
use crate::nix::kernel::Text;
use crate::nix::narinfo::{NarInfo, Signature};
use crate::nix::store_path::{ContentAddress, StoreDir, StorePath};
use crate::source::Sha256;
pub use channel::Address;
use channel::Channel;
pub use error::Error;
use error::refused;
use message::read_info;
pub use message::{Activity, Event, Missing, Mode, Options, Outcome, PathInfo, Status, Target};

/// 1.35 is the newest protocol that is spoken, 1.34 (Nix 2.8) the oldest.
const NEWEST: u64 = 0x123;
const OLDEST: u64 = 0x122;
const CLIENT_MAGIC: u64 = 0x6e69_7863;
const DAEMON_MAGIC: u64 = 0x6478_696f;

/// Requests, by the protocol's numbers.
#[derive(Clone, Copy)]
enum Request {
    IsValidPath = 1,
    AddToStore = 7,
    AddTempRoot = 11,
    AddIndirectRoot = 12,
    SetOptions = 19,
    QueryPathInfo = 26,
    QueryValidPaths = 31,
    AddToStoreNar = 39,
    QueryMissing = 40,
    BuildPathsWithResults = 46,
}

/// A connection.
pub struct Daemon {
    channel: BufReader<Channel>,
    store: StoreDir,
    nix: String,
    trusted: Option<bool>,
    lost: bool,
}

impl std::fmt::Debug for Daemon {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Daemon(Nix {}, {})", self.nix, self.store)
    }
}

type Result<T, E = Error> = std::result::Result<T, E>;

impl Daemon {
    /// Connects and sets the options.
    pub fn connect(address: &Address, store: &StoreDir, options: &Options) -> Result<Self> {
        let channel = channel::open(address).map_err(|source| Error::Connect {
            address: address.to_string(),
            source,
        })?;
        let mut daemon = Daemon {
            channel: BufReader::with_capacity(1 << 16, channel),
            store: store.clone(),
            nix: String::new(),
            trusted: None,
            lost: false,
        };
        daemon.greet(address)?;
        daemon.set_options(options)?;
        Ok(daemon)
    }

    /// The daemon's version of Nix.
    pub fn nix_version(&self) -> &str {
        &self.nix
    }

    /// Whether the daemon trusts this user; `None` where it does not say (before Nix 2.15).
    pub fn is_trusted(&self) -> Option<bool> {
        self.trusted
    }

    fn greet(&mut self, address: &Address) -> Result<()> {
        let during = "the greeting";
        let mut bytes = Vec::new();
        put(&mut bytes, CLIENT_MAGIC);
        self.send(during, &bytes)?;
        let magic = self.receive(during, read_number)?;
        if magic != DAEMON_MAGIC {
            return Err(Error::NotADaemon {
                address: address.to_string(),
            });
        }
        let theirs = self.receive(during, read_number)?;
        let version = theirs.min(NEWEST);
        if theirs >> 8 != NEWEST >> 8 || version < OLDEST {
            return Err(Error::TooOld {
                address: address.to_string(),
                major: theirs >> 8,
                minor: theirs & 0xff,
            });
        }
        let mut bytes = Vec::new();
        // No CPU affinity, no reserved space: both are of the past.
        for number in [NEWEST, 0, 0] {
            put(&mut bytes, number);
        }
        self.send(during, &bytes)?;
        self.nix = self.receive(during, read_string)?;
        if version >= 0x123 {
            self.trusted = match self.receive(during, read_number)? {
                1 => Some(true),
                2 => Some(false),
                _ => None,
            };
        }
        self.work(during, &mut |_| {})
    }

    fn set_options(&mut self, options: &Options) -> Result<()> {
        let mut bytes = Vec::new();
        let numbers = [
            u64::from(options.keep_failed),
            0, // keep going
            0, // build where a substitute fails
            3, // messages: what the user of `nix build` sees
            options.max_jobs,
            0, // no limit of silence
            1,
            0, // the builders' output is shown
            0,
            0,
            options.cores,
            u64::from(options.substitute),
        ];
        for number in numbers {
            put(&mut bytes, number);
        }
        put(&mut bytes, options.settings.len() as u64);
        for (name, value) in &options.settings {
            put_string(&mut bytes, name);
            put_string(&mut bytes, value);
        }
        self.ask(Request::SetOptions, "the options", &bytes)
    }

    /// Whether the store has the path, complete.
    pub fn is_valid(&mut self, path: &StorePath) -> Result<bool> {
        let during = "a query";
        let bytes = self.path_bytes(path);
        self.ask(Request::IsValidPath, during, &bytes)?;
        self.receive(during, read_bool)
    }

    /// Those of `paths` that the store has. With `substitute`, what caches have is
    /// brought into the store first.
    pub fn valid<'a>(
        &mut self,
        paths: impl IntoIterator<Item = &'a StorePath>,
        substitute: bool,
    ) -> Result<BTreeSet<StorePath>> {
        let during = "a query";
        let mut bytes = Vec::new();
        let paths: Vec<_> = paths
            .into_iter()
            .map(|path| self.store.display(path))
            .collect();
        put_strings(&mut bytes, &paths);
        put(&mut bytes, u64::from(substitute));
        self.ask(Request::QueryValidPaths, during, &bytes)?;
        self.receive_paths(during)
    }

    /// What the store knows of a path; `None` where it does not have it.
    pub fn info(&mut self, path: &StorePath) -> Result<Option<PathInfo>> {
        let during = "a query";
        let bytes = self.path_bytes(path);
        self.ask(Request::QueryPathInfo, during, &bytes)?;
        match self.receive(during, read_bool)? {
            true => self.receive_info(during).map(Some),
            false => Ok(None),
        }
    }

    /// Adds a derivation, a script or a config; what it refers to must be there. Open to
    /// users that are not trusted.
    pub fn add_text(&mut self, text: &Text) -> Result<()> {
        let content = ContentAddress::text(Sha256::of(&text.contents));
        let mut rest = Some(text.contents.as_slice());
        let found = self.add(
            &text.name,
            &content.method(),
            &text.references,
            &mut |take| match rest.take() {
                Some(bytes) if !bytes.is_empty() => take(bytes).map_err(AddError::Send),
                _ => Ok(()),
            },
        )?;
        self.same(&text.path, found)
    }

    /// Adds a file, a link or a directory as a source, as `nix-store --add` does; returns
    /// where it is. Where it is there already, hashing it first is quicker than adding it:
    /// [`nar::hash`], [`StoreDir::source_path`], [`Daemon::is_valid`].
    pub fn add_directory(&mut self, name: &str, path: &Utf8Path) -> Result<StorePath> {
        let method = "fixed:r:sha256";
        let found = self.add(name, method, &BTreeSet::new(), &mut |take| {
            nar::stream(path, take).map_err(AddError::from)
        })?;
        self.parse(found)
    }

    /// Adds a file by its flat hash, as `nix-store --add-fixed sha256` does: what a
    /// fixed-output derivation would fetch. Returns where it is.
    pub fn add_file(&mut self, name: &str, path: &Utf8Path) -> Result<StorePath> {
        let found = self.add(name, "fixed:sha256", &BTreeSet::new(), &mut |take| {
            let unreadable = |source| {
                AddError::Read(nar::Error::Read {
                    path: path.to_string(),
                    source,
                })
            };
            let mut file = std::fs::File::open(path).map_err(unreadable)?;
            let mut buffer = vec![0; 1 << 18];
            loop {
                match file.read(&mut buffer).map_err(unreadable)? {
                    0 => return Ok(()),
                    count => take(&buffer[..count]).map_err(AddError::Send)?,
                }
            }
        })?;
        self.parse(found)
    }

    /// Adds what is at `path` as the store object that `info` describes; the references
    /// must be there. An input-addressed path needs a trusted user or a trusted signature.
    pub fn import(&mut self, info: &NarInfo, path: &Utf8Path) -> Result<()> {
        let during = "an import";
        let mut bytes = self.path_bytes(&info.path);
        let deriver = info.deriver.as_ref().map(|path| self.store.display(path));
        put_string(&mut bytes, deriver.as_deref().unwrap_or_default());
        put_string(&mut bytes, &Hash::from(info.nar.sha256).to_hex());
        let references: Vec<_> = info
            .references
            .iter()
            .map(|path| self.store.display(path))
            .collect();
        put_strings(&mut bytes, &references);
        put(&mut bytes, 0); // registered now
        put(&mut bytes, info.nar.size);
        put(&mut bytes, 0); // not built by this daemon
        let signatures: Vec<_> = info.signatures.iter().map(Signature::to_string).collect();
        put_strings(&mut bytes, &signatures);
        let content = info.content.as_ref().map(ContentAddress::to_string);
        put_string(&mut bytes, content.as_deref().unwrap_or_default());
        put(&mut bytes, 0); // no repair
        // Of a user that is not trusted the daemon checks them all the same.
        put(&mut bytes, u64::from(info.signatures.is_empty()));
        self.request(Request::AddToStoreNar, during, &bytes)?;
        self.send_frames(during, &mut |take| {
            nar::stream(path, take).map_err(AddError::from)
        })?;
        self.work(during, &mut |_| {})
    }

    /// Keeps a path from the garbage collector as long as this connection lives.
    pub fn add_temp_root(&mut self, path: &StorePath) -> Result<()> {
        let during = "a GC root";
        let bytes = self.path_bytes(path);
        self.ask(Request::AddTempRoot, during, &bytes)?;
        self.receive(during, read_number).map(drop)
    }

    /// Keeps a path from the garbage collector as long as the symbolic link `link`, which
    /// this makes, is there. `link` is absolute; a link that is there is replaced.
    pub fn add_root(&mut self, link: &Utf8Path, path: &StorePath) -> Result<()> {
        let during = "a GC root";
        self.add_temp_root(path)?;
        crate::effect::fs::symlink_atomic(self.store.join(path), link)?;
        let mut bytes = Vec::new();
        put_string(&mut bytes, link.as_str());
        self.ask(Request::AddIndirectRoot, during, &bytes)?;
        self.receive(during, read_number).map(drop)
    }

    /// What building would take.
    pub fn missing(&mut self, targets: &[Target]) -> Result<Missing> {
        let during = "a query";
        let mut bytes = Vec::new();
        put_strings(&mut bytes, &self.target_texts(targets));
        self.ask(Request::QueryMissing, during, &bytes)?;
        let (build, substitute, unknown) = (
            self.receive_paths(during)?,
            self.receive_paths(during)?,
            self.receive_paths(during)?,
        );
        let download = self.receive(during, read_number)?;
        let _unpacked = self.receive(during, read_number)?;
        Ok(Missing {
            build,
            substitute,
            unknown,
            download,
        })
    }

    /// Builds or substitutes, and tells what happens meanwhile. A build that fails is an
    /// [`Outcome`], not an error.
    pub fn build(
        &mut self,
        targets: &[Target],
        mode: Mode,
        on_event: &mut dyn FnMut(Event<'_>),
    ) -> Result<Vec<Outcome>> {
        self.realise(&self.target_texts(targets), mode, on_event)
    }

    /// Takes paths from caches, and builds nothing.
    pub fn substitute<'a>(
        &mut self,
        paths: impl IntoIterator<Item = &'a StorePath>,
        on_event: &mut dyn FnMut(Event<'_>),
    ) -> Result<Vec<Outcome>> {
        let paths = paths.into_iter().map(|path| self.store.display(path));
        let paths: Vec<_> = paths.collect();
        self.realise(&paths, Mode::Normal, on_event)
    }

    fn realise(
        &mut self,
        targets: &[String],
        mode: Mode,
        on_event: &mut dyn FnMut(Event<'_>),
    ) -> Result<Vec<Outcome>> {
        let during = "the build";
        let mut bytes = Vec::new();
        put_strings(&mut bytes, targets);
        put(&mut bytes, mode as u64);
        self.request(Request::BuildPathsWithResults, during, &bytes)?;
        self.work(during, on_event)?;
        let count = self.receive(during, read_number)?;
        (0..count).map(|_| self.receive_outcome(during)).collect()
    }

    fn receive_outcome(&mut self, during: &'static str) -> Result<Outcome> {
        self.receive(during, |input| {
            let target = read_string(input)?;
            let status = Status::from_number(read_number(input)?);
            let message = plain(&read_string(input)?);
            // How often, whether deterministic, when.
            for _ in 0..4 {
                read_number(input)?;
            }
            for _ in 0..read_number(input)? {
                read_string(input)?;
                read_string(input)?;
            }
            Ok(Outcome {
                target,
                status,
                message,
            })
        })
    }

    fn target_texts(&self, targets: &[Target]) -> Vec<String> {
        targets
            .iter()
            .map(|target| target.text(&self.store))
            .collect()
    }

    /// The common part of adding by content; returns the path's text.
    fn add(
        &mut self,
        name: &str,
        method: &str,
        references: &BTreeSet<StorePath>,
        contents: Contents<'_>,
    ) -> Result<String> {
        let during = "an addition";
        let mut bytes = Vec::new();
        put_string(&mut bytes, name);
        put_string(&mut bytes, method);
        let references: Vec<_> = references
            .iter()
            .map(|path| self.store.display(path))
            .collect();
        put_strings(&mut bytes, &references);
        put(&mut bytes, 0); // no repair
        self.request(Request::AddToStore, during, &bytes)?;
        self.send_frames(during, contents)?;
        self.work(during, &mut |_| {})?;
        let path = self.receive(during, read_string)?;
        self.receive_info(during)?;
        Ok(path)
    }

    /// Sends contents in frames: a length and as many bytes, until a length of zero.
    fn send_frames(&mut self, during: &'static str, contents: Contents<'_>) -> Result<()> {
        let channel = self.channel.get_mut();
        let result = contents(&mut |bytes| {
            write_number(channel, bytes.len() as u64)?;
            channel.write_all(bytes)
        });
        match result {
            Ok(()) => self.send(during, &0_u64.to_le_bytes()),
            // The daemon waits for the rest, so nothing else can be asked of it.
            Err(AddError::Read(error)) => {
                self.lost = true;
                Err(error.into())
            }
            Err(AddError::Send(error)) => Err(self.broken(during, error)),
        }
    }

    fn path_bytes(&self, path: &StorePath) -> Vec<u8> {
        let mut bytes = Vec::new();
        put_string(&mut bytes, &self.store.display(path));
        bytes
    }

    fn parse(&self, text: String) -> Result<StorePath> {
        self.store.parse(&text).map_err(|error| Error::Refused {
            during: "an addition",
            message: error.to_string(),
            traces: Vec::new(),
            cause: None,
        })
    }

    fn same(&self, expected: &StorePath, found: String) -> Result<()> {
        match found == self.store.display(expected) {
            true => Ok(()),
            false => Err(Error::OtherPath {
                expected: expected.clone(),
                found,
            }),
        }
    }

    /// Sends a request that has no contents, and waits until its answer follows.
    fn ask(&mut self, request: Request, during: &'static str, bytes: &[u8]) -> Result<()> {
        self.request(request, during, bytes)?;
        self.work(during, &mut |_| {})
    }

    fn request(&mut self, request: Request, during: &'static str, bytes: &[u8]) -> Result<()> {
        if self.lost {
            return Err(Error::Lost { during });
        }
        let mut all = (request as u64).to_le_bytes().to_vec();
        all.extend_from_slice(bytes);
        self.send(during, &all)
    }

    fn send(&mut self, during: &'static str, bytes: &[u8]) -> Result<()> {
        let channel = self.channel.get_mut();
        channel
            .write_all(bytes)
            .and_then(|()| channel.flush())
            .map_err(|error| self.broken(during, error))
    }

    fn work(&mut self, during: &'static str, on_event: &mut dyn FnMut(Event<'_>)) -> Result<()> {
        match read_events(&mut self.channel, on_event) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(refusal)) => Err(refused(during, refusal)),
            Err(error) => Err(self.failed(during, error)),
        }
    }

    fn receive<T>(
        &mut self,
        during: &'static str,
        read: impl FnOnce(&mut BufReader<Channel>) -> io::Result<T>,
    ) -> Result<T> {
        read(&mut self.channel).map_err(|error| self.failed(during, error))
    }

    fn receive_paths(&mut self, during: &'static str) -> Result<BTreeSet<StorePath>> {
        let store = self.store.clone();
        self.receive(during, |input| {
            read_strings(input)?
                .iter()
                .map(|text| store.parse(text).map_err(io::Error::other))
                .collect()
        })
    }

    fn receive_info(&mut self, during: &'static str) -> Result<PathInfo> {
        let store = self.store.clone();
        self.receive(during, |input| read_info(input, &store))
    }

    /// The error of a connection that cannot be written to: what the daemon said last says
    /// more than a broken pipe.
    fn broken(&mut self, during: &'static str, error: io::Error) -> Error {
        match read_events(&mut self.channel, &mut |_| {}) {
            Ok(Err(refusal)) => {
                self.lost = true;
                refused(during, refusal)
            }
            _ => self.failed(during, error),
        }
    }

    fn failed(&mut self, during: &'static str, source: io::Error) -> Error {
        use io::ErrorKind::{BrokenPipe, ConnectionReset, UnexpectedEof};
        self.lost = true;
        if exec::interrupted() {
            return Error::Interrupted;
        }
        match source.kind() {
            UnexpectedEof | BrokenPipe | ConnectionReset => {
                match self.channel.get_mut().last_words() {
                    Some(message) => {
                        let traces = Vec::new();
                        refused(during, Refusal { message, traces })
                    }
                    None => Error::Lost { during },
                }
            }
            _ => Error::Connection { during, source },
        }
    }
}

/// Hands contents over piece by piece.
type Contents<'a> =
    &'a mut dyn FnMut(&mut dyn FnMut(&[u8]) -> io::Result<()>) -> Result<(), AddError>;

/// Why contents were not handed over.
enum AddError {
    Read(nar::Error),
    Send(io::Error),
}

impl From<nar::Error> for AddError {
    fn from(error: nar::Error) -> Self {
        match error {
            nar::Error::Write { source, .. } => AddError::Send(source),
            error => AddError::Read(error),
        }
    }
}

fn put(bytes: &mut Vec<u8>, number: u64) {
    write_number(bytes, number).expect("memory takes everything");
}

fn put_string(bytes: &mut Vec<u8>, text: &str) {
    write_string(bytes, text).expect("memory takes everything");
}

fn put_strings(bytes: &mut Vec<u8>, texts: &[String]) {
    write_strings(bytes, texts.iter()).expect("memory takes everything");
}
