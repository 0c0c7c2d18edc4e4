//! Swarms of honest nodes.

use std::time::Duration;

use kamaelia_torrent::proto::{torrent::Direction, wire::Message};

use crate::{
    scripts::{Leech, Seed},
    world::{NodeConfig, Payload, World},
};

fn minutes(n: u64) -> Duration {
    Duration::from_secs(60 * n)
}

fn complete(world: &World, nodes: &[usize]) -> bool {
    nodes.iter().all(|node| world.node(*node).completed.is_some())
}

fn check(world: &World, nodes: &[usize]) {
    for id in nodes {
        let node = world.node(*id);
        assert!(node.completed.is_some(), "node {id}: {:?}", node.torrent.stats(world.now));
        assert!(node.data == world.payload.data, "node {id} has wrong data");
        assert_eq!(node.pool.borrow().in_use(), 0, "node {id} keeps buffers");
    }
}

fn seed() -> NodeConfig {
    NodeConfig { have: true, ..NodeConfig::default() }
}

#[test]
fn one_seed_one_leech_every_piece_length() {
    for (len, piece) in [
        (1, 16_384),
        (16_384, 16_384),
        (100_000, 32_768),
        (3_000_000, 65_536),
        (5_000_001, 262_144),
        (9_999_999, 1 << 20),
        (5_000_000, 300_000),
        (6_000_000, 5_000_011),
        (40_000, 1000),
    ] {
        let mut w = World::new(Payload::new(len, piece), len as u64);
        let (s, l) = (w.add(seed()), w.add(NodeConfig::default()));
        w.introduce(l, &[s]);
        w.run(minutes(1), |w| complete(w, &[l]));
        check(&w, &[l]);
        assert_eq!(w.node(l).torrent.stats(w.now).wasted, 0);
        assert_eq!(w.node(l).torrent.stats(w.now).downloaded, len as u64);
    }
}

#[test]
fn the_line_of_a_fast_seed_is_kept_full() {
    // 100 MB/s at 50 ms: 305 blocks have to be under way.
    let mut w = World::new(Payload::new(200 << 20, 1 << 20), 1);
    let fast = |have| NodeConfig {
        bandwidth: 100e6,
        latency: Duration::from_millis(25),
        // For each part.
        disk: Duration::from_millis(1),
        have,
        ..NodeConfig::default()
    };
    let (s, l) = (w.add(fast(true)), w.add(fast(false)));
    w.introduce(l, &[s]);
    w.run(minutes(1), |w| complete(w, &[l]));
    check(&w, &[l]);
    let ideal = 2.1;
    let took = w.elapsed().as_secs_f64();
    assert!(took < ideal * 1.25, "{took} s");
    // The seed reads runs, not blocks; a run is a part.
    let reads = &w.node(s).reads;
    let mean = reads.iter().map(|len| u64::from(*len)).sum::<u64>() / reads.len() as u64;
    assert!(mean > 100_000, "{mean} bytes a read");
}

#[test]
fn a_long_fat_line_is_filled_as_far_as_the_peer_takes_requests() {
    // 320 MB/s at 50 ms are 977 blocks: more than peers get that do not say how many they take.
    let rate = |plain: bool| {
        let mut w = World::new(Payload::new(160 << 20, 1 << 20), 1);
        let fast = |have| NodeConfig {
            bandwidth: 320e6,
            latency: Duration::from_millis(25),
            disk: Duration::from_micros(200),
            have,
            ..NodeConfig::default()
        };
        let (l, s) = (w.add(fast(false)), w.add(fast(true)));
        if plain {
            w.plain = vec![l, s];
        }
        w.introduce(l, &[s]);
        let half = |w: &World| w.node(l).torrent.have().count() >= 80;
        assert!(w.run(minutes(1), half));
        let (before, at) = (w.node(l).torrent.stats(w.now).downloaded, w.now);
        let mut most = 0;
        w.run(minutes(1), |w| {
            most = most.max(w.node(l).torrent.stats(w.now).requests);
            complete(w, &[l])
        });
        check(&w, &[l]);
        let bytes = w.node(l).torrent.stats(w.now).downloaded - before;
        (most, bytes as f64 / (w.now - at).as_secs_f64())
    };
    let (most, reached) = rate(false);
    assert!(reached > 0.95 * 320e6 && most > 977, "{reached} bytes a second, {most} requests");
    let (most, reached) = rate(true);
    assert!(reached < 0.6 * 320e6 && most <= 500, "{reached} bytes a second, {most} requests");
}

