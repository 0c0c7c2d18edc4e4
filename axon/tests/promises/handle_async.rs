//! A handle in async programs, on executors that know nothing of Axon (AX-HDL-02, D-42).

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use axon::handle::{GetError, Handle, PutError};
use axon::prelude::*;
use axon::util::PureTransformer;
use futures::executor::{LocalPool, block_on};
use futures::stream::FusedStream;
use futures::task::LocalSpawnExt;
use futures::{SinkExt, StreamExt, stream};

use crate::rounds;

fn doubler(capacity: usize) -> (Handle<u64, u64>, thread::JoinHandle<axon::Result<()>>) {
    let (tell, told) = mpsc::channel();
    let thread = thread::spawn(move || {
        let s = Scheduler::new();
        s.wait_for_one();
        tell.send(s.handle()).unwrap();
        s.run()
    });
    let s = told.recv().unwrap();
    (Handle::with_capacity(&s, capacity, || PureTransformer::new(|n: u64| Some(2 * n))), thread)
}

#[test]
fn awaiting_puts_and_gets() {
    let (h, thread) = doubler(1);
    block_on(async {
        for n in 0..rounds(500) as u64 {
            h.put(n).await.unwrap();
            assert_eq!(h.get().await, Ok(2 * n));
        }
        h.end_input();
        assert_eq!(h.get().await, Err(GetError::Ended));
        assert!(h.get_signal().await.unwrap().is_producer_finished());
        assert_eq!(h.put(1).await, Err(PutError::Ended(1)));
    });
    thread.join().unwrap().unwrap();
}

/// Two tasks of one thread share the handle: one feeds it with back-pressure, the other reads until its end.
#[test]
fn a_stream_and_a_sink_on_a_local_pool() {
    const N: u64 = rounds(3000) as u64;
    for capacity in [1, 4, 1000] {
        let (h, thread) = doubler(capacity);
        let h = Rc::new(h);
        let got = Rc::new(RefCell::new(Vec::new()));
        let mut pool = LocalPool::new();
        let theirs = h.clone();
        pool.spawner()
            .spawn_local(async move {
                let mut sink = &*theirs;
                sink.send_all(&mut stream::iter((0..N).map(Ok))).await.unwrap();
                sink.close().await.unwrap();
            })
            .unwrap();
        let (theirs, log) = (h.clone(), got.clone());
        pool.spawner()
            .spawn_local(async move {
                let mut all = &*theirs;
                while let Some(n) = all.next().await {
                    log.borrow_mut().push(n);
                }
            })
            .unwrap();
        pool.run();
        assert_eq!(*got.borrow(), (0..N).map(|n| 2 * n).collect::<Vec<_>>(), "capacity {capacity}");
        assert!(h.is_terminated());
        thread.join().unwrap().unwrap();
    }
}

#[test]
fn a_flush_waits_until_the_component_has_everything() {
    let (h, thread) = doubler(100);
    block_on(async {
        let mut sink = &h;
        for n in 0..50 {
            sink.feed(n).await.unwrap();
        }
        SinkExt::<u64>::flush(&mut sink).await.unwrap();
        SinkExt::<u64>::close(&mut sink).await.unwrap();
        assert_eq!((&h).take(50).count().await, 50);
        assert_eq!((&h).next().await, None);
        let e = sink.send(1).await.unwrap_err();
        assert_eq!(e.into_message(), Some(1));
    });
    thread.join().unwrap().unwrap();
}

/// On tokio's worker threads, with its timers: cancelled waits lose nothing.
#[cfg_attr(miri, ignore = "a runtime of threads with real timers takes minutes")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_tokio_a_cancelled_wait_loses_nothing() {
    const N: u64 = rounds(2000) as u64;
    let (h, thread) = doubler(3);
    let h = std::sync::Arc::new(h);
    let theirs = h.clone();
    let putter = tokio::spawn(async move {
        for n in 0..N {
            let mut message = n;
            // A put that is given up now and then has put nothing, or has put it.
            loop {
                match tokio::time::timeout(Duration::from_secs(60), theirs.put(message)).await {
                    Ok(done) => break done.unwrap(),
                    Err(_) => message = n,
                }
            }
        }
        theirs.end_input();
    });
    let mut all = Vec::new();
    loop {
        match tokio::time::timeout(Duration::from_micros(50), h.get()).await {
            Ok(Ok(n)) => all.push(n),
            Ok(Err(_)) => break,
            Err(_) => {}
        }
    }
    putter.await.unwrap();
    assert_eq!(all, (0..N).map(|n| 2 * n).collect::<Vec<u64>>());
    tokio::task::spawn_blocking(move || thread.join().unwrap().unwrap()).await.unwrap();
}

#[test]
fn an_end_wakes_every_task_that_waits() {
    let (h, thread) = doubler(1);
    let h = Rc::new(h);
    let mut pool = LocalPool::new();
    for _ in 0..3 {
        let h = h.clone();
        pool.spawner().spawn_local(async move { assert_eq!(h.get().await, Err(GetError::Ended)) }).unwrap();
    }
    h.put_control(Ipc::producer_finished()).unwrap();
    pool.run();
    thread.join().unwrap().unwrap();
}
