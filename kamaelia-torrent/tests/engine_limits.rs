//! Limits of rates, connections and upload slots, over real sockets. How well rates are kept and shared is tested in
//! virtual time (tests/sim/limits.rs); here it is that the loop keeps to them at all.

mod support;

use std::num::NonZeroU64;
use std::time::{Duration, Instant};

use kamaelia_torrent::engine::{
    AddTorrent, ConnectionLimits, Event, Limits, Settings, TorrentId, UnknownTorrent,
};
use support::node::*;
use support::*;

const MIB: u64 = 1 << 20;

/// Long enough that a limit had to be kept, however slow the machine is: what may be saved up is left out.
fn least(bytes: u64, limit: u64) -> Duration {
    Duration::from_secs_f64(bytes as f64 / limit as f64 - 0.4)
}

fn limit(bytes: u64) -> Option<NonZeroU64> {
    NonZeroU64::new(bytes)
}

#[test]
fn a_limit_is_kept_in_either_direction_for_one_or_all() {
    let torrent = single("f", 3 << 20, 65_536, 1);
    let from = tempfile::tempdir().unwrap();
    torrent.store(from.path());
    let down = Limits { down: limit(3 * MIB / 2), up: None };
    let up = Limits { down: None, up: limit(3 * MIB / 2) };
    // Who is limited: seed or leech, all of its torrents or the one.
    for (seeding, all) in [(true, true), (true, false), (false, true), (false, false)] {
        let limits = if seeding { up } else { down };
        let mut settings_of = [settings(), settings()];
        let mut add_of = [from.path(), tempfile::tempdir().unwrap().path()]
            .map(|dir| AddTorrent::new(torrent.metainfo.clone(), dir));
        let limited = usize::from(!seeding);
        if all {
            (settings_of[limited].down_limit, settings_of[limited].up_limit) = (limits.down, limits.up);
        } else {
            (add_of[limited].down_limit, add_of[limited].up_limit) = (limits.down, limits.up);
        }
        let [seed_settings, leech_settings] = settings_of;
        let [seed_add, mut leech_add] = add_of;
        let mut seed = Node::start(seed_settings);
        let seed_id = seed.add(seed_add);
        seed.wait_started(seed_id);
        let mut leech = Node::start(leech_settings);
        leech_add.peers = vec![seed.addr];
        let start = Instant::now();
        let id = leech.add(leech_add);
        leech.wait_completed(id);
        assert!(start.elapsed() >= least(3 * MIB, 3 * MIB / 2), "{seeding} {all}: {:?}", start.elapsed());
        assert_eq!(leech.status(id).wasted, 0);
    }
}

#[test]
fn a_limit_of_one_torrent_leaves_others_alone_and_can_be_lifted() {
    let (slow, fast) = (single("slow", 2 << 20, 65_536, 2), single("fast", 2 << 20, 65_536, 3));
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut seed = Node::start(settings());
    for torrent in [&slow, &fast] {
        torrent.store(from.path());
        let id = seed.add(AddTorrent::new(torrent.metainfo.clone(), from.path()));
        seed.wait_started(id);
    }
    let mut leech = Node::start(settings());
    let add = |torrent: &TestTorrent| AddTorrent {
        peers: vec![seed.addr],
        ..AddTorrent::new(torrent.metainfo.clone(), to.path())
    };
    // It would take half an hour.
    let slow_id = leech.add(AddTorrent { down_limit: limit(1024), ..add(&slow) });
    leech.wait("a peer", |e| matches!(e, Event::PeerConnected { .. }));
    let fast_id = leech.add(add(&fast));
    leech.wait_completed(fast_id);
    assert!(leech.status(slow_id).left > 0);
    let limits = Limits { down: limit(1024), up: None };
    assert_eq!(leech.call(move |engine| engine.limits(Some(slow_id))), Some(limits));
    // One that no machine reaches.
    let limits = Limits { down: limit(1_000_000_000_000_000_000), up: None };
    assert_eq!(leech.call(move |engine| engine.set_limits(Some(slow_id), limits)), Ok(()));
    leech.wait_completed(slow_id);
    slow.verify(to.path());
    let nobody = TorrentId(77);
    assert_eq!(
        leech.call(move |engine| engine.set_limits(Some(nobody), limits)),
        Err(UnknownTorrent(nobody))
    );
    assert_eq!(leech.call(move |engine| engine.limits(Some(nobody))), None);
}

