//! Limits of ours with real clients at the other end: they are kept, and nobody takes us for dead.

use std::time::{Duration, Instant};

use crate::bench::{Bench, Failure, Result};
use crate::client::{Role, start, wait_complete};
use crate::kind::Kind;
use crate::ours::Ours;
use crate::payload::Payload;
use crate::tracker::Place;

/// Downloads from `kind`, or lets it download from us, at no more than 2 MiB/s.
fn transfer(kind: Kind, download: bool) -> Result {
    let Some(bench) = Bench::new(&[Kind::Opentracker, kind])? else { return Ok(()) };
    let payload = Payload::one_file(bench.folder("source")?, LEN)?;
    let place = Place::new()?;
    let torrent = payload.torrent(&bench, &place.announce_url())?;
    let mut tracker = place.opentracker(&bench, &[torrent.info_hash])?;
    let target = bench.folder("target")?;
    let mut other = start(kind, &bench)?;
    let begun;
    if download {
        other.add(&torrent, &payload, &payload.parent, Role::Seed)?;
        wait_complete(other.as_mut(), &bench.deadline)?;
        tracker.wait_seeds(torrent.info_hash, 1, &bench.deadline)?;
        begun = Instant::now();
        Ours::get(&bench, &torrent, &target, &["--down-limit", "2MiB"])?.wait_complete(&bench.deadline)?;
    } else {
        let _ours = Ours::seed(&bench, &torrent, &payload.parent, &["--up-limit", "2MiB"])?;
        tracker.wait_seeds(torrent.info_hash, 1, &bench.deadline)?;
        begun = Instant::now();
        other.add(&torrent, &payload, &target, Role::Leech)?;
        wait_complete(other.as_mut(), &bench.deadline)?;
    }
    payload.verify(&target)?;
    // A fifth of a second may have been saved up. How close it comes is tested in virtual time.
    let least = Duration::from_secs(LEN as u64 / RATE) - Duration::from_millis(500);
    if begun.elapsed() < least {
        return Err(Failure::new(format!("over within {:?}, less than {least:?}", begun.elapsed())));
    }
    Ok(())
}

#[test]
fn a_limited_download_from_libtorrent() -> Result {
    transfer(Kind::Libtorrent, true)
}

#[test]
fn a_limited_download_from_aria2() -> Result {
    transfer(Kind::Aria2, true)
}

#[test]
fn a_limited_upload_to_libtorrent() -> Result {
    transfer(Kind::Libtorrent, false)
}

#[test]
fn a_limited_upload_to_aria2() -> Result {
    transfer(Kind::Aria2, false)
}

const LEN: usize = 12 << 20;

/// Bytes per second.
const RATE: u64 = 2 << 20;
