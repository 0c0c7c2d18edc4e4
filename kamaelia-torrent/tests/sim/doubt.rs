//! Pieces that are lost again: their file was changed by somebody else.

use std::time::Duration;

use kamaelia_torrent::proto::{bitfield::Bitfield, geometry::PieceIndex, torrent::PeerError};

use crate::world::{NodeConfig, Payload, World};

fn node(have: bool) -> NodeConfig {
    NodeConfig { have, bandwidth: 1e6, ..NodeConfig::default() }
}

fn set(w: &World, pieces: impl Iterator<Item = u32>) -> Bitfield {
    let mut set = Bitfield::new(w.payload.geometry.piece_count());
    pieces.for_each(|piece| {
        set.set(PieceIndex(piece));
    });
    set
}

/// Says what became of pieces in doubt.
fn resolve(w: &mut World, id: usize, pieces: &Bitfield, good: impl Fn(u32) -> bool) {
    let now = w.now;
    for piece in pieces.iter_ones() {
        w.node_mut(id).torrent.found_again(now, piece, good(piece.0));
    }
    w.introduce(id, &[]);
}

#[test]
fn what_is_lost_is_neither_offered_nor_served_and_is_fetched_again() {
    let mut w = World::new(Payload::new(8 << 20, 1 << 18), 31);
    let (a, b, leech) = (w.add(node(true)), w.add(node(true)), w.add(node(false)));
    w.introduce(leech, &[a]);
    w.run(Duration::from_secs(60), |w| w.node(leech).torrent.have().count() > 5);
    let lost = set(&w, (0..32).filter(|i| i % 2 == 0));
    let now = w.now;
    let taken = w.node_mut(a).torrent.doubt(now, &lost);
    assert_eq!(taken, lost);
    // A second time there is nothing to take.
    assert!(w.node_mut(a).torrent.doubt(now, &lost).is_empty_set());
    assert!(!w.node(a).torrent.is_seed());
    // What is in doubt is not fetched from one that has it.
    w.introduce(a, &[b]);
    w.run(Duration::from_secs(30), |_| false);
    assert_eq!(w.node(a).torrent.have().count(), 16);
    let before = w.node(leech).torrent.have().clone();
    assert!(before.count() < 32, "the leech got what is lost");
    // One half is still there, the other is not: it comes from the other seed, and goes on to the leech.
    resolve(&mut w, a, &lost, |piece| piece % 4 == 0);
    let both = |w: &World| w.node(a).torrent.is_seed() && w.node(leech).torrent.is_seed();
    assert!(w.run(Duration::from_secs(600), both));
    let refetched = w.node(a).torrent.stats(w.now).downloaded;
    assert_eq!(refetched, 8 << 18);
    assert!(w.node(leech).data == w.payload.data);
}

#[test]
fn a_whole_check_keeps_the_connections_and_tells_nobody_twice() {
    let mut w = World::new(Payload::new(8 << 20, 1 << 16), 32);
    let (a, leech) = (w.add(node(true)), w.add(node(false)));
    w.introduce(leech, &[a]);
    w.run(Duration::from_secs(60), |w| w.node(leech).torrent.have().count() > 5);
    let all = set(&w, 0..128);
    // More pieces than a peer may name twice in all this time.
    for _ in 0..12 {
        let now = w.now;
        w.node_mut(a).torrent.doubt(now, &all);
        w.introduce(a, &[]);
        resolve(&mut w, a, &all, |_| true);
        w.run(Duration::from_millis(20), |_| false);
    }
    assert!(w.node(a).torrent.is_seed());
    assert!(w.run(Duration::from_secs(60), |w| w.node(leech).torrent.is_seed()));
    assert!(w.node(leech).lost.iter().all(|(_, why)| *why == PeerError::Useless), "{:?}", w.node(leech).lost);
    assert!(w.node(leech).data == w.payload.data);
}

#[test]
fn who_connects_while_pieces_are_in_doubt_hears_of_them_when_they_are_found() {
    let mut w = World::new(Payload::new(2 << 20, 1 << 18), 33);
    let (a, leech) = (w.add(node(true)), w.add(node(false)));
    let all = set(&w, 0..8);
    let now = w.now;
    w.node_mut(a).torrent.doubt(now, &all);
    w.run(Duration::from_secs(1), |_| false);
    w.introduce(leech, &[a]);
    w.run(Duration::from_secs(10), |_| false);
    assert_eq!(w.node(leech).torrent.have().count(), 0);
    resolve(&mut w, a, &all, |_| true);
    assert!(w.run(Duration::from_secs(60), |w| w.node(leech).torrent.is_seed()));
}
