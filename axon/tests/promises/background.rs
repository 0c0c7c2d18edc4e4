//! A scheduler in the background (AX-BG-01, AX-BG-02, D-41).

use std::sync::mpsc;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use axon::background::{Background, BackgroundError};
use axon::prelude::*;
use axon::tracker::Tracker;
use axon::watchdog::Watchdog;
use axon::{OnFailure, SchedulerGone};

use crate::common::*;

/// There is one background in a program, so these tests take turns.
fn alone() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

#[test]
fn ax_bg_01_it_waits_for_the_first_component_and_ends_with_the_last() {
    let _turn = alone();
    let b = Background::new().unwrap().zap().start().unwrap();
    assert!(!b.is_finished());
    let (tell, told) = mpsc::channel();
    let theirs = tell.clone();
    b.activate(move || {
        body(async move |cx| {
            theirs.send((thread::current().id(), cx.pass())).unwrap();
            cx.launch(Last(theirs)); // activated before the last one ends: it still runs
        })
    })
    .unwrap();
    let (first, pass) = told.recv().unwrap();
    assert_ne!(first, thread::current().id());
    assert_eq!(pass, 1, "no pass was made while it waited");
    assert_eq!(told.recv().unwrap().0, first);
    b.join().unwrap();
}

struct Last(mpsc::Sender<(thread::ThreadId, u64)>);
impl Component for Last {
    type Ports = Boxes;
    async fn main(self, cx: Cx<Boxes>) {
        cx.yield_now().await;
        self.0.send((thread::current().id(), cx.pass())).unwrap();
    }
}

/// What is activated after the end does not run until another background is made and started.
#[test]
fn ax_bg_01_late_components_wait_for_the_next_background() {
    let _turn = alone();
    let b = Background::new().unwrap().zap().start().unwrap();
    b.activate(plain).unwrap();
    let handle = b.handle().clone();
    b.join().unwrap();
    let (tell, told) = mpsc::channel();
    handle.activate(move || body(async move |_| tell.send(()).unwrap())).unwrap();
    assert_eq!(told.recv_timeout(Duration::from_millis(50)), Err(mpsc::RecvTimeoutError::Timeout));
    let next = Background::new().unwrap().start().unwrap();
    told.recv().unwrap();
    next.join().unwrap();
}

#[test]
fn ax_bg_02_there_is_one_at_a_time() {
    let _turn = alone();
    let b = Background::new().unwrap();
    let e = Background::new().unwrap_err();
    assert!(matches!(e, BackgroundError::AlreadyRunning));
    assert_eq!(e.to_string(), "only one background can be run at a time");
    let b = b.zap().start().unwrap();
    assert!(Background::new().is_err(), "not while one runs");
    b.activate(plain).unwrap();
    b.join().unwrap();
    let unused = Background::new().unwrap(); // whoever saw the end can make the next at once
    drop(unused);
    drop(Background::new().unwrap()); // one that was never started does not block others
}

/// `zap` drops what earlier backgrounds left: the tracker's entries, and the scheduler with all that waits for it.
#[test]
fn ax_bg_02_zap_starts_anew() {
    let _turn = alone();
    let register = || {
        Tracker::shared().track_value("left over", 7).unwrap();
        plain()
    };
    let asks = |tell: mpsc::Sender<usize>| {
        move || {
            tell.send(Tracker::shared().information_items_logged().len()).unwrap();
            plain()
        }
    };
    let (tell, told) = mpsc::channel();
    let b = Background::new().unwrap().zap().start().unwrap();
    b.activate(register).unwrap();
    let old = b.handle().clone();
    b.join().unwrap();

    let b = Background::new().unwrap().start().unwrap();
    b.activate(asks(tell.clone())).unwrap();
    b.join().unwrap();
    assert_eq!(told.recv().unwrap(), 1, "without zap the tracker is the same");

    let b = Background::new().unwrap().zap().start().unwrap();
    b.activate(asks(tell)).unwrap();
    b.join().unwrap();
    assert_eq!(told.recv().unwrap(), 0);
    assert_eq!(old.activate(plain), Err(SchedulerGone));
}

