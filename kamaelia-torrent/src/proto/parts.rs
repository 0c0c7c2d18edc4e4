//! The layout of a part file: where the parts of unwanted files are kept that came with pieces of wanted ones.
//!
//! The file begins with a [`Layout`] block that names the torrent. Then come slots of equal length, each for one piece:
//! a header that says which files' parts of the piece are there, and room for the whole piece, in which only these
//! parts are filled (the rest is a hole). A slot is written data first; its header goes from one state to the
//! next in one write and carries a check sum, so a crash leaves a slot that is free, or one whose piece has to pass its
//! hash anyway. Like everything from disk it may have been changed by anyone: whatever the bytes are, reading them
//! gives parts that fit the torrent, or nothing.

use sha1::{Digest, Sha1};

use super::geometry::{Geometry, PieceIndex};
use super::info_hash::InfoHash;
use super::metainfo::{FileEntry, Metainfo};
use super::selection::pieces_of;

/// Where things are in the part file of a torrent. Follows from the torrent alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    info_hash: InfoHash,
    header_len: u64,
    slot_len: u64,
    piece_count: u32,
}

/// What a slot holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlotHeader {
    /// Of this piece …
    pub piece: PieceIndex,
    /// … the parts of these files, in rising order.
    pub files: Vec<u32>,
}

impl Layout {
    /// The layout for a torrent. Looks at every file once.
    pub fn new(metainfo: &Metainfo) -> Layout {
        let geometry = metainfo.geometry();
        let header = FIXED_LEN + 4 * most_files(&geometry, metainfo.files());
        let header_len = header.next_multiple_of(ALIGN);
        Layout {
            info_hash: metainfo.info_hash(),
            header_len,
            slot_len: header_len + u64::from(geometry.piece_len()).next_multiple_of(ALIGN),
            piece_count: geometry.piece_count(),
        }
    }

    /// The block that begins the file.
    pub fn encode(&self) -> Vec<u8> {
        let mut block = MAGIC.to_vec();
        block.extend(self.info_hash.0);
        block.extend(self.slot_len.to_be_bytes());
        block.extend(Sha1::digest(&block));
        block.resize(ALIGN as usize, 0);
        block
    }

    /// Whether `block` begins a part file of this torrent, with this layout.
    pub fn fits(&self, block: &[u8]) -> bool {
        block == self.encode()
    }

    /// Length of the block that begins the file, bytes.
    pub fn start_len(&self) -> usize {
        ALIGN as usize
    }

    /// Slots in a file of this length; never more than there are pieces.
    pub fn slots(&self, file_len: u64) -> u32 {
        let slots = file_len.saturating_sub(ALIGN).div_ceil(self.slot_len);
        u32::try_from(slots).unwrap_or(u32::MAX).min(self.piece_count)
    }

    /// Offset of a slot's header, bytes.
    pub fn header_offset(&self, slot: u32) -> u64 {
        // A slot is at most 256 MiB and a header of 2 MiB; times 2^32 that fits.
        ALIGN + u64::from(slot) * self.slot_len
    }

    /// Length of a slot's header, bytes.
    pub fn header_len(&self) -> usize {
        self.header_len as usize
    }

    /// Offset of a slot's data, where its piece would begin, bytes.
    pub fn data_offset(&self, slot: u32) -> u64 {
        self.header_offset(slot) + self.header_len
    }

    /// The header of a slot, or that of a free one.
    ///
    /// # Panics
    ///
    /// If there are more files than any piece of the torrent lies in.
    pub fn encode_slot(&self, slot: u32, header: Option<&SlotHeader>) -> Vec<u8> {
        let Some(header) = header else { return vec![0; self.header_len()] };
        let mut bytes = SLOT_MAGIC.to_vec();
        bytes.extend(header.piece.0.to_be_bytes());
        // Each file of the list is one of the torrent, of which there are fewer than 2^32.
        bytes.extend((header.files.len() as u32).to_be_bytes());
        header.files.iter().for_each(|file| bytes.extend(file.to_be_bytes()));
        let sum = self.sum(slot, &bytes);
        bytes.extend(sum);
        assert!(bytes.len() <= self.header_len(), "more files than the piece lies in");
        bytes.resize(self.header_len(), 0);
        bytes
    }

    /// What the header of a slot says; `None` if it is free, damaged, or does not fit the torrent.
    pub fn parse_slot(&self, slot: u32, bytes: &[u8], metainfo: &Metainfo) -> Option<SlotHeader> {
        let rest = bytes.strip_prefix(SLOT_MAGIC)?;
        let (piece, rest) = rest.split_first_chunk()?;
        let (count, _) = rest.split_first_chunk()?;
        let count = u32::from_be_bytes(*count) as usize;
        let end = count.checked_mul(4)?.checked_add(SLOT_MAGIC.len() + 8)?;
        let (body, sum) = (bytes.get(..end)?, bytes.get(end..end.checked_add(20)?)?);
        if sum != self.sum(slot, body) {
            return None;
        }
        let piece = PieceIndex(u32::from_be_bytes(*piece));
        let (files, _) = body.get(SLOT_MAGIC.len() + 8..)?.as_chunks();
        let files: Vec<u32> = files.iter().map(|file| u32::from_be_bytes(*file)).collect();
        let geometry = metainfo.geometry();
        let lies_in = |file: &u32| {
            let file = metainfo.files().get(*file as usize);
            file.is_some_and(|file| overlaps(&geometry, file, piece))
        };
        let fits = piece.0 < geometry.piece_count()
            && !files.is_empty()
            && files.is_sorted_by(|a, b| a < b)
            && files.iter().all(lies_in);
        fits.then_some(SlotHeader { piece, files })
    }

