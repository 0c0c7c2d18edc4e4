//! What an engine is asked, and what it reports.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::num::NonZeroU64;
use std::path::PathBuf;
use std::sync::Arc;

use super::queue::Activity;
use super::rules::{StopRule, StopRuleError};
use super::stats::Figures;
use crate::disk::{Allocation, StateError, Totals};
use crate::proto::geometry::PieceIndex;
use crate::proto::info_hash::InfoHash;
use crate::proto::metainfo::Metainfo;
use crate::proto::selection::Priority;

use super::stream::{FileChunk, ReadId};

/// Number of a torrent in an engine: counted from 1, never used again.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TorrentId(pub u32);

impl fmt::Display for TorrentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// How the data that is already there is looked at before a torrent starts.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub enum CheckPolicy {
    /// Believe the resume record for files that nobody touched since; hash everything else.
    #[default]
    Resume,
    /// Hash everything.
    Full,
    /// Believe that everything is there. A wrong belief shows when peers complain.
    Trust,
}

/// A torrent to be added.
#[derive(Clone, Debug)]
pub struct AddTorrent {
    /// The torrent.
    pub metainfo: Metainfo,
    /// The folder in which its file or folder lies or will lie.
    pub dir: PathBuf,
    /// Peers that are known already.
    pub peers: Vec<SocketAddr>,
    /// What to do about existing data.
    pub check: CheckPolicy,
    /// Whether the torrent's trackers are asked.
    pub trackers: bool,
    /// Whether pieces are taken in order instead of the rarest first.
    pub sequential: bool,
    /// How soon each file is fetched, in the order of the torrent. If the list is empty, those of the resume record
    /// count, or [`Priority::NORMAL`] for all if there is none.
    pub priorities: Vec<Priority>,
    /// How room for files is taken; `None` as the engine's settings say.
    pub allocation: Option<Allocation>,
    /// Where the files go when everything is there. A torrent of which nothing is in `dir` is looked for here.
    pub move_on_complete: Option<PathBuf>,
    /// Whether it begins paused. The engine keeps this up to date when it is paused and resumed.
    pub paused: bool,
    /// When it has been shared enough; `None`: by the rule of the settings.
    pub stop_rule: Option<StopRule>,
    /// Most bytes per second from its peers.
    pub down_limit: Option<NonZeroU64>,
    /// Most bytes per second to its peers.
    pub up_limit: Option<NonZeroU64>,
}

impl AddTorrent {
    /// A torrent with the usual settings, to be kept in `dir`.
    pub fn new(metainfo: Metainfo, dir: impl Into<PathBuf>) -> AddTorrent {
        AddTorrent {
            metainfo,
            dir: dir.into(),
            peers: Vec::new(),
            check: CheckPolicy::default(),
            trackers: true,
            sequential: false,
            priorities: Vec::new(),
            allocation: None,
            move_on_complete: None,
            paused: false,
            stop_rule: None,
            down_limit: None,
            up_limit: None,
        }
    }
}

/// Why a torrent cannot be asked for something.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// There is none of this number.
    #[error("there is no torrent {0}")]
    Unknown(TorrentId),
    /// It is on its way out.
    #[error("torrent {0} is stopping")]
    Stopping(TorrentId),
}

/// Why a torrent was not added.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AddError {
    /// It is here already, under this number.
    #[error("torrent {0} is the same")]
    Duplicate(TorrentId),
    /// There is not one priority for each file.
    #[error("{got} priorities for {files} files")]
    Priorities {
        /// Priorities given.
        got: usize,
        /// Files of the torrent, padding included.
        files: usize,
    },
    /// The engine is stopping.
    #[error("the engine is stopping")]
    Stopping,
    /// Its stop rule makes no sense.
    #[error(transparent)]
    Rule(#[from] StopRuleError),
    /// All numbers are used up.
    #[error("no more torrent numbers")]
    Numbers,
}

/// Why an engine could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// The address to listen on is taken or not ours: choose another one.
    #[error("cannot listen on {addr}: {source}")]
    Listen {
        /// The address.
        addr: SocketAddr,
        /// Why not.
        source: io::Error,
    },
    /// The folder of state cannot be used: another process has it, it is no folder, or it cannot be written.
    #[error(transparent)]
    State(StateError),
    /// The system refused something else: descriptors or threads.
    #[error("cannot start the event loop: {0}")]
    Start(#[from] io::Error),
}

