//! Which pieces somebody has: one bit a piece, in words of 64.

use std::fmt;

use super::geometry::PieceIndex;

/// A set of pieces of a torrent with a known number of pieces.
///
/// The number of set bits is kept, so [`count`](Bitfield::count) and [`is_full`](Bitfield::is_full) cost nothing. A set
/// of all pieces or of none takes no memory for its bits: that is what ten thousand idle seeds and their peers have.
#[derive(Clone, PartialEq, Eq)]
pub struct Bitfield {
    /// Empty if all bits are the same.
    words: Vec<u64>,
    len: u32,
    count: u32,
}

/// Why bytes are not the bitfield of a torrent (CVE-2014-4909 is what becomes of not looking).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BitfieldError {
    /// BEP 3: a bitfield of the wrong length ends the connection.
    #[error("bitfield of {got} bytes for {pieces} pieces, which need {expected}")]
    Length {
        /// Bytes that came.
        got: usize,
        /// Bytes for this number of pieces.
        expected: usize,
        /// Pieces of the torrent.
        pieces: u32,
    },
    /// BEP 3: the bits after the last piece are zero.
    #[error("bitfield has bits set after its last piece ({pieces} pieces)")]
    SpareBits {
        /// Pieces of the torrent.
        pieces: u32,
    },
}

impl Bitfield {
    /// No piece out of `len`.
    pub fn new(len: u32) -> Bitfield {
        Bitfield { words: Vec::new(), len, count: 0 }
    }

    /// Every piece out of `len`.
    pub fn full(len: u32) -> Bitfield {
        Bitfield { words: Vec::new(), len, count: len }
    }

    /// Reads the payload of a `bitfield` message for a torrent of `len` pieces.
    ///
    /// # Errors
    ///
    /// A length that does not fit `len` exactly, or spare bits that are set.
    pub fn from_wire(bytes: &[u8], len: u32) -> Result<Bitfield, BitfieldError> {
        let expected = wire_len(len);
        if bytes.len() != expected {
            return Err(BitfieldError::Length { got: bytes.len(), expected, pieces: len });
        }
        if let (Some(last), used @ 1..) = (bytes.last(), len % 8)
            && last << used != 0
        {
            return Err(BitfieldError::SpareBits { pieces: len });
        }
        let words: Vec<u64> = bytes
            .chunks(8)
            .map(|chunk| {
                let mut word = [0; 8];
                word[..chunk.len()].copy_from_slice(chunk);
                u64::from_be_bytes(word)
            })
            .collect();
        let count = words.iter().map(|w| w.count_ones()).sum();
        let mut set = Bitfield { words, len, count };
        set.shrink();
        Ok(set)
    }

    /// The payload of a `bitfield` message: the first piece is the highest bit of the first byte.
    pub fn to_wire(&self) -> Vec<u8> {
        let mut out: Vec<u8> = (0..self.word_count()).flat_map(|at| self.word(at).to_be_bytes()).collect();
        out.truncate(wire_len(self.len));
        out
    }

    /// Whether the piece is in the set; false for one that does not exist.
    pub fn get(&self, piece: PieceIndex) -> bool {
        piece.0 < self.len
            && match self.words.get(piece.as_usize() / 64) {
                Some(word) => word & mask(piece) != 0,
                None => self.count > 0,
            }
    }

    /// Adds a piece; true if it was missing. One that does not exist changes nothing.
    pub fn set(&mut self, piece: PieceIndex) -> bool {
        let changes = piece.0 < self.len && !self.get(piece);
        if changes {
            self.spread()[piece.as_usize() / 64] |= mask(piece);
            self.count += 1;
            self.shrink();
        }
        changes
    }

    /// Removes a piece; true if it was there. One that does not exist changes nothing.
    pub fn clear(&mut self, piece: PieceIndex) -> bool {
        let changes = self.get(piece);
        if changes {
            self.spread()[piece.as_usize() / 64] &= !mask(piece);
            self.count -= 1;
            self.shrink();
        }
        changes
    }

    /// Number of pieces in the set.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// Number of pieces of the torrent.
    #[allow(clippy::len_without_is_empty)] // "empty" would be ambiguous: see `is_empty_set`
    pub fn len(&self) -> u32 {
        self.len
    }

    /// Whether every piece is in the set.
    pub fn is_full(&self) -> bool {
        self.count == self.len
    }

    /// Whether no piece is in the set.
    pub fn is_empty_set(&self) -> bool {
        self.count == 0
    }

