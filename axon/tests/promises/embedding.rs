//! A scheduler inside another runtime.

use std::cell::Cell;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

use axon::prelude::*;

use crate::common::*;

/// The smallest executor: it parks its thread until the future's waker is rung.
struct Parker {
    thread: Thread,
    rings: AtomicUsize,
}

impl Wake for Parker {
    fn wake(self: Arc<Self>) {
        self.rings.fetch_add(1, Ordering::SeqCst);
        self.thread.unpark();
    }
}

pub fn block_on<F: Future>(f: F) -> (F::Output, usize) {
    let parker = Arc::new(Parker { thread: thread::current(), rings: AtomicUsize::new(0) });
    let waker = Waker::from(parker.clone());
    let mut f = pin!(f);
    let mut polls = 0;
    loop {
        polls += 1;
        if let Poll::Ready(out) = f.as_mut().poll(&mut Context::from_waker(&waker)) {
            return (out, polls);
        }
        while parker.rings.swap(0, Ordering::SeqCst) == 0 {
            thread::park_timeout(Duration::from_secs(20));
        }
    }
}

#[test]
fn a_run_as_a_future_sleeps_while_all_sleep() {
    let s = fresh();
    let done = Rc::new(Cell::new(0));
    for ms in [5, 10, 20] {
        let done = done.clone();
        s.activate(body(async move |cx| {
            cx.sleep(Duration::from_millis(ms)).await;
            done.set(done.get() + 1);
        }));
    }
    s.activate(threaded::<Boxes, _, _>(|cx| cx.sync().unwrap()));
    let (out, polls) = block_on(s.run_as_future());
    out.unwrap();
    assert_eq!(done.get(), 3);
    assert!(polls < 100, "{polls} polls");
}

#[test]
fn a_busy_run_lets_the_outer_runtime_have_its_turn() {
    let s = fresh();
    s.activate(body(async |cx| {
        for _ in 0..1000 {
            cx.yield_now().await;
        }
    }));
    let (out, polls) = block_on(s.run_as_future());
    out.unwrap();
    assert!(polls > 5, "{polls} polls");
}

#[test]
fn a_run_as_a_future_gives_its_errors_and_can_be_stopped() {
    let s = fresh();
    s.activate(body(async |cx| cx.end_with(Err("no"))));
    assert!(block_on(s.run_as_future()).0.is_err());
    let handle = s.handle();
    s.activate(&sleeper().0);
    let t = thread::spawn(move || handle.stop());
    block_on(s.run_as_future()).0.unwrap();
    t.join().unwrap();
}

#[test]
fn a_component_runs_a_scheduler_of_its_own() {
    let outer = fresh();
    let ran = Rc::new(Cell::new(0));
    let theirs = ran.clone();
    outer.activate(body(async move |cx| {
        let inner = Scheduler::new();
        let counted = theirs.clone();
        inner.activate(body(async move |c| {
            for _ in 0..3 {
                counted.set(counted.get() + 1);
                c.yield_now().await;
            }
        }));
        inner.run().unwrap();
        cx.yield_now().await;
        theirs.set(theirs.get() + 10);
    }));
    outer.run().unwrap();
    assert_eq!(ran.get(), 13);
}