#[test]
fn a_peer_is_never_asked_for_more_at_a_time_than_it_says() {
    let mut w = World::new(Payload::new(4 << 20, 1 << 18), 1);
    let l = w.add(NodeConfig::default());
    let mut seed = Seed::new(|_| false);
    seed.queue = Some(10);
    let most = seed.most_at_once.clone();
    let s = w.add_script(seed);
    w.connect(s, l);
    w.run(minutes(5), |w| complete(w, &[l]));
    check(&w, &[l]);
    assert_eq!(most.get(), 10);
}

#[test]
fn first_block_comes_without_waiting_for_any_tick() {
    let mut w = World::new(Payload::new(1 << 20, 1 << 18), 1);
    let (s, l) = (w.add(seed()), w.add(NodeConfig::default()));
    w.introduce(l, &[s]);
    w.run(minutes(1), |w| w.node(l).torrent.stats(w.now).downloaded > 0);
    // Dial 20 ms, then bitfield, interested, unchoke, request and block at 10 ms each, and a read.
    assert!(w.elapsed() < Duration::from_millis(80), "{:?}", w.elapsed());
}

#[test]
fn a_swarm_of_leeches_finishes_little_later_than_the_seed_has_sent_it_once() {
    let mut w = World::new(Payload::new(20 << 20, 1 << 18), 7);
    let s = w.add(NodeConfig { have: true, bandwidth: 1e6, ..NodeConfig::default() });
    let nodes: Vec<usize> =
        (0..20).map(|_| w.add(NodeConfig { bandwidth: 1e6, ..NodeConfig::default() })).collect();
    let all: Vec<usize> = std::iter::once(s).chain(nodes.iter().copied()).collect();
    for node in &nodes {
        w.introduce(*node, &all);
    }
    w.run(minutes(30), |w| complete(w, &nodes));
    check(&w, &nodes);
    // The seed needs 21 s for one copy; one after the other would take 420 s.
    assert!(w.elapsed() < Duration::from_secs(80), "{:?}", w.elapsed());
    let up = w.node(s).torrent.stats(w.now).uploaded;
    assert!(up < 4 * w.payload.data.len() as u64, "seed sent {up}");
}

#[test]
fn two_hundred_nodes_complete() {
    let mut w = World::new(Payload::new(4 << 20, 1 << 16), 3);
    let s = w.add(NodeConfig { bandwidth: 5e6, ..seed() });
    let nodes: Vec<usize> = (0..200)
        .map(|n| {
            w.add(NodeConfig {
                bandwidth: 0.5e6 + f64::from(n) * 1e4,
                latency: Duration::from_millis(5 + n as u64 % 80),
                tweak: |cfg| cfg.max_peers = 30,
                ..NodeConfig::default()
            })
        })
        .collect();
    let mut rng = fastrand::Rng::with_seed(5);
    for node in &nodes {
        let mut known: Vec<usize> = (0..15).map(|_| rng.usize(0..=200)).filter(|n| n != node).collect();
        known.push(s);
        w.introduce(*node, &known);
    }
    w.run(minutes(30), |w| complete(w, &nodes));
    check(&w, &nodes);
}

#[test]
fn half_filled_buffers_of_many_slow_peers_do_not_lock_a_small_budget() {
    // 40 seeds, room for 4 parts.
    let mut w = World::new(Payload::new(16 << 20, 1 << 20), 11);
    let seeds: Vec<usize> = (0..40).map(|_| w.add(NodeConfig { bandwidth: 50e3, ..seed() })).collect();
    let l = w.add(NodeConfig { budget: 1 << 20, ..NodeConfig::default() });
    w.introduce(l, &seeds);
    w.run(minutes(10), |w| complete(w, &[l]));
    check(&w, &[l]);
    assert!(w.elapsed() < Duration::from_secs(30), "{:?}", w.elapsed());
}

#[test]
fn parts_of_peers_that_went_do_not_hold_the_budget() {
    let mut w = World::new(Payload::new(8 << 20, 1 << 18), 12);
    let l = w.add(NodeConfig { budget: 1 << 20, ..NodeConfig::default() });
    // Twenty that have the first eight pieces, send one block in three and no more, and then go.
    let bad: Vec<usize> = (0..20)
        .map(|_| {
            let mut seed = Seed::new(|_| false);
            seed.has = Message::Bitfield(vec![0xff, 0, 0, 0]);
            seed.answer = |block| block.begin % 49_152 == 0;
            w.add_script(seed)
        })
        .collect();
    bad.iter().for_each(|peer| w.connect(l, *peer));
    w.run(Duration::from_secs(10), |_| false);
    assert_eq!(w.node(l).pool.borrow().in_use(), 1 << 20);
    bad.iter().for_each(|peer| w.unplug(*peer));
    // One that has the others cannot fill what is begun.
    let s = w.add(NodeConfig {
        tweak: |cfg| {
            (8..32).for_each(|n| {
                cfg.have.set(kamaelia_torrent::proto::PieceIndex(n));
            })
        },
        ..NodeConfig::default()
    });
    w.introduce(l, &[s]);
    w.run(Duration::from_secs(30), |w| w.node(l).torrent.have().count() == 24);
    assert_eq!(w.node(l).torrent.have().count(), 24);
    let s = w.add(seed());
    w.introduce(l, &[s]);
    w.run(minutes(2), |w| complete(w, &[l]));
    check(&w, &[l]);
}

