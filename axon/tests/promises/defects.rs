//! Section by section, the defects of the original that concern the framework; each test is named after one.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::thread;
use std::time::Duration;

use axon::prelude::*;
use axon::{Error, LinkError, LinkOptions, OnFailure, link, link_with};

use crate::common::*;
use crate::rounds;

type Log = Rc<RefCell<Vec<String>>>;

fn watch(c: &impl Microprocess, name: &'static str, log: &Log) {
    let l = log.clone();
    c.on_stop(move || l.borrow_mut().push(format!("{name} stop")));
    let l = log.clone();
    c.on_close_down(move || l.borrow_mut().push(format!("{name} closedown")));
}

fn failing() -> Instance<Boxes> {
    body(async |cx| cx.end_with(Err("it broke")))
}

fn error_text(e: &Error) -> String {
    e.to_string()
}

#[test]
fn d01_an_end_ends_one_process_and_a_failure_is_not_an_end() {
    let s = fresh();
    let (other, ran) = sleeper();
    let stopped = sleeper().0;
    let waits = body(async |cx| cx.wait_complete(async {}).await);
    for c in [&other, &stopped, &waits] {
        s.activate(c);
    }
    stopped.stop();
    s.run_until_idle().unwrap();
    assert!(waits.is_stopped() && stopped.is_stopped() && !other.is_stopped());
    assert_eq!(ran.get(), 1);
    s.activate(failing());
    assert!(s.run_until_idle().is_err());
    s.set_on_failure(OnFailure::GoOn);
    s.activate(failing());
    s.run_until_idle().unwrap();
}

#[test]
fn d02_the_hooks_of_a_stopped_process_run_once() {
    let s = fresh();
    let log = Log::default();
    let c = sleeper().0;
    watch(&c, "c", &log);
    s.activate(&c);
    s.run_until_idle().unwrap();
    c.stop();
    assert_eq!(*log.borrow(), ["c stop"], "at once; its close-down follows at its turn");
    c.stop();
    s.run().unwrap();
    c.stop();
    assert_eq!(*log.borrow(), ["c stop", "c closedown"]);
}

#[test]
fn d03_pausing_a_sleeper_has_no_effect() {
    let s = fresh();
    let (c, ran) = sleeper();
    s.activate(&c);
    s.run_until_idle().unwrap();
    c.request_pause();
    s.run_until_idle().unwrap();
    c.unpause();
    s.run_until_idle().unwrap();
    assert_eq!(ran.get(), 2);
    assert!(s.is_paused(&c.any()));
}

/// AX-SCHED-11.
#[test]
fn d04_a_failed_component_is_closed_down_first_and_the_error_names_it() {
    let s = fresh();
    let log = Log::default();
    let bad = failing();
    watch(&bad, "bad", &log);
    let (a, b) = (plain(), plain());
    bad.link((&a, "outbox"), (&b, "inbox")).unwrap();
    let (parent, woken) = sleeper();
    parent.add_child(&bad);
    s.activate(&parent);
    s.activate(&bad);
    let e = s.run().unwrap_err();
    assert!(error_text(&e).contains(&bad.name()) && error_text(&e).contains("it broke"), "{e}");
    assert_eq!(*log.borrow(), ["bad stop", "bad closedown"]);
    assert!(!a.outbox.is_linked() && !s.contains(bad.id()));
    s.run_until_idle().unwrap(); // the others go on
    assert_eq!(woken.get(), 2);
}

/// AX-SCHED-10.
#[test]
fn d05_a_process_can_take_others_along() {
    let s = fresh();
    let log = Log::default();
    let (kept, never_activated) = (sleeper().0, sleeper().0);
    let taken = sleeper().0;
    watch(&taken, "taken", &log);
    let c = plain();
    c.take_along(&taken.any());
    c.take_along(&never_activated.any());
    for x in [&taken, &kept, &c] {
        s.activate(x);
    }
    s.run_until_idle().unwrap();
    assert_eq!(*log.borrow(), ["taken stop", "taken closedown"]);
    assert_eq!(s.processes(), [kept.any()]);
}

/// AX-SCHED-19, 21.
#[test]
fn d06_waiting_for_one_blocks_without_passes() {
    let s = fresh();
    s.wait_for_one();
    let handle = s.handle();
    let t = thread::spawn(move || {
        thread::sleep(Duration::from_millis(50)); // time for a busy scheduler to make many passes
        handle.stop();
    });
    s.run().unwrap();
    t.join().unwrap();
    assert!(s.pass() < 5, "{} passes", s.pass());
    // With the first activation the usual rule is back.
    s.wait_for_one();
    s.activate(plain());
    s.run().unwrap();
}