    /// The pieces in the set, in order.
    pub fn iter_ones(&self) -> impl Iterator<Item = PieceIndex> + '_ {
        Ones { set: self, at: 0, word: self.word(0) }
    }

    /// Words of 64 pieces that the set would fill.
    pub fn word_count(&self) -> usize {
        self.len.div_ceil(64) as usize
    }

    /// A word, for work 64 pieces at a time: piece `i` is bit `63 - i % 64` of word `i / 64`; spare bits are 0, as is a
    /// word that does not exist.
    pub fn word(&self, at: usize) -> u64 {
        match self.words.get(at) {
            Some(word) => *word,
            None if self.count == 0 || at >= self.word_count() => 0,
            None => self.full_word(at),
        }
    }

    /// Whether this set has a piece that `other` lacks; pieces beyond the end of `other` count as lacking.
    pub fn any_and_not(&self, other: &Bitfield) -> bool {
        (0..self.word_count()).any(|at| self.word(at) & !other.word(at) != 0)
    }

    /// The word of a full set.
    fn full_word(&self, at: usize) -> u64 {
        let used = self.len % 64;
        if at + 1 == self.word_count() && used != 0 { u64::MAX << (64 - used) } else { u64::MAX }
    }

    /// The words, to be changed.
    fn spread(&mut self) -> &mut [u64] {
        if self.words.is_empty() {
            self.words = (0..self.word_count()).map(|at| self.word(at)).collect();
        }
        &mut self.words
    }

    /// Gives the words back if they say nothing that the count does not say.
    fn shrink(&mut self) {
        if self.count == 0 || self.count == self.len {
            self.words = Vec::new();
        }
    }
}

impl fmt::Debug for Bitfield {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Bitfield({} of {})", self.count, self.len)
    }
}

struct Ones<'a> {
    set: &'a Bitfield,
    at: usize,
    word: u64,
}

impl Iterator for Ones<'_> {
    type Item = PieceIndex;

    fn next(&mut self) -> Option<PieceIndex> {
        while self.word == 0 {
            self.at += 1;
            if self.at >= self.set.word_count() {
                return None;
            }
            self.word = self.set.word(self.at);
        }
        let bit = self.word.leading_zeros();
        self.word &= !(1 << (63 - bit));
        // The index is below `len`, a u32, because spare bits are 0.
        Some(PieceIndex(self.at as u32 * 64 + bit))
    }
}

fn mask(piece: PieceIndex) -> u64 {
    1 << (63 - piece.0 % 64)
}

fn wire_len(len: u32) -> usize {
    len.div_ceil(8) as usize
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn first_piece_is_the_highest_bit() {
        let mut b = Bitfield::new(10);
        assert!(b.set(PieceIndex(0)) && b.set(PieceIndex(9)));
        assert_eq!(b.to_wire(), [0x80, 0x40]);
        assert_eq!(Bitfield::full(10).to_wire(), [0xff, 0xc0]);
    }

    #[test]
    fn wrong_length_is_refused() {
        for bytes in [&[0u8; 0][..], &[0; 1], &[0; 3]] {
            assert!(matches!(Bitfield::from_wire(bytes, 10), Err(BitfieldError::Length { expected: 2, .. })));
        }
    }

    #[test]
    fn spare_bits_are_refused() {
        for spare in 0..6 {
            let bytes = [0, 1 << spare];
            assert_eq!(
                Bitfield::from_wire(&bytes, 10),
                Err(BitfieldError::SpareBits { pieces: 10 }),
                "{spare}"
            );
        }
        assert!(Bitfield::from_wire(&[0xff, 0xff], 16).is_ok());
    }

    #[test]
    fn pieces_outside_change_nothing() {
        let mut b = Bitfield::full(65);
        for piece in [65, 127, 128, u32::MAX].map(PieceIndex) {
            assert!(!b.get(piece) && !b.set(piece) && !b.clear(piece));
        }
        assert_eq!(b, Bitfield::full(65));
        assert!(b.is_full());
    }

    proptest! {
        #[test]
        fn behaves_as_a_set(
            len in 1..300u32,
            steps in prop::collection::vec((0..320u32, any::<bool>()), 0..200),
        ) {
            let (mut bits, mut set) = (Bitfield::new(len), BTreeSet::new());
            for (piece, add) in steps {
                let exists = piece < len;
                if add {
                    prop_assert_eq!(bits.set(PieceIndex(piece)), exists && set.insert(piece));
                } else {
                    prop_assert_eq!(bits.clear(PieceIndex(piece)), exists && set.remove(&piece));
                }
            }
            prop_assert_eq!(bits.count() as usize, set.len());
            prop_assert_eq!(bits.iter_ones().map(|p| p.0).collect::<Vec<_>>(), set.into_iter().collect::<Vec<_>>());
            prop_assert_eq!(Bitfield::from_wire(&bits.to_wire(), len), Ok(bits.clone()));
            prop_assert_eq!(bits.any_and_not(&Bitfield::new(len)), !bits.is_empty_set());
            prop_assert_eq!(Bitfield::full(len).any_and_not(&bits), !bits.is_full());
            prop_assert!(!bits.any_and_not(&Bitfield::full(len)));
        }

        #[test]
        fn any_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..40), len in any::<u32>()) {
            if let Ok(bits) = Bitfield::from_wire(&bytes, len) {
                prop_assert_eq!(bits.to_wire(), bytes);
            }
        }
    }
}
