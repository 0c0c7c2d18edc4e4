//! The shortest whole use of each layer.

use axon::prelude::*;

ports! {
    /// Boxes of a relay of numbers.
    struct NumPorts {
        in  { inbox: u32, control: Ipc }
        out { outbox: u32, signal: Ipc }
    }
}

struct Source(u32);
impl Component for Source {
    type Ports = NumPorts;
    async fn main(self, cx: Cx<NumPorts>) {
        for i in 0..self.0 {
            cx.outbox.send_wait(i).await.unwrap();
        }
        cx.signal.send(Ipc::producer_finished()).unwrap();
    }
}

struct Sum;
impl Component for Sum {
    type Ports = NumPorts;
    async fn main(self, cx: Cx<NumPorts>) {
        let mut sum = 0;
        loop {
            while let Some(n) = cx.inbox.try_recv() {
                sum += n;
            }
            if cx.control.try_recv().is_some() {
                let _ = cx.outbox.send(sum);
                return;
            }
            cx.pause().await;
        }
    }
}

#[test]
fn a_source_feeds_a_sink_through_a_bounded_inbox() {
    let s = Scheduler::new();
    let (a, b) = (Source(1000).create(), Sum.create());
    let out = Sum.create();
    axon::link(&a.outbox, &b.inbox).unwrap();
    axon::link((&a, "signal"), (&b, "control")).unwrap();
    axon::link(&b.outbox, &out.inbox).unwrap();
    b.inbox.set_bound(10);
    s.activate(&a);
    s.activate(&b);
    s.run().unwrap();
    assert_eq!(out.inbox.try_recv(), Some(499_500));
}

#[test]
fn a_thread_echoes() {
    const NUMBERS: u32 = if cfg!(miri) { 200 } else { 100_000 };
    let echo = threaded::<NumPorts, _, _>(|cx| {
        while let Ok(n) = cx.inbox.recv() {
            cx.outbox.blocking_send(n).unwrap();
            if n + 1 == NUMBERS {
                return;
            }
        }
    });
    let (a, e, b) = (Source(NUMBERS).create(), echo.create(), Sum.create());
    axon::link(&a.outbox, &e.inbox).unwrap();
    axon::link(&e.outbox, &b.inbox).unwrap();
    axon::link(&a.signal, &e.control).unwrap();
    e.inbox.set_bound(100);
    let s = Scheduler::new();
    s.activate(&a);
    s.activate(&e);
    s.run().unwrap();
    assert_eq!(b.inbox.len() as u32, NUMBERS);
}

#[test]
fn a_panic_ends_its_component_and_names_it() {
    struct Bad;
    impl Component for Bad {
        type Ports = NumPorts;
        async fn main(self, cx: Cx<NumPorts>) {
            cx.yield_now().await;
            panic!("no more");
        }
    }
    let s = Scheduler::new();
    let bad = s.activate(Bad);
    let e = s.run().unwrap_err().to_string();
    assert!(e.contains(&bad.name()) && e.contains("no more"), "{e}");
    s.run().unwrap();
}
