//! Doing what a swarm asks for.

use std::time::Instant;

use super::event::Event;
use super::trouble::Ends;
use super::{Engine, index_of};
use crate::proto::torrent::{Torrent, TorrentOutput};

impl Engine {
    /// Does everything that the swarm of a torrent has asked for so far.
    pub(super) fn pump(&mut self, now: Instant, t: usize) {
        loop {
            let Some(slot) = self.torrents.get_mut(t) else { return };
            let Some(swarm) = &mut slot.swarm else { return };
            let Some(output) = swarm.poll() else { break };
            let whole = swarm.is_seed();
            let id = slot.id;
            // Rare: hardly ever are files moved.
            let output = if slot.ops.is_some() {
                match self.hold_back(t, output) {
                    Some(output) => output,
                    None => continue,
                }
            } else {
                output
            };
            let slot = &mut self.torrents[t];
            match output {
                TorrentOutput::Write { fetch, offset, data, last } => {
                    slot.jobs += 1;
                    self.hand_over.put(now, &slot.storage, (fetch, offset, data, last), &self.disk);
                }
                TorrentOutput::Read { peer, blocks } => {
                    if slot.look_at.is_none() {
                        let next = self.next_look(now);
                        self.torrents[t].look_at = Some(next);
                    }
                    self.read_blocks(t, peer, blocks);
                }
                TorrentOutput::WantBlockHashes(piece) => {
                    slot.jobs += 1;
                    self.disk.block_hashes(&slot.storage, piece);
                }
                TorrentOutput::WantsToSend(peer) => self.throttle.up.ask(t, peer),
                TorrentOutput::OutputReady(peer) => {
                    if let Some(link) = self.link(peer) {
                        link.output = true;
                        self.enqueue(index_of(peer));
                    }
                }
                TorrentOutput::Resume(peer) => {
                    if let Some(link) = self.link(peer) {
                        link.paused = false;
                        self.enqueue(index_of(peer));
                    }
                }
                TorrentOutput::Disconnect(peer, error) => {
                    slot.links.retain(|other| *other != peer);
                    if let Some(link) = self.link(peer) {
                        link.torrent = None;
                        let reason = error.to_string();
                        self.gone(t, index_of(peer), &reason);
                        self.close(now, index_of(peer), &reason);
                    }
                }
                TorrentOutput::Ban(ip) => {
                    if self.banned.len() < MAX_BANNED {
                        self.banned.insert(ip);
                    }
                }
                TorrentOutput::Verified(piece) => {
                    if slot.save_at.is_none() {
                        slot.save_at = Some(now + self.settings.save_interval);
                    }
                    // While it rests, what was under way may still find room.
                    if slot.trouble.is_some() && !slot.swarm.as_deref().is_some_and(Torrent::rests_at_disk) {
                        self.out_of_trouble(t, Ends::Write);
                    }
                    self.emit(Event::PieceVerified { id, piece });
                    self.read_on(now, id);
                }
                TorrentOutput::Completed => {
                    slot.save_at = Some(now);
                    // BEP 3: to trackers only the whole torrent counts.
                    if let Some(announcer) = slot.announcer.as_mut().filter(|_| whole) {
                        announcer.completed(now);
                    }
                    if slot.settling > 0 {
                        slot.completes = true;
                    } else {
                        self.emit(Event::Completed { id });
                        self.move_completed(t);
                    }
                }
                TorrentOutput::Abandon(piece) => {
                    self.hand_over.abandon(&slot.storage, piece, &self.disk);
                }
                TorrentOutput::DiskFailed(error) => self.in_trouble(t, error, Ends::Write),
            }
        }
        if let Some(slot) = self.torrents.get_mut(t)
            && slot.swarm.as_deref().is_some_and(Torrent::wants_buffers)
            && !std::mem::replace(&mut slot.hungry, true)
        {
            self.hungry.push_back(t);
        }
    }

    /// Offers buffers that came back to the swarms that wait for some, each in turn.
    pub(super) fn feed(&mut self, now: Instant) {
        for _ in 0..self.hungry.len() {
            let Some(t) = self.hungry.pop_front() else { return };
            let Some(slot) = self.torrents.get_mut(t) else { continue };
            slot.hungry = false;
            if let Some(swarm) = &mut slot.swarm {
                swarm.fill(now, &mut self.pool);
                // Puts it back at the end if it did not get all it wants.
                self.pump(now, t);
                self.touch(t);
            }
        }
    }
}

/// Addresses banned at a time; beyond that the swarms still refuse the peers themselves.
const MAX_BANNED: usize = 10_000;
