//! `test_ThreadedComponent.py`.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use axon::ports;
use axon::prelude::*;
use axon::threaded::ThreadedFn;
use axon::{Outcome, link};

use crate::common::fresh;

ports! {
    pub struct Numbers {
        in  { inbox: i32, control: Ipc }
        out { outbox: i32, signal: Ipc }
    }
}

struct Silent;
impl Component for Silent {
    type Ports = Numbers;
    async fn main(self, _: Cx<Numbers>) {}
}

fn thread_of<O, F>(f: F) -> ThreadedFn<Numbers, F>
where
    F: FnOnce(ThreadCx<Numbers>) -> O + Send + 'static,
    O: Outcome,
{
    threaded(f)
}

/// Runs until `done`; a thread's timing decides how often.
fn run_while(s: &Scheduler, done: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !done() {
        s.run_until_idle().unwrap();
        assert!(Instant::now() < deadline, "it did not happen");
        thread::yield_now();
    }
}

/// AX-THR-01.
#[test]
fn test_smoketest_init() {
    let t = thread_of(|_| ()).create();
    assert_eq!(t.any().inboxes(), ["inbox", "control"]);
    assert_eq!(t.any().outboxes(), ["outbox", "signal"]);
}

/// AX-THR-11.
#[test]
fn test_localprocessterminates() {
    let s = fresh();
    let t = s.activate(thread_of(|_| ()));
    s.run().unwrap();
    assert!(t.is_stopped());
}

/// AX-THR-02.
#[test]
fn test_threadisseparate() {
    let s = fresh();
    let (tell, told) = mpsc::channel();
    let t = thread_of(move |_| tell.send(thread::current().id()).unwrap()).create();
    s.activate(&t);
    s.step().unwrap();
    assert!(told.try_recv().is_err(), "it starts at the first step");
    s.run().unwrap();
    assert_ne!(told.recv().unwrap(), thread::current().id());
}

/// AX-THR-03, 05.
#[test]
fn test_flow_in() {
    let s = fresh();
    let (tell, told) = mpsc::channel();
    let t = thread_of(move |cx| {
        while let Ok(n) = cx.inbox.recv() {
            tell.send(n).unwrap();
            if n == 99 {
                return;
            }
        }
    })
    .create();
    s.activate(&t);
    (0..100).for_each(|n| t.inbox.deliver(n).unwrap());
    s.run().unwrap();
    assert!(told.iter().eq(0..100));
}

/// AX-THR-03, 06.
#[test]
fn test_flow_out() {
    let s = fresh();
    let t = thread_of(|cx| (0..100).for_each(|n| cx.outbox.send(n).unwrap())).create();
    let to = Silent.create();
    link(&t.outbox, &to.inbox).unwrap();
    s.activate(&t);
    s.run().unwrap();
    assert!(to.inbox.drain().eq(0..100));
}

/// AX-THR-08, 09.
#[test]
fn test_linksafe() {
    let s = fresh();
    let to = Silent.create();
    let sink = to.reference();
    let t = thread_of(move |cx| {
        let mine = thread::current().id();
        let linked = cx.in_scheduler(move |side| {
            assert_ne!(thread::current().id(), mine);
            let sink = sink.resolve().unwrap();
            side.link((&**side, "outbox"), (&sink, "inbox")).unwrap();
        });
        linked.unwrap();
        cx.outbox.send(1).unwrap();
        cx.sync().unwrap(); // moved out before the request is served
    })
    .create();
    s.activate(&t);
    s.run().unwrap();
    assert!(to.inbox.drain().eq([1]));
    assert!(!t.outbox.is_linked(), "the link was the component's own");
}

