//! Limits on what a torrent transfers.
//!
//! The torrent does not know what others transfer, so it does not count: its owner does, with a
//! [`Limiter`](crate::proto::limit::Limiter) for all. A block is read and sent when there is
//! [leave](Torrent::send_some); a connection that may not be read is [held](Torrent::hold), and the time that passes
//! is not held against the peer.

use std::time::{Duration, Instant};

use super::{BLOCK_LEN, PeerKey, Torrent, TorrentOutput};
use crate::proto::{limit::Limits, peer::Peer};

impl Torrent {
    /// What the torrent may transfer at most, alone and together with others. With a limit on what is sent,
    /// [`TorrentOutput::WantsToSend`] comes before every read.
    pub fn set_limits(&mut self, now: Instant, limits: Limits) {
        self.pace = limits.down.map(Into::into);
        self.choker.set_line(limits.up.map(Into::into));
        let before = std::mem::replace(&mut self.metered, limits.up.is_some());
        if before && !self.metered {
            let slots: Vec<usize> = self.peers.iter().map(|(slot, _)| slot).collect();
            slots.into_iter().for_each(|slot| self.serve(now, slot));
        }
        if !self.peers.is_empty() {
            // More may be asked for than before.
            self.news += 1;
            self.wake_at(now);
        }
    }

    /// Whether blocks may come from a connection. What others say is little and is not held up; a limit counts it
    /// afterwards.
    pub fn expects_blocks(&self, key: PeerKey) -> bool {
        let peer = self.by_key.get(&key).and_then(|slot| self.peers.get(*slot));
        peer.is_some_and(|peer| !peer.asked.is_empty() || peer.arriving.is_some() || peer.late > 0)
    }

    /// The connection has something to be read and has to wait for its turn. `pace` is what the torrent may expect at
    /// present, bytes per second: no more is asked for than comes in a few seconds.
    pub fn hold(&mut self, now: Instant, key: PeerKey, pace: Option<u64>) {
        self.pace = pace;
        if let Some(peer) = self.by_key.get(&key).and_then(|slot| self.peers.get_mut(*slot)) {
            peer.held.get_or_insert(now);
        }
    }

    /// The connection may be read again.
    pub fn let_go(&mut self, now: Instant, key: PeerKey) {
        if let Some(peer) = self.by_key.get(&key).and_then(|slot| self.peers.get_mut(*slot))
            && let Some(since) = peer.held.take()
        {
            peer.was_unread(now, since);
            let deadline = peer.deadline();
            self.wake_at(deadline);
        }
    }

    /// Leave to send up to `bytes` to a connection, at least one block, after [`TorrentOutput::WantsToSend`]. Answers
    /// how many bytes of the peer protocol are being read for it; if the peer wants more, it asks again.
    pub fn send_some(&mut self, now: Instant, key: PeerKey, bytes: u32) -> u64 {
        let Some(&slot) = self.by_key.get(&key) else { return 0 };
        let Some(peer) = self.peers.get_mut(slot) else { return 0 };
        peer.asks_leave = false;
        if !self.metered {
            // It was served when the limit was lifted.
            return 0;
        }
        let sent = self.serve_up_to(now, slot, bytes);
        self.ask_leave(slot);
        sent
    }

    /// Asks for leave to send, if there is anything to send and nobody asked yet.
    pub(super) fn ask_leave(&mut self, slot: usize) {
        if let Some(peer) = self.peers.get_mut(slot)
            && !peer.asks_leave
            && peer.may_read()
        {
            peer.asks_leave = true;
            self.outputs.push_back(TorrentOutput::WantsToSend(peer.key));
        }
    }

    /// Blocks that one peer may have open because of the limit.
    pub(super) fn paced_share(&self, slot: usize) -> u32 {
        let Some(blocks) = self.open_blocks() else { return u32::MAX };
        // The givers do not include those who choke us and give a few pieces all the same.
        let gives = self.peers.get(slot).is_some_and(|peer| !peer.choking_us);
        if gives { (blocks / self.givers.max(1) as u32).max(LEAST_OPEN) } else { LEAST_OPEN }
    }

    /// Whether so much is asked for already that one more peer would only wait: the blocks of few come sooner than
    /// those of many. Looks at all peers, but only where the limit is less than a few blocks a second for each.
    pub(super) fn has_enough_open(&self) -> bool {
        let tight = |blocks: &u32| (*blocks as usize) < LEAST_OPEN as usize * self.peers.len();
        let open = || self.peers.iter().map(|(_, peer)| peer.asked.len()).sum::<usize>();
        self.open_blocks().filter(tight).is_some_and(|blocks| open() >= blocks as usize)
    }

    /// Blocks that are to be open at the limit.
    fn open_blocks(&self) -> Option<u32> {
        let ahead = |pace: u64| pace.saturating_mul(AHEAD.as_secs()) / u64::from(BLOCK_LEN);
        self.pace.map(|pace| u32::try_from(ahead(pace)).unwrap_or(u32::MAX).max(2 * LEAST_OPEN))
    }
}

impl Peer {
    /// Whether more may be read for it now.
    pub(super) fn may_read(&self) -> bool {
        self.reading.count() < self.reads && !self.queue.is_empty()
    }
}

/// Requests cover this much time at the limit: enough for the half-second steps of some clients and a long line, and
/// little that waits in the network.
const AHEAD: Duration = Duration::from_secs(3);

/// Blocks that a peer has open that is asked at all.
const LEAST_OPEN: u32 = 2;

/// When those are asked again that found enough asked for already.
pub(super) const LOOK_AGAIN: Duration = Duration::from_millis(250);
