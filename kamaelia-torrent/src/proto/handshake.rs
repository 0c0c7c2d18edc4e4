//! The 68 bytes that open a connection (BEP 3), read as they come.

use std::fmt;

use super::info_hash::InfoHash;

/// Identity of a client on the wire, 20 bytes.
#[derive(Copy, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PeerId(pub [u8; 20]);

impl fmt::Display for PeerId {
    /// Printable ASCII as it is, the rest as `.`: it comes from a stranger and may go to a terminal.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0
            .iter()
            .try_for_each(|b| write!(f, "{}", if b.is_ascii_graphic() { char::from(*b) } else { '.' }))
    }
}

impl fmt::Debug for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PeerId({self})")
    }
}

/// The eight bytes in which a client says what it can do beyond BEP 3.
#[derive(Copy, Clone, Default, PartialEq, Eq, Debug, Hash)]
pub struct Reserved(pub [u8; 8]);

impl Reserved {
    /// What this implementation offers.
    pub const OURS: Reserved = Reserved([0, 0, 0, 0, 0, EXTENDED, 0, FAST]);

    /// Whether the fast extension (BEP 6) is offered.
    pub fn fast(self) -> bool {
        self.0[7] & FAST != 0
    }

    /// Whether the extension protocol (BEP 10) is offered.
    pub fn extended(self) -> bool {
        self.0[5] & EXTENDED != 0
    }

    /// Whether the DHT (BEP 5) is offered.
    pub fn dht(self) -> bool {
        self.0[7] & DHT != 0
    }
}

/// What a client says first.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Handshake {
    /// Extensions offered.
    pub reserved: Reserved,
    /// The torrent that the connection is about.
    pub info_hash: InfoHash,
    /// Who speaks.
    pub peer_id: PeerId,
}

impl Handshake {
    /// A handshake of ours, offering all that this implementation can do.
    pub fn new(info_hash: InfoHash, peer_id: PeerId) -> Handshake {
        Handshake { reserved: Reserved::OURS, info_hash, peer_id }
    }

    /// The bytes on the wire.
    pub fn encode(&self) -> [u8; HANDSHAKE_LEN] {
        let mut out = [0; HANDSHAKE_LEN];
        out[..20].copy_from_slice(PREFIX);
        out[20..28].copy_from_slice(&self.reserved.0);
        out[28..48].copy_from_slice(&self.info_hash.0);
        out[48..].copy_from_slice(&self.peer_id.0);
        out
    }
}

/// Why a connection does not begin.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HandshakeError {
    /// Something else than BitTorrent: HTTP, TLS, an encrypted handshake or noise.
    #[error("not a bittorrent handshake: byte {at} is {byte:#04x}")]
    NotBittorrent {
        /// Position of the first wrong byte.
        at: usize,
        /// Its value.
        byte: u8,
    },
    /// The peer answered for another torrent than it was asked for.
    #[error("handshake for {got} where {wanted} was expected")]
    WrongTorrent {
        /// What we asked for.
        wanted: InfoHash,
        /// What came.
        got: InfoHash,
    },
    /// We are connected to ourselves: the address is one of ours.
    #[error("connected to myself")]
    Myself,
}

/// Collects a handshake from whatever portions arrive.
///
/// Use: call [`feed`](HandshakeReader::feed) with all that was read until it answers `Some`; bytes after the
/// handshake are left in the slice. A call after that reads the next handshake.
#[derive(Clone, Debug)]
pub struct HandshakeReader {
    buffer: [u8; HANDSHAKE_LEN],
    have: usize,
}

impl HandshakeReader {
    /// A reader that has seen nothing.
    pub fn new() -> HandshakeReader {
        HandshakeReader { buffer: [0; HANDSHAKE_LEN], have: 0 }
    }

    /// Takes bytes from the front of `data`; answers the handshake when it is whole.
    ///
    /// # Errors
    ///
    /// [`HandshakeError::NotBittorrent`] at the first byte that cannot belong to a handshake.
    pub fn feed(&mut self, data: &mut &[u8]) -> Result<Option<Handshake>, HandshakeError> {
        let (now, rest) = data.split_at(data.len().min(HANDSHAKE_LEN - self.have));
        for (at, (byte, wanted)) in (self.have..).zip(now.iter().zip(PREFIX.iter().skip(self.have))) {
            if byte != wanted {
                return Err(HandshakeError::NotBittorrent { at, byte: *byte });
            }
        }
        self.buffer[self.have..self.have + now.len()].copy_from_slice(now);
        self.have += now.len();
        *data = rest;
        if self.have < HANDSHAKE_LEN {
            return Ok(None);
        }
        self.have = 0;
        Ok(Some(Handshake {
            reserved: Reserved(array(&self.buffer[20..28])),
            info_hash: InfoHash(array(&self.buffer[28..48])),
            peer_id: PeerId(array(&self.buffer[48..])),
        }))
    }

