//! The byte stream of a torrent laid over its files.

use crate::proto::metainfo::FileEntry;

/// A part of the stream that lies within one file.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) struct Segment {
    /// Number of the file.
    pub(crate) file: usize,
    /// Offset in the file, bytes.
    pub(crate) offset: u64,
    /// Length, bytes; never 0.
    pub(crate) len: u64,
    /// BEP 47: padding, zeros that are never stored.
    pub(crate) pad: bool,
}

/// The files under `len` bytes of the stream from `offset` on, in order. What lies beyond the last file is left out.
pub(crate) fn segments(files: &[FileEntry], offset: u64, len: u64) -> impl Iterator<Item = Segment> + '_ {
    let end = offset.saturating_add(len);
    // Files are in the order of the stream, so the first one that ends after `offset` is found by bisection.
    let first = files.partition_point(|f| f.offset + f.len <= offset);
    files[first..].iter().enumerate().take_while(move |(_, f)| f.offset < end).filter_map(move |(i, f)| {
        let from = offset.max(f.offset);
        let to = end.min(f.offset + f.len);
        (from < to).then(|| Segment { file: first + i, offset: from - f.offset, len: to - from, pad: f.pad })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn entries(lens: &[u64]) -> Vec<FileEntry> {
        let mut offset = 0;
        let mut files = Vec::new();
        for (i, &len) in lens.iter().enumerate() {
            files.push(FileEntry { path: format!("f{i}").into(), len, offset, pad: i % 5 == 4 });
            offset += len;
        }
        files
    }

    #[test]
    fn empty_files_have_no_segment() {
        let files = entries(&[0, 3, 0, 0, 4, 0]);
        let got: Vec<_> = segments(&files, 0, 7).map(|s| (s.file, s.offset, s.len, s.pad)).collect();
        assert_eq!(got, [(1, 0, 3, false), (4, 0, 4, true)]);
        assert_eq!(segments(&files, 7, 1).count(), 0);
        assert_eq!(segments(&files, 3, 0).count(), 0);
    }

    proptest! {
        #[test]
        fn segments_cover_the_range_once(lens in prop::collection::vec(0u64..9, 0..12), offset in 0u64..60, len in 0u64..60) {
            let files = entries(&lens);
            let total: u64 = lens.iter().sum();
            let mut at = offset;
            for s in segments(&files, offset, len) {
                prop_assert!(s.len > 0);
                prop_assert_eq!(files[s.file].offset + s.offset, at);
                prop_assert!(s.offset + s.len <= files[s.file].len);
                at += s.len;
            }
            let expected = (offset + len).min(total).max(offset);
            prop_assert_eq!(at, expected);
        }
    }
}
