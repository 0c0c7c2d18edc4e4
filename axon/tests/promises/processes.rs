//! Microprocesses and the passes that run them, where the original has no test of its own (AX-MP, AX-SCHED, AX-COMP).

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

use axon::prelude::*;
use axon::tracker::Tracker;

use crate::common::*;

type Log = Rc<RefCell<Vec<String>>>;

fn logs(name: &'static str, log: &Log) -> Instance<Boxes> {
    let log = log.clone();
    body(async move |cx| log.borrow_mut().push(format!("p{} {name}", cx.pass())))
}

#[test]
fn ax_mp_02_a_process_can_be_given_its_body_a_tag_and_somebody_to_take_along() {
    let s = fresh();
    let ran = Rc::new(Cell::new(false));
    let theirs = ran.clone();
    let process = s.spawn(async move { theirs.set(true) });
    let (taken, _) = sleeper();
    s.activate(&taken);
    process.set_tag(" (the plain one)");
    process.take_along(&taken.any());
    assert_eq!(process.name(), format!("axon.Microprocess_{} (the plain one)", process.id()));
    assert!(process.inboxes().is_empty() && process.outboxes().is_empty());
    s.run().unwrap();
    assert!(ran.get() && process.is_stopped() && taken.is_stopped());
}

#[test]
fn ax_mp_04_before_its_activation_a_process_is_bound_to_nobody() {
    let s = fresh();
    let (c, ran) = sleeper();
    s.run_until_idle().unwrap();
    assert!(c.is_runnable(), "nobody says that it is asleep");
    c.request_pause();
    assert!(c.is_runnable(), "and nobody can put it to sleep");
    c.unpause();
    s.run_until_idle().unwrap();
    assert_eq!(ran.get(), 0);
    s.activate(&c);
    assert!(!c.is_runnable(), "from now on there is a scheduler, which does not know it yet (AX-SCHED-08)");
}

#[test]
fn ax_mp_15_run_activates_and_runs_the_threads_scheduler_to_its_end() {
    struct Sends(Log);
    impl Component for Sends {
        type Ports = Boxes;
        async fn main(self, cx: Cx<Boxes>) {
            self.0.borrow_mut().push("run".into());
            cx.yield_now().await;
        }
    }
    let s = fresh();
    let log = Log::default();
    logs("activated before", &log).activate();
    Sends(log.clone()).run().unwrap();
    assert_eq!(*log.borrow(), ["p1 activated before", "run"]);
    assert!(s.processes().is_empty());
}

/// AX-MP-16: with none of its own, the tracker of a process is the one that all share.
#[test]
fn ax_mp_16_the_shared_tracker_is_everybodys() {
    let s = fresh();
    s.activate(body(async |cx| assert!(Rc::ptr_eq(&cx.tracker(), &Tracker::shared()))));
    s.run().unwrap();
}

/// AX-SCHED-02: pass 0 steps nobody; who was activated before the start is stepped first in pass 1, in that order.
#[test]
fn ax_sched_02_the_first_steps_are_those_of_pass_1_in_the_order_of_activation() {
    let s = fresh();
    let log = Log::default();
    for name in ["b", "a", "c"] {
        s.activate(logs(name, &log));
    }
    to_pass(&s, 0);
    assert!(log.borrow().is_empty());
    s.run().unwrap();
    assert_eq!(*log.borrow(), ["p1 b", "p1 a", "p1 c"]);
}

/// AX-SCHED-13 as D-09 amends it: what arrives during a wait lies there when the caller goes on, and meanwhile the
/// caller is known.
#[test]
fn ax_sched_13_d09_messages_of_a_wait_are_there_after_it() {
    let s = fresh();
    let got = Rc::new(RefCell::new(Vec::new()));
    let theirs = got.clone();
    let c = body(async move |cx| {
        let steps = async {
            for _ in 0..4 {
                cx.yield_now().await;
            }
        };
        cx.wait_complete(steps).await;
        theirs.borrow_mut().extend(cx.inbox.drain().map(|m| m.to_string()));
    });
    s.activate(&c);
    to_pass(&s, 3);
    assert!(s.contains(c.id()));
    c.inbox.deliver("one".into()).unwrap();
    to_pass(&s, 4);
    c.inbox.deliver("two".into()).unwrap();
    s.run().unwrap();
    assert_eq!(*got.borrow(), ["one", "two"]);
}

