//! What peers say.

use std::{sync::Arc, time::Instant};

use super::{Bitfield, Message, PeerError, PeerKey, PieceIndex, Torrent};
use crate::proto::{
    buffer::BufferPool,
    extension::{self, ExtensionHandshake},
    geometry::BlockRequest,
    peer::fast::{ALLOWED_FAST, allowed_fast_set},
    wire::{Decoder, Event},
};

impl Torrent {
    /// Takes bytes from a connection: all of `data`. What is incomplete is kept inside.
    ///
    /// Data of a connection that the torrent does not know is ignored.
    ///
    /// # Errors
    ///
    /// The peer broke a rule: it is forgotten already, the caller closes the connection (no
    /// [`TorrentOutput::Disconnect`](super::TorrentOutput::Disconnect) follows).
    pub fn receive(
        &mut self,
        now: Instant,
        key: PeerKey,
        data: &[u8],
        pool: &mut BufferPool,
    ) -> Result<(), PeerError> {
        self.take_in(now, key, pool, |torrent, slot, decoder, pool| {
            torrent.decode(now, slot, decoder, data, pool)
        })
    }

    /// Lets `read` make sense of what came, and does what follows from it.
    pub(super) fn take_in(
        &mut self,
        now: Instant,
        key: PeerKey,
        pool: &mut BufferPool,
        read: impl FnOnce(&mut Torrent, usize, &mut Decoder, &mut BufferPool) -> Result<(), PeerError>,
    ) -> Result<(), PeerError> {
        let Some(&slot) = self.by_key.get(&key) else { return Ok(()) };
        let Some(peer) = self.peers.get_mut(slot) else { return Ok(()) };
        peer.heard = now;
        let mut decoder = std::mem::replace(&mut peer.decoder, Decoder::new(0));
        let result = read(self, slot, &mut decoder, pool);
        match result {
            Ok(()) => {
                if let Some(peer) = self.peers.get_mut(slot) {
                    peer.decoder = decoder;
                }
                self.ask(now, slot, pool);
                self.serve(now, slot);
                self.part_if_both_complete(now, slot);
            }
            Err(_) => {
                self.remove(now, slot);
            }
        }
        result
    }

    pub(super) fn decode(
        &mut self,
        now: Instant,
        slot: usize,
        decoder: &mut Decoder,
        mut data: &[u8],
        pool: &mut BufferPool,
    ) -> Result<(), PeerError> {
        while let Some(event) = decoder.next(&mut data)? {
            match event {
                Event::BlockData { data, last } => {
                    // A block is at most 16 KiB.
                    self.block_came(now, slot, data.len() as u32, Some(data), last);
                }
                Event::BlockStart(block) => self.block_start(now, slot, block, pool)?,
                Event::Message(message) => self.message(now, slot, message)?,
            }
        }
        Ok(())
    }

    fn message(&mut self, now: Instant, slot: usize, message: Message) -> Result<(), PeerError> {
        let Some(peer) = self.peers.get_mut(slot) else { return Ok(()) };
        let flood = |name, allowed: bool| if allowed { Ok(()) } else { Err(PeerError::Flood(name)) };
        let floods = &mut peer.floods;
        match &message {
            Message::KeepAlive => return flood("keep-alive", floods.keep_alive.take(now)),
            Message::Choke | Message::Unchoke => flood("choke", floods.choke.take(now))?,
            Message::Interested | Message::NotInterested => flood("interested", floods.interest.take(now))?,
            Message::Cancel(_) => flood("cancel", floods.cancel.take(now))?,
            Message::Port(_)
            | Message::Suggest(_)
            | Message::AllowedFast(_)
            | Message::Extended(..)
            | Message::Unknown(..) => flood("odd", floods.other.take(now))?,
            _ => {}
        }
        let (fast, first) = (peer.fast, !std::mem::replace(&mut peer.spoke, true));
        let agreed = |name| if fast { Ok(()) } else { Err(PeerError::NotAgreed(name)) };
        match message {
            Message::Choke => self.choked_by(now, slot),
            Message::Unchoke => self.unchoked_by(now, slot),
            Message::Interested => self.set_interested(now, slot, true),
            Message::NotInterested => self.set_interested(now, slot, false),
            Message::Have(piece) => {
                self.check_piece("have", piece)?;
                self.has_piece(now, slot, piece)?;
            }
            Message::Bitfield(bits) => {
                let bits = Bitfield::from_wire(&bits, self.have.len())?;
                match self.check_first("bitfield", slot, first) {
                    Ok(()) => self.has_pieces(now, slot, bits),
                    Err(_) => self.has_more(now, slot, &bits)?,
                }
            }
            Message::HaveAll => {
                agreed("have_all")?;
                self.check_first("have_all", slot, first)?;
                self.has_pieces(now, slot, Bitfield::full(self.have.len()));
            }
            Message::HaveNone => {
                agreed("have_none")?;
                self.check_first("have_none", slot, first)?;
                self.has_pieces(now, slot, Bitfield::new(self.have.len()));
            }
            Message::Request(block) => self.requested(now, slot, block)?,
            Message::Cancel(block) => self.cancelled(now, slot, block)?,
            Message::Suggest(piece) => {
                agreed("suggest")?;
                self.check_piece("suggest", piece)?;
            }
            Message::Reject(block) => {
                agreed("reject")?;
                self.rejected(now, slot, block)?;
            }
            Message::AllowedFast(piece) => {
                agreed("allowed_fast")?;
                self.check_piece("allowed_fast", piece)?;
                if let Some(peer) = self.peers.get_mut(slot)
                    && peer.allowed_us.len() < MOST_ALLOWED
                    && !peer.allowed_us.contains(&piece)
                {
                    peer.allowed_us.push(piece);
                    (peer.nothing_at, peer.no_urgent_at) = (None, None);
                }
            }
            // The bitfield may come after these.
            Message::Extended(number, payload) => {
                peer.spoke = !first;
                if number == extension::HANDSHAKE {
                    self.extensions_of(slot, &payload);
                }
            }
            // No DHT here.
            Message::Port(_) | Message::Unknown(..) => peer.spoke = !first,
            Message::KeepAlive => {}
        }
        Ok(())
    }

