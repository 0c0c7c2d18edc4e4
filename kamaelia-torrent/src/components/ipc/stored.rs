//! Messages about torrents that outlive a run.

use std::fmt;

use super::RequestTag;
use crate::engine::TorrentId;

/// Asks for all torrents of earlier sessions, which are in the client's
/// [`state_dir`](crate::engine::Settings::state_dir). An addition to the original's messages.
///
/// Each that comes is told of by [`TorrentRestored`](super::TorrentEvent::TorrentRestored) and belongs to the asker;
/// [`RestoreEnded`](super::TorrentEvent::RestoreEnded) is the answer. Those that are here already are left alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RestoreTorrents {
    /// Comes back with each torrent and in the answer.
    pub tag: Option<RequestTag>,
}

impl fmt::Display for RestoreTorrents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Restore the torrents of earlier sessions")
    }
}

/// Closes a torrent and forgets it, so that it does not come back in a later session; files stay. An addition to the
/// original's messages.
///
/// A torrent that others asked for too goes on for them, as with [`CloseTorrent`](super::CloseTorrent) (D-45).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RemoveTorrent {
    /// The torrent. For an unknown one there is a [`RequestFailed`](super::TorrentEvent::RequestFailed).
    pub torrent_id: TorrentId,
}

impl fmt::Display for RemoveTorrent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Remove torrent {}", self.torrent_id)
    }
}
