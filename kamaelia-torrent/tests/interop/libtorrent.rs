//! libtorrent, through a small Python program that keeps one session.

use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddrV4;
use std::path::Path;
use std::process::{ChildStdin, Command};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use crate::bench::{Bench, Failure, Result, free_port, own_address, text};
use crate::client::{Client, Role, State};
use crate::payload::{Payload, Torrent};
use crate::process::Process;
use crate::web::count;

/// A running session.
pub(crate) struct Libtorrent {
    process: Process,
    requests: ChildStdin,
    answers: Receiver<String>,
    /// Where it takes connections.
    pub(crate) addr: SocketAddrV4,
}

impl Libtorrent {
    pub(crate) fn start(bench: &Bench) -> Result<Libtorrent> {
        Libtorrent::start_with(bench, &json!({}))
    }

    /// Starts with some of libtorrent's settings changed.
    pub(crate) fn start_with(bench: &Bench, settings: &Value) -> Result<Libtorrent> {
        let addr = free_port(own_address())?;
        let node = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/interop/libtorrent_node.py");
        let mut command = Command::new("python3");
        command
            .args([node, &addr.to_string(), &settings.to_string()])
            .current_dir(bench.folder("libtorrent")?);
        let (process, requests, output) =
            Process::start_piped("libtorrent", &bench.folder("logs")?, &mut command)?;
        // A pipe cannot be read with a time-out, a channel can. The thread ends with the process.
        let (sender, answers) = channel();
        thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(std::result::Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        let mut node = Libtorrent { process, requests, answers, addr };
        bench.deadline.wait_listening("libtorrent", addr).and_then(|()| node.process.check_running())?;
        Ok(node)
    }

    /// Downloads or serves, with the upload limited to bytes a second from the start.
    pub(crate) fn add_limited(
        &mut self,
        torrent: &Torrent,
        dir: &Path,
        role: Role,
        upload_limit: u32,
    ) -> Result {
        self.call(json!({
            "do": "add", "torrent": text(&torrent.path)?, "dir": text(dir)?,
            "seed": role == Role::Seed, "upload_limit": upload_limit,
        }))?;
        Ok(())
    }

    /// What it says about one of its torrents.
    pub(crate) fn state_of(&mut self, torrent: &Torrent) -> Result<Value> {
        self.call(json!({"do": "state", "torrent": text(&torrent.path)?}))
    }

    /// Payload bytes sent of each torrent at one moment, in the order of `torrents`.
    pub(crate) fn uploaded(&mut self, torrents: &[Torrent]) -> Result<Vec<u64>> {
        let states = self.call(json!({"do": "states"}))?;
        torrents.iter().map(|torrent| count(&states["uploaded"], text(&torrent.path)?)).collect()
    }

    /// The peers of its last torrent, with `client`, `queue` (requests that wait for its answer) and `connecting`.
    pub(crate) fn peers(&mut self) -> Result<Vec<Value>> {
        let answer = self.call(json!({"do": "connections"}))?;
        answer["peers"].as_array().cloned().ok_or_else(|| Failure::new(format!("connections: {answer}")))
    }

    /// Serves what is right of what lies in `dir`, and asks nobody for the rest.
    pub(crate) fn add_incomplete(&mut self, torrent: &Torrent, dir: &Path) -> Result {
        let (torrent, dir) = (text(&torrent.path)?, text(dir)?);
        self.call(json!({"do": "add", "torrent": torrent, "dir": dir, "only_upload": true})).map(drop)
    }

    /// Changes the limits on the upload of each torrent, in bytes a second.
    pub(crate) fn limit(&mut self, upload: u32) -> Result {
        self.call(json!({"do": "limit", "upload": upload})).map(drop)
    }

    /// Lifts the limits on the upload.
    pub(crate) fn lift_limit(&mut self) -> Result {
        self.limit(0)
    }

    /// Lifts the limit on the upload of one torrent.
    pub(crate) fn lift_limit_of(&mut self, torrent: &Torrent) -> Result {
        self.call(json!({"do": "limit", "upload": 0, "torrent": text(&torrent.path)?})).map(drop)
    }

    /// What it reads out of a .torrent file.
    pub(crate) fn describe(&mut self, torrent: &Path) -> Result<Value> {
        self.call(json!({"do": "describe", "torrent": text(torrent)?}))
    }

    fn call(&mut self, request: Value) -> Result<Value> {
        writeln!(self.requests, "{request}")?;
        let line = self.answers.recv_timeout(ANSWER).map_err(|e| {
            Failure::new(format!("libtorrent does not answer {request}: {e}\n{}", self.process.last_words()))
        })?;
        let answer: Value = serde_json::from_str(&line)?;
        match answer["error"].as_str() {
            Some(error) => Err(Failure::new(format!("libtorrent: {request}: {error}"))),
            None => Ok(answer),
        }
    }
}

impl Client for Libtorrent {
    fn add(&mut self, torrent: &Torrent, _: &Payload, dir: &Path, role: Role) -> Result {
        self.add_limited(torrent, dir, role, 0)
    }

    fn state(&mut self) -> Result<State> {
        let state = self.call(json!({"do": "state"}))?;
        if state["problem"] != "" {
            return Err(Failure::new(format!("libtorrent: {state}")));
        }
        Ok(State {
            complete: state["complete"] == true,
            uploaded: count(&state, "uploaded")?,
            peers: count(&state, "peers").ok(),
            words: state.to_string(),
        })
    }

    fn process(&mut self) -> &mut Process {
        &mut self.process
    }
}

/// The longest that an answer takes on a busy machine.
const ANSWER: Duration = Duration::from_secs(120);