    /// A peer says what it can do beyond BEP 3. It may say so again later; what makes no sense is passed over.
    fn extensions_of(&mut self, slot: usize, payload: &[u8]) {
        let Some(peer) = self.peers.get_mut(slot) else { return };
        match ExtensionHandshake::parse(payload) {
            Ok(theirs) => {
                if let Some(queue) = theirs.request_queue {
                    peer.pipeline.set_limit(queue.min(self.cfg.max_requests));
                    peer.nothing_at = None;
                }
            }
            Err(e) => log::debug!("extension handshake of {}: {e}", peer.addr),
        }
    }

    fn check_piece(&self, name: &'static str, piece: PieceIndex) -> Result<(), PeerError> {
        if piece.0 < self.have.len() {
            return Ok(());
        }
        Err(PeerError::NoSuchPiece(name, piece.0, self.have.len()))
    }

    fn check_first(&self, name: &'static str, slot: usize, first: bool) -> Result<(), PeerError> {
        // Without `spoke`, a second bitfield would count its pieces twice; webtorrent once looped for ever.
        let untouched = self.peers.get(slot).is_some_and(|peer| peer.has.is_empty_set());
        if first && untouched { Ok(()) } else { Err(PeerError::Late(name)) }
    }

    fn has_pieces(&mut self, now: Instant, slot: usize, has: Bitfield) {
        let Some(peer) = self.peers.get_mut(slot) else { return };
        peer.wanted = if has.is_full() {
            self.picker.seed(true);
            self.picker.missing()
        } else {
            self.picker.peer(&has, true);
            has.iter_ones().filter(|piece| self.picker.is_wanted(*piece)).count() as u32
        };
        let offer = peer.fast && (has.count() as usize) < ALLOWED_FAST;
        peer.has = match has.count() {
            count if count == has.len() => self.everything.clone(),
            0 => self.nothing.clone(),
            _ => Arc::new(has),
        };
        let (addr, ours) = (peer.addr, peer.direction);
        if self.peers[slot].has.is_full() && ours == super::Direction::Outgoing {
            self.candidates.set_seed(addr);
        }
        if offer && !self.have.is_empty_set() && !self.choker.is_closed() {
            self.offer_allowed_fast(now, slot);
        }
        self.update_interest(now, slot);
    }

    /// A bitfield in the middle of a connection. BEP 3 knows none, but aria2 sends one instead of many `have` when it
    /// got several pieces at once, so it is taken for those. Nothing in it is counted twice; pieces do not go away.
    fn has_more(&mut self, now: Instant, slot: usize, bits: &Bitfield) -> Result<(), PeerError> {
        let Some(peer) = self.peers.get_mut(slot) else { return Ok(()) };
        if !bits.any_and_not(&peer.has) {
            return if peer.floods.have.take(now) { Ok(()) } else { Err(PeerError::Flood("bitfield")) };
        }
        let news: Vec<PieceIndex> = bits.iter_ones().filter(|piece| !peer.has.get(*piece)).collect();
        for piece in news {
            self.has_piece(now, slot, piece)?;
        }
        Ok(())
    }

