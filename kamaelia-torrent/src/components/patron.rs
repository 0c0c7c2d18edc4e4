//! A user's own view of the shared client (Kamaelia: `TorrentPatron.py`).

use std::collections::BTreeSet;
use std::rc::Rc;

use axon::{AnyInstance, Component, Cx, Error, Ipc, Linkage, Message, Microprocess, Service, ports};

use super::client::TorrentClient;
use super::ipc::{CreateNewTorrent, RestoreTorrents, ServiceMessage, TorrentEvent};
use super::service::{ClientFactory, TorrentService};
use crate::engine::TorrentId;

ports! {
    /// Boxes of a [`TorrentPatron`].
    pub struct PatronPorts {
        in  { /// Requests, as for a [`TorrentClient`].
              inbox: Message,
              /// What the service sends.
              torrent_inbox: TorrentEvent,
              /// When to leave.
              control: Ipc }
        out { /// What a client would say, for this patron's torrents only.
              outbox: TorrentEvent,
              /// To the service.
              torrent_outbox: ServiceMessage,
              /// Producer finished, when the patron leaves.
              signal: Ipc }
    }
}

/// Downloads and shares torrents through the client that all patrons of a program share.
///
/// The first patron makes the [`TorrentService`] and with it the client; when the last one leaves, both end.
///
/// # Boxes
/// See [`PatronPorts`]. `inbox` takes [`CreateNewTorrent`] (or the bytes of a .torrent file),
/// [`CloseTorrent`](super::CloseTorrent), [`AddPeers`](super::AddPeers), [`RestoreTorrents`] and
/// [`RemoveTorrent`](super::RemoveTorrent); `outbox` gives [`TorrentEvent`]s (TO-PAT-04).
///
/// # Shutdown
/// * [`Ipc::Shutdown`] and `shutdownMicroprocess`: leaves at once (D-49).
/// * `producerFinished`: passes on the requests that are queued, waits for their answers, then leaves (D-49). With
///   [`finish_downloads`](TorrentPatron::finish_downloads) it waits until they are complete, too.
///
/// Leaving closes the patron's torrents, unless another patron asked for them as well; files stay. Then a
/// `producerFinished` goes out on `signal`.
///
/// # Example
/// ```no_run
/// use axon::prelude::*;
/// use axon::{file::TriggeredFileReader, util::{ConsoleEchoer, ConsoleReader}};
/// use kamaelia_torrent::components::{BasicTorrentExplainer, TorrentPatron};
///
/// Pipeline::new()
///     .then(ConsoleReader::new(">>> ").eol(""))
///     .then(TriggeredFileReader::new())
///     .then(TorrentPatron::new())
///     .then(BasicTorrentExplainer::new())
///     .then(ConsoleEchoer::new())
///     .run()?;
/// # Ok::<(), axon::Error>(())
/// ```
pub struct TorrentPatron {
    factory: ClientFactory,
    finish_downloads: bool,
}

impl Default for TorrentPatron {
    fn default() -> Self {
        Self::new()
    }
}

impl TorrentPatron {
    /// A patron; if it is the first, the client it brings about has default settings.
    pub fn new() -> Self {
        Self::with_client(|| TorrentClient::new().create().any())
    }

    /// A patron; if it is the first, the shared client is made by `client`. It must have a [`TorrentClient`]'s boxes.
    pub fn with_client(client: impl Fn() -> AnyInstance + 'static) -> Self {
        Self { factory: Rc::new(client), finish_downloads: false }
    }

    /// After a `producerFinished`, stays until every torrent it asked for is complete or has failed.
    pub fn finish_downloads(mut self, on: bool) -> Self {
        self.finish_downloads = on;
        self
    }
}

/// A patron's tie to the service.
struct Tie {
    service: Service,
    linkage: Linkage,
}

impl Component for TorrentPatron {
    type Ports = PatronPorts;

    fn kind() -> &'static str {
        "Kamaelia.Protocol.Torrent.TorrentPatron.TorrentPatron"
    }

    async fn main(self, cx: Cx<PatronPorts>) {
        let result = self.serve(&cx).await;
        let _ = cx.signal.send(Ipc::producer_finished_by(cx.id()));
        cx.end_with(result);
    }
}

