//! The messages of the torrent components (Kamaelia: `TorrentIPC.py`; TO-IPC-01 to 10).

mod limits;
mod reading;
mod selection;
mod session;
mod stored;

use std::fmt;
use std::net::SocketAddr;
use std::num::NonZeroU64;
use std::path::PathBuf;
use std::sync::Arc;

use axon::{Message, Service};

mod files;

use files::files_request;
pub(crate) use files::serve_files;
pub use files::{MoveTorrent, RecheckTorrent, RenameFile, RetryDisk};

use super::status::StatusSnapshot;
use crate::disk::Allocation;
use crate::engine::{
    CheckPolicy, ConnectionLimits, FileChunk, FileStatus, Limits, SessionStats, StopRule, TorrentId,
};
use crate::proto::info_hash::InfoHash;
use crate::proto::selection::Priority;

pub use limits::{SetConnectionLimits, SetLimits};
pub use reading::{ClearPieceDeadlines, ReadFile, SetPieceDeadline, StopReading};
pub use selection::{ListFiles, SetFilePriorities};
pub use session::{
    GetSessionStats, News, NewsKinds, PauseAllTorrents, PauseTorrent, ResumeAllTorrents, ResumeTorrent,
    SetQueueLimits, SetQueuePosition, SetStopRule, Subscribe,
};
pub use stored::{RemoveTorrent, RestoreTorrents};

/// Marks a request, so that its answer can be told from others (D-31). Chosen by whoever asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RequestTag(pub u64);

/// Asks a [`TorrentMaker`](super::TorrentMaker) for a .torrent file (TO-IPC-01).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MakeTorrent {
    /// Announce URL of its tracker.
    pub tracker_url: String,
    /// Binary logarithm of the piece length in bytes; 18 is sensible.
    pub log2_piece_size_bytes: u8,
    /// Name of the torrent.
    pub title: String,
    /// Comment.
    pub comment: String,
    /// The file or folder that it is made of.
    pub src_file: PathBuf,
}

impl fmt::Display for MakeTorrent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Create a .torrent file")
    }
}

/// Asks for a torrent (TO-IPC-05). Bare bytes or text with the content of a .torrent file mean the same.
#[derive(Clone, Debug)]
pub struct CreateNewTorrent {
    /// Content of the .torrent file.
    pub raw_metainfo: Arc<[u8]>,
    /// Folder to save in; `None` means the client's (D-47).
    pub dir: Option<PathBuf>,
    /// Peers that are known already.
    pub peers: Vec<SocketAddr>,
    /// What to do about data that is there already.
    pub check: CheckPolicy,
    /// Whether its trackers are asked.
    pub trackers: bool,
    /// Whether pieces are taken in order.
    pub sequential: bool,
    /// How soon each file is fetched, one for each file of the torrent; an empty list leaves it to the resume record.
    pub priorities: Vec<Priority>,
    /// How room for files is taken; `None` as the client's settings say.
    pub allocation: Option<Allocation>,
    /// Where its files go when everything is there.
    pub move_on_complete: Option<PathBuf>,
    /// Most bytes per second from its peers; `None`: no limit of its own.
    pub down_limit: Option<NonZeroU64>,
    /// Most bytes per second to its peers; `None`: no limit of its own.
    pub up_limit: Option<NonZeroU64>,
    /// Whether it begins paused.
    pub paused: bool,
    /// When it has been shared enough; `None`: by the rule of the client's settings.
    pub stop_rule: Option<StopRule>,
    /// News that the asker wants from the beginning, as by [`Subscribe`], of which none is missed then.
    pub news: NewsKinds,
    /// Comes back in the answer.
    pub tag: Option<RequestTag>,
}

impl CreateNewTorrent {
    /// The usual request.
    pub fn new(raw_metainfo: impl Into<Arc<[u8]>>) -> Self {
        Self {
            raw_metainfo: raw_metainfo.into(),
            dir: None,
            peers: Vec::new(),
            check: CheckPolicy::default(),
            trackers: true,
            sequential: false,
            priorities: Vec::new(),
            allocation: None,
            move_on_complete: None,
            down_limit: None,
            up_limit: None,
            paused: false,
            stop_rule: None,
            news: NewsKinds::NONE,
            tag: None,
        }
    }

