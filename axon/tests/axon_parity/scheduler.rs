//! `test_Scheduler.py`.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::Waker;
use std::thread;
use std::time::{Duration, Instant};

use crate::common::*;
use axon::prelude::*;

fn counter(yields: u32) -> (Instance<Boxes>, Rc<Cell<u32>>) {
    let count = Rc::new(Cell::new(0));
    let theirs = count.clone();
    let c = body(async move |cx| {
        for _ in 0..yields {
            theirs.set(theirs.get() + 1);
            cx.yield_now().await;
        }
    });
    (c, count)
}

/// AX-SCHED-20.
#[test]
fn test_importsuccess() {
    let s = fresh();
    let c = plain();
    c.activate();
    to_pass(&s, 1);
    assert!(s.contains(c.id()));
}

/// AX-SCHED-20.
#[test]
fn test_SmokeTest_NoArguments() {
    let first = fresh();
    let second = Scheduler::new(); // does not replace the first
    let c = plain();
    c.activate();
    to_pass(&first, 1);
    to_pass(&second, 1);
    assert!(first.contains(c.id()) && !second.contains(c.id()));
}

/// AX-SCHED-01, 15.
#[test]
fn test_stopsIfNoThreads() {
    let s = fresh();
    let steps = (0..).take_while(|_| s.step().unwrap()).count();
    assert!(steps < 5, "{steps}");
    s.run().unwrap();
}

/// AX-SCHED-01, 09.
#[test]
fn test_runsMicroprocessToCompletionThenStops() {
    let s = fresh();
    let (c, count) = counter(10);
    s.activate(&c);
    s.run().unwrap();
    assert_eq!(count.get(), 10);
    assert_eq!(s.pass(), 11);
}

/// AX-SCHED-03, 09.
#[test]
fn test_runsMicroprocessesAllToCompletionThenStops() {
    let s = fresh();
    let all: Vec<_> = (1..=10).map(|n| (n, counter(n))).collect();
    for (_, (c, _)) in &all {
        s.activate(c);
    }
    for pass in 2..13 {
        to_pass(&s, pass);
        for (n, (_, count)) in &all {
            assert_eq!(count.get(), (*n).min(pass as u32 - 1));
        }
    }
    s.run().unwrap();
}

/// AX-SCHED-06, 15.
#[test]
fn test_pausedMicroprocessDoesNotGetCalled() {
    let s = fresh();
    let (c, count) = sleeper();
    s.activate(&c);
    to_pass(&s, 50);
    assert_eq!(count.get(), 1);
}

/// AX-SCHED-03, 06.
#[test]
fn test_oneMicroprocessPausesOthersContinueToRun() {
    let s = fresh();
    let (p, paused) = sleeper();
    let (a, x) = counter(100);
    let (b, y) = counter(100);
    s.activate(&a);
    s.activate(&p);
    s.activate(&b);
    to_pass(&s, 50);
    assert_eq!((paused.get(), x.get(), y.get()), (1, 49, 49));
}

/// AX-SCHED-07.
#[test]
fn test_pausedMicroprocessCanBeWoken() {
    let s = fresh();
    let (c, count) = sleeper();
    s.activate(&c);
    for n in 1..10 {
        s.run_until_idle().unwrap();
        assert_eq!(count.get(), n);
        c.unpause();
    }
}

/// AX-SCHED-07.
#[test]
fn test_wakingPausedMicroprocessDoesntWakeOthers() {
    let s = fresh();
    let all: Vec<_> = (0..5).map(|_| sleeper()).collect();
    for (c, _) in &all {
        s.activate(c);
    }
    s.run_until_idle().unwrap();
    all[2].0.unpause();
    s.run_until_idle().unwrap();
    let counts: Vec<_> = all.iter().map(|(_, n)| n.get()).collect();
    assert_eq!(counts, [1, 1, 2, 1, 1]);
}

/// AX-SCHED-07, 08.
/// A wake that meets a process before its pause has taken effect keeps it awake once; another changes nothing.
#[test]
fn test_wakingAlreadyAwakeMicroprocessHasNoEffect() {
    let s = fresh();
    let (a, x) = counter(20);
    let (b, y) = counter(20);
    s.activate(&a);
    s.activate(&b);
    for pass in 2..12 {
        a.unpause();
        a.unpause();
        to_pass(&s, pass);
        assert_eq!((x.get(), y.get()), (pass as u32 - 1, pass as u32 - 1));
        assert!(!s.is_paused(&a.any()) && !s.is_paused(&b.any()));
    }
}