    /// Over the torrent and the number of the slot too: a header in a wrong place is none.
    fn sum(&self, slot: u32, body: &[u8]) -> [u8; 20] {
        Sha1::new()
            .chain_update(self.info_hash.0)
            .chain_update(slot.to_be_bytes())
            .chain_update(body)
            .finalize()
            .into()
    }
}

/// Whether any byte of a file that is stored lies in the piece.
fn overlaps(geometry: &Geometry, file: &FileEntry, piece: PieceIndex) -> bool {
    let start = geometry.piece_offset(piece);
    let end = start + u64::from(geometry.piece_size(piece));
    !file.pad && file.len > 0 && file.offset < end && file.offset + file.len > start
}

/// The most files that lie in one piece.
fn most_files(geometry: &Geometry, files: &[FileEntry]) -> u64 {
    let (mut most, mut count, mut piece) = (1, 0, None);
    for file in files {
        // Of the pieces of a file only the first can hold files before it.
        let mut pieces = pieces_of(geometry, file);
        let Some(first) = pieces.next() else { continue };
        count = if piece == Some(first) { count + 1 } else { 1 };
        most = most.max(count);
        if let Some(last) = pieces.last() {
            (piece, count) = (Some(last), 1);
        } else {
            piece = Some(first);
        }
    }
    most
}

const MAGIC: &[u8; 8] = b"KTparts1";
const SLOT_MAGIC: &[u8; 4] = b"slot";
/// Everything of a slot's header but the list of files.
const FIXED_LEN: u64 = 4 + 4 + 4 + 20;
/// Headers and data begin at multiples of this, the block of most file systems.
const ALIGN: u64 = 4096;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Three files of 7, 0 and 26 bytes and padding, in pieces of 10.
    fn torrent() -> Metainfo {
        let text = [
            "d4:infod5:filesld6:lengthi7e4:pathl1:aeed6:lengthi0e4:pathl1:beed6:lengthi26e4:pathl1:cee",
            "d4:attr1:p6:lengthi7e4:pathl1:peee4:name1:t12:piece lengthi10e6:pieces80:",
            &"x".repeat(80),
            "ee",
        ]
        .concat();
        Metainfo::parse(text.as_bytes()).unwrap()
    }

    fn header(piece: u32, files: &[u32]) -> SlotHeader {
        SlotHeader { piece: PieceIndex(piece), files: files.to_vec() }
    }

    #[test]
    fn headers_come_back_as_they_were() {
        let (m, layout) = (torrent(), Layout::new(&torrent()));
        assert!(layout.fits(&layout.encode()));
        for (slot, header) in [(0, header(0, &[0, 2])), (3, header(3, &[2]))] {
            let bytes = layout.encode_slot(slot, Some(&header));
            assert_eq!(bytes.len(), layout.header_len());
            assert_eq!(layout.parse_slot(slot, &bytes, &m), Some(header));
            assert_eq!(layout.parse_slot(slot + 1, &bytes, &m), None, "in the place of another");
        }
        assert_eq!(layout.parse_slot(0, &layout.encode_slot(0, None), &m), None);
    }

    #[test]
    fn headers_that_do_not_fit_the_torrent_are_not_believed() {
        let (m, layout) = (torrent(), Layout::new(&torrent()));
        let bad = [
            header(4, &[2]),    // no such piece
            header(0, &[]),     // nothing
            header(0, &[2, 0]), // order
            header(0, &[0, 0]), // twice
            header(1, &[0]),    // does not lie there
            header(0, &[1]),    // empty
            header(3, &[3]),    // padding
            header(0, &[9]),    // no such file
            header(u32::MAX, &[2]),
        ];
        for header in bad {
            assert_eq!(layout.parse_slot(0, &layout.encode_slot(0, Some(&header)), &m), None, "{header:?}");
        }
    }

    #[test]
    fn a_header_has_room_for_all_files_of_a_piece() {
        let files: String = (0..3000).map(|i| format!("d6:lengthi1e4:pathl4:{i:04}ee")).collect();
        let text =
            format!("d4:infod5:filesl{files}e4:name1:t12:piece lengthi2000e6:pieces40:{}ee", "x".repeat(40));
        let m = Metainfo::parse(text.as_bytes()).unwrap();
        let layout = Layout::new(&m);
        let all = SlotHeader { piece: PieceIndex(0), files: (0..2000).collect() };
        assert_eq!(layout.parse_slot(0, &layout.encode_slot(0, Some(&all)), &m), Some(all));
        assert_eq!(layout.header_len(), 12_288 - 4096);
    }

    #[test]
    fn a_file_of_absurd_length_has_as_many_slots_as_pieces_at_most() {
        let layout = Layout::new(&torrent());
        assert_eq!(layout.slots(u64::MAX), 4);
        assert_eq!((layout.slots(0), layout.slots(4096), layout.slots(4097)), (0, 0, 1));
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_header_that_fits_or_none(bytes in prop::collection::vec(any::<u8>(), 0..200), at in any::<prop::sample::Index>(), change in 1..=255u8) {
            let (m, layout) = (torrent(), Layout::new(&torrent()));
            prop_assert_eq!(layout.parse_slot(0, &bytes, &m), None);
            let mut good = layout.encode_slot(1, Some(&header(1, &[2])));
            let at = at.index(36);
            good[at] ^= change;
            prop_assert_eq!(layout.parse_slot(1, &good, &m), None);
        }
    }
}
