//! Whether each write takes long, however short it is.
//!
//! Usually a write copies to the system's cache, and what counts is the processor. Where each waits for a medium or for
//! another machine, fewer and longer writes count, and that all workers wait at the same time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// What one worker finds out for all.
#[derive(Debug)]
pub(super) struct Pace {
    slow: Arc<AtomicBool>,
    /// By how much the shortest of the latest writes took longer than its bytes do.
    shortest: Duration,
    /// How many these are.
    writes: u32,
}

impl Pace {
    /// `slow` is what it sets.
    pub(super) fn new(slow: Arc<AtomicBool>) -> Pace {
        Pace { slow, shortest: Duration::MAX, writes: 0 }
    }

    /// Does a write of so many bytes and looks at the clock.
    pub(super) fn write<T>(&mut self, bytes: usize, write: impl FnOnce() -> T) -> T {
        let begin = Instant::now();
        let result = write();
        self.note(bytes, begin.elapsed());
        result
    }

    fn note(&mut self, bytes: usize, took: Duration) {
        // One alone tells nothing: another program may have had the processor.
        self.shortest =
            self.shortest.min(took.saturating_sub(Duration::from_nanos(bytes as u64 / BYTES_PER_NS)));
        self.writes += 1;
        if self.writes == LOOKED_AT {
            self.slow.store(self.shortest > LONG, Ordering::Relaxed);
            (self.shortest, self.writes) = (Duration::MAX, 0);
        }
    }
}

/// What is copied meanwhile at least: two GB/s.
const BYTES_PER_NS: u64 = 2;
/// What a write may take beyond that: ten times what one of 128 KiB takes to the system's cache.
const LONG: Duration = Duration::from_micros(500);
/// So many writes are judged together.
const LOOKED_AT: u32 = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_slow_when_all_of_the_latest_writes_took_long() {
        let slow = Arc::new(AtomicBool::new(false));
        let mut pace = Pace::new(Arc::clone(&slow));
        let mut told = |took: [u64; 8], bytes| {
            took.iter().for_each(|us| pace.note(bytes, Duration::from_micros(*us)));
            slow.load(Ordering::Relaxed)
        };
        assert!(!told([900, 900, 900, 900, 900, 900, 900, 100], 1000), "one was quick");
        assert!(told([900; 8], 1000));
        assert!(told([900; 8], 128 * 1024));
        assert!(!told([900; 8], 1 << 20), "there was much to write");
        assert!(told([1100; 8], 1 << 20));
        assert!(!told([50; 8], 1000));
    }
}
