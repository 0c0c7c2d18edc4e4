//! Sizes and positions: how the bytes of a torrent fall into pieces and blocks.

use std::fmt;

/// Length of a block, the unit of a request, in bytes (16 KiB, what every client asks for).
pub const BLOCK_LEN: u32 = 16 * 1024;

/// Number of a piece, the hashed unit of a torrent, counted from 0.
#[derive(Copy, Clone, Eq, PartialEq, Ord, PartialOrd, Hash, Debug)]
pub struct PieceIndex(pub u32);

impl PieceIndex {
    /// The number as an index into a slice.
    pub fn as_usize(self) -> usize {
        self.0 as usize
    }
}

impl fmt::Display for PieceIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One fetching of a piece.
///
/// A piece may be fetched several times: the disk refuses a part, a hash is wrong, it is given up and wanted again. What
/// the disk has to say about an earlier fetching must not be taken for a verdict on a later one, which others sent.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub struct Fetch {
    /// The piece.
    pub piece: PieceIndex,
    /// Which of its fetchings; of one torrent no two are alike.
    pub attempt: u64,
}

impl From<PieceIndex> for Fetch {
    /// The only fetching of a piece that is fetched once.
    fn from(piece: PieceIndex) -> Fetch {
        Fetch { piece, attempt: 0 }
    }
}

/// A range of bytes inside one piece, as asked for by a `request` message (BEP 3).
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub struct BlockRequest {
    /// The piece.
    pub piece: PieceIndex,
    /// Offset in the piece, bytes.
    pub begin: u32,
    /// Length, bytes.
    pub len: u32,
}

/// Sizes of a torrent: total length and piece length. Cheap to copy.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Geometry {
    total_len: u64,
    piece_len: u32,
    piece_count: u32,
}

/// Why sizes cannot be those of a torrent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GeometryError {
    /// There are no bytes, so there is nothing to share or to verify.
    #[error("the torrent holds no data (total length 0)")]
    Empty,
    /// More bytes than [`MAX_TOTAL_LEN`].
    #[error("total length {0} is more than {MAX_TOTAL_LEN} bytes")]
    TotalLen(u64),
    /// Piece length 0 or above [`MAX_PIECE_LEN`].
    #[error("piece length {0} is not between 1 and {MAX_PIECE_LEN} bytes")]
    PieceLen(u64),
    /// More pieces than [`MAX_PIECES`].
    #[error("{0} pieces are more than {MAX_PIECES}")]
    Pieces(u64),
}

impl Geometry {
    /// Sizes of a torrent of `total_len` bytes in pieces of `piece_len` bytes, the last one possibly shorter.
    ///
    /// # Errors
    ///
    /// Lengths of 0 and those above the caps of this module.
    pub fn new(total_len: u64, piece_len: u32) -> Result<Geometry, GeometryError> {
        if total_len == 0 {
            return Err(GeometryError::Empty);
        }
        if total_len > MAX_TOTAL_LEN {
            return Err(GeometryError::TotalLen(total_len));
        }
        if piece_len == 0 || piece_len > MAX_PIECE_LEN {
            return Err(GeometryError::PieceLen(piece_len.into()));
        }
        let count = total_len.div_ceil(piece_len.into());
        match u32::try_from(count) {
            Ok(piece_count) if piece_count <= MAX_PIECES => {
                Ok(Geometry { total_len, piece_len, piece_count })
            }
            _ => Err(GeometryError::Pieces(count)),
        }
    }

    /// Length of all files together, bytes.
    pub fn total_len(&self) -> u64 {
        self.total_len
    }

    /// Length of every piece but the last, bytes.
    pub fn piece_len(&self) -> u32 {
        self.piece_len
    }

    /// Number of pieces, at least 1.
    pub fn piece_count(&self) -> u32 {
        self.piece_count
    }

    /// All pieces in order.
    pub fn pieces(&self) -> impl ExactSizeIterator<Item = PieceIndex> + use<> {
        (0..self.piece_count).map(PieceIndex)
    }

    /// Length of a piece in bytes: the last one may be shorter, one that does not exist has 0.
    pub fn piece_size(&self, piece: PieceIndex) -> u32 {
        let rest = self.total_len.saturating_sub(self.piece_offset(piece));
        // At most the piece length, which is a u32.
        rest.min(self.piece_len.into()) as u32
    }

    /// Offset of a piece in the torrent's byte stream, bytes.
    pub fn piece_offset(&self, piece: PieceIndex) -> u64 {
        // Two u32 factors: the product fits.
        u64::from(piece.0) * u64::from(self.piece_len)
    }

    /// Number of blocks of a piece; 0 for one that does not exist.
    pub fn block_count(&self, piece: PieceIndex) -> u32 {
        self.piece_size(piece).div_ceil(BLOCK_LEN)
    }

