//! Torrents that outlive a run: whose they are when they come back, and who may have them forgotten.

use axon::{Cx, Message, Service};

use super::{NOT_YOURS, ServicePorts, TorrentService, close};
use crate::components::ipc::{NewsKinds, RemoveTorrent, RequestTag, RestoreTorrents, TorrentEvent};
use crate::engine::TorrentId;

impl TorrentService {
    /// Passes on a patron's request if it is one of these; else gives it back.
    pub(super) fn pass_on_stored(
        &mut self,
        cx: &Cx<ServicePorts>,
        reply: &Service,
        message: Message,
    ) -> Option<Message> {
        match message.downcast::<RestoreTorrents>() {
            Ok(restore) => {
                if self.has_client(cx, reply) {
                    let tag = Some(self.expect_answer(reply.clone(), restore.tag, NewsKinds::NONE));
                    let _ = cx.outbox.send(Message::new(RestoreTorrents { tag }));
                }
                None
            }
            Err(message) => match message.downcast::<RemoveTorrent>() {
                Ok(remove) => {
                    self.remove_torrent(cx, reply, remove);
                    None
                }
                Err(message) => Some(message),
            },
        }
    }

    fn remove_torrent(&mut self, cx: &Cx<ServicePorts>, reply: &Service, remove: RemoveTorrent) {
        let torrent_id = remove.torrent_id;
        match self.owners.get(&torrent_id) {
            // As a close, but if nobody else wants it, it is forgotten.
            Some(owners) if owners.iter().all(|owner| owner == reply) => {
                self.stop_reading(cx, reply, Some(torrent_id));
                self.owners.remove(&torrent_id);
                let _ = cx.outbox.send(Message::new(remove));
            }
            Some(owners) if owners.contains(reply) => {
                self.stop_reading(cx, reply, Some(torrent_id));
                self.disown(cx, torrent_id, reply);
            }
            _ => {
                let (request, reason) = ("RemoveTorrent", NOT_YOURS.to_owned());
                self.send_to(reply, TorrentEvent::RequestFailed { torrent_id, request, reason });
            }
        }
    }

    /// A torrent came back; it belongs to whoever asked for that. The request itself goes on.
    pub(super) fn restored(
        &mut self,
        cx: &Cx<ServicePorts>,
        id: TorrentId,
        tag: Option<RequestTag>,
        event: TorrentEvent,
    ) {
        // Without a tag nobody asked: the torrent is the client's own.
        let Some(pending) = self.pending.iter().find(|pending| Some(pending.tag) == tag) else { return };
        match pending.asker.clone() {
            Some((asker, tag)) => {
                self.owners.insert(id, vec![asker.clone()]);
                self.send_to(&asker, event.with_tag(tag));
            }
            None => close(cx, id),
        }
    }
}
