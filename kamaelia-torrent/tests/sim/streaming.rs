//! Pieces with a deadline: who reads a file while it comes.

use std::time::Duration;

use kamaelia_torrent::proto::PieceIndex;

use crate::{
    scripts::Seed,
    world::{NodeConfig, Payload, World},
};

fn seed(bandwidth: f64) -> NodeConfig {
    NodeConfig { have: true, bandwidth, ..NodeConfig::default() }
}

fn has(world: &World, node: usize, pieces: std::ops::Range<u32>) -> bool {
    pieces.into_iter().all(|piece| world.node(node).torrent.have().get(PieceIndex(piece)))
}

/// Asks for pieces, the first at once, each later one a step later.
fn hurry(world: &mut World, node: usize, pieces: std::ops::Range<u32>, step: Duration) {
    world.tell(node, |torrent, now| {
        for (n, piece) in (0..).zip(pieces) {
            assert!(torrent.set_deadline(now, PieceIndex(piece), now + step * n));
        }
    });
}

fn finish(world: &mut World, node: usize) {
    world.run(Duration::from_secs(3600), |w| w.node(node).completed.is_some());
    let node = world.node(node);
    assert!(node.completed.is_some(), "{:?}", node.torrent.stats(world.now));
    assert!(node.data == world.payload.data && node.pool.borrow().in_use() == 0);
    assert_eq!(node.torrent.deadlines().count(), 0);
}

#[test]
fn pieces_with_a_deadline_come_first_and_in_order() {
    let mut w = World::new(Payload::new(16 << 20, 1 << 16), 1);
    let (s, l) = (w.add(seed(1e6)), w.add(NodeConfig::default()));
    hurry(&mut w, l, 100..116, Duration::from_millis(100));
    w.introduce(l, &[s]);
    for piece in 100..116 {
        assert!(w.run(Duration::from_secs(60), |w| has(w, l, piece..piece + 1)));
        let later = (piece + 2..116).filter(|later| has(&w, l, *later..*later + 1)).count();
        assert_eq!(later, 0, "those after {piece} come later");
    }
    // A megabyte, a second: hardly anything else came meanwhile.
    assert!(w.node(l).torrent.have().count() <= 18, "{} pieces", w.node(l).torrent.have().count());
    assert!(w.elapsed() < Duration::from_millis(1300), "{:?}", w.elapsed());
    finish(&mut w, l);
}

#[test]
fn a_jump_does_not_wait_behind_what_was_asked_for_before() {
    let mut w = World::new(Payload::new(64 << 20, 1 << 18), 2);
    let (s, l) = (w.add(seed(1e6)), w.add(NodeConfig::default()));
    w.introduce(l, &[s]);
    w.run(Duration::from_secs(8), |_| false);
    // Two seconds' worth are under way.
    assert!(w.node(l).torrent.stats(w.now).requests > 60);
    let target = (0..256).find(|piece| !has(&w, l, *piece..*piece + 1)).unwrap();
    let before = w.now;
    hurry(&mut w, l, target..target + 1, Duration::ZERO);
    assert!(w.run(Duration::from_secs(60), |w| has(w, l, target..target + 1)));
    // The piece alone takes 0.26 s.
    assert!(w.now - before < Duration::from_millis(800), "{:?}", w.now - before);
    finish(&mut w, l);
    // What was taken back and came all the same was not thrown away.
    assert!(w.node(l).torrent.stats(w.now).wasted < 1 << 20);
}

#[test]
fn a_slow_peer_does_not_hold_what_is_needed_soon() {
    let mut w = World::new(Payload::new(32 << 20, 1 << 18), 3);
    let l = w.add(NodeConfig::default());
    let fast = w.add(seed(2e6));
    let slow: Vec<usize> = (0..5).map(|_| w.add(seed(20e3))).collect();
    w.introduce(l, &slow);
    w.introduce(l, &[fast]);
    w.run(Duration::from_secs(6), |_| false);
    let first = (0..100).find(|piece| (*piece..*piece + 8).all(|p| !has(&w, l, p..p + 1))).unwrap();
    let before = w.now;
    hurry(&mut w, l, first..first + 8, Duration::from_millis(200));
    assert!(w.run(Duration::from_secs(600), |w| has(w, l, first..first + 8)));
    // 2 MiB at 2 MB/s; a slow peer alone needs 13 s for one piece.
    assert!(w.now - before < Duration::from_millis(3500), "{:?}", w.now - before);
}

