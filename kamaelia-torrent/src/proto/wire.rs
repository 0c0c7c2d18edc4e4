//! Messages between peers (BEP 3, BEP 6, ids of BEP 5 and 10): encoding, and decoding as bytes arrive.
//!
//! The decoder never holds the payload of a block: it hands out slices of what was just read, so that a block is
//! copied once, to its place in a piece. Nothing is allocated by a length that a peer merely claims.

use super::geometry::{BLOCK_LEN, BlockRequest, PieceIndex};

/// A message that is whole: everything except the payload of a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// Nothing but a sign of life: four zero bytes.
    KeepAlive,
    /// Requests are no longer answered.
    Choke,
    /// Requests are answered from now on.
    Unchoke,
    /// The sender wants something that the receiver has.
    Interested,
    /// The sender wants nothing.
    NotInterested,
    /// The sender has a further piece.
    Have(PieceIndex),
    /// All pieces that the sender has; one bit a piece.
    Bitfield(Vec<u8>),
    /// Asks for a block.
    Request(BlockRequest),
    /// Takes a request back.
    Cancel(BlockRequest),
    /// UDP port of the sender's DHT node (BEP 5).
    Port(u16),
    /// BEP 6: a piece that is cheap for the sender to give.
    Suggest(PieceIndex),
    /// BEP 6: the sender has everything; in place of a bitfield.
    HaveAll,
    /// BEP 6: the sender has nothing; in place of a bitfield.
    HaveNone,
    /// BEP 6: this request will not be answered.
    Reject(BlockRequest),
    /// BEP 6: a piece that may be asked for while choked.
    AllowedFast(PieceIndex),
    /// A message of the extension protocol (BEP 10): its number and what follows.
    Extended(u8, Vec<u8>),
    /// A message of unknown kind and its payload's length; the payload is skipped.
    Unknown(u8, u32),
}

impl Message {
    /// Appends the message to `out`.
    ///
    /// [`Message::Unknown`] appends as many zeros as it had bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Message::KeepAlive => out.extend_from_slice(&[0; 4]),
            Message::Choke => put(out, id::CHOKE, &[]),
            Message::Unchoke => put(out, id::UNCHOKE, &[]),
            Message::Interested => put(out, id::INTERESTED, &[]),
            Message::NotInterested => put(out, id::NOT_INTERESTED, &[]),
            Message::Have(piece) => put(out, id::HAVE, &piece.0.to_be_bytes()),
            Message::Bitfield(bits) => put(out, id::BITFIELD, bits),
            Message::Request(block) => put_block(out, id::REQUEST, block),
            Message::Cancel(block) => put_block(out, id::CANCEL, block),
            Message::Port(port) => put(out, id::PORT, &port.to_be_bytes()),
            Message::Suggest(piece) => put(out, id::SUGGEST, &piece.0.to_be_bytes()),
            Message::HaveAll => put(out, id::HAVE_ALL, &[]),
            Message::HaveNone => put(out, id::HAVE_NONE, &[]),
            Message::Reject(block) => put_block(out, id::REJECT, block),
            Message::AllowedFast(piece) => put(out, id::ALLOWED_FAST, &piece.0.to_be_bytes()),
            Message::Extended(number, payload) => {
                put_header(out, id::EXTENDED, payload.len() as u32 + 1);
                out.push(*number);
                out.extend_from_slice(payload);
            }
            Message::Unknown(kind, len) => {
                put_header(out, *kind, *len);
                out.resize(out.len() + *len as usize, 0);
            }
        }
    }
}

/// The 13 bytes that precede the payload of a block in a `piece` message.
pub fn block_header(block: &BlockRequest) -> [u8; BLOCK_HEADER_LEN] {
    let mut out = [0; BLOCK_HEADER_LEN];
    out[..4].copy_from_slice(&block.len.saturating_add(9).to_be_bytes());
    out[4] = id::PIECE;
    out[5..9].copy_from_slice(&block.piece.0.to_be_bytes());
    out[9..].copy_from_slice(&block.begin.to_be_bytes());
    out
}

/// What the decoder found.
#[derive(Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// A whole message.
    Message(Message),
    /// A `piece` message begins; its payload follows as [`Event::BlockData`].
    BlockStart(BlockRequest),
    /// The next bytes of a block, as far as they have arrived; `last` with the final ones.
    BlockData {
        /// Never empty.
        data: &'a [u8],
        /// Whether the block is complete with this.
        last: bool,
    },
}

