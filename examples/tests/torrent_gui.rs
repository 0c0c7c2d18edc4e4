//! PR-20 as a person uses it: the window under a pseudo-terminal, a real tracker, a real seed, a web server.
#![cfg(unix)]
#![allow(missing_docs)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use axon::prelude::*;
use kamaelia_torrent::components::tracker::TrackerServer;
use portable_pty::{CommandBuilder, PtySize, native_pty_system};

const PATIENCE: Duration = Duration::from_secs(60);

/// A tracker in a thread that ends with the test's process; gives its announce URL.
fn tracker() -> String {
    let (tell, told) = channel();
    thread::spawn(move || {
        let server = TrackerServer::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        tell.send(server.local_addr()).unwrap();
        server.run().unwrap();
    });
    format!("http://{}/announce", told.recv().unwrap())
}

/// A web server that has the files of a folder and nothing else; gives its URL.
fn web(dir: &Path) -> String {
    let (listener, dir) = (TcpListener::bind("127.0.0.1:0").unwrap(), dir.to_owned());
    let url = format!("http://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
            let first = lines.next().unwrap().unwrap();
            while lines.next().is_some_and(|l| l.is_ok_and(|l| !l.is_empty())) {}
            let path = first.split(' ').nth(1).unwrap().trim_start_matches('/');
            let (status, body) = match std::fs::read(dir.join(path)) {
                Ok(body) => ("200 OK", body),
                Err(_) => ("404 Not Found", Vec::new()),
            };
            let head =
                format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
            let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body));
        }
    });
    url
}

struct Seeder(Child);

impl Drop for Seeder {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn seed(dir: &Path, announce: &str) -> Seeder {
    let mut child = Command::new(env!("CARGO_BIN_EXE_torrent_seeder"))
        .arg(announce)
        .current_dir(dir)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.as_mut().unwrap().write_all(b"payload.bin\n").unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.any(|l| l.unwrap().contains("status : 100%")), "the seed ended early");
    thread::spawn(move || lines.for_each(drop)); // or it stops at a full pipe
    Seeder(child)
}

/// A program under a pseudo-terminal, and what its screen shows.
struct Terminal {
    screen: vt100::Parser,
    output: Receiver<Vec<u8>>,
    input: Box<dyn Write + Send>,
    child: Box<dyn portable_pty::Child + Send + Sync>,
    _master: Box<dyn portable_pty::MasterPty + Send>,
}

impl Terminal {
    fn start(program: &str, dir: &Path) -> Self {
        let size = PtySize { rows: 24, cols: 100, pixel_width: 0, pixel_height: 0 };
        let pair = native_pty_system().openpty(size).unwrap();
        let mut command = CommandBuilder::new(program);
        command.cwd(dir);
        command.env("TERM", "xterm-256color");
        let child = pair.slave.spawn_command(command).unwrap();
        let mut reader = pair.master.try_clone_reader().unwrap();
        let (tell, output) = channel();
        thread::spawn(move || {
            let mut chunk = [0; 4096];
            while let Ok(n @ 1..) = reader.read(&mut chunk) {
                if tell.send(chunk[..n].to_vec()).is_err() {
                    return;
                }
            }
        });
        let input = pair.master.take_writer().unwrap();
        Self { screen: vt100::Parser::new(24, 100, 0), output, input, child, _master: pair.master }
    }

    fn type_keys(&mut self, keys: &str) {
        self.input.write_all(keys.as_bytes()).unwrap();
    }

    fn wait_for(&mut self, what: &str) {
        let until = Instant::now() + PATIENCE;
        while !self.screen.screen().contents().contains(what) {
            let left = until.saturating_duration_since(Instant::now());
            match self.output.recv_timeout(left) {
                Ok(bytes) => self.screen.process(&bytes),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                    panic!("{what:?} does not appear; the screen:\n{}", self.screen.screen().contents())
                }
            }
        }
    }
}

#[test]
fn pr_20_a_url_typed_into_the_window_becomes_a_line_with_percent() {
    let (seed_dir, get_dir) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let payload: Vec<u8> = (0..3_000_000_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    std::fs::write(seed_dir.path().join("payload.bin"), &payload).unwrap();
    let announce = tracker();
    let _seeder = seed(seed_dir.path(), &announce);
    let url = web(seed_dir.path());

    let mut terminal = Terminal::start(env!("CARGO_BIN_EXE_torrent_gui"), get_dir.path());
    terminal.wait_for("Add Torrent");
    terminal.type_keys(&format!("{url}/missing.torrent\r"));
    terminal.wait_for("HTTP status 404");
    terminal.type_keys(&format!("{url}/payload.bin.torrent\r"));
    terminal.wait_for("payload.bin.torrent - 100%");
    terminal.type_keys(&format!("{url}/payload.bin.torrent\r"));
    terminal.wait_for("already downloading");
    terminal.type_keys("\u{1b}");
    let status = terminal.child.wait().unwrap();
    assert!(status.success(), "{status:?}");
    assert!(std::fs::read(get_dir.path().join("payload.bin")).unwrap() == payload);
}

#[test]
fn without_a_terminal_it_says_so() {
    let output = Command::new(env!("CARGO_BIN_EXE_torrent_gui")).stdin(Stdio::null()).output().unwrap();
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("needs a terminal"));
}
