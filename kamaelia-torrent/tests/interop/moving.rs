//! Files move to another file system while a real client reads them, or while they come from one.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use kamaelia_torrent::disk::Allocation;
use kamaelia_torrent::engine::{AddTorrent, Event, Limits, Settings};
use kamaelia_torrent::proto::metainfo::Metainfo;
use tempfile::TempDir;

use crate::bench::{Bench, Failure, Result, endless};
use crate::client::{Client, Role, wait_complete};
use crate::kind::Kind;
use crate::libtorrent::Libtorrent;
use crate::node::{Node, settings};
use crate::payload::Payload;
use crate::web::count;

/// Nobody is asked: both sides are told of each other.
const NO_TRACKER: &str = "http://127.0.0.1:9/announce";

/// A folder on another file system than `here`.
fn elsewhere(here: &Path) -> Result<TempDir> {
    let device = fs::metadata(here)?.dev();
    for place in ["/dev/shm", env!("CARGO_TARGET_TMPDIR"), "/var/tmp"] {
        if fs::metadata(place).is_ok_and(|meta| meta.dev() != device) {
            return Ok(tempfile::Builder::new().prefix("interop").tempdir_in(place)?);
        }
    }
    Err(Failure::new(format!("there is but one file system to be found: that of {}", here.display())))
}

#[test]
fn libtorrent_completes_while_its_seed_moves_to_another_file_system() -> Result {
    let Some(bench) = Bench::new(&[Kind::Libtorrent])? else { return Ok(()) };
    let payload = Payload::one_file(bench.folder("source")?, 64 << 20)?;
    let torrent = payload.torrent(&bench, NO_TRACKER)?;
    let other = elsewhere(&payload.parent)?;
    let mut leech = Libtorrent::start(&bench)?;
    let target = bench.folder("target")?;
    leech.add(&torrent, &payload, &target, Role::Leech)?;

    // The move comes in the middle, and then all that is asked for comes at once.
    let limit = u64::from(endless(payload.len)).try_into().ok();
    let mut node = Node::start(Settings { up_limit: limit, ..settings() });
    let id = node.add(AddTorrent {
        trackers: false,
        peers: vec![leech.addr.into()],
        ..AddTorrent::new(Metainfo::parse(&torrent.bytes)?, &payload.parent)
    });
    bench.deadline.wait("the first of it to be sent", || Ok(node.status(id).uploaded > 0))?;
    let dir = other.path().to_path_buf();
    let before = node.call(move |engine| {
        engine.move_storage(id, dir)?;
        let _ = engine.set_limits(None, Limits::NONE);
        Ok::<_, Failure>(engine.status(id).map(|status| status.uploaded))
    })?;
    assert!(before.is_some_and(|sent| sent < payload.len), "all of it was sent before the move");
    let end = node.wait("a move", |e| matches!(e, Event::Moved { .. } | Event::RequestFailed { .. }));
    assert_eq!(end, Event::Moved { id, dir: other.path().to_path_buf() });
    println!("{before:?} bytes were sent before the move, {} at its end", node.status(id).uploaded);
    assert!(!payload.root().exists(), "{} is still there", payload.root().display());

    wait_complete(&mut leech, &bench.deadline)?;
    payload.verify(&target)?;
    payload.verify(other.path())
}

#[test]
fn a_download_from_libtorrent_is_whole_after_moves_between_file_systems() -> Result {
    let Some(bench) = Bench::new(&[Kind::Libtorrent])? else { return Ok(()) };
    let payload = Payload::one_file(bench.folder("source")?, 96 << 20)?;
    let torrent = payload.torrent(&bench, NO_TRACKER)?;
    let (here, other) = (bench.folder("target")?, elsewhere(&payload.parent)?);
    let mut seed = Libtorrent::start(&bench)?;
    seed.add_limited(&torrent, &payload.parent, Role::Seed, endless(payload.len))?;

    let mut node = Node::start(settings());
    // With all room taken at the start, each copy takes its time.
    let id = node.add(AddTorrent {
        trackers: false,
        peers: vec![seed.addr.into()],
        allocation: Some(Allocation::Full),
        ..AddTorrent::new(Metainfo::parse(&torrent.bytes)?, &here)
    });
    node.wait("a piece", |e| matches!(e, Event::PieceVerified { .. }));
    let mut came = 0;
    let mut moves = 0;
    let mut dir = here.clone();
    while moves < 4 || came == 0 {
        let next: PathBuf = if dir == here { other.path().to_path_buf() } else { here.clone() };
        let to = next.clone();
        let before = node.call(move |engine| {
            engine.move_storage(id, to).map(|()| engine.status(id).map(|status| status.downloaded))
        })?;
        let end = node.wait("a move", |e| matches!(e, Event::Moved { .. } | Event::RequestFailed { .. }));
        assert_eq!(end, Event::Moved { id, dir: next.clone() });
        came += node.status(id).downloaded - before.unwrap_or_default();
        moves += 1;
        dir = next;
        // Some more is written here before the next move.
        node.wait("a piece", |e| matches!(e, Event::PieceVerified { .. } | Event::Completed { .. }));
    }
    println!("{moves} moves, during which {came} bytes came");
    assert!(node.status(id).left > 0, "all of it came before the last move");
    seed.lift_limit()?;
    bench.deadline.wait("all of it", || Ok(node.status(id).left == 0))?;
    let status = node.status(id);
    let said = node.stop();
    let odd = |e: &&Event| {
        matches!(e, Event::FilesChanged { .. } | Event::DiskTrouble { .. } | Event::PeerGone { .. })
    };
    let odd: Vec<&Event> = said.iter().filter(odd).collect();
    println!("{:?}, {odd:?}", status.figures.waste);
    payload.verify(&dir)?;
    let left = if dir == here { other.path() } else { &here };
    assert!(!left.join(&payload.name).exists(), "something is still in {}", left.display());
    let sent = count(&seed.state_of(&torrent)?, "uploaded")?;
    // Nothing is asked for twice because a copy held writing up, or because a choke crossed our requests.
    assert_eq!((sent, status.downloaded, status.wasted), (payload.len, payload.len, 0));
    Ok(())
}
