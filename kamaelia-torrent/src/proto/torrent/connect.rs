//! Connections: whom to dial, whom to let in, and what is left when one ends.

use std::{net::SocketAddr, time::Instant};

use super::{Direction, Message, PeerError, PeerKey, PeerSource, Refusal, SourceId, Torrent, TorrentOutput};
use crate::proto::{
    extension::{self, ExtensionHandshake},
    handshake::Handshake,
    peer::{Opening, Peer},
};

impl Torrent {
    /// Whether more connections are wanted, and there is nobody left to dial: time to ask a tracker.
    pub fn wants_connections(&self) -> bool {
        !self.wants_nothing() && self.peers.len() < self.cfg.max_peers / 2 && self.candidates.waiting() == 0
    }

    /// Learns addresses. Those known, banned or unusable are dropped.
    pub fn add_candidates(&mut self, now: Instant, addrs: &[SocketAddr], source: PeerSource) {
        for addr in addrs {
            if !self.sources.is_banned(*addr, None) {
                self.candidates.add(now, *addr, source);
            }
        }
    }

    /// An address to dial now, if any; the caller answers with [`peer_connected`](Torrent::peer_connected) or
    /// [`connect_failed`](Torrent::connect_failed). Paced: after `None`, ask again at the
    /// [`deadline`](Torrent::deadline).
    pub fn next_connect(&mut self, now: Instant) -> Option<SocketAddr> {
        if self.wants_to_dial() { self.candidates.next(now, self.wants_nothing()) } else { None }
    }

    /// A dial, or the handshake after it, failed.
    pub fn connect_failed(&mut self, now: Instant, addr: SocketAddr) {
        self.candidates.failed(now, addr);
    }

    /// Whether an incoming connection from here has a chance; asked before its handshake is answered.
    ///
    /// # Errors
    ///
    /// The address is banned.
    pub fn accepts(&self, addr: SocketAddr) -> Result<(), Refusal> {
        if self.sources.is_banned(addr, None) { Err(Refusal::Banned) } else { Ok(()) }
    }

    /// A connection is open and both handshakes are done; `handshake` is the peer's.
    ///
    /// # Errors
    ///
    /// The connection is not taken up and must be closed; the key is not used. When two connections to one peer
    /// meet, the older may be the one that goes ([`TorrentOutput::Disconnect`]).
    pub fn peer_connected(
        &mut self,
        now: Instant,
        key: PeerKey,
        addr: SocketAddr,
        direction: Direction,
        handshake: &Handshake,
    ) -> Result<(), Refusal> {
        if let Err(refusal) = self.admit(now, key, addr, direction, handshake) {
            if direction == Direction::Outgoing {
                match refusal {
                    Refusal::Myself | Refusal::Banned => self.candidates.ban(addr),
                    Refusal::Duplicate => self.candidates.known_otherwise(now, addr),
                    _ => self.candidates.failed(now, addr),
                }
            }
            return Err(refusal);
        }
        if direction == Direction::Outgoing {
            self.candidates.connected(addr);
        }
        // Of these it learns by the bitfield.
        self.tell_all(now);
        let source = self.sources.intern(addr, handshake.peer_id);
        if let Some(source) = self.sources.get_mut(source) {
            source.connections += 1;
        }
        let opening = Opening {
            key,
            addr,
            direction,
            id: handshake.peer_id,
            reserved: handshake.reserved,
            source,
            nothing: self.nothing.clone(),
            uploads: self.cfg.uploads.clone(),
            first_requests: self.cfg.min_requests,
            most_requests: self.cfg.max_requests.min(extension::UNTOLD_QUEUE),
        };
        let peer = Peer::new(now, opening);
        let (fast, deadline) = (peer.fast, peer.deadline());
        let slot = self.peers.insert(peer);
        self.by_key.insert(key, slot);
        self.wake_at(deadline);
        let partials = &self.partials;
        self.sources.prune(|| partials.iter().flat_map(|(_, partial)| partial.senders()).collect());
        if fast && self.have.is_full() {
            self.send(now, slot, &Message::HaveAll);
        } else if fast && self.have.is_empty_set() {
            self.send(now, slot, &Message::HaveNone);
        } else if !self.have.is_empty_set() {
            self.send(now, slot, &Message::Bitfield(self.have.to_wire()));
        }
        if handshake.reserved.extended() {
            // Behind the bitfield, which some clients take only as the first message.
            let ours = ExtensionHandshake::ours().encode();
            self.send(now, slot, &Message::Extended(extension::HANDSHAKE, ours));
        }
        Ok(())
    }

    /// A connection ended.
    pub fn peer_closed(&mut self, now: Instant, key: PeerKey) {
        if let Some(slot) = self.by_key.get(&key) {
            self.remove(now, *slot);
        }
    }

