//! Trackers: opentracker, which runs large parts of the public swarms, and our own.

use std::fs::{self, Permissions};
use std::net::SocketAddrV4;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use kamaelia_torrent::proto::info_hash::InfoHash;

use crate::bench::{Bench, Deadline, Failure, Result, free_port, own_address, text};
use crate::ours;
use crate::process::Process;
use crate::web::{Web, percent};

/// A place for a tracker, so that torrents can name it before it runs.
pub(crate) struct Place(SocketAddrV4);

/// A running tracker.
pub(crate) struct Tracker {
    addr: SocketAddrV4,
    process: Process,
    web: Web,
}

/// How many peers a tracker counts for a torrent.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) struct Count {
    /// Peers that have everything.
    pub(crate) seeds: u64,
    /// Peers that do not.
    pub(crate) leeches: u64,
}

impl Place {
    /// Takes an address and a port.
    pub(crate) fn new() -> Result<Place> {
        Ok(Place(free_port(own_address())?))
    }

    /// The URL for torrents.
    pub(crate) fn announce_url(&self) -> String {
        format!("http://{}/announce", self.0)
    }

    /// Runs opentracker here, for these torrents alone: Debian's build knows no others.
    pub(crate) fn opentracker(self, bench: &Bench, torrents: &[InfoHash]) -> Result<Tracker> {
        let folder = bench.folder("opentracker")?;
        let list: String = torrents.iter().map(|hash| format!("{hash}\n")).collect();
        fs::write(folder.join("whitelist"), list)?;
        // As root it moves into the folder and becomes `nobody`, who has to be able to read there.
        fs::set_permissions(&folder, Permissions::from_mode(0o755))?;
        fs::set_permissions(folder.join("whitelist"), Permissions::from_mode(0o644))?;
        let (ip, port) = (self.0.ip().to_string(), self.0.port().to_string());
        let mut command = Command::new("opentracker");
        command
            .args([
                "-i",
                &ip,
                "-p",
                &port,
                "-P",
                &port,
                "-d",
                text(&folder)?,
                "-u",
                "nobody",
                "-w",
                "whitelist",
            ])
            .current_dir(&folder);
        let process = Process::start("opentracker", &bench.folder("logs")?, &mut command)?;
        Tracker::new(self.0, process, bench)
    }

    /// Runs our own tracker here.
    pub(crate) fn ours(self, bench: &Bench) -> Result<Tracker> {
        let mut command = ours::program();
        command.args(["tracker", "--listen", &self.0.to_string()]).current_dir(bench.folder("our tracker")?);
        let process = Process::start("our tracker", &bench.folder("logs")?, &mut command)?;
        Tracker::new(self.0, process, bench)
    }
}

impl Tracker {
    fn new(addr: SocketAddrV4, mut process: Process, bench: &Bench) -> Result<Tracker> {
        bench.deadline.wait_listening("the tracker", addr).and_then(|()| process.check_running())?;
        Ok(Tracker { addr, process, web: Web::new(format!("http://{addr}")) })
    }

    /// Asks for the counts of a torrent.
    pub(crate) fn scrape(&self, torrent: InfoHash) -> Result<Count> {
        let answer = self.web.get(&format!("/scrape?info_hash={}", percent(&torrent.0)))?;
        if answer.status != 200 {
            return Err(Failure::new(format!("scrape of {}: HTTP {}", self.addr, answer.status)));
        }
        let number = |key: &[u8]| number_after(&answer.body, key).unwrap_or(0);
        Ok(Count { seeds: number(b"8:completei"), leeches: number(b"10:incompletei") })
    }

    /// Waits until the tracker counts at least so many seeds.
    pub(crate) fn wait_seeds(&mut self, torrent: InfoHash, seeds: u64, deadline: &Deadline) -> Result {
        self.wait(deadline, format!("the tracker to count {seeds} seeds"), torrent, |count| {
            count.seeds >= seeds
        })
    }

    /// Waits until the tracker counts at least so many leeches.
    pub(crate) fn wait_leeches(&mut self, torrent: InfoHash, leeches: u64, deadline: &Deadline) -> Result {
        let what = format!("the tracker to count {leeches} leeches");
        self.wait(deadline, what, torrent, |count| count.leeches >= leeches)
    }

    /// Waits until the tracker counts nobody.
    pub(crate) fn wait_nobody(&mut self, torrent: InfoHash, deadline: &Deadline) -> Result {
        let nobody = Count { seeds: 0, leeches: 0 };
        self.wait(deadline, "the tracker to count nobody".to_owned(), torrent, |count| count == nobody)
    }

    fn wait(
        &mut self,
        deadline: &Deadline,
        what: String,
        torrent: InfoHash,
        enough: impl Fn(Count) -> bool,
    ) -> Result {
        let mut last = None;
        let waited = deadline.wait(what, || {
            last = Some(self.scrape(torrent)?);
            Ok(last.is_some_and(&enough))
        });
        self.process.check_running()?;
        waited.map_err(|failure| Failure::new(format!("{failure:?}; last count: {last:?}")))
    }
}

/// The number that stands after a key in bencoding.
fn number_after(bytes: &[u8], key: &[u8]) -> Option<u64> {
    let at = bytes.windows(key.len()).position(|window| window == key)? + key.len();
    let digits = bytes[at..].split(|&byte| byte == b'e').next()?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}
