//! async-executor: LocalExecutor and async-channel.

use async_channel::{Receiver, Sender, unbounded};
use async_executor::LocalExecutor;
use futures_lite::future::{block_on, yield_now};

use crate::programs::BURST;

async fn source(messages: u64, to: Sender<u64>) {
    for i in 0..messages {
        let _ = to.try_send(i);
        if i % BURST == BURST - 1 {
            yield_now().await;
        }
    }
}

async fn relay(messages: u64, from: Receiver<u64>, to: Sender<u64>) {
    for _ in 0..messages {
        let Ok(n) = from.recv().await else { return };
        let _ = to.try_send(n + 1);
    }
}

async fn sink(messages: u64, from: Receiver<u64>) {
    let mut sum = 0_u64;
    for _ in 0..messages {
        sum = sum.wrapping_add(from.recv().await.unwrap_or(0));
    }
    std::hint::black_box(sum);
}

pub(crate) fn pipeline(relays: usize, messages: u64) {
    let ex = LocalExecutor::new();
    let (to, mut from) = unbounded();
    ex.spawn(source(messages, to)).detach();
    for _ in 0..relays {
        let (to, next) = unbounded();
        ex.spawn(relay(messages, from, to)).detach();
        from = next;
    }
    block_on(ex.run(ex.spawn(sink(messages, from))));
}

pub(crate) fn ring(nodes: usize, rounds: u64) {
    let ex = LocalExecutor::new();
    let (senders, receivers): (Vec<_>, Vec<_>) = (0..nodes).map(|_| unbounded()).unzip();
    let _ = senders[0].try_send(0);
    let mut all = Vec::new();
    for (i, from) in receivers.into_iter().enumerate() {
        all.push(ex.spawn(relay(rounds, from, senders[(i + 1) % nodes].clone())));
    }
    block_on(ex.run(async move {
        for task in all {
            task.await;
        }
    }));
}

pub(crate) fn fan_in(producers: usize, each: u64) {
    let ex = LocalExecutor::new();
    let (to, from) = unbounded();
    for _ in 0..producers {
        ex.spawn(source(each, to.clone())).detach();
    }
    block_on(ex.run(ex.spawn(sink(producers as u64 * each, from))));
}

pub(crate) fn idle(count: usize, look: impl FnOnce()) {
    let ex = LocalExecutor::new();
    let mut keep = Vec::with_capacity(count);
    for _ in 0..count {
        let (to, from) = unbounded();
        ex.spawn(sink(1, from)).detach();
        keep.push(to);
    }
    while ex.try_tick() {}
    look();
}
