//! tokio: a current-thread runtime with local tasks and unbounded channels.

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::{LocalSet, spawn_local, yield_now};

use crate::programs::BURST;

fn run<F: Future<Output = ()>>(body: F) {
    let rt = tokio::runtime::Builder::new_current_thread().build().expect("no drivers are asked for");
    LocalSet::new().block_on(&rt, body);
}

async fn source(messages: u64, to: UnboundedSender<u64>) {
    for i in 0..messages {
        let _ = to.send(i);
        if i % BURST == BURST - 1 {
            yield_now().await;
        }
    }
}

async fn relay(messages: u64, mut from: UnboundedReceiver<u64>, to: UnboundedSender<u64>) {
    for _ in 0..messages {
        let Some(n) = from.recv().await else { return };
        let _ = to.send(n + 1);
    }
}

async fn sink(messages: u64, mut from: UnboundedReceiver<u64>) {
    let mut sum = 0_u64;
    for _ in 0..messages {
        sum = sum.wrapping_add(from.recv().await.unwrap_or(0));
    }
    std::hint::black_box(sum);
}

pub(crate) fn pipeline(relays: usize, messages: u64) {
    run(async move {
        let (to, mut from) = unbounded_channel();
        spawn_local(source(messages, to));
        for _ in 0..relays {
            let (to, next) = unbounded_channel();
            spawn_local(relay(messages, from, to));
            from = next;
        }
        let _ = spawn_local(sink(messages, from)).await;
    });
}

pub(crate) fn ring(nodes: usize, rounds: u64) {
    run(async move {
        let (senders, receivers): (Vec<_>, Vec<_>) = (0..nodes).map(|_| unbounded_channel()).unzip();
        let _ = senders[0].send(0);
        let mut all = Vec::new();
        for (i, from) in receivers.into_iter().enumerate() {
            all.push(spawn_local(relay(rounds, from, senders[(i + 1) % nodes].clone())));
        }
        for task in all {
            let _ = task.await;
        }
    });
}

pub(crate) fn fan_in(producers: usize, each: u64) {
    run(async move {
        let (to, from) = unbounded_channel();
        for _ in 0..producers {
            spawn_local(source(each, to.clone()));
        }
        let _ = spawn_local(sink(producers as u64 * each, from)).await;
    });
}

pub(crate) fn idle(count: usize, look: impl FnOnce()) {
    run(async move {
        let mut keep = Vec::with_capacity(count);
        for _ in 0..count {
            let (to, from) = unbounded_channel();
            spawn_local(sink(1, from));
            keep.push(to);
        }
        yield_now().await;
        look();
    });
}

pub(crate) fn stream(messages: u64) {
    run(async move {
        let (to, from) = unbounded_channel();
        let thread = std::thread::spawn(move || {
            for i in 0..messages {
                let _ = to.send(i);
            }
        });
        let _ = spawn_local(sink(messages, from)).await;
        let _ = thread.join();
    });
}

/// The other way: tasks of the runtime send to a thread.
pub(crate) fn stream_to_thread(messages: u64) {
    let (to, mut from) = unbounded_channel();
    let thread = std::thread::spawn(move || {
        let mut sum = 0_u64;
        while let Some(n) = from.blocking_recv() {
            sum = sum.wrapping_add(n);
        }
        std::hint::black_box(sum);
    });
    run(async move {
        let _ = spawn_local(source(messages, to)).await;
    });
    let _ = thread.join();
}
