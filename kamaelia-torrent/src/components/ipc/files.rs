//! Messages about the files of a torrent. All of them are additions to the original's.

use std::fmt;
use std::path::PathBuf;

use axon::Message;

use super::{TorrentEvent, printable};
use crate::engine::{Engine, Event, RequestError, TorrentId};

/// Moves the files of a torrent to another folder: [`Engine::move_storage`]. Answered by
/// [`TorrentMoved`](TorrentEvent::TorrentMoved) or [`RequestFailed`](TorrentEvent::RequestFailed).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MoveTorrent {
    /// The torrent.
    pub torrent_id: TorrentId,
    /// Where its file or folder shall be; made if it is not there.
    pub dir: PathBuf,
}

/// Gives a file of a torrent another name: [`Engine::rename_file`]. Answered by
/// [`FileRenamed`](TorrentEvent::FileRenamed) or [`RequestFailed`](TorrentEvent::RequestFailed).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RenameFile {
    /// The torrent.
    pub torrent_id: TorrentId,
    /// Number of the file, in the order of the torrent, from 0.
    pub index: usize,
    /// Its path below the torrent's download folder, parts joined by `/`.
    pub path: String,
}

/// Hashes everything again: [`Engine::recheck`]. Status updates tell how it goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecheckTorrent {
    /// The torrent.
    pub torrent_id: TorrentId,
}

/// Tries the disk again at once, after it refused something or files were removed: [`Engine::retry_disk`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryDisk {
    /// The torrent.
    pub torrent_id: TorrentId,
}

impl fmt::Display for MoveTorrent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Move torrent {} to {}", self.torrent_id, printable(&self.dir.to_string_lossy()))
    }
}

impl fmt::Display for RenameFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Rename file {} of torrent {} to {}", self.index, self.torrent_id, printable(&self.path))
    }
}

impl fmt::Display for RecheckTorrent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Check torrent {} again", self.torrent_id)
    }
}

impl fmt::Display for RetryDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Try the disk of torrent {} again", self.torrent_id)
    }
}

/// The torrent that a message of this file is about, and what it asks for.
pub(crate) fn files_request(message: &Message) -> Option<(TorrentId, &'static str)> {
    let moving = message.downcast_ref::<MoveTorrent>().map(|m| (m.torrent_id, "MoveTorrent"));
    moving
        .or_else(|| message.downcast_ref::<RenameFile>().map(|m| (m.torrent_id, "RenameFile")))
        .or_else(|| message.downcast_ref::<RecheckTorrent>().map(|m| (m.torrent_id, "RecheckTorrent")))
        .or_else(|| message.downcast_ref::<RetryDisk>().map(|m| (m.torrent_id, "RetryDisk")))
}

/// Passes a message of this file on to the engine; gives back any other. Answers what there is to say at once.
pub(crate) fn serve_files(engine: &mut Engine, message: Message) -> Result<Option<TorrentEvent>, Message> {
    let Some((torrent_id, request)) = files_request(&message) else { return Err(message) };
    let message = match message.downcast::<MoveTorrent>() {
        Ok(m) => return Ok(refusal(torrent_id, request, engine.move_storage(torrent_id, m.dir))),
        Err(message) => message,
    };
    let result = match message.downcast::<RenameFile>() {
        Ok(m) => engine.rename_file(torrent_id, m.index, m.path),
        Err(message) if message.downcast_ref::<RecheckTorrent>().is_some() => engine.recheck(torrent_id),
        Err(_) => engine.retry_disk(torrent_id),
    };
    Ok(refusal(torrent_id, request, result))
}

fn refusal(
    torrent_id: TorrentId,
    request: &'static str,
    result: Result<(), RequestError>,
) -> Option<TorrentEvent> {
    let reason = result.err()?.to_string();
    Some(TorrentEvent::RequestFailed { torrent_id, request, reason })
}

impl TorrentEvent {
    /// What an event of the engine about files means to patrons.
    pub(crate) fn of_files(event: Event) -> Option<TorrentEvent> {
        Some(match event {
            Event::Moved { id, dir } => Self::TorrentMoved { torrent_id: id, dir },
            Event::FileRenamed { id, index, path } => Self::FileRenamed { torrent_id: id, index, path },
            Event::RequestFailed { id, request, reason } => {
                Self::RequestFailed { torrent_id: id, request, reason }
            }
            Event::FilesChanged { id, files } => Self::FilesChanged { torrent_id: id, files },
            Event::DiskTrouble { id, error } => Self::DiskTrouble { torrent_id: id, error },
            Event::NotSaved { id, error } => Self::RecordNotSaved { torrent_id: id, reason: error },
            _ => return None,
        })
    }

    pub(super) fn fmt_files(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TorrentMoved { torrent_id, dir } => {
                write!(f, "Torrent {torrent_id} moved to {}", printable(&dir.to_string_lossy()))
            }
            Self::FileRenamed { torrent_id, index, path } => {
                let path = path.to_string_lossy();
                write!(f, "Torrent {torrent_id} file {index} renamed to {}", printable(&path))
            }
            Self::FilesChanged { torrent_id, files } => {
                let more = match files.len() {
                    0 | 1 => String::new(),
                    n => format!(" and {} more", n - 1),
                };
                let first = files.first().map(|file| file.to_string_lossy()).unwrap_or_default();
                write!(f, "Torrent {torrent_id} files changed by others: {}{more}", printable(&first))
            }
            Self::DiskTrouble { torrent_id, error: Some(error) } => {
                write!(f, "Torrent {torrent_id} disk: {}", printable(error))
            }
            Self::DiskTrouble { torrent_id, error: None } => {
                write!(f, "Torrent {torrent_id} disk works again")
            }
            Self::RecordNotSaved { torrent_id, reason } => {
                write!(f, "Torrent {torrent_id} resume record not saved: {}", printable(reason))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_name_the_torrent_and_are_printable() {
        let torrent_id = TorrentId(3);
        let say = |event: TorrentEvent| event.to_string();
        let dir = PathBuf::from("/x\u{1b}[2J");
        assert_eq!(MoveTorrent { torrent_id, dir: "d".into() }.to_string(), "Move torrent 3 to d");
        assert!(!say(TorrentEvent::TorrentMoved { torrent_id, dir }).contains('\u{1b}'));
        let files = vec!["t/a".into(), "t/b".into()];
        let text = say(TorrentEvent::FilesChanged { torrent_id, files });
        assert_eq!(text, "Torrent 3 files changed by others: t/a and 1 more");
        assert_eq!(say(TorrentEvent::DiskTrouble { torrent_id, error: None }), "Torrent 3 disk works again");
    }
}
