//! `test_Microprocess.py`.

use std::cell::Cell;
use std::collections::HashSet;
use std::rc::Rc;

use crate::common::*;
use axon::prelude::*;

/// AX-MP-01.
#[test]
fn test_SmokeTest_NoArguments() {
    let all = [plain(), plain(), plain()];
    let ids: HashSet<_> = all.iter().map(|c| c.id()).collect();
    assert_eq!(ids.len(), 3);
    for c in &all {
        assert!(c.id().get() > 0);
        assert_eq!(c.name(), format!("test.Scripted_{}", c.id()));
    }
    all[0].set_tag("-tag");
    assert_eq!(all[0].name(), format!("test.Scripted_{}-tag", all[0].id()));
}

/// AX-MP-05.
#[test]
fn test_activate_basicActivatation() {
    let s = fresh();
    let c = plain();
    assert!(!s.contains(c.id()));
    c.activate();
    s.run_until_idle().unwrap();
    let c = plain();
    assert!(s.activate(&c) == c.any());
    to_pass(&s, s.pass() + 2);
    assert!(s.contains(c.id()));
}

/// AX-MP-05, 06.
#[test]
fn test_activate_afterCallingSetSchedulerClass() {
    let first = fresh();
    let other = Scheduler::new();
    let c = plain();
    other.activate(&c);
    c.activate(); // known already: no more than a wake
    to_pass(&first, 1);
    to_pass(&other, 1);
    assert!(other.contains(c.id()) && !first.contains(c.id()));
}

/// AX-MP-06.
#[test]
fn test_setSchedulerClass() {
    let first = fresh();
    let other = Scheduler::new();
    Scheduler::set_thread_default(Some(other.clone()));
    let on_other = plain();
    on_other.activate();
    Scheduler::set_thread_default(Some(first.clone()));
    let on_first = plain();
    on_first.activate();
    to_pass(&first, 1);
    to_pass(&other, 1);
    assert!(other.contains(on_other.id()) && !other.contains(on_first.id()));
    assert!(first.contains(on_first.id()) && !first.contains(on_other.id()));
}

/// AX-MP-07.
#[test]
fn test_overriddenMainWorksWithNext() {
    let s = fresh();
    let count = Rc::new(Cell::new(0));
    let theirs = count.clone();
    let c = body(async move |cx| {
        for _ in 0..100 {
            theirs.set(theirs.get() + 1);
            cx.yield_now().await;
        }
    });
    s.activate(&c);
    for n in 1..=100 {
        to_pass(&s, n + 1);
        assert_eq!(count.get(), n);
        assert!(!c.is_stopped());
    }
    to_pass(&s, 102);
    assert!(c.is_stopped() && count.get() == 100);
}

/// AX-MP-10, 11.
#[test]
fn test_Stop() {
    let s = fresh();
    let c = plain();
    assert!(!c.is_stopped());
    s.activate(&c);
    c.stop();
    assert!(c.is_stopped() && c.is_runnable());
    c.unpause();
    assert!(c.is_stopped() && c.is_runnable());
}

/// AX-MP-04, 11, 12.
#[test]
fn test_pause() {
    let s = fresh();
    let (c, count) = sleeper();
    c.request_pause(); // nothing happens before activation (AX-MP-04)
    c.unpause();
    s.activate(&c);
    s.run_until_idle().unwrap();
    assert!(!c.is_runnable());
    assert_eq!(count.get(), 1);
    c.unpause();
    s.run_until_idle().unwrap();
    assert_eq!(count.get(), 2);
    let busy = body(async |cx| {
        loop {
            cx.yield_now().await;
        }
    });
    s.activate(&busy);
    to_pass(&s, s.pass() + 2);
    assert!(busy.is_runnable());
    busy.request_pause();
    s.run_until_idle().unwrap();
    assert!(!busy.is_runnable());
}

/// AX-MP-09.
/// After `stop` no more code of `main` runs, and that it has ended is told once.
#[test]
fn test_Next() {
    let s = fresh();
    let (c, count) = sleeper();
    s.activate(&c);
    s.run_until_idle().unwrap();
    c.stop();
    c.unpause();
    s.run().unwrap();
    assert_eq!(count.get(), 1);
    assert!(!s.contains(c.id()));
}

/// AX-MP-14.
/// By default nothing is taken along at the end.
#[test]
fn test__closeDownMicroprocess() {
    let s = fresh();
    let (other, _) = sleeper();
    let c = plain();
    s.activate(&other);
    s.activate(&c);
    s.run_until_idle().unwrap();
    assert!(c.is_stopped() && !other.is_stopped());
}

/// AX-MP-03.
#[test]
fn test___str__() {
    let (a, b) = (plain().any(), plain().any());
    assert_ne!(a.to_string(), b.to_string());
    assert_eq!(a.to_string(), a.to_string());
}
