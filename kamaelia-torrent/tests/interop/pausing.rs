//! Pauses and turns, as real clients see them.

use kamaelia_torrent::engine::{AddTorrent, Event, Limits, Settings};
use kamaelia_torrent::proto::metainfo::Metainfo;

use crate::bench::{Bench, Failure, Result, endless};
use crate::client::Role;
use crate::kind::Kind;
use crate::libtorrent::Libtorrent;
use crate::node::{Node, settings};
use crate::ours::Ours;
use crate::payload::Payload;
use crate::source::Source;
use crate::tracker::{Count, Place};

/// Downloads from `kind`, with a pause of which it is asked how many peers it has.
fn pause_seen_by(kind: Kind) -> Result {
    let Some(bench) = Bench::new(&[Kind::Opentracker, kind])? else { return Ok(()) };
    let payload = Payload::one_file(bench.folder("source")?, 32 << 20)?;
    let Source { payload, torrent, mut tracker, mut seed } = Source::start(&bench, kind, payload)?;
    let mut peers = |what: &str, expected: u64| {
        bench.deadline.wait(what, || Ok(seed.state()?.peers.ok_or_else(no_count)? == expected))
    };

    let target = bench.folder("target")?;
    // The limit is ours: however slow the machine is, the pause falls before the end.
    let mut node =
        Node::start(Settings { down_limit: u64::from(endless(payload.len)).try_into().ok(), ..settings() });
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

    node.call(move |engine| engine.resume(id))?;
    tracker.wait_leeches(torrent.info_hash, 1, &bench.deadline)?;
    node.call(|engine| engine.set_limits(None, Limits::NONE))?;
    node.wait_completed(id);
    payload.verify(&target)?;
    let status = node.status(id);
    assert_eq!((status.downloaded - status.wasted, status.figures.waste.bad), (payload.len, 0));
    Ok(())
}

#[test]
fn libtorrent_sees_a_paused_download_leave_and_come_back() -> Result {
    pause_seen_by(Kind::Libtorrent)
}

#[test]
fn aria2_sees_a_paused_download_leave_and_come_back() -> Result {
    pause_seen_by(Kind::Aria2)
}

#[test]
fn transmission_sees_a_paused_download_leave_and_come_back() -> Result {
    pause_seen_by(Kind::Transmission)
}

#[test]
fn one_torrent_after_the_other_comes_from_libtorrent() -> Result {
    let Some(bench) = Bench::new(&[Kind::Opentracker, Kind::Libtorrent])? else { return Ok(()) };
    let source = bench.folder("source")?;
    let place = Place::new()?;
    let (mut payloads, mut torrents) = (Vec::new(), Vec::new());
    for n in 0..3 {
        let payload = Payload::named_file(source.clone(), &format!("file {n}.bin"), 12 << 20)?;
        torrents.push(payload.torrent(&bench, &place.announce_url())?);
        payloads.push(payload);
    }
    let hashes: Vec<_> = torrents.iter().map(|torrent| torrent.info_hash).collect();
    let mut tracker = place.opentracker(&bench, &hashes)?;
    let mut seed = Libtorrent::start(&bench)?;
    let len = payloads[0].len;
    for torrent in &torrents {
        seed.add_limited(torrent, &source, Role::Seed, endless(len))?;
        tracker.wait_seeds(torrent.info_hash, 1, &bench.deadline)?;
    }

    let target = bench.folder("target")?;
    let mut ours = Ours::get_all(&bench, &torrents, &target, &["--max-active", "1"])?;
    // Which of them libtorrent was in the middle of: each stays there until it was seen.
    let mut seen = [false; 3];
    bench.deadline.wait("all to be sent", || {
        ours.process.check_running().or_else(|failure| {
            if ours.events()?.iter().filter(|event| event["event"] == "complete").count() == 3 {
                Ok(())
            } else {
                Err(failure)
            }
        })?;
        let sent = seed.uploaded(&torrents)?;
        let open: Vec<usize> = (0..3).filter(|n| (1..len).contains(&sent[*n])).collect();
        if open.len() > 1 {
            return Err(Failure::new(format!("several at a time: {sent:?}")));
        }
        for n in open {
            if !seen[n] {
                seen[n] = true;
                seed.lift_limit_of(&torrents[n])?;
            }
        }
        Ok(sent.iter().all(|sent| *sent >= len))
    })?;
    ours.wait_complete(&bench.deadline)?;
    assert_eq!(seen, [true; 3], "libtorrent was never seen in the middle of some of them");
    payloads.iter().try_for_each(|payload| payload.verify(&target))
}

fn no_count() -> Failure {
    Failure::new("the client does not say how many peers it has")
}
