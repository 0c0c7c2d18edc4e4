//! A parent that makes a producer and a consumer, links them, and waits for the result.
//!
//! Original (PR-02): `Code/Python/Axon/Examples/Simple/all.py`.
//!
//! ```text
//! Producer.result -> Consumer.source    Consumer.result -> TestComponent._input
//! ```

use axon::prelude::*;

ports! { /// The producer's boxes.
pub struct ProducerPorts { in {} out { /// What it makes.
    result: String } } }
ports! { /// The consumer's boxes.
pub struct ConsumerPorts { in { /// What it takes.
    source: String } out { /// The last thing that it took.
    result: String } } }
ports! { /// The parent's boxes.
pub struct TestPorts { in { /// The consumer's result.
    _input: String } out {} } }

struct Producer;
impl Component for Producer {
    type Ports = ProducerPorts;
    async fn main(self, cx: Cx<ProducerPorts>) {
        for i in (0..30).rev() {
            cx.result.send(format!("hello{i}")).expect("the box has no bound");
            println!("Producer  sent --> hello{i}");
            cx.yield_now().await;
        }
        println!("Producer has finished production !!!");
    }
}

struct Consumer;
impl Component for Consumer {
    type Ports = ConsumerPorts;
    async fn main(self, cx: Cx<ConsumerPorts>) {
        cx.yield_now().await;
        let mut last = None;
        for _ in 0..30 {
            last = cx.source.try_recv();
            if let Some(op) = &last {
                println!("Consumer received -->  {op}");
            }
            cx.yield_now().await;
        }
        println!("Consumer has finished consumption !!!");
        cx.result.send(last.unwrap_or_default()).expect("the box has no bound");
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
        let result = cx._input.recv().await;
        println!("consumer finished with result:  {result} !");
    }
}

fn main() -> axon::Result<()> {
    TestComponent.run()
}
