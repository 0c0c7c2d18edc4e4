//! Some files of a torrent are fetched, and the others in a later run.

use std::fs;

use crate::bench::{Bench, Failure, Result};
use crate::client::{Role, start, wait_complete};
use crate::kind::Kind;
use crate::ours::Ours;
use crate::payload::{Payload, Shape};
use crate::source::Source;
use crate::web::count;

/// Fetches every tenth file from `kind`, then the rest, then serves all of it to aria2.
fn select_from(kind: Kind) -> Result {
    let kinds = [Kind::Opentracker, Kind::Aria2, kind];
    let Some(bench) = Bench::new(&kinds)? else { return Ok(()) };
    let payload = Payload::generate(bench.folder("source")?, Shape::ManyFiles)?;
    let Source { payload, torrent, tracker: _tracker, mut seed } = Source::start(&bench, kind, payload)?;

    let target = bench.folder("target")?;
    let mut some = Ours::get(&bench, &torrent, &target, &["--files", "*5.bin"])?;
    some.wait_complete(&bench.deadline)?;
    payload.verify_only(&target, "5.bin")?;
    let said = some.last_event("complete")?;
    let (wanted, total) = (count(&said, "wanted")?, count(&said, "total")?);
    let verified = some.last_status("verified")?;
    assert_eq!((total, verified), (payload.len, wanted), "{said}");
    assert!(wanted < total / 2, "a tenth of the files has {wanted} of {total} bytes of pieces");

    let mut all = Ours::get(&bench, &torrent, &target, &["--seed"])?;
    all.wait_event("complete", &bench.deadline)?;
    payload.verify(&target)?;
    let fetched = count(&all.last_event("complete")?, "downloaded")?;
    assert_eq!(fetched, total - verified, "bytes that were missing, and no others");
    // Counted by the other side, some of which do so once a second. Transmission counts the heads of messages too: 13
    // bytes for each block.
    bench.deadline.wait("the seed's count", || Ok(seed.state()?.uploaded >= total))?;
    let sent = seed.state()?.uploaded;
    assert!(sent < total + BLOCK, "the seed sent {sent} of {total} bytes");
    let parts = target.join(format!(".{}.parts", torrent.info_hash));
    if fs::exists(&parts)? {
        return Err(Failure::new(format!("{} is of no use any more", parts.display())));
    }

    drop(seed);
    let mut leech = start(Kind::Aria2, &bench)?;
    let last = bench.folder("target of aria2")?;
    leech.add(&torrent, &payload, &last, Role::Leech)?;
    wait_complete(leech.as_mut(), &bench.deadline)?;
    payload.verify(&last)
}

#[test]
fn the_rest_is_fetched_later_from_libtorrent() -> Result {
    select_from(Kind::Libtorrent)
}

#[test]
fn the_rest_is_fetched_later_from_transmission() -> Result {
    select_from(Kind::Transmission)
}

const BLOCK: u64 = 16_384;