#[test]
fn a_limit_for_all_is_set_and_lifted_while_it_runs() {
    let torrent = single("f", 4 << 20, 65_536, 4);
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    torrent.store(from.path());
    let (seed, _) = seed(&torrent.metainfo, from.path());
    seed.call(|engine| engine.set_limits(None, Limits { down: None, up: limit(1) }).unwrap());
    let mut leech = Node::start(settings());
    let id = leech
        .add(AddTorrent { peers: vec![seed.addr], ..AddTorrent::new(torrent.metainfo.clone(), to.path()) });
    leech.wait("a peer", |e| matches!(e, Event::PeerConnected { .. }));
    seed.call(|engine| {
        let limits = Limits { down: None, up: limit(4 * MIB) };
        engine.set_limits(None, limits).unwrap();
        assert_eq!(engine.limits(None), Some(limits));
    });
    leech.wait("a piece", |e| matches!(e, Event::PieceVerified { .. }));
    seed.call(|engine| engine.set_limits(None, Limits::NONE).unwrap());
    leech.wait_completed(id);
    torrent.verify(to.path());
}

/// Peers of a torrent that wait to be served.
fn peers(node: &Node, torrent: &TestTorrent, numbers: std::ops::Range<u8>) -> Vec<Peer> {
    let join = |i| {
        let mut peer = Peer::dial(node.addr);
        peer.handshake(torrent.metainfo.info_hash().0, [i; 20]).expect("a handshake");
        peer.send(2, &[]);
        peer
    };
    numbers.map(join).collect()
}

/// Reads until a message of this kind comes.
fn read_until(peer: &mut Peer, wanted: u8) {
    while peer.message().expect("an open connection").0 != Some(wanted) {}
}

const CHOKE: u8 = 0;
const UNCHOKE: u8 = 1;

#[test]
fn upload_slots_for_all_are_shared_among_torrents() {
    let (a, b) = (single("a", 100_000, 32_768, 5), single("b", 100_000, 32_768, 6));
    let dir = tempfile::tempdir().unwrap();
    let mut node = Node::start(Settings { upload_slots: Some(2), ..settings() });
    let ids = [&a, &b].map(|torrent| {
        torrent.store(dir.path());
        let id = node.add(AddTorrent::new(torrent.metainfo.clone(), dir.path()));
        node.wait_started(id);
        id
    });
    let mut first = peers(&node, &a, 0..2);
    first.iter_mut().for_each(|peer| read_until(peer, UNCHOKE));
    // Others come: each torrent has one of the two slots.
    let second = peers(&node, &b, 10..13);
    let served = |node: &Node| {
        node.call(move |engine| ids.map(|id| engine.peers(id).iter().filter(|peer| !peer.choked).count()))
    };
    let end = Instant::now() + LIMIT;
    while served(&node) != [1, 1] {
        assert!(served(&node).iter().sum::<usize>() <= 2 && Instant::now() < end, "{:?}", served(&node));
        std::thread::yield_now();
    }
    node.call(|engine| {
        let limits = ConnectionLimits { upload_slots: Some(0), ..engine.connection_limits() };
        engine.set_connection_limits(limits);
    });
    assert_eq!(served(&node), [0, 0]);
    node.call(|engine| {
        let limits = ConnectionLimits { upload_slots: None, ..engine.connection_limits() };
        engine.set_connection_limits(limits);
        assert_eq!(engine.connection_limits(), limits);
    });
    // Nobody is unchoked within ten seconds of a choke; the others at once.
    let end = Instant::now() + LIMIT;
    while served(&node)[1] < 2 {
        assert!(Instant::now() < end, "{:?}", served(&node));
        std::thread::yield_now();
    }
    drop((first, second));
}

