//! The measured programs, on Axon. `messages.rs` runs them alone, `rivals/` beside other executors.

use axon::prelude::*;
use axon::{AnyInstance, link};

ports! {
    pub(crate) struct NumPorts {
        in  { inbox: u64, control: Ipc }
        out { outbox: u64, signal: Ipc }
    }
}

ports! {
    pub(crate) struct AnyPorts {
        in  { inbox: Message, control: Ipc }
        out { outbox: Message, signal: Ipc }
    }
}

/// Messages that a producer sends in one turn.
pub(crate) const BURST: u64 = 256;

/// Sends so many numbers, [`BURST`] a turn.
struct Source(u64);
impl Component for Source {
    type Ports = NumPorts;
    async fn main(self, cx: Cx<NumPorts>) {
        for i in 0..self.0 {
            let _ = cx.outbox.send(i);
            if i % BURST == BURST - 1 {
                cx.yield_now().await;
            }
        }
    }
}

/// Passes so many numbers on, plus one.
struct Relay(u64);
impl Component for Relay {
    type Ports = NumPorts;
    async fn main(self, cx: Cx<NumPorts>) {
        for _ in 0..self.0 {
            let n = cx.inbox.recv().await;
            let _ = cx.outbox.send(n + 1);
        }
    }
}

/// The same in the shape that every component of the original has: drain, then pause.
struct PausingRelay(u64);
impl Component for PausingRelay {
    type Ports = NumPorts;
    async fn main(self, cx: Cx<NumPorts>) {
        let mut left = self.0;
        while left > 0 {
            while let Some(n) = cx.inbox.try_recv() {
                let _ = cx.outbox.send(n + 1);
                left -= 1;
            }
            cx.pause().await;
        }
    }
}

struct Sink(u64);
impl Component for Sink {
    type Ports = NumPorts;
    async fn main(self, cx: Cx<NumPorts>) {
        let mut sum = 0_u64;
        for _ in 0..self.0 {
            sum = sum.wrapping_add(cx.inbox.recv().await);
        }
        std::hint::black_box(sum);
    }
}

struct AnySource(u64);
impl Component for AnySource {
    type Ports = AnyPorts;
    async fn main(self, cx: Cx<AnyPorts>) {
        for i in 0..self.0 {
            let _ = cx.outbox.send(Message::new(i));
            if i % BURST == BURST - 1 {
                cx.yield_now().await;
            }
        }
    }
}

struct AnyRelay(u64);
impl Component for AnyRelay {
    type Ports = AnyPorts;
    async fn main(self, cx: Cx<AnyPorts>) {
        for _ in 0..self.0 {
            let m = cx.inbox.recv().await;
            let n = m.downcast::<u64>().expect("the source sends numbers");
            let _ = cx.outbox.send(Message::new(n + 1));
        }
    }
}

struct AnySink(u64);
impl Component for AnySink {
    type Ports = AnyPorts;
    async fn main(self, cx: Cx<AnyPorts>) {
        for _ in 0..self.0 {
            std::hint::black_box(cx.inbox.recv().await);
        }
    }
}

struct Idle;
impl Component for Idle {
    type Ports = NumPorts;
    async fn main(self, cx: Cx<NumPorts>) {
        std::hint::black_box(cx.inbox.recv().await);
    }
}

fn run(parts: Vec<AnyInstance>) {
    let s = Scheduler::new();
    Scheduler::set_thread_default(None);
    for p in parts {
        s.activate(p);
    }
    s.run().expect("no component fails");
}

fn chain<S, R, K>(source: S, relays: Vec<R>, sink: K) -> Vec<AnyInstance>
where
    AnyInstance: From<S> + From<R> + From<K>,
{
    let mut parts: Vec<AnyInstance> = vec![source.into()];
    parts.extend(relays.into_iter().map(AnyInstance::from));
    parts.push(sink.into());
    for w in parts.windows(2) {
        link((&w[0], "outbox"), (&w[1], "inbox")).expect("same types");
    }
    parts
}

