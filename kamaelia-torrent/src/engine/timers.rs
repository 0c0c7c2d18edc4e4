//! When what is due: a heap of deadlines, in which what is no longer wanted is left until it comes up.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Instant;

use crate::proto::torrent::PeerKey;

/// Whose deadline it is.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Timer {
    /// A torrent, by its place in the table.
    Torrent(usize),
    /// A connection that is not up yet.
    Link(PeerKey),
    /// Accepting goes on.
    Accept,
    /// Limits allow more.
    Limits,
    /// Upload slots are shared anew.
    Slots,
}

/// Deadlines. Whoever is told to look again finds out itself whether anything is due, so a deadline that moved later or
/// was given up costs one look, and nothing is searched or removed.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    heap: BinaryHeap<Reverse<(Instant, Timer)>>,
}

impl Timers {
    /// Adds a deadline. The owner avoids adding one that is not earlier than one it has in the heap.
    pub(crate) fn add(&mut self, at: Instant, timer: Timer) {
        self.heap.push(Reverse((at, timer)));
    }

    /// The earliest deadline.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.heap.peek().map(|Reverse((at, _))| *at)
    }

    /// Takes out one deadline that has passed.
    pub(crate) fn pop(&mut self, now: Instant) -> Option<(Instant, Timer)> {
        if self.next()? > now {
            return None;
        }
        self.heap.pop().map(|Reverse(due)| due)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn deadlines_come_in_order() {
        let start = Instant::now();
        let at = |s| start + Duration::from_secs(s);
        let mut timers = Timers::default();
        timers.add(at(3), Timer::Torrent(3));
        timers.add(at(1), Timer::Torrent(1));
        timers.add(at(2), Timer::Accept);
        assert_eq!(timers.pop(start), None);
        assert_eq!(timers.next(), Some(at(1)));
        assert_eq!(timers.pop(at(2)), Some((at(1), Timer::Torrent(1))));
        assert_eq!(timers.pop(at(2)), Some((at(2), Timer::Accept)));
        assert_eq!(timers.pop(at(2)), None);
    }
}
