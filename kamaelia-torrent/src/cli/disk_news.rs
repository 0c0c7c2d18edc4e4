//! What a session says about disks and files, and when it gives up because of them.

use kamaelia_torrent::components::TorrentEvent;
use kamaelia_torrent::engine::TorrentId;
use kamaelia_torrent::proto::metainfo::display_path;
use serde_json::{Value, json};

/// What is known of the files of one torrent.
#[derive(Default)]
pub(crate) struct DiskNews {
    /// They are to be moved when the torrent is complete, and were not yet.
    pub(crate) moves: bool,
    /// Why nothing can be fetched.
    pub(crate) trouble: Option<String>,
    /// Why they were not moved.
    pub(crate) failure: Option<String>,
}

/// Something to say.
pub(crate) struct Line {
    pub(crate) text: String,
    pub(crate) object: Value,
    pub(crate) complaint: bool,
}

impl DiskNews {
    /// Takes an event about the torrent's files; `retries` tells whether the session lasts until the disk is tried again.
    pub(crate) fn hear(
        &mut self,
        label: &str,
        id: TorrentId,
        event: &TorrentEvent,
        retries: bool,
    ) -> Option<Line> {
        let id = id.0;
        let (text, object, complaint) = match event {
            TorrentEvent::TorrentMoved { dir, .. } => {
                self.moves = false;
                let dir = dir.display().to_string();
                (
                    format!("moved to {dir}"),
                    json!({"event": "moved", "id": id, "torrent": label, "dir": dir}),
                    false,
                )
            }
            TorrentEvent::RequestFailed { request: "MoveTorrent", reason, .. } if self.moves => {
                self.moves = false;
                let text = format!("not moved: {reason}");
                self.failure = Some(text.clone());
                (text.clone(), json!({"event": "error", "id": id, "torrent": label, "error": text}), true)
            }
            TorrentEvent::DiskTrouble { error: Some(error), .. } => {
                self.trouble = Some(error.clone());
                let later = if retries { "; it is tried again every 10 minutes" } else { "" };
                let object = json!({"event": "error", "id": id, "torrent": label, "error": error});
                (format!("{error}{later}"), object, true)
            }
            TorrentEvent::DiskTrouble { error: None, .. } => {
                self.trouble = None;
                let object = json!({"event": "disk_works_again", "id": id, "torrent": label});
                ("the disk works again".to_owned(), object, false)
            }
            TorrentEvent::FilesChanged { files, .. } => {
                let files: Vec<String> = files.iter().map(|file| display_path(file)).collect();
                let text = format!("changed by somebody else, and hashed again: {}", files.join(", "));
                (text, json!({"event": "files_changed", "id": id, "torrent": label, "files": files}), false)
            }
            TorrentEvent::RecordNotSaved { reason, .. } => {
                let text = format!("the next start will have to hash everything: {reason}");
                (text.clone(), json!({"event": "note", "torrent": label, "text": text}), false)
            }
            _ => return None,
        };
        Some(Line { text: format!("{label}: {text}"), object, complaint })
    }
}
