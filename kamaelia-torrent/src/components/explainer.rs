//! Torrent messages as lines of text (Kamaelia: `TorrentClient.py`, `BasicTorrentExplainer`).

use axon::{Component, Cx, Ipc, ports};

use super::ipc::TorrentEvent;

ports! {
    /// Boxes of a [`BasicTorrentExplainer`].
    pub struct ExplainerPorts {
        in  { /// What a client or patron says.
              inbox: TorrentEvent,
              /// When to end.
              control: Ipc }
        out { /// One line of text for each message, with its newline.
              outbox: String,
              /// Passed on when it ends.
              signal: Ipc }
    }
}

/// Turns what a client or patron says into lines for people (TO-CLI-08).
///
/// # Boxes
/// See [`ExplainerPorts`].
///
/// # Shutdown
/// `producerFinished`, [`Ipc::Shutdown`] and `shutdownMicroprocess`: explains what is queued, sends `producerFinished`
/// (for the last, the message itself) on `signal`, ends. The original is a PureTransformer, which ignores the last.
#[derive(Default)]
pub struct BasicTorrentExplainer {
    _private: (),
}

impl BasicTorrentExplainer {
    /// An explainer.
    pub fn new() -> Self {
        Self::default()
    }
}

impl Component for BasicTorrentExplainer {
    type Ports = ExplainerPorts;

    async fn main(self, cx: Cx<ExplainerPorts>) {
        use axon::Microprocess;
        loop {
            while let Some(event) = cx.inbox.try_recv() {
                let _ = cx.outbox.send_wait(format!("{event}\n")).await;
            }
            match cx.control.try_recv() {
                Some(stop) if stop.is_shutdown_microprocess() => {
                    let _ = cx.signal.send(stop);
                    return;
                }
                Some(stop) if stop.is_producer_finished() || matches!(stop, Ipc::Shutdown) => {
                    let _ = cx.signal.send(Ipc::producer_finished_by(cx.id()));
                    return;
                }
                _ => {}
            }
            cx.pause().await;
        }
    }
}