/// AX-SCHED-05, 08.
#[test]
fn test_wakingOrPausingNonActivatedMicroprocessHasoEffect() {
    let s = fresh();
    let (known, count) = sleeper();
    let (unknown, never) = sleeper();
    s.activate(&known);
    unknown.unpause();
    unknown.request_pause();
    s.run_until_idle().unwrap();
    assert!(!s.contains(unknown.id()) && s.is_paused(&unknown.any()));
    assert_eq!((count.get(), never.get()), (1, 0));
}

/// AX-SCHED-08.
#[test]
fn test_listAllThreadsMethodListsAllMicroprocesses() {
    let s = fresh();
    let (asleep, _) = sleeper();
    let (awake, _) = counter(100);
    let unknown = plain();
    s.activate(&asleep);
    s.activate(&awake);
    to_pass(&s, 10);
    assert_eq!(s.processes(), [asleep.any(), awake.any()]);
    assert!(!s.contains(unknown.id()));
}

/// AX-SCHED-07, 08.
#[test]
fn test_isThreadPausedWorks() {
    let s = fresh();
    let (c, _) = sleeper();
    s.activate(&c);
    to_pass(&s, 2);
    assert!(!s.is_paused(&c.any()), "going to sleep is not asleep");
    to_pass(&s, 3);
    assert!(s.is_paused(&c.any()));
    c.unpause();
    to_pass(&s, 4);
    assert!(!s.is_paused(&c.any()));
}

/// AX-SCHED-08.
#[test]
fn test_isThreadPausedNotRecognised() {
    let s = fresh();
    assert!(s.is_paused(&plain().any()));
}

/// AX-SCHED-09.
#[test]
fn test_pauseThenTerminateTerminates() {
    let s = fresh();
    let c = body(async |cx| {
        cx.request_pause();
        // ends without a yield
    });
    s.activate(&c);
    s.run().unwrap();
    assert!(c.is_stopped() && s.processes().is_empty());
}

/// AX-SCHED-16.
#[test]
fn test_runThreadsSlowmo() {
    for (slow, passes) in [(0, 5), (20, 5)] {
        let s = fresh();
        s.set_slowmo(Duration::from_millis(slow));
        let (c, _) = counter(passes);
        s.activate(&c);
        let start = Instant::now();
        s.run().unwrap();
        // Passes 0 to 6, each after a delay.
        let expected = Duration::from_millis(slow) * (passes + 2);
        assert!(start.elapsed() >= expected, "{:?}", start.elapsed());
        if slow == 0 {
            assert!(start.elapsed() < Duration::from_secs(10));
        }
    }
}

/// AX-SCHED-15.
/// With all asleep, passes go round with one step each, and never block.
#[test]
fn test_directUsageOfMainDoesntBlock() {
    let s = fresh();
    let (c, _) = sleeper();
    s.activate(&c);
    to_pass(&s, 3);
    let before = s.pass();
    for _ in 0..20 {
        assert!(s.step().unwrap());
    }
    assert_eq!(s.pass(), before + 20);
}

/// AX-SCHED-14.
/// A scheduler whose processes are all asleep makes no pass until something wakes one.
#[test]
fn test_runThreadsUsesNonBusyWaitingMode() {
    let s = fresh();
    let waker: Rc<RefCell<Option<Waker>>> = Rc::default();
    let c = body(async move |_| {
        let mut polls = 0;
        std::future::poll_fn(|cx| {
            polls += 1;
            if polls == 1 {
                let w = cx.waker().clone();
                // Long enough for a busy scheduler to make many thousand passes.
                thread::spawn(move || {
                    thread::sleep(Duration::from_millis(100));
                    w.wake();
                });
                *waker.borrow_mut() = Some(cx.waker().clone());
                return std::task::Poll::Pending;
            }
            std::task::Poll::Ready(())
        })
        .await;
    });
    s.activate(&c);
    let start = Instant::now();
    s.run().unwrap();
    assert!(start.elapsed() >= Duration::from_millis(100));
    assert!(s.pass() < 10, "{} passes while all were asleep", s.pass());
}