    /// The request that a message means: a `CreateNewTorrent`, bytes, or text (TO-SRV-06, D-48).
    ///
    /// # Errors
    /// The message, if it means something else.
    pub fn from_message(message: Message) -> Result<Self, Message> {
        match message.downcast::<CreateNewTorrent>() {
            Ok(create) => Ok(create),
            Err(message) => match message.as_bytes() {
                Some(bytes) => Ok(Self::new(bytes)),
                None => Err(message),
            },
        }
    }
}

impl fmt::Display for CreateNewTorrent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Create a new torrent")
    }
}

/// Closes a torrent; files stay (TO-IPC-06). A torrent that others asked for too goes on for them (D-45). If the client
/// has a folder of state it stays there, and [`RestoreTorrents`] brings it back; [`RemoveTorrent`] forgets it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CloseTorrent {
    /// The torrent.
    pub torrent_id: TorrentId,
}

impl fmt::Display for CloseTorrent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Close torrent {}", self.torrent_id)
    }
}

/// Tells a torrent of more peers. An addition to the original's messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddPeers {
    /// The torrent.
    pub torrent_id: TorrentId,
    /// Their addresses.
    pub peers: Vec<SocketAddr>,
}

impl fmt::Display for AddPeers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Add {} peers to torrent {}", self.peers.len(), self.torrent_id)
    }
}

/// The torrent that a request is about and the name of the request, for those that only the torrent's owners may make
/// and that are answered by [`TorrentEvent::RequestFailed`] if they cannot be done.
pub(crate) fn about(message: &Message) -> Option<(TorrentId, &'static str)> {
    if let Some(request) = message.downcast_ref::<AddPeers>() {
        return Some((request.torrent_id, "AddPeers"));
    }
    if let Some(request) = message.downcast_ref::<SetFilePriorities>() {
        return Some((request.torrent_id, "SetFilePriorities"));
    }
    if let Some(request) = message.downcast_ref::<ListFiles>() {
        return Some((request.torrent_id, "ListFiles"));
    }
    if let Some(SetLimits { torrent_id: Some(id), .. }) = message.downcast_ref() {
        return Some((*id, "SetLimits"));
    }
    if let Some(request) = message.downcast_ref::<SetPieceDeadline>() {
        return Some((request.torrent_id, "SetPieceDeadline"));
    }
    if let Some(request) = message.downcast_ref::<ClearPieceDeadlines>() {
        return Some((request.torrent_id, "ClearPieceDeadlines"));
    }
    if let Some(request) = message.downcast_ref::<PauseTorrent>() {
        return Some((request.torrent_id, "PauseTorrent"));
    }
    if let Some(request) = message.downcast_ref::<ResumeTorrent>() {
        return Some((request.torrent_id, "ResumeTorrent"));
    }
    if let Some(request) = message.downcast_ref::<SetQueuePosition>() {
        return Some((request.torrent_id, "SetQueuePosition"));
    }
    if let Some(request) = message.downcast_ref::<SetStopRule>() {
        return Some((request.torrent_id, "SetStopRule"));
    }
    if let Some(request) = message.downcast_ref::<Subscribe>() {
        return Some((request.torrent_id, "Subscribe"));
    }
    files_request(message)
}

/// A torrent did not start, or stopped because of an error (TO-IPC-09, D-31).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TorrentStartFail {
    /// Why.
    pub reason: String,
    /// Its number, if it had one already; the number is forgotten now.
    pub torrent_id: Option<TorrentId>,
    /// The request's tag, if this is its answer.
    pub tag: Option<RequestTag>,
}

