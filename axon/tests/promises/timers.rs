//! Sleeping by the clock, real and virtual.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use axon::prelude::*;
use axon::{Clock, SchedulerOptions};

use crate::common::*;
use crate::rounds;

fn virtual_time() -> Scheduler {
    Scheduler::set_thread_default(None);
    Scheduler::with_options(SchedulerOptions { clock: Clock::Virtual, ..SchedulerOptions::default() })
}

const HOUR: Duration = Duration::from_secs(3600);

#[test]
fn virtual_time_jumps_from_timer_to_timer_in_their_order() {
    let real = Instant::now();
    let s = virtual_time();
    let log = Rc::new(RefCell::new(Vec::new()));
    let start = s.time();
    for (name, hours) in [("c", 3), ("a", 1), ("b", 2), ("a2", 1)] {
        let log = log.clone();
        s.activate(body(async move |cx| {
            for _ in 0..2 {
                cx.sleep(hours * HOUR).await;
                log.borrow_mut().push((name, (cx.time() - start).as_secs() / 3600));
            }
        }));
    }
    s.run().unwrap();
    let expected = [("a", 1), ("a2", 1), ("b", 2), ("a", 2), ("a2", 2), ("c", 3), ("b", 4), ("c", 6)];
    assert_eq!(*log.borrow(), expected);
    assert!(real.elapsed() < Duration::from_secs(60));
}

#[test]
fn virtual_time_stands_still_while_anybody_runs() {
    let s = virtual_time();
    let start = s.time();
    s.activate(body(async move |cx| {
        for _ in 0..1000 {
            cx.yield_now().await;
            assert_eq!(cx.time(), start);
        }
    }));
    s.activate(body(async move |cx| {
        cx.sleep(HOUR).await;
        assert_eq!(cx.time(), start + HOUR);
    }));
    s.run().unwrap();
}

#[test]
fn two_runs_in_virtual_time_are_alike() {
    let run = || {
        let s = virtual_time();
        let log = Rc::new(RefCell::new(Vec::new()));
        for n in 0..20_u64 {
            let log = log.clone();
            s.activate(body(async move |cx| {
                for k in 0..10 {
                    cx.sleep(Duration::from_millis(n * 7919 % 31 + k)).await;
                    log.borrow_mut().push((n, k, cx.pass()));
                }
            }));
        }
        s.run().unwrap();
        log.take()
    };
    assert_eq!(run(), run());
}

#[test]
fn a_message_does_not_cut_a_sleep_short() {
    let s = virtual_time();
    let c = body(async |cx| {
        let start = cx.time();
        cx.sleep(HOUR).await;
        assert!(cx.time() - start >= HOUR);
        assert_eq!(cx.inbox.len(), 1);
    });
    s.activate(&c);
    s.run_until_idle().unwrap();
    c.inbox.deliver("early".into()).unwrap();
    s.run().unwrap();
}

#[test]
fn dropped_sleeps_are_forgotten() {
    let s = virtual_time();
    s.activate(body(async |cx| {
        for _ in 0..rounds(10_000) {
            let mut sleep = Box::pin(cx.sleep(HOUR));
            std::future::poll_fn(|task| {
                assert!(sleep.as_mut().poll(task).is_pending());
                std::task::Poll::Ready(())
            })
            .await;
        }
    }));
    let start = s.time();
    s.run().unwrap();
    assert_eq!(s.time(), start, "nobody waits for them");
}

#[test]
fn the_system_clock_waits_as_long_as_asked() {
    let s = fresh();
    s.activate(body(async |cx| {
        let start = Instant::now();
        cx.sleep(Duration::from_millis(30)).await;
        assert!(start.elapsed() >= Duration::from_millis(30));
    }));
    s.run().unwrap();
    assert!(s.pass() < 10, "it does not spin meanwhile");
}
