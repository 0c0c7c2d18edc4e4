//! Parts on their way to the disk workers, which get them in batches.
//!
//! A worker that has nothing to do sleeps. To wake it, to be rung by it and to take its answer costs about as much as
//! hashing 20 KiB; a fast download would pay that for each part. So parts wait until there is a good deal of them, for a
//! few milliseconds at most, and not at all while somebody needs their memory.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Engine;
use crate::disk::{Disk, Storage};
use crate::proto::buffer::{PART_LEN, PartBuf};
use crate::proto::geometry::Fetch;

/// What has come and was not given to the disk yet.
#[derive(Default)]
pub(super) struct HandOver {
    parts: Vec<Part>,
    bytes: usize,
    /// When the first of them came.
    since: Option<Instant>,
}

struct Part {
    storage: Arc<Storage>,
    fetch: Fetch,
    offset: u32,
    data: PartBuf,
    last: bool,
}

impl HandOver {
    pub(super) fn put(
        &mut self,
        now: Instant,
        storage: &Arc<Storage>,
        (fetch, offset, data, last): (Fetch, u32, PartBuf, bool),
        disk: &Disk,
    ) {
        self.since.get_or_insert(now);
        self.bytes += data.len();
        self.parts.push(Part { storage: Arc::clone(storage), fetch, offset, data, last });
        if self.bytes >= BATCH && last || self.bytes >= 2 * BATCH {
            self.give_all(disk);
        }
    }

    /// When what is here has waited long enough.
    pub(super) fn due(&self) -> Option<Instant> {
        self.since.map(|since| since + LONGEST)
    }

    /// Gives all to the workers, in the order in which it came.
    pub(super) fn give_all(&mut self, disk: &Disk) {
        for Part { storage, fetch, offset, data, last } in self.parts.drain(..) {
            disk.write(&storage, fetch, offset, data, last);
        }
        (self.bytes, self.since) = (0, None);
    }
}

impl Engine {
    /// Gives the workers what has waited long enough, or all if memory is short.
    pub(super) fn hand_over(&mut self, now: Instant) {
        let Some(due) = self.hand_over.due() else { return };
        if due <= now || self.pool.is_short() || !self.hungry.is_empty() {
            self.hand_over.give_all(&self.disk);
        }
    }
}

/// So much goes at once.
const BATCH: usize = 3 * PART_LEN as usize;

/// Nothing waits longer: about what a batch takes to come at 200 MiB/s.
const LONGEST: Duration = Duration::from_millis(5);
