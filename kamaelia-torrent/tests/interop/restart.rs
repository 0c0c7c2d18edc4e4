//! Many downloads are killed and come back from a folder of state.

use crate::bench::{Bench, Failure, Result, endless, text};
use crate::client::Role;
use crate::kind::Kind;
use crate::libtorrent::Libtorrent;
use crate::ours::Ours;
use crate::payload::{Payload, Torrent};
use crate::tracker::Place;
use crate::web::count;

#[test]
fn ten_downloads_go_on_from_their_state_after_kill_9() -> Result {
    let Some(bench) = Bench::new(&[Kind::Opentracker, Kind::Libtorrent])? else { return Ok(()) };
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
    // One half comes at full speed, the other as slowly as it takes to be stopped in the middle of it.
    let (mut half, mut seed) = (Libtorrent::start(&bench)?, Libtorrent::start(&bench)?);
    let place = bench.folder("half of the source")?;
    for (payload, torrent) in payloads.iter().zip(&torrents) {
        payload.store_half(&place)?;
        half.add_incomplete(torrent, &place)?;
        seed.add_limited(torrent, &source, Role::Seed, endless(LEN as u64))?;
    }
    for hash in &hashes {
        tracker.wait_leeches(*hash, 1, &bench.deadline)?;
        tracker.wait_seeds(*hash, 1, &bench.deadline)?;
    }

    let (target, state) = (bench.folder("target")?, bench.folder("state")?);
    let more = ["--state", text(&state)?];
    let mut first = Ours::get_all(&bench, &torrents, &target, &more)?;
    let all = (TORRENTS * LEN) as u64;
    // The last word of each.
    let verified = |run: &Ours| -> Result<u64> {
        let mut verified = [0; TORRENTS];
        for event in run.events()?.iter().filter(|event| event["event"] == "status") {
            let place = payloads.iter().position(|payload| event["name"] == payload.name.as_str());
            let place = place.ok_or_else(|| Failure::new(format!("what is {event}?")))?;
            verified[place] = count(event, "verified")?;
        }
        Ok(verified.iter().sum())
    };
    bench.deadline.wait("half of the payload", || {
        first.process.check_running()?;
        let sent = sent_by(&mut half, &mut seed, &torrents)?;
        let begun = sent.iter().all(|sent| *sent > 0);
        Ok(begun && sent.iter().sum::<u64>() >= all / 2 && verified(&first)? >= all * 3 / 8)
    })?;
    first.process.kill();
    let verified = verified(&first)?;
    let sent_before: u64 = sent_by(&mut half, &mut seed, &torrents)?.iter().sum();

    seed.lift_limit()?;
    let mut second = Ours::get_all(&bench, &[], &target, &more)?;
    second.wait_complete(&bench.deadline)?;
    for payload in &payloads {
        payload.verify(&target)?;
    }
    let came = second.last_event("restore_ended")?;
    assert_eq!((count(&came, "restored")?, count(&came, "failed")?), (TORRENTS as u64, 0));
    let sent = sent_by(&mut half, &mut seed, &torrents)?.iter().sum::<u64>() - sent_before;
    println!("verified {verified} of {all}, sent again {sent}");
    assert!(verified < all, "all of it was verified half-way");
    assert!(sent <= all - verified + EXCESS, "{verified} bytes were there, {sent} were fetched after that");
    Ok(())
}

/// Bytes of each torrent that the two have sent together.
fn sent_by(one: &mut Libtorrent, other: &mut Libtorrent, torrents: &[Torrent]) -> Result<Vec<u64>> {
    let of_both = one.uploaded(torrents)?.into_iter().zip(other.uploaded(torrents)?);
    Ok(of_both.map(|(one, other)| one + other).collect())
}

const TORRENTS: usize = 10;

const LEN: usize = 8 << 20;

/// Blocks that are asked for twice at the end of each download, and what the seed had sent but not yet counted.
const EXCESS: u64 = 12 << 20;