/// What a client says. To each request for a torrent there is exactly one answer: the first, second or third kind.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum TorrentEvent {
    /// A torrent was created (TO-IPC-07).
    NewTorrentCreated {
        /// Its number: counted from 1, never used again.
        torrent_id: TorrentId,
        /// Where its file or folder is, or will be.
        save_folder: PathBuf,
        /// Where peers reach the client. An addition to the original's message.
        listen: Option<SocketAddr>,
        /// The request's tag.
        tag: Option<RequestTag>,
    },
    /// The torrent is known (TO-IPC-08); its updates now go to this asker too (D-45).
    TorrentAlreadyDownloading {
        /// The number that it has.
        torrent_id: TorrentId,
        /// The request's tag.
        tag: Option<RequestTag>,
    },
    /// A torrent did not start, or failed later.
    TorrentStartFail(TorrentStartFail),
    /// A tracker answered, or did not. An addition to the original's messages.
    TrackerReport {
        /// The torrent.
        torrent_id: TorrentId,
        /// The tracker's URL without secrets.
        tracker: String,
        /// How many peers it named, or what went wrong; it is asked again in any case.
        result: Result<usize, String>,
    },
    /// A torrent of an earlier session is here again. An addition to the original's messages.
    TorrentRestored {
        /// Its number.
        torrent_id: TorrentId,
        /// Its name.
        name: String,
        /// Its identity.
        info_hash: InfoHash,
        /// Where its file or folder is, or will be.
        save_folder: PathBuf,
        /// The request's tag.
        tag: Option<RequestTag>,
    },
    /// The answer to [`RestoreTorrents`]. An addition to the original's messages.
    RestoreEnded {
        /// How many came.
        restored: usize,
        /// How many could not be read.
        failed: usize,
        /// Where peers reach the client.
        listen: Option<SocketAddr>,
        /// The request's tag.
        tag: Option<RequestTag>,
    },
    /// A request about a torrent was not done: there is none of that number, or the request makes no sense. Nothing was
    /// changed by it. An addition to the original's messages.
    RequestFailed {
        /// The torrent that was named.
        torrent_id: TorrentId,
        /// Name of the request's type.
        request: &'static str,
        /// Why not.
        reason: String,
    },
    /// The files of a torrent, as [`ListFiles`] asked for them; goes to all owners of the torrent. An addition to the
    /// original's messages.
    TorrentFiles {
        /// The torrent.
        torrent_id: TorrentId,
        /// In the order of the torrent, padding included.
        files: Arc<[FileStatus]>,
    },
    /// What a torrent, or all together, may transfer from now on. An addition to the original's messages.
    LimitsChanged {
        /// The torrent; `None`: all together, of which every patron is told.
        torrent_id: Option<TorrentId>,
        /// The limits.
        limits: Limits,
    },
    /// How many connections and upload slots there may be from now on; every patron is told. An addition to the
    /// original's messages.
    ConnectionLimitsChanged {
        /// The limits.
        limits: ConnectionLimits,
    },
    /// Bytes of a file, for who asked with [`ReadFile`]. An addition to the original's messages.
    FileData {
        /// The torrent.
        torrent_id: TorrentId,
        /// The tag of the request.
        tag: RequestTag,
        /// The bytes. Who keeps 1 MiB of them gets no more.
        data: Arc<FileChunk>,
    },
    /// No more bytes of a file will come. The last answer to each [`ReadFile`].
    ReadEnded {
        /// The torrent.
        torrent_id: TorrentId,
        /// The tag of the request.
        tag: RequestTag,
        /// Why it ended early, or did not begin.
        error: Option<String>,
    },
    /// Something happened to a torrent, and the patron [subscribed](Subscribe) to such news. An addition to the
    /// original's messages.
    News {
        /// The torrent.
        torrent_id: TorrentId,
        /// What happened.
        news: News,
    },
    /// The figures of all torrents of the client; the answer to [`GetSessionStats`]. An addition to the original's
    /// messages.
    SessionStats {
        /// The figures.
        stats: Arc<SessionStats>,
        /// The request's tag.
        tag: Option<RequestTag>,
    },
    /// How a torrent is doing (TO-IPC-10).
    TorrentStatusUpdate {
        /// The torrent.
        torrent_id: TorrentId,
        /// The figures.
        status: Arc<StatusSnapshot>,
    },
    /// The files are in another folder now. An addition to the original's messages.
    TorrentMoved {
        /// The torrent.
        torrent_id: TorrentId,
        /// The folder that holds its file or folder.
        dir: PathBuf,
    },
    /// A file has another name now. An addition to the original's messages.
    FileRenamed {
        /// The torrent.
        torrent_id: TorrentId,
        /// Number of the file.
        index: usize,
        /// Its path below the torrent's download folder.
        path: PathBuf,
    },
    /// Somebody else changed or removed files; they are hashed again. An addition to the original's messages.
    FilesChanged {
        /// The torrent.
        torrent_id: TorrentId,
        /// The files, below the torrent's download folder.
        files: Vec<PathBuf>,
    },
    /// The disk does not do what it should, and fetching rests, or it works again. An addition to the original's
    /// messages.
    DiskTrouble {
        /// The torrent.
        torrent_id: TorrentId,
        /// What went wrong, naming the file; `None` when it works again.
        error: Option<String>,
    },
    /// The resume record cannot be written; the torrent goes on. Told once. An addition to the original's messages.
    RecordNotSaved {
        /// The torrent.
        torrent_id: TorrentId,
        /// Why not.
        reason: String,
    },
}

