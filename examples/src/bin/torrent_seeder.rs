//! Shares the files whose paths are typed: makes `<path>.torrent` of each and seeds it (Kamaelia:
//! `Examples/_TorrentBasedStreaming_GSOC/TorrentSeeder/torrentseeder.py`; PR-19).
//!
//! ```text
//! reader -> splitter .to_namer -> suffix -> namer.a
//!                    .to_maker -> maker -> meta .to_patron -> patron -> explainer -> echo
//!                                               .to_namer  -> namer.b
//! namer -> writer
//! ```
//!
//! Give the announce URL of a tracker as argument. It shares until the end of input; the original had to be
//! interrupted (D-51), so the signal links are new.

use axon::file::WholeFileWriter;
use axon::prelude::*;
use axon::util::{ConsoleEchoer, ConsoleReader, Fanout, PureTransformer};
use kamaelia_torrent::components::{BasicTorrentExplainer, TorrentMaker, TorrentPatron};

ports! {
    /// Boxes of a [`TwoSourceListifier`].
    struct ListifierPorts {
        in  { /// Names.
              a: String,
              /// Contents.
              b: Vec<u8>,
              /// When to end.
              control: Ipc }
        out { /// Pairs.
              outbox: (String, Vec<u8>),
              /// Producer finished, at the end.
              signal: Ipc }
    }
}

/// Pairs what comes in at one box with what comes in at the other (TO-EX-01).
struct TwoSourceListifier;

impl Component for TwoSourceListifier {
    type Ports = ListifierPorts;

    async fn main(self, cx: Cx<ListifierPorts>) {
        loop {
            while !cx.a.is_empty() && !cx.b.is_empty() {
                if let (Some(a), Some(b)) = (cx.a.try_recv(), cx.b.try_recv()) {
                    let _ = cx.outbox.send((a, b));
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

fn main() -> axon::Result<()> {
    let announce_url = std::env::args().nth(1).unwrap_or_default();
    let explainer = Pipeline::new().then(BasicTorrentExplainer::new()).then(ConsoleEchoer::new());
    Graphline::new()
        .node("reader", ConsoleReader::new(">>> ").eol(""))
        .node("splitter", Fanout::<String>::new(["to_namer", "to_maker"]))
        .node("suffix", PureTransformer::new(|path: String| Some(path + ".torrent")))
        .node("maker", TorrentMaker::with_default_tracker(announce_url))
        .node("meta", Fanout::<Vec<u8>>::new(["to_patron", "to_namer"]))
        .node("namer", TwoSourceListifier)
        .node("writer", WholeFileWriter::new())
        .node("patron", TorrentPatron::new())
        .node("explainer", explainer)
        .link(("reader", "outbox"), ("splitter", "inbox"))
        .link(("splitter", "to_namer"), ("suffix", "inbox"))
        .link(("splitter", "to_maker"), ("maker", "inbox"))
        .link(("suffix", "outbox"), ("namer", "a"))
        .link(("maker", "outbox"), ("meta", "inbox"))
        .link(("meta", "to_patron"), ("patron", "inbox"))
        .link(("meta", "to_namer"), ("namer", "b"))
        .link(("namer", "outbox"), ("writer", "inbox"))
        .link(("patron", "outbox"), ("explainer", "inbox"))
        .link(("reader", "signal"), ("splitter", "control"))
        .link(("splitter", "signal"), ("suffix", "control"))
        .link(("suffix", "signal"), ("maker", "control"))
        .link(("maker", "signal"), ("meta", "control"))
        .link(("meta", "signal"), ("namer", "control"))
        .link(("namer", "signal"), ("writer", "control"))
        .link(("writer", "signal"), ("patron", "control"))
        .link(("patron", "signal"), ("explainer", "control"))
        .run()
}
