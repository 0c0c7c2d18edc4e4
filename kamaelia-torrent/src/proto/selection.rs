//! Which files of a torrent are wanted, and how soon.

use std::fmt;

use super::bitfield::Bitfield;
use super::geometry::{Geometry, PieceIndex};
use super::metainfo::{FileEntry, Metainfo};

/// How soon something is fetched: 0 never, 1 last, 4 as usual, 7 first.
///
/// ```
/// use kamaelia_torrent::proto::Priority;
///
/// assert_eq!(Priority::new(7), Some(Priority::HIGHEST));
/// assert_eq!(Priority::new(8), None);
/// assert!(Priority::default() == Priority::NORMAL && !Priority::SKIP.is_wanted());
/// ```
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Priority(u8);

impl Priority {
    /// Not to be fetched.
    pub const SKIP: Priority = Priority(0);
    /// After everything else.
    pub const LOWEST: Priority = Priority(1);
    /// As usual.
    pub const NORMAL: Priority = Priority(4);
    /// Before everything else.
    pub const HIGHEST: Priority = Priority(7);

    /// The priority of this level, `None` above 7.
    pub const fn new(level: u8) -> Option<Priority> {
        if level <= Priority::HIGHEST.0 { Some(Priority(level)) } else { None }
    }

    /// The level, 0 to 7.
    pub const fn level(self) -> u8 {
        self.0
    }

    /// Whether it is to be fetched at all.
    pub const fn is_wanted(self) -> bool {
        self.0 > 0
    }
}

impl Default for Priority {
    fn default() -> Priority {
        Priority::NORMAL
    }
}

impl fmt::Display for Priority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Priorities of the files of a torrent, and what follows for its pieces.
///
/// A piece is as urgent as the most urgent of the files that it lies in, so an unwanted file next to a wanted one is
/// fetched in part. Padding (BEP 47) and empty files count for nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selection {
    files: Box<[Priority]>,
    wanted: Bitfield,
    wanted_len: u64,
}

impl Selection {
    /// What `priorities` (one for each file; files beyond them are [`NORMAL`](Priority::NORMAL)) mean for a torrent;
    /// `None` if all of them are normal, which needs no memory and no thought.
    pub fn new(metainfo: &Metainfo, priorities: &[Priority]) -> Option<Selection> {
        let count = metainfo.files().len();
        let files: Box<[Priority]> =
            (0..count).map(|i| priorities.get(i).copied().unwrap_or_default()).collect();
        if files.iter().all(|priority| *priority == Priority::NORMAL) {
            return None;
        }
        let geometry = metainfo.geometry();
        let mut wanted = Bitfield::new(geometry.piece_count());
        for (file, _) in metainfo.files().iter().zip(&files).filter(|(_, priority)| priority.is_wanted()) {
            pieces_of(&geometry, file).for_each(|piece| {
                wanted.set(piece);
            });
        }
        let wanted_len = len_of(&geometry, &wanted);
        Some(Selection { files, wanted, wanted_len })
    }

    /// The priorities of the files.
    pub fn files(&self) -> &[Priority] {
        &self.files
    }

    /// The pieces to be fetched.
    pub fn wanted(&self) -> &Bitfield {
        &self.wanted
    }

    /// Length of the pieces to be fetched, bytes.
    pub fn wanted_len(&self) -> u64 {
        self.wanted_len
    }

    /// Length of the pieces to be fetched that are not in `have`, bytes. Looks at 64 pieces at a time.
    pub fn wanted_left(&self, geometry: &Geometry, have: &Bitfield) -> u64 {
        let missing = |at| u64::from((self.wanted.word(at) & !have.word(at)).count_ones());
        let count: u64 = (0..self.wanted.word_count()).map(missing).sum();
        let last = PieceIndex(geometry.piece_count() - 1);
        let short = if self.wanted.get(last) && !have.get(last) { shortage(geometry) } else { 0 };
        count * u64::from(geometry.piece_len()) - short
    }