impl TorrentEvent {
    /// The tag of the request that this answers.
    pub fn tag(&self) -> Option<RequestTag> {
        match self {
            Self::NewTorrentCreated { tag, .. } | Self::TorrentAlreadyDownloading { tag, .. } => *tag,
            Self::TorrentRestored { tag, .. } | Self::RestoreEnded { tag, .. } => *tag,
            Self::TorrentStartFail(fail) => fail.tag,
            Self::SessionStats { tag, .. } => *tag,
            _ => None,
        }
    }

    /// The torrent that it is about.
    pub fn torrent_id(&self) -> Option<TorrentId> {
        match self {
            Self::NewTorrentCreated { torrent_id, .. }
            | Self::TorrentAlreadyDownloading { torrent_id, .. }
            | Self::TorrentRestored { torrent_id, .. }
            | Self::TrackerReport { torrent_id, .. }
            | Self::TorrentStatusUpdate { torrent_id, .. }
            | Self::RequestFailed { torrent_id, .. }
            | Self::TorrentFiles { torrent_id, .. }
            | Self::FileData { torrent_id, .. }
            | Self::ReadEnded { torrent_id, .. }
            | Self::News { torrent_id, .. }
            | Self::TorrentMoved { torrent_id, .. }
            | Self::FileRenamed { torrent_id, .. }
            | Self::FilesChanged { torrent_id, .. }
            | Self::DiskTrouble { torrent_id, .. }
            | Self::RecordNotSaved { torrent_id, .. } => Some(*torrent_id),
            Self::RestoreEnded { .. } => None,
            Self::TorrentStartFail(fail) => fail.torrent_id,
            Self::LimitsChanged { torrent_id, .. } => *torrent_id,
            Self::ConnectionLimitsChanged { .. } | Self::SessionStats { .. } => None,
        }
    }

    /// Whether it is about the client as a whole, so that every patron is told.
    pub(crate) fn is_for_all(&self) -> bool {
        matches!(self, Self::LimitsChanged { torrent_id: None, .. } | Self::ConnectionLimitsChanged { .. })
    }

    pub(crate) fn with_tag(mut self, new: Option<RequestTag>) -> Self {
        match &mut self {
            Self::NewTorrentCreated { tag, .. } | Self::TorrentAlreadyDownloading { tag, .. } => *tag = new,
            Self::TorrentRestored { tag, .. } | Self::RestoreEnded { tag, .. } => *tag = new,
            Self::TorrentStartFail(fail) => fail.tag = new,
            Self::SessionStats { tag, .. } => *tag = new,
            _ => {}
        }
        self
    }
}

/// The texts of the original, escaped: names and reasons can come from a torrent, and end up on a terminal.
impl fmt::Display for TorrentEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NewTorrentCreated { torrent_id, save_folder, .. } => {
                write!(f, "New torrent {torrent_id} created in {}", printable(&save_folder.to_string_lossy()))
            }
            Self::TorrentAlreadyDownloading { .. } => f.write_str("That torrent is already downloading!"),
            Self::TorrentStartFail(fail) => match fail.torrent_id {
                Some(id) => write!(f, "Torrent {id} failed: {}", printable(&fail.reason)),
                None => write!(f, "Torrent failed to start: {}", printable(&fail.reason)),
            },
            Self::TrackerReport { torrent_id, tracker, result } => {
                write!(f, "Torrent {torrent_id} tracker {}: ", printable(tracker))?;
                match result {
                    Ok(peers) => write!(f, "{peers} peers"),
                    Err(reason) => f.write_str(&printable(reason)),
                }
            }
            Self::TorrentRestored { torrent_id, save_folder, .. } => {
                write!(f, "Torrent {torrent_id} restored in {}", printable(&save_folder.to_string_lossy()))
            }
            Self::RestoreEnded { restored, failed: 0, .. } => write!(f, "{restored} torrents restored"),
            Self::RestoreEnded { restored, failed, .. } => {
                write!(f, "{restored} torrents restored, {failed} could not be read")
            }
            Self::RequestFailed { torrent_id, request, reason } => {
                write!(f, "Torrent {torrent_id} {request}: {}", printable(reason))
            }
            Self::TorrentFiles { torrent_id, files } => {
                let wanted = files.iter().filter(|file| !file.pad && file.priority.is_wanted()).count();
                let all = files.iter().filter(|file| !file.pad).count();
                write!(f, "Torrent {torrent_id} files: {wanted} of {all} wanted")
            }
            Self::LimitsChanged { torrent_id, limits } => {
                write!(f, "Limits of {}: {}", limits::Whose(*torrent_id), limits::Rates(*limits))
            }
            Self::ConnectionLimitsChanged { limits } => {
                write!(f, "Limits of connections: {}", limits::Connections(*limits))
            }
            Self::FileData { torrent_id, data, .. } => {
                write!(f, "Torrent {torrent_id} file data: {} bytes at {}", data.len(), data.offset())
            }
            Self::ReadEnded { torrent_id, error: None, .. } => write!(f, "Torrent {torrent_id} file read"),
            Self::ReadEnded { torrent_id, error: Some(reason), .. } => {
                write!(f, "Torrent {torrent_id} file not read: {}", printable(reason))
            }
            Self::News { torrent_id, news } => write!(f, "Torrent {torrent_id} {news}"),
            Self::SessionStats { stats, .. } => {
                let (torrents, peers) = (stats.torrents, stats.peers);
                let (down, up) = (stats.figures.downloaded, stats.figures.uploaded);
                write!(f, "{torrents} torrents, {peers} peers, {down} bytes received, {up} bytes sent")
            }
            Self::TorrentStatusUpdate { torrent_id, status } => {
                write!(f, "Torrent {torrent_id} status : {}%", status.percent())
            }
            other => other.fmt_files(f),
        }
    }
}

