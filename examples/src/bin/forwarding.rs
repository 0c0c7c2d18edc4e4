//! A backplane that two pipelines meet at: what is typed is published and shown, and what is published is shown again.
//!
//! Original (PR-14): `Code/Python/Kamaelia/Examples/Backplane/Forwarding.py`.
//!
//! ```text
//! Backplane "broadcast"
//! Pipeline(Source, SubscribeTo, ConsoleEchoer)                    Source: a thread
//! Pipeline(ConsoleReader, PublishTo forwarding, ConsoleEchoer)
//! ```
//!
//! `forwarding [--rounds N] [--tick MILLISECONDS]`: how often the source sends (for ever), and the length of a second.
//! With rounds, the program ends when both pipelines have.

use std::thread;

use axon::BoxError;
use axon::prelude::*;
use axon::threaded::ThreadedComponent;
use axon::util::{Backplane, ConsoleEchoer, ConsoleReader, PublishTo, SubscribeTo};
use examples::{option, tick};

ports! { /// The source's boxes.
pub struct SourcePorts {
    in { /// Unused.
         inbox: Message,
         /// Unused.
         control: Ipc }
    out { /// What it makes.
          outbox: String,
          /// Told when it stops.
          signal: Ipc }
} }
ports! { /// The closer's boxes.
pub struct CloserPorts { in {} out { /// To the backplane.
    signal: Ipc } } }

struct Source {
    value: u32,
    rounds: Option<u64>,
}

impl ThreadedComponent for Source {
    type Ports = SourcePorts;
    fn main(self, cx: ThreadCx<SourcePorts>) -> Result<(), BoxError> {
        for round in 0.. {
            if self.rounds == Some(round) {
                break;
            }
            cx.outbox.blocking_send(self.value.to_string())?;
            thread::sleep(tick());
        }
        Ok(cx.signal.blocking_send(Ipc::producer_finished())?)
    }
}

/// Shuts the backplane down when both pipelines have ended.
struct Closer([axon::AnyInstance; 2]);

impl Component for Closer {
    type Ports = CloserPorts;
    async fn main(self, cx: Cx<CloserPorts>) {
        for pipeline in self.0 {
            cx.add_child(&pipeline);
            cx.activate(pipeline);
        }
        while cx.reap_children() {
            cx.pause().await;
        }
        let _ = cx.signal.send(Ipc::producer_finished());
    }
}

fn main() -> axon::Result<()> {
    let backplane = Backplane::<String>::new("broadcast")?.activate();
    let subscriber = Pipeline::new()
        .then(Threaded::new(Source { value: 1, rounds: option("--rounds") }))
        .then(SubscribeTo::<String>::new("broadcast"))
        .then(ConsoleEchoer::new());
    let publisher = Pipeline::new()
        .then(ConsoleReader::new(">>> "))
        .then(PublishTo::<String>::new("broadcast").forwarder())
        .then(ConsoleEchoer::new());
    let closer = Closer([subscriber.into(), publisher.into()]).create();
    axon::link(&closer.signal, &backplane.control)?;
    closer.activate();
    Scheduler::thread_default().run()
}