    fn offer_allowed_fast(&mut self, now: Instant, slot: usize) {
        let Some(peer) = self.peers.get_mut(slot) else { return };
        let mut set = allowed_fast_set(ALLOWED_FAST, self.have.len(), self.cfg.info_hash, peer.addr.ip());
        set.retain(|piece| self.have.get(*piece) && !peer.has.get(*piece));
        // Twice what it needs: a piece may fail at its side for reasons of its own.
        peer.allowed_left = set.iter().map(|piece| 2 * u64::from(self.cfg.geometry.piece_size(*piece))).sum();
        peer.allowed.clone_from(&set);
        for piece in set {
            self.send(now, slot, &Message::AllowedFast(piece));
        }
    }

    fn has_piece(&mut self, now: Instant, slot: usize, piece: PieceIndex) -> Result<(), PeerError> {
        let Some(peer) = self.peers.get_mut(slot) else { return Ok(()) };
        if peer.has.get(piece) {
            return if peer.floods.have.take(now) { Ok(()) } else { Err(PeerError::Flood("have")) };
        }
        Arc::make_mut(&mut peer.has).set(piece);
        (peer.nothing_at, peer.no_urgent_at) = (None, None);
        if peer.has.is_full() {
            // From now on it is counted as a seed, not by piece; the last piece was not counted yet.
            let mut before = Bitfield::clone(&peer.has);
            before.clear(piece);
            self.picker.peer(&before, false);
            self.picker.seed(true);
            peer.has = self.everything.clone();
            if peer.direction == super::Direction::Outgoing {
                self.candidates.set_seed(peer.addr);
            }
        } else {
            self.picker.count(piece, true);
        }
        if self.picker.is_wanted(piece) {
            peer.wanted += 1;
            self.update_interest(now, slot);
        }
        Ok(())
    }

    /// Tells the peer whether it has anything for us, if that has changed.
    pub(super) fn update_interest(&mut self, now: Instant, slot: usize) {
        let Some(peer) = self.peers.get_mut(slot) else { return };
        let interesting = peer.wanted > 0;
        if interesting == peer.interesting {
            return;
        }
        peer.interesting = interesting;
        peer.relevant = now;
        let deadline = peer.deadline();
        self.wake_at(deadline);
        self.send(now, slot, if interesting { &Message::Interested } else { &Message::NotInterested });
        self.count_givers();
    }

    fn choked_by(&mut self, now: Instant, slot: usize) {
        let Some(peer) = self.peers.get_mut(slot) else { return };
        if std::mem::replace(&mut peer.choking_us, true) {
            return;
        }
        if !peer.fast {
            // BEP 3: all requests are void. Those with the fast extension are rejected one by one.
            self.release_all(slot);
        }
        self.leave_partials(slot);
        self.count_givers();
        self.wake_at(now);
    }

    fn unchoked_by(&mut self, now: Instant, slot: usize) {
        let Some(peer) = self.peers.get_mut(slot) else { return };
        if !std::mem::replace(&mut peer.choking_us, false) {
            return;
        }
        (peer.progress, peer.useful) = (now, now);
        (peer.nothing_at, peer.no_urgent_at) = (None, None);
        peer.asked.iter_mut().for_each(|asked| asked.unsure = true);
        self.count_givers();
        self.urgent_giver(now);
    }

    fn rejected(&mut self, now: Instant, slot: usize, block: BlockRequest) -> Result<(), PeerError> {
        let Some(peer) = self.peers.get_mut(slot) else { return Ok(()) };
        let Some(at) = peer.asked.iter().position(|asked| asked.block == block) else {
            return self.unasked(now, slot);
        };
        let Some(asked) = peer.asked.remove(at) else { return Ok(()) };
        if (!peer.choking_us && !asked.unsure) || peer.allowed_us.contains(&block.piece) {
            // It does not want to, though it said it would: ask others, and it again later, but not for ever.
            peer.allowed_us.retain(|piece| *piece != block.piece);
            if peer.retry_at.is_none_or(|at| at <= now) {
                peer.rejects += 1;
                let at = now + REJECT_PAUSE;
                peer.retry_at = Some(at);
                // It may take fewer at a time than we thought.
                peer.pipeline.set_limit((peer.asked.len() as u32).max(LEAST_LIMIT));
                self.wake_at(at);
            }
            if self.peers.get(slot).is_some_and(|peer| peer.rejects > MOST_REJECTS) {
                return Err(PeerError::Unsolicited);
            }
        }
        self.release_asked(slot, &asked);
        Ok(())
    }
}

/// Pieces of the peer's allowed fast set that are remembered; BEP 6 suggests ten.
const MOST_ALLOWED: usize = 64;

/// Seconds with rejects without a block in between, after which the peer is taken to play games; those of a peer
/// that chokes us do not count.
const MOST_REJECTS: u32 = 50;

/// A peer that rejects is never asked for fewer blocks at a time than this for that reason.
const LEAST_LIMIT: u32 = 32;

/// A peer that rejects is asked again after this time.
const REJECT_PAUSE: std::time::Duration = std::time::Duration::from_secs(1);
