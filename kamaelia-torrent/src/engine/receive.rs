//! What comes in on a connection: the handshake, and then the bytes that the swarm is given.

use std::io::IoSliceMut;
use std::time::Instant;

use super::event::Event;
use super::links::Stage;
use super::slot::Phase;
use super::{Engine, READ_LEN};
use crate::net::conn::Progress;
use crate::proto::handshake::{Handshake, HandshakeError};
use crate::proto::torrent::{Direction, MOST_SLICES, PeerError};

impl Engine {
    /// Reads once, if the limits and the swarm's memory allow it.
    pub(super) fn read(&mut self, now: Instant, index: usize) -> Result<(), String> {
        let Some(link) = self.links.get_mut(index) else { return Ok(()) };
        if !link.readable || link.paused || link.held {
            return Ok(());
        }
        if let (Stage::Up, Some(t)) = (&link.stage, link.torrent)
            && let Some(swarm) = &self.torrents[t].swarm
            && !swarm.can_receive(link.key)
        {
            link.paused = true;
            return Ok(());
        }
        let mut room = usize::MAX;
        if let (Stage::Up, Some(t)) = (&link.stage, link.torrent)
            && let Some(swarm) = &mut self.torrents[t].swarm
        {
            room = swarm.room(now, link.key, &mut self.pool);
            if room == 0 {
                link.paused = true;
                self.pump(now, t);
                self.touch(t);
                return Ok(());
            }
        }
        let limited = link.torrent.filter(|t| self.throttle.down.meters(*t));
        let most = match limited {
            Some(t) => match self.leave_to_read(now, index, t) {
                Some(most) => most.min(READ_LEN),
                None => return Ok(()),
            },
            None => READ_LEN,
        };
        let mut buf = std::mem::take(&mut self.read_buf);
        let result = self.read_into(now, index, &mut buf[..most.min(room)], room);
        self.read_buf = buf;
        if let Some(t) = limited
            && result.is_ok()
        {
            self.hold_if_more(now, index, t);
        }
        result
    }

    fn read_into(&mut self, now: Instant, index: usize, buf: &mut [u8], room: usize) -> Result<(), String> {
        if let Some(result) = self.read_to_place(now, index, buf, room) {
            return result;
        }
        let link = &mut self.links[index];
        let (n, progress) = link.conn.read(buf).map_err(|e| e.to_string())?;
        if self.throttle.down.is_on()
            && let Some(t) = link.torrent
        {
            self.throttle.down.charge(now, t, n as u64);
        }
        // The system tells only once that the other side hung up: then a short read is not the end, an empty one is.
        link.readable = progress == Progress::More || (link.hung_up && n > 0);
        let mut data = &buf[..n];
        if let Stage::Handshake { .. } = link.stage {
            let result = self.handshake(now, index, &mut data);
            if result.is_err() {
                let torrent = self.links.get(index).and_then(|link| link.torrent);
                self.count_received(torrent, n as u64);
            }
            result?;
        }
        let torrent = self.links.get(index).and_then(|link| link.torrent);
        self.count_received(torrent, n as u64);
        // Closed during the handshake, or not through with it.
        let Some(link) = self.links.get(index) else { return Ok(()) };
        if let (Stage::Up, Some(t), false) = (&link.stage, link.torrent, data.is_empty()) {
            let key = link.key;
            if let Some(swarm) = &mut self.torrents[t].swarm {
                let result = swarm.receive(now, key, data, &mut self.pool);
                self.received(now, t, index, result)?;
            }
        }
        match progress {
            Progress::Closed => Err("closed by the peer".to_owned()),
            _ => Ok(()),
        }
    }

