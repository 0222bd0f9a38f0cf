//! A client of the Nix daemon: puts derivations into a store, asks, builds.
//!
//! It speaks the worker protocol, as Nix' own programs do, over the daemon's socket or a
//! `nix-daemon --stdio` of its own, which also serves stores without a daemon. One request
//! at a time; after a lost connection every further request is refused.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use rustix::process::{Pid, Signal};

use super::nar;
use super::wire::{
    Refusal, read_bool, read_events, read_number, read_string, read_strings, write_number,
    write_string, write_strings,
};
use crate::effect::exec;
use crate::nix::failure::Cause;
use crate::nix::hash::Hash;
use crate::nix::kernel::Text;
use crate::nix::nar::NarHash;
use crate::nix::narinfo::{NarInfo, Signature};
use crate::nix::store_path::{ContentAddress, StoreDir, StorePath};
use crate::process::Call;
use crate::source::Sha256;

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

/// Why the daemon did not do it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nobody listens.
    #[error("cannot connect to the Nix daemon at {address}")]
    Connect {
        /// Socket or command.
        address: String,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
    /// Whoever answered does not speak the protocol.
    #[error("{address} does not answer as a Nix daemon does")]
    NotADaemon {
        /// Socket or command.
        address: String,
    },
    /// Older than Nix 2.8.
    #[error("the Nix daemon at {address} speaks protocol {major}.{minor}, which is too old")]
    TooOld {
        /// Socket or command.
        address: String,
        /// 1.
        major: u64,
        /// Below 34.
        minor: u64,
    },
    /// It was killed, or it crashed.
    #[error("the Nix daemon went away during {during}")]
    Lost {
        /// What it was asked.
        during: &'static str,
    },
    /// The connection failed otherwise.
    #[error("cannot talk to the Nix daemon during {during}")]
    Connection {
        /// What it was asked.
        during: &'static str,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
    /// It said no.
    #[error("Nix refused {during}: {message}")]
    Refused {
        /// What it was asked.
        during: &'static str,
        /// Its words.
        message: String,
        /// Where it came from, outermost first.
        traces: Vec<String>,
        /// What stands behind it, where that is known.
        cause: Option<Cause>,
    },
    /// The store put it somewhere else than was computed.
    #[error("the Nix store put {expected} at {found}")]
    OtherPath {
        /// As computed.
        expected: StorePath,
        /// As stored.
        found: String,
    },
    /// What is added cannot be read.
    #[error(transparent)]
    Nar(#[from] nar::Error),
    /// A file beside the store, such as a GC root, cannot be written.
    #[error(transparent)]
    File(#[from] crate::effect::fs::Error),
    /// The user stopped it.
    #[error("interrupted")]
    Interrupted,
}

impl Error {
    /// What to do next.
    pub fn hint(&self) -> Option<String> {
        match self {
            Error::Connect { .. } => Some(Cause::NoDaemon.hint().to_owned()),
            Error::NotADaemon { address } => {
                Some(format!("NIX_REMOTE and NIX_DAEMON_SOCKET_PATH say where the daemon is; is it {address}?"))
            }
            Error::TooOld { .. } => Some("Nix 2.8 or newer is needed".to_owned()),
            Error::Lost { .. } => Some(
                "`journalctl -u nix-daemon` says why (out of memory?); what was built before is in the store, so run the same command again"
                    .to_owned(),
            ),
            Error::Refused { cause, .. } => cause.map(|cause| cause.hint().to_owned()),
            Error::OtherPath { .. } => Some(
                "the store's directory is another one: set NIX_STORE_DIR as the daemon has it".to_owned(),
            ),
            Error::Nar(error) => error.hint(),
            Error::Interrupted => exec::Error::Interrupted.hint(),
            Error::Connection { .. } | Error::File(_) => None,
        }
    }
}

/// Where a daemon is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// Its socket, usually `/nix/var/nix/daemon-socket/socket`.
    Socket(Utf8PathBuf),
    /// A process that speaks on its standard streams: `nix-daemon --stdio`.
    Process(Call),
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Address::Socket(path) => path.fmt(f),
            Address::Process(call) => write!(f, "`{call}`"),
        }
    }
}