/// Why a stream is not one of peer messages. The connection cannot be used further.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WireError {
    /// A message of a known kind has a length that this kind cannot have.
    #[error("message {kind} of {len} bytes")]
    Length {
        /// Number of the kind.
        kind: u8,
        /// Length after the kind, bytes.
        len: u32,
    },
    /// Longer than any message may be.
    #[error("message of {0} bytes")]
    TooLong(u32),
}

/// Reads messages from whatever portions arrive.
///
/// Use: call [`next`](Decoder::next) until it answers `Ok(None)`; then all of `data` is consumed and the decoder
/// holds what is incomplete. After an error the connection must be cut.
#[derive(Debug)]
pub struct Decoder {
    state: State,
    bitfield_len: u32,
}

#[derive(Debug)]
enum State {
    /// Collecting the fixed part of a message.
    Head { buffer: [u8; MAX_HEAD], have: u8 },
    /// Inside the payload of a block.
    Block { left: u32 },
    /// Collecting a message of variable length.
    Body { kind: u8, left: u32, body: Vec<u8> },
    /// Passing over a message of unknown kind.
    Skip { left: u32 },
}

impl Decoder {
    /// A decoder for a torrent of `pieces` pieces.
    pub fn new(pieces: u32) -> Decoder {
        Decoder { state: START, bitfield_len: pieces.div_ceil(8) }
    }

    /// Takes bytes from the front of `data` and answers what they mean; `None` when `data` is used up.
    ///
    /// # Errors
    ///
    /// [`WireError`] as soon as a length cannot be right.
    #[allow(clippy::should_implement_trait)] // the events borrow from `data`
    pub fn next<'a>(&mut self, data: &mut &'a [u8]) -> Result<Option<Event<'a>>, WireError> {
        loop {
            match &mut self.state {
                State::Head { buffer, have } => {
                    // What is needed depends on what is known: the length, then the kind.
                    let needed = head_len(buffer, *have, self.bitfield_len)?;
                    if *have < needed {
                        let chunk = split(data, u32::from(needed - *have));
                        if chunk.is_empty() {
                            return Ok(None);
                        }
                        let start = usize::from(*have);
                        buffer[start..start + chunk.len()].copy_from_slice(chunk);
                        *have += chunk.len() as u8;
                        continue;
                    }
                    let head = *buffer;
                    self.state = START;
                    if let Some(event) = self.begin(&head) {
                        return Ok(Some(event));
                    }
                }
                State::Block { left } => {
                    let chunk = split(data, *left);
                    if chunk.is_empty() {
                        return Ok(None);
                    }
                    *left -= chunk.len() as u32;
                    let last = *left == 0;
                    if last {
                        self.state = START;
                    }
                    return Ok(Some(Event::BlockData { data: chunk, last }));
                }
                State::Body { kind, left, body } => {
                    let chunk = split(data, *left);
                    if chunk.is_empty() {
                        return Ok(None);
                    }
                    body.extend_from_slice(chunk);
                    *left -= chunk.len() as u32;
                    if *left == 0 {
                        let (kind, body) = (*kind, std::mem::take(body));
                        self.state = START;
                        return Ok(Some(Event::Message(whole(kind, body))));
                    }
                }
                State::Skip { left } => {
                    let chunk = split(data, *left);
                    *left -= chunk.len() as u32;
                    if *left > 0 {
                        return Ok(None);
                    }
                    self.state = START;
                }
            }
        }
    }

    /// Whether the last byte seen ended a message.
    pub fn is_between_messages(&self) -> bool {
        matches!(self.state, State::Head { have: 0, .. })
    }

    /// Bytes of the block that is arriving which have not come yet; `None` outside of a block.
    pub(crate) fn block_left(&self) -> Option<u32> {
        match self.state {
            State::Block { left } => Some(left),
            _ => None,
        }
    }

    /// The header of a block was seen by somebody else.
    pub(crate) fn block_begun(&mut self, len: u32) {
        self.state = if len > 0 { State::Block { left: len } } else { START };
    }

    /// Bytes of the block were taken by somebody else; true if those were the last.
    pub(crate) fn block_went_on(&mut self, len: u32) -> bool {
        let left = self.block_left().unwrap_or(0).saturating_sub(len);
        self.block_begun(left);
        left == 0
    }

    /// Interprets a complete head.
    fn begin(&mut self, head: &[u8; MAX_HEAD]) -> Option<Event<'static>> {
        let len = word(head, 0);
        if len == 0 {
            return Some(Event::Message(Message::KeepAlive));
        }
        let (kind, left) = (head[4], len - 1);
        let piece = PieceIndex(word(head, 5));
        let block = BlockRequest { piece, begin: word(head, 9), len: word(head, 13) };
        let message = match kind {
            id::CHOKE => Message::Choke,
            id::UNCHOKE => Message::Unchoke,
            id::INTERESTED => Message::Interested,
            id::NOT_INTERESTED => Message::NotInterested,
            id::HAVE => Message::Have(piece),
            id::REQUEST => Message::Request(block),
            id::CANCEL => Message::Cancel(block),
            id::REJECT => Message::Reject(block),
            id::PORT => Message::Port(u16::from_be_bytes([head[5], head[6]])),
            id::SUGGEST => Message::Suggest(piece),
            id::HAVE_ALL => Message::HaveAll,
            id::HAVE_NONE => Message::HaveNone,
            id::ALLOWED_FAST => Message::AllowedFast(piece),
            id::PIECE => {
                let len = left - 8;
                self.state = State::Block { left: len };
                return Some(Event::BlockStart(BlockRequest { len, ..block }));
            }
            id::BITFIELD | id::EXTENDED => {
                self.state = State::Body { kind, left, body: Vec::new() };
                return None;
            }
            _ => {
                self.state = State::Skip { left };
                Message::Unknown(kind, left)
            }
        };
        Some(Event::Message(message))
    }
}