#[test]
fn a_silent_majority_does_not_hold_blocks_for_ever() {
    let mut w = World::new(Payload::new(8 << 20, 1 << 18), 13);
    let l = w.add(NodeConfig { budget: 2 << 20, ..NodeConfig::default() });
    for _ in 0..20 {
        let mut seed = Seed::new(|_| false);
        seed.answer = |_| false;
        let silent = w.add_script(seed);
        w.connect(l, silent);
    }
    let s = w.add(seed());
    w.introduce(l, &[s]);
    w.run(minutes(5), |w| complete(w, &[l]));
    check(&w, &[l]);
    assert!(w.elapsed() < Duration::from_secs(60), "{:?}", w.elapsed());
}

#[test]
fn lost_connections_are_made_again() {
    let mut w = World::new(Payload::new(20 << 20, 1 << 18), 14);
    let s = w.add(NodeConfig { bandwidth: 1e6, ..seed() });
    let l = w.add(NodeConfig::default());
    w.introduce(l, &[s]);
    for _ in 0..8 {
        w.run(Duration::from_secs(2), |w| complete(w, &[l]));
        w.unplug(s);
    }
    w.run(minutes(5), |w| complete(w, &[l]));
    check(&w, &[l]);
}

#[test]
fn a_faulty_disk_delays_and_loses_nothing() {
    let mut w = World::new(Payload::new(10 << 20, 1 << 20), 15);
    let s = w.add(seed());
    let l = w.add(NodeConfig { disk_faults: 20, ..NodeConfig::default() });
    w.introduce(l, &[s]);
    w.run(minutes(600), |w| complete(w, &[l]));
    check(&w, &[l]);
    assert!(w.node(l).disk_errors > 0);
}

/// While the parts of a piece that was refused are still at the disk, the same piece is fetched again.
#[test]
fn nobody_is_blamed_for_what_a_disk_refuses_that_is_tried_again_at_once() {
    let mut refused = 0;
    for run in 0..10 {
        let mut w = World::new(Payload::new(4 << 20, 1 << 20), run);
        let s = w.add(NodeConfig { bandwidth: 200e6, latency: Duration::from_micros(50), ..seed() });
        let l = w.add(NodeConfig {
            bandwidth: 200e6,
            latency: Duration::from_micros(50),
            disk: Duration::from_millis(20 + run * 20),
            disk_faults: 4,
            ..NodeConfig::default()
        });
        w.introduce(l, &[s]);
        while !w.run(Duration::from_millis(7), |w| complete(w, &[l])) {
            w.tell(l, |torrent, now| torrent.retry_disk(now));
            assert!(w.now < w.start + minutes(60), "{:?}", w.node(l).torrent.stats(w.now));
        }
        check(&w, &[l]);
        let stats = w.node(l).torrent.stats(w.now);
        assert_eq!(w.node(l).banned, [], "{run} {stats:?}");
        refused += w.node(l).disk_errors;
        assert_eq!((stats.failed_pieces, stats.waste.bad), (0, 0));
    }
    assert!(refused > 20, "{refused}");
}

#[test]
fn a_partial_torrent_goes_on_from_what_it_has() {
    let mut w = World::new(Payload::new(10 << 20, 1 << 18), 16);
    let s = w.add(seed());
    let l = w.add(NodeConfig {
        tweak: |cfg| {
            (0..40).step_by(2).for_each(|n| {
                cfg.have.set(kamaelia_torrent::proto::PieceIndex(n));
            })
        },
        ..NodeConfig::default()
    });
    w.introduce(l, &[s]);
    w.run(minutes(5), |w| complete(w, &[l]));
    check(&w, &[l]);
    assert_eq!(w.node(l).torrent.stats(w.now).downloaded, 5 << 20);
}

#[test]
fn two_halves_make_a_whole() {
    let mut w = World::new(Payload::new(10 << 20, 1 << 18), 17);
    let half = |odd: bool| NodeConfig {
        tweak: if odd { |cfg| give(cfg, 1) } else { |cfg| give(cfg, 0) },
        ..NodeConfig::default()
    };
    fn give(cfg: &mut kamaelia_torrent::proto::torrent::TorrentConfig, from: u32) {
        (from..40).step_by(2).for_each(|n| {
            cfg.have.set(kamaelia_torrent::proto::PieceIndex(n));
        });
    }
    let (a, b) = (w.add(half(true)), w.add(half(false)));
    w.introduce(a, &[b]);
    w.run(minutes(5), |w| complete(w, &[a, b]));
    check(&w, &[a, b]);
    // Both complete: nothing to say any more.
    w.run(minutes(1), |_| false);
    assert_eq!(w.node(a).torrent.stats(w.now).peers, 0);
}

