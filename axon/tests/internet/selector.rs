//! U-60: the selector.

use std::io::Write;
use std::net::TcpStream;
use std::rc::Rc;
use std::time::Duration;

use axon::internet::{Selector, SelectorRequest, Socket};
use axon::prelude::*;
use axon::tracker::Tracker;
use axon::{Clock, SchedulerOptions};

use super::common::*;

fn pair() -> (Socket, TcpStream) {
    let (listener, port) = listener();
    let theirs = TcpStream::connect(("127.0.0.1", port)).unwrap();
    (listener.accept().unwrap().0.try_into().unwrap(), theirs)
}

fn reader(cx: &Tester, socket: &Socket) -> SelectorRequest {
    SelectorRequest::NewReader { caller: cx.id(), target: cx.service("sockets"), socket: socket.clone() }
}

fn writer(cx: &Tester, socket: &Socket) -> SelectorRequest {
    SelectorRequest::NewWriter { caller: cx.id(), target: cx.service("sockets"), socket: socket.clone() }
}

/// Lets everything that is under way come to an end. 20 ms are long for loopback; only tests that something does
/// *not* happen use it.
async fn settle(cx: &Tester) {
    cx.sleep(Duration::from_millis(20)).await;
}

#[test]
fn u60_the_names_lead_to_one_selector_for_all() {
    Scheduler::set_thread_default(None);
    let tracker = Tracker::new();
    let (first, new) = Selector::get_services(&tracker);
    let new = new.expect("there was none");
    assert_eq!(tracker.services(), ["selector", "selectorshutdown"]);
    assert_eq!(first.notify, new.service("notify"));
    assert_eq!(first.shutdown, new.service("control"));
    let (second, none) = Selector::get_services(&tracker);
    assert!(none.is_none());
    assert_eq!((second.notify, second.shutdown), (first.notify, first.shutdown));
}

#[test]
fn u60_a_dead_selector_that_left_its_names_is_replaced() {
    let tracker = Tracker::new();
    let (_, new) = Selector::get_services(&tracker);
    drop(new); // never activated
    assert!(Selector::get_services(&tracker).1.is_some());
}

#[test]
fn u60_a_watch_tells_once_with_the_socket_itself() {
    run(async |cx| {
        join_selector(&cx);
        let (ours, mut theirs) = pair();
        cx.requests.send(reader(&cx, &ours)).unwrap();
        settle(&cx).await;
        assert!(cx.sockets.is_empty(), "nothing has come yet");
        theirs.write_all(b"a").unwrap();
        assert_eq!(cx.sockets.recv().await, ours);
        theirs.write_all(b"b").unwrap();
        settle(&cx).await;
        assert!(cx.sockets.is_empty(), "the watch is dropped when it has told");
        // Nothing was read, so asking again tells at once.
        cx.requests.send(reader(&cx, &ours)).unwrap();
        assert_eq!(cx.sockets.recv().await, ours);
    });
}

#[test]
fn u60_the_end_of_the_peer_is_told_to_readers() {
    run(async |cx| {
        join_selector(&cx);
        let (ours, theirs) = pair();
        cx.requests.send(reader(&cx, &ours)).unwrap();
        drop(theirs);
        assert_eq!(cx.sockets.recv().await, ours);
        assert_eq!(ours.read(&mut [0; 8]).unwrap(), 0);
    });
}

#[test]
fn u60_writers_are_told_when_there_is_room() {
    run(async |cx| {
        join_selector(&cx);
        let (ours, mut theirs) = pair();
        cx.requests.send(writer(&cx, &ours)).unwrap();
        assert_eq!(cx.sockets.recv().await, ours);
        while ours.write(&[0; 65536]).is_ok() {}
        cx.requests.send(writer(&cx, &ours)).unwrap();
        settle(&cx).await;
        assert!(cx.sockets.is_empty(), "the system's buffers are full");
        elsewhere(move || read_exactly(&mut theirs, 1_000_000)).await;
        assert_eq!(cx.sockets.recv().await, ours);
    });
}

