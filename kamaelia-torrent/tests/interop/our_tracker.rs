//! Clients find each other by our tracker.

use crate::bench::{Bench, Result};
use crate::client::{Role, start, wait_complete};
use crate::kind::Kind;
use crate::payload::{Payload, Shape};
use crate::tracker::{Count, Place};

#[test]
fn our_tracker_serves_aria2_and_libtorrent() -> Result {
    let Some(bench) = Bench::new(&[Kind::Aria2, Kind::Libtorrent])? else { return Ok(()) };
    let payload = Payload::generate(bench.folder("source")?, Shape::OneFile)?;
    let place = Place::new()?;
    let torrent = payload.torrent(&bench, &place.announce_url())?;
    let mut tracker = place.ours(&bench)?;

    let mut seed = start(Kind::Libtorrent, &bench)?;
    seed.add(&torrent, &payload, &payload.parent, Role::Seed)?;
    tracker.wait_seeds(torrent.info_hash, 1, &bench.deadline)?;
    assert_eq!(tracker.scrape(torrent.info_hash)?, Count { seeds: 1, leeches: 0 });

    let target = bench.folder("target")?;
    let mut leech = start(Kind::Aria2, &bench)?;
    leech.add(&torrent, &payload, &target, Role::Leech)?;
    wait_complete(leech.as_mut(), &bench.deadline)?;
    payload.verify(&target)?;
    // It told the tracker that it is complete.
    tracker.wait_seeds(torrent.info_hash, 2, &bench.deadline)
}
