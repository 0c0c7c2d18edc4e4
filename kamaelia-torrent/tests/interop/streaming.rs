//! A file is read while a client that serves slowly has sent but its beginning.

use std::io::Read;
use std::path::Path;
use std::process::{Child, ChildStdout, Stdio};

use sha2::{Digest, Sha256};

use crate::bench::{Bench, Failure, Result, endless, text};
use crate::client::{Client, Role};
use crate::kind::Kind;
use crate::libtorrent::Libtorrent;
use crate::ours::program;
use crate::payload::{Payload, Torrent};
use crate::source::Source;
use crate::tracker::Place;

#[test]
fn the_beginning_of_a_file_comes_before_the_rest_from_libtorrent() -> Result {
    let Some(bench) = Bench::new(&[Kind::Opentracker, Kind::Libtorrent])? else { return Ok(()) };
    let payload = Payload::one_file(bench.folder("source")?, 64 << 20)?;
    let place = Place::new()?;
    let torrent = payload.torrent(&bench, &place.announce_url())?;
    let mut tracker = place.opentracker(&bench, &[torrent.info_hash])?;
    let mut seed = Libtorrent::start(&bench)?;
    // Half of it would take longer than the test may.
    seed.add_limited(&torrent, &payload.parent, Role::Seed, endless(payload.len / 2))?;
    tracker.wait_seeds(torrent.info_hash, 1, &bench.deadline)?;

    let target = bench.folder("target")?;
    let mut cat = Cat::start(&torrent, &target, &[])?;
    let sent = seed.state()?.uploaded;
    println!("the first {FIRST} bytes came when {sent} of {} were sent", payload.len);
    assert!(sent < payload.len / 2, "{sent} bytes were sent before the first {FIRST}");

    seed.lift_limit()?;
    cat.verify_rest(&payload)?;
    payload.verify(&target)
}

/// Reads a file while it comes from `kind`.
fn stream_from(kind: Kind) -> Result {
    let Some(bench) = Bench::new(&[Kind::Opentracker, kind])? else { return Ok(()) };
    let payload = Payload::one_file(bench.folder("source")?, 32 << 20)?;
    let Source { payload, torrent, tracker: _tracker, mut seed } = Source::start(&bench, kind, payload)?;

    let target = bench.folder("target")?;
    // The limit is ours here, not all clients have one that can be lifted. Ours is lifted by a second run.
    let limit = endless(payload.len / 2).to_string();
    let cat = Cat::start(&torrent, &target, &["--down-limit", &limit])?;
    let sent = seed.state()?.uploaded;
    println!("the first {FIRST} bytes came when {sent} of {} were sent", payload.len);
    assert!(sent < payload.len / 2, "{sent} bytes were sent before the first {FIRST}");
    drop(cat);
    Cat::start(&torrent, &target, &[])?.verify_rest(&payload)?;
    payload.verify(&target)
}

#[test]
fn a_file_is_read_while_it_comes_from_aria2() -> Result {
    stream_from(Kind::Aria2)
}

#[test]
fn a_file_is_read_while_it_comes_from_rqbit() -> Result {
    stream_from(Kind::Rqbit)
}

/// A running `cat` of which the first bytes have been read.
struct Cat {
    child: Child,
    output: ChildStdout,
    start: Vec<u8>,
}

impl Cat {
    fn start(torrent: &Torrent, target: &Path, more: &[&str]) -> Result<Cat> {
        let mut child = program()
            .args(["cat", text(&torrent.path)?, "--dir", text(target)?, "--listen", "127.0.0.1:0"])
            .args(more)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()?;
        let output = child.stdout.take().ok_or_else(|| Failure::new("no output"))?;
        let mut cat = Cat { child, output, start: vec![0; FIRST] };
        cat.output.read_exact(&mut cat.start)?;
        Ok(cat)
    }

    /// Reads the rest and compares all of it by SHA-256.
    fn verify_rest(&mut self, payload: &Payload) -> Result {
        let mut hash = Sha256::new();
        hash.update(&self.start);
        let mut rest = Vec::new();
        self.output.read_to_end(&mut rest)?;
        hash.update(&rest);
        let status = self.child.wait()?;
        assert!(status.success(), "{status}");
        let written: [u8; 32] = hash.finalize().into();
        let expected: [u8; 32] = Sha256::digest(std::fs::read(payload.root())?).into();
        assert_eq!(written, expected, "{} bytes were written", self.start.len() + rest.len());
        Ok(())
    }
}

/// Bytes that are waited for first: several pieces.
const FIRST: usize = 256 << 10;

impl Drop for Cat {
    fn drop(&mut self) {
        // Both only fail if it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
