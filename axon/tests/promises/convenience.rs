//! What a component can ask for beyond the original: limits of pauses, ends of whole trees, runs of instances.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use axon::prelude::*;
use axon::util::{NullSink, PassThrough};
use axon::{Clock, Error, SchedulerOptions};

use crate::common::*;

fn virtual_time() -> Scheduler {
    Scheduler::set_thread_default(None);
    Scheduler::with_options(SchedulerOptions { clock: Clock::Virtual, ..SchedulerOptions::default() })
}

/// Each wait says whether its time is over; a message ends it earlier, and the timer of that wait ends no other.
#[test]
fn a_pause_with_a_limit_ends_by_a_message_or_by_the_clock() {
    let s = virtual_time();
    let said = Rc::new(RefCell::new(Vec::new()));
    let (theirs, handle) = (said.clone(), s.clone());
    let waits = body(async move |cx| {
        let began = cx.time();
        for _ in 0..3 {
            let over = cx.pause_for(Duration::from_secs(10)).await;
            let second = cx.time().duration_since(began).as_secs();
            theirs.borrow_mut().push((second, over, cx.inbox.drain().count()));
        }
    });
    let sends = body(async move |cx| {
        cx.sleep(Duration::from_secs(4)).await;
        cx.outbox.send(Message::new(1)).unwrap();
    });
    axon::link(&sends.outbox, &waits.inbox).unwrap();
    handle.activate(&waits);
    handle.activate(&sends);
    s.run().unwrap();
    assert_eq!(*said.borrow(), [(4, false, 1), (14, true, 0), (24, true, 0)]);
}

#[test]
fn a_pause_of_no_time_lets_the_others_run() {
    let s = virtual_time();
    let waits = body(async |cx| while cx.inbox.is_empty() && cx.pause_for(Duration::ZERO).await {});
    let sends = body(async |cx| cx.outbox.send(Message::new(1)).unwrap());
    axon::link(&sends.outbox, &waits.inbox).unwrap();
    s.activate(&waits);
    s.activate(&sends);
    s.run().unwrap();
}

/// A chassis that is stopped leaves its components running; its tree does not.
#[test]
fn stopping_a_tree_stops_what_is_in_it_the_inmost_first() {
    let s = fresh();
    let order = Rc::new(RefCell::new(Vec::new()));
    let (sink, pass) = (NullSink::new().create(), PassThrough::<u32>::new().create());
    let inner = Pipeline::new().then(&pass).create();
    let outer = Pipeline::new().then(&inner).then(&sink).create();
    for (name, c) in
        [("pass", pass.any()), ("inner", inner.any()), ("sink", sink.any()), ("outer", outer.any())]
    {
        let order = order.clone();
        c.on_stop(move || order.borrow_mut().push(name));
    }
    s.activate(&outer);
    s.run_until_idle().unwrap();
    outer.stop_tree();
    s.run().unwrap(); // would wait for ever
    let at = |name| order.borrow().iter().position(|n| *n == name).unwrap();
    assert!(at("pass") < at("inner") && at("inner") < at("outer") && at("sink") < at("outer"));
}

#[test]
fn an_instance_runs_as_its_component_does() {
    let s = fresh();
    let c = body(async |cx| cx.outbox.send(Message::new(1)).unwrap());
    c.run().unwrap();
    assert!(c.is_stopped() && s.processes().is_empty());
}

#[test]
fn an_added_box_is_linked_like_a_declared_one() {
    let s = fresh();
    let c = body(async |cx| {
        let (from, to) = (cx.add_outbox::<u32>("from"), cx.add_inbox::<u32>("to"));
        cx.link(&from, &to).unwrap();
        from.send(7).unwrap();
        assert_eq!(to.try_recv(), Some(7));
    });
    s.activate(&c);
    s.run().unwrap();
}

/// `fn main() -> axon::Result<()>` shows the debug form.
#[test]
fn an_error_reads_the_same_in_both_forms() {
    let s = fresh();
    s.activate(body(async |cx| cx.end_with(Err("no more paper"))));
    let e = s.run().unwrap_err();
    assert_eq!(format!("{e:?}"), e.to_string());
    assert!(matches!(e, Error::Component(f) if format!("{f:?}").contains("no more paper")));
}
