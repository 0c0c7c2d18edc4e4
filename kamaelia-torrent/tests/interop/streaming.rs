//! A file is read while a client that serves slowly has sent but its beginning.

use std::io::Read;
use std::net::Ipv4Addr;
use std::process::Stdio;

use sha2::{Digest, Sha256};

use crate::bench::{Bench, Failure, Result, free_port, text};
use crate::client::{Client, Role};
use crate::kind::Kind;
use crate::libtorrent::Libtorrent;
use crate::ours::program;
use crate::payload::Payload;
use crate::tracker::Place;

#[test]
fn the_beginning_of_a_file_comes_before_the_rest_from_libtorrent() -> Result {
    let Some(bench) = Bench::new(90, &[Kind::Opentracker, Kind::Libtorrent])? else { return Ok(()) };
    let payload = Payload::one_file(bench.folder("source")?, 64 << 20)?;
    let place = Place::new()?;
    let torrent = payload.torrent(&bench, &place.announce_url())?;
    let mut tracker = place.opentracker(&bench, &[torrent.info_hash])?;
    let mut seed = Libtorrent::start(&bench)?;
    // All of it would take 32 s.
    seed.add_limited(&torrent, &payload.parent, Role::Seed, 2 << 20)?;
    tracker.wait_seeds(torrent.info_hash, 1, &bench.deadline)?;

    let target = bench.folder("target")?;
    let listen = free_port(Ipv4Addr::LOCALHOST)?.to_string();
    let mut cat = program()
        .args(["cat", text(&torrent.path)?, "--dir", text(&target)?, "--listen", &listen])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut output = cat.stdout.take().ok_or_else(|| Failure::new("no output"))?;
    let mut start = vec![0; 1 << 20];
    output.read_exact(&mut start)?;
    let sent = seed.state()?.uploaded;
    println!("the first {} bytes came when {sent} of {} were sent", start.len(), payload.len);
    assert!(sent < payload.len / 8, "{sent} bytes were sent before the first million");

    seed.lift_limit()?;
    let mut hash = Sha256::new();
    hash.update(&start);
    let mut rest = Vec::new();
    output.read_to_end(&mut rest)?;
    hash.update(&rest);
    let status = cat.wait()?;
    assert!(status.success(), "{status}");
    let written: [u8; 32] = hash.finalize().into();
    let expected: [u8; 32] = Sha256::digest(std::fs::read(payload.root())?).into();
    assert_eq!(written, expected, "{} bytes were written", start.len() + rest.len());
    payload.verify(&target)
}
