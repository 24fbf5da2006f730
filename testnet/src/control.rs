//! The control socket of a testnet's owner: one JSON line asks, one answers.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::Duration;

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};

use crate::net::Net;
use crate::run_folder::RunFolder;

/// Bytes of one request or answer.
const LINE_BYTES_MAX: u64 = 64 * 1024;
/// How long an answer may take: a node's stop and start, and room.
const ANSWER_DEADLINE: Duration = Duration::from_secs(90);

/// What a command asks of the owner.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub enum Request {
    /// Kill a node as a power cut would.
    Kill {
        /// Number or name.
        node: String,
    },
    /// Stop (if it runs) and start a node.
    Restart {
        /// Number or name.
        node: String,
    },
    /// Stop everything and leave.
    Down,
}

/// The owner's answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// Whether it was done.
    pub ok: bool,
    /// What was done, or why not.
    pub text: String,
    /// Nodes that were stopped, of [`Request::Down`].
    pub stopped: usize,
    /// Bytes that were removed, of [`Request::Down`].
    pub removed_bytes: u64,
}

impl Answer {
    fn done(text: String) -> Self {
        Self { ok: true, text, stopped: 0, removed_bytes: 0 }
    }

    fn failed(error: &anyhow::Error) -> Self {
        Self { ok: false, text: format!("{error:#}"), stopped: 0, removed_bytes: 0 }
    }
}

/// Asks the owner of the testnet in `folder`.
///
/// # Errors
/// When nobody answers.
pub fn ask(folder: &RunFolder, request: &Request) -> anyhow::Result<Answer> {
    let mut stream = UnixStream::connect(folder.socket()).context("the testnet's owner does not answer")?;
    stream.set_read_timeout(Some(ANSWER_DEADLINE))?;
    let mut line = serde_json::to_vec(request)?;
    line.push(b'\n');
    stream.write_all(&line)?;
    let mut answer = String::new();
    BufReader::new(stream.take(LINE_BYTES_MAX)).read_line(&mut answer)?;
    serde_json::from_str(&answer).context("the testnet's owner ended before it answered")
}

/// Whether the owner goes on after a request.
pub enum Next {
    /// With the net.
    GoOn(Net),
    /// No: all is down.
    End,
}

/// The owner's end of the socket.
pub struct ControlSocket {
    listener: UnixListener,
}

impl ControlSocket {
    /// Opens the socket in `folder`.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn open(folder: &RunFolder) -> anyhow::Result<Self> {
        let path = folder.socket();
        let listener = UnixListener::bind(&path).with_context(|| format!("opening {}", path.display()))?;
        listener.set_nonblocking(true)?;
        Ok(Self { listener })
    }

    /// Serves one request if one waits.
    ///
    /// # Errors
    /// When the socket fails; a bad request or a failing node is answered instead.
    pub fn serve_one(&self, net: Net) -> anyhow::Result<Next> {
        let mut stream = match self.listener.accept() {
            Ok((stream, _)) => stream,
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return Ok(Next::GoOn(net)),
            Err(error) => bail!("the control socket failed: {error}"),
        };
        stream.set_nonblocking(false)?;
        stream.set_read_timeout(Some(Duration::from_secs(2)))?;
        let mut line = String::new();
        BufReader::new((&stream).take(LINE_BYTES_MAX)).read_line(&mut line).unwrap_or_default();
        let (answer, next) = match serde_json::from_str(&line) {
            Ok(request) => carry_out(net, &request),
            Err(error) => (Answer::failed(&anyhow::anyhow!("no such request: {error}")), Next::GoOn(net)),
        };
        let mut bytes = serde_json::to_vec(&answer)?;
        bytes.push(b'\n');
        // Whoever asked may have gone.
        let _ = stream.write_all(&bytes);
        Ok(next)
    }
}

fn carry_out(mut net: Net, request: &Request) -> (Answer, Next) {
    let result = match request {
        Request::Kill { node } => net.find(node).and_then(|number| net.kill(number)).map(|()| format!("{node} killed")),
        Request::Restart { node } => {
            net.find(node).and_then(|number| net.restart(number)).map(|()| format!("{node} is up again"))
        }
        Request::Down => {
            return match net.down() {
                Ok((stopped, removed_bytes)) => {
                    (Answer { ok: true, text: String::new(), stopped, removed_bytes }, Next::End)
                }
                Err(error) => (Answer::failed(&error), Next::End),
            };
        }
    };
    let answer = result.map_or_else(|error| Answer::failed(&error), Answer::done);
    (answer, Next::GoOn(net))
}
