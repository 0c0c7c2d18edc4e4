//! Running the program, hearing what it says line by line, and the peers and seeds that it meets.
#![allow(unreachable_pub, reason = "the test's own tools")]

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Condvar, Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::TestTorrent;
use crate::support::node::{Script, scripted_seed};

/// Longest time that anything may take. It ends tests that hang; a slow and busy machine comes nowhere near.
pub const LIMIT: Duration = Duration::from_secs(300);

pub fn program() -> &'static str {
    env!("CARGO_BIN_EXE_kamaelia-torrent")
}

/// A command of the program, deaf to what the tester's environment asks for.
pub fn command<A: AsRef<OsStr>>(args: impl IntoIterator<Item = A>) -> Command {
    let mut command = Command::new(program());
    command.args(args).env_remove("RUST_LOG").env_remove("NO_COLOR");
    command
}

/// Runs to the end.
pub fn run<A: AsRef<OsStr>>(args: impl IntoIterator<Item = A>) -> Output {
    finish(command(args))
}

/// Runs a command to its end, which must come within [`LIMIT`].
pub fn finish(mut command: Command) -> Output {
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let (pid, (done, end)) = (child.id(), mpsc::channel());
    thread::spawn(move || done.send(child.wait_with_output()));
    match end.recv_timeout(LIMIT) {
        Ok(output) => output.unwrap(),
        Err(_) => {
            signal(pid, "KILL");
            panic!("{command:?} does not end")
        }
    }
}

pub fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

pub fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// Asserts an exit code, showing what was said otherwise.
#[track_caller]
pub fn assert_code(output: &Output, code: i32) {
    assert_eq!(output.status.code(), Some(code), "{}\n{}", stdout(output), stderr(output));
}

/// Every line as JSON.
#[track_caller]
pub fn objects(text: &str) -> Vec<Value> {
    text.lines().map(|l| serde_json::from_str(l).unwrap_or_else(|e| panic!("{l:?}: {e}"))).collect()
}

/// Sends a signal by its name.
pub fn signal(pid: u32, name: &str) {
    let kill = Command::new("sh").args(["-c", &format!("kill -{name} {pid}")]).status().unwrap();
    assert!(kill.success(), "kill -{name} {pid}");
}

/// A `get` or the like with `--json` that is still going on.
pub struct Running {
    child: Child,
    events: mpsc::Receiver<Value>,
    stderr: Option<thread::JoinHandle<String>>,
    /// What was heard so far.
    pub seen: Vec<Value>,
}

impl Running {
    pub fn start<A: AsRef<OsStr>>(args: impl IntoIterator<Item = A>) -> Running {
        Running::of(command(args))
    }

    /// The same for a command with an environment of its own.
    pub fn of(mut command: Command) -> Running {
        command.arg("--json").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (out, events) = mpsc::channel();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let object = serde_json::from_str(&line).unwrap_or_else(|e| panic!("{line:?}: {e}"));
                let _ = out.send(object);
            }
        });
        let mut pipe = child.stderr.take().unwrap();
        let stderr = thread::spawn(move || {
            let mut text = String::new();
            let _ = pipe.read_to_string(&mut text);
            text
        });
        Running { child, events, stderr: Some(stderr), seen: Vec::new() }
    }

    /// Waits for an object that fits.
    #[track_caller]
    pub fn wait(&mut self, what: &str, mut fits: impl FnMut(&Value) -> bool) -> Value {
        let end = Instant::now() + LIMIT;
        loop {
            match self.events.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(object) => {
                    self.seen.push(object.clone());
                    if fits(&object) {
                        return object;
                    }
                }
                Err(e) => {
                    let last: Vec<_> = self.seen.iter().rev().take(15).rev().collect();
                    panic!("waiting for {what}: {e}; last heard {last:#?}")
                }
            }
        }
    }

    /// Waits for an event by its name.
    #[track_caller]
    pub fn event(&mut self, name: &str) -> Value {
        self.wait(name, |o| o["event"] == name)
    }

    /// Where it listens.
    #[track_caller]
    pub fn address(&mut self) -> SocketAddr {
        self.event("listening")["address"].as_str().unwrap().parse().unwrap()
    }

    pub fn signal(&self, name: &str) {
        signal(self.child.id(), name);
    }

    /// Waits for the end; everything said is in `seen` then.
    #[track_caller]
    pub fn end(mut self) -> (ExitStatus, Vec<Value>, String) {
        let end = Instant::now() + LIMIT;
        loop {
            match self.events.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(object) => self.seen.push(object),
                Err(mpsc::RecvTimeoutError::Disconnected) => break,
                Err(e) => panic!("waiting for the end: {e}; {:?}", self.seen.last()),
            }
        }
        let status = self.child.wait().unwrap();
        let stderr = self.stderr.take().unwrap().join().unwrap();
        (status, std::mem::take(&mut self.seen), stderr)
    }

    /// Waits for the end, which must come with this code; gives what was said.
    #[track_caller]
    pub fn end_with(self, code: i32) -> Vec<Value> {
        let (status, seen, stderr) = self.end();
        assert_eq!(status.code(), Some(code), "{seen:#?}\n{stderr}");
        seen
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The event of that name, of which there is just one.
#[track_caller]
pub fn only<'a>(seen: &'a [Value], name: &str) -> &'a Value {
    let all: Vec<_> = seen.iter().filter(|o| o["event"] == name).collect();
    assert_eq!(all.len(), 1, "{name}: {all:#?}");
    all[0]
}