#[test]
fn ax_bg_01_slowmo_delays_each_pass() {
    let _turn = alone();
    let b = Background::new().unwrap().zap().slowmo(Duration::from_millis(20)).start().unwrap();
    let from = Instant::now();
    b.activate(|| {
        body(async |cx| {
            for _ in 0..4 {
                cx.yield_now().await
            }
        })
    })
    .unwrap();
    b.join().unwrap();
    assert!(from.elapsed() >= Duration::from_millis(80), "{:?}", from.elapsed());
    // And the next is as fast as ever.
    let b = Background::new().unwrap().start().unwrap();
    b.activate(plain).unwrap();
    b.join().unwrap();
}

#[test]
fn d41_one_that_stays_runs_late_components_too() {
    let _turn = alone();
    let b = Background::new().unwrap().zap().stay().start().unwrap();
    for n in 0..3 {
        let (tell, told) = mpsc::channel();
        b.activate(move || body(async move |cx| tell.send(cx.name()).unwrap())).unwrap();
        told.recv().unwrap_or_else(|_| panic!("component {n} did not run"));
    }
    assert!(!b.is_finished());
    b.stop();
    b.join().unwrap();
}

#[test]
fn a_stop_closes_everybody_down_and_the_next_background_does_not_see_it() {
    let _turn = alone();
    let b = Background::new().unwrap().zap().start().unwrap();
    let (tell, told) = mpsc::channel();
    b.activate(move || {
        let (c, _) = sleeper();
        c.on_close_down(move || tell.send(()).unwrap());
        c
    })
    .unwrap();
    b.stop();
    b.stop();
    told.recv().unwrap();
    let handle = b.handle().clone();
    b.join().unwrap();
    handle.stop(); // too late
    let (tell, told) = mpsc::channel();
    let b = Background::new().unwrap().start().unwrap();
    b.activate(move || body(async move |_| tell.send(()).unwrap())).unwrap();
    b.join().unwrap();
    told.try_recv().unwrap();
}

/// A failure ends it with the component's error, drops what is left, and the next one starts with a new scheduler.
#[test]
fn a_failure_ends_it_and_is_told_by_join() {
    let _turn = alone();
    let b = Background::new().unwrap().zap().stay().start().unwrap();
    let (tell, told) = mpsc::channel::<()>();
    b.activate(move || {
        body(async move |cx| {
            let _held = tell;
            cx.pause().await;
        })
    })
    .unwrap();
    b.activate(|| body(async |cx| cx.end_with(Err("it broke")))).unwrap();
    let e = b.join().unwrap_err().to_string();
    assert!(e.contains("test.Scripted") && e.contains("it broke"), "{e}");
    assert!(told.recv().is_err(), "the sleeper has been dropped");

    let b = Background::new().unwrap().stay().on_failure(OnFailure::GoOn).start().unwrap();
    let (tell, told) = mpsc::channel();
    b.activate(|| body(async |_| panic!("so what"))).unwrap();
    b.activate(move || body(async move |_| tell.send(()).unwrap())).unwrap();
    told.recv().unwrap();
    b.stop();
    b.join().unwrap();
}

#[test]
fn a_background_can_have_a_watchdog() {
    let _turn = alone();
    let (bark, barked) = mpsc::channel();
    let dog = Watchdog::new(Duration::from_millis(20)).on_stuck(move |s| bark.send(s.name.clone()).unwrap());
    let b = Background::new().unwrap().zap().watchdog(dog).start().unwrap();
    let (free, freed) = mpsc::channel::<()>();
    b.activate(move || body(async move |_| freed.recv().unwrap())).unwrap();
    assert!(barked.recv().unwrap().starts_with("test.Scripted_"));
    free.send(()).unwrap();
    b.join().unwrap();
}