#[cfg(target_os = "linux")]
#[test]
fn u60_urgent_data_is_an_exception() {
    run(async |cx| {
        join_selector(&cx);
        let (ours, theirs) = pair();
        let target = cx.service("more_sockets");
        cx.requests
            .send(SelectorRequest::NewExceptional { caller: cx.id(), target, socket: ours.clone() })
            .unwrap();
        cx.requests.send(reader(&cx, &ours)).unwrap();
        let theirs = socket2::Socket::from(theirs);
        theirs.send(b"ordinary").unwrap();
        assert_eq!(cx.sockets.recv().await, ours);
        assert!(cx.more_sockets.is_empty());
        theirs.send_out_of_band(b"!").unwrap();
        assert_eq!(cx.more_sockets.recv().await, ours);
        // The role can be dropped before it tells, too.
        let target = cx.service("more_sockets");
        let caller = cx.id();
        cx.requests.send(SelectorRequest::NewExceptional { caller, target, socket: ours.clone() }).unwrap();
        cx.requests.send(SelectorRequest::RemoveExceptional { caller, socket: ours }).unwrap();
    });
}

#[test]
fn u60_a_socket_watched_in_that_role_already_is_ignored() {
    run(async |cx| {
        join_selector(&cx);
        let (ours, mut theirs) = pair();
        cx.requests.send(reader(&cx, &ours)).unwrap();
        let target = cx.service("more_sockets");
        cx.requests
            .send(SelectorRequest::NewReader { caller: cx.id(), target, socket: ours.clone() })
            .unwrap();
        theirs.write_all(b"a").unwrap();
        assert_eq!(cx.sockets.recv().await, ours);
        settle(&cx).await;
        assert!(cx.more_sockets.is_empty(), "only the first request counts");
    });
}

#[test]
fn u60_a_removed_watch_tells_nothing() {
    run(async |cx| {
        join_selector(&cx);
        let (ours, mut theirs) = pair();
        cx.requests.send(reader(&cx, &ours)).unwrap();
        cx.requests.send(SelectorRequest::RemoveReader { caller: cx.id(), socket: ours.clone() }).unwrap();
        theirs.write_all(b"a").unwrap();
        settle(&cx).await;
        assert!(cx.sockets.is_empty());
        // Removing one role leaves the other.
        cx.requests.send(writer(&cx, &ours)).unwrap();
        cx.requests.send(reader(&cx, &ours)).unwrap();
        cx.requests.send(SelectorRequest::RemoveWriter { caller: cx.id(), socket: ours.clone() }).unwrap();
        assert_eq!(cx.sockets.recv().await, ours);
    });
}

#[test]
fn u60_a_full_inbox_is_told_when_there_is_room() {
    run(async |cx| {
        join_selector(&cx);
        let ((a, _a), (b, _b)) = (pair(), pair());
        cx.sockets.set_bound(1);
        cx.requests.send(writer(&cx, &a)).unwrap();
        cx.requests.send(writer(&cx, &b)).unwrap();
        settle(&cx).await;
        assert_eq!(cx.sockets.len(), 1);
        let first = cx.sockets.recv().await;
        let second = cx.sockets.recv().await;
        assert!(first == a && second == b || first == b && second == a, "both are told, once each");
        settle(&cx).await;
        assert!(cx.sockets.is_empty());
    });
}

/// D-28: a bad socket or target does not end it, as an error in an error handler did.
#[test]
fn u60_d28_a_closed_socket_or_a_missing_inbox_harms_nobody() {
    run(async |cx| {
        join_selector(&cx);
        let (closed, _x) = pair();
        closed.close();
        cx.requests.send(reader(&cx, &closed)).unwrap();
        assert_eq!(cx.sockets.recv().await, closed, "whoever asked finds out by trying");
        let (ours, mut theirs) = pair();
        let target = cx.service("no such inbox");
        cx.requests
            .send(SelectorRequest::NewReader { caller: cx.id(), target, socket: ours.clone() })
            .unwrap();
        let target = cx.service("inbox"); // of bytes, not of sockets
        cx.requests
            .send(SelectorRequest::NewReader { caller: cx.id(), target, socket: ours.clone() })
            .unwrap();
        cx.requests.send(reader(&cx, &ours)).unwrap();
        theirs.write_all(b"a").unwrap();
        assert_eq!(cx.sockets.recv().await, ours);
    });
}

