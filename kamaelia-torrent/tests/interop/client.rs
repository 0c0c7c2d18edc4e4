//! What the drivers of all clients have in common.

use std::path::Path;
use std::thread;

use crate::aria2::Aria2;
use crate::bench::{Bench, Deadline, Failure, POLL, Result};
use crate::kind::Kind;
use crate::libtorrent::Libtorrent;
use crate::payload::{Payload, Torrent};
use crate::process::Process;
use crate::qbittorrent::Qbittorrent;
use crate::rqbit::Rqbit;
use crate::transmission::Transmission;

/// A running client that was given at most one torrent.
pub(crate) trait Client {
    /// Hands it a torrent: to serve what lies in `dir`, or to download into it.
    fn add(&mut self, torrent: &Torrent, payload: &Payload, dir: &Path, role: Role) -> Result;

    /// How far it is.
    fn state(&mut self) -> Result<State>;

    /// Its process.
    fn process(&mut self) -> &mut Process;
}

/// What a client is to do with a torrent.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Seed,
    Leech,
}

/// What a client says about its torrent.
pub(crate) struct State {
    /// All of it is there and verified.
    pub(crate) complete: bool,
    /// Payload bytes sent to peers.
    pub(crate) uploaded: u64,
    /// Peers that it is connected to, if it says so.
    pub(crate) peers: Option<u64>,
    /// The client's own words.
    pub(crate) words: String,
}

/// Starts a client.
pub(crate) fn start(kind: Kind, bench: &Bench) -> Result<Box<dyn Client>> {
    Ok(match kind {
        Kind::Aria2 => Box::new(Aria2::start(bench)?),
        Kind::Libtorrent => Box::new(Libtorrent::start(bench)?),
        Kind::Qbittorrent => Box::new(Qbittorrent::start(bench)?),
        Kind::Rqbit => Box::new(Rqbit::start(bench)?),
        Kind::Transmission => Box::new(Transmission::start(bench)?),
        Kind::Opentracker => return Err(Failure::new("opentracker transfers nothing")),
    })
}

/// Waits until a client has everything.
pub(crate) fn wait_complete(client: &mut dyn Client, deadline: &Deadline) -> Result {
    loop {
        let state = client.state()?;
        if state.complete {
            return Ok(());
        }
        client.process().check_running()?;
        if deadline.passed() {
            let words = client.process().last_words();
            return Err(Failure::new(format!("not complete in time: {}\n{words}", state.words)));
        }
        thread::sleep(POLL);
    }
}
