//! A pause, as other clients than libtorrent see it, by their own count of peers.

use kamaelia_torrent::engine::{AddTorrent, Event, Settings};
use kamaelia_torrent::proto::metainfo::Metainfo;

use crate::bench::{Bench, Failure, Result};
use crate::kind::Kind;
use crate::node::{Node, settings};
use crate::payload::Payload;
use crate::source::Source;
use crate::tracker::Count;

/// Downloads from `kind`, with a pause of which it is asked how many peers it has.
fn pause_seen_by(kind: Kind) -> Result {
    let Some(bench) = Bench::new(SECONDS, &[Kind::Opentracker, kind])? else { return Ok(()) };
    let payload = Payload::one_file(bench.folder("source")?, 32 << 20)?;
    let Source { payload, torrent, tracker, mut seed } = Source::start(&bench, kind, payload)?;
    let mut peers = |what: &str, expected: u64| {
        bench.deadline.wait(what, || Ok(seed.state()?.peers.ok_or_else(no_count)? == expected))
    };

    let target = bench.folder("target")?;
    // The limit is ours: it takes some seconds, in which the pause falls.
    let mut node = Node::start(Settings { down_limit: RATE.try_into().ok(), ..settings() });
    let id = node.add(AddTorrent::new(Metainfo::parse(&torrent.bytes)?, &target));
    node.wait("a piece", |e| matches!(e, Event::PieceVerified { .. }));
    peers("the seed to have a peer", 1)?;

    node.call(move |engine| engine.pause(id))?;
    peers("the seed to be alone", 0)?;
    bench.deadline.wait("the tracker to count the seed alone", || {
        Ok(tracker.scrape(torrent.info_hash)? == Count { seeds: 1, leeches: 0 })
    })?;
    let before = node.status(id);
    assert!(before.left > 0 && before.peers == 0, "{before:?}");

    node.call(|engine| engine.set_limits(None, kamaelia_torrent::engine::Limits::NONE))?;
    node.call(move |engine| engine.resume(id))?;
    node.wait_completed(id);
    payload.verify(&target)?;
    let status = node.status(id);
    assert_eq!((status.downloaded - status.wasted, status.figures.waste.bad), (payload.len, 0));
    Ok(())
}

#[test]
fn aria2_sees_a_paused_download_leave_and_come_back() -> Result {
    pause_seen_by(Kind::Aria2)
}

#[test]
fn transmission_sees_a_paused_download_leave_and_come_back() -> Result {
    pause_seen_by(Kind::Transmission)
}

fn no_count() -> Failure {
    Failure::new("the client does not say how many peers it has")
}

/// Bytes per second before the pause: all of it would take 8 s.
const RATE: u64 = 4 << 20;

/// Transmission sends nothing for its first 10 seconds.
const SECONDS: u64 = 90;
