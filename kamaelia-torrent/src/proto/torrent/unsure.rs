//! What a peer was asked for before it choked us, and may or may not remember when it lets us go on.
//!
//! With BEP 6 a choke voids no request: each is rejected or answered. But a choke and our requests may cross: libtorrent
//! lets a new peer in, chokes it and lets it in again within a moment, and then answers all that it was asked for after
//! the first word. Other clients forget what they were asked for and reject nothing. Peers answer in order, so the next
//! block tells: if it was asked for later, what came before it is forgotten. Until then the peer is asked for a little
//! more, and not for the same again.

use std::time::Instant;

use super::Torrent;
use crate::proto::peer::Asked;

impl Torrent {
    /// Gives what a peer may have forgotten to others, or to it once more. False if there is nothing of this kind.
    pub(super) fn give_up_unsure(&mut self, now: Instant, slot: usize) -> bool {
        let Some(peer) = self.peers.get_mut(slot) else { return false };
        if !peer.asked.front().is_some_and(|asked| asked.unsure) {
            return false;
        }
        let (void, kept): (Vec<Asked>, Vec<Asked>) =
            std::mem::take(&mut peer.asked).into_iter().partition(|asked| asked.unsure);
        peer.asked = kept.into();
        peer.late = peer.late.saturating_add(void.len() as u32);
        (peer.progress, peer.nothing_at, peer.no_urgent_at) = (now, None, None);
        void.iter().for_each(|asked| self.release_asked(slot, asked));
        self.wake_at(now);
        true
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::proto::{
        buffer::BufferPool,
        geometry::BlockRequest,
        torrent::{
            Direction, Message, PeerKey,
            testing::{block_of_sevens, connect, encoded, settings},
        },
        wire::{Decoder, Event},
    };

    const KEY: PeerKey = PeerKey(1);

    struct Bench {
        torrent: Torrent,
        pool: BufferPool,
        now: Instant,
        decoder: Decoder,
    }

    impl Bench {
        fn new(blocks: u32) -> Bench {
            let now = Instant::now();
            let cfg = settings(u64::from(blocks) * 16_384, 65_536);
            let decoder = Decoder::new(cfg.geometry.piece_count());
            let mut torrent = Torrent::new(cfg, now);
            connect(&mut torrent, now, KEY, Direction::Outgoing);
            Bench { torrent, pool: BufferPool::new(16 << 20), now, decoder }
        }

        fn say(&mut self, messages: &[Message]) {
            self.torrent.receive(self.now, KEY, &encoded(messages), &mut self.pool).unwrap();
            self.torrent.assert_consistent();
        }

        fn answer(&mut self, blocks: &[BlockRequest]) {
            for block in blocks {
                self.torrent.receive(self.now, KEY, &block_of_sevens(block), &mut self.pool).unwrap();
                self.torrent.assert_consistent();
            }
        }

        fn asked(&mut self) -> Vec<BlockRequest> {
            let mut out = Vec::new();
            self.torrent.take_output(self.now, KEY, &mut out);
            let (mut bytes, mut asked) = (&out[..], Vec::new());
            while let Some(event) = self.decoder.next(&mut bytes).unwrap() {
                if let Event::Message(Message::Request(block)) = event {
                    asked.push(block);
                }
            }
            asked
        }
    }

    #[test]
    fn requests_that_crossed_a_choke_are_answered_and_not_sent_twice() {
        let mut bench = Bench::new(400);
        bench.say(&[Message::HaveAll, Message::Unchoke]);
        let first = bench.asked();
        bench.say(&[Message::Choke, Message::Unchoke]);
        let mut all = first.clone();
        bench.answer(&first);
        while all.len() < 400 {
            let more = bench.asked();
            bench.answer(&more);
            all.extend(more);
        }
        all.sort_unstable_by_key(|block| (block.piece, block.begin));
        all.dedup();
        assert_eq!((all.len(), bench.torrent.waste().total()), (400, 0));
    }

    #[test]
    fn a_peer_that_forgets_what_it_was_asked_for_is_asked_again_as_soon_as_that_shows() {
        let mut bench = Bench::new(400);
        bench.say(&[Message::HaveAll, Message::Unchoke]);
        let forgotten = bench.asked();
        bench.say(&[Message::Choke, Message::Unchoke]);
        let probe = bench.asked();
        assert!((1..=forgotten.len() / 2).contains(&probe.len()), "{}", probe.len());
        bench.answer(&probe[..1]);
        let now = bench.now;
        bench.torrent.tick(now, &mut bench.pool);
        let again = bench.asked();
        // As far as there is room beside the probe.
        assert!(again.len() >= forgotten.len() / 2, "{}", again.len());
        assert!(again.iter().all(|block| forgotten.contains(block)));
    }

    #[test]
    fn a_peer_that_forgets_all_that_is_left_is_asked_again_after_a_moment() {
        let mut bench = Bench::new(8);
        bench.say(&[Message::HaveAll, Message::Unchoke]);
        let forgotten = bench.asked();
        assert_eq!(forgotten.len(), 8);
        bench.say(&[Message::Choke, Message::Unchoke]);
        assert_eq!(bench.asked(), []);
        bench.now += Duration::from_secs(3);
        assert!(bench.torrent.deadline().unwrap() <= bench.now);
        let now = bench.now;
        bench.torrent.tick(now, &mut bench.pool);
        assert_eq!(bench.asked(), forgotten);
        bench.answer(&forgotten);
        assert_eq!(bench.torrent.waste().total(), 0);
    }

    #[test]
    fn what_is_rejected_after_a_choke_is_no_refusal() {
        let mut bench = Bench::new(8);
        bench.say(&[Message::HaveAll, Message::Unchoke]);
        let asked = bench.asked();
        bench.say(&[Message::Choke, Message::Unchoke]);
        for block in &asked {
            bench.say(&[Message::Reject(*block)]);
        }
        assert_eq!(bench.asked(), asked);
    }
}