impl EngineError {
    pub(super) fn from_disk(e: io::Error) -> EngineError {
        match e.downcast::<StateError>() {
            Ok(state) => EngineError::State(state),
            Err(e) => EngineError::Start(e),
        }
    }
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// Existing data is being looked at.
    Checking {
        /// The torrent.
        id: TorrentId,
        /// Pieces looked at so far.
        checked: u32,
        /// Pieces to look at.
        total: u32,
    },
    /// It is known what is there.
    Checked {
        /// The torrent.
        id: TorrentId,
        /// Pieces that are there.
        have: u32,
        /// Pieces in all.
        total: u32,
    },
    /// The torrent takes and opens connections.
    Started {
        /// The torrent.
        id: TorrentId,
    },
    /// A piece is verified and written.
    PieceVerified {
        /// The torrent.
        id: TorrentId,
        /// The piece.
        piece: PieceIndex,
    },
    /// All files that are wanted are there. Not reported for a torrent of which that was so when it started; reported
    /// again when more was wanted in the meantime, and when everything is there.
    Completed {
        /// The torrent.
        id: TorrentId,
    },
    /// A tracker answered, or not.
    Tracker {
        /// The torrent.
        id: TorrentId,
        /// The tracker, without secrets.
        url: String,
        /// Number of peers it named, or what went wrong.
        result: Result<usize, String>,
    },
    /// A connection is up.
    PeerConnected {
        /// The torrent.
        id: TorrentId,
        /// The peer.
        addr: SocketAddr,
    },
    /// A connection that we opened did not come about.
    DialFailed {
        /// The torrent.
        id: TorrentId,
        /// The peer.
        addr: SocketAddr,
        /// Why.
        reason: String,
    },
    /// A connection ended.
    PeerGone {
        /// The torrent.
        id: TorrentId,
        /// The peer.
        addr: SocketAddr,
        /// Why.
        reason: String,
    },
    /// The files are in another folder now.
    Moved {
        /// The torrent.
        id: TorrentId,
        /// The folder that holds its file or folder.
        dir: PathBuf,
    },
    /// A file has another name now.
    FileRenamed {
        /// The torrent.
        id: TorrentId,
        /// Number of the file.
        index: usize,
        /// Its path below the torrent's download folder.
        path: PathBuf,
    },
    /// What was asked for could not be done; all is as it was.
    RequestFailed {
        /// The torrent.
        id: TorrentId,
        /// What was asked for, by the name of its message: `MoveTorrent`, `RenameFile`, `RecheckTorrent`.
        request: &'static str,
        /// Why not, naming the file.
        reason: String,
    },
    /// Somebody else changed or removed files. They are hashed again, and what is gone is fetched again, except files
    /// that were removed from a complete torrent: those wait for [`retry_disk`](super::Engine::retry_disk).
    FilesChanged {
        /// The torrent.
        id: TorrentId,
        /// The files, below the torrent's download folder.
        files: Vec<PathBuf>,
    },
    /// The disk does not do what it should, or does it again. Meanwhile fetching rests, and is tried again each 10
    /// minutes or after [`retry_disk`](super::Engine::retry_disk); what can be read is served.
    DiskTrouble {
        /// The torrent.
        id: TorrentId,
        /// What went wrong, naming the file; `None` when it works again.
        error: Option<String>,
    },
    /// The resume record cannot be written, on a read-only medium for example. The torrent goes on; the next start has
    /// to hash what is not recorded. Told once.
    NotSaved {
        /// The torrent.
        id: TorrentId,
        /// Why not.
        error: String,
    },
    /// Bytes of a file that somebody reads, in order.
    FileData {
        /// The torrent.
        id: TorrentId,
        /// What [`Engine::read_file`](super::Engine::read_file) answered.
        read: ReadId,
        /// The bytes. No more are read while too many of them are kept.
        data: Arc<FileChunk>,
    },
    /// No more bytes of a file will come.
    ReadEnded {
        /// The torrent.
        id: TorrentId,
        /// What [`Engine::read_file`](super::Engine::read_file) answered.
        read: ReadId,
        /// Why it ended early.
        error: Option<String>,
    },
    /// The torrent stopped because of an error; others go on.
    Failed {
        /// The torrent.
        id: TorrentId,
        /// What went wrong, naming the file.
        error: String,
    },
    /// A torrent of an earlier session is here again, after [`Engine::restore`](super::Engine::restore).
    Restored {
        /// The torrent.
        id: TorrentId,
    },
    /// All torrents of earlier sessions are here again.
    RestoreEnded {
        /// How many came.
        restored: usize,
        /// How many could not be read; the log says why.
        failed: usize,
    },
    /// The torrent rests until it is resumed.
    Paused {
        /// The torrent.
        id: TorrentId,
        /// Why.
        cause: PauseCause,
    },
    /// The torrent waits for its turn.
    Queued {
        /// The torrent.
        id: TorrentId,
        /// What it waits to do.
        activity: Activity,
    },
    /// The torrent stopped in order, because it was removed or the engine stops.
    Stopped {
        /// The torrent.
        id: TorrentId,
    },
}

/// Why a torrent was paused.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub enum PauseCause {
    /// Somebody wanted it.
    User,
    /// So much was sent as its [`StopRule`] says.
    Ratio,
    /// It seeded for so long.
    Time,
    /// Nobody was sent anything for so long.
    Idle,
}

/// What a torrent is doing.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// Existing data is looked at.
    Checking,
    /// Something that is wanted is missing.
    Downloading,
    /// Everything that is wanted is there.
    Seeding,
    /// It waits for its turn to check, download or seed.
    Queued,
    /// It rests until it is resumed.
    Paused,
    /// It stopped, or is about to.
    Stopped,
    /// It stopped because of an error.
    Failed,
}

/// A torrent at one moment.
#[derive(Clone, Debug)]
pub struct TorrentStatus {
    /// Its number.
    pub id: TorrentId,
    /// Its name.
    pub name: String,
    /// Its identity.
    pub info_hash: InfoHash,
    /// What it is doing.
    pub state: State,
    /// Part of the wanted pieces that is verified, 0 to 1; while checking, the part that was looked at.
    pub progress: f64,
    /// Verified, bytes.
    pub verified: u64,
    /// All of it, bytes.
    pub total: u64,
    /// Missing, bytes.
    pub left: u64,
    /// Length of the pieces that are wanted, bytes.
    pub wanted: u64,
    /// Length of those of them that are missing, bytes.
    pub wanted_left: u64,
    /// Payload received since it was added, bytes.
    pub downloaded: u64,
    /// Payload sent since it was added, bytes.
    pub uploaded: u64,
    /// Payload of all runs, those before this one as far as the resume record tells.
    pub totals: Totals,
    /// What it did since it was added, in detail.
    pub figures: Figures,
    /// Payload received that was of no use, bytes.
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
    /// Why it failed.
    pub error: Option<String>,
    /// Why fetching rests, or files cannot be read.
    pub disk_error: Option<String>,
}
