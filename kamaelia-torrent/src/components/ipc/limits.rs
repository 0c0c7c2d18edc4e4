//! Messages about limits.

use std::fmt;

use crate::engine::{ConnectionLimits, Limits, TorrentId};

/// Limits what a torrent, or all of a client together, may transfer; counts at once. The answer is
/// [`LimitsChanged`](super::TorrentEvent::LimitsChanged), or
/// [`RequestFailed`](super::TorrentEvent::RequestFailed) if there is no such torrent. An addition to the original's
/// messages.
///
/// # Example
/// ```
/// use std::num::NonZeroU64;
/// use kamaelia_torrent::components::SetLimits;
/// use kamaelia_torrent::engine::Limits;
///
/// let request = SetLimits { torrent_id: None, limits: Limits { down: None, up: NonZeroU64::new(50_000) } };
/// assert_eq!(request.to_string(), "Limit all torrents to no limit down, 50000 B/s up");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SetLimits {
    /// The torrent; `None` for all together, whoever asked for them.
    pub torrent_id: Option<TorrentId>,
    /// Its limits from now on; without a number there is none.
    pub limits: Limits,
}

impl fmt::Display for SetLimits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Limit {} to {}", Whose(self.torrent_id), Rates(self.limits))
    }
}

/// Changes how many connections and upload slots a client may have; counts at once. The answer is
/// [`ConnectionLimitsChanged`](super::TorrentEvent::ConnectionLimitsChanged). An addition to the original's messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SetConnectionLimits {
    /// All of them, from now on.
    pub limits: ConnectionLimits,
}

impl fmt::Display for SetConnectionLimits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Allow {}", Connections(self.limits))
    }
}

/// Whom limits are for, as text.
pub(super) struct Whose(pub(super) Option<TorrentId>);

impl fmt::Display for Whose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(id) => write!(f, "torrent {id}"),
            None => f.write_str("all torrents"),
        }
    }
}

/// Limits as text.
pub(super) struct Rates(pub(super) Limits);

impl fmt::Display for Rates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rate = |limit: Option<std::num::NonZeroU64>| {
            limit.map_or_else(|| "no limit".to_owned(), |limit| format!("{limit} B/s"))
        };
        write!(f, "{} down, {} up", rate(self.0.down), rate(self.0.up))
    }
}

/// Limits of connections as text.
pub(super) struct Connections(pub(super) ConnectionLimits);

impl fmt::Display for Connections {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let l = &self.0;
        write!(f, "{} connections, {} a torrent", l.max_connections, l.max_peers_per_torrent)?;
        let slots =
            |slots: Option<usize>| slots.map_or_else(|| "any number of".to_owned(), |n| n.to_string());
        write!(f, ", {} upload slots, {} a torrent", slots(l.upload_slots), slots(l.upload_slots_per_torrent))
    }
}
