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

    seed.lift_limit()?;
    let mut second = Ours::get(&bench, &torrent, &target, &[])?;
    second.wait_complete(&bench.deadline)?;
    payload.verify(&target)?;

    // Counted by the other side. What it had sent and we had not yet verified is sent again.
    let sent = seed.state()?.uploaded;
    let excess = sent.saturating_sub(payload.len);
    println!("fetched twice: {excess} of {} bytes", payload.len);
    assert!(sent >= payload.len, "the seed sent {sent} bytes, the payload has {}", payload.len);
    assert!(excess <= EXCESS, "{excess} bytes were fetched twice, {EXCESS} are allowed");
    Ok(())
}

/// What may be in flight or not yet verified when the process dies.
const EXCESS: u64 = 8 << 20;
