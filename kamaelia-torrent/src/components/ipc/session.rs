//! Messages about the session: pausing, queueing, stop rules, statistics, and news for those who subscribe.

use std::fmt;
use std::net::SocketAddr;
use std::ops::BitOr;

use super::RequestTag;
use crate::engine::{Activity, PauseCause, QueueLimits, StopRule, TorrentId};

/// Pauses a torrent, for all who asked for it: it leaves its peers and closes its files.
/// [`News::Paused`] follows for those who subscribed, and a status update says so to all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PauseTorrent {
    /// The torrent.
    pub torrent_id: TorrentId,
}

impl fmt::Display for PauseTorrent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pause torrent {}", self.torrent_id)
    }
}

/// Lets a paused torrent go on as soon as it is its turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResumeTorrent {
    /// The torrent.
    pub torrent_id: TorrentId,
}

impl fmt::Display for ResumeTorrent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Resume torrent {}", self.torrent_id)
    }
}

/// Pauses all torrents, for all who use the client. Each that was not paused says so, as after [`PauseTorrent`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PauseAllTorrents;

impl fmt::Display for PauseAllTorrents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pause all torrents")
    }
}

/// Lets all paused torrents go on, each as soon as it is its turn, for all who use the client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ResumeAllTorrents;

impl fmt::Display for ResumeAllTorrents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Resume all torrents")
    }
}

/// Moves a torrent in the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SetQueuePosition {
    /// The torrent.
    pub torrent_id: TorrentId,
    /// How many torrents are to be before it; beyond the number of torrents: the end.
    pub position: usize,
}

impl fmt::Display for SetQueuePosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Move torrent {} to position {} of the queue", self.torrent_id, self.position)
    }
}

/// Changes how many torrents may be active at a time, for all who use the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SetQueueLimits {
    /// The limits.
    pub limits: QueueLimits,
}

impl fmt::Display for SetQueueLimits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |limit: Option<usize>| limit.map_or("any number".to_owned(), |n| n.to_string());
        let QueueLimits { downloads, seeds, checks } = self.limits;
        let (downloads, seeds, checks) = (text(downloads), text(seeds), text(checks));
        write!(f, "Limit active torrents: {downloads} downloads, {seeds} seeds, {checks} checks")
    }
}

/// Sets when a torrent has been shared enough; `None`: by the rule of the client's settings.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SetStopRule {
    /// The torrent.
    pub torrent_id: TorrentId,
    /// The rule.
    pub rule: Option<StopRule>,
}

impl fmt::Display for SetStopRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Set the stop rule of torrent {}", self.torrent_id)
    }
}

/// Asks for the figures of the session; answered by
/// [`TorrentEvent::SessionStats`](super::TorrentEvent::SessionStats).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GetSessionStats {
    /// Comes back in the answer.
    pub tag: Option<RequestTag>,
}

impl fmt::Display for GetSessionStats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Get the figures of the session")
    }
}

/// Asks for news of a torrent beyond the messages that everybody gets. Replaces what the same patron asked for before;
/// [`NewsKinds::NONE`] ends it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subscribe {
    /// The torrent.
    pub torrent_id: TorrentId,
    /// Which news.
    pub kinds: NewsKinds,
}

impl fmt::Display for Subscribe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Subscribe to news of torrent {}", self.torrent_id)
    }
}

/// A set of kinds of [`News`].
///
/// ```
/// use kamaelia_torrent::components::NewsKinds;
///
/// let kinds = NewsKinds::COMPLETED | NewsKinds::PAUSES;
/// assert!(kinds.contains(NewsKinds::PAUSES) && !kinds.contains(NewsKinds::PEERS));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct NewsKinds(u8);

impl NewsKinds {
    /// No news.
    pub const NONE: NewsKinds = NewsKinds(0);
    /// Checks of existing data: [`News::Checking`], [`News::Checked`].
    pub const CHECKS: NewsKinds = NewsKinds(1);
    /// Each verified piece: [`News::PieceVerified`].
    pub const PIECES: NewsKinds = NewsKinds(1 << 1);
    /// [`News::Completed`].
    pub const COMPLETED: NewsKinds = NewsKinds(1 << 2);
    /// [`News::Started`], [`News::Paused`], [`News::Queued`].
    pub const PAUSES: NewsKinds = NewsKinds(1 << 3);
    /// Peers that come and go: [`News::PeerConnected`], [`News::PeerGone`], [`News::DialFailed`].
    pub const PEERS: NewsKinds = NewsKinds(1 << 4);
    /// Everything.
    pub const ALL: NewsKinds = NewsKinds(0b11111);

    /// Whether all of `other` is in this.
    pub fn contains(self, other: NewsKinds) -> bool {
        self.0 & other.0 == other.0
    }
}