/// Sends until it is refused, with nobody moving messages out; how many there were.
fn fits(queue: Option<usize>) -> usize {
    let s = fresh();
    let (tell, told) = mpsc::channel();
    let (go, wait) = mpsc::channel::<()>();
    let mut t = thread_of(move |cx| {
        wait.recv().unwrap();
        tell.send((0..).take_while(|n| cx.outbox.send(*n).is_ok()).count()).unwrap();
    });
    if let Some(n) = queue {
        t = t.queue_lengths(n);
    }
    s.activate(t);
    s.run_until_idle().unwrap();
    // From here on the proxy is not stepped.
    go.send(()).unwrap();
    told.recv().unwrap()
}

/// AX-THR-01, 06.
#[test]
fn test_ThereIsADefaultOutgoingQueueSize() {
    assert_eq!(fits(None), axon::threaded::DEFAULT_QUEUE_LENGTHS);
}

/// AX-THR-01, 06.
#[test]
fn test_CanSetOutgoingQueueSize() {
    for n in [1, 5, 20] {
        assert_eq!(fits(Some(n)), n);
    }
}

/// AX-THR-06.
/// Inward: as many as the queue and the bounded inbox hold together.
#[test]
fn test_RestrictedInboxSize() {
    let s = fresh();
    let (go, wait) = mpsc::channel::<()>();
    let t = thread_of(move |_| wait.recv().unwrap_or_default()).queue_lengths(5).create();
    t.inbox.set_bound(3);
    s.activate(&t);
    let mut sent = 0;
    for _ in 0..50 {
        while t.inbox.deliver(sent).is_ok() {
            sent += 1;
        }
        s.run_until_idle().unwrap();
    }
    assert_eq!(sent, 5 + 3);
    drop(go);
    s.run().unwrap();
}

/// AX-THR-06.
/// Outward: as many as the queue and the destination hold together, then the thread is told that it is full.
#[test]
fn test_NoSpaceInBoxExceptionsReachThread() {
    let s = fresh();
    let sent = Arc::new(AtomicUsize::new(0));
    let theirs = sent.clone();
    let (go, wait) = mpsc::channel::<()>();
    let t = thread_of(move |cx| {
        while wait.try_recv() == Err(mpsc::TryRecvError::Empty) {
            match cx.outbox.send(0) {
                Ok(()) => drop(theirs.fetch_add(1, Ordering::SeqCst)),
                Err(e) => assert!(e.is_full()),
            }
        }
    })
    .queue_lengths(5)
    .create();
    let to = Silent.create();
    to.inbox.set_bound(3);
    link(&t.outbox, &to.inbox).unwrap();
    s.activate(&t);
    run_while(&s, || sent.load(Ordering::SeqCst) == 8);
    for _ in 0..100 {
        s.run_until_idle().unwrap();
    }
    assert_eq!((sent.load(Ordering::SeqCst), to.inbox.len()), (8, 3));
    drop(go);
    run_while(&s, || {
        to.inbox.drain().for_each(drop);
        t.is_stopped()
    });
}

/// AX-THR-06.
/// For each message taken from the full destination, one more goes out of the full queue, and the thread can send one.
#[test]
fn test_TakingFromDestinationAllowsMoreToBeDelivered() {
    const QSIZE: usize = 20;
    const BSIZE: usize = 10;
    let s = fresh();
    let (how_many, asked) = mpsc::channel::<usize>();
    let (feedback, told) = mpsc::channel();
    let t = thread_of(move |cx| {
        for n in asked {
            let sent = (0..n).take_while(|_| cx.outbox.send(0).is_ok()).count();
            feedback.send(sent).unwrap();
        }
    })
    .queue_lengths(QSIZE)
    .create();
    let to = Silent.create();
    to.inbox.set_bound(BSIZE);
    link(&t.outbox, &to.inbox).unwrap();
    s.activate(&t);
    s.run_until_idle().unwrap(); // starts the thread
    how_many.send(QSIZE + BSIZE + 10).unwrap();
    assert_eq!(told.recv().unwrap(), QSIZE, "the scheduler is idle, so nothing leaves the queue");
    run_while(&s, || to.inbox.len() == BSIZE);
    how_many.send(QSIZE + BSIZE + 10).unwrap();
    assert_eq!(told.recv().unwrap(), BSIZE);
    for _ in 0..BSIZE / 2 {
        run_while(&s, || !to.inbox.is_empty());
        to.inbox.try_recv().unwrap();
    }
    run_while(&s, || to.inbox.len() == BSIZE);
    how_many.send(QSIZE + BSIZE + 10).unwrap();
    assert_eq!(told.recv().unwrap(), BSIZE / 2);
    drop(how_many);
    run_while(&s, || {
        to.inbox.drain().for_each(drop);
        t.is_stopped()
    });
}

