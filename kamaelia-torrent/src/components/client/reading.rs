//! Requests to read files, and what comes of them.

use std::sync::Arc;
use std::time::Instant;

use axon::Message;

use super::Work;
use crate::components::ipc::{
    ClearPieceDeadlines, ReadFile, RequestTag, SetPieceDeadline, StopReading, TorrentEvent,
};
use crate::engine::{FileChunk, ReadId, TorrentId};
use crate::proto::geometry::PieceIndex;

impl Work<'_> {
    /// Does what a message about reading asks for.
    ///
    /// # Errors
    ///
    /// The message, if it is about something else.
    pub(super) fn serve_reading(&mut self, message: Message) -> Result<(), Message> {
        let message = match message.downcast::<ReadFile>() {
            Ok(request) => {
                self.read(&request);
                return Ok(());
            }
            Err(message) => message,
        };
        let message = match message.downcast::<StopReading>() {
            Ok(request) => {
                self.stop_read(request.torrent_id, request.tag);
                return Ok(());
            }
            Err(message) => message,
        };
        let message = match message.downcast::<SetPieceDeadline>() {
            Ok(request) => {
                let SetPieceDeadline { torrent_id, piece, within } = request;
                let set = match Instant::now().checked_add(within) {
                    Some(at) => self.engine.set_piece_deadline(torrent_id, PieceIndex(piece), at),
                    // A time that never comes is none.
                    None => Ok(()),
                };
                if let Err(e) = set {
                    self.refuse(torrent_id, "SetPieceDeadline", e.to_string());
                }
                return Ok(());
            }
            Err(message) => message,
        };
        let request = message.downcast::<ClearPieceDeadlines>()?;
        if let Err(e) = self.engine.clear_piece_deadlines(request.torrent_id) {
            self.refuse(request.torrent_id, "ClearPieceDeadlines", e.to_string());
        }
        Ok(())
    }

    fn read(&mut self, request: &ReadFile) {
        self.stop_read(request.torrent_id, request.tag);
        match self.engine.read_file(request.torrent_id, request.range()) {
            Ok(read) => {
                self.reads.insert(read, request.tag);
            }
            Err(e) => self.send(TorrentEvent::ReadEnded {
                torrent_id: request.torrent_id,
                tag: request.tag,
                error: Some(e.to_string()),
            }),
        }
    }

    fn stop_read(&mut self, torrent_id: TorrentId, tag: RequestTag) {
        let of = self.reads.iter().find(|(_, other)| **other == tag).map(|(read, _)| *read);
        if let Some(read) = of {
            log::debug!("reading of torrent {torrent_id} under {tag:?} stops");
            self.engine.stop_reading(read);
            self.reads.remove(&read);
        }
    }

    pub(super) fn file_data(&mut self, torrent_id: TorrentId, read: ReadId, data: Arc<FileChunk>) {
        if let Some(&tag) = self.reads.get(&read) {
            self.send(TorrentEvent::FileData { torrent_id, tag, data });
        }
    }

    pub(super) fn read_ended(&mut self, torrent_id: TorrentId, read: ReadId, error: Option<String>) {
        if let Some(tag) = self.reads.remove(&read) {
            self.send(TorrentEvent::ReadEnded { torrent_id, tag, error });
        }
    }
}