#[test]
fn d07_a_stop_request_is_forgotten_when_the_next_run_starts() {
    let s = fresh();
    s.activate(body(async |cx| cx.stop_scheduler()));
    s.run().unwrap();
    let (c, ran) = sleeper();
    s.activate(&c);
    s.run_until_idle().unwrap();
    c.unpause();
    s.run_until_idle().unwrap();
    assert_eq!(ran.get(), 2);
}

/// AX-SCHED-18.
#[test]
fn d08_a_stopped_scheduler_closes_everybody_down_and_tells_parents_and_parked_ones() {
    let s = fresh();
    let log = Log::default();
    let parked = body(async |cx| cx.wait_complete(std::future::pending::<()>()).await);
    let (a, b) = (plain(), plain());
    let l = parked.link((&a, "outbox"), (&b, "inbox")).unwrap();
    watch(&parked, "parked", &log);
    let asleep = sleeper().0;
    watch(&asleep, "asleep", &log);
    for c in [&parked, &asleep] {
        s.activate(c);
    }
    s.run_until_idle().unwrap();
    s.stop();
    s.run_until_idle().unwrap_or_else(|e| panic!("{e}"));
    s.stop();
    s.run().unwrap();
    assert_eq!(*log.borrow(), ["parked stop", "asleep stop", "parked closedown", "asleep closedown"]);
    assert!(!a.outbox.is_linked());
    drop(l);
}

/// AX-SCHED-13.
#[test]
fn d09_pauses_and_wakes_reach_the_inner_code_of_a_wait() {
    let s = fresh();
    let steps = Rc::new(Cell::new(0));
    let theirs = steps.clone();
    let c = body(async move |cx| {
        let inner = async {
            for _ in 0..3 {
                theirs.set(theirs.get() + 1);
                cx.pause().await;
            }
        };
        cx.wait_complete(inner).await;
    });
    s.activate(&c);
    s.run_until_idle().unwrap();
    assert!(s.contains(c.id()) && steps.get() == 1);
    c.inbox.deliver("wakes it".into()).unwrap();
    s.run_until_idle().unwrap();
    assert_eq!(steps.get(), 2);
    c.unpause();
    s.run_until_idle().unwrap();
    c.unpause();
    s.run().unwrap();
    assert!(c.is_stopped());
}

#[test]
fn d10_activating_a_finished_process_is_refused() {
    let s = fresh();
    let log = Log::default();
    let c = plain();
    watch(&c, "c", &log);
    s.activate(&c);
    s.run().unwrap();
    s.activate(&c);
    s.run().unwrap();
    assert_eq!(*log.borrow(), ["c stop", "c closedown"]);
    assert!(s.processes().is_empty());
}

/// AX-BOX-05.
#[test]
fn d11_a_link_for_whose_messages_there_is_no_space_changes_nothing() {
    let (a, b) = (plain(), plain());
    for n in 0..4 {
        a.inbox.deliver(Message::new(n)).unwrap();
    }
    b.inbox.set_bound(3);
    let e = link_with((&a, "inbox"), (&b, "inbox"), LinkOptions::pass_in()).unwrap_err();
    assert!(matches!(e, LinkError::NoSpace { len: 0, bound: 3, .. }), "{e}");
    assert_eq!((a.inbox.len(), b.inbox.len()), (4, 0));
    b.inbox.set_bound(4);
    link(&a.inbox, &b.inbox).unwrap();
    assert_eq!(numbers(&b), [0, 1, 2, 3]);
}

#[test]
fn d12_a_ring_of_passing_links_is_refused() {
    let (a, b, c) = (plain(), plain(), plain());
    let into = |x: &Instance<Boxes>, y: &Instance<Boxes>| link(&x.inbox, &y.inbox);
    assert!(matches!(into(&a, &a), Err(LinkError::Loop { .. })));
    into(&a, &b).unwrap();
    into(&b, &c).unwrap();
    assert!(matches!(into(&c, &a), Err(LinkError::Loop { .. })));
    a.inbox.deliver(Message::new(1)).unwrap();
    assert_eq!(numbers(&c), [1]);
}

/// AX-COMP-08.
#[test]
fn d13_a_receive_that_passes_on_takes_from_the_far_box_and_a_strict_one_does_not() {
    let (a, b) = (plain(), plain());
    link(&a.inbox, &b.inbox).unwrap();
    a.inbox.deliver(Message::new(1)).unwrap();
    assert_eq!(a.inbox.len(), 0);
    assert!(a.inbox.try_recv_own().is_none());
    assert!(a.inbox.try_recv().is_some());
    assert!(b.inbox.is_empty());
}

