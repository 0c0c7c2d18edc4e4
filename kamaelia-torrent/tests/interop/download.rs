//! We download from each client, which serves alone; opentracker tells us where it is.

use crate::bench::{Bench, Result};
use crate::kind::Kind;
use crate::ours::Ours;
use crate::payload::{Payload, Shape};
use crate::source::Source;

/// Lets `kind` serve a payload and downloads it.
fn download_from(kind: Kind, shape: Shape) -> Result {
    let Some(bench) = Bench::new(&[Kind::Opentracker, kind])? else { return Ok(()) };
    let payload = Payload::generate(bench.folder("source")?, shape)?;
    let source = Source::start(&bench, kind, payload)?;
    let target = bench.folder("target")?;
    let mut ours = Ours::get(&bench, &source.torrent, &target, &[])?;
    ours.wait_complete(&bench.deadline)?;
    source.payload.verify(&target)
}

macro_rules! from {
    ($($client:ident: $kind:ident),*) => {$(
        mod $client {
            use super::*;

            #[test]
            fn one_file() -> Result {
                download_from(Kind::$kind, Shape::OneFile)
            }

            #[test]
            fn many_files() -> Result {
                download_from(Kind::$kind, Shape::ManyFiles)
            }
        }
    )*};
}

from!(aria2: Aria2, libtorrent: Libtorrent, qbittorrent: Qbittorrent, rqbit: Rqbit, transmission: Transmission);