#[test]
fn a_full_table_makes_room_for_a_torrent_that_has_less_than_its_share() {
    let (a, b) = (single("a", 100_000, 32_768, 7), single("b", 100_000, 32_768, 8));
    let dir = tempfile::tempdir().unwrap();
    let mut node = Node::start(Settings { max_connections: 4, ..settings() });
    let ids = [&a, &b].map(|torrent| {
        torrent.store(dir.path());
        let id = node.add(AddTorrent::new(torrent.metainfo.clone(), dir.path()));
        node.wait_started(id);
        id
    });
    let crowd = peers(&node, &a, 0..4);
    let mut second = peers(&node, &b, 10..11);
    second.iter_mut().for_each(|peer| read_until(peer, UNCHOKE));
    let count = |node: &Node, i: usize| {
        let id = ids[i];
        node.call(move |engine| engine.peers(id)).len()
    };
    assert_eq!((count(&node, 0), count(&node, 1)), (3, 1));
    second.extend(peers(&node, &b, 11..12));
    second.iter_mut().skip(1).for_each(|peer| read_until(peer, UNCHOKE));
    assert_eq!((count(&node, 0), count(&node, 1)), (2, 2));
    // Both have their share now: nobody is pushed out.
    let mut one_more = Peer::dial(node.addr);
    let _ = one_more.handshake(b.metainfo.info_hash().0, [12; 20]);
    assert!(one_more.is_closed());
    assert_eq!((count(&node, 0), count(&node, 1)), (2, 2));
    drop(crowd);
}

#[test]
fn a_lower_limit_of_connections_cuts_what_is_too_much() {
    let torrent = single("f", 100_000, 32_768, 9);
    let dir = tempfile::tempdir().unwrap();
    torrent.store(dir.path());
    let (mut node, id) = seed(&torrent.metainfo, dir.path());
    let mut crowd = peers(&node, &torrent, 0..6);
    crowd.iter_mut().for_each(|peer| read_until(peer, UNCHOKE));
    let change = |node: &Node, most: usize, per_torrent: usize| {
        node.call(move |engine| {
            let limits = ConnectionLimits {
                max_connections: most,
                max_peers_per_torrent: per_torrent,
                ..engine.connection_limits()
            };
            engine.set_connection_limits(limits);
            engine.peers(id).len()
        })
    };
    assert_eq!(change(&node, 200, 4), 4);
    assert_eq!(change(&node, 3, 4), 3);
    assert_eq!(change(&node, 0, 4), 0);
    assert!(crowd.iter_mut().all(Peer::is_closed));
    // None at all means none; then there may be some again.
    assert!(Peer::dial(node.addr).is_closed());
    assert_eq!(change(&node, 200, 100), 0);
    let mut back = peers(&node, &torrent, 20..21);
    read_until(&mut back[0], UNCHOKE);
    node.wait("the newcomer", |e| matches!(e, Event::PeerConnected { .. }));
}

#[test]
fn choking_all_is_told_to_those_that_were_served() {
    let torrent = single("f", 100_000, 32_768, 10);
    let dir = tempfile::tempdir().unwrap();
    torrent.store(dir.path());
    let (node, _) = seed(&torrent.metainfo, dir.path());
    let mut crowd = peers(&node, &torrent, 0..3);
    crowd.iter_mut().for_each(|peer| read_until(peer, UNCHOKE));
    node.call(|engine| {
        let limits = ConnectionLimits { upload_slots_per_torrent: Some(0), ..engine.connection_limits() };
        engine.set_connection_limits(limits);
    });
    crowd.iter_mut().for_each(|peer| read_until(peer, CHOKE));
}