    /// Reads blocks straight to where they belong, if it is known which will come; `None` if it is not.
    fn read_to_place(
        &mut self,
        now: Instant,
        index: usize,
        buf: &mut [u8],
        room: usize,
    ) -> Option<Result<(), String>> {
        // A limit makes reads short, and each of them has to be counted.
        if self.throttle.down.is_on() {
            return None;
        }
        let link = &mut self.links[index];
        let (Stage::Up, Some(t), key) = (&link.stage, link.torrent, link.key) else { return None };
        let swarm = self.torrents[t].swarm.as_mut()?;
        let landing = &mut self.landing;
        if !swarm.land(key, landing) {
            return None;
        }
        // What comes behind, up to the usual length of a read.
        let behind = buf.len().saturating_sub(landing.len()).max(LEAST_OVERFLOW).min(buf.len());
        let overflow = &mut buf[..behind.min(room.saturating_sub(landing.len()))];
        let places = landing.len();
        let read = {
            let mut slices: [IoSliceMut<'_>; MOST_SLICES + 1] =
                std::array::from_fn(|_| IoSliceMut::new(&mut []));
            let mut count = 0;
            landing.for_each_slice(|place| {
                slices[count] = IoSliceMut::new(place);
                count += 1;
            });
            slices[count] = IoSliceMut::new(&mut *overflow);
            link.conn.read_scattered(&mut slices[..=count])
        };
        let count = read.as_ref().map_or(0, |(n, _)| *n);
        let overflow = &overflow[..count.saturating_sub(places)];
        let result = swarm.landed(now, key, landing, count, overflow, &mut self.pool);
        self.count_received(Some(t), count as u64);
        let link = &mut self.links[index];
        let progress = match read {
            Ok((n, progress)) => {
                link.readable = progress == Progress::More || (link.hung_up && n > 0);
                progress
            }
            Err(e) => return Some(Err(e.to_string())),
        };
        if count > 0
            && let Err(e) = self.received(now, t, index, result)
        {
            return Some(Err(e));
        }
        Some(if progress == Progress::Closed { Err("closed by the peer".to_owned()) } else { Ok(()) })
    }

    /// Does what follows from bytes that the swarm was given.
    fn received(
        &mut self,
        now: Instant,
        t: usize,
        index: usize,
        result: Result<(), PeerError>,
    ) -> Result<(), String> {
        if let Err(e) = result {
            // The swarm has forgotten the peer already.
            let key = self.links[index].key;
            self.torrents[t].links.retain(|other| *other != key);
            self.links[index].torrent = None;
            self.gone(t, index, &e.to_string());
            self.pump(now, t);
            return Err(e.to_string());
        }
        self.pump(now, t);
        self.touch(t);
        Ok(())
    }

    /// Takes the peer's handshake; answers it as soon as the torrent is known, for the peer may wait for that.
    fn handshake(&mut self, now: Instant, index: usize, data: &mut &[u8]) -> Result<(), String> {
        let link = &mut self.links[index];
        let Stage::Handshake { reader, answered } = &mut link.stage else { return Ok(()) };
        let theirs = reader.feed(data).map_err(|e| e.to_string())?;
        let info_hash = theirs.as_ref().map(|theirs| theirs.info_hash).or_else(|| reader.info_hash());
        if let (false, Some(info_hash)) = (*answered, info_hash) {
            let t = self.by_hash.get(&info_hash).copied();
            let running = t.filter(|t| matches!(self.torrents[*t].phase, Phase::Running));
            let Some(t) = running else {
                return Err(format!("wants torrent {info_hash}, which does not run here"));
            };
            let slot = &mut self.torrents[t];
            if let Some(swarm) = &slot.swarm {
                swarm.accepts(link.addr).map_err(|e| e.to_string())?;
            }
            *answered = true;
            link.torrent = Some(t);
            slot.links.push(link.key);
            self.unnamed -= 1;
            let ours = Handshake::new(info_hash, self.peer_id);
            link.conn.tail().extend_from_slice(&ours.encode());
        }
        let (Some(theirs), Some(t)) = (theirs, link.torrent) else { return Ok(()) };
        self.wake_swarm(now, t);
        let (link, slot) = (&mut self.links[index], &mut self.torrents[t]);
        let Some(swarm) = &mut slot.swarm else { return Err("torrent stopped".to_owned()) };
        let ours = Handshake::new(slot.metainfo.info_hash(), self.peer_id);
        let (key, addr) = (link.key, link.addr);
        let known = match ours.check(&theirs) {
            // The swarm judges our own address: it must not dial it again.
            Ok(()) | Err(HandshakeError::Myself) => {
                swarm.peer_connected(now, key, addr, link.direction, &theirs).map_err(|e| e.to_string())
            }
            Err(e) => {
                if link.direction == Direction::Outgoing {
                    swarm.connect_failed(now, addr);
                }
                Err(e.to_string())
            }
        };
        if let Err(reason) = known {
            // The swarm knows the outcome: closing must not report a failure of the dial once more.
            slot.links.retain(|other| *other != key);
            link.torrent = None;
            let (id, direction) = (slot.id, link.direction);
            if direction == Direction::Outgoing {
                self.dial_failed(t);
                self.emit(Event::DialFailed { id, addr, reason: reason.clone() });
            }
            return Err(reason);
        }
        link.stage = Stage::Up;
        link.deadline = None;
        let id = slot.id;
        match link.direction {
            Direction::Outgoing => {
                slot.wire.made += 1;
                self.session.wire.made += 1;
            }
            Direction::Incoming => {
                slot.wire.accepted += 1;
                self.session.wire.accepted += 1;
            }
        }
        self.emit(Event::PeerConnected { id, addr });
        if !self.make_room(now, t, key) {
            return Err("too many connections".to_owned());
        }
        self.pump(now, t);
        self.touch(t);
        Ok(())
    }

    fn count_received(&mut self, torrent: Option<usize>, bytes: u64) {
        self.session.wire.received += bytes;
        match torrent {
            Some(t) => self.torrents[t].wire.received += bytes,
            None => self.session.strangers.0 += bytes,
        }
    }
}

/// Room for what comes behind the blocks that were foreseen.
const LEAST_OVERFLOW: usize = 4 * 1024;
