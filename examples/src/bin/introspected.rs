//! A small graph that changes while an introspector watches it.
//!
//! What the introspector sends goes to standard output: the text protocol of Kamaelia's visualiser. With `--summary`,
//! lines that begin with `#` follow: what is left at the end, for programs that check whether a reader of the
//! protocol has understood it (`.ci/introspection` feeds it to Kamaelia's own).
//!
//! Original: `Code/Python/Kamaelia/Examples/Introspection`.

use axon::introspect::{Introspector, Snapshot};
use axon::prelude::*;
use axon::util::{ConsoleEchoer, NullSink};

ports! { /// The default boxes.
pub struct Boxes {
    in  { /// Unused.
          inbox: Message,
          /// Shutdown requests.
          control: Ipc }
    out { /// Unused.
          outbox: Message,
          /// Unused.
          signal: Ipc }
} }

/// Adds boxes with names that are hard to write down, links and unlinks them, and ends the watch.
struct Restless {
    watcher: Instance<axon::introspect::IntrospectorPorts>,
    summary: bool,
}

impl Component for Restless {
    type Ports = Boxes;
    async fn main(self, cx: Cx<Boxes>) {
        let (stays, goes) = (cx.launch(NullSink::new()), cx.launch(NullSink::new()));
        let quotes = cx.add_outbox::<Message>("a \"box\" with 'quotes'");
        let slashes = cx.add_inbox::<Message>("back\\slash, größe\nline");
        let looks = async || {
            cx.yield_now().await;
            cx.yield_now().await;
        };
        cx.link(&*quotes, &stays.inbox).expect("both carry messages");
        let short_lived = cx.link(&cx.outbox, &goes.inbox).expect("both carry messages");
        looks().await;
        cx.unlink(&short_lived);
        looks().await;
        goes.stop();
        cx.delete_inbox(slashes.name()).expect("it was added above");
        cx.link(&stays.outbox, &cx.inbox).expect("both carry messages");
        looks().await;
        let end = Snapshot::from_within(&cx);
        cx.link(&cx.signal, &self.watcher.control).expect("both carry control messages");
        let _ = cx.signal.send(Ipc::shutdown_microprocess());
        looks().await;
        looks().await;
        if self.summary {
            summarise(&end);
        }
        cx.stop_scheduler();
    }
}

/// Number and name of each component, and each link from box to box; a tab between.
fn summarise(snapshot: &Snapshot) {
    for c in &snapshot.components {
        println!("# NODE\t{}\t{}", c.id, c.name);
    }
    for l in &snapshot.linkages {
        println!("# LINK\t{}\t{}", l.source, l.sink);
    }
}

fn main() -> axon::Result<()> {
    let summary = std::env::args().any(|a| a == "--summary");
    let scheduler = Scheduler::new();
    let (watcher, console) = (Introspector::new().create(), ConsoleEchoer::new().create());
    axon::link(watcher.outbox.untyped(), &console.inbox)?;
    scheduler.activate(&watcher);
    scheduler.activate(&console);
    scheduler.activate(Restless { watcher, summary });
    scheduler.run()
}