#[test]
fn a_block_that_does_not_come_is_asked_of_another() {
    let mut w = World::new(Payload::new(8 << 20, 1 << 18), 4);
    let l = w.add(NodeConfig::default());
    let mut silent = Seed::new(|_| false);
    silent.answer = |_| false;
    let silent = w.add_script(silent);
    let honest = w.add(seed(1e6));
    let before = w.now;
    hurry(&mut w, l, 9..10, Duration::ZERO);
    w.connect(l, silent);
    w.run(Duration::from_millis(300), |_| false);
    w.connect(l, honest);
    assert!(w.run(Duration::from_secs(60), |w| has(w, l, 9..10)));
    // Without a second request it would take the 20 s after which a peer counts as late.
    assert!(w.now - before < Duration::from_secs(3), "{:?}", w.now - before);
    finish(&mut w, l);
}

#[test]
fn a_needed_piece_with_a_wrong_hash_is_fetched_again_soon() {
    let mut w = World::new(Payload::new(4 << 20, 1 << 18), 5);
    let l = w.add(NodeConfig::default());
    let liar = w.add_script(Seed::new(|block| block.piece == PieceIndex(3)));
    let honest = w.add(seed(2e6));
    hurry(&mut w, l, 3..4, Duration::ZERO);
    w.connect(l, liar);
    w.run(Duration::from_millis(100), |_| false);
    w.connect(l, honest);
    assert!(w.run(Duration::from_secs(60), |w| has(w, l, 3..4)));
    assert!(w.elapsed() < Duration::from_secs(5), "{:?}", w.elapsed());
    assert!(w.node(l).torrent.stats(w.now).failed_pieces > 0);
    finish(&mut w, l);
}

/// A piece that failed goes to one peer alone, to see whom to blame; not if that one is slow and it is needed.
#[test]
fn a_slow_peer_does_not_keep_a_failed_piece_to_itself() {
    let mut w = World::new(Payload::new(4 << 20, 1 << 18), 9);
    let l = w.add(NodeConfig::default());
    let liar = w.add_script(Seed::new(|block| block.piece == PieceIndex(3)));
    let (slow, fast) = (w.add(seed(20e3)), w.add(seed(2e6)));
    hurry(&mut w, l, 3..4, Duration::ZERO);
    w.connect(l, liar);
    w.run(Duration::from_secs(5), |w| w.node(l).torrent.stats(w.now).failed_pieces > 0);
    w.connect(l, slow);
    w.run(Duration::from_millis(500), |_| false);
    let before = w.now;
    w.connect(l, fast);
    assert!(w.run(Duration::from_secs(60), |w| has(w, l, 3..4)));
    assert!(w.now - before < Duration::from_secs(5), "{:?}", w.now - before);
    finish(&mut w, l);
}

#[test]
fn reading_goes_on_when_peers_leave_and_come() {
    let mut w = World::new(Payload::new(16 << 20, 1 << 17), 6);
    let l = w.add(NodeConfig::default());
    let seeds: Vec<usize> = (0..3).map(|_| w.add(seed(1e6))).collect();
    w.introduce(l, &seeds);
    hurry(&mut w, l, 20..60, Duration::from_millis(100));
    for gone in [seeds[0], seeds[2]] {
        w.run(Duration::from_millis(700), |_| false);
        w.unplug(gone);
    }
    assert!(w.run(Duration::from_secs(60), |w| has(w, l, 20..60)));
    assert!(w.elapsed() < Duration::from_secs(10), "{:?}", w.elapsed());
    finish(&mut w, l);
}

