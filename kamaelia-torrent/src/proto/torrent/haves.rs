//! Telling peers what we have.
//!
//! Every piece is told to every peer, which is much where pieces are small, peers many and lines fast: 32,000 pieces
//! of 16 KiB a second to 500 peers would be sixteen million writes. So after telling, there is a pause in which news
//! gather; a slow download never notices.

use std::time::{Duration, Instant};

use super::{Message, PieceIndex, Torrent, TorrentOutput};

/// Pieces that peers were not told of yet.
#[derive(Debug, Default)]
pub(super) struct News {
    pieces: Vec<PieceIndex>,
    /// Until then nothing is told.
    pause: Option<Instant>,
}

impl Torrent {
    /// Peers are to know of a piece: at once, or soon.
    pub(super) fn tell(&mut self, now: Instant, piece: PieceIndex) {
        self.untold.pieces.push(piece);
        match self.untold.pause {
            Some(until) if until > now => self.wake_at(until),
            _ => self.tell_all(now),
        }
    }

    /// Tells what there is, if it is time; answers when it will be.
    pub(super) fn tell_if_due(&mut self, now: Instant) -> Option<Instant> {
        if self.untold.pieces.is_empty() {
            return None;
        }
        let later = self.untold.pause.filter(|until| *until > now);
        if later.is_none() {
            self.tell_all(now);
        }
        later
    }

    /// Tells what there is now: someone comes who learns of it by the bitfield, or we are complete.
    pub(super) fn tell_all(&mut self, now: Instant) {
        if self.untold.pieces.is_empty() {
            return;
        }
        let mut pieces = std::mem::take(&mut self.untold.pieces);
        // Written once, copied for each.
        let mut said = Vec::with_capacity(HAVE_LEN * pieces.len());
        pieces.drain(..).for_each(|piece| Message::Have(piece).encode(&mut said));
        for (_, peer) in &mut self.peers {
            if peer.send_bytes(now, &said) {
                self.outputs.push_back(TorrentOutput::OutputReady(peer.key));
            }
        }
        self.untold = News { pieces, pause: Some(now + PAUSE) };
    }
}

/// Bytes of a `have` message.
const HAVE_LEN: usize = 9;

/// News gather for this time at most: a fraction of what a peer takes to ask for a piece and get it.
const PAUSE: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::{
        buffer::BufferPool,
        torrent::{
            CheckResult, Direction, PeerKey,
            testing::{block_of_sevens, connect, encoded, settings},
        },
        wire::{Decoder, Event},
    };

    const PIECES: u32 = 50;

    fn told(torrent: &mut Torrent, now: Instant, key: u64) -> Vec<u32> {
        let mut out = Vec::new();
        torrent.take_output(now, PeerKey(key), &mut out);
        let (mut out, mut decoder, mut told) = (&out[..], Decoder::new(PIECES), Vec::new());
        while let Some(event) = decoder.next(&mut out).unwrap() {
            match event {
                Event::Message(Message::Have(piece)) => told.push(piece.0),
                Event::Message(Message::Bitfield(bits)) => {
                    told.extend((0..PIECES).filter(|n| bits[*n as usize / 8] & (128 >> (n % 8)) != 0));
                }
                _ => {}
            }
        }
        told.sort_unstable();
        told
    }

    #[test]
    fn pieces_that_come_fast_are_told_together_and_none_is_lost_or_told_twice() {
        let start = Instant::now();
        let mut torrent = Torrent::new(settings(u64::from(PIECES) * 16_384, 16_384), start);
        let mut pool = BufferPool::new(2 << 20);
        (1..=3).for_each(|key| connect(&mut torrent, start, PeerKey(key), Direction::Incoming));
        let hello = encoded(&[Message::HaveAll, Message::Unchoke]);
        torrent.receive(start, PeerKey(1), &hello, &mut pool).unwrap();
        let asked = std::mem::take(&mut torrent.peers[0].asked);
        torrent.peers[0].asked.clone_from(&asked);
        assert_eq!(asked.len(), PIECES as usize);
        (1..=3).for_each(|key| assert!(told(&mut torrent, start, key).is_empty()));
        while torrent.poll().is_some() {}
        // One piece a millisecond, but for the last.
        let (mut now, mut writes) = (start, 0);
        for (n, asked) in asked.iter().enumerate().take(PIECES as usize - 1) {
            now += Duration::from_millis(1);
            torrent.receive(now, PeerKey(1), &block_of_sevens(&asked.block), &mut pool).unwrap();
            let fetch = torrent.fetch_of(asked.block.piece);
            torrent.piece_checked(now, fetch, CheckResult::Good);
            if n == 30 {
                connect(&mut torrent, now, PeerKey(4), Direction::Incoming);
            }
            if torrent.deadline().is_some_and(|at| at <= now) {
                torrent.tick(now, &mut pool);
            }
            while let Some(output) = torrent.poll() {
                writes += usize::from(matches!(output, TorrentOutput::OutputReady(PeerKey(2))));
            }
        }
        assert_eq!(writes, 1, "the first piece is told at once");
        let at = torrent.deadline().unwrap();
        assert!(at <= start + Duration::from_millis(140), "{:?}", at - start);
        torrent.tick(start + Duration::from_millis(140), &mut pool);
        let mut all: Vec<u32> =
            asked.iter().take(PIECES as usize - 1).map(|asked| asked.block.piece.0).collect();
        all.sort_unstable();
        for key in 2..=4 {
            assert_eq!(told(&mut torrent, now, key), all, "peer {key}");
        }
        // The last one ends the download, and nobody waits for it.
        let last = asked[PIECES as usize - 1].block;
        torrent.receive(now, PeerKey(1), &block_of_sevens(&last), &mut pool).unwrap();
        let fetch = torrent.fetch_of(last.piece);
        torrent.piece_checked(now, fetch, CheckResult::Good);
        assert_eq!(told(&mut torrent, now, 2), [last.piece.0]);
    }
}
