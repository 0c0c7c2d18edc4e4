//! Limits of rates: held, shared, and no reason to part.

use std::{num::NonZeroU64, time::Duration};

use kamaelia_torrent::proto::{BLOCK_LEN, PieceIndex, limit::Limits, torrent::TorrentConfig};

use crate::{
    scripts::Leech,
    world::{NodeConfig, Payload, World},
};

fn down(rate: u64) -> Limits {
    Limits { down: NonZeroU64::new(rate), up: None }
}

fn up(rate: u64) -> Limits {
    Limits { down: None, up: NonZeroU64::new(rate) }
}

fn near(is: u64, wanted: f64, tolerance: f64) {
    assert!((is as f64 - wanted).abs() <= wanted * tolerance, "{is} instead of {wanted}");
}

fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// Adds seeds and introduces the node to them.
fn seeds(w: &mut World, node: usize, count: usize, limits: Limits) -> Vec<usize> {
    let seeds: Vec<_> =
        (0..count).map(|_| w.add(NodeConfig { have: true, limits, ..NodeConfig::default() })).collect();
    w.introduce(node, &seeds);
    seeds
}

#[test]
fn a_download_keeps_to_its_limit_and_uses_it() {
    for (limit, peers) in [(100_000, 1), (400_000, 8), (2_000_000, 3)] {
        let mut w = World::new(Payload::new(48 << 20, 1 << 18), limit);
        let l = w.add(NodeConfig { limits: down(limit), ..NodeConfig::default() });
        seeds(&mut w, l, peers, Limits::NONE);
        w.run(seconds(5), |_| false);
        let before = w.node(l).torrent.stats(w.now).downloaded;
        w.run(seconds(15), |_| false);
        let after = w.node(l).torrent.stats(w.now).downloaded;
        near(after - before, 15.0 * limit as f64, 0.05);
        near(after, 20.0 * limit as f64, 0.05);
        assert!(w.node(l).lost.is_empty(), "{:?}", w.node(l).lost);
    }
}

#[test]
fn an_upload_is_shared_evenly_and_keeps_to_its_limit() {
    let limit = 400_000;
    let mut w = World::new(Payload::new(16 << 20, 1 << 18), 2);
    let s = w.add(NodeConfig { have: true, limits: up(limit), ..NodeConfig::default() });
    // Each wants what the others cannot give it.
    let leeches: Vec<_> = (0..5)
        .map(|_| {
            let l = w.add(NodeConfig::default());
            w.introduce(l, &[s]);
            l
        })
        .collect();
    w.run(seconds(20), |_| false);
    near(w.node(s).torrent.stats(w.now).uploaded, 20.0 * limit as f64, 0.05);
    for l in leeches {
        near(w.node(l).torrent.stats(w.now).downloaded, 4.0 * limit as f64, 0.1);
    }
}

fn set(cfg: &mut TorrentConfig, piece: u32) {
    cfg.have.set(PieceIndex(piece));
}

#[test]
fn requests_pass_by_the_blocks_of_a_limited_upload() {
    // Both have half; one may send next to nothing, which must not slow what it receives.
    let mut w = World::new(Payload::new(8 << 20, 1 << 16), 3);
    let half = |odd: u32| NodeConfig {
        tweak: if odd == 0 {
            |cfg| (0..64).for_each(|i| set(cfg, 2 * i))
        } else {
            |cfg| (0..64).for_each(|i| set(cfg, 2 * i + 1))
        },
        bandwidth: 1e6,
        ..NodeConfig::default()
    };
    let a = w.add(NodeConfig { limits: up(10_000), ..half(0) });
    let b = w.add(half(1));
    w.introduce(a, &[b]);
    let done = w.run(seconds(12), |w| w.node(a).completed.is_some());
    assert!(done, "{:?}", w.node(a).torrent.stats(w.now));
    let sent = w.node(a).torrent.stats(w.now).uploaded;
    assert!(sent <= 140_000, "{sent}");
}

