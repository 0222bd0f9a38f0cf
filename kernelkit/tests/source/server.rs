//! A git server on this machine that stops in the middle when it is told to.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use camino::{Utf8Path, Utf8PathBuf};

/// How many bytes each connection gets, first to last; the others get all of theirs.
type Limits = Arc<Mutex<Vec<usize>>>;

pub(crate) struct GitServer {
    pub(crate) url: String,
    limits: Limits,
}

impl GitServer {
    /// Serves one repository, whatever is asked for.
    pub(crate) fn start(repository: &Utf8Path) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("git://{}/linux", listener.local_addr().unwrap());
        let limits = Limits::default();
        let (shared, repository) = (Arc::clone(&limits), repository.to_owned());
        // It ends with the process; a client that goes away early is its own business.
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let mut limits = shared.lock().unwrap();
                let limit = if limits.is_empty() {
                    usize::MAX
                } else {
                    limits.remove(0)
                };
                let _ = serve(stream, &repository, limit);
            }
        });
        GitServer { url, limits }
    }

    /// The next connections get so many bytes each.
    pub(crate) fn cut(&self, limits: &[usize]) {
        *self.limits.lock().unwrap() = limits.to_vec();
    }
}

fn serve(mut stream: TcpStream, repository: &Utf8PathBuf, limit: usize) -> std::io::Result<()> {
    // A packet of the service's name, the path, the host and what protocol is wanted
    // (gitprotocol-pack(5), "Git Transport").
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let length = usize::from_str_radix(std::str::from_utf8(&length).unwrap(), 16).unwrap();
    let mut request = vec![0; length - 4];
    stream.read_exact(&mut request)?;
    let request = String::from_utf8_lossy(&request);
    let protocol = request
        .split('\0')
        .find(|part| part.starts_with("version="));
    let mut child = Command::new("git")
        .args(["upload-pack", repository.as_str()])
        .env("GIT_PROTOCOL", protocol.unwrap_or_default())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let mut input = child.stdin.take().unwrap();
    let mut from_client = stream.try_clone()?;
    let reader = std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(count @ 1..) = from_client.read(&mut buffer) {
            if input.write_all(&buffer[..count]).is_err() {
                break;
            }
        }
    });
    let mut output = child.stdout.take().unwrap();
    let (mut left, mut buffer) = (limit, [0; 64]);
    while left > 0 {
        let count = output.read(&mut buffer)?;
        if count == 0 {
            break;
        }
        let count = count.min(left);
        if stream.write_all(&buffer[..count]).is_err() {
            break;
        }
        left -= count;
    }
    let _ = stream.shutdown(Shutdown::Both);
    let _ = child.kill();
    child.wait()?;
    let _ = reader.join();
    Ok(())
}