/// What the daemon does for this client alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Derivations built at once.
    pub max_jobs: u64,
    /// `NIX_BUILD_CORES` of each; 0 means all.
    pub cores: u64,
    /// Whether build directories of failed builds are kept.
    pub keep_failed: bool,
    /// Whether caches are asked.
    pub substitute: bool,
    /// Settings by their names in nix.conf. From users that are not trusted the daemon
    /// ignores most of them.
    pub settings: BTreeMap<String, String>,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            max_jobs: 1,
            cores: 0,
            keep_failed: false,
            substitute: true,
            settings: BTreeMap::new(),
        }
    }
}

/// What happens while the daemon works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// For the user.
    Message(&'a str),
    /// Something began.
    Started {
        /// Names it until it stops.
        id: u64,
        /// What it is.
        activity: Activity<'a>,
        /// For the user.
        about: &'a str,
    },
    /// Something ended.
    Stopped {
        /// What.
        id: u64,
    },
    /// A line of a builder's output.
    Line {
        /// The activity.
        id: u64,
        /// Without its newline.
        line: &'a str,
    },
    /// A builder of nixpkgs began a phase.
    Phase {
        /// The activity.
        id: u64,
        /// Such as `buildPhase`.
        name: &'a str,
    },
    /// Bytes or items.
    Progress {
        /// The activity.
        id: u64,
        /// Done.
        done: u64,
        /// Of.
        expected: u64,
    },
}

/// What the daemon is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activity<'a> {
    /// A builder runs.
    Build {
        /// The `.drv`, with its directory.
        derivation: &'a str,
    },
    /// A path is taken from a cache.
    Substitute {
        /// With its directory.
        path: &'a str,
        /// Its address.
        cache: &'a str,
    },
    /// A path is copied.
    Copy {
        /// With its directory.
        path: &'a str,
    },
    /// Something is downloaded.
    Fetch {
        /// From where.
        url: &'a str,
    },
    /// Anything else.
    Other,
}

/// Outputs of a derivation that are wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The `.drv`.
    pub derivation: StorePath,
    /// Empty: all.
    pub outputs: BTreeSet<String>,
}

impl Target {
    /// All outputs of a derivation.
    pub fn all(derivation: StorePath) -> Self {
        Target {
            derivation,
            outputs: BTreeSet::new(),
        }
    }

    /// As every Nix since 2.8 understands it.
    fn text(&self, store: &StoreDir) -> String {
        let outputs: Vec<_> = self.outputs.iter().map(String::as_str).collect();
        let outputs = match outputs.is_empty() {
            true => "*".to_owned(),
            false => outputs.join(","),
        };
        format!("{}!{outputs}", store.display(&self.derivation))
    }
}

/// How much is built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// What is not there.
    Normal = 0,
    /// What is there already, again, and the bytes are compared.
    Check = 2,
}

/// How building one target ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It was built.
    Built,
    /// It came from a cache.
    Substituted,
    /// It was there.
    AlreadyValid,
    /// Other bytes than the first time.
    NotDeterministic,
    /// Silent for too long, or too long altogether.
    TimedOut,
    /// Something that it needs failed.
    DependencyFailed,
    /// It failed otherwise.
    Failed,
}

impl Status {
    fn from_number(number: u64) -> Self {
        match number {
            0 => Status::Built,
            1 => Status::Substituted,
            2 | 13 => Status::AlreadyValid,
            8 => Status::TimedOut,
            10 => Status::DependencyFailed,
            12 => Status::NotDeterministic,
            _ => Status::Failed,
        }
    }

    /// Whether the outputs are there.
    pub fn is_success(self) -> bool {
        matches!(
            self,
            Status::Built | Status::Substituted | Status::AlreadyValid
        )
    }
}

/// The end of building one target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// What was wanted, as `<path>.drv!<outputs>`.
    pub target: String,
    /// How it ended.
    pub status: Status,
    /// Nix' words, where it failed.
    pub message: String,
}

impl Outcome {
    /// What stands behind a failure, where that is known.
    pub fn cause(&self) -> Option<Cause> {
        match self.status {
            Status::NotDeterministic => Some(Cause::NotDeterministic),
            status if status.is_success() => None,
            _ => Cause::of(&self.message),
        }
    }
}

/// What the store knows of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathInfo {
    /// What it was built from.
    pub deriver: Option<StorePath>,
    /// Hash and size of its archive.
    pub nar: NarHash,
    /// What it refers to.
    pub references: BTreeSet<StorePath>,
    /// Whether it was built here.
    pub ultimate: bool,
    /// Who vouches for it.
    pub signatures: Vec<Signature>,
    /// How it follows from its content.
    pub content: Option<ContentAddress>,
}

