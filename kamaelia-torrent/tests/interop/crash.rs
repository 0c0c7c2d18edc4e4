//! A download that is killed goes on where it was.

use crate::bench::{Bench, Result, endless};
use crate::client::{Client, Role};
use crate::kind::Kind;
use crate::libtorrent::Libtorrent;
use crate::ours::Ours;
use crate::payload::Payload;
use crate::tracker::Place;

#[test]
fn what_was_verified_before_kill_9_is_not_fetched_again() -> Result {
    let Some(bench) = Bench::new(&[Kind::Opentracker, Kind::Libtorrent])? else { return Ok(()) };
    let payload = Payload::one_file(bench.folder("source")?, 256 << 20)?;
    let place = Place::new()?;
    let torrent = payload.torrent(&bench, &place.announce_url())?;
    let mut tracker = place.opentracker(&bench, &[torrent.info_hash])?;
    // One half comes at full speed, the other as slowly as it takes to be stopped in the middle of it.
    let mut half = Libtorrent::start(&bench)?;
    let place = bench.folder("half of the source")?;
    payload.store_half(&place)?;
    half.add_incomplete(&torrent, &place)?;
    let mut seed = Libtorrent::start(&bench)?;
    seed.add_limited(&torrent, &payload.parent, Role::Seed, endless(payload.len))?;
    tracker.wait_leeches(torrent.info_hash, 1, &bench.deadline)?;
    tracker.wait_seeds(torrent.info_hash, 1, &bench.deadline)?;

    let target = bench.folder("target")?;
    let mut first = Ours::get(&bench, &torrent, &target, &[])?;
    bench.deadline.wait("half of the payload", || {
        first.process.check_running()?;
        Ok(half.state()?.uploaded + seed.state()?.uploaded >= payload.len / 2
            && first.last_status("verified").is_ok_and(|verified| verified >= payload.len * 3 / 8))
    })?;
    first.process.kill();
    let verified = first.last_status("verified")?;
    let sent_before = half.state()?.uploaded + seed.state()?.uploaded;

    seed.lift_limit()?;
    let mut second = Ours::get(&bench, &torrent, &target, &[])?;
    second.wait_complete(&bench.deadline)?;
    payload.verify(&target)?;

    // Counted by the other side, so that it does not matter what we believe to have fetched.
    let missing = payload.len - verified;
    let sent = half.state()?.uploaded + seed.state()?.uploaded - sent_before;
    println!("verified {verified}, missing {missing}, sent again {sent} of {} bytes", payload.len);
    assert!(missing > 0, "all of it was verified half-way");
    assert!(sent <= missing + EXCESS, "{missing} bytes were missing, {sent} were fetched after the restart");
    Ok(())
}

/// Blocks that are asked for twice at the end of a download.
const EXCESS: u64 = 1 << 20;
