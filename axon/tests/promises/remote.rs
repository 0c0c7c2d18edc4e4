//! Other threads give a scheduler components and work (AX-SCHED-19, AX-SCHED-21, D-06).

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use axon::prelude::*;
use axon::{Clock, SchedulerGone, SchedulerOptions};

use crate::common::*;

/// Processor time of this thread so far; nothing where the system does not tell.
fn cpu_time() -> Option<Duration> {
    if cfg!(miri) {
        return None; // it isolates its programs from the file system
    }
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    Some(Duration::from_nanos(stat.split(' ').next()?.parse().ok()?))
}

/// AX-SCHED-19, D-06: with an empty table it blocks until the first activation, makes no pass and uses no processor
/// time meanwhile, and ends with the last process.
#[test]
fn ax_sched_19_waiting_for_one_blocks_until_another_thread_activates() {
    let s = fresh();
    s.wait_for_one();
    let handle = s.handle();
    let (tell, told) = mpsc::channel();
    let t = thread::spawn(move || {
        thread::sleep(Duration::from_millis(200)); // the time in which a busy scheduler would show
        let theirs = tell.clone();
        let make = move || {
            body(async move |cx| {
                theirs.send(cx.pass()).unwrap();
                cx.yield_now().await;
            })
        };
        handle.activate(make).unwrap();
    });
    let before = cpu_time();
    s.run().unwrap();
    let used = cpu_time().zip(before).map(|(after, before)| after - before);
    t.join().unwrap();
    assert_eq!(
        told.try_iter().collect::<Vec<_>>(),
        [1],
        "its first step is in the first pass after the empty one"
    );
    assert_eq!(s.pass(), 2);
    assert!(used.is_none_or(|t| t < Duration::from_millis(50)), "{used:?} of processor time in 200 ms");
    // The waiting is over: the usual rule is back.
    s.run().unwrap();
}

/// A wake of somebody unknown ends the waiting, as in the original; a call that activates nobody does not.
#[test]
fn ax_sched_19_a_call_that_activates_nobody_does_not_end_the_waiting() {
    let s = fresh();
    s.wait_for_one();
    let handle = s.handle();
    let t = thread::spawn(move || {
        let (tell, told) = mpsc::channel();
        let theirs = tell.clone();
        handle.run(move || theirs.send("called").unwrap()).unwrap();
        assert_eq!(told.recv().unwrap(), "called");
        handle.activate(move || body(async move |_| tell.send("ran").unwrap())).unwrap();
        assert_eq!(told.recv().unwrap(), "ran");
    });
    s.run().unwrap();
    t.join().unwrap();
}

/// AX-SCHED-05, AX-SCHED-21: in the order of the requests, behind everything that is queued already.
#[test]
fn ax_sched_21_components_of_another_thread_come_in_order_after_those_that_are_there() {
    for clock in [Clock::System, Clock::Virtual] {
        Scheduler::set_thread_default(None);
        let s = Scheduler::with_options(SchedulerOptions { clock, ..Default::default() });
        let log = Rc::new(RefCell::new(Vec::new()));
        let theirs = log.clone();
        s.activate(body(async move |cx| {
            for _ in 0..3 {
                theirs.borrow_mut().push("first".to_string());
                cx.yield_now().await;
            }
        }));
        let (tell, told) = mpsc::channel();
        let handle = s.handle();
        let sender = thread::spawn(move || {
            for n in 0..3 {
                let tell = tell.clone();
                handle.activate(move || body(async move |cx| tell.send((n, cx.pass())).unwrap())).unwrap();
            }
        });
        sender.join().unwrap();
        s.run().unwrap();
        assert_eq!(told.try_iter().collect::<Vec<_>>(), [(0, 1), (1, 1), (2, 1)]);
        assert_eq!(log.borrow().len(), 3);
    }
}

#[test]
fn a_sleeping_scheduler_is_woken_by_a_call() {
    let s = fresh();
    let (c, _) = sleeper();
    s.activate(&c);
    let handle = s.handle();
    let reference = c.reference();
    let t = thread::spawn(move || {
        thread::sleep(Duration::from_millis(20)); // most likely it sleeps by then
        handle.run(move || reference.resolve().unwrap().stop()).unwrap();
    });
    s.run().unwrap();
    t.join().unwrap();
    assert!(c.is_stopped());
}

#[test]
fn a_panic_in_a_call_hurts_nobody() {
    let s = fresh();
    let (c, ran) = sleeper();
    s.activate(&c);
    let handle = s.handle();
    handle.run(|| panic!("in a call")).unwrap();
    handle.activate(|| -> AnyInstance { panic!("in a maker") }).unwrap();
    let (tell, told) = mpsc::channel();
    handle.run(move || tell.send(()).unwrap()).unwrap();
    s.run_until_idle().unwrap();
    told.try_recv().unwrap();
    assert_eq!(ran.get(), 1);
}

#[test]
fn a_dropped_scheduler_refuses_calls_and_drops_those_that_wait() {
    let s = fresh();
    let handle = s.handle();
    let (tell, told) = mpsc::channel::<()>();
    handle.run(move || tell.send(()).unwrap()).unwrap();
    Scheduler::set_thread_default(None);
    drop(s);
    assert!(told.recv().is_err(), "dropped without having run");
    assert_eq!(handle.run(|| ()), Err(SchedulerGone));
    assert_eq!(handle.activate(plain).unwrap_err().to_string(), "the scheduler has been dropped");
    handle.stop(); // and that is silently nothing
}

/// Calls reach a scheduler that is embedded in another runtime, and wake it.
#[test]
fn an_embedded_scheduler_takes_calls() {
    let s = fresh();
    s.wait_for_one();
    let handle = s.handle();
    let (tell, told) = mpsc::channel();
    let t = thread::spawn(move || {
        thread::sleep(Duration::from_millis(20));
        handle.activate(move || body(async move |_| tell.send(()).unwrap())).unwrap();
    });
    let (outcome, polls) = crate::embedding::block_on(s.run_as_future());
    outcome.unwrap();
    t.join().unwrap();
    told.try_recv().unwrap();
    assert!(polls < 10, "{polls} polls");
}