    /// The priority of each piece.
    pub fn pieces(&self, metainfo: &Metainfo) -> Vec<Priority> {
        let geometry = metainfo.geometry();
        let mut pieces = vec![Priority::SKIP; geometry.piece_count() as usize];
        for (file, priority) in metainfo.files().iter().zip(&self.files) {
            for piece in pieces_of(&geometry, file) {
                let piece = &mut pieces[piece.as_usize()];
                *piece = (*piece).max(*priority);
            }
        }
        pieces
    }
}

/// The pieces in which a file lies; none for padding and empty files.
pub fn pieces_of(geometry: &Geometry, file: &FileEntry) -> impl Iterator<Item = PieceIndex> + use<> {
    let piece_len = u64::from(geometry.piece_len());
    let range = if file.len == 0 || file.pad {
        0..0
    } else {
        file.offset / piece_len..(file.offset + file.len - 1) / piece_len + 1
    };
    // A torrent has at most 2^21 pieces.
    range.map(|piece| PieceIndex(piece as u32))
}

/// Length of a set of pieces, bytes.
pub fn len_of(geometry: &Geometry, pieces: &Bitfield) -> u64 {
    let last = PieceIndex(geometry.piece_count() - 1);
    let short = if pieces.get(last) { shortage(geometry) } else { 0 };
    u64::from(pieces.count()) * u64::from(geometry.piece_len()) - short
}

/// By how much the last piece is shorter than the others, bytes.
fn shortage(geometry: &Geometry) -> u64 {
    u64::from(geometry.piece_len() - geometry.piece_size(PieceIndex(geometry.piece_count() - 1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Files of these lengths in pieces of 10 bytes; every one called `.pad` is padding.
    fn torrent(files: &[(&str, u64)]) -> Metainfo {
        let total: u64 = files.iter().map(|(_, len)| len).sum();
        let hashes = "x".repeat(total.div_ceil(10) as usize * 20);
        let files: String = files
            .iter()
            .map(|(name, len)| {
                let attr = if *name == ".pad" { "4:attr1:p" } else { "" };
                format!("d{attr}6:lengthi{len}e4:pathl{}:{name}ee", name.len())
            })
            .collect();
        let text = format!(
            "d4:infod5:filesl{files}e4:name1:t12:piece lengthi10e6:pieces{}:{hashes}ee",
            hashes.len()
        );
        Metainfo::parse(text.as_bytes()).unwrap()
    }

    fn levels(levels: &[u8]) -> Vec<Priority> {
        levels.iter().map(|level| Priority::new(*level).unwrap()).collect()
    }

    #[test]
    fn a_piece_has_the_highest_priority_of_its_files() {
        // Pieces: a a|b b .pad|c c|c (5 bytes)
        let m = torrent(&[("a", 15), ("b", 10), (".pad", 5), ("empty", 0), ("c", 15)]);
        let s = Selection::new(&m, &levels(&[2, 0, 7, 7, 1])).unwrap();
        assert_eq!(s.pieces(&m), levels(&[2, 2, 0, 1, 1]));
        assert_eq!(s.wanted().iter_ones().map(|p| p.0).collect::<Vec<_>>(), [0, 1, 3, 4]);
        assert_eq!(s.wanted_len(), 35);
        let mut have = Bitfield::new(5);
        assert_eq!(s.wanted_left(&m.geometry(), &have), 35);
        have.set(PieceIndex(4));
        have.set(PieceIndex(2));
        assert_eq!(s.wanted_left(&m.geometry(), &have), 30);
        assert_eq!(s.wanted_left(&m.geometry(), &Bitfield::full(5)), 0);
    }

    #[test]
    fn all_normal_is_nothing_special_and_nothing_wanted_is_sensible() {
        let m = torrent(&[("a", 15), ("b", 10)]);
        assert_eq!(Selection::new(&m, &[]), None);
        assert_eq!(Selection::new(&m, &levels(&[4, 4])), None);
        // What is not said is normal; what is too much is ignored.
        assert!(Selection::new(&m, &levels(&[5])).unwrap().wanted().is_full());
        assert_eq!(Selection::new(&m, &levels(&[4, 4, 0])), None);
        let none = Selection::new(&m, &levels(&[0, 0])).unwrap();
        assert_eq!((none.wanted_len(), none.wanted_left(&m.geometry(), &Bitfield::new(3))), (0, 0));
    }
}