/// Bytes of the head of the message that starts with `buffer[..have]`, as far as can be told.
fn head_len(buffer: &[u8; MAX_HEAD], have: u8, bitfield_len: u32) -> Result<u8, WireError> {
    if have < 4 {
        return Ok(4);
    }
    let len = word(buffer, 0);
    if len == 0 {
        return Ok(4);
    }
    if len > MAX_MESSAGE {
        return Err(WireError::TooLong(len));
    }
    if have < 5 {
        return Ok(5);
    }
    let (kind, left) = (buffer[4], len - 1);
    let (fits, head) = match kind {
        id::CHOKE | id::UNCHOKE | id::INTERESTED | id::NOT_INTERESTED | id::HAVE_ALL | id::HAVE_NONE => {
            (left == 0, 5)
        }
        id::HAVE | id::SUGGEST | id::ALLOWED_FAST => (left == 4, 9),
        id::REQUEST | id::CANCEL | id::REJECT => (left == 12, 17),
        id::PORT => (left == 2, 7),
        id::PIECE => ((9..=8 + BLOCK_LEN).contains(&left), 13),
        // BEP 3: exactly the bytes for this number of pieces (CVE-2014-4909).
        id::BITFIELD => (left == bitfield_len, 5),
        id::EXTENDED => ((1..=MAX_EXTENDED).contains(&left), 5),
        _ => (true, 5),
    };
    if fits { Ok(head) } else { Err(WireError::Length { kind, len: left }) }
}

fn whole(kind: u8, mut body: Vec<u8>) -> Message {
    if kind == id::BITFIELD {
        return Message::Bitfield(body);
    }
    // `head_len` saw to it that there is a byte.
    let number = if body.is_empty() { 0 } else { body.remove(0) };
    Message::Extended(number, body)
}

/// Takes at most `most` bytes from the front.
fn split<'a>(data: &mut &'a [u8], most: u32) -> &'a [u8] {
    let (chunk, rest) = data.split_at(data.len().min(most as usize));
    *data = rest;
    chunk
}

