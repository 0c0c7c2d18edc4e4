//! A fast producer and a slow consumer with an inbox for one message between them.
//!
//! Original (PR-04): `Code/Python/Axon/Examples/SynchronousLinks/basic_syncLinksAcceptanceTest.py`.
//!
//! ```text
//! Producer.outbox -> SlowConsumer.inbox    first synchronous, then with a width of 1
//! ```
//!
//! The failing line appears once for each item, because the producer sleeps until something is collected.

use std::time::Duration;

use axon::prelude::*;
use axon::{Clock, LinkOptions, SchedulerOptions};

ports! { /// The producer's boxes.
pub struct ProducerPorts { in {} out { /// What it makes.
    outbox: String } } }
ports! { /// The consumer's boxes.
pub struct ConsumerPorts { in { /// What it takes.
    inbox: String } out {} } }
ports! { /// The parent has none.
pub struct NoPorts { in {} out {} } }

struct SlowConsumer;
impl Component for SlowConsumer {
    type Ports = ConsumerPorts;
    async fn main(self, cx: Cx<ConsumerPorts>) {
        println!("     Consumer starting");
        for i in 0..10 {
            cx.sleep(Duration::from_millis(200)).await;
            println!("     C: got: {} {i}", cx.inbox.recv().await);
        }
        println!("     Consumer has finished consumption !");
    }
}

struct Producer;
impl Component for Producer {
    type Ports = ProducerPorts;
    async fn main(self, cx: Cx<ProducerPorts>) {
        for i in 0..10 {
            let mut message = format!("hello{i}");
            let text = message.clone();
            cx.yield_now().await;
            while let Err(full) = cx.outbox.send(message) {
                println!("                                 P: fail: {text} PAUSING UNTIL READY TO SEND");
                message = full.into_message();
                cx.pause().await;
            }
            println!("     P: sent: {text}");
        }
        println!("     Producer has finished production !!!");
    }
}

struct TestComponent(LinkOptions);
impl Component for TestComponent {
    type Ports = NoPorts;
    async fn main(self, cx: Cx<NoPorts>) {
        let (producer, consumer) = (cx.launch(Producer), cx.launch(SlowConsumer));
        cx.link_with((&producer, "outbox"), (&consumer, "inbox"), self.0).expect("both are new");
        cx.add_child(&producer);
        cx.add_child(&consumer);
        while cx.reap_children() {
            cx.pause().await; // awoken when children exit
        }
    }
}

fn main() -> axon::Result<()> {
    // `--virtual`: time jumps over the consumer's naps.
    let clock = if std::env::args().any(|a| a == "--virtual") { Clock::Virtual } else { Clock::System };
    Scheduler::with_options(SchedulerOptions { clock, ..SchedulerOptions::default() });
    println!("=======================================\nSynchronous Link");
    TestComponent(LinkOptions::new().synchronous(true)).run()?;
    println!("---------------------------------------\n");
    println!("=======================================\nlink - Explicit Pipewidth = 1");
    TestComponent(LinkOptions::new().pipewidth(1)).run()
}
