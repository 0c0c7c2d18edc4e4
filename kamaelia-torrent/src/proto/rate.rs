//! Transfer rates from amounts and times, in constant time and space.

use std::time::{Duration, Instant};

/// Bytes per second, averaged exponentially over [`WINDOW`].
///
/// The mean is corrected for its youth: after one second of a steady flow it shows that flow, not a fifth of it.
#[derive(Copy, Clone, Debug)]
pub struct Rate {
    start: Instant,
    last: Instant,
    mean: f64,
    total: u64,
}

impl Rate {
    /// Nothing has flowed yet.
    pub fn new(now: Instant) -> Rate {
        Rate { start: now, last: now, mean: 0.0, total: 0 }
    }

    /// Counts `bytes`. A `now` before the last one counts as the last one.
    pub fn add(&mut self, now: Instant, bytes: u64) {
        if now > self.last {
            self.mean *= decay(now - self.last);
            self.last = now;
        }
        self.mean += bytes as f64 / WINDOW.as_secs_f64();
        self.total += bytes;
    }

    /// Bytes per second at `now`.
    pub fn at(&self, now: Instant) -> f64 {
        let age = now.saturating_duration_since(self.start).max(YOUNGEST);
        self.mean * decay(now.saturating_duration_since(self.last)) / (1.0 - decay(age))
    }

    /// All bytes so far.
    pub fn total(&self) -> u64 {
        self.total
    }
}

fn decay(elapsed: Duration) -> f64 {
    (-elapsed.as_secs_f64() / WINDOW.as_secs_f64()).exp()
}

/// Time over which rates are averaged: long enough to see through the half-second pulses of some clients.
pub const WINDOW: Duration = Duration::from_secs(5);

/// A rate younger than this is taken as this old, so that the first block does not count as gigabytes per second.
const YOUNGEST: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;

    fn steady(seconds: f64) -> f64 {
        let start = Instant::now();
        let mut rate = Rate::new(start);
        let steps = (seconds * 100.0) as u32;
        for step in 1..=steps {
            rate.add(start + Duration::from_millis(10) * step, 1000);
        }
        rate.at(start + Duration::from_millis(10) * steps)
    }

    #[test]
    fn steady_flow_is_seen_at_once_and_stays() {
        for seconds in [0.2, 1.0, 5.0, 60.0] {
            let rate = steady(seconds);
            assert!((95_000.0..105_000.0).contains(&rate), "{rate} after {seconds} s");
        }
    }

    #[test]
    fn silence_decays() {
        let start = Instant::now();
        let mut rate = Rate::new(start);
        rate.add(start, 1_000_000);
        assert!(rate.at(start + Duration::from_secs(60)) < 10.0);
        assert_eq!(rate.total(), 1_000_000);
    }

    #[test]
    fn time_running_backwards_is_harmless() {
        let start = Instant::now();
        let later = start + Duration::from_secs(1);
        let mut rate = Rate::new(later);
        rate.add(start, 10);
        assert!(rate.at(start).is_finite() && rate.at(later) > 0.0);
    }
}
