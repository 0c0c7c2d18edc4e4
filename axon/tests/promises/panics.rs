//! A panic ends its component, wherever it comes from, and nobody else.

use std::cell::Cell;
use std::rc::Rc;

use axon::prelude::*;
use axon::{Cause, Error, OnFailure};

use crate::common::*;

/// Runs with one component that panics among others; the text of the failure, whose component is closed down.
fn run(bad: Instance<Boxes>) -> String {
    let s = fresh();
    let (a, before) = sleeper();
    let (b, after) = sleeper();
    let closed = Rc::new(Cell::new(0));
    let theirs = closed.clone();
    bad.on_close_down(move || theirs.set(theirs.get() + 1));
    s.activate(&a);
    s.activate(&bad);
    s.activate(&b);
    let Err(Error::Component(failure)) = s.run_until_idle() else { panic!("it did not fail") };
    assert_eq!((failure.id, &*failure.name), (bad.id(), &*bad.name()));
    let Cause::Panic(text) = failure.cause else { panic!("{failure}") };
    s.run_until_idle().unwrap();
    assert!(bad.is_stopped() && !s.contains(bad.id()));
    assert_eq!(closed.get(), 1, "closed down once");
    for (c, ran) in [(&a, &before), (&b, &after)] {
        c.unpause();
        s.run_until_idle().unwrap();
        assert_eq!(ran.get(), 2);
    }
    text
}

#[test]
fn in_the_first_step() {
    assert_eq!(run(body(async |_| panic!("first"))), "first");
}

#[test]
fn after_a_pause_with_a_formatted_text() {
    let c = body(async |cx| {
        cx.pause().await;
        let n = 3;
        panic!("after {n}");
    });
    c.inbox.deliver("wakes it".into()).unwrap();
    let me = c.clone();
    c.on_stop(move || assert!(me.is_stopped() || !me.is_stopped()));
    let waker = body({
        let c = c.clone();
        async move |cx| {
            for _ in 0..5 {
                cx.yield_now().await;
            }
            c.unpause();
        }
    });
    let s = fresh();
    s.activate(&waker);
    s.activate(&c);
    let e = s.run_until_idle().unwrap_err().to_string();
    assert!(e.contains("after 3"), "{e}");
}

#[test]
fn while_its_body_is_dropped() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("in drop");
        }
    }
    assert_eq!(
        run(body(async |cx| {
            let _bomb = Bomb;
            cx.yield_now().await;
        })),
        "in drop"
    );
}

#[test]
fn in_a_stop_hook() {
    let s = fresh();
    let bad = plain();
    bad.on_stop(|| panic!("in a hook"));
    let closed = Rc::new(Cell::new(false));
    let theirs = closed.clone();
    bad.on_close_down(move || theirs.set(true));
    let (other, ran) = sleeper();
    s.activate(&bad);
    s.activate(&other);
    let e = s.run_until_idle().unwrap_err().to_string();
    assert!(e.contains("in a hook") && e.contains(&bad.name()), "{e}");
    s.run_until_idle().unwrap();
    assert!(closed.get(), "it is closed down all the same");
    other.unpause();
    s.run_until_idle().unwrap();
    assert_eq!(ran.get(), 2);
}

#[test]
fn in_a_close_down_hook() {
    let s = fresh();
    let bad = plain();
    bad.on_close_down(|| panic!("in a hook"));
    let (other, ran) = sleeper();
    s.activate(&bad);
    s.activate(&other);
    let e = s.run_until_idle().unwrap_err().to_string();
    assert!(e.contains("in a hook"), "{e}");
    other.unpause();
    s.run_until_idle().unwrap();
    assert_eq!(ran.get(), 2);
}

#[test]
fn in_a_thread() {
    let s = fresh();
    let t = s.activate(threaded::<Boxes, _, _>(|_| -> () { panic!("far away") }));
    let e = s.run().unwrap_err().to_string();
    assert!(e.contains("far away") && e.contains(&t.name()), "{e}");
}

#[test]
fn immortal_schedulers_go_on() {
    let s = fresh();
    s.set_on_failure(OnFailure::GoOn);
    let (other, ran) = sleeper();
    for _ in 0..10 {
        s.activate(body(async |_| panic!("each of them")));
    }
    s.activate(&other);
    s.run_until_idle().unwrap();
    assert_eq!((ran.get(), s.processes().len()), (1, 1));
}
