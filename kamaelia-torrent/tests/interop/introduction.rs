//! What clients learn from our extension handshake (BEP 10).

use kamaelia_torrent::engine::{AddTorrent, Limits, Settings};
use kamaelia_torrent::proto::metainfo::Metainfo;
use serde_json::json;

use crate::bench::{Bench, Result, endless};
use crate::client::{Client, Role, wait_complete};
use crate::kind::Kind;
use crate::libtorrent::Libtorrent;
use crate::node::{Node, settings};
use crate::payload::Payload;
use crate::tracker::Place;

#[test]
fn libtorrent_knows_our_name_and_asks_for_as_much_as_we_take() -> Result {
    let Some(bench) = Bench::new(&[Kind::Opentracker, Kind::Libtorrent])? else { return Ok(()) };
    let payload = Payload::one_file(bench.folder("source")?, 32 << 20)?;
    let place = Place::new()?;
    let torrent = payload.torrent(&bench, &place.announce_url())?;
    let mut tracker = place.opentracker(&bench, &[torrent.info_hash])?;
    // It cannot be done before it was looked at.
    let limit = u64::from(endless(payload.len)).try_into().ok();
    let node = Node::start(Settings { up_limit: limit, ..settings() });
    node.add(AddTorrent::new(Metainfo::parse(&torrent.bytes)?, &payload.parent));
    tracker.wait_seeds(torrent.info_hash, 1, &bench.deadline)?;

    // Who does not say how many requests he takes gets this many at a time, and the rest of a piece.
    let untold = 16;
    // As many seconds' worth of requests are all that there are, even at that rate.
    let greedy = json!({ "max_out_request_queue": untold, "request_queue_time": 300 });
    let mut leech = Libtorrent::start_with(&bench, &greedy)?;
    let target = bench.folder("target")?;
    leech.add(&torrent, &payload, &target, Role::Leech)?;
    let name = concat!("kamaelia-torrent ", env!("CARGO_PKG_VERSION"));
    let mut last = Vec::new();
    let seen = bench.deadline.wait("libtorrent to know our name and to ask for many blocks", || {
        last = leech.peers()?;
        Ok(last.iter().any(|peer| peer["client"] == name && peer["queue"].as_u64() > Some(16 * untold)))
    });
    seen.inspect_err(|_| println!("last: {last:?}"))?;
    node.call(|engine| engine.set_limits(None, Limits::NONE))?;
    wait_complete(&mut leech, &bench.deadline)?;
    payload.verify(&target)
}
