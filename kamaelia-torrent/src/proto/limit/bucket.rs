//! The bucket of tokens that is behind each limit.

use std::num::NonZeroU64;
use std::time::{Duration, Instant};

/// Tokens that come at a steady rate, up to a capacity; each stands for a byte. There may be a debt.
#[derive(Clone, Debug)]
pub(super) struct Bucket {
    /// Bytes per second.
    pub(super) rate: f64,
    pub(super) tokens: f64,
    last: Instant,
}

impl Bucket {
    pub(super) fn set(place: &mut Option<Bucket>, now: Instant, limit: Option<NonZeroU64>) {
        let Some(limit) = limit.filter(|limit| limit.get() < NO_LIMIT) else {
            *place = None;
            return;
        };
        let rate = limit.get() as f64;
        let mut bucket = place.take().unwrap_or(Bucket { rate, tokens: f64::MAX, last: now });
        bucket.refill(now);
        bucket.rate = rate;
        // A new limit counts at once: neither an old debt nor old savings that are large by its measure.
        bucket.tokens = bucket.tokens.clamp(-rate, bucket.capacity());
        *place = Some(bucket);
    }

    fn refill(&mut self, now: Instant) {
        let elapsed = now.saturating_duration_since(self.last).as_secs_f64();
        self.last = self.last.max(now);
        self.tokens = (self.tokens + elapsed * self.rate).min(self.capacity());
    }

    /// How much one turn may have now, if that is worth a turn.
    pub(super) fn offer(&mut self, now: Instant) -> Option<u32> {
        self.refill(now);
        let turn = self.turn();
        (self.tokens >= turn).then_some(turn as u32)
    }

    pub(super) fn charge(&mut self, now: Instant, bytes: u64) {
        self.refill(now);
        let most_owed = -(self.rate * MOST_OWED.as_secs_f64() + f64::from(LEAST_OWED));
        self.tokens = (self.tokens - bytes as f64).max(most_owed.min(self.tokens));
    }

    /// When there is enough to go on with.
    pub(super) fn filled_at(&self) -> Instant {
        let missing = self.turn().max(self.rate * REST.as_secs_f64()) - self.tokens;
        // A hair late rather than early: an early look would find nothing.
        let wait = Duration::try_from_secs_f64(missing.max(0.0) / self.rate).unwrap_or(LONGEST_REST);
        self.last + wait.min(LONGEST_REST) + Duration::from_nanos(1)
    }

    /// Bytes of one turn: small enough that all get theirs often, large enough that a turn is worth its cost.
    fn turn(&self) -> f64 {
        let least = (self.rate / 4.0).clamp(1.0, LEAST_TURN.into());
        (self.rate * TURN.as_secs_f64()).clamp(least, MOST_GRANT.into()).floor()
    }

    /// What may be saved up.
    pub(super) fn capacity(&self) -> f64 {
        (self.rate * SAVED.as_secs_f64()).max(self.turn())
    }
}

/// A limit from here on, bytes per second, is none: no machine transfers as much.
const NO_LIMIT: u64 = 1 << 44;

/// Time that one turn takes at the limit.
const TURN: Duration = Duration::from_millis(20);

/// Most and, unless the limit is very low, least bytes of one turn.
pub(super) const MOST_GRANT: u32 = 256 * 1024;
const LEAST_TURN: u32 = 4096;

/// Who transferred nothing may catch up on this much time. It makes up for a loop that turns late, and is short enough
/// that a limit holds within a few per cent over seconds.
const SAVED: Duration = Duration::from_millis(200);

/// An empty bucket is looked at again after this time at the soonest, for the sake of the processor.
const REST: Duration = Duration::from_millis(5);

/// The longest wait for a bucket; later it is looked at again.
const LONGEST_REST: Duration = Duration::from_secs(3600);

/// Debt for what was transferred without leave: time at the limit, and bytes on top.
const MOST_OWED: Duration = Duration::from_secs(2);
const LEAST_OWED: u32 = 16 * 1024;
