//! Requests about limits.

use axon::Message;

use super::Work;
use crate::components::ipc::{SetConnectionLimits, SetLimits, TorrentEvent};

impl Work<'_> {
    /// Serves a request about limits, or gives the message back.
    pub(super) fn serve_limits(&mut self, message: Message) -> Result<(), Message> {
        let message = match message.downcast::<SetLimits>() {
            Ok(SetLimits { torrent_id, limits }) => {
                match self.engine.set_limits(torrent_id, limits) {
                    Ok(()) => self.send(TorrentEvent::LimitsChanged { torrent_id, limits }),
                    Err(unknown) => self.refuse(unknown.0, "SetLimits", unknown.to_string()),
                }
                return Ok(());
            }
            Err(message) => message,
        };
        let SetConnectionLimits { limits } = message.downcast()?;
        self.engine.set_connection_limits(limits);
        self.send(TorrentEvent::ConnectionLimitsChanged { limits });
        Ok(())
    }
}
