//! More under way than there is memory for.

use std::{num::NonZeroU64, time::Duration};

use kamaelia_torrent::proto::{BLOCK_LEN, PieceIndex, buffer::DEFAULT_BUDGET, limit::Limits};
use proptest::prelude::*;

use crate::{
    habits::{Fickle, Habit},
    world::{NodeConfig, Payload, World, memory},
};

fn complete(w: &World, id: usize) -> bool {
    w.node(id).completed.is_some()
}

fn check(w: &World, id: usize) {
    let node = w.node(id);
    assert!(node.completed.is_some(), "{:?}", node.torrent.stats(w.now));
    assert!(node.data == w.payload.data);
    assert_eq!((node.pool.borrow().in_use(), node.torrent.stats(w.now).requests), (0, 0));
    node.torrent.assert_consistent();
}

/// Runs until a node has everything; answers how many requests were open at a time at most.
fn finish(w: &mut World, id: usize) -> u64 {
    let mut most = 0;
    w.run(Duration::from_secs(24 * 3600), |w| {
        most = most.max(w.node(id).torrent.stats(w.now).requests);
        complete(w, id)
    });
    check(w, id);
    most as u64
}

/// What a disk does not take: a sixteenth of a fast line.
fn slow_disk() -> Duration {
    Duration::from_millis(100)
}

fn fast(have: bool, round_trip: Duration) -> NodeConfig {
    NodeConfig {
        bandwidth: 320e6,
        latency: round_trip / 2,
        disk: Duration::from_micros(500),
        budget: DEFAULT_BUDGET,
        have,
        ..NodeConfig::default()
    }
}

/// The rate of a download from one seed between half and nine tenths of it, bytes per second, what was received in vain,
/// and how often it was not read for want of memory.
fn steady(round_trip: Duration, piece_len: u32, budget: usize, disk: Duration) -> (f64, u64, usize) {
    let len = 160 << 20;
    let mut w = World::new(Payload::new(len, piece_len), 31);
    let l = w.add(NodeConfig { budget, disk, ..fast(false, round_trip) });
    let s = w.add(fast(true, round_trip));
    w.introduce(l, &[s]);
    let most = Duration::from_secs(600);
    let left = |w: &World| w.node(l).torrent.stats(w.now).left;
    assert!(w.run(most, |w| left(w) <= len as u64 / 2));
    let (before, at) = (w.node(l).torrent.stats(w.now).downloaded, w.now);
    assert!(w.run(most, |w| left(w) <= len as u64 / 10));
    let bytes = w.node(l).torrent.stats(w.now).downloaded - before;
    let rate = bytes as f64 / (w.now - at).as_secs_f64();
    w.run(most, |w| complete(w, l));
    check(&w, l);
    (rate, w.node(l).torrent.stats(w.now).wasted, w.node(l).thirsts)
}

#[test]
fn a_long_fat_line_is_filled_within_the_default_budget() {
    // 16 and 32 MB are under way.
    for (ms, piece_len) in [(50, 1 << 18), (100, 4 << 20)] {
        let (round_trip, disk) = (Duration::from_millis(ms), Duration::from_micros(500));
        let (rate, wasted, _) = steady(round_trip, piece_len, DEFAULT_BUDGET, disk);
        assert!(rate > 0.9 * 320e6, "{rate} bytes a second at {ms} ms in pieces of {piece_len}");
        assert_eq!(wasted, 0);
    }
}

#[test]
fn a_slow_disk_holds_the_line_up_and_nothing_is_lost() {
    // Six buffers of eight take 40 ms to be written: far less than the line brings.
    let (rate, wasted, thirsts) =
        steady(Duration::from_millis(50), 1 << 20, 2 << 20, Duration::from_millis(40));
    assert!((20e6..80e6).contains(&rate), "{rate}");
    assert_eq!(wasted, 0);
    assert!(thirsts > 100, "{thirsts}");
}

#[test]
fn a_disk_that_is_busy_with_one_torrent_leaves_memory_to_another() {
    let pool = memory(2 << 20);
    let shared = |disk| NodeConfig { memory: Some(pool.clone()), disk, ..NodeConfig::default() };
    let mut w = World::new(Payload::new(48 << 20, 1 << 18), 1);
    let (busy, other) = (w.add(shared(slow_disk())), w.add(shared(Duration::from_millis(1))));
    let line = w.add(fast(true, Duration::from_millis(50)));
    let slow = w.add(NodeConfig { have: true, bandwidth: 1e6, ..NodeConfig::default() });
    w.introduce(busy, &[line]);
    w.run(Duration::from_secs(1), |_| false);
    assert!(w.node(busy).thirsts > 10, "{}", w.node(busy).thirsts);
    w.introduce(other, &[slow]);
    w.run(Duration::from_secs(1), |_| false);
    assert!(!complete(&w, busy) && w.node(busy).torrent.stats(w.now).requests > 100);
    let got = w.node(other).torrent.stats(w.now).downloaded;
    assert!(got > 600_000, "{got} bytes of a megabyte");
    // And the other way round: who asks for what there is memory for does not take it all.
    let before = w.node(busy).torrent.stats(w.now).downloaded;
    w.run(Duration::from_secs(1), |_| false);
    assert!(w.node(busy).torrent.stats(w.now).downloaded > before + 2_000_000);
    w.run(Duration::from_secs(600), |w| complete(w, busy) && complete(w, other));
    check(&w, busy);
    check(&w, other);
}