/// It sleeps meanwhile (D-23): virtual time jumps to its end.
#[test]
fn u60_d23_with_nothing_to_watch_it_ends_after_three_and_a_half_seconds() {
    Scheduler::set_thread_default(None);
    let scheduler = Scheduler::with_options(SchedulerOptions { clock: Clock::Virtual, ..Default::default() });
    let tracker = Tracker::new();
    let (_, selector) = Selector::get_services(&tracker);
    let selector = selector.unwrap();
    let (watched, tracked) = (selector.clone(), tracker.clone());
    scheduler.activate(&selector);
    scheduler.activate(tester(async move |cx| {
        cx.sleep(Duration::from_millis(3499)).await;
        assert!(!watched.is_stopped());
        cx.sleep(Duration::from_millis(2)).await;
        assert!(watched.is_stopped());
        assert!(tracked.services().is_empty(), "its names are given up");
    }));
    scheduler.run().unwrap();
    assert!(scheduler.pass() < 20, "it does not look round while it waits");
}

#[test]
fn u60_it_does_not_end_while_a_socket_is_watched_or_between_two_watches() {
    run_with(SchedulerOptions::default(), async |cx| {
        let tracker = Tracker::new();
        let selector = Selector::new().idle_time(Duration::from_millis(10)).create();
        Selector::set_services(&selector, &tracker).unwrap();
        cx.activate(&selector);
        let (services, _) = Selector::get_services(&tracker);
        cx.link(&cx.requests, &services.notify).unwrap();
        let (ours, mut theirs) = pair();
        cx.requests.send(reader(&cx, &ours)).unwrap();
        cx.sleep(Duration::from_millis(50)).await;
        assert!(!selector.is_stopped());
        theirs.write_all(b"a").unwrap();
        cx.sockets.recv().await;
        cx.sleep(Duration::from_millis(50)).await;
        assert!(!selector.is_stopped(), "the socket is open, and its owner may ask again");
        ours.close();
        cx.add_child(&selector);
        while !selector.is_stopped() {
            cx.pause().await;
        }
        assert!(tracker.services().is_empty());
    });
}

#[test]
fn u60_on_shutdown_its_names_are_free_and_it_serves_who_is_left() {
    run(async |cx| {
        let tracker = Tracker::new();
        let selector = Selector::new().idle_time(Duration::from_millis(10)).create();
        Selector::set_services(&selector, &tracker).unwrap();
        cx.activate(&selector);
        cx.link(&cx.requests, &selector.service("notify")).unwrap();
        cx.link(&cx.signal, &selector.service("control")).unwrap();
        let (ours, mut theirs) = pair();
        cx.requests.send(reader(&cx, &ours)).unwrap();
        // Only `shutdown` is honoured.
        cx.signal.send(Ipc::shutdown_microprocess()).unwrap();
        settle(&cx).await;
        assert_eq!(tracker.services().len(), 2);
        cx.signal.send(Ipc::Shutdown).unwrap();
        while !tracker.services().is_empty() {
            cx.yield_now().await;
        }
        assert!(!selector.is_stopped());
        theirs.write_all(b"a").unwrap();
        assert_eq!(cx.sockets.recv().await, ours);
        drop(ours);
        cx.add_child(&selector);
        while !selector.is_stopped() {
            cx.pause().await;
        }
    });
}

#[test]
fn u60_stopping_it_gives_the_names_up() {
    let tracker = Tracker::new();
    let (_, selector) = Selector::get_services(&tracker);
    let selector = selector.unwrap();
    selector.stop();
    assert!(tracker.services().is_empty());
}

#[test]
fn u60_a_scheduler_does_not_use_the_selector_of_another() {
    let (first, second) = (Scheduler::new(), Scheduler::new());
    let tracker = Tracker::new();
    let found: Rc<std::cell::RefCell<Vec<axon::Service>>> = Rc::default();
    for scheduler in [&first, &second] {
        let found = found.clone();
        let c = tester(async move |cx| found.borrow_mut().push(Selector::services(&cx).notify));
        c.set_tracker(tracker.clone());
        scheduler.activate(&c);
        scheduler.run_until_idle().unwrap();
    }
    let found = found.borrow();
    assert_ne!(found[0], found[1]);
    // The first one keeps serving those that have it; its end does not take the name of the other.
    first.stop();
    first.run().unwrap();
    assert_eq!(tracker.retrieve_service("selector").unwrap(), found[1]);
}
