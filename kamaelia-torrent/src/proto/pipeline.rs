//! How many blocks to ask of one peer at a time.
//!
//! Too few and the line idles for a round trip; too many and a peer that turns bad or slow holds blocks that others
//! could send. It starts high enough for a short transfer, doubles with every round trip (a block more for each that
//! came) as long as that makes the peer faster, and then follows the rate.

use std::time::{Duration, Instant};

use super::geometry::BLOCK_LEN;

/// Number of requests that one peer should have open.
#[derive(Clone, Debug)]
pub struct Pipeline {
    most: u32,
    open: u32,
    growing: bool,
    snubbed: bool,
    measured: Option<(Instant, f64)>,
}

impl Pipeline {
    /// Starts with `first` requests; never more than `most`.
    pub fn new(first: u32, most: u32) -> Pipeline {
        let most = most.max(1);
        Pipeline { most, open: first.clamp(1, most), growing: true, snubbed: false, measured: None }
    }

    /// Requests to have open.
    pub fn depth(&self) -> u32 {
        if self.snubbed { 1 } else { self.open }
    }

    /// The most that the peer takes, as it said itself.
    pub fn set_limit(&mut self, most: u32) {
        self.most = most.max(1);
        self.open = self.open.min(self.most);
    }

    /// A block came; `rate` is what the peer sends, bytes per second.
    pub fn received(&mut self, now: Instant, rate: f64) {
        self.snubbed = false;
        if self.growing {
            self.open = self.open.saturating_add(1).min(self.most);
        }
        let (since, before) = *self.measured.get_or_insert((now, 0.0));
        if now.saturating_duration_since(since) >= INTERVAL {
            self.growing &= rate > before * WORTH_GROWING;
            self.measured = Some((now, rate));
            if !self.growing {
                let by_rate = rate * AHEAD.as_secs_f64() / f64::from(BLOCK_LEN);
                // Saturates; the rate is finite and not negative.
                self.open = (by_rate as u32).clamp(FEWEST.min(self.most), self.most);
            }
        }
    }

    /// The peer did not answer in time: one request at a time until it does.
    pub fn snub(&mut self) {
        self.snubbed = true;
        self.growing = false;
        self.open = FEWEST.min(self.most);
    }

    /// Whether the peer is answering too late.
    pub fn is_snubbed(&self) -> bool {
        self.snubbed
    }
}

/// Requests cover this much time at the present rate: some clients serve in steps of half a second, and a round
/// trip through a full buffer can take as long.
const AHEAD: Duration = Duration::from_secs(2);

/// A slow peer keeps this many open, so that its line does not idle for a round trip.
const FEWEST: u32 = 4;

/// How often growth is judged.
const INTERVAL: Duration = Duration::from_secs(1);

/// Growth goes on while the rate rises by this factor per [`INTERVAL`].
const WORTH_GROWING: f64 = 1.05;

#[cfg(test)]
mod tests {
    use super::*;

    /// A line with this bandwidth (blocks per second) and round trip; answers the depth and rate reached.
    fn settle(blocks_per_second: u32, rtt: Duration, most: u32) -> (u32, f64) {
        let start = Instant::now();
        let mut pipeline = Pipeline::new(64, most);
        let (mut now, mut done) = (start, 0.0);
        while now < start + Duration::from_secs(20) {
            let rate = f64::from(blocks_per_second).min(f64::from(pipeline.depth()) / rtt.as_secs_f64());
            now += Duration::from_millis(10);
            done += rate / 100.0;
            while done >= 1.0 {
                done -= 1.0;
                pipeline.received(now, rate * f64::from(BLOCK_LEN));
            }
        }
        let depth = pipeline.depth();
        (depth, f64::from(blocks_per_second).min(f64::from(depth) / rtt.as_secs_f64()))
    }

    #[test]
    fn fills_a_long_fat_line() {
        // 10 Gbit/s at 50 ms needs 3,815 blocks.
        let (depth, rate) = settle(76_000, Duration::from_millis(50), 10_000);
        assert!((3_800..=10_000).contains(&depth), "{depth}");
        assert!(rate > 75_000.0);
    }

    #[test]
    fn slow_peers_hold_few_blocks() {
        let (depth, rate) = settle(5, Duration::from_millis(100), 500);
        assert!((4..=12).contains(&depth), "{depth}");
        assert!(rate >= 5.0);
    }

    #[test]
    fn never_exceeds_what_the_peer_takes() {
        let mut pipeline = Pipeline::new(64, 500);
        pipeline.set_limit(10);
        let now = Instant::now();
        for i in 0..10_000 {
            pipeline.received(now + Duration::from_millis(i), 1e9);
        }
        assert_eq!(pipeline.depth(), 10);
    }

    #[test]
    fn a_snubbed_peer_gets_one_request_until_it_answers() {
        let now = Instant::now();
        let mut pipeline = Pipeline::new(64, 500);
        pipeline.snub();
        assert_eq!((pipeline.depth(), pipeline.is_snubbed()), (1, true));
        pipeline.received(now, 0.0);
        assert_eq!((pipeline.depth(), pipeline.is_snubbed()), (4, false));
    }
}
