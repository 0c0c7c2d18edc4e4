//! What a torrent costs of which nobody wants anything, counted in bytes that were asked of the allocator.

mod support;

use std::alloc::{GlobalAlloc, Layout, System};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use kamaelia_torrent::engine::{AddTorrent, CheckPolicy, Engine, Event, State, TorrentId};
use kamaelia_torrent::proto::metainfo::Metainfo;
use support::node::{Peer, settings};

/// The system's allocator, which counts.
struct Counting;

static LIVE: AtomicUsize = AtomicUsize::new(0);

// SAFETY: everything is done by the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LIVE.fetch_add(layout.size(), Relaxed);
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        LIVE.fetch_add(layout.size(), Relaxed);
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Relaxed);
        unsafe { System.dealloc(ptr, layout) }
    }

    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        LIVE.fetch_add(size, Relaxed);
        LIVE.fetch_sub(layout.size(), Relaxed);
        unsafe { System.realloc(ptr, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// A power of two, so that tables which double their size have no room to spare.
const COUNT: usize = 2048;
const PIECES: usize = 64;
const HASHES: usize = PIECES * 20;

fn metainfo(n: usize) -> Metainfo {
    let name = format!("t{n:05}");
    let mut bytes = format!(
        "d4:infod6:lengthi{}e4:name{}:{name}12:piece lengthi16384e6:pieces{HASHES}:",
        PIECES * 16_384,
        name.len()
    )
    .into_bytes();
    bytes.resize(bytes.len() + HASHES, b'x');
    bytes.extend(b"ee");
    Metainfo::parse(&bytes).unwrap()
}

/// Lets the engine work until it has reported what is wanted.
fn wait(engine: &mut Engine, mut wanted: impl FnMut(&Event) -> bool) {
    loop {
        while let Some(event) = engine.next_event() {
            if wanted(&event) {
                return;
            }
        }
        engine.turn(Some(Duration::from_secs(60))).unwrap();
    }
}

fn add(engine: &mut Engine, n: usize, dir: &Path) -> TorrentId {
    let add = AddTorrent { check: CheckPolicy::Trust, ..AddTorrent::new(metainfo(n), dir) };
    let id = engine.add(add).unwrap();
    wait(engine, |event| matches!(event, Event::Started { .. }));
    id
}

/// Both in one test: others at the same time would be counted, too.
#[test]
fn an_idle_torrent_costs_little_more_than_its_hashes_and_a_visitor_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut engine = Engine::new(settings()).unwrap();
    add(&mut engine, COUNT, dir.path());
    let before = LIVE.load(Relaxed);
    let ids: Vec<TorrentId> = (0..COUNT - 1).map(|n| add(&mut engine, n, dir.path())).collect();
    engine.take_changed();
    let each = (LIVE.load(Relaxed) - before) / ids.len();
    println!("{each} bytes for each torrent, {HASHES} of them hashes");
    assert!(
        (HASHES..HASHES + MOST).contains(&each),
        "{each} bytes for each torrent, {HASHES} of them hashes"
    );

    let visit = |engine: &mut Engine, n: usize| {
        let (id, info_hash) = (ids[n], metainfo(n).info_hash());
        let addr = engine.local_addr().unwrap();
        let visitor = std::thread::spawn(move || {
            let mut peer = Peer::dial(addr);
            peer.handshake(info_hash.0, [b'v'; 20]).unwrap();
            peer.message().unwrap();
            peer
        });
        while !visitor.is_finished() {
            engine.turn(Some(Duration::from_millis(10))).unwrap();
        }
        assert_eq!((engine.peers(id).len(), engine.status(id).unwrap().state), (1, State::Seeding));
        drop(visitor.join().unwrap());
        wait(engine, |event| matches!(event, Event::PeerGone { .. }));
        // What follows from that is done.
        engine.turn(Some(Duration::ZERO)).unwrap();
        engine.take_changed();
        LIVE.load(Relaxed)
    };
    // The first one also makes what the engine keeps for connections.
    visit(&mut engine, 0);
    let sent = engine.session_stats().figures.sent;
    let before = visit(&mut engine, 1);
    let after = visit(&mut engine, 2);
    assert!(after < before + 512, "{} bytes more after a visit", after - before);
    // What was counted is not forgotten.
    visit(&mut engine, 2);
    let figures = engine.status(ids[2]).unwrap().figures;
    assert_eq!((figures.accepted, figures.sent), (2, 2 * sent));
    assert_eq!(engine.session_stats().figures.sent, 4 * sent);
}

/// Bytes beyond the hashes.
const MOST: usize = 2560;