fn word(bytes: &[u8; MAX_HEAD], at: usize) -> u32 {
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn put_header(out: &mut Vec<u8>, kind: u8, len: u32) {
    out.extend_from_slice(&len.saturating_add(1).to_be_bytes());
    out.push(kind);
}

fn put(out: &mut Vec<u8>, kind: u8, payload: &[u8]) {
    put_header(out, kind, payload.len() as u32);
    out.extend_from_slice(payload);
}

fn put_block(out: &mut Vec<u8>, kind: u8, block: &BlockRequest) {
    put_header(out, kind, 12);
    for value in [block.piece.0, block.begin, block.len] {
        out.extend_from_slice(&value.to_be_bytes());
    }
}

/// Numbers of the kinds of message.
pub mod id {
    #![allow(missing_docs)]
    pub const CHOKE: u8 = 0;
    pub const UNCHOKE: u8 = 1;
    pub const INTERESTED: u8 = 2;
    pub const NOT_INTERESTED: u8 = 3;
    pub const HAVE: u8 = 4;
    pub const BITFIELD: u8 = 5;
    pub const REQUEST: u8 = 6;
    pub const PIECE: u8 = 7;
    pub const CANCEL: u8 = 8;
    pub const PORT: u8 = 9;
    pub const SUGGEST: u8 = 13;
    pub const HAVE_ALL: u8 = 14;
    pub const HAVE_NONE: u8 = 15;
    pub const REJECT: u8 = 16;
    pub const ALLOWED_FAST: u8 = 17;
    pub const EXTENDED: u8 = 20;
}

/// Length of the head of a `piece` message, bytes.
pub const BLOCK_HEADER_LEN: usize = 13;

/// Longest message that is read or skipped, bytes. A bitfield of the most pieces that a torrent may have is 256 KiB;
/// libtorrent's limit is 1 MiB too, so nobody sends more.
pub const MAX_MESSAGE: u32 = 1024 * 1024;

/// Longest extension message, bytes: it is held in memory until it is whole. A piece of metadata takes 17 KiB.
pub const MAX_EXTENDED: u32 = 64 * 1024;

const MAX_HEAD: usize = 17;
const START: State = State::Head { buffer: [0; MAX_HEAD], have: 0 };

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, PartialEq, Eq, Clone)]
    enum Seen {
        Message(Message),
        Block(BlockRequest, Vec<u8>),
        Partial(BlockRequest, Vec<u8>),
    }

    fn decode(decoder: &mut Decoder, chunks: &[&[u8]]) -> (Vec<Seen>, Option<WireError>) {
        let mut seen = Vec::new();
        for chunk in chunks {
            let mut data = *chunk;
            loop {
                match decoder.next(&mut data) {
                    Err(error) => return (seen, Some(error)),
                    Ok(None) => break,
                    Ok(Some(Event::Message(message))) => seen.push(Seen::Message(message)),
                    Ok(Some(Event::BlockStart(block))) => seen.push(Seen::Partial(block, Vec::new())),
                    Ok(Some(Event::BlockData { data, last })) => {
                        let Some(Seen::Partial(block, mut bytes)) = seen.pop() else { panic!("no start") };
                        assert!(!data.is_empty());
                        bytes.extend_from_slice(data);
                        assert_eq!(last, bytes.len() == block.len as usize);
                        seen.push(if last { Seen::Block(block, bytes) } else { Seen::Partial(block, bytes) });
                    }
                }
            }
            assert!(data.is_empty());
        }
        (seen, None)
    }

    fn one(bytes: &[u8]) -> Result<Vec<Seen>, WireError> {
        match decode(&mut Decoder::new(PIECES), &[bytes]) {
            (seen, None) => Ok(seen),
            (_, Some(error)) => Err(error),
        }
    }

    const PIECES: u32 = 20;

    #[test]
    fn lengths_are_exact() {
        assert_eq!(one(&[0, 0, 0, 2, 0, 0]), Err(WireError::Length { kind: 0, len: 1 }));
        assert_eq!(one(&[0, 0, 0, 4, 4, 0, 0, 0]), Err(WireError::Length { kind: 4, len: 3 }));
        assert_eq!(one(&[0, 0, 0, 12, 6]), Err(WireError::Length { kind: 6, len: 11 }));
        assert_eq!(one(&[0, 0, 0, 3, 5]), Err(WireError::Length { kind: 5, len: 2 }));
        assert_eq!(one(&[0, 0, 0, 5, 5]), Err(WireError::Length { kind: 5, len: 4 }));
        assert_eq!(one(&[0, 0, 0, 1, 20]), Err(WireError::Length { kind: 20, len: 0 }));
        // A block of nothing and one of 16 KiB and a byte.
        assert_eq!(one(&[0, 0, 0, 9, 7]), Err(WireError::Length { kind: 7, len: 8 }));
        assert_eq!(one(&[0, 0, 0x40, 0x0a, 7]), Err(WireError::Length { kind: 7, len: 0x4009 }));
    }

    #[test]
    fn absurd_lengths_are_refused_before_the_kind_is_known() {
        assert_eq!(one(&[0xff; 4]), Err(WireError::TooLong(u32::MAX)));
        assert_eq!(one(&[0, 0x10, 0, 1]), Err(WireError::TooLong(MAX_MESSAGE + 1)));
        assert_eq!(one(b"HTTP/1.1 400"), Err(WireError::TooLong(0x4854_5450)));
    }

    #[test]
    fn claimed_lengths_allocate_nothing() {
        let mut decoder = Decoder::new(MAX_MESSAGE * 8 - 8);
        assert_eq!(decode(&mut decoder, &[&[0, 0x10, 0, 0, 5, 1]]), (vec![], None));
        let State::Body { body, .. } = &decoder.state else { panic!() };
        assert!(body.capacity() < 100);
    }

    #[test]
    fn unknown_kinds_are_skipped() {
        let bytes = [0, 0, 0, 4, 99, 1, 2, 3, 0, 0, 0, 1, 1];
        assert_eq!(
            one(&bytes).unwrap(),
            [Seen::Message(Message::Unknown(99, 3)), Seen::Message(Message::Unchoke)]
        );
    }

    fn messages() -> impl Strategy<Value = Message> {
        let piece = any::<u32>().prop_map(PieceIndex);
        let block = (any::<u32>(), any::<u32>(), any::<u32>()).prop_map(|(piece, begin, len)| BlockRequest {
            piece: PieceIndex(piece),
            begin,
            len,
        });
        prop_oneof![
            Just(Message::KeepAlive),
            Just(Message::Choke),
            Just(Message::Unchoke),
            Just(Message::Interested),
            Just(Message::NotInterested),
            piece.clone().prop_map(Message::Have),
            any::<[u8; 3]>().prop_map(|bits| Message::Bitfield(bits.to_vec())),
            block.clone().prop_map(Message::Request),
            block.clone().prop_map(Message::Cancel),
            any::<u16>().prop_map(Message::Port),
            piece.clone().prop_map(Message::Suggest),
            Just(Message::HaveAll),
            Just(Message::HaveNone),
            block.prop_map(Message::Reject),
            piece.prop_map(Message::AllowedFast),
            (any::<u8>(), prop::collection::vec(any::<u8>(), 0..50))
                .prop_map(|(n, p)| Message::Extended(n, p)),
            (21..=255u8, 0..50u32).prop_map(|(kind, len)| Message::Unknown(kind, len)),
        ]
    }

    fn items() -> impl Strategy<Value = Seen> {
        let block = (any::<u32>(), any::<u32>(), prop::collection::vec(any::<u8>(), 1..300)).prop_map(
            |(piece, begin, data)| {
                let len = data.len() as u32;
                Seen::Block(BlockRequest { piece: PieceIndex(piece), begin, len }, data)
            },
        );
        prop_oneof![messages().prop_map(Seen::Message), block]
    }

    fn chunks<'a>(bytes: &'a [u8], cuts: &[usize]) -> Vec<&'a [u8]> {
        let mut cuts: Vec<_> = cuts.iter().map(|cut| cut % (bytes.len() + 1)).collect();
        cuts.extend([0, bytes.len()]);
        cuts.sort_unstable();
        cuts.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect()
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded_whatever_the_split(
            items in prop::collection::vec(items(), 0..8),
            cuts in prop::collection::vec(any::<usize>(), 0..8),
        ) {
            let mut bytes = Vec::new();
            for item in &items {
                match item {
                    Seen::Message(message) => message.encode(&mut bytes),
                    Seen::Block(block, data) => {
                        bytes.extend_from_slice(&block_header(block));
                        bytes.extend_from_slice(data);
                    }
                    Seen::Partial(..) => unreachable!(),
                }
            }
            let mut decoder = Decoder::new(PIECES);
            prop_assert_eq!(decode(&mut decoder, &chunks(&bytes, &cuts)), (items, None));
            prop_assert!(decoder.is_between_messages());
        }

        #[test]
        fn any_bytes_mean_the_same_whatever_the_split(
            bytes in prop::collection::vec(prop_oneof![4 => Just(0u8), 4 => 0..22u8, 1 => any::<u8>()], 0..200),
            cuts in prop::collection::vec(any::<usize>(), 0..8),
        ) {
            let whole = decode(&mut Decoder::new(PIECES), &[&bytes]);
            prop_assert_eq!(decode(&mut Decoder::new(PIECES), &chunks(&bytes, &cuts)), whole);
        }
    }
}
