//! Blocks that peers ask for: read here and now if the system has them in memory, else by a disk worker.
//!
//! The way to a worker and back wakes two threads, which costs more than the reading itself where the data is in
//! memory; and what was read here is still in this core's cache when it is sent. The loop waits for no file all the
//! same: it only takes what the system promises to give at once.

use std::time::Instant;

use super::trouble::Ends;
use super::{Engine, index_of};
use crate::proto::geometry::BlockRequest;
use crate::proto::torrent::PeerKey;

/// How well it went lately to take a torrent's blocks from memory.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Cached {
    /// Reads that go to the workers before it is tried again.
    skip: u8,
    /// Failures in a row, up to a limit.
    failed: u8,
}

impl Cached {
    /// Whether to try it now.
    fn is_worth_a_try(&mut self) -> bool {
        let now = self.skip == 0;
        self.skip = self.skip.saturating_sub(1);
        now
    }

    /// Learns what came of it. A torrent that is not in memory is tried ever more rarely, so that it costs next to
    /// nothing, and starts hardly any reading ahead from this thread.
    fn tried(&mut self, ok: bool) {
        self.failed = if ok { 0 } else { (self.failed + 1).min(MOST_FAILED) };
        self.skip = (1 << self.failed) - 1;
    }
}

impl Engine {
    /// Reads blocks for a peer.
    pub(super) fn read_blocks(&mut self, t: usize, peer: PeerKey, blocks: Vec<BlockRequest>) {
        let slot = &mut self.torrents[t];
        let mut buf = self.spare.pop().unwrap_or_default();
        if slot.cached.is_worth_a_try() {
            let ok = self.disk.read_now(&slot.storage, &blocks, &mut buf);
            slot.cached.tried(ok);
            if ok {
                self.blocks_read(t, peer, &blocks, buf);
                return;
            }
        }
        slot.jobs += 1;
        slot.reads += 1;
        self.disk.read(&slot.storage, peer.0, blocks, buf);
    }

    /// Hands blocks that a worker has read to the connection.
    pub(super) fn worker_read(
        &mut self,
        now: Instant,
        t: usize,
        peer: PeerKey,
        blocks: &[BlockRequest],
        buf: Vec<u8>,
    ) {
        let Some(waiting) = self.blocks_read(t, peer, blocks, buf) else { return };
        if let Some(swarm) = &mut self.torrents[t].swarm {
            swarm.blocks_read(now, peer, waiting);
            self.pump(now, t);
        }
    }

    /// Hands blocks that were read to the connection; answers how many such buffers are in front of them.
    fn blocks_read(
        &mut self,
        t: usize,
        peer: PeerKey,
        blocks: &[BlockRequest],
        buf: Vec<u8>,
    ) -> Option<usize> {
        if self.torrents[t].trouble.is_some() {
            self.out_of_trouble(t, Ends::Read);
        }
        let Some(link) = self.link(peer) else {
            // The peer left in the meantime.
            self.spare.push(buf);
            return None;
        };
        let waiting = link.conn.waiting_reads();
        let payload = blocks.iter().map(|block| u64::from(block.len)).sum();
        link.conn.push_blocks(buf, blocks.len() as u32, payload);
        self.enqueue(index_of(peer));
        Some(waiting)
    }
}

/// After so many failures in a row every 64th read is tried.
const MOST_FAILED: u8 = 6;

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads of 1,000 that are tried if those from `first` on are in memory.
    fn tries(first: usize) -> Vec<usize> {
        let mut cached = Cached::default();
        let mut tries = Vec::new();
        for i in 0..1000 {
            if cached.is_worth_a_try() {
                cached.tried(i >= first);
                tries.push(i);
            }
        }
        tries
    }

    #[test]
    fn what_is_in_memory_is_tried_each_time() {
        assert_eq!(tries(0).len(), 1000);
    }

    #[test]
    fn what_is_not_in_memory_is_tried_ever_more_rarely() {
        assert_eq!(tries(1000)[..8], [0, 2, 6, 14, 30, 62, 126, 190]);
    }

    #[test]
    fn what_has_come_into_memory_is_found_within_64_reads() {
        let tries = tries(500);
        let found = tries.iter().position(|i| *i >= 500).unwrap();
        assert!(tries[found] < 564);
        assert_eq!(tries.len() - found, 1000 - tries[found]);
    }
}
