//! What a status update carries: figures by type, and by the names of the original's dictionary.

use std::net::SocketAddr;
use std::path::PathBuf;

use crate::engine::{Figures, State, TorrentStatus};

/// A figure by name.
#[derive(Clone, Debug, PartialEq)]
pub enum StatValue {
    /// A fraction, or bytes per second, or seconds.
    Float(f64),
    /// A count, or bytes.
    Int(u64),
    /// A text.
    Text(String),
}

impl StatValue {
    /// The value as a number, if it is one.
    pub fn as_f64(&self) -> Option<f64> {
        match self {
            Self::Float(v) => Some(*v),
            Self::Int(v) => Some(*v as f64),
            Self::Text(_) => None,
        }
    }
}

/// A torrent at one moment.
///
/// The fields are the typed figures; [`get`](StatusSnapshot::get) answers the names of the dictionary that Mainline's
/// `get_status` returned, so that ported code can go on asking for `fractionDone`.
#[derive(Clone, Debug, PartialEq)]
pub struct StatusSnapshot {
    /// What it is doing.
    pub state: State,
    /// Its name.
    pub name: String,
    /// Part of the wanted pieces that is verified, 0 to 1.
    pub fraction_done: f64,
    /// Verified, bytes.
    pub verified: u64,
    /// All of it, bytes.
    pub total: u64,
    /// Length of the pieces that are wanted, bytes: all of it unless files are left out.
    pub wanted: u64,
    /// Length of those of them that are missing, bytes.
    pub wanted_left: u64,
    /// Payload received, bytes.
    pub downloaded: u64,
    /// Payload sent, bytes.
    pub uploaded: u64,
    /// What it did since it was added, in detail.
    pub figures: Figures,
    /// Payload received in vain, bytes.
    pub wasted: u64,
    /// Payload coming in, bytes per second.
    pub down_rate: u64,
    /// Payload going out, bytes per second.
    pub up_rate: u64,
    /// Connections.
    pub peers: usize,
    /// Connections to peers that have everything.
    pub seeds: usize,
    /// Pieces that are there.
    pub pieces_have: u32,
    /// Pieces in all.
    pub piece_count: u32,
    /// Where its file or folder is.
    pub save_path: PathBuf,
    /// What a tracker said last, if it was an error or a warning.
    pub tracker_message: Option<String>,
    /// Why the last connection ended or did not come about, with the peer's address.
    pub peer_message: Option<String>,
    /// Why fetching rests, or files cannot be read.
    pub disk_message: Option<String>,
    /// Where peers reach the client.
    pub listen: Option<SocketAddr>,
}

impl StatusSnapshot {
    /// The figure of that name: `fractionDone`, `upRate`, `downRate`, `upTotal`, `downTotal` (the rates in bytes per
    /// second, the totals in bytes), `numSeeds`, `numPeers`, `timeEst` (seconds), `discarded` (bytes), `activity`,
    /// `numPieces`, `havePieces`. `None` for a name that is not known, or a figure that is not known now.
    pub fn get(&self, name: &str) -> Option<StatValue> {
        Some(match name {
            "fractionDone" => StatValue::Float(self.fraction_done),
            "upRate" => StatValue::Float(self.up_rate as f64),
            "downRate" => StatValue::Float(self.down_rate as f64),
            "upTotal" => StatValue::Int(self.uploaded),
            "downTotal" => StatValue::Int(self.downloaded),
            "numSeeds" => StatValue::Int(self.seeds as u64),
            "numPeers" => StatValue::Int(self.peers as u64),
            "timeEst" => StatValue::Float(self.seconds_left()?),
            "discarded" => StatValue::Int(self.wasted),
            "activity" => StatValue::Text(self.activity().into()),
            "numPieces" => StatValue::Int(u64::from(self.piece_count)),
            "havePieces" => StatValue::Int(u64::from(self.pieces_have)),
            _ => return None,
        })
    }

    /// Whole percent, cut off (TO-IPC-10).
    pub fn percent(&self) -> u32 {
        (self.fraction_done.clamp(0.0, 1.0) * 100.0) as u32
    }

    /// Whether everything that is wanted is there, verified and in its place.
    pub fn is_complete(&self) -> bool {
        !matches!(self.state, State::Checking | State::Downloading) && self.wanted_left == 0
    }

    /// Seconds until it is complete at the present rate.
    pub fn seconds_left(&self) -> Option<f64> {
        match (self.wanted_left, self.down_rate) {
            (0, _) => Some(0.0),
            (_, 0) => None,
            (left, rate) => Some(left as f64 / rate as f64),
        }
    }

    /// What it is doing, in a word.
    pub fn activity(&self) -> &'static str {
        match self.state {
            State::Checking => "checking existing file",
            State::Downloading => "downloading",
            State::Seeding => "seeding",
            State::Queued => "queued",
            State::Paused => "paused",
            State::Stopped => "stopped",
            State::Failed => "failed",
        }
    }
}

impl StatusSnapshot {
    pub(crate) fn new(s: TorrentStatus, listen: Option<SocketAddr>, peer_message: Option<String>) -> Self {
        Self {
            listen,
            peer_message,
            state: s.state,
            name: s.name,
            fraction_done: s.progress,
            verified: s.verified,
            total: s.total,
            wanted: s.wanted,
            wanted_left: s.wanted_left,
            downloaded: s.downloaded,
            uploaded: s.uploaded,
            figures: s.figures,
            wasted: s.wasted,
            down_rate: s.down_rate,
            up_rate: s.up_rate,
            peers: s.peers,
            seeds: s.seeds,
            pieces_have: s.pieces_have,
            piece_count: s.piece_count,
            save_path: s.save_path,
            tracker_message: s.tracker_message,
            disk_message: s.disk_error,
        }
    }
}

#[cfg(test)]
pub(crate) fn sample(fraction: f64) -> StatusSnapshot {
    StatusSnapshot {
        state: State::Downloading,
        name: "x".into(),
        fraction_done: fraction,
        verified: (fraction * 100.0) as u64,
        total: 100,
        wanted: 100,
        wanted_left: 100 - (fraction * 100.0) as u64,
        downloaded: 50,
        uploaded: 7,
        figures: Figures::default(),
        wasted: 0,
        down_rate: 10,
        up_rate: 1,
        peers: 2,
        seeds: 1,
        pieces_have: 1,
        piece_count: 2,
        save_path: "./x".into(),
        tracker_message: None,
        peer_message: None,
        disk_message: None,
        listen: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_dictionarys_names_answer() {
        let s = sample(0.5);
        assert_eq!(s.get("fractionDone"), Some(StatValue::Float(0.5)));
        assert_eq!(s.get("timeEst"), Some(StatValue::Float(5.0)));
        assert_eq!(s.get("nonsense"), None);
    }

    #[test]
    fn percent_is_cut_off_not_rounded() {
        assert_eq!(sample(0.999).percent(), 99);
        assert_eq!(sample(1.0).percent(), 100);
    }
}
