//! Many downloads are killed and come back from a folder of state.

use crate::bench::{Bench, Failure, Result, text};
use crate::client::Role;
use crate::kind::Kind;
use crate::libtorrent::Libtorrent;
use crate::ours::Ours;
use crate::payload::{Payload, Torrent};
use crate::tracker::Place;
use crate::web::count;

#[test]
fn ten_downloads_go_on_from_their_state_after_kill_9() -> Result {
    let Some(bench) = Bench::new(90, &[Kind::Opentracker, Kind::Libtorrent])? else { return Ok(()) };
    let source = bench.folder("source")?;
    let place = Place::new()?;
    let mut payloads = Vec::new();
    let mut torrents: Vec<Torrent> = Vec::new();
    for n in 0..TORRENTS {
        let payload = Payload::named_file(source.clone(), &format!("file {n}.bin"), LEN)?;
        torrents.push(payload.torrent(&bench, &place.announce_url())?);
        payloads.push(payload);
    }
    let hashes: Vec<_> = torrents.iter().map(|torrent| torrent.info_hash).collect();
    let mut tracker = place.opentracker(&bench, &hashes)?;
    // The limit leaves time to stop it half-way.
    let mut seed = Libtorrent::start(&bench)?;
    for torrent in &torrents {
        seed.add_limited(torrent, &source, Role::Seed, 1 << 20)?;
    }
    for hash in &hashes {
        tracker.wait_seeds(*hash, 1, &bench.deadline)?;
    }

    let (target, state) = (bench.folder("target")?, bench.folder("state")?);
    let more = ["--state", text(&state)?];
    let mut first = Ours::get_all(&bench, &torrents, &target, &more)?;
    let all = (TORRENTS * LEN) as u64;
    bench.deadline.wait("half of the payload", || {
        first.process.check_running()?;
        let sent = seed.uploaded(&torrents)?;
        Ok(sent.iter().all(|sent| *sent > 0) && sent.iter().sum::<u64>() >= all / 2)
    })?;
    first.process.kill();
    // The last word of each.
    let mut verified = [0; TORRENTS];
    for event in first.events()?.iter().filter(|event| event["event"] == "status") {
        let place = payloads.iter().position(|payload| event["name"] == payload.name.as_str());
        let place = place.ok_or_else(|| Failure::new(format!("what is {event}?")))?;
        verified[place] = count(event, "verified")?;
    }
    let verified: u64 = verified.iter().sum();
    let sent_before: u64 = seed.uploaded(&torrents)?.iter().sum();

    seed.lift_limit()?;
    let mut second = Ours::get_all(&bench, &[], &target, &more)?;
    second.wait_complete(&bench.deadline)?;
    for payload in &payloads {
        payload.verify(&target)?;
    }
    let came = second.last_event("restore_ended")?;
    assert_eq!((count(&came, "restored")?, count(&came, "failed")?), (TORRENTS as u64, 0));
    let sent = seed.uploaded(&torrents)?.iter().sum::<u64>() - sent_before;
    println!("verified {verified} of {all}, sent again {sent}");
    assert!(verified >= all / 4 && verified < all, "{verified} of {all} bytes were verified half-way");
    assert!(sent <= all - verified + EXCESS, "{verified} bytes were there, {sent} were fetched after that");
    Ok(())
}

const TORRENTS: usize = 10;

const LEN: usize = 8 << 20;

/// Blocks that are asked for twice at the end of each download, and what the seed had sent but not yet counted.
const EXCESS: u64 = 12 << 20;
