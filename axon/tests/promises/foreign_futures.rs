//! Any Rust future can be awaited, and no wake is lost on the way.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;

use axon::link;
use axon::prelude::*;

use crate::common::*;

/// Completed by another thread.
#[derive(Default)]
struct Shared {
    value: Option<u64>,
    waker: Option<Waker>,
}

struct FromThread(Arc<Mutex<Shared>>);

impl FromThread {
    fn start(compute: impl FnOnce() -> u64 + Send + 'static) -> Self {
        let shared = Arc::new(Mutex::new(Shared::default()));
        let theirs = shared.clone();
        thread::spawn(move || {
            let value = compute();
            let mut s = theirs.lock().unwrap();
            s.value = Some(value);
            if let Some(w) = s.waker.take() {
                w.wake();
            }
        });
        Self(shared)
    }
}

impl Future for FromThread {
    type Output = u64;
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<u64> {
        let mut s = self.0.lock().unwrap();
        match s.value.take() {
            Some(v) => Poll::Ready(v),
            None => {
                s.waker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

/// AX-SCHED-14, 21.
#[test]
fn a_future_woken_by_another_thread() {
    let s = fresh();
    let sum = Rc::new(Cell::new(0));
    for n in 0..100 {
        let sum = sum.clone();
        s.activate(body(async move |_| {
            for k in 0..5 {
                let product = FromThread::start(move || n * k).await;
                sum.set(sum.get() + product);
            }
        }));
    }
    s.run().unwrap(); // blocks while all wait, and ends
    assert_eq!(sum.get(), (0..100).sum::<u64>() * 10);
}

/// Polls each of several futures only when its own waker was rung, as `FuturesUnordered` does.
struct Unordered<'a> {
    futures: Vec<Option<Pin<Box<dyn Future<Output = ()> + 'a>>>>,
    bells: Vec<Arc<Bell>>,
}

struct Bell {
    rung: AtomicBool,
    outer: Mutex<Option<Waker>>,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.rung.store(true, Ordering::SeqCst);
        if let Some(w) = &*self.outer.lock().unwrap() {
            w.wake_by_ref();
        }
    }
}

impl<'a> Unordered<'a> {
    fn new(futures: Vec<Pin<Box<dyn Future<Output = ()> + 'a>>>) -> Self {
        let bell = |_: &_| Arc::new(Bell { rung: AtomicBool::new(true), outer: Mutex::new(None) });
        Self { bells: futures.iter().map(bell).collect(), futures: futures.into_iter().map(Some).collect() }
    }
}

impl Future for Unordered<'_> {
    type Output = ();
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        let mut left = 0;
        for (slot, bell) in this.futures.iter_mut().zip(&this.bells) {
            *bell.outer.lock().unwrap() = Some(cx.waker().clone());
            let Some(f) = slot else { continue };
            left += 1;
            if bell.rung.swap(false, Ordering::SeqCst) {
                let waker = Waker::from(bell.clone());
                if f.as_mut().poll(&mut Context::from_waker(&waker)).is_ready() {
                    *slot = None;
                    left -= 1;
                }
            }
        }
        if left == 0 { Poll::Ready(()) } else { Poll::Pending }
    }
}

#[test]
fn receives_sends_sleeps_and_yields_inside_a_combinator_with_wakers_of_its_own() {
    let s = fresh();
    let got = Rc::new(RefCell::new(Vec::new()));
    let theirs = got.clone();
    let to = plain();
    to.inbox.set_bound(1);
    let taker = to.clone();
    let c = body(async move |cx| {
        let extra = cx.add_inbox::<Message>("extra");
        cx.link((&cx, "outbox"), (&taker, "inbox")).unwrap();
        let take = async |b: &axon::Inbox<Message>, name: &str| {
            for _ in 0..3 {
                let m = b.recv().await;
                theirs.borrow_mut().push(format!("{name} {m}"));
            }
        };
        Unordered::new(vec![
            Box::pin(take(&cx.inbox, "inbox")),
            Box::pin(take(&extra, "extra")),
            Box::pin(async {
                for n in 0..3 {
                    cx.outbox.send_wait(Message::new(n)).await.unwrap();
                }
                theirs.borrow_mut().push("sent".into());
            }),
            Box::pin(async {
                cx.sleep(std::time::Duration::from_millis(1)).await;
                cx.yield_now().await;
                theirs.borrow_mut().push("slept".into());
            }),
        ])
        .await;
    });
    s.activate(&c);
    s.run_until_idle().unwrap();
    for n in 0..3 {
        axon::link((&plain(), "outbox"), (&c, "extra")).unwrap().unlink();
        c.inbox.deliver(Message::new(n)).unwrap();
        s.run_until_idle().unwrap();
        let from = plain();
        link((&from, "outbox"), (&c, "extra")).unwrap();
        send(&from, n + 10);
        s.run_until_idle().unwrap();
        to.inbox.try_recv().unwrap();
        s.run_until_idle().unwrap();
    }
    s.run().unwrap(); // the sleep may still be due
    let mut got = got.take();
    got.sort();
    assert_eq!(got, ["extra 10", "extra 11", "extra 12", "inbox 0", "inbox 1", "inbox 2", "sent", "slept"]);
}

#[test]
fn a_waker_that_rings_during_the_poll_is_heard() {
    let s = fresh();
    let polls = Rc::new(Cell::new(0));
    let theirs = polls.clone();
    s.activate(body(async move |_| {
        std::future::poll_fn(|cx| {
            theirs.set(theirs.get() + 1);
            cx.waker().wake_by_ref();
            if theirs.get() == 100 { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }));
    s.run().unwrap();
    assert_eq!(polls.get(), 100);
}

#[test]
fn a_waker_outlives_its_process_and_its_scheduler() {
    let kept: Rc<RefCell<Option<Waker>>> = Rc::default();
    let theirs = kept.clone();
    let s = fresh();
    s.activate(body(async move |_| {
        std::future::poll_fn(|cx| {
            *theirs.borrow_mut() = Some(cx.waker().clone());
            Poll::Ready(())
        })
        .await;
    }));
    s.run().unwrap();
    let waker = kept.take().unwrap();
    waker.wake_by_ref();
    let (other, ran) = sleeper();
    s.activate(&other); // may get the same place in the table
    s.run_until_idle().unwrap();
    waker.wake_by_ref();
    s.run_until_idle().unwrap();
    assert_eq!(ran.get(), 1, "the waker of another process does not wake it");
    Scheduler::set_thread_default(None);
    drop((s, other));
    waker.wake();
}

/// A waiting receive sees a message that comes while it waits at the far end of a passing inbox.
#[test]
fn a_receive_follows_its_inbox_to_another_far_end() {
    let s = fresh();
    let far = plain();
    let got = Rc::new(Cell::new(0));
    let theirs = got.clone();
    let c = body(async move |cx| {
        loop {
            cx.inbox.recv().await;
            theirs.set(theirs.get() + 1);
        }
    });
    s.activate(&c);
    s.run_until_idle().unwrap();
    let l = link(&c.inbox, &far.inbox).unwrap();
    s.run_until_idle().unwrap();
    far.inbox.deliver("there".into()).unwrap();
    s.run_until_idle().unwrap();
    assert_eq!(got.get(), 1);
    l.unlink();
    s.run_until_idle().unwrap();
    c.inbox.deliver("here".into()).unwrap();
    s.run_until_idle().unwrap();
    assert_eq!(got.get(), 2);
}
