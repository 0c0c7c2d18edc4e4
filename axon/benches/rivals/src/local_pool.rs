//! futures: LocalPool and unbounded channels.

use futures::StreamExt;
use futures::channel::mpsc::{UnboundedReceiver, UnboundedSender, unbounded};
use futures::executor::LocalPool;
use futures::task::LocalSpawnExt;
use futures_lite::future::yield_now;

use crate::programs::BURST;

async fn source(messages: u64, to: UnboundedSender<u64>) {
    for i in 0..messages {
        let _ = to.unbounded_send(i);
        if i % BURST == BURST - 1 {
            yield_now().await;
        }
    }
}

async fn relay(messages: u64, mut from: UnboundedReceiver<u64>, to: UnboundedSender<u64>) {
    for _ in 0..messages {
        let Some(n) = from.next().await else { return };
        let _ = to.unbounded_send(n + 1);
    }
}

async fn sink(messages: u64, mut from: UnboundedReceiver<u64>) {
    let mut sum = 0_u64;
    for _ in 0..messages {
        sum = sum.wrapping_add(from.next().await.unwrap_or(0));
    }
    std::hint::black_box(sum);
}

pub(crate) fn pipeline(relays: usize, messages: u64) {
    let mut pool = LocalPool::new();
    let s = pool.spawner();
    let (to, mut from) = unbounded();
    s.spawn_local(source(messages, to)).expect("the pool is alive");
    for _ in 0..relays {
        let (to, next) = unbounded();
        s.spawn_local(relay(messages, from, to)).expect("the pool is alive");
        from = next;
    }
    s.spawn_local(sink(messages, from)).expect("the pool is alive");
    pool.run();
}

pub(crate) fn ring(nodes: usize, rounds: u64) {
    let mut pool = LocalPool::new();
    let s = pool.spawner();
    let (senders, receivers): (Vec<_>, Vec<_>) = (0..nodes).map(|_| unbounded()).unzip();
    let _ = senders[0].unbounded_send(0);
    for (i, from) in receivers.into_iter().enumerate() {
        s.spawn_local(relay(rounds, from, senders[(i + 1) % nodes].clone())).expect("the pool is alive");
    }
    pool.run();
}

pub(crate) fn fan_in(producers: usize, each: u64) {
    let mut pool = LocalPool::new();
    let s = pool.spawner();
    let (to, from) = unbounded();
    for _ in 0..producers {
        s.spawn_local(source(each, to.clone())).expect("the pool is alive");
    }
    s.spawn_local(sink(producers as u64 * each, from)).expect("the pool is alive");
    pool.run();
}

pub(crate) fn idle(count: usize, look: impl FnOnce()) {
    let mut pool = LocalPool::new();
    let s = pool.spawner();
    let mut keep = Vec::with_capacity(count);
    for _ in 0..count {
        let (to, from) = unbounded();
        s.spawn_local(sink(1, from)).expect("the pool is alive");
        keep.push(to);
    }
    pool.run_until_stalled();
    look();
}
