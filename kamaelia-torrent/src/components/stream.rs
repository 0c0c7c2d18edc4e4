//! Parts of a stream that is shared as a row of torrents (Kamaelia:
//! `Examples/_TorrentBasedStreaming_GSOC/P2PStreamPeer/p2pstreampeer.py`).

use std::collections::VecDeque;
use std::path::PathBuf;

use axon::{Component, Cx, Ipc, Message, Microprocess, ports};

use super::ipc::TorrentEvent;
use crate::engine::TorrentId;

ports! {
    /// Boxes of a [`StreamReconstructor`].
    pub struct StreamReconstructorPorts {
        in  { /// What a patron says.
              inbox: TorrentEvent,
              /// `producerFinished` or [`Ipc::Shutdown`] ends it.
              control: Ipc }
        out { /// Where each part is, in the order in which the parts were created.
              outbox: String,
              /// Producer finished, at the end.
              signal: Ipc }
    }
}

/// Tells where complete parts are, in the order in which their torrents were created (TO-EX-02).
///
/// # Boxes
/// See [`StreamReconstructorPorts`]. A part is told at the first status update that says it is complete once all before
/// it have been told; one that is complete earlier waits for a later update of its own. A part that fails is left out.
///
/// # Shutdown
/// On `producerFinished` or [`Ipc::Shutdown`], with a `producerFinished` of its own (D-39).
#[derive(Default)]
pub struct StreamReconstructor {
    parts: VecDeque<(TorrentId, PathBuf)>,
}

impl StreamReconstructor {
    /// One that knows of no part yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The part that the event completes the row up to.
    fn next_part(&mut self, event: TorrentEvent) -> Option<PathBuf> {
        match event {
            TorrentEvent::NewTorrentCreated { torrent_id, save_folder, .. } => {
                self.parts.push_back((torrent_id, save_folder));
            }
            TorrentEvent::TorrentStatusUpdate { torrent_id, status } => {
                let first = self.parts.front().is_some_and(|(id, _)| *id == torrent_id);
                // The original asks for exactly 1, which a fraction need not reach (D-51).
                if first && status.fraction_done >= 1.0 && status.is_complete() {
                    return self.parts.pop_front().map(|(_, path)| path);
                }
            }
            TorrentEvent::TorrentStartFail(fail) => {
                self.parts.retain(|(id, _)| fail.torrent_id != Some(*id));
            }
            _ => {}
        }
        None
    }
}

impl Component for StreamReconstructor {
    type Ports = StreamReconstructorPorts;

    async fn main(mut self, cx: Cx<StreamReconstructorPorts>) {
        loop {
            while let Some(event) = cx.inbox.try_recv() {
                if let Some(path) = self.next_part(event) {
                    let _ = cx.outbox.send_wait(path.to_string_lossy().into_owned()).await;
                }
            }
            if let Some(stop) = cx.control.try_recv()
                && (stop.is_producer_finished() || matches!(stop, Ipc::Shutdown))
            {
                let _ = cx.signal.send(Ipc::producer_finished_by(cx.id()));
                return;
            }
            cx.pause().await;
        }
    }
}

ports! {
    /// Boxes of a [`PartsFilenameGenerator`].
    pub struct PartsPorts {
        in  { /// How many parts there are, as decimal text or its bytes.
              inbox: Message,
              /// `producerFinished` or [`Ipc::Shutdown`] ends it.
              control: Ipc }
        out { /// The name of each new part, once.
              outbox: String,
              /// Producer finished, at the end.
              signal: Ipc }
    }
}

/// Names the parts of a stream as their number grows (TO-EX-03): after "3" the parts 1, 2, 3, after "5" the parts 4, 5.
///
/// # Boxes
/// See [`PartsPorts`]. What is not a number is dropped and logged.
///
/// # Shutdown
/// On `producerFinished` or [`Ipc::Shutdown`], with a `producerFinished` of its own (D-39).
///
/// # Limits
/// At most [`MAX_NEW_PARTS`](PartsFilenameGenerator::MAX_NEW_PARTS) names for one message: the number comes from a server.
pub struct PartsFilenameGenerator {
    prefix: String,
    suffix: String,
    named: u64,
}

impl PartsFilenameGenerator {
    /// Names that are given for one message.
    pub const MAX_NEW_PARTS: u64 = 10_000;

    /// Names of the form `<prefix><number>.torrent`.
    pub fn new(prefix: impl Into<String>) -> Self {
        Self { prefix: prefix.into(), suffix: ".torrent".into(), named: 0 }
    }

