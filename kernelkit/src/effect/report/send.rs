//! Hands a mail on: to `sendmail`, or to a server that speaks SMTP.

use std::io::{self, BufRead as _, BufReader, Write as _};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::time::Duration;

use camino::Utf8Path;

use super::Error;
use crate::effect::environment::Environment;
use crate::effect::{exec, fs};
use crate::process::Call;
use crate::report::{Address, Server};

/// How long a server may take for anything.
const PATIENCE: Duration = Duration::from_secs(20);

/// How a mail goes out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Way {
    /// `sendmail -t`: the recipients are those of the mail.
    Sendmail,
    /// A server, without encryption and without a password: one of this machine or its network.
    Server(Server),
}

/// Sends the mail in the file `path`.
///
/// # Errors
/// It was not taken. The file stays where it is.
pub fn send(
    path: &Utf8Path,
    from: &Address,
    to: &[Address],
    way: &Way,
    environment: &Environment,
) -> Result<(), Error> {
    match way {
        Way::Sendmail => sendmail(path, environment),
        Way::Server(server) => {
            let mail = fs::read(path)?;
            let session =
                Session::open(server).and_then(|mut session| session.send(&mail, from, to));
            session.map_err(|problem| match problem {
                Problem::Io(source) => Error::Unreachable {
                    server: server.to_string(),
                    mail: path.to_owned(),
                    source,
                },
                Problem::Said(said) => Error::Refused {
                    server: server.to_string(),
                    mail: path.to_owned(),
                    said,
                },
            })
        }
    }
}

/// A local sendmail takes lines as this system ends them.
fn sendmail(path: &Utf8Path, environment: &Environment) -> Result<(), Error> {
    let variables = environment.tool_variables();
    let directories = format!("{}:/usr/sbin:/usr/lib", environment.path);
    let failed = |source| Error::Sendmail {
        mail: path.to_owned(),
        source,
    };
    let asked = Call::new("sendmail", "/").env("PATH", &directories);
    if exec::find_program(&asked).is_none() {
        return Err(failed(exec::Error::NotFound {
            program: "sendmail".to_owned(),
            call: Box::new(asked),
        }));
    }
    let call = Call::new("sh", "/")
        .args([
            "-c",
            "tr -d '\\r' <\"$1\" | sendmail -t -i",
            "sh",
            path.as_str(),
        ])
        .envs(&variables)
        .env("PATH", directories);
    exec::capture(&call).map(|_| ()).map_err(failed)
}

enum Problem {
    Io(io::Error),
    Said(String),
}

impl From<io::Error> for Problem {
    fn from(error: io::Error) -> Self {
        Problem::Io(error)
    }
}

/// A conversation as in RFC 5321.
struct Session {
    stream: BufReader<TcpStream>,
}

impl Session {
    fn open(server: &Server) -> Result<Session, Problem> {
        let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
        for address in (server.host(), server.port()).to_socket_addrs()? {
            match TcpStream::connect_timeout(&address, PATIENCE) {
                Ok(stream) => {
                    stream.set_read_timeout(Some(PATIENCE))?;
                    stream.set_write_timeout(Some(PATIENCE))?;
                    let mut session = Session {
                        stream: BufReader::new(stream),
                    };
                    session.answer(220)?;
                    return Ok(session);
                }
                Err(error) => last = error,
            }
        }
        Err(last.into())
    }

    fn send(&mut self, mail: &[u8], from: &Address, to: &[Address]) -> Result<(), Problem> {
        // RFC 5321, section 4.1.1.1: who has no name to give says his address.
        self.say("EHLO [127.0.0.1]", 250)?;
        self.say(&format!("MAIL FROM:<{from}>"), 250)?;
        for to in to {
            self.say(&format!("RCPT TO:<{to}>"), 250)?;
        }
        self.say("DATA", 354)?;
        // No line of a mail of ours begins with a dot.
        self.stream.get_mut().write_all(mail)?;
        self.say(".", 250)?;
        // It is sent; how the server takes its leave does not matter.
        let _ = self.say("QUIT", 221);
        Ok(())
    }

    fn say(&mut self, line: &str, expected: u16) -> Result<(), Problem> {
        let stream = self.stream.get_mut();
        stream.write_all(format!("{line}\r\n").as_bytes())?;
        stream.flush()?;
        self.answer(expected)
    }

    /// Reads an answer; all but the last of its lines have `-` behind the code.
    fn answer(&mut self, expected: u16) -> Result<(), Problem> {
        let mut said = Vec::new();
        loop {
            let mut line = String::new();
            if self.stream.read_line(&mut line)? == 0 {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
            }
            let line = line.trim_end().to_owned();
            let goes_on = line.as_bytes().get(3) == Some(&b'-');
            let code = line.get(..3).and_then(|code| code.parse::<u16>().ok());
            said.push(line);
            if goes_on && said.len() < 100 {
                continue;
            }
            // 251 says that it forwards.
            return match code {
                Some(code) if code == expected || code == 251 && expected == 250 => Ok(()),
                _ => Err(Problem::Said(said.join(" "))),
            };
        }
    }
}
