//! We serve alone, and each client downloads from us; opentracker brings us together.

use crate::bench::{Bench, Result};
use crate::client::{Role, start, wait_complete};
use crate::kind::Kind;
use crate::ours::Ours;
use crate::payload::{Payload, Shape};
use crate::tracker::Place;

/// Serves a payload and lets `kind` download it.
fn upload_to(kind: Kind, shape: Shape) -> Result {
    let Some(bench) = Bench::new(&[Kind::Opentracker, kind])? else { return Ok(()) };
    let payload = Payload::generate(bench.folder("source")?, shape)?;
    let place = Place::new()?;
    let torrent = payload.torrent(&bench, &place.announce_url())?;
    let mut tracker = place.opentracker(&bench, &[torrent.info_hash])?;
    let target = bench.folder("target")?;
    let mut leech = start(kind, &bench)?;

    // Transmission does not dial loopback: it is there first, and we find it by the tracker and dial. All others
    // dial us.
    let ours = if kind == Kind::Transmission {
        leech.add(&torrent, &payload, &target, Role::Leech)?;
        tracker.wait_leeches(torrent.info_hash, 1, &bench.deadline)?;
        Ours::seed(&bench, &torrent, &payload.parent, &[])?
    } else {
        let ours = Ours::seed(&bench, &torrent, &payload.parent, &[])?;
        tracker.wait_seeds(torrent.info_hash, 1, &bench.deadline)?;
        leech.add(&torrent, &payload, &target, Role::Leech)?;
        ours
    };
    wait_complete(leech.as_mut(), &bench.deadline)?;
    drop(ours);
    // Transmission 3.00 does not make the files in which nothing is.
    if kind == Kind::Transmission { payload.verify_but_empty_files(&target) } else { payload.verify(&target) }
}

macro_rules! to {
    ($($client:ident: $kind:ident),*) => {$(
        mod $client {
            use super::*;

            #[test]
            fn one_file() -> Result {
                upload_to(Kind::$kind, Shape::OneFile)
            }

            #[test]
            fn many_files() -> Result {
                upload_to(Kind::$kind, Shape::ManyFiles)
            }
        }
    )*};
}

to!(aria2: Aria2, libtorrent: Libtorrent, qbittorrent: Qbittorrent, rqbit: Rqbit, transmission: Transmission);