    pub(super) fn wants_to_dial(&self) -> bool {
        self.cfg.dial && self.peers.len() + self.candidates.dialling() < self.cfg.max_peers
    }

    fn admit(
        &mut self,
        now: Instant,
        key: PeerKey,
        addr: SocketAddr,
        direction: Direction,
        handshake: &Handshake,
    ) -> Result<(), Refusal> {
        if handshake.info_hash != self.cfg.info_hash {
            return Err(Refusal::WrongTorrent(handshake.info_hash));
        }
        if handshake.peer_id == self.cfg.peer_id {
            return Err(Refusal::Myself);
        }
        if self.sources.is_banned(addr, Some(handshake.peer_id)) || self.candidates.is_banned(addr) {
            return Err(Refusal::Banned);
        }
        let same =
            |peer: &Peer| peer.id == handshake.peer_id || (peer.addr == addr && peer.direction == direction);
        let twin = self.peers.iter().find(|(_, peer)| same(peer)).map(|(slot, peer)| (slot, peer.direction));
        if self.by_key.contains_key(&key) {
            return Err(Refusal::Duplicate);
        }
        if let Some((slot, old)) = twin {
            // Both dialled at once: both ends must keep the same connection, that of the greater peer id.
            let ours_stays = self.cfg.peer_id > handshake.peer_id;
            let stays = if ours_stays { Direction::Outgoing } else { Direction::Incoming };
            if old == direction || direction != stays {
                return Err(Refusal::Duplicate);
            }
            self.disconnect(now, slot, PeerError::Replaced);
        } else if self.peers.len() >= self.cfg.max_peers {
            let idle = |peer: &Peer| super::slots::idle(peer, now);
            let Some(slot) = self.peers.iter().find(|(_, peer)| idle(peer)).map(|(slot, _)| slot) else {
                return Err(Refusal::Full);
            };
            self.disconnect(now, slot, PeerError::Replaced);
        }
        Ok(())
    }

    /// Forgets a peer and tells the caller to close its connection.
    pub(super) fn disconnect(&mut self, now: Instant, slot: usize, why: PeerError) {
        if let Some(peer) = self.remove(now, slot) {
            self.outputs.push_back(TorrentOutput::Disconnect(peer.key, why));
        }
    }

    /// Forgets a peer.
    pub(super) fn remove(&mut self, now: Instant, slot: usize) -> Option<Peer> {
        self.release_all(slot);
        let peer = self.peers.try_remove(slot)?;
        // What is kept of a block that did not come whole is asked for again.
        self.waste.cut_off += peer.arriving.map_or(0, |arriving| u64::from(arriving.offset));
        self.by_key.remove(&peer.key);
        self.interested -= usize::from(peer.interested);
        self.choker.forget(slot);
        self.partials.iter_mut().for_each(|(_, partial)| partial.forget_peer(slot));
        if peer.has.is_full() {
            self.picker.seed(false);
        } else {
            self.picker.peer(&peer.has, false);
        }
        if let Some(source) = self.sources.get_mut(peer.source) {
            source.connections = source.connections.saturating_sub(1);
        }
        if peer.direction == Direction::Outgoing {
            let productive = peer.down.total() + peer.up.total() > 0;
            self.candidates.closed(now, peer.addr, productive);
        }
        self.candidates.due(now);
        self.count_givers();
        if self.peers.is_empty() {
            self.rest();
        }
        self.refill_slots(now);
        // Others may take over what it was asked for.
        self.wake_at(now);
        Some(peer)
    }

    /// Bans whoever stands behind a source, and all of its connections.
    pub(super) fn ban(&mut self, now: Instant, id: SourceId) {
        let Some(source) = self.sources.get_mut(id) else { return };
        if std::mem::replace(&mut source.banned, true) {
            return;
        }
        if let Some(ip) = self.sources.host(id) {
            self.candidates.ban_host(ip);
            self.outputs.push_back(TorrentOutput::Ban(ip));
        }
        let slots: Vec<_> = self.peers.iter().filter(|(_, p)| p.source == id).map(|(slot, _)| slot).collect();
        for slot in slots {
            self.candidates.ban(self.peers[slot].addr);
            self.disconnect(now, slot, PeerError::BadData);
        }
        // What it sent and what is still here is fetched again.
        let mut free_again = Vec::new();
        for (_, partial) in &mut self.partials {
            let before = partial.free();
            self.waste.bad += partial.discard(id);
            self.free_blocks += partial.free() - before;
            free_again.extend((partial.free() > before).then_some(partial.piece));
        }
        free_again.into_iter().for_each(|piece| self.urgent_again(piece));
    }
}