impl BitOr for NewsKinds {
    type Output = NewsKinds;

    fn bitor(self, other: NewsKinds) -> NewsKinds {
        NewsKinds(self.0 | other.0)
    }
}

/// What happened to a torrent, for those who subscribed.
///
/// Trackers and failures are not among them: everybody hears of these anyway. If nobody takes the news, those about
/// single pieces, peers and steps of a check are dropped when more than 65,536 wait.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum News {
    /// A check of existing data goes on.
    Checking {
        /// Pieces looked at.
        checked: u32,
        /// Pieces to look at.
        total: u32,
    },
    /// It is known what is there.
    Checked {
        /// Pieces that are there.
        have: u32,
        /// Pieces in all.
        total: u32,
    },
    /// It takes and opens connections.
    Started,
    /// A piece is verified and written.
    PieceVerified {
        /// Its index.
        piece: u32,
    },
    /// Everything is there.
    Completed,
    /// It rests until it is resumed.
    Paused {
        /// Why.
        cause: PauseCause,
    },
    /// It waits for its turn.
    Queued {
        /// To do what.
        activity: Activity,
    },
    /// A connection with a peer is up.
    PeerConnected {
        /// The peer.
        addr: SocketAddr,
    },
    /// A connection with a peer ended.
    PeerGone {
        /// The peer.
        addr: SocketAddr,
        /// Why.
        reason: String,
    },
    /// A connection that we opened did not come about.
    DialFailed {
        /// The peer.
        addr: SocketAddr,
        /// Why.
        reason: String,
    },
}

impl News {
    /// What has to be subscribed to for it.
    pub fn kind(&self) -> NewsKinds {
        match self {
            News::Checking { .. } | News::Checked { .. } => NewsKinds::CHECKS,
            News::PieceVerified { .. } => NewsKinds::PIECES,
            News::Completed => NewsKinds::COMPLETED,
            News::Started | News::Paused { .. } | News::Queued { .. } => NewsKinds::PAUSES,
            News::PeerConnected { .. } | News::PeerGone { .. } | News::DialFailed { .. } => NewsKinds::PEERS,
        }
    }

    /// Whether it may be dropped if nobody takes it.
    pub(crate) fn is_minor(&self) -> bool {
        let minor = NewsKinds::PIECES | NewsKinds::PEERS;
        minor.contains(self.kind()) || matches!(self, News::Checking { .. })
    }
}

impl fmt::Display for News {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            News::Checking { checked, total } => write!(f, "checked {checked} of {total} pieces"),
            News::Checked { have, total } => write!(f, "{have} of {total} pieces are here"),
            News::Started => f.write_str("started"),
            News::PieceVerified { piece } => write!(f, "piece {piece} verified"),
            News::Completed => f.write_str("complete"),
            News::Paused { cause: PauseCause::User } => f.write_str("paused"),
            News::Paused { cause: PauseCause::Ratio } => f.write_str("paused: enough was sent"),
            News::Paused { cause: PauseCause::Time } => f.write_str("paused: it was shared long enough"),
            News::Paused { cause: PauseCause::Idle } => f.write_str("paused: nobody wants it"),
            News::Queued { activity: Activity::Check } => f.write_str("waits to be checked"),
            News::Queued { activity: Activity::Download } => f.write_str("waits to download"),
            News::Queued { activity: Activity::Seed } => f.write_str("waits to seed"),
            News::PeerConnected { addr } => write!(f, "connected with {addr}"),
            News::PeerGone { addr, reason } => write!(f, "{addr} has gone: {}", super::printable(reason)),
            News::DialFailed { addr, reason } => {
                write!(f, "cannot connect to {addr}: {}", super::printable(reason))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_piece_of_news_belongs_to_one_kind() {
        let addr = SocketAddr::from(([127, 0, 0, 1], 1));
        let reason = || "x\u{1b}".to_owned();
        let all = [
            News::Checking { checked: 1, total: 2 },
            News::Checked { have: 1, total: 2 },
            News::Started,
            News::PieceVerified { piece: 1 },
            News::Completed,
            News::Paused { cause: PauseCause::User },
            News::Queued { activity: Activity::Seed },
            News::PeerConnected { addr },
            News::PeerGone { addr, reason: reason() },
            News::DialFailed { addr, reason: reason() },
        ];
        for news in all {
            assert!(
                NewsKinds::ALL.contains(news.kind()) && !NewsKinds::NONE.contains(news.kind()),
                "{news:?}"
            );
            assert_eq!(news.kind().0.count_ones(), 1, "{news:?}");
            assert!(!news.to_string().contains('\u{1b}'), "{news:?}");
        }
        assert_eq!(NewsKinds::ALL.0.count_ones(), 5);
    }
}