#[test]
fn torrents_that_share_little_memory_all_come_to_an_end() {
    for parts in [2, 3, 6] {
        let pool = memory(parts << 18);
        let mut w = World::new(Payload::new(12 << 20, 1 << 19), parts as u64);
        let disk = slow_disk() / 4;
        let nodes: Vec<usize> = (0..4)
            .map(|_| w.add(NodeConfig { memory: Some(pool.clone()), disk, ..NodeConfig::default() }))
            .collect();
        for (n, node) in nodes.iter().enumerate() {
            let bandwidth = if n == 3 { 1e6 } else { 100e6 };
            let seed = w.add(NodeConfig { have: true, bandwidth, ..NodeConfig::default() });
            w.introduce(*node, &[seed]);
        }
        w.run(Duration::from_secs(3600), |w| nodes.iter().all(|node| complete(w, *node)));
        assert!(nodes[..3].iter().any(|node| w.node(*node).thirsts > 0), "{parts}");
        for node in nodes {
            check(&w, node);
            assert_eq!(w.node(node).torrent.stats(w.now).wasted, 0, "{parts}");
        }
    }
}

#[test]
fn what_has_a_deadline_comes_through_thirst() {
    let mut w = World::new(Payload::new(96 << 20, 1 << 18), 4);
    let disk = slow_disk();
    let l = w.add(NodeConfig { budget: 2 << 20, disk, ..NodeConfig::default() });
    let seeds = [w.add(fast(true, Duration::from_millis(40))), w.add(fast(true, Duration::from_millis(10)))];
    w.introduce(l, &seeds);
    assert!(w.run(Duration::from_secs(60), |w| w.node(l).thirsts > 20));
    for at in [300, 200, 350] {
        w.tell(l, |torrent, now| {
            (at..at + 8).for_each(|piece| {
                torrent.set_deadline(now, PieceIndex(piece), now + Duration::from_millis(100));
            });
        });
        let has = |w: &World| (at..at + 8).all(|n| w.node(l).torrent.have().get(PieceIndex(n)));
        // Two megabytes, which the disk takes in two tenths of a second.
        assert!(w.run(Duration::from_secs(4), has), "{:?}", w.node(l).torrent.stats(w.now));
        assert!(!complete(&w, l));
    }
    finish(&mut w, l);
}

#[test]
fn near_the_end_idle_peers_help_without_waste() {
    let mut w = World::new(Payload::new(48 << 20, 1 << 18), 5);
    let l = w.add(NodeConfig { budget: 2 << 20, disk: slow_disk(), ..NodeConfig::default() });
    let mut all = vec![w.add(fast(true, Duration::from_millis(50)))];
    let slow = || NodeConfig { have: true, bandwidth: 200e3, ..NodeConfig::default() };
    all.extend((0..3).map(|_| w.add(slow())));
    w.introduce(l, &all);
    finish(&mut w, l);
    // Eight blocks for each that helps, at the very end.
    let wasted = w.node(l).torrent.stats(w.now).wasted;
    assert!(wasted <= 3 * 8 * u64::from(BLOCK_LEN), "{wasted}");
}

/// A node with little memory and a slow disk, and a fast seed that it asked ahead.
fn thirsty(w: &mut World) -> (usize, usize) {
    let l = w.add(NodeConfig { budget: 2 << 20, disk: slow_disk(), ..NodeConfig::default() });
    let s = w.add(fast(true, Duration::from_millis(50)));
    w.introduce(l, &[s]);
    assert!(w.run(Duration::from_secs(60), |w| w.node(l).thirsts > 10));
    assert!(w.node(l).torrent.stats(w.now).requests > 200);
    (l, s)
}

