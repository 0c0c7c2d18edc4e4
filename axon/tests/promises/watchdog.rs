//! A component that does not yield is named by the watchdog; one that does is not.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use axon::prelude::*;
use axon::watchdog::{Stuck, Watchdog};

use crate::common::*;

const LIMIT: Duration = Duration::from_millis(30);

/// Runs one component beside a bystander under a watchdog; `bad` runs until it is told to go on.
fn reports(make: impl FnOnce(Arc<AtomicBool>) -> Instance<Boxes>) -> (String, Vec<Stuck>) {
    let s = fresh();
    let go_on = Arc::new(AtomicBool::new(false));
    let told = Arc::new(Mutex::new(Vec::new()));
    let (free, theirs) = (go_on.clone(), told.clone());
    let (before, ran) = sleeper();
    s.activate(&before); // known before the watch begins
    let watch = Watchdog::new(LIMIT)
        .on_stuck(move |stuck| {
            let mut all = theirs.lock().unwrap();
            all.push(stuck.clone());
            free.store(all.len() >= 2, Ordering::SeqCst);
        })
        .watch(&s);
    let bad = make(go_on);
    let name = bad.name();
    s.activate(&bad);
    s.activate(plain());
    s.run_until_idle().unwrap();
    drop(watch);
    assert!(bad.is_stopped() && ran.get() == 1);
    let all = told.lock().unwrap().clone();
    (name, all)
}

fn spin(until: &AtomicBool) {
    while !until.load(Ordering::SeqCst) {
        thread::yield_now();
    }
}

#[test]
fn a_component_that_never_yields_is_named_again_and_again() {
    let (name, all) = reports(|go_on| {
        let c = body(async move |cx| {
            cx.yield_now().await;
            spin(&go_on);
        });
        c.set_tag("-spinner");
        c
    });
    assert!(all.len() >= 2 && all.iter().all(|s| s.name == name), "{all:?}");
    assert!(name.ends_with("-spinner"));
    assert!(all[0].time >= LIMIT && all[1].time >= 2 * LIMIT, "{all:?}");
    assert!(all[0].to_string().starts_with(&format!("{name} has not yielded for ")));
}

#[test]
fn a_hook_that_never_ends_is_the_components_too() {
    let (name, all) = reports(|go_on| {
        let c = plain();
        c.on_close_down(move || spin(&go_on));
        c
    });
    // On a busy machine it may be named once more before it goes on.
    assert!(all.len() >= 2 && all.iter().all(|s| s.name == name), "{all:?}");
}

/// Steps, however many, and sleep, however long, are no reason to bark; nor is what comes after a panic.
#[test]
fn those_that_yield_are_left_alone() {
    let s = fresh();
    s.set_on_failure(axon::OnFailure::GoOn);
    let (tell, told) = mpsc::channel();
    // A limit that a busy machine does not reach by taking the processor away.
    let limit = Duration::from_millis(1500);
    let watch = Watchdog::new(limit).on_stuck(move |s| tell.send(s.clone()).unwrap()).watch(&s);
    s.activate(body(async |_| panic!("at once")));
    s.activate(body(async move |cx| {
        let from = Instant::now();
        while from.elapsed() < limit {
            cx.yield_now().await;
        }
        cx.sleep(limit * 2).await;
    }));
    s.run().unwrap();
    drop(watch);
    assert!(told.try_iter().next().is_none());
}