/// What building targets would take.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Missing {
    /// Derivations that would be built.
    pub build: BTreeSet<StorePath>,
    /// Paths that would come from caches.
    pub substitute: BTreeSet<StorePath>,
    /// Paths that nobody can make.
    pub unknown: BTreeSet<StorePath>,
    /// Bytes to download, compressed.
    pub download: u64,
}

/// The two ends of a connection.
enum Channel {
    Socket(UnixStream),
    Process {
        child: Child,
        input: ChildStdin,
        output: ChildStdout,
        _running: Option<exec::Running>,
    },
}

impl Read for Channel {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let result = match self {
                Channel::Socket(socket) => socket.read(buffer),
                Channel::Process { output, .. } => output.read(buffer),
            };
            match result {
                // The socket's time-out is there to look for Ctrl-C.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock && !exec::interrupted() => {
                }
                result => return result,
            }
        }
    }
}

impl Write for Channel {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Channel::Socket(socket) => socket.write(bytes),
            Channel::Process { input, .. } => input.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Channel::Socket(socket) => socket.flush(),
            Channel::Process { input, .. } => input.flush(),
        }
    }
}

impl Drop for Channel {
    fn drop(&mut self) {
        if let Channel::Process { child, .. } = self {
            // It stops its builders when it is asked to, and has nothing to save.
            if let Some(pid) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
                let _ = rustix::process::kill_process_group(pid, Signal::TERM);
            }
            let _ = child.wait();
        }
    }
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
        let failed = |source| Error::Connect {
            address: address.to_string(),
            source,
        };
        let channel = match address {
            Address::Socket(path) => {
                let socket = UnixStream::connect(path).map_err(failed)?;
                socket
                    .set_read_timeout(Some(Duration::from_millis(200)))
                    .map_err(failed)?;
                Channel::Socket(socket)
            }
            Address::Process(call) => start(call).map_err(failed)?,
        };
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
        let during = "the build";
        let mut bytes = Vec::new();
        put_strings(&mut bytes, &self.target_texts(targets));
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
            let message = super::wire::plain(&read_string(input)?);
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
            UnexpectedEof | BrokenPipe | ConnectionReset => Error::Lost { during },
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

fn refused(during: &'static str, refusal: Refusal) -> Error {
    let cause = Cause::of(&refusal.message)
        .or_else(|| refusal.traces.iter().find_map(|trace| Cause::of(trace)));
    Error::Refused {
        during,
        message: refusal.message,
        traces: refusal.traces,
        cause,
    }
}

fn read_info(input: &mut impl Read, store: &StoreDir) -> io::Result<PathInfo> {
    let deriver = read_string(input)?;
    let hash = read_string(input)?;
    let references = read_strings(input)?;
    let _registered = read_number(input)?;
    let size = read_number(input)?;
    let ultimate = read_bool(input)?;
    let signatures = read_strings(input)?;
    let content = read_string(input)?;
    let path = |text: &String| store.parse(text).map_err(io::Error::other);
    Ok(PathInfo {
        deriver: (!deriver.is_empty()).then(|| path(&deriver)).transpose()?,
        nar: NarHash {
            sha256: hash
                .trim_start_matches("sha256:")
                .parse()
                .map_err(io::Error::other)?,
            size,
        },
        references: references.iter().map(path).collect::<io::Result<_>>()?,
        ultimate,
        signatures: signatures
            .iter()
            .map(|text| text.parse().map_err(io::Error::other))
            .collect::<io::Result<_>>()?,
        content: (!content.is_empty())
            .then(|| content.parse().map_err(io::Error::other))
            .transpose()?,
    })
}

/// Starts a process that speaks the protocol on its standard streams, in a group of its own.
fn start(call: &Call) -> io::Result<Channel> {
    let program = exec::find_program(call).ok_or(io::ErrorKind::NotFound)?;
    let mut child = Command::new(program.as_std_path())
        .args(&call.args)
        .current_dir(&call.dir)
        .env_clear()
        .envs(&call.env)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()?;
    let id = child.id();
    let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
        unreachable!("both were asked for")
    };
    Ok(Channel::Process {
        child,
        input,
        output,
        _running: exec::Running::register_group(id),
    })
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