#[test]
fn a_limit_that_is_switched_on_midway_holds_and_loses_nothing() {
    let mut w = World::new(Payload::new(48 << 20, 1 << 18), 6);
    let (l, _) = thirsty(&mut w);
    let down = NonZeroU64::new(500_000);
    w.set_limits(l, Limits { down, up: None });
    let before = w.node(l).torrent.stats(w.now).downloaded;
    w.run(Duration::from_secs(20), |_| false);
    let got = w.node(l).torrent.stats(w.now).downloaded - before;
    assert!((8_000_000..12_000_000).contains(&got), "{got} in 20 seconds");
    w.set_limits(l, Limits::NONE);
    finish(&mut w, l);
    assert_eq!(w.node(l).torrent.stats(w.now).wasted, 0);
    assert!(w.elapsed() < Duration::from_secs(30), "{:?}", w.elapsed());
}

#[test]
fn a_line_that_breaks_gives_the_memory_back_and_another_goes_on() {
    let mut w = World::new(Payload::new(48 << 20, 1 << 18), 7);
    let (l, s) = thirsty(&mut w);
    w.unplug(s);
    let other = w.add(fast(true, Duration::from_millis(10)));
    w.introduce(l, &[other]);
    finish(&mut w, l);
    // What was begun of parts at that time.
    let wasted = w.node(l).torrent.stats(w.now).wasted;
    assert!(wasted < 3 << 18, "{wasted}");
}

#[test]
fn who_wants_nothing_more_is_done_with_it() {
    let mut w = World::new(Payload::new(48 << 20, 1 << 18), 8);
    let (l, _) = thirsty(&mut w);
    let have = w.node(l).torrent.have().clone();
    w.select(l, |piece| if have.get(PieceIndex(piece)) { 4 } else { 0 });
    w.run(Duration::from_secs(60), |_| false);
    assert!(complete(&w, l));
    let node = w.node_mut(l);
    node.completed = None;
    assert_eq!(node.pool.borrow().in_use(), 0);
    node.torrent.assert_consistent();
    w.select(l, |_| 4);
    finish(&mut w, l);
}

/// A download from one with a habit, and what it cost: requests open at a time, bytes in vain.
fn habit(habit: Habit, parts: usize, disk: Duration) -> (World, u64, u64) {
    let mut w = World::new(Payload::new(24 << 20, 1 << 18), 9);
    let l = w.add(NodeConfig { budget: parts << 18, disk, ..NodeConfig::default() });
    let odd = w.add_script(Fickle::new(habit));
    w.connect(l, odd);
    // Soon there is another from whom all can be had.
    let mut most = 0;
    w.run(Duration::from_millis(500), |w| {
        most = most.max(w.node(l).torrent.stats(w.now).requests);
        complete(w, l)
    });
    let s = w.add(NodeConfig { have: true, bandwidth: 2e6, ..NodeConfig::default() });
    w.introduce(l, &[s]);
    let most = finish(&mut w, l).max(most as u64);
    let wasted = w.node(l).torrent.stats(w.now).wasted;
    (w, most, wasted)
}

#[test]
fn a_peer_that_answers_in_any_order_wastes_at_most_what_it_was_asked_for_once() {
    let mut dropped = 0;
    for (keep, parts) in [(3, 8), (40, 8), (400, 8), (40, 24)] {
        let (w, most, wasted) = habit(Habit::AnyOrder(keep), parts, Duration::from_millis(15));
        assert!(most > 16 * parts as u64, "{most} requests: it was not asked ahead");
        assert!(wasted <= most * u64::from(BLOCK_LEN), "{wasted} bytes in vain");
        assert!(w.elapsed() < Duration::from_secs(60), "{keep} {parts}: {:?}", w.elapsed());
        dropped += wasted;
    }
    assert!(dropped > 0, "there was always memory");
}

#[test]
fn what_comes_a_little_early_is_hardly_ever_dropped_while_memory_is_short() {
    let mut w = World::new(Payload::new(24 << 20, 1 << 18), 9);
    let disk = Duration::from_millis(15);
    let l = w.add(NodeConfig { budget: 8 << 20, disk, ..NodeConfig::default() });
    // Any of the next three blocks may come first.
    let seed = w.add_script(Fickle::new(Habit::AnyOrder(3)));
    w.connect(l, seed);
    let most = finish(&mut w, l);
    assert!(most > 512, "{most} requests: it was not asked ahead");
    assert!(w.node(l).thirsts > 0, "there was always memory");
    // A block may have to wait for many others, by bad luck; then all that was asked for ahead may be lost once.
    let wasted = w.node(l).torrent.stats(w.now).wasted;
    assert!(wasted < 2 << 20, "{wasted} of 24 MiB");
}

#[test]
fn with_memory_the_order_of_the_blocks_does_not_matter() {
    for keep in [3, 40, 200] {
        let (_, most, wasted) = habit(Habit::AnyOrder(keep), 64, Duration::from_millis(1));
        assert!(most > 600, "{most} requests: it was not asked ahead");
        assert_eq!(wasted, 0, "{keep}");
    }
}

