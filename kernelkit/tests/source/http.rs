//! A web server on this machine, with the faults of real ones.

use std::collections::{BTreeMap, VecDeque};
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// What happens to one request.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fault {
    /// The connection closes after so many bytes of the body.
    CutAfter(usize),
    /// This status and no body.
    Status(u16),
}

#[derive(Default)]
struct State {
    files: BTreeMap<String, Vec<u8>>,
    faults: VecDeque<Fault>,
    ignore_range: bool,
    redirects: BTreeMap<String, String>,
    login: Option<String>,
    key: Option<String>,
    requests: Vec<String>,
}

pub(crate) struct Server {
    pub(crate) url: String,
    state: Arc<Mutex<State>>,
}

impl Server {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let state = Arc::new(Mutex::new(State::default()));
        let shared = Arc::clone(&state);
        // It ends with the process; a client that goes away early is its own business.
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let _ = stream.and_then(|stream| answer(stream, &shared));
            }
        });
        Server { url, state }
    }

    pub(crate) fn put(&self, path: &str, bytes: impl Into<Vec<u8>>) {
        self.state
            .lock()
            .unwrap()
            .files
            .insert(path.to_owned(), bytes.into());
    }

    /// `path` is answered with the address `to`.
    pub(crate) fn redirect(&self, path: &str, to: &str) {
        let mut state = self.state.lock().unwrap();
        state.redirects.insert(path.to_owned(), to.to_owned());
    }

    pub(crate) fn remove(&self, path: &str) {
        self.state.lock().unwrap().files.remove(path);
    }

    /// The next requests for archives go wrong like this.
    pub(crate) fn fail(&self, faults: impl IntoIterator<Item = Fault>) {
        self.state.lock().unwrap().faults.extend(faults);
    }

    pub(crate) fn ignore_range(&self) {
        self.state.lock().unwrap().ignore_range = true;
    }

    /// Every request must come with this login, as `user:password`.
    pub(crate) fn demand_login(&self, login: &str) {
        self.state.lock().unwrap().login = Some(login.to_owned());
    }

    /// Requests for archives must have this in their query.
    pub(crate) fn demand_key(&self, key: &str) {
        self.state.lock().unwrap().key = Some(key.to_owned());
    }

    /// `GET /path`, with ` from N` where a range was asked for.
    pub(crate) fn requests(&self) -> Vec<String> {
        std::mem::take(&mut self.state.lock().unwrap().requests)
    }
}

fn answer(mut stream: TcpStream, state: &Mutex<State>) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let mut request = lines.next().unwrap_or_else(|| Ok(String::new()))?;
    // As a proxy it is the other end of every tunnel itself.
    if let Some(target) = request.strip_prefix("CONNECT ") {
        let target = target.split(' ').next().unwrap_or_default();
        state
            .lock()
            .unwrap()
            .requests
            .push(format!("CONNECT {target}"));
        while lines
            .next()
            .is_some_and(|line| line.is_ok_and(|line| !line.is_empty()))
        {}
        stream.write_all(b"HTTP/1.1 200 X\r\n\r\n")?;
        request = lines.next().unwrap_or_else(|| Ok(String::new()))?;
    }
    let path = request.split(' ').nth(1).unwrap_or_default().to_owned();
    let mut headers = BTreeMap::new();
    for line in lines {
        let line = line?;
        let Some((name, value)) = line.split_once(": ") else {
            break;
        };
        headers.insert(name.to_ascii_lowercase(), value.to_owned());
    }
    let mut state = state.lock().unwrap();
    let from: Option<usize> = headers.get("range").and_then(|range| {
        range
            .strip_prefix("bytes=")?
            .strip_suffix('-')?
            .parse()
            .ok()
    });
    let log = from.map_or(String::new(), |from| format!(" from {from}"));
    state.requests.push(format!("GET {path}{log}"));
    let fault = if path.contains(".tar") {
        state.faults.pop_front()
    } else {
        None
    };
    let head = |status: &str, length: usize, more: &str| {
        format!(
            "HTTP/1.1 {status} X\r\nContent-Length: {length}\r\nConnection: close\r\n{more}\r\n"
        )
    };
    if let Some(Fault::Status(status)) = fault {
        return stream.write_all(head(&status.to_string(), 0, "").as_bytes());
    }
    let (plain, query) = path.split_once('?').unwrap_or((&path, ""));
    if let Some(login) = &state.login
        && headers.get("authorization") != Some(&kernelkit::credentials::basic(login))
    {
        let more = "WWW-Authenticate: Basic realm=\"x\"\r\n";
        return stream.write_all(head("401", 0, more).as_bytes());
    }
    if let Some(key) = &state.key
        && plain.contains(".tar")
        && !query.contains(key)
    {
        return stream.write_all(head("403", 0, "").as_bytes());
    }
    if let Some(to) = state.redirects.get(plain) {
        let more = format!("Location: {to}\r\n");
        return stream.write_all(head("302", 0, &more).as_bytes());
    }
    let Some(bytes) = state.files.get(plain) else {
        return stream.write_all(head("404", 0, "").as_bytes());
    };
    let tag = format!("\"{}\"", kernelkit::source::Sha256::of(bytes));
    let same = headers.get("if-range").is_none_or(|wanted| *wanted == tag);
    let from = from.filter(|_| same && !state.ignore_range);
    let tag = format!("ETag: {tag}\r\n");
    let total = bytes.len();
    let (head, body) = match from {
        Some(from) if from >= total => (
            head("416", 0, &format!("Content-Range: bytes */{total}\r\n")),
            &bytes[..0],
        ),
        Some(from) => {
            let range = format!("{tag}Content-Range: bytes {from}-{}/{total}\r\n", total - 1);
            (head("206", total - from, &range), &bytes[from..])
        }
        None => (head("200", total, &tag), &bytes[..]),
    };
    let body = match fault {
        Some(Fault::CutAfter(count)) => &body[..count.min(body.len())],
        _ => body,
    };
    stream.write_all(head.as_bytes())?;
    stream.write_all(body)
}
