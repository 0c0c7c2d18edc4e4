//! Fast peers with habits that hold memory up.

use std::time::Duration;

use kamaelia_torrent::proto::{
    BLOCK_LEN, BlockRequest,
    buffer::PART_LEN,
    wire::{Decoder, Event, Message, block_header},
};

use crate::{
    scripts::encode,
    world::{Payload, Script},
};

/// What a peer does beside answering at once and in order.
#[derive(Copy, Clone, Debug)]
pub(crate) enum Habit {
    /// Keeps back so many requests, or half of what came, and answers any of them.
    AnyOrder(usize),
    /// Forgets one request in so many.
    Forgets(u32),
    /// Sends all of each part but its last block.
    AllButTheLast,
    /// Chokes after so many blocks, and rejects what is open.
    Chokes(u32),
    /// Changes one block in so many.
    Spoils(u32),
    /// Says nothing more after so many blocks.
    FallsSilent(u32),
}

/// Has everything, and a habit.
pub(crate) struct Fickle {
    habit: Habit,
    rng: fastrand::Rng,
    decoder: Option<Decoder>,
    queue: Vec<BlockRequest>,
    asked: u32,
    sent: u32,
}

impl Fickle {
    pub(crate) fn new(habit: Habit) -> Fickle {
        let rng = fastrand::Rng::with_seed(1);
        Fickle { habit, rng, decoder: None, queue: Vec::new(), asked: 0, sent: 0 }
    }

    fn asked(&mut self, block: BlockRequest) {
        self.asked += 1;
        let last_of_part = (block.begin / BLOCK_LEN + 1).is_multiple_of(PART_LEN / BLOCK_LEN);
        let lost = match self.habit {
            Habit::Forgets(n) => self.asked.is_multiple_of(n),
            Habit::AllButTheLast => last_of_part,
            Habit::FallsSilent(n) => self.asked > n,
            _ => false,
        };
        if !lost {
            self.queue.push(block);
        }
    }

    fn answer(&mut self, payload: &Payload, keep: usize) -> Vec<u8> {
        let mut out = Vec::new();
        while self.queue.len() > keep {
            let at = if let Habit::AnyOrder(_) = self.habit { self.rng.usize(..self.queue.len()) } else { 0 };
            let block = self.queue.remove(at);
            out.extend_from_slice(&block_header(&block));
            let start = out.len();
            out.extend_from_slice(&payload.data[payload.range(&block)]);
            self.sent += 1;
            match self.habit {
                Habit::Spoils(n) if self.sent.is_multiple_of(n) => out[start] ^= 1,
                Habit::Chokes(n) if self.sent.is_multiple_of(n) => {
                    Message::Choke.encode(&mut out);
                    self.queue.drain(..).for_each(|block| Message::Reject(block).encode(&mut out));
                    Message::Unchoke.encode(&mut out);
                }
                _ => {}
            }
        }
        out
    }
}

impl Script for Fickle {
    fn open(&mut self) -> Vec<u8> {
        // BEP 10: any number of requests may be open.
        let queue = Message::Extended(0, b"d4:reqqi100000ee".to_vec());
        encode(&[Message::HaveAll, queue, Message::Unchoke])
    }

    fn receive(&mut self, payload: &Payload, mut data: &[u8]) -> Vec<u8> {
        let decoder = self.decoder.get_or_insert_with(|| Decoder::new(payload.geometry.piece_count()));
        let mut said = Vec::new();
        while let Some(event) = decoder.next(&mut data).unwrap() {
            if let Event::Message(message) = event {
                said.push(message);
            }
        }
        for message in said {
            match message {
                Message::Request(block) => self.asked(block),
                Message::Cancel(block) => self.queue.retain(|asked| *asked != block),
                _ => {}
            }
        }
        let keep = if let Habit::AnyOrder(keep) = self.habit { keep.min(self.queue.len() / 2) } else { 0 };
        self.answer(payload, keep)
    }

    fn every(&mut self, payload: &Payload) -> Option<(Duration, Vec<u8>)> {
        Some((Duration::from_millis(300), self.answer(payload, 0)))
    }
}