/// A peer that alone has what is needed is taken, however slow it is.
#[test]
fn the_only_peer_that_has_it_is_fast_enough() {
    let mut w = World::new(Payload::new(8 << 20, 1 << 16), 7);
    let l = w.add(NodeConfig::default());
    let fast = w.add(NodeConfig {
        tweak: |cfg| (0..100).for_each(|piece| assert!(cfg.have.set(PieceIndex(piece)))),
        bandwidth: 5e6,
        ..NodeConfig::default()
    });
    let slow = w.add(seed(30e3));
    w.introduce(l, &[fast, slow]);
    w.run(Duration::from_secs(5), |w| has(w, l, 0..100));
    hurry(&mut w, l, 110..112, Duration::ZERO);
    assert!(w.run(Duration::from_secs(30), |w| has(w, l, 110..112)));
}

/// Nor is it passed over because nobody has what is needed before.
#[test]
fn what_nobody_has_holds_up_nothing() {
    let mut w = World::new(Payload::new(8 << 20, 1 << 16), 10);
    let l = w.add(NodeConfig::default());
    let fast = w.add(NodeConfig {
        tweak: |cfg| (0..60).for_each(|piece| assert!(cfg.have.set(PieceIndex(piece)))),
        bandwidth: 5e6,
        ..NodeConfig::default()
    });
    let slow = w.add(NodeConfig {
        tweak: |cfg| (110..112).for_each(|piece| assert!(cfg.have.set(PieceIndex(piece)))),
        bandwidth: 30e3,
        ..NodeConfig::default()
    });
    w.introduce(l, &[fast]);
    w.run(Duration::from_secs(5), |w| has(w, l, 0..30));
    hurry(&mut w, l, 60..112, Duration::ZERO);
    w.introduce(l, &[slow]);
    assert!(w.run(Duration::from_secs(30), |w| has(w, l, 110..112)));
}

#[test]
fn deadlines_that_come_and_go_lose_nothing() {
    for run in 0..20 {
        let mut w = World::new(Payload::new(3 << 20, 1 << 15), run);
        let mut rng = fastrand::Rng::with_seed(run);
        // Memory for a few pieces only, and a disk that fails at times.
        let l = w.add(NodeConfig { budget: 1 << 18, disk_faults: 40, ..NodeConfig::default() });
        let seeds: Vec<usize> = (0..4).map(|n| w.add(seed(1e5 + f64::from(n) * 2e5))).collect();
        let liar = w.add_script(Seed::new(|block| block.piece.0 % 31 == 7));
        w.connect(l, liar);
        w.introduce(l, &seeds);
        for _ in 0..60 {
            w.run(Duration::from_millis(rng.u64(..80)), |_| false);
            let piece = PieceIndex(rng.u32(..100));
            let in_ms = Duration::from_millis(rng.u64(..500));
            let what = rng.u8(..8);
            w.tell(l, |torrent, now| {
                match what {
                    0 => torrent.clear_deadlines(now),
                    1 | 2 => torrent.clear_deadline(now, piece),
                    3 => torrent.retry_disk(now),
                    _ => {
                        torrent.set_deadline(now, piece, now + in_ms);
                    }
                }
                torrent.assert_consistent();
            });
        }
        finish(&mut w, l);
    }
}

#[test]
fn more_deadlines_than_can_be_kept_push_out_the_latest() {
    let mut w = World::new(Payload::new(2000 << 14, 1 << 14), 8);
    let l = w.add(NodeConfig::default());
    w.tell(l, |torrent, now| {
        let later = |n: u32| now + Duration::from_secs(u64::from(n));
        for piece in 0..1024 {
            assert!(torrent.set_deadline(now, PieceIndex(piece), later(piece)));
        }
        assert!(!torrent.set_deadline(now, PieceIndex(1500), later(5000)));
        assert!(torrent.set_deadline(now, PieceIndex(1600), later(3)));
        let mut pieces: Vec<u32> = torrent.deadlines().map(|(piece, _)| piece.0).collect();
        pieces.sort_unstable();
        assert_eq!(pieces, (0..1023).chain([1600]).collect::<Vec<_>>());
        // None for what there is not, or what is there.
        assert!(!torrent.set_deadline(now, PieceIndex(2000), now));
        torrent.assert_consistent();
        torrent.clear_deadlines(now);
        assert_eq!(torrent.deadlines().count(), 0);
    });
}
