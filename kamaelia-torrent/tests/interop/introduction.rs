//! What clients learn from our extension handshake (BEP 10).

use crate::bench::{Bench, Result};
use crate::client::{Client, Role, wait_complete};
use crate::kind::Kind;
use crate::libtorrent::Libtorrent;
use crate::ours::Ours;
use crate::payload::Payload;
use crate::tracker::Place;
use serde_json::json;

#[test]
fn libtorrent_knows_our_name_and_asks_for_as_much_as_we_take() -> Result {
    let Some(bench) = Bench::new(60, &[Kind::Opentracker, Kind::Libtorrent])? else { return Ok(()) };
    let payload = Payload::one_file(bench.folder("source")?, 32 << 20)?;
    let place = Place::new()?;
    let torrent = payload.torrent(&bench, &place.announce_url())?;
    let mut tracker = place.opentracker(&bench, &[torrent.info_hash])?;
    // At this rate libtorrent wants 3 s' worth of requests: some 1,500.
    let _ours = Ours::seed(&bench, &torrent, &payload.parent, &["--up-limit", "8MiB"])?;
    tracker.wait_seeds(torrent.info_hash, 1, &bench.deadline)?;

    // Who does not say how many requests he takes gets this many at a time.
    let untold = 16;
    let mut leech = Libtorrent::start_with(&bench, &json!({ "max_out_request_queue": untold }))?;
    let target = bench.folder("target")?;
    leech.add(&torrent, &payload, &target, Role::Leech)?;
    let name = concat!("kamaelia-torrent ", env!("CARGO_PKG_VERSION"));
    let mut last = Vec::new();
    let seen = bench.deadline.wait("libtorrent to know our name and to ask for many blocks", || {
        last = leech.peers()?;
        Ok(last.iter().any(|peer| peer["client"] == name && peer["queue"].as_u64() > Some(2 * untold)))
    });
    seen.inspect_err(|_| println!("last: {last:?}"))?;
    wait_complete(&mut leech, &bench.deadline)?;
    payload.verify(&target)
}
