//! When how much is due.

use std::time::{Duration, Instant};

use crate::error::Error;

/// A rate, and the portions in which it is to be asked for: the arguments of the request controls.
///
/// The unit is whoever reads it: bytes, lines, frames.
///
/// ```
/// use axon::util::ByteRate;
/// ByteRate::new(12.0).chunk_size(4.0).check()?; // 3 requests a second, each for 4
/// ByteRate::new(12.0).chunk_rate(2.0).check()?; // 2 requests a second, each for 6
/// ByteRate::new(12.0).chunk_rate(24.0).check().unwrap_err(); // half a byte
/// # Ok::<(), axon::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ByteRate {
    rate: f64,
    chunk: Option<Chunk>,
    aggregates: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Chunk {
    Size(f64),
    Rate(f64),
}

impl ByteRate {
    /// So many items a second, asked for in portions of a thousandth of that, but at least 1.
    pub fn new(rate: f64) -> Self {
        Self { rate, chunk: None, aggregates: false }
    }

    /// In portions of so many items; it takes the place of a [`chunk_rate`](ByteRate::chunk_rate).
    #[must_use]
    pub fn chunk_size(mut self, items: f64) -> Self {
        self.chunk = Some(Chunk::Size(items));
        self
    }

    /// In so many portions a second; it takes the place of a [`chunk_size`](ByteRate::chunk_size).
    #[must_use]
    pub fn chunk_rate(mut self, per_second: f64) -> Self {
        self.chunk = Some(Chunk::Rate(per_second));
        self
    }

    /// Lets a late request ask for several portions at once (`allowchunkaggregation`). Without it there are several
    /// requests then.
    #[must_use]
    pub fn aggregates(mut self) -> Self {
        self.aggregates = true;
        self
    }

    /// In portions of the original's VariableByteRate_RequestControl, ten a second, unless it says otherwise.
    pub(super) fn or_ten_a_second(mut self) -> Self {
        self.chunk.get_or_insert(Chunk::Rate(10.0));
        self
    }

    fn portion(&self) -> f64 {
        match self.chunk {
            Some(Chunk::Size(items)) => items,
            Some(Chunk::Rate(per_second)) => self.rate / per_second,
            // The original divides integers here, or means to (D-28).
            None => (self.rate / 1000.0).floor().max(1.0),
        }
    }

    /// Looks whether the numbers make sense; otherwise the component finds out in its first step.
    ///
    /// # Errors
    /// [`Error::Construction`] if the rate is not above zero, or the portion is less than one item.
    pub fn check(&self) -> Result<(), Error> {
        let portion = self.portion();
        if !(self.rate.is_finite() && self.rate > 0.0) {
            return Err(Error::Construction(format!("{} items a second is no rate to ask for", self.rate)));
        }
        if !(portion.is_finite() && portion >= 1.0) {
            return Err(Error::Construction(format!(
                "{} items a second cannot be asked for in portions of {portion} items: 1 is the least",
                self.rate
            )));
        }
        Ok(())
    }
}

/// As the original: 100,000 items a second.
impl Default for ByteRate {
    fn default() -> Self {
        Self::new(100_000.0)
    }
}

/// Works out the requests. Portion number `k` is due at a moment that is worked out from `k`, so that no rounding adds
/// up, and the amount asked for by then is `k + 1` portions, rounded down.
pub(super) struct Pace {
    portion: f64,
    rate: f64,
    aggregates: bool,
    /// A moment, and the place in the sequence of portions that was reached at it.
    origin: (Instant, f64),
    /// Portions that have been due.
    due: u64,
    /// Items asked for.
    asked: f64,
}

impl Pace {
    /// The first portion is due at `now`.
    pub(super) fn new(rate: ByteRate, now: Instant) -> Result<Self, Error> {
        rate.check()?;
        Ok(Self {
            portion: rate.portion(),
            rate: rate.rate,
            aggregates: rate.aggregates,
            origin: (now, 0.0),
            due: 0,
            asked: 0.0,
        })
    }

    /// When the next portion is due; never, if the rate is 0 or it is too far off to tell.
    pub(super) fn next(&self) -> Option<Instant> {
        self.moment_of(self.due)
    }

    fn moment_of(&self, portion: u64) -> Option<Instant> {
        let portions = (portion as f64 - self.origin.1).max(0.0);
        let ahead = Duration::try_from_secs_f64(portions * self.portion / self.rate).ok()?;
        self.origin.0.checked_add(ahead)
    }

    fn place(&self, now: Instant) -> f64 {
        self.origin.1 + now.saturating_duration_since(self.origin.0).as_secs_f64() * self.rate / self.portion
    }

    /// Notes which portions are due at `now`.
    pub(super) fn advance(&mut self, now: Instant) {
        // After a long sleep many are due at once; the place in the sequence says about how many.
        self.due = self.due.max(self.place(now) as u64);
        while self.next().is_some_and(|at| at <= now) {
            self.due += 1;
        }
    }

    /// What to ask for now, if anything is due.
    pub(super) fn request(&mut self) -> Option<usize> {
        // A third of a portion three times is to be a whole one.
        let owed = self.due as f64 * self.portion - self.asked + 1e-6;
        let request = if self.aggregates { owed } else { owed.min(self.portion + 1e-6) }.floor();
        (request >= 1.0).then(|| {
            self.asked += request;
            request as usize
        })
    }

    /// Goes on at another rate from `now` on. The share of the next portion that has passed at the old rate counts.
    pub(super) fn change_rate(&mut self, rate: f64, now: Instant) {
        self.origin = (now, self.place(now));
        self.rate = rate;
    }
}