/// A source, `relays` relays, a sink; `messages` messages.
pub(crate) fn pipeline(relays: usize, messages: u64) {
    run(chain(Source(messages), (0..relays).map(|_| Relay(messages)).collect(), Sink(messages)));
}

/// A source and a relay, and a sink of the caller's.
#[allow(dead_code)] // for the rivals' crate, which shares this file
pub(crate) fn run_through(messages: u64, sink: Instance<NumPorts>) {
    let (source, relay) = (Source(messages).create(), Relay(messages).create());
    link(&source.outbox, &relay.inbox).expect("same types");
    link(&relay.outbox, &sink.inbox).expect("same types");
    run(vec![source.any(), relay.any(), sink.any()]);
}

/// The pipeline, with relays that pause.
pub(crate) fn pausing_pipeline(relays: usize, messages: u64) {
    run(chain(Source(messages), (0..relays).map(|_| PausingRelay(messages)).collect(), Sink(messages)));
}

/// The pipeline, with untyped messages.
pub(crate) fn untyped_pipeline(relays: usize, messages: u64) {
    run(chain(AnySource(messages), (0..relays).map(|_| AnyRelay(messages)).collect(), AnySink(messages)));
}

/// One token round a ring of `nodes`, `rounds` times: each hop is a turn.
pub(crate) fn ring(nodes: usize, rounds: u64) {
    let parts: Vec<_> = (0..nodes).map(|_| Relay(rounds).create()).collect();
    for i in 0..nodes {
        link(&parts[i].outbox, &parts[(i + 1) % nodes].inbox).expect("same types");
    }
    parts[0].inbox.deliver(0).expect("not bounded");
    run(parts.iter().map(AnyInstance::from).collect());
}

/// The ring, with relays that pause.
pub(crate) fn pausing_ring(nodes: usize, rounds: u64) {
    let parts: Vec<_> = (0..nodes).map(|_| PausingRelay(rounds).create()).collect();
    for i in 0..nodes {
        link(&parts[i].outbox, &parts[(i + 1) % nodes].inbox).expect("same types");
    }
    parts[0].inbox.deliver(0).expect("not bounded");
    run(parts.iter().map(AnyInstance::from).collect());
}

/// `producers` sources with `each` messages into one inbox.
pub(crate) fn fan_in(producers: usize, each: u64) {
    let sink = Sink(producers as u64 * each).create();
    let mut parts = vec![sink.any()];
    for _ in 0..producers {
        let p = Source(each).create();
        link(&p.outbox, &sink.inbox).expect("same types");
        parts.push(p.any());
    }
    run(parts);
}

/// Makes and activates components with four boxes, runs them until they are idle, and hands them to `look`.
pub(crate) fn idle(count: usize, look: impl FnOnce()) {
    let s = Scheduler::new();
    Scheduler::set_thread_default(None);
    for _ in 0..count {
        s.activate(Idle);
    }
    s.run_until_idle().expect("no component fails");
    look();
}

/// A component of the scheduler sends `messages` numbers to a thread.
pub(crate) fn stream_to_thread(messages: u64) {
    let sink = axon::threaded::threaded::<NumPorts, _, _>(move |cx| {
        let mut sum = 0_u64;
        for _ in 0..messages {
            sum = sum.wrapping_add(cx.inbox.recv().expect("the component lives"));
        }
        std::hint::black_box(sum);
    });
    let (source, sink) = (Source(messages).create(), sink.queue_lengths(4096).create());
    link(&source.outbox, &sink.inbox).expect("same types");
    run(vec![source.any(), sink.any()]);
}

/// A thread sends `messages` numbers to a component of the scheduler.
pub(crate) fn threaded_stream(messages: u64) {
    let source = axon::threaded::threaded::<NumPorts, _, _>(move |cx| {
        for i in 0..messages {
            let _ = cx.outbox.blocking_send(i);
        }
    });
    let (source, sink) = (source.queue_lengths(4096).create(), Sink(messages).create());
    link(&source.outbox, &sink.inbox).expect("same types");
    run(vec![source.any(), sink.any()]);
}
