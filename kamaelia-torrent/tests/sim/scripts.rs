//! Peers that do not follow the rules.

use std::time::Duration;

use kamaelia_torrent::proto::{
    BlockRequest,
    extension::ExtensionHandshake,
    handshake::Reserved,
    wire::{Decoder, Event, Message, block_header},
};

use super::world::{Payload, Script};

/// Says the same bytes at the start and, perhaps, again and again.
pub(crate) struct Says {
    pub(crate) open: Vec<u8>,
    pub(crate) again: Option<(Duration, Vec<u8>)>,
    pub(crate) reserved: Reserved,
}

impl Says {
    pub(crate) fn once(open: Vec<u8>) -> Says {
        Says { open, again: None, reserved: Reserved::OURS }
    }

    pub(crate) fn messages(messages: &[Message]) -> Says {
        Says::once(encode(messages))
    }

    pub(crate) fn without_fast(mut self) -> Says {
        self.reserved = Reserved::default();
        self
    }

    pub(crate) fn every(mut self, interval: Duration, bytes: Vec<u8>) -> Says {
        self.again = Some((interval, bytes));
        self
    }
}

impl Script for Says {
    fn reserved(&self) -> Reserved {
        self.reserved
    }

    fn open(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.open)
    }

    fn every(&mut self, _payload: &Payload) -> Option<(Duration, Vec<u8>)> {
        self.again.clone()
    }
}

pub(crate) fn encode(messages: &[Message]) -> Vec<u8> {
    let mut out = Vec::new();
    messages.iter().for_each(|message| message.encode(&mut out));
    out
}

/// Claims everything and serves at once; what it sends is up to `spoil`.
pub(crate) struct Seed {
    pub(crate) decoder: Option<Decoder>,
    /// What it says it has.
    pub(crate) has: Message,
    /// Whether to change this block.
    pub(crate) spoil: fn(&BlockRequest) -> bool,
    /// Whether to answer this request at all.
    pub(crate) answer: fn(&BlockRequest) -> bool,
    pub(crate) spoilt: std::rc::Rc<std::cell::Cell<u32>>,
    pub(crate) requests: std::rc::Rc<std::cell::Cell<u32>>,
    /// How many requests it says that it takes (BEP 10).
    pub(crate) queue: Option<u32>,
    /// Most requests that came together; all are answered together, so these were open.
    pub(crate) most_at_once: std::rc::Rc<std::cell::Cell<u32>>,
}

impl Seed {
    pub(crate) fn new(spoil: fn(&BlockRequest) -> bool) -> Seed {
        Seed {
            decoder: None,
            has: Message::HaveAll,
            spoil,
            answer: |_| true,
            spoilt: Default::default(),
            requests: Default::default(),
            queue: None,
            most_at_once: Default::default(),
        }
    }
}

impl Script for Seed {
    fn open(&mut self) -> Vec<u8> {
        let mut said = ExtensionHandshake::default();
        said.request_queue = self.queue;
        encode(&[self.has.clone(), Message::Extended(0, said.encode()), Message::Unchoke])
    }

    fn receive(&mut self, payload: &Payload, mut data: &[u8]) -> Vec<u8> {
        let decoder = self.decoder.get_or_insert_with(|| Decoder::new(payload.geometry.piece_count()));
        let mut out = Vec::new();
        let before = self.requests.get();
        while let Some(event) = decoder.next(&mut data).unwrap() {
            let Event::Message(Message::Request(block)) = event else { continue };
            self.requests.set(self.requests.get() + 1);
            if !(self.answer)(&block) {
                continue;
            }
            out.extend_from_slice(&block_header(&block));
            let start = out.len();
            out.extend_from_slice(&payload.data[payload.range(&block)]);
            if (self.spoil)(&block) {
                out[start] ^= 1;
                self.spoilt.set(self.spoilt.get() + 1);
            }
        }
        self.most_at_once.set(self.most_at_once.get().max(self.requests.get() - before));
        out
    }
}

/// Wants everything and has nothing: asks for block after block, with so many requests open.
pub(crate) struct Leech {
    pub(crate) fast: bool,
    pub(crate) open_requests: usize,
    /// Requests in all.
    pub(crate) most: u32,
    pub(crate) got: std::rc::Rc<std::cell::Cell<u64>>,
    pub(crate) decoder: Option<Decoder>,
    pub(crate) next: u32,
    pub(crate) outstanding: usize,
    pub(crate) unchoked: bool,
}

impl Leech {
    pub(crate) fn new(fast: bool, open_requests: usize) -> Leech {
        Leech {
            fast,
            open_requests,
            most: u32::MAX,
            got: Default::default(),
            decoder: None,
            next: 0,
            outstanding: 0,
            unchoked: false,
        }
    }
}

impl Script for Leech {
    fn reserved(&self) -> Reserved {
        if self.fast { Reserved::OURS } else { Reserved::default() }
    }

    fn every(&mut self, _payload: &Payload) -> Option<(Duration, Vec<u8>)> {
        Some((Duration::from_secs(60), encode(&[Message::KeepAlive])))
    }

    fn open(&mut self) -> Vec<u8> {
        encode(&[Message::Interested])
    }

    fn receive(&mut self, payload: &Payload, mut data: &[u8]) -> Vec<u8> {
        let decoder = self.decoder.get_or_insert_with(|| Decoder::new(payload.geometry.piece_count()));
        let mut out = Vec::new();
        while let Some(event) = decoder.next(&mut data).unwrap() {
            match event {
                Event::Message(Message::Unchoke) => self.unchoked = true,
                Event::Message(Message::Choke) => {
                    self.unchoked = false;
                    // With the fast extension each request is answered, one way or the other.
                    self.outstanding = if self.fast { self.outstanding } else { 0 };
                }
                Event::Message(Message::Reject(_)) => self.outstanding -= 1,
                Event::BlockData { data, last } => {
                    self.got.set(self.got.get() + data.len() as u64);
                    self.outstanding = self.outstanding.saturating_sub(usize::from(last));
                }
                _ => {}
            }
        }
        let geometry = payload.geometry;
        let per_piece = geometry.block_count(kamaelia_torrent::proto::PieceIndex(0));
        while self.unchoked && self.outstanding < self.open_requests && self.next < self.most {
            let piece = kamaelia_torrent::proto::PieceIndex(self.next / per_piece % geometry.piece_count());
            let block = geometry.block(piece, self.next % per_piece);
            self.next += 1;
            if block.len > 0 {
                Message::Request(block).encode(&mut out);
                self.outstanding += 1;
            }
        }
        out
    }
}
