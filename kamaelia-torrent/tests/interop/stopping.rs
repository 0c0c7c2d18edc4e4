//! How our program leaves a swarm.

use crate::bench::{Bench, Result};
use crate::kind::Kind;
use crate::ours::Ours;
use crate::payload::Payload;
use crate::tracker::{Count, Place};

#[test]
fn an_interrupted_seed_takes_its_leave_of_the_tracker() -> Result {
    let Some(bench) = Bench::new(&[Kind::Opentracker])? else { return Ok(()) };
    let payload = Payload::one_file(bench.folder("source")?, 1 << 20)?;
    let place = Place::new()?;
    let torrent = payload.torrent(&bench, &place.announce_url())?;
    let mut tracker = place.opentracker(&bench, &[torrent.info_hash])?;

    let mut ours = Ours::seed(&bench, &torrent, &payload.parent, &[])?;
    tracker.wait_seeds(torrent.info_hash, 1, &bench.deadline)?;
    assert_eq!(tracker.scrape(torrent.info_hash)?, Count { seeds: 1, leeches: 0 });
    ours.process.interrupt()?;
    ours.process.wait_success(&bench.deadline)?;
    tracker.wait_nobody(torrent.info_hash, &bench.deadline)
}

#[test]
fn an_interrupted_download_takes_its_leave_and_says_that_it_is_not_done() -> Result {
    let Some(bench) = Bench::new(&[Kind::Opentracker])? else { return Ok(()) };
    let payload = Payload::one_file(bench.folder("source")?, 1 << 20)?;
    let place = Place::new()?;
    let torrent = payload.torrent(&bench, &place.announce_url())?;
    let mut tracker = place.opentracker(&bench, &[torrent.info_hash])?;

    let mut ours = Ours::get(&bench, &torrent, &bench.folder("target")?, &[])?;
    tracker.wait_leeches(torrent.info_hash, 1, &bench.deadline)?;
    ours.process.interrupt()?;
    let status = ours.process.wait_exit(&bench.deadline)?;
    assert_eq!(status.code(), Some(130), "the exit code of an interruption");
    tracker.wait_nobody(torrent.info_hash, &bench.deadline)
}