#[test]
fn peers_that_do_not_do_what_they_should_hold_nothing_up_for_long() {
    for parts in [2, 5, 12] {
        for odd in [
            Habit::Forgets(17),
            Habit::Forgets(3),
            Habit::AllButTheLast,
            Habit::Chokes(100),
            Habit::Chokes(9),
            Habit::Spoils(150),
            Habit::FallsSilent(300),
        ] {
            for disk in [Duration::from_millis(1), slow_disk()] {
                let (w, ..) = habit(odd, parts, disk);
                assert!(
                    w.elapsed() < Duration::from_secs(240),
                    "{odd:?} {parts} {disk:?}: {:?}",
                    w.elapsed()
                );
            }
        }
    }
}

#[derive(Copy, Clone, Debug)]
enum Change {
    Unplug(usize),
    Limit(u64),
    Hurry(u32),
    Choose(u32),
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        (0..6usize).prop_map(Change::Unplug),
        prop::sample::select(vec![0u64, 300_000, 5_000_000]).prop_map(Change::Limit),
        (0..100u32).prop_map(Change::Hurry),
        (1..5u32).prop_map(Change::Choose),
    ]
}

fn some_habit() -> impl Strategy<Value = Habit> {
    prop_oneof![
        (1..300usize).prop_map(Habit::AnyOrder),
        (2..60u32).prop_map(Habit::Forgets),
        Just(Habit::AllButTheLast),
        (1..200u32).prop_map(Habit::Chokes),
        (50..300u32).prop_map(Habit::Spoils),
        (1..600u32).prop_map(Habit::FallsSilent),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn it_ends_whatever_the_memory_and_whoever_the_peers(
        seed in any::<u64>(),
        parts in 1..12usize,
        fast_ones in 0..4usize,
        slow_ones in 0..8usize,
        slow_rate in 20_000..400_000u32,
        habits in prop::collection::vec(some_habit(), 0..4),
        changes in prop::collection::vec((0..400u64, change()), 0..6),
        piece_len in prop::sample::select(vec![16_384u32, 65_536, 300_000, 1 << 20]),
        disk_ms in 0..60u64,
        faults in prop::sample::select(vec![0u32, 0, 90]),
    ) {
        let mut w = World::new(Payload::new(12 << 20, piece_len), seed);
        let l = w.add(NodeConfig {
            budget: parts << 18,
            disk: Duration::from_millis(disk_ms),
            disk_faults: faults,
            ..NodeConfig::default()
        });
        let mut all: Vec<usize> =
            (0..fast_ones).map(|_| w.add(fast(true, Duration::from_millis(40)))).collect();
        all.extend((0..=slow_ones).map(|_| {
            w.add(NodeConfig { have: true, bandwidth: slow_rate.into(), ..NodeConfig::default() })
        }));
        w.introduce(l, &all);
        for habit in habits {
            let odd = w.add_script(Fickle::new(habit));
            w.connect(l, odd);
        }
        for (after, change) in changes {
            w.run(Duration::from_millis(after), |w| complete(w, l));
            match change {
                Change::Unplug(n) => w.unplug(all[n % all.len()]),
                Change::Limit(rate) => {
                    w.set_limits(l, Limits { down: NonZeroU64::new(rate), up: None });
                }
                Change::Hurry(percent) => {
                    let pieces = w.payload.geometry.piece_count();
                    let first = pieces * percent / 100;
                    w.tell(l, |torrent, now| {
                        (first..pieces.min(first + 20)).for_each(|piece| {
                            torrent.set_deadline(now, PieceIndex(piece), now + Duration::from_millis(200));
                        });
                    });
                }
                Change::Choose(n) => w.select(l, |piece| u8::from(piece % n == 0) * 4),
            }
        }
        w.set_limits(l, Limits::NONE);
        w.select(l, |_| 4);
        // After every failure of the disk nothing is asked for during ten minutes.
        w.run(Duration::from_secs(24 * 3600), |w| complete(w, l));
        prop_assert!(complete(&w, l), "after {:?}: {:?}", w.elapsed(), w.node(l).torrent.stats(w.now));
        w.run(Duration::from_secs(60), |_| false);
        check(&w, l);
    }
}

#[test]
fn a_hundred_slow_peers_and_little_memory_come_to_an_end() {
    for (seed, budget) in [(1, 1 << 18), (2, 1 << 20), (3, 3 << 20)] {
        let mut w = World::new(Payload::new(12 << 20, 1 << 20), seed);
        let l = w.add(NodeConfig { budget, ..NodeConfig::default() });
        let slow = || NodeConfig { have: true, bandwidth: 30e3, ..NodeConfig::default() };
        let all: Vec<usize> = (0..100).map(|_| w.add(slow())).collect();
        w.introduce(l, &all);
        finish(&mut w, l);
    }
}
