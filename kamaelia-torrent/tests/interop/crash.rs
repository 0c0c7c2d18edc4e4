//! A download that is killed goes on where it was.

use crate::bench::{Bench, Result};
use crate::client::{Client, Role};
use crate::kind::Kind;
use crate::libtorrent::Libtorrent;
use crate::ours::Ours;
use crate::payload::Payload;
use crate::tracker::Place;

#[test]
fn what_was_verified_before_kill_9_is_not_fetched_again() -> Result {
    let Some(bench) = Bench::new(90, &[Kind::Opentracker, Kind::Libtorrent])? else { return Ok(()) };
    let payload = Payload::one_file(bench.folder("source")?, 256 << 20)?;
    let place = Place::new()?;
    let torrent = payload.torrent(&bench, &place.announce_url())?;
    let mut tracker = place.opentracker(&bench, &[torrent.info_hash])?;
    // The limit leaves time to stop it half-way.
    let mut seed = Libtorrent::start(&bench)?;
    seed.add_limited(&torrent, &payload.parent, Role::Seed, 48 << 20)?;
    tracker.wait_seeds(torrent.info_hash, 1, &bench.deadline)?;

    let target = bench.folder("target")?;
    let mut first = Ours::get(&bench, &torrent, &target, &[])?;
    bench.deadline.wait("half of the payload", || {
        first.process.check_running()?;
        Ok(seed.state()?.uploaded >= payload.len / 2)
    })?;
    first.process.kill();
    let verified = first.last_status("verified")?;
    let sent_before = seed.state()?.uploaded;

    seed.lift_limit()?;
    let mut second = Ours::get(&bench, &torrent, &target, &[])?;
    second.wait_complete(&bench.deadline)?;
    payload.verify(&target)?;

    // Counted by the other side, so that it does not matter what we believe to have fetched.
    let missing = payload.len - verified;
    let sent = seed.state()?.uploaded - sent_before;
    println!("verified {verified}, missing {missing}, sent again {sent} of {} bytes", payload.len);
    assert!(verified >= payload.len / 4, "only {verified} bytes were verified half-way");
    assert!(sent <= missing + EXCESS, "{missing} bytes were missing, {sent} were fetched after the restart");
    Ok(())
}

/// Blocks that are asked for twice at the end of a download.
const EXCESS: u64 = 1 << 20;
