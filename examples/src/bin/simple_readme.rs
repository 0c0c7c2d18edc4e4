//! A parent that ends at the first result while its children work on.
//!
//! Original (PR-03): `Code/Python/Axon/Examples/Simple/README.py`.
//!
//! ```text
//! Producer.result -> Consumer.source    Consumer.result -> TestComponent._input
//! ```
//!
//! With the parent go the links that it made: what the others send from then on goes nowhere.

use axon::prelude::*;

ports! { /// The producer's boxes.
pub struct ProducerPorts { in {} out { /// What it makes.
    result: &'static str } } }
ports! { /// The consumer's boxes.
pub struct ConsumerPorts { in { /// What it takes.
    source: &'static str } out { /// How many it has taken.
    result: u32 } } }
ports! { /// The parent's boxes.
pub struct TestPorts { in { /// The consumer's results.
    _input: u32 } out {} } }

struct Producer;
impl Component for Producer {
    type Ports = ProducerPorts;
    async fn main(self, cx: Cx<ProducerPorts>) {
        for _ in 0..100 {
            cx.result.send("hello").expect("the box has no bound");
            cx.yield_now().await;
        }
    }
}

struct Consumer;
impl Component for Consumer {
    type Ports = ConsumerPorts;
    async fn main(self, cx: Cx<ConsumerPorts>) {
        cx.yield_now().await;
        let mut count = 0;
        for i in (0..30).rev() {
            println!("Woo {i}");
            if cx.source.try_recv().is_some() {
                count += 1;
                cx.result.send(count).expect("the box has no bound");
            }
            cx.yield_now().await;
        }
    }
}

struct TestComponent;
impl Component for TestComponent {
    type Ports = TestPorts;
    async fn main(self, cx: Cx<TestPorts>) {
        let (producer, consumer) = (Producer.create(), Consumer.create());
        cx.add_child(&producer);
        cx.add_child(&consumer);
        cx.link(&producer.result, &consumer.source).expect("both are new");
        cx.link(&consumer.result, &cx._input).expect("both are new");
        cx.activate(&producer);
        cx.activate(&consumer);
        let result = loop {
            cx.yield_now().await;
            if let Some(result) = cx._input.try_recv() {
                break result;
            }
        };
        println!("Consumer finished with result: {result} !");
    }
}

fn main() -> axon::Result<()> {
    TestComponent.run()
}