/// Text without control characters, which a terminal would obey.
pub(crate) fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

/// What patrons tell the service (TO-IPC-02 to 04).
#[derive(Debug)]
pub enum ServiceMessage {
    /// A patron starts.
    Add {
        /// Where its answers go.
        reply_service: Service,
    },
    /// A patron leaves.
    Remove {
        /// Where its answers went.
        reply_service: Service,
    },
    /// A patron's request for the client.
    PassOn {
        /// Where the answer goes.
        reply_service: Service,
        /// The request.
        message: Message,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    /// TO-IPC-01, 05, 06, 07, 08, 10; TO-IPC-09 has a reason here.
    #[test]
    fn to_ipc_texts_are_the_originals() {
        let id = TorrentId(3);
        let make = MakeTorrent {
            tracker_url: String::new(),
            log2_piece_size_bytes: 18,
            title: "t".into(),
            comment: String::new(),
            src_file: "x".into(),
        };
        assert_eq!(make.to_string(), "Create a .torrent file");
        let created = TorrentEvent::NewTorrentCreated {
            torrent_id: id,
            save_folder: "./x".into(),
            listen: None,
            tag: None,
        };
        assert_eq!(created.to_string(), "New torrent 3 created in ./x");
        assert_eq!(CloseTorrent { torrent_id: TorrentId(2) }.to_string(), "Close torrent 2");
        assert_eq!(CreateNewTorrent::new(&b"x"[..]).to_string(), "Create a new torrent");
        let known = TorrentEvent::TorrentAlreadyDownloading { torrent_id: id, tag: None };
        assert_eq!(known.to_string(), "That torrent is already downloading!");
        let status = Arc::new(super::super::status::sample(0.259));
        let update = TorrentEvent::TorrentStatusUpdate { torrent_id: TorrentId(4), status };
        assert_eq!(update.to_string(), "Torrent 4 status : 25%");
        let fail = |torrent_id| {
            let fail = TorrentStartFail { reason: "no disk".into(), torrent_id, tag: None };
            TorrentEvent::TorrentStartFail(fail).to_string()
        };
        assert_eq!(fail(None), "Torrent failed to start: no disk");
        assert_eq!(fail(Some(id)), "Torrent 3 failed: no disk");
    }

    #[test]
    fn a_name_cannot_send_escapes_to_a_terminal() {
        let event = TorrentEvent::NewTorrentCreated {
            torrent_id: TorrentId(1),
            save_folder: "./\u{1b}[2Jx\n".into(),
            listen: None,
            tag: None,
        };
        assert!(!event.to_string().contains(['\u{1b}', '\n']));
    }

    #[test]
    fn d_48_bytes_and_text_mean_a_new_torrent() {
        assert!(CreateNewTorrent::from_message(Message::new(vec![1_u8])).is_ok());
        assert!(CreateNewTorrent::from_message(Message::from("d4:infoe")).is_ok());
        assert!(
            CreateNewTorrent::from_message(Message::new(CloseTorrent { torrent_id: TorrentId(1) })).is_err()
        );
    }
}
