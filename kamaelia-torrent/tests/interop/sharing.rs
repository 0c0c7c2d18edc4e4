//! A seed that stops by a rule.

use crate::bench::{Bench, Result};
use crate::client::{Client, Role, wait_complete};
use crate::kind::Kind;
use crate::libtorrent::Libtorrent;
use crate::ours::Ours;
use crate::payload::Payload;
use crate::tracker::Place;
use crate::web::count;

#[test]
fn a_seed_ends_when_libtorrent_has_fetched_it_once() -> Result {
    let Some(bench) = Bench::new(&[Kind::Opentracker, Kind::Libtorrent])? else { return Ok(()) };
    let payload = Payload::one_file(bench.folder("source")?, 16 << 20)?;
    let place = Place::new()?;
    let torrent = payload.torrent(&bench, &place.announce_url())?;
    let mut tracker = place.opentracker(&bench, &[torrent.info_hash])?;
    // Slow enough that an end that comes too early shows: a seed goes on for half a second after it has sent enough.
    let more = ["--seed-ratio", "1", "--up-limit", "8MiB"];
    let mut ours = Ours::seed(&bench, &torrent, &payload.parent, &more)?;
    tracker.wait_seeds(torrent.info_hash, 1, &bench.deadline)?;

    let target = bench.folder("target")?;
    let mut leech = Libtorrent::start(&bench)?;
    leech.add(&torrent, &payload, &target, Role::Leech)?;
    ours.process.wait_success(&bench.deadline)?;
    wait_complete(&mut leech, &bench.deadline)?;
    payload.verify(&target)?;
    assert_eq!(ours.last_event("paused")?["cause"], "ratio");
    let fetched = count(&leech.state_of(&torrent)?, "downloaded")?;
    assert_eq!((ours.last_status("uploaded")?, fetched), (payload.len, payload.len));
    // A seed that ended takes its leave.
    bench.deadline.wait("the tracker to count libtorrent alone", || {
        let count = tracker.scrape(torrent.info_hash)?;
        Ok(count.seeds + count.leeches == 1)
    })
}
