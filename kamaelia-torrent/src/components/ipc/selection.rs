//! Requests about the files of a torrent.

use std::fmt;

use crate::engine::TorrentId;
use crate::proto::selection::Priority;

/// Says how soon files of a torrent are fetched, or that they are not. An addition to the original's messages.
///
/// Files that are not named stay as they are. There is no answer unless it cannot be done; then it is
/// [`RequestFailed`](super::TorrentEvent::RequestFailed), and nothing was changed.
///
/// ```
/// use kamaelia_torrent::{components::SetFilePriorities, engine::TorrentId, proto::Priority};
///
/// let request = SetFilePriorities {
///     torrent_id: TorrentId(1),
///     priorities: vec![(0, Priority::HIGHEST), (2, Priority::SKIP)],
/// };
/// assert_eq!(request.to_string(), "Set priorities of 2 files of torrent 1");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetFilePriorities {
    /// The torrent.
    pub torrent_id: TorrentId,
    /// Files, counted from 0 in the order of the torrent with padding included, and their priorities.
    pub priorities: Vec<(usize, Priority)>,
}

impl fmt::Display for SetFilePriorities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Set priorities of {} files of torrent {}", self.priorities.len(), self.torrent_id)
    }
}

/// Asks for the files of a torrent; answered by [`TorrentFiles`](super::TorrentEvent::TorrentFiles). An addition to the
/// original's messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListFiles {
    /// The torrent.
    pub torrent_id: TorrentId,
}

impl fmt::Display for ListFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "List files of torrent {}", self.torrent_id)
    }
}