/// AX-LINK-03.
#[test]
fn d14_only_a_true_synchronous_bounds() {
    let (a, b) = (plain(), plain());
    let l = link_with((&a, "outbox"), (&b, "inbox"), LinkOptions::new().synchronous(false)).unwrap();
    assert_eq!(b.inbox.bound(), None);
    l.unlink();
    link_with((&a, "outbox"), (&b, "inbox"), LinkOptions::new().synchronous(true)).unwrap();
    assert_eq!(b.inbox.bound(), Some(1));
}

/// AX-ADAPT-03.
#[test]
fn d15_deleting_a_linked_box_undoes_its_links_whoever_made_them() {
    let s = fresh();
    let (a, b) = (plain(), plain());
    let (sender, receiver) = (a.clone(), b.clone());
    let c = body(async move |cx| {
        cx.link((&sender, "outbox"), (&cx, "inbox")).unwrap();
        let theirs = link((&cx, "outbox"), (&receiver, "inbox")).unwrap();
        link((&receiver, "outbox"), (&cx, "inbox")).unwrap();
        cx.delete_inbox("inbox").unwrap();
        cx.delete_outbox("outbox").unwrap();
        assert!(!sender.outbox.is_linked() && !cx.outbox.is_linked());
        assert!(!receiver.outbox.is_linked(), "nobody owned that link");
        theirs.unlink(); // a second undoing does nothing
        assert!(cx.instance().linkages().is_empty());
    });
    s.activate(&c);
    s.run().unwrap();
}

/// AX-THR-12.
#[test]
fn d16_the_error_of_a_thread_arrives_as_it_is_and_names_the_component() {
    #[derive(Debug)]
    struct Own(u8, &'static str);
    impl std::fmt::Display for Own {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            write!(f, "own {} {}", self.0, self.1)
        }
    }
    impl std::error::Error for Own {}

    let s = fresh();
    let t = s.activate(threaded::<Boxes, _, _>(|_| Err::<(), _>(Own(7, "text"))));
    let e = s.run().unwrap_err();
    assert!(error_text(&e).contains(&t.name()) && error_text(&e).contains("own 7 text"), "{e}");
    let source = std::error::Error::source(&e).unwrap();
    assert_eq!(source.downcast_ref::<Own>().unwrap().0, 7);
    assert!(t.is_stopped());
}

/// AX-THR-11.
#[test]
fn d17_a_finished_thread_with_a_full_destination_sleeps() {
    let s = fresh();
    let to = plain();
    to.inbox.set_bound(1);
    let t =
        threaded::<Boxes, _, _>(|cx| (0..3).for_each(|n| cx.outbox.send(Message::new(n)).unwrap())).create();
    link(&t.outbox, &to.inbox).unwrap();
    s.activate(&t);
    while to.inbox.is_empty() {
        s.run_until_idle().unwrap();
    }
    // Collections made by a thread-less part of the program wake it; nothing else does.
    let keeps_time = body(async move |cx| {
        let before = cx.pass();
        for _ in 0..3 {
            cx.sleep(Duration::from_millis(20)).await;
        }
        assert!(cx.pass() - before < 20, "{} passes in 60 ms", cx.pass() - before);
        while to.inbox.try_recv().is_some() {
            cx.yield_now().await;
            cx.yield_now().await;
            cx.yield_now().await;
        }
    });
    s.activate(&keeps_time);
    s.run().unwrap();
    assert!(t.is_stopped());
}

/// AX-THR-04.
#[test]
fn d18_a_thread_that_empties_a_full_queue_is_always_given_more() {
    let s = fresh();
    let t = threaded::<Boxes, _, _>(|cx| {
        for n in 0..rounds(20_000) as i32 {
            assert_eq!(cx.inbox.recv().unwrap().downcast::<i32>().unwrap(), n);
        }
    });
    let t = t.queue_lengths(1).create();
    (0..rounds(20_000) as i32).for_each(|n| t.inbox.deliver(Message::new(n)).unwrap());
    s.activate(&t);
    s.run().unwrap(); // would hang
}

/// AX-THR-08.
#[test]
fn d19_a_call_from_a_thread_fails_when_its_component_is_gone() {
    let s = fresh();
    let (tell, told) = std::sync::mpsc::channel();
    let t = threaded::<Boxes, _, _>(move |cx| {
        while !cx.is_closed() {
            cx.pause(None);
        }
        tell.send(cx.sync().is_err()).unwrap();
    })
    .create();
    s.activate(&t);
    s.run_until_idle().unwrap();
    t.stop();
    s.run().unwrap();
    assert!(told.recv().unwrap());
}
