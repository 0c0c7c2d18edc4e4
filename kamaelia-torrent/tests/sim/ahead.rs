//! More under way than there is memory for.

use std::time::Duration;

use kamaelia_torrent::proto::buffer::DEFAULT_BUDGET;
use proptest::prelude::*;

use crate::scripts::Seed;
use crate::world::{NodeConfig, Payload, World};

fn complete(w: &World, id: usize) -> bool {
    w.node(id).completed.is_some()
}

fn check(w: &World, id: usize) {
    let node = w.node(id);
    assert!(node.completed.is_some(), "{:?}", node.torrent.stats(w.now));
    assert!(node.data == w.payload.data);
    assert_eq!(node.pool.in_use(), 0);
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

/// The rate of a download from one seed between half and nine tenths of it, bytes per second, and what was received in
/// vain.
fn steady(round_trip: Duration, piece_len: u32, budget: usize, disk: Duration) -> (f64, u64) {
    let len = 320 << 20;
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
    (rate, w.node(l).torrent.stats(w.now).wasted)
}

#[test]
fn a_long_fat_line_is_filled_within_the_default_budget() {
    // 16 and 32 MB are under way.
    for (ms, piece_len) in [(50, 1 << 18), (100, 4 << 20)] {
        let (round_trip, disk) = (Duration::from_millis(ms), Duration::from_micros(500));
        let (rate, wasted) = steady(round_trip, piece_len, DEFAULT_BUDGET, disk);
        assert!(rate > 0.9 * 320e6, "{rate} bytes a second at {ms} ms in pieces of {piece_len}");
        assert_eq!(wasted, 0);
    }
}

#[test]
fn a_slow_disk_holds_the_line_up_and_nothing_is_lost() {
    // Two buffers of eight take 20 ms to be written: far less than the line brings.
    let (rate, wasted) = steady(Duration::from_millis(50), 1 << 20, 2 << 20, Duration::from_millis(40));
    assert!((20e6..80e6).contains(&rate), "{rate}");
    assert_eq!(wasted, 0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn it_ends_whatever_the_memory_and_whoever_the_peers(
        seed in any::<u64>(),
        parts in 1..12usize,
        fast_ones in 0..4usize,
        slow_ones in 0..12usize,
        slow_rate in 20_000..400_000u32,
        piece_len in prop::sample::select(vec![16_384u32, 65_536, 300_000, 1 << 20]),
        disk_ms in 0..30u64,
        faults in prop::sample::select(vec![0u32, 60]),
        lost in any::<bool>(),
    ) {
        prop_assume!(fast_ones + slow_ones > 0);
        let mut w = World::new(Payload::new(24 << 20, piece_len), seed);
        let l = w.add(NodeConfig {
            budget: parts << 18,
            disk: Duration::from_millis(disk_ms),
            disk_faults: faults,
            ..NodeConfig::default()
        });
        let mut all: Vec<usize> =
            (0..fast_ones).map(|_| w.add(fast(true, Duration::from_millis(40)))).collect();
        all.extend((0..slow_ones).map(|_| {
            w.add(NodeConfig { have: true, bandwidth: slow_rate.into(), ..NodeConfig::default() })
        }));
        w.introduce(l, &all);
        w.run(Duration::from_millis(150), |_| false);
        if lost && all.len() > 1 {
            // In the middle of what it was asked for.
            w.unplug(all[0]);
        }
        // After every failure of the disk nothing is asked for during ten minutes.
        w.run(Duration::from_secs(24 * 3600), |w| complete(w, l));
        prop_assert!(complete(&w, l), "after {:?}: {:?}", w.elapsed(), w.node(l).torrent.stats(w.now));
        check(&w, l);
        w.node(l).torrent.assert_consistent();
    }
}

#[test]
fn a_hundred_slow_peers_and_little_memory_come_to_an_end() {
    for (seed, budget) in [(1, 1 << 18), (2, 1 << 20), (3, 3 << 20)] {
        let mut w = World::new(Payload::new(24 << 20, 1 << 20), seed);
        let l = w.add(NodeConfig { budget, ..NodeConfig::default() });
        let slow = || NodeConfig { have: true, bandwidth: 30e3, ..NodeConfig::default() };
        let all: Vec<usize> = (0..100).map(|_| w.add(slow())).collect();
        w.introduce(l, &all);
        w.run(Duration::from_secs(3600), |w| complete(w, l));
        check(&w, l);
    }
}

#[test]
fn a_fast_peer_that_loses_requests_does_not_jam_the_memory() {
    // Its parts stay half-filled, and it is not read while they have all the memory.
    thread_local!(static COUNT: std::cell::Cell<u32> = const { std::cell::Cell::new(0) });
    for parts in [2, 5] {
        COUNT.set(0);
        let mut w = World::new(Payload::new(24 << 20, 1 << 18), 33);
        let l = w.add(NodeConfig { budget: parts << 18, ..NodeConfig::default() });
        let mut seed = Seed::new(|_| false);
        seed.answer = |_| {
            COUNT.set(COUNT.get() + 1);
            COUNT.get() < 300 || !COUNT.get().is_multiple_of(40)
        };
        let seed = w.add_script(seed);
        w.connect(l, seed);
        let mut most = 0;
        w.run(Duration::from_secs(4 * 3600), |w| {
            most = most.max(w.node(l).torrent.stats(w.now).requests);
            complete(w, l)
        });
        check(&w, l);
        assert!(most > 16 * parts, "only {most} requests: nothing was asked for ahead");
    }
}
