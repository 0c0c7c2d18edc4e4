//! Requests about the session, and news for those who subscribed.

use std::sync::Arc;

use axon::Message;

use super::Work;
use crate::components::ipc::{
    GetSessionStats, News, NewsKinds, PauseAllTorrents, PauseTorrent, ResumeAllTorrents, ResumeTorrent,
    SetQueueLimits, SetQueuePosition, SetStopRule, Subscribe, TorrentEvent,
};
use crate::engine::{ControlError, Event, TorrentId};

impl Work<'_> {
    /// Does what a message asks for, if it is one of these.
    pub(super) fn serve_session(&mut self, message: Message) -> Result<(), Message> {
        if let Some(&PauseTorrent { torrent_id }) = message.downcast_ref() {
            let result = self.engine.pause(torrent_id);
            self.answer(torrent_id, "PauseTorrent", result);
        } else if let Some(&ResumeTorrent { torrent_id }) = message.downcast_ref() {
            let result = self.engine.resume(torrent_id);
            self.answer(torrent_id, "ResumeTorrent", result);
        } else if message.is::<PauseAllTorrents>() {
            self.engine.pause_all();
        } else if message.is::<ResumeAllTorrents>() {
            self.engine.resume_all();
        } else if let Some(&SetQueuePosition { torrent_id, position }) = message.downcast_ref() {
            let result = self.engine.set_queue_position(torrent_id, position);
            self.answer(torrent_id, "SetQueuePosition", result);
        } else if let Some(&SetStopRule { torrent_id, rule }) = message.downcast_ref() {
            let result = self.engine.set_stop_rule(torrent_id, rule);
            self.answer(torrent_id, "SetStopRule", result);
        } else if let Some(&SetQueueLimits { limits }) = message.downcast_ref() {
            self.engine.set_queue_limits(limits);
        } else if let Some(&Subscribe { torrent_id, kinds }) = message.downcast_ref() {
            if self.engine.status(torrent_id).is_none() {
                self.refuse(torrent_id, "Subscribe", ControlError::Unknown(torrent_id).to_string());
            } else if kinds == NewsKinds::NONE {
                self.subscriptions.remove(&torrent_id);
            } else {
                self.subscriptions.insert(torrent_id, kinds);
            }
        } else if let Some(&GetSessionStats { tag }) = message.downcast_ref() {
            let stats = Arc::new(self.engine.session_stats());
            self.send(TorrentEvent::SessionStats { stats, tag });
        } else {
            return Err(message);
        }
        Ok(())
    }

    fn answer(&mut self, id: TorrentId, request: &'static str, result: Result<(), ControlError>) {
        if let Err(e) = result {
            self.refuse(id, request, e.to_string());
        }
    }

    /// Passes on what happened if somebody subscribed to it.
    pub(super) fn tell_subscribers(&mut self, event: &Event) {
        // Nearly always nobody did, and then nothing is to be made.
        if self.subscriptions.is_empty() {
            return;
        }
        let Some((torrent_id, news)) = news_of(event) else { return };
        let wanted = self.subscriptions.get(&torrent_id).is_some_and(|kinds| kinds.contains(news.kind()));
        if wanted && !(news.is_minor() && self.unsent.len() >= MAX_UNSENT) {
            self.send(TorrentEvent::News { torrent_id, news });
        }
    }
}

fn news_of(event: &Event) -> Option<(TorrentId, News)> {
    Some(match event.clone() {
        Event::Checking { id, checked, total } => (id, News::Checking { checked, total }),
        Event::Checked { id, have, total } => (id, News::Checked { have, total }),
        Event::Started { id } => (id, News::Started),
        Event::PieceVerified { id, piece } => (id, News::PieceVerified { piece: piece.0 }),
        Event::Completed { id } => (id, News::Completed),
        Event::Paused { id, cause } => (id, News::Paused { cause }),
        Event::Queued { id, activity } => (id, News::Queued { activity }),
        Event::PeerConnected { id, addr } => (id, News::PeerConnected { addr }),
        Event::PeerGone { id, addr, reason } => (id, News::PeerGone { addr, reason }),
        Event::DialFailed { id, addr, reason } => (id, News::DialFailed { addr, reason }),
        _ => return None,
    })
}

/// News that may wait for somebody to take them.
const MAX_UNSENT: usize = 65_536;