#[test]
fn the_lowest_limits_make_progress_and_cut_nobody() {
    for (limit, peers) in [(400, 1), (1000, 1), (2000, 20), (20_000, 50)] {
        let mut w = World::new(Payload::new(16 << 20, 1 << 18), limit);
        let l = w.add(NodeConfig { limits: down(limit), ..NodeConfig::default() });
        seeds(&mut w, l, peers, Limits::NONE);
        w.run(seconds(600), |_| false);
        let stats = w.node(l).torrent.stats(w.now);
        near(stats.downloaded, 600.0 * limit as f64, 0.05);
        assert_eq!(stats.wasted, 0);
        assert_eq!(stats.peers, peers);
        assert!(w.node(l).lost.is_empty(), "{:?}", w.node(l).lost);
        // Nobody was taken to be late.
        assert!(w.node(l).torrent.peers(w.now).all(|peer| !peer.snubbed));
    }
}

#[test]
fn a_limited_upload_of_less_than_a_block_a_second_makes_progress() {
    let mut w = World::new(Payload::new(8 << 20, 1 << 18), 4);
    let s = w.add(NodeConfig { have: true, limits: up(1024), ..NodeConfig::default() });
    let leech = Leech::new(true, 5);
    let got = leech.got.clone();
    let leech = w.add_script(leech);
    w.connect(leech, s);
    w.run(seconds(600), |_| false);
    near(got.get(), 600.0 * 1024.0, 0.06);
    assert!(w.node(s).lost.is_empty(), "{:?}", w.node(s).lost);
}

#[test]
fn a_limited_download_asks_for_no_more_than_comes_in_a_few_seconds() {
    // So few that all are asked, and so many that only some are.
    for peers in [10, 40] {
        let limit = 200_000;
        let mut w = World::new(Payload::new(16 << 20, 1 << 20), 5);
        let l = w.add(NodeConfig { limits: down(limit), ..NodeConfig::default() });
        seeds(&mut w, l, peers, Limits::NONE);
        // Bytes asked for and not here, or not read.
        let waiting = |w: &World| {
            (w.node(l).torrent.stats(w.now).requests * BLOCK_LEN as usize).max(w.unread(l)) as u64
        };
        for tenth in 0..200 {
            w.run(Duration::from_millis(100), |_| false);
            // Those who unchoke first are asked for the share of all who have done so.
            let most = if tenth < 100 { 12 * limit } else { 5 * limit };
            assert!(waiting(&w) <= most, "{} bytes of {peers} after {:?}", waiting(&w), w.elapsed());
        }
    }
}

#[test]
fn a_change_of_limits_counts_at_once() {
    let mut w = World::new(Payload::new(48 << 20, 1 << 20), 6);
    let l = w.add(NodeConfig { limits: down(1), ..NodeConfig::default() });
    let s = w.add(NodeConfig { have: true, limits: up(1), bandwidth: 4e6, ..NodeConfig::default() });
    w.introduce(l, &[s]);
    w.run(seconds(10), |_| false);
    let at = |w: &World| w.node(l).torrent.stats(w.now).downloaded;
    assert!(at(&w) < 20, "{}", at(&w));
    w.set_limits(l, Limits::NONE);
    w.set_limits(s, up(1_000_000));
    let before = at(&w);
    w.run(seconds(5), |_| false);
    near(at(&w) - before, 5e6, 0.1);
    w.set_limits(s, Limits::NONE);
    let before = at(&w);
    w.run(seconds(5), |_| false);
    // The line of the seed is full again.
    near(at(&w) - before, 5.0 * 4e6, 0.2);
    w.set_limits(l, down(500_000));
    w.run(seconds(1), |_| false);
    let before = at(&w);
    w.run(seconds(10), |_| false);
    near(at(&w) - before, 5e6, 0.05);
}