    /// The info hash as soon as it has arrived: who accepted the connection may answer before the peer id is there.
    pub fn info_hash(&self) -> Option<InfoHash> {
        (self.have >= 48).then(|| InfoHash(array(&self.buffer[28..48])))
    }
}

impl Default for HandshakeReader {
    fn default() -> HandshakeReader {
        HandshakeReader::new()
    }
}

impl Handshake {
    /// Compares the other side's handshake with ours.
    ///
    /// # Errors
    ///
    /// [`HandshakeError::WrongTorrent`] and [`HandshakeError::Myself`].
    pub fn check(&self, theirs: &Handshake) -> Result<(), HandshakeError> {
        if theirs.info_hash != self.info_hash {
            return Err(HandshakeError::WrongTorrent { wanted: self.info_hash, got: theirs.info_hash });
        }
        if theirs.peer_id == self.peer_id {
            return Err(HandshakeError::Myself);
        }
        Ok(())
    }
}

fn array<const N: usize>(bytes: &[u8]) -> [u8; N] {
    let mut out = [0; N];
    out.copy_from_slice(bytes);
    out
}

/// Length of a handshake, bytes.
pub const HANDSHAKE_LEN: usize = 68;

const PREFIX: &[u8; 20] = b"\x13BitTorrent protocol";
const FAST: u8 = 0x04;
const DHT: u8 = 0x01;
const EXTENDED: u8 = 0x10;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sample() -> Handshake {
        Handshake::new(InfoHash([7; 20]), PeerId(*b"-KT0100-abcdefghijkl"))
    }

    #[test]
    fn layout_is_that_of_bep_3() {
        let bytes = sample().encode();
        assert_eq!(&bytes[..20], b"\x13BitTorrent protocol");
        assert_eq!(bytes[20..28], [0, 0, 0, 0, 0, 0x10, 0, 4]);
        assert_eq!(bytes[28..48], [7; 20]);
        assert_eq!(&bytes[48..], b"-KT0100-abcdefghijkl");
    }

    #[test]
    fn garbage_is_detected_at_its_first_byte() {
        let mut reader = HandshakeReader::new();
        assert_eq!(
            reader.feed(&mut &b"GET / HTTP/1.1"[..]),
            Err(HandshakeError::NotBittorrent { at: 0, byte: b'G' })
        );
        let mut reader = HandshakeReader::new();
        assert_eq!(reader.feed(&mut &b"\x13BitTor"[..]), Ok(None));
        let wrong = HandshakeError::NotBittorrent { at: 8, byte: b'E' };
        assert_eq!(reader.feed(&mut &b"rEnt"[..]), Err(wrong));
    }

    #[test]
    fn own_peer_id_and_other_torrents_are_refused() {
        let ours = sample();
        assert_eq!(ours.check(&ours), Err(HandshakeError::Myself));
        let other = Handshake::new(InfoHash([8; 20]), PeerId([1; 20]));
        assert!(matches!(ours.check(&other), Err(HandshakeError::WrongTorrent { .. })));
        assert_eq!(ours.check(&Handshake { info_hash: ours.info_hash, ..other }), Ok(()));
    }

    #[test]
    fn peer_ids_are_printed_without_control_characters() {
        assert_eq!(PeerId(*b"-XX\x1b[2J\x00\xff-abcdefghij").to_string(), "-XX.[2J..-abcdefghij");
    }

    proptest! {
        #[test]
        fn every_split_reads_the_same(
            reserved: [u8; 8], info_hash: [u8; 20], peer_id: [u8; 20],
            cuts in prop::collection::vec(0..80usize, 0..6),
        ) {
            let sent = Handshake {
                reserved: Reserved(reserved), info_hash: InfoHash(info_hash), peer_id: PeerId(peer_id),
            };
            let mut stream = sent.encode().to_vec();
            stream.extend_from_slice(b"the next message");
            let (mut reader, mut at, mut got) = (HandshakeReader::new(), 0, None);
            let mut cuts = cuts;
            cuts.sort_unstable();
            cuts.push(stream.len());
            for cut in cuts {
                let cut = cut.min(stream.len());
                let mut data = &stream[at..cut];
                let before = data.len();
                got = reader.feed(&mut data).unwrap();
                at += before - data.len();
                if got.is_some() { break }
            }
            prop_assert_eq!(got, Some(sent));
            prop_assert_eq!(at, HANDSHAKE_LEN);
        }

        #[test]
        fn any_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = HandshakeReader::new().feed(&mut &bytes[..]);
        }
    }
}
