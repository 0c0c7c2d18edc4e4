//! Who reads what: the bytes go to the patron that asked, not to all owners of the torrent.

use std::collections::BTreeMap;

use axon::{Cx, Message, Service};

use super::{ServicePorts, TorrentService};
use crate::components::ipc::{ReadFile, RequestTag, StopReading, TorrentEvent};
use crate::engine::TorrentId;

/// Reads under way, by the tag under which the client knows them.
#[derive(Default)]
pub(super) struct Readers(BTreeMap<RequestTag, Reader>);

struct Reader {
    asker: Service,
    torrent_id: TorrentId,
    /// Under which the asker knows it.
    tag: RequestTag,
}

impl TorrentService {
    /// Passes a request about reading on.
    ///
    /// # Errors
    ///
    /// The message, if it is about something else.
    pub(super) fn pass_on_reading(
        &mut self,
        cx: &Cx<ServicePorts>,
        reply: &Service,
        message: Message,
    ) -> Result<(), Message> {
        let message = match message.downcast::<ReadFile>() {
            Ok(request) => {
                self.pass_on_read(cx, reply, request);
                return Ok(());
            }
            Err(message) => message,
        };
        let StopReading { torrent_id, tag } = message.downcast::<StopReading>()?;
        if let Some(tag) = self.readers.known(reply, tag) {
            self.readers.0.remove(&tag);
            let _ = cx.outbox.send(Message::new(StopReading { torrent_id, tag }));
        }
        Ok(())
    }

    fn pass_on_read(&mut self, cx: &Cx<ServicePorts>, reply: &Service, mut request: ReadFile) {
        let ReadFile { torrent_id, tag, .. } = request;
        if !self.owners.get(&torrent_id).is_some_and(|owners| owners.contains(reply)) {
            let error = Some("this patron has no torrent of this number".to_owned());
            return self.send_to(reply, TorrentEvent::ReadEnded { torrent_id, tag, error });
        }
        let ours = self.readers.known(reply, tag).unwrap_or_else(|| {
            self.last_tag += 1;
            RequestTag(self.last_tag)
        });
        self.readers.0.insert(ours, Reader { asker: reply.clone(), torrent_id, tag });
        request.tag = ours;
        let _ = cx.outbox.send(Message::new(request));
    }

    /// Gives bytes to whoever reads them.
    ///
    /// # Errors
    ///
    /// The event, if it is another.
    pub(super) fn pass_back_reading(&mut self, event: TorrentEvent) -> Result<(), TorrentEvent> {
        match event {
            TorrentEvent::FileData { torrent_id, tag, data } => {
                // Without a reader it was stopped meanwhile.
                if let Some(reader) = self.readers.0.get(&tag) {
                    let event = TorrentEvent::FileData { torrent_id, tag: reader.tag, data };
                    self.send_to(&reader.asker, event);
                }
                Ok(())
            }
            TorrentEvent::ReadEnded { torrent_id, tag, error } => {
                if let Some(reader) = self.readers.0.remove(&tag) {
                    let event = TorrentEvent::ReadEnded { torrent_id, tag: reader.tag, error };
                    self.send_to(&reader.asker, event);
                }
                Ok(())
            }
            other => Err(other),
        }
    }

    /// A patron leaves, or gives up a torrent: it reads no more of it.
    pub(super) fn stop_reading(&mut self, cx: &Cx<ServicePorts>, reply: &Service, of: Option<TorrentId>) {
        let leaves = |reader: &Reader| reader.asker == *reply && of.is_none_or(|id| id == reader.torrent_id);
        self.readers.0.retain(|tag, reader| {
            if leaves(reader) {
                let stop = StopReading { torrent_id: reader.torrent_id, tag: *tag };
                let _ = cx.outbox.send(Message::new(stop));
                return false;
            }
            true
        });
    }

    /// The client is gone: nothing will come any more.
    pub(super) fn fail_reads(&mut self, reason: &str) {
        for reader in std::mem::take(&mut self.readers.0).into_values() {
            let (torrent_id, tag, error) = (reader.torrent_id, reader.tag, Some(reason.to_owned()));
            self.send_to(&reader.asker, TorrentEvent::ReadEnded { torrent_id, tag, error });
        }
    }
}

impl Readers {
    /// The tag under which the client knows a patron's read.
    fn known(&self, asker: &Service, tag: RequestTag) -> Option<RequestTag> {
        self.0.iter().find(|(_, r)| r.asker == *asker && r.tag == tag).map(|(ours, _)| *ours)
    }
}