/// AX-THR-03, 11.
#[test]
fn test_localprocessterminatesifInQueueFull() {
    let s = fresh();
    let t = thread_of(|cx| {
        while cx.control.is_empty() {
            cx.pause(None);
        }
    })
    .queue_lengths(2)
    .create();
    s.activate(&t);
    (0..10).for_each(|n| t.inbox.deliver(n).unwrap());
    s.run_until_idle().unwrap();
    t.control.deliver(Ipc::Shutdown).unwrap();
    s.run().unwrap();
    assert!(t.is_stopped());
}

/// AX-THR-11.
#[test]
fn test_localprocessterminatesOnlyIfOutqueueFlushed() {
    let s = fresh();
    let (tell, told) = mpsc::channel::<()>();
    let t = thread_of(move |cx| {
        (0..5).for_each(|n| cx.outbox.send(n).unwrap());
        drop(tell);
    })
    .create();
    let to = Silent.create();
    to.inbox.set_bound(2);
    link(&t.outbox, &to.inbox).unwrap();
    s.activate(&t);
    run_while(&s, || told.try_recv() == Err(mpsc::TryRecvError::Disconnected) && to.inbox.len() == 2);
    for _ in 0..100 {
        s.run_until_idle().unwrap();
    }
    assert!(!t.is_stopped());
    let mut got = Vec::new();
    run_while(&s, || to.inbox.len() == 2);
    got.extend(to.inbox.drain());
    run_while(&s, || to.inbox.len() == 2);
    assert!(!t.is_stopped());
    got.extend(to.inbox.drain());
    run_while(&s, || t.is_stopped());
    got.extend(to.inbox.drain());
    assert_eq!(got, [0, 1, 2, 3, 4]);
}

/// AX-THR-10.
#[test]
fn test_addInbox() {
    let s = fresh();
    let (tell, told) = mpsc::channel();
    let t = thread_of(move |cx| {
        let (name, extra) = cx.add_inbox::<i32>("inbox").unwrap();
        assert_ne!(name, "inbox");
        tell.send(name.clone()).unwrap();
        tell.send(extra.recv().unwrap().to_string()).unwrap();
        cx.delete_inbox(&name).unwrap().unwrap();
        assert!(cx.delete_inbox(&name).unwrap().is_err());
    })
    .create();
    let from = Silent.create();
    s.activate(&t);
    let mut name = None;
    while name.is_none() {
        s.run_until_idle().unwrap();
        name = told.try_recv().ok();
    }
    link((&from, "outbox"), (&t, &*name.unwrap())).unwrap();
    from.outbox.send(7).unwrap();
    s.run().unwrap();
    assert_eq!(told.recv().unwrap(), "7");
}

/// AX-THR-09, 10.
#[test]
fn test_addOutbox() {
    let s = fresh();
    let to = Silent.create();
    let sink = to.reference();
    let t = thread_of(move |cx| {
        let (name, extra) = cx.add_outbox::<i32>("more").unwrap();
        assert_eq!(name, "more");
        let linked = cx.in_scheduler(move |side| {
            let sink = sink.resolve().unwrap();
            side.link((&**side, &*name), (&sink, "inbox")).map(drop)
        });
        linked.unwrap().unwrap();
        extra.send(3).unwrap();
        cx.delete_outbox("more").unwrap().unwrap(); // what was sent before has been moved out
    })
    .create();
    s.activate(&t);
    s.run().unwrap();
    assert!(to.inbox.drain().eq([3]));
}
