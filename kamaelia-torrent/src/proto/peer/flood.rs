//! Token buckets against floods of cheap messages.

use std::time::Instant;

/// Allows `burst` events at once and `per_second` in the long run.
#[derive(Copy, Clone, Debug)]
pub struct TokenBucket {
    tokens: f32,
    burst: f32,
    per_second: f32,
    last: Instant,
}

impl TokenBucket {
    /// A full bucket.
    pub fn new(now: Instant, burst: u16, per_second: f32) -> TokenBucket {
        TokenBucket { tokens: burst.into(), burst: burst.into(), per_second, last: now }
    }

    /// Takes a token; false if there is none.
    pub fn take(&mut self, now: Instant) -> bool {
        let elapsed = now.saturating_duration_since(self.last).as_secs_f32();
        self.last = self.last.max(now);
        self.tokens = (self.tokens + elapsed * self.per_second).min(self.burst);
        let granted = self.tokens >= 1.0;
        if granted {
            self.tokens -= 1.0;
        }
        granted
    }

    /// When the next token will be there, given that there is none now.
    pub fn next(&self) -> Instant {
        let missing = (1.0 - self.tokens).max(0.0) / self.per_second.max(f32::EPSILON);
        // A hair late rather than early: an early tick would find nothing to do.
        self.last + std::time::Duration::from_secs_f32(missing.min(3600.0) + 0.000_1)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn burst_then_rate() {
        let start = Instant::now();
        let mut bucket = TokenBucket::new(start, 3, 2.0);
        assert_eq!((0..5).filter(|_| bucket.take(start)).count(), 3);
        assert!(bucket.next() > start && bucket.next() < start + Duration::from_millis(510));
        assert!(bucket.take(bucket.next()));
        let later = start + Duration::from_secs(60);
        assert_eq!((0..5).filter(|_| bucket.take(later)).count(), 3);
        assert!(!bucket.take(start));
    }
}
