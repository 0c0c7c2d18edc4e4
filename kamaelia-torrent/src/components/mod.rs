//! BitTorrent as components (Kamaelia: `Kamaelia/Protocol/Torrent/`).
//!
//! ```text
//! patron.torrent-outbox -> service.notify        service.outbox -> client.inbox
//! service.clientoutbox… -> patron.torrent-inbox  client.outbox -> service.inbox
//! ```
//!
//! Any number of [`TorrentPatron`]s share one [`TorrentClient`] through the [`TorrentService`] that they find in the
//! coordinating assistant tracker. To the outside a patron looks like a client that has only the patron's torrents.

mod client;
mod explainer;
mod file_stream;
mod http_client;
mod ipc;
mod maker;
mod patron;
mod service;
mod status;
mod stream;
pub mod tracker;
mod updates;
pub mod window;

pub use client::{ClientPorts, TorrentClient};
pub use explainer::{BasicTorrentExplainer, ExplainerPorts};
pub use file_stream::{FileChoice, FileStreamPorts, TorrentFileStream};
pub use http_client::{FetchFailed, HttpClientPorts, SimpleHttpClient};
pub use ipc::{
    AddPeers, ClearPieceDeadlines, CloseTorrent, CreateNewTorrent, GetSessionStats, ListFiles, MakeTorrent,
    News, NewsKinds, PauseAllTorrents, PauseTorrent, ReadFile, RemoveTorrent, RequestTag, RestoreTorrents,
    ResumeAllTorrents, ResumeTorrent, ServiceMessage, SetConnectionLimits, SetFilePriorities, SetLimits,
    SetPieceDeadline, SetQueueLimits, SetQueuePosition, SetStopRule, StopReading, Subscribe, TorrentEvent,
    TorrentStartFail,
};
pub use ipc::{MoveTorrent, RecheckTorrent, RenameFile, RetryDisk};
pub use maker::{MakerPorts, TorrentMaker};
pub use patron::{PatronPorts, TorrentPatron};
pub use service::{ServicePorts, TorrentService, TorrentServices};
pub use status::{StatValue, StatusSnapshot};
pub use stream::{PartsFilenameGenerator, PartsPorts, StreamReconstructor, StreamReconstructorPorts};
pub use window::TorrentWindow;
