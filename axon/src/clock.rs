//! Clocks: the system's, and one that stands still until it is told to move.

use std::cell::Cell;
use std::time::{Duration, Instant};

/// Where a scheduler takes its time from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Clock {
    /// The system's monotonic clock.
    #[default]
    System,
    /// Virtual time: it stands still while any process can run, and jumps to the next timer when all are asleep. A
    /// program of sleeping components then runs as fast as it can, and twice alike.
    Virtual,
}

/// The time of one scheduler.
pub(crate) struct Time {
    clock: Clock,
    /// The origin of virtual time; it is real so that it can be compared with other instants.
    base: Instant,
    now: Cell<Duration>,
}

impl Time {
    pub(crate) fn new(clock: Clock) -> Self {
        Self { clock, base: Instant::now(), now: Cell::new(Duration::ZERO) }
    }

    pub(crate) fn now(&self) -> Instant {
        match self.clock {
            Clock::System => Instant::now(),
            Clock::Virtual => self.base + self.now.get(),
        }
    }

    /// Moves virtual time on to `to`. False with the system's clock: there one has to wait.
    pub(crate) fn jump(&self, to: Instant) -> bool {
        let ahead = to.saturating_duration_since(self.base);
        match self.clock {
            Clock::System => false,
            Clock::Virtual => {
                self.now.set(self.now.get().max(ahead));
                true
            }
        }
    }
}