/// AX-SCHED-16 by hand: steps come back at once, and nobody is stepped before the delay is over; before each pass.
#[test]
fn ax_sched_16_a_delayed_pass_does_not_block_who_steps_by_hand() {
    const DELAY: Duration = Duration::from_millis(20);
    let s = fresh();
    s.set_slowmo(DELAY);
    let ran = Rc::new(Cell::new(0));
    let theirs = ran.clone();
    s.activate(body(async move |cx| {
        for _ in 0..2 {
            theirs.set(theirs.get() + 1);
            cx.yield_now().await;
        }
    }));
    let start = Instant::now();
    let mut steps = 0;
    while s.step().unwrap() {
        steps += 1;
        let passes_begun = (start.elapsed().as_nanos() / DELAY.as_nanos()) as u32;
        assert!(ran.get() <= passes_begun.saturating_sub(1), "stepped {} times in {passes_begun}", ran.get());
    }
    // Pass 0, two steps, and the end.
    assert!(start.elapsed() >= DELAY * 4);
    // Under Miri a step takes milliseconds of its clock.
    let fewest = if cfg!(miri) { 10 } else { 100 };
    assert!(steps > fewest, "{steps} steps: it blocks");
}

/// AX-SCHED-16 for a run inside another runtime, which must not be blocked either.
#[test]
fn ax_sched_16_an_embedded_run_is_delayed_too() {
    const DELAY: Duration = Duration::from_millis(10);
    let s = fresh();
    s.set_slowmo(DELAY);
    let (c, _) = sleeper();
    s.activate(&c);
    let handle = s.handle();
    s.activate(body(async move |cx| {
        for _ in 0..3 {
            cx.yield_now().await;
        }
        handle.stop();
    }));
    let start = Instant::now();
    let (out, polls) = crate::embedding::block_on(s.run_as_future());
    out.unwrap();
    assert!(start.elapsed() >= DELAY * 5, "{:?}", start.elapsed());
    assert!(polls > 4, "{polls} polls: it blocks the outer runtime");
}

/// AX-SCHED-17: all processes of a pass read the same time, however long their steps take.
#[test]
fn ax_sched_17_time_stands_still_within_a_pass() {
    let s = fresh();
    let seen = Rc::new(RefCell::new(Vec::new()));
    for _ in 0..2 {
        let seen = seen.clone();
        s.activate(body(async move |cx| {
            for _ in 0..2 {
                seen.borrow_mut().push(cx.time());
                let start = Instant::now();
                while start.elapsed() < Duration::from_millis(2) {}
                cx.yield_now().await;
            }
        }));
    }
    s.run().unwrap();
    let [a, b, c, d] = seen.borrow()[..] else { panic!("four readings") };
    assert!(a == b && c == d);
    assert!(c >= a + Duration::from_millis(4), "the two steps of the first pass took so long");
}

/// AX-COMP-07: in the order of declaration, and only what lies in an inbox's own queue.
#[test]
fn ax_comp_07_the_first_inbox_with_a_message_is_named() {
    let s = fresh();
    let far = plain();
    let c = body({
        let far = far.clone();
        async move |cx| {
            assert_eq!(cx.any_ready(), None);
            let extra = cx.add_inbox::<u8>("extra");
            extra.deliver(1).unwrap();
            assert_eq!(cx.any_ready().as_deref(), Some("extra"));
            cx.instance().control.deliver(Ipc::Shutdown).unwrap();
            assert_eq!(cx.any_ready().as_deref(), Some("control"));
            cx.inbox.deliver("x".into()).unwrap();
            assert_eq!(cx.any_ready().as_deref(), Some("inbox"));
            cx.inbox.try_recv();
            axon::link(&cx.inbox, &far.inbox).unwrap();
            cx.inbox.deliver("x".into()).unwrap();
            assert_eq!(cx.any_ready().as_deref(), Some("control"));
        }
    });
    s.activate(&c);
    s.run().unwrap();
    assert_eq!(far.inbox.len(), 1);
}

#[test]
fn ax_comp_18_a_components_postoffice_is_named_after_it() {
    let (owner, a, b) = (plain(), plain(), plain());
    let name = |c: &Instance<Boxes>| c.name();
    assert_eq!(
        owner.postoffice_text(),
        format!("{{{{ POSTOFFICE: component :{}:debug links [] }}}}", name(&owner))
    );
    let l = owner.link((&a, "outbox"), (&b, "inbox")).unwrap();
    let text = owner.postoffice_text();
    assert!(text.ends_with(&format!("links [{l}] }}}}")), "{text}");
}