/// A folder with a .torrent file, and arguments for `get`.
pub struct Place {
    pub folder: tempfile::TempDir,
}

impl Place {
    pub fn new() -> Place {
        Place { folder: tempfile::tempdir().unwrap() }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a .torrent file.
    pub fn torrent(&self, name: &str, bytes: &[u8]) -> String {
        std::fs::write(self.path(name), bytes).unwrap();
        self.text(name)
    }

    pub fn text(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    /// `get`, on loopback, into a folder of this place.
    pub fn get(&self, torrent: &str, dir: &str, more: &[&str]) -> Vec<String> {
        let mut args: Vec<String> =
            ["get", torrent, "--listen", "127.0.0.1:0", "--dir"].map(String::from).into();
        args.push(self.text(dir));
        args.extend(more.iter().map(|s| (*s).to_owned()));
        args
    }

    /// Our own seed of a torrent, and where it listens.
    pub fn seed(&self, torrent: &TestTorrent, more: &[&str]) -> (Running, SocketAddr) {
        let dir = self.path("seed");
        std::fs::create_dir_all(&dir).unwrap();
        torrent.store(&dir);
        let file = self.torrent("seed.torrent", &torrent.bytes);
        let mut args = vec!["seed", &file, "--listen", "127.0.0.1:0", "--dir", dir.to_str().unwrap()];
        args.extend(more);
        let mut seed = Running::start(args);
        let addr = seed.address();
        seed.wait("a complete seed", |o| o["event"] == "complete");
        (seed, addr)
    }
}

/// A scripted seed that sends no more blocks than it is allowed to.
pub struct SlowSeed {
    pub addr: SocketAddr,
    allowed: Arc<(Mutex<u64>, Condvar)>,
    /// Pieces in the order of their first request.
    pub order: Arc<Mutex<Vec<u32>>>,
}

impl SlowSeed {
    pub fn new(torrent: &TestTorrent, blocks: u64) -> SlowSeed {
        let allowed = Arc::new((Mutex::new(blocks), Condvar::new()));
        let order = Arc::new(Mutex::new(Vec::new()));
        let (payload, geometry) = (torrent.payload(), torrent.metainfo.geometry());
        let (gate, pieces) = (Arc::clone(&allowed), Arc::clone(&order));
        let script: Script = Arc::new(move |piece, begin, len| {
            {
                let mut pieces = pieces.lock().unwrap();
                if !pieces.contains(&piece) {
                    pieces.push(piece);
                }
            }
            let mut left = gate.0.lock().unwrap();
            while *left == 0 {
                left = gate.1.wait(left).unwrap();
            }
            *left -= 1;
            let start = piece as usize * geometry.piece_len() as usize + begin as usize;
            payload.get(start..start + len as usize).map(<[u8]>::to_vec)
        });
        let (addr, _) = scripted_seed(torrent.metainfo.info_hash().0, geometry.piece_count(), script);
        SlowSeed { addr, allowed, order }
    }

    /// Lets so many more blocks go.
    pub fn allow(&self, blocks: u64) {
        *self.allowed.0.lock().unwrap() += blocks;
        self.allowed.1.notify_all();
    }

    pub fn text(&self) -> String {
        self.addr.to_string()
    }
}

/// Every path beneath a folder.
pub fn tree(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut to_do = vec![dir.to_owned()];
    while let Some(dir) = to_do.pop() {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.symlink_metadata().unwrap().is_dir() {
                to_do.push(path.clone());
            }
            found.push(path);
        }
    }
    found.sort();
    found
}