    /// Another ending than `.torrent`.
    pub fn suffix(mut self, suffix: impl Into<String>) -> Self {
        self.suffix = suffix.into();
        self
    }
}

impl Component for PartsFilenameGenerator {
    type Ports = PartsPorts;

    async fn main(mut self, cx: Cx<PartsPorts>) {
        loop {
            while let Some(message) = cx.inbox.try_recv() {
                let Some(parts) = message.as_text().and_then(|t| t.trim().parse::<u64>().ok()) else {
                    log::warn!("{message:?} is not a number of parts");
                    continue;
                };
                let last = parts.min(self.named.saturating_add(Self::MAX_NEW_PARTS));
                while self.named < last {
                    self.named += 1;
                    let name = format!("{}{}{}", self.prefix, self.named, self.suffix);
                    let _ = cx.outbox.send_wait(name).await;
                }
            }
            if let Some(stop) = cx.control.try_recv()
                && (stop.is_producer_finished() || matches!(stop, Ipc::Shutdown))
            {
                let _ = cx.signal.send(Ipc::producer_finished_by(cx.id()));
                return;
            }
            cx.pause().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use axon::{Instance, Scheduler};

    use super::super::status::sample;
    use super::*;
    use crate::engine::State;

    ports! { struct EarPorts { in { inbox: String, control: Ipc } out { } } }
    struct Ear;
    impl Component for Ear {
        type Ports = EarPorts;
        async fn main(self, _: Cx<EarPorts>) {}
    }

    fn heard(s: &Scheduler, ear: &Instance<EarPorts>) -> Vec<String> {
        s.run_until_idle().unwrap();
        ear.inbox.drain().collect()
    }

    /// D-39.
    #[test]
    fn to_ex_02_parts_are_told_in_the_order_of_their_creation() {
        let (s, ear, c) = (Scheduler::new(), Ear.create(), StreamReconstructor::new().create());
        axon::link(&c.outbox, &ear.inbox).unwrap();
        axon::link(&c.signal, &ear.control).unwrap();
        s.activate(&c);
        let created = |id: u32| TorrentEvent::NewTorrentCreated {
            torrent_id: TorrentId(id),
            save_folder: format!("./part{id}").into(),
            listen: None,
            tag: None,
        };
        let update = |id: u32, fraction: f64| {
            let mut status = sample(fraction);
            if fraction >= 1.0 {
                (status.state, status.pieces_have) = (State::Seeding, status.piece_count);
            }
            TorrentEvent::TorrentStatusUpdate { torrent_id: TorrentId(id), status: Arc::new(status) }
        };
        for event in [created(1), created(2), update(2, 1.0), update(1, 0.99)] {
            c.inbox.deliver(event).unwrap();
        }
        assert!(heard(&s, &ear).is_empty(), "2 is complete, but 1 is not");
        c.inbox.deliver(update(1, 1.0)).unwrap();
        assert_eq!(heard(&s, &ear), ["./part1"]);
        c.inbox.deliver(update(2, 1.0)).unwrap();
        assert_eq!(heard(&s, &ear), ["./part2"]);
        c.control.deliver(Ipc::producer_finished()).unwrap();
        s.run().unwrap();
        assert_eq!(ear.control.len(), 1, "D-39");
    }

    /// D-39.
    #[test]
    fn to_ex_03_each_part_is_named_once() {
        let (s, ear) = (Scheduler::new(), Ear.create());
        let c = PartsFilenameGenerator::new("http://h/").create();
        axon::link(&c.outbox, &ear.inbox).unwrap();
        axon::link(&c.signal, &ear.control).unwrap();
        s.activate(&c);
        let say = |text: &'static str| {
            c.inbox.deliver(Message::from(text)).unwrap();
            heard(&s, &ear)
        };
        assert_eq!(say("3\n"), ["http://h/1.torrent", "http://h/2.torrent", "http://h/3.torrent"]);
        assert!(say("3").is_empty() && say("2").is_empty() && say("many").is_empty());
        assert_eq!(say("5"), ["http://h/4.torrent", "http://h/5.torrent"]);
        assert_eq!(say("18446744073709551615").len() as u64, PartsFilenameGenerator::MAX_NEW_PARTS);
        c.control.deliver(Ipc::Shutdown).unwrap();
        s.run().unwrap();
        assert_eq!(ear.control.len(), 1, "D-39");
    }
}
