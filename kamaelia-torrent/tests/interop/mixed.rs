//! Several clients in one swarm.

use crate::bench::{Bench, Result, endless};
use crate::client::{Role, start, wait_complete};
use crate::kind::Kind;
use crate::libtorrent::Libtorrent;
use crate::ours::Ours;
use crate::payload::Payload;
use crate::tracker::Place;

#[test]
fn we_and_three_others_complete_from_one_slow_seed() -> Result {
    let kinds = [Kind::Opentracker, Kind::Libtorrent, Kind::Aria2, Kind::Qbittorrent];
    let Some(bench) = Bench::new(&kinds)? else { return Ok(()) };
    let payload = Payload::one_file(bench.folder("source")?, 64 << 20)?;
    let place = Place::new()?;
    let torrent = payload.torrent(&bench, &place.announce_url())?;
    let mut tracker = place.opentracker(&bench, &[torrent.info_hash])?;

    // Nobody can be done before all are there.
    let mut seed = Libtorrent::start(&bench)?;
    seed.add_limited(&torrent, &payload.parent, Role::Seed, endless(payload.len))?;
    tracker.wait_seeds(torrent.info_hash, 1, &bench.deadline)?;

    let mut others = Vec::new();
    for kind in [Kind::Aria2, Kind::Qbittorrent] {
        let target = bench.folder(&format!("target of {}", kind.name()))?;
        let mut leech = start(kind, &bench)?;
        leech.add(&torrent, &payload, &target, Role::Leech)?;
        others.push((leech, target));
    }
    // A second libtorrent, of another version than that inside qBittorrent.
    let target = bench.folder("target of libtorrent")?;
    let mut leech = Box::new(Libtorrent::start(&bench)?);
    leech.add_limited(&torrent, &target, Role::Leech, 0)?;
    others.push((leech, target));

    // We stay until the others are done.
    let our_target = bench.folder("our target")?;
    let mut ours = Ours::get(&bench, &torrent, &our_target, &["--seed"])?;
    tracker.wait_leeches(torrent.info_hash, 4, &bench.deadline)?;
    // Still slow enough that they have to exchange pieces.
    seed.limit(8 << 20)?;
    for (leech, target) in &mut others {
        wait_complete(leech.as_mut(), &bench.deadline)?;
        payload.verify(target)?;
    }
    ours.wait_event("complete", &bench.deadline)?;
    payload.verify(&our_target)?;

    let sent = crate::client::Client::state(&mut seed)?.uploaded;
    let all = 4 * payload.len;
    assert!(sent < all * 3 / 4, "the seed sent {sent} of the {all} bytes that all got: there was no swarm");
    assert!(ours.last_status("uploaded")? > 0, "we gave nothing to the others");
    Ok(())
}
