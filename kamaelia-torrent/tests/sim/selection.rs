//! Nodes that want a part of the torrent, and change their minds.

use std::time::Duration;

use kamaelia_torrent::proto::{Bitfield, PieceIndex, Priority, torrent::PeerError};

use crate::{
    scripts::Seed,
    world::{NodeConfig, Payload, World},
};

const MINUTE: Duration = Duration::from_secs(60);

fn seed() -> NodeConfig {
    NodeConfig { have: true, ..NodeConfig::default() }
}

/// The pieces that a node has.
fn has(w: &World, node: usize) -> Vec<u32> {
    w.node(node).torrent.have().iter_ones().map(|piece| piece.0).collect()
}

fn finished(w: &World, nodes: &[usize]) -> bool {
    nodes.iter().all(|node| w.node(*node).torrent.is_finished())
}

#[test]
fn nothing_is_fetched_that_is_not_wanted() {
    for (len, piece) in [(3_000_000, 65_536), (9_999_999, 1 << 20), (40_000, 1000)] {
        let mut w = World::new(Payload::new(len, piece), len as u64);
        let (s, l) = (w.add(seed()), w.add(NodeConfig::default()));
        w.select(l, |i| u8::from(i.is_multiple_of(3)));
        w.introduce(l, &[s]);
        assert!(w.run(MINUTE, |w| w.node(l).completed.is_some()));
        assert!(has(&w, l).iter().all(|i| i.is_multiple_of(3)));
        let wanted: u64 = w
            .payload
            .geometry
            .pieces()
            .filter(|i| i.0.is_multiple_of(3))
            .map(|i| u64::from(w.payload.geometry.piece_size(i)))
            .sum();
        let stats = w.node(l).torrent.stats(w.now);
        assert_eq!((stats.downloaded, stats.verified, stats.wasted), (wanted, wanted, 0));
        assert_eq!((stats.requests, w.node(l).pool.borrow().in_use()), (0, 0));
        // The seed has nothing more to give, and is not kept waiting.
        assert!(w.node(l).lost.iter().any(|(_, why)| *why == PeerError::Useless));
        w.node(l).torrent.assert_consistent();
    }
}

#[test]
fn the_most_urgent_pieces_come_first() {
    let mut w = World::new(Payload::new(8 << 20, 65_536), 5);
    let (s, l) = (w.add(seed()), w.add(NodeConfig { bandwidth: 1e6, ..NodeConfig::default() }));
    w.select(l, |i| if (40..60).contains(&i) { 7 } else { 1 });
    w.introduce(l, &[s]);
    assert!(w.run(MINUTE, |w| has(w, l).len() >= 30));
    let urgent = has(&w, l).into_iter().filter(|i| (40..60).contains(i)).count();
    assert_eq!(urgent, 20);
}

#[test]
fn a_change_of_mind_gives_up_what_is_under_way_and_takes_it_up_again() {
    for seed_of_run in 0..20 {
        // Pieces of several parts, so that some of a piece is at the disk already.
        let mut w = World::new(Payload::new(12 << 20, 1 << 20), seed_of_run);
        let slow = || NodeConfig { bandwidth: 1e6, ..seed() };
        let (a, b, l) = (w.add(slow()), w.add(slow()), w.add(NodeConfig::default()));
        w.introduce(l, &[a, b]);
        for round in 0..6 {
            w.run(Duration::from_millis(200 + 20 * seed_of_run), |_| false);
            w.select(l, |i| u8::from((i + round).is_multiple_of(2)));
            w.node(l).torrent.assert_consistent();
        }
        w.select(l, |_| 0);
        assert!(finished(&w, &[l]));
        w.run(MINUTE, |_| false);
        let stats = w.node(l).torrent.stats(w.now);
        assert_eq!((stats.requests, stats.buffered, w.node(l).pool.borrow().in_use()), (0, 0, 0));
        w.node_mut(l).completed = None;
        w.select(l, |_| 4);
        assert!(!finished(&w, &[l]));
        // Those who were of no use are dialled again at once.
        w.run(Duration::from_secs(20), |w| w.node(l).completed.is_some());
        assert!(
            w.node(l).completed.is_some() && w.node(l).data == w.payload.data,
            "{:?}",
            w.node(l).torrent.stats(w.now)
        );
        w.node(l).torrent.assert_consistent();
    }
}

#[test]
fn partial_seeds_serve_each_other() {
    // Each wants a third of its own first, which the seed gives; then the seed goes and they want everything.
    let mut w = World::new(Payload::new(6 << 20, 65_536), 11);
    let s = w.add(seed());
    let nodes: Vec<usize> = (0..3).map(|_| w.add(NodeConfig::default())).collect();
    for (n, node) in nodes.iter().enumerate() {
        w.select(*node, |i| u8::from(i % 3 == n as u32));
        w.introduce(*node, &[s]);
    }
    assert!(w.run(MINUTE, |w| finished(w, &nodes)));
    w.unplug(s);
    for node in &nodes {
        w.introduce(*node, &nodes);
        w.select(*node, |_| 4);
    }
    assert!(w.run(10 * MINUTE, |w| finished(w, &nodes)));
    for node in nodes {
        assert!(w.node(node).data == w.payload.data);
    }
}

#[test]
fn a_torrent_that_begins_with_all_it_wants_asks_for_nothing() {
    let mut w = World::new(Payload::new(1 << 20, 65_536), 2);
    let l = w.add(NodeConfig {
        tweak: |cfg| {
            cfg.have = Bitfield::new(16);
            cfg.have.set(PieceIndex(3));
            cfg.priorities = vec![Priority::SKIP; 16];
            cfg.priorities[3] = Priority::NORMAL;
        },
        ..NodeConfig::default()
    });
    let script = Seed::new(|_| false);
    let requests = script.requests.clone();
    let s = w.add_script(script);
    w.connect(l, s);
    w.run(MINUTE, |_| false);
    assert!(w.node(l).torrent.is_finished() && !w.node(l).torrent.is_seed());
    assert_eq!((requests.get(), w.node(l).completed), (0, None));
}

#[test]
fn a_piece_that_is_read_does_not_make_the_torrent_incomplete() {
    let mut w = World::new(Payload::new(4 << 20, 65_536), 3);
    let (s, l) = (w.add(seed()), w.add(NodeConfig::default()));
    w.select(l, |i| u8::from(i < 8));
    w.introduce(l, &[s]);
    let late = |w: &mut World, piece| {
        let now = w.now;
        assert!(w.node_mut(l).torrent.set_deadline(now, PieceIndex(piece), now));
        w.settle(l);
    };
    // One in the middle of it and one when all is there, and the seed was parted from.
    late(&mut w, 40);
    w.select(l, |i| u8::from(i < 10));
    w.node(l).torrent.assert_consistent();
    assert!(w.run(MINUTE, |w| w.node(l).completed.is_some()));
    assert!(w.run(MINUTE, |w| has(w, l).len() == 11));
    w.node_mut(l).completed = None;
    w.run(MINUTE, |_| false);
    late(&mut w, 50);
    assert!(w.node(l).torrent.is_finished());
    assert!(w.run(Duration::from_secs(20), |w| has(w, l).contains(&50)));
    assert_eq!(w.node(l).completed, None, "it was complete all the time");
    w.node(l).torrent.assert_consistent();
}
