//! Messages to read files while they come, and to say when pieces are needed. Additions to the original's.

use std::fmt;
use std::time::Duration;

use super::RequestTag;
use crate::engine::{DEFAULT_AHEAD, FileRange, TorrentId};

/// Asks for the bytes of a file, in order, as soon as they are verified. They are fetched before all others.
///
/// [`FileData`](super::TorrentEvent::FileData) brings them, [`ReadEnded`](super::TorrentEvent::ReadEnded) follows the
/// last, or says what was wrong. While 1 MiB of them is kept, no more is sent. A second request with the same tag takes
/// the place of the first: a jump. Chunks that are on their way then still come; the first that begins at the new offset
/// is of the new place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadFile {
    /// The torrent.
    pub torrent_id: TorrentId,
    /// The file, counted from 0.
    pub file: usize,
    /// Where to begin, bytes from the start of the file.
    pub offset: u64,
    /// How much, bytes; `None` means up to the end.
    pub len: Option<u64>,
    /// How far ahead pieces are fetched before all others, bytes.
    pub ahead: u64,
    /// Comes back with the bytes.
    pub tag: RequestTag,
}

impl ReadFile {
    /// Asks for all of a file.
    pub fn whole(torrent_id: TorrentId, file: usize, tag: RequestTag) -> Self {
        Self { torrent_id, file, offset: 0, len: None, ahead: DEFAULT_AHEAD, tag }
    }

    pub(crate) fn range(&self) -> FileRange {
        FileRange { file: self.file, offset: self.offset, len: self.len, ahead: self.ahead }
    }
}

impl fmt::Display for ReadFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Read file {} of torrent {} from byte {}", self.file, self.torrent_id, self.offset)
    }
}

/// Ends a [`ReadFile`]; there is no answer. A tag that nothing is read under is ignored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StopReading {
    /// The torrent.
    pub torrent_id: TorrentId,
    /// The tag of the read.
    pub tag: RequestTag,
}

impl fmt::Display for StopReading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Stop reading of torrent {}", self.torrent_id)
    }
}

/// Says when a piece is needed: it is fetched before those without a deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SetPieceDeadline {
    /// The torrent.
    pub torrent_id: TorrentId,
    /// The piece, counted from 0.
    pub piece: u32,
    /// In what time.
    pub within: Duration,
}

impl fmt::Display for SetPieceDeadline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fetch piece {} of torrent {} within {:?}", self.piece, self.torrent_id, self.within)
    }
}

/// Takes back every [`SetPieceDeadline`] of a torrent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClearPieceDeadlines {
    /// The torrent.
    pub torrent_id: TorrentId,
}

impl fmt::Display for ClearPieceDeadlines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "No piece of torrent {} is urgent", self.torrent_id)
    }
}