    /// A block of a piece, the last one possibly shorter; its length is 0 if there is no such block.
    pub fn block(&self, piece: PieceIndex, block: u32) -> BlockRequest {
        let begin = block.saturating_mul(BLOCK_LEN);
        let len = self.piece_size(piece).saturating_sub(begin).min(BLOCK_LEN);
        BlockRequest { piece, begin, len }
    }

    /// Whether a request lies inside its piece and asks for at least one byte.
    pub fn contains(&self, request: &BlockRequest) -> bool {
        request.len > 0
            && request.begin.checked_add(request.len).is_some_and(|end| end <= self.piece_size(request.piece))
    }
}

/// Most bytes of a torrent: 256 TiB, libtorrent's limit; leaves room for sums of offsets in `u64`.
pub const MAX_TOTAL_LEN: u64 = 1 << 48;

/// Longest piece, bytes: 256 MiB. Real torrents stay at or below 64 MiB; a piece is what has to be fetched again
/// when one bit is wrong.
pub const MAX_PIECE_LEN: u32 = 256 * 1024 * 1024;

/// Most pieces, libtorrent's limit (2^21): 40 MiB of hashes, and a bitfield message of 256 KiB.
pub const MAX_PIECES: u32 = 1 << 21;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn last_piece_and_last_block_are_shorter() {
        let g = Geometry::new(100_000, 40_000).unwrap();
        assert_eq!(g.piece_count(), 3);
        assert_eq!(g.pieces().map(|p| g.piece_size(p)).collect::<Vec<_>>(), [40_000, 40_000, 20_000]);
        assert_eq!(g.piece_offset(PieceIndex(2)), 80_000);
        assert_eq!(g.block_count(PieceIndex(0)), 3);
        assert_eq!(g.block(PieceIndex(0), 2).len, 40_000 - 2 * BLOCK_LEN);
        assert_eq!(g.block_count(PieceIndex(2)), 2);
        assert_eq!(
            g.block(PieceIndex(2), 1),
            BlockRequest { piece: PieceIndex(2), begin: BLOCK_LEN, len: 3_616 }
        );
    }

    #[test]
    fn exact_multiple_has_a_full_last_piece() {
        let g = Geometry::new(3 * 65_536, 65_536).unwrap();
        assert_eq!(g.piece_count(), 3);
        assert_eq!(g.piece_size(PieceIndex(2)), 65_536);
    }

    #[test]
    fn absurd_sizes_are_refused() {
        assert_eq!(Geometry::new(0, 16_384), Err(GeometryError::Empty));
        assert_eq!(Geometry::new(1, 0), Err(GeometryError::PieceLen(0)));
        assert_eq!(Geometry::new(1, u32::MAX), Err(GeometryError::PieceLen(u32::MAX.into())));
        assert_eq!(Geometry::new(u64::MAX, 16_384), Err(GeometryError::TotalLen(u64::MAX)));
        assert_eq!(Geometry::new(1 << 22, 1), Err(GeometryError::Pieces(1 << 22)));
        assert!(Geometry::new(1 << 21, 1).is_ok());
        assert!(Geometry::new(MAX_TOTAL_LEN, MAX_PIECE_LEN).is_ok());
    }

    #[test]
    fn what_does_not_exist_is_empty_and_not_contained() {
        let g = Geometry::new(100_000, 40_000).unwrap();
        for piece in [3, 4, u32::MAX] {
            let piece = PieceIndex(piece);
            assert_eq!((g.piece_size(piece), g.block_count(piece)), (0, 0));
            assert!(!g.contains(&BlockRequest { piece, begin: 0, len: 1 }));
        }
        assert_eq!(g.block(PieceIndex(0), u32::MAX).len, 0);
        assert!(!g.contains(&BlockRequest { piece: PieceIndex(0), begin: 0, len: 0 }));
        assert!(!g.contains(&BlockRequest { piece: PieceIndex(0), begin: u32::MAX, len: 2 }));
        assert!(!g.contains(&BlockRequest { piece: PieceIndex(2), begin: 4_000, len: 16_384 }));
    }

    proptest! {
        #[test]
        fn pieces_and_blocks_cover_every_byte_once(total in 1..5_000_000u64, piece_len in 1..2_000_000u32) {
            prop_assume!(total.div_ceil(piece_len.into()) <= 2_000);
            let g = Geometry::new(total, piece_len).unwrap();
            let mut at = 0;
            for piece in g.pieces() {
                prop_assert_eq!(g.piece_offset(piece), at);
                let mut begin = 0;
                for block in (0..g.block_count(piece)).map(|b| g.block(piece, b)) {
                    prop_assert_eq!(block.begin, begin);
                    prop_assert!(g.contains(&block));
                    begin += block.len;
                }
                prop_assert_eq!(begin, g.piece_size(piece));
                at += u64::from(begin);
            }
            prop_assert_eq!(at, total);
        }
    }
}
