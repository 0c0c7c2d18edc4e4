//! This program, as a user runs it.

use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::Value;

use crate::bench::{Bench, Deadline, Failure, Result, text};
use crate::payload::Torrent;
use crate::process::Process;
use crate::web::count;

/// A running `get` or `seed`.
pub(crate) struct Ours {
    /// Its process.
    pub(crate) process: Process,
}

/// The program without arguments.
pub(crate) fn program() -> Command {
    Command::new(env!("CARGO_BIN_EXE_kamaelia-torrent"))
}

/// Runs a command that ends by itself and gives what it printed.
pub(crate) fn run(bench: &Bench, name: &str, arguments: &[&str]) -> Result<String> {
    let mut command = program();
    command.args(arguments);
    let mut process = Process::start(name, &bench.folder("logs")?, &mut command)?;
    process.wait_success(&bench.deadline)?;
    Ok(process.output())
}

impl Ours {
    /// Downloads into `dir`.
    pub(crate) fn get(bench: &Bench, torrent: &Torrent, dir: &Path, more: &[&str]) -> Result<Ours> {
        Ours::start(bench, "get", &[&torrent.path], dir, more)
    }

    /// Downloads several torrents into `dir`, or with none those of an earlier run.
    pub(crate) fn get_all(bench: &Bench, torrents: &[Torrent], dir: &Path, more: &[&str]) -> Result<Ours> {
        let paths: Vec<&Path> = torrents.iter().map(|torrent| torrent.path.as_path()).collect();
        Ours::start(bench, "get", &paths, dir, more)
    }

    /// Serves what lies in `dir`.
    pub(crate) fn seed(bench: &Bench, torrent: &Torrent, dir: &Path, more: &[&str]) -> Result<Ours> {
        Ours::start(bench, "seed", &[&torrent.path], dir, more)
    }

    fn start(bench: &Bench, what: &str, torrents: &[&Path], dir: &Path, more: &[&str]) -> Result<Ours> {
        static RUNS: AtomicU32 = AtomicU32::new(0);
        let mut command = program();
        command
            .arg(what)
            .args(torrents)
            // The tracker sees where its requests come from, and HTTP requests come from 127.0.0.1.
            .args(["--dir", text(dir)?, "--listen", "127.0.0.1:0", "--json"])
            .args(more)
            // No state in the home folder of whoever runs the tests.
            .env("HOME", bench.folder(&format!("home {what}"))?)
            .env("XDG_STATE_HOME", bench.folder(&format!("home {what}"))?);
        // What one run said shall not be taken for the words of the next.
        let run = RUNS.fetch_add(1, Ordering::Relaxed);
        let process = Process::start(&format!("our {what} {run}"), &bench.folder("logs")?, &mut command)?;
        Ok(Ours { process })
    }

    /// Waits until a `get` ends by itself, which says that everything is there and verified.
    pub(crate) fn wait_complete(&mut self, deadline: &Deadline) -> Result {
        self.process.wait_success(deadline)
    }

    /// Waits until it prints an event of this name.
    pub(crate) fn wait_event(&mut self, name: &str, deadline: &Deadline) -> Result {
        deadline.wait(format_args!("our event {name:?}"), || {
            self.process.check_running()?;
            Ok(self.events()?.iter().any(|event| event["event"] == name))
        })
    }

    /// A count of bytes, as it last said.
    pub(crate) fn last_status(&self, key: &str) -> Result<u64> {
        let events = self.events()?;
        let last = events
            .iter()
            .rfind(|event| event["event"] == "status")
            .ok_or_else(|| Failure::new("no status yet"))?;
        count(last, key)
    }

    /// The last event of this name.
    pub(crate) fn last_event(&self, name: &str) -> Result<Value> {
        let found = self.events()?.into_iter().rfind(|event| event["event"] == name);
        found.ok_or_else(|| Failure::new(format!("no event {name:?}")))
    }

    /// The lines of `--json` so far. The last may be half written and is left out then.
    pub(crate) fn events(&self) -> Result<Vec<Value>> {
        let output = self.process.output();
        let whole = output.rfind('\n').map_or("", |end| &output[..end]);
        whole
            .lines()
            .map(|line| serde_json::from_str(line).map_err(|e| Failure::new(format!("{e} in {line:?}"))))
            .collect()
    }
}
