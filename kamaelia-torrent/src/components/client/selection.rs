//! Requests about the files of a torrent.

use axon::Message;

use super::Work;
use crate::components::ipc::{ListFiles, SetFilePriorities, TorrentEvent};

impl Work<'_> {
    /// Does what a request about files says, or gives the message back.
    pub(super) fn serve_selection(&mut self, message: Message) -> Result<(), Message> {
        let message = match message.downcast::<SetFilePriorities>() {
            Ok(SetFilePriorities { torrent_id, priorities }) => {
                if let Err(e) = self.engine.set_file_priorities(torrent_id, &priorities) {
                    self.refuse(torrent_id, "SetFilePriorities", e.to_string());
                }
                return Ok(());
            }
            Err(message) => message,
        };
        let ListFiles { torrent_id } = message.downcast()?;
        match self.engine.files(torrent_id) {
            Some(files) => self.send(TorrentEvent::TorrentFiles { torrent_id, files: files.into() }),
            None => self.refuse(torrent_id, "ListFiles", "there is no torrent of this number"),
        }
        Ok(())
    }
}