impl TorrentPatron {
    async fn serve(&self, cx: &Cx<PatronPorts>) -> Result<(), Error> {
        let mut tie = self.join(cx)?;
        let mut unanswered = 0_usize;
        let mut incomplete = BTreeSet::new();
        let (mut finishing, mut idle) = (false, false);
        loop {
            // One step a message, and the same step for a pause and its yield: the order of TO-PAT-02.
            if std::mem::take(&mut idle) {
                cx.pause().await
            } else {
                cx.yield_now().await
            }
            // Before everything else, so that a busy sender cannot keep the patron alive (D-49).
            match cx.control.try_recv() {
                Some(m) if matches!(m, Ipc::Shutdown) || m.is_shutdown_microprocess() => break,
                Some(m) if m.is_producer_finished() => finishing = true,
                _ => {}
            }
            if let Some(message) = cx.inbox.try_recv() {
                tie = self.stay_joined(cx, tie)?;
                let message = match CreateNewTorrent::from_message(message) {
                    Ok(create) => {
                        unanswered += 1;
                        Message::new(create)
                    }
                    Err(other) => {
                        unanswered += usize::from(other.downcast_ref::<RestoreTorrents>().is_some());
                        other
                    }
                };
                let reply_service = cx.service(REPLY);
                let _ = cx.torrent_outbox.send(ServiceMessage::PassOn { reply_service, message });
            } else if !cx.outbox.is_full()
                && let Some(event) = cx.torrent_inbox.try_recv()
            {
                unanswered -= usize::from(is_answer(&event)).min(unanswered);
                note_progress(&event, &mut incomplete);
                let _ = cx.outbox.send(event);
            } else if finishing
                && cx.torrent_inbox.is_empty()
                && unanswered == 0
                && (incomplete.is_empty() || !self.finish_downloads)
            {
                break;
            } else {
                idle = true;
            }
        }
        // What was said to this patron before it left is passed on; the service unlinks it before it says more.
        while let Some(event) = cx.torrent_inbox.try_recv() {
            let _ = cx.outbox.send(event);
        }
        let _ = cx.torrent_outbox.send(ServiceMessage::Remove { reply_service: cx.service(REPLY) });
        cx.unlink(&tie.linkage);
        Ok(())
    }

    /// Finds the service or makes it, and registers (TO-PAT-01).
    fn join(&self, cx: &Cx<PatronPorts>) -> Result<Tie, Error> {
        let found = TorrentService::get_from(&cx.tracker(), self.factory.clone())?;
        if let Some(new) = found.new {
            // It outlives this patron, so it is nobody's child (D-50).
            cx.activate(&new);
        }
        let linkage = cx.link(&cx.torrent_outbox, &found.service)?;
        let _ = cx.torrent_outbox.send(ServiceMessage::Add { reply_service: cx.service(REPLY) });
        Ok(Tie { service: found.service, linkage })
    }

    /// Joins another service if the one it had was shut down by somebody.
    fn stay_joined(&self, cx: &Cx<PatronPorts>, tie: Tie) -> Result<Tie, Error> {
        if tie.service.component().resolve().is_some_and(|c| !c.is_stopped()) {
            return Ok(tie);
        }
        cx.unlink(&tie.linkage);
        self.join(cx)
    }
}

/// The inbox that the service sends to; the original's `torrent-inbox`.
const REPLY: &str = "torrent_inbox";

/// Whether it answers a create request, rather than telling how a torrent is doing.
fn is_answer(event: &TorrentEvent) -> bool {
    match event {
        TorrentEvent::NewTorrentCreated { .. }
        | TorrentEvent::TorrentAlreadyDownloading { .. }
        | TorrentEvent::RestoreEnded { .. } => true,
        TorrentEvent::TorrentStartFail(fail) => fail.torrent_id.is_none(),
        _ => false,
    }
}

fn note_progress(event: &TorrentEvent, incomplete: &mut BTreeSet<TorrentId>) {
    match event {
        TorrentEvent::NewTorrentCreated { torrent_id, .. }
        | TorrentEvent::TorrentAlreadyDownloading { torrent_id, .. }
        | TorrentEvent::TorrentRestored { torrent_id, .. } => {
            incomplete.insert(*torrent_id);
        }
        TorrentEvent::TorrentStartFail(fail) => {
            fail.torrent_id.map(|id| incomplete.remove(&id));
        }
        TorrentEvent::TorrentStatusUpdate { torrent_id, status } if status.is_complete() => {
            incomplete.remove(torrent_id);
        }
        _ => {}
    }
}