#[test]
fn a_seed_serves_all_leeches_alike() {
    let mut w = World::new(Payload::new(30 << 20, 1 << 18), 18);
    let s = w.add(NodeConfig { bandwidth: 2e6, ..seed() });
    let got: Vec<_> = (0..30)
        .map(|_| {
            let leech = Leech::new(true, 64);
            let got = leech.got.clone();
            let id = w.add_script(leech);
            w.connect(id, s);
            got
        })
        .collect();
    w.run(minutes(30), |_| false);
    let (least, most) =
        (got.iter().map(|g| g.get()).min().unwrap(), got.iter().map(|g| g.get()).max().unwrap());
    assert!(most < 2 * least, "{least} to {most}");
}

#[test]
fn a_peer_that_ignores_all_limits_gets_every_block_it_asked_for() {
    // rtorrent keeps tens of thousands of requests open and has no fast extension.
    for fast in [false, true] {
        let mut w = World::new(Payload::new(30 << 20, 1 << 18), 19);
        let s = w.add(NodeConfig { bandwidth: 50e6, ..seed() });
        let mut leech = Leech::new(fast, 30_000);
        leech.most = 30_000;
        let got = leech.got.clone();
        let id = w.add_script(leech);
        w.connect(id, s);
        w.run(Duration::from_secs(20), |_| false);
        assert_eq!(got.get(), 30_000 * 16_384);
        assert!(w.node(s).lost.is_empty(), "{:?}", w.node(s).lost);
    }
}

#[test]
fn an_idle_torrent_costs_nothing() {
    let mut w = World::new(Payload::new(1 << 20, 1 << 18), 20);
    let s = w.add(seed());
    w.introduce(s, &[]);
    assert_eq!(w.node(s).torrent.deadline(), None);
    // With connections of no use it wakes for keep-alives alone.
    let other = w.add(NodeConfig { tweak: |cfg| cfg.dial = false, ..NodeConfig::default() });
    w.introduce(other, &[s]);
    w.run(minutes(60), |_| false);
    assert!(w.events < 100, "{}", w.events);
}

#[test]
fn lost_requests_are_made_again() {
    // Drops every tenth request without a word, as a full queue does without the fast extension.
    thread_local!(static COUNT: std::cell::Cell<u32> = const { std::cell::Cell::new(0) });
    let mut w = World::new(Payload::new(2 << 20, 1 << 18), 21);
    let l = w.add(NodeConfig::default());
    let mut seed = Seed::new(|_| false);
    seed.answer = |_| {
        COUNT.set(COUNT.get() + 1);
        !COUNT.get().is_multiple_of(10)
    };
    let seed = w.add_script(seed);
    w.connect(l, seed);
    w.run(minutes(30), |w| complete(w, &[l]));
    check(&w, &[l]);
}

#[test]
fn two_that_dial_each_other_keep_one_connection() {
    let mut w = World::new(Payload::new(8 << 20, 1 << 18), 22);
    let slow = |have| NodeConfig { have, bandwidth: 100e3, ..NodeConfig::default() };
    let (a, b) = (w.add(slow(true)), w.add(slow(false)));
    w.introduce(a, &[b]);
    w.introduce(b, &[a]);
    w.run(minutes(1), |_| false);
    for (node, direction) in [(a, Direction::Incoming), (b, Direction::Outgoing)] {
        let peers: Vec<_> = w.node(node).torrent.peers(w.now).collect();
        assert_eq!(peers.len(), 1);
        // That of the greater peer id.
        assert_eq!(peers[0].direction, direction);
    }
    assert!(w.node(b).torrent.have().count() > 15);
    // Nobody goes on dialling in vain.
    let refused = w.events;
    w.run(Duration::from_secs(1), |_| false);
    assert!(w.events - refused < 200, "{}", w.events - refused);
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let run = || {
        let mut w = World::new(Payload::new(4 << 20, 1 << 16), 23);
        let nodes: Vec<usize> = (0..10)
            .map(|n| w.add(NodeConfig { have: n == 0, bandwidth: 1e6, ..NodeConfig::default() }))
            .collect();
        nodes.iter().for_each(|node| w.introduce(*node, &nodes));
        w.run(minutes(10), |w| complete(w, &nodes[1..]));
        check(&w, &nodes[1..]);
        (w.elapsed(), w.events)
    };
    assert_eq!(run(), run());
}
