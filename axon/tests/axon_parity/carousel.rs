//! `Chassis/test_Carousel.py`. `runFor` is a run until everybody sleeps: the children here do.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use crate::common::*;
use axon::chassis::CarouselPorts;
use axon::link;
use axon::prelude::*;

/// `MockChild`: runs until its flag is set.
struct Child {
    component: Instance<Boxes>,
    arg: String,
    stop_now: Rc<Cell<bool>>,
    was_activated: Rc<Cell<bool>>,
}

struct Setup {
    s: Scheduler,
    carousel: Instance<CarouselPorts<String>>,
    /// `inSrc` and `nextFbk`.
    before: Instance<Boxes>,
    /// `outDest`; what is requested arrives in the inbox of `requests`.
    after: Instance<Boxes>,
    requests: Instance<Boxes>,
    children: Rc<RefCell<Vec<Child>>>,
}

fn mock_child(arg: String) -> Child {
    let (stop_now, was_activated) = (Rc::new(Cell::new(false)), Rc::new(Cell::new(false)));
    let (stop, activated) = (stop_now.clone(), was_activated.clone());
    let component = body(async move |cx| {
        activated.set(true);
        while !stop.get() {
            cx.pause().await;
        }
    });
    Child { component, arg, stop_now, was_activated }
}

fn setup_with(
    build: impl FnOnce(Carousel<String>) -> Carousel<String>,
    factory: impl FnMut(String) -> Instance<Boxes> + 'static,
    children: Rc<RefCell<Vec<Child>>>,
) -> Setup {
    let s = fresh();
    let carousel = build(Carousel::new(factory)).create();
    let (before, after, requests) = (sleeper().0, sleeper().0, sleeper().0);
    link(&before.outbox, &carousel.inbox).unwrap();
    link(&before.signal, &carousel.control).unwrap();
    link(&carousel.outbox, &after.inbox).unwrap();
    link(&carousel.signal, &after.control).unwrap();
    link(carousel.request_next.untyped(), &requests.inbox).unwrap();
    link(requests.outbox.untyped(), &carousel.next).unwrap();
    s.activate(&carousel);
    for c in [&before, &after, &requests] {
        s.activate(c);
    }
    Setup { s, carousel, before, after, requests, children }
}

fn setup() -> Setup {
    setup_that(|c| c)
}

fn setup_that(build: impl FnOnce(Carousel<String>) -> Carousel<String>) -> Setup {
    let children = Rc::new(RefCell::new(Vec::new()));
    let all = children.clone();
    let factory = move |arg| {
        let child = mock_child(arg);
        let component = child.component.clone();
        all.borrow_mut().push(child);
        component
    };
    setup_with(build, factory, children)
}

impl Setup {
    fn run_for(&self) {
        self.s.run_until_idle().unwrap();
    }
    fn send_to_inbox(&self, text: &str) {
        self.before.outbox.send(text.to_string().into()).unwrap();
        self.run_for();
    }
    fn send_to_control(&self, message: &Ipc) {
        self.before.signal.send(message.clone()).unwrap();
        self.run_for();
    }
    fn send_to_next(&self, text: &str) {
        self.requests.outbox.send(text.to_string().into()).unwrap();
        self.run_for();
    }
    fn collect_outbox(&self) -> Vec<String> {
        self.after.inbox.drain().map(|m| m.to_string()).collect()
    }
    fn collect_signal(&self) -> Vec<&'static str> {
        self.after.control.drain().map(|m| m.kind()).collect()
    }
    fn collect_request_next(&self) -> Vec<String> {
        self.requests.inbox.drain().map(|m| m.to_string()).collect()
    }
    fn child(&self, n: usize) -> Instance<Boxes> {
        self.children.borrow()[n].component.clone()
    }
    fn count(&self) -> usize {
        self.children.borrow().len()
    }
    fn stop_now(&self, n: usize) {
        self.children.borrow()[n].stop_now.set(true);
        self.child(n).unpause();
        self.run_for();
    }
    fn was_activated(&self, n: usize) -> bool {
        self.children.borrow()[n].was_activated.get()
    }
    fn child_heard(&self, n: usize) -> Option<&'static str> {
        self.child(n).control.try_recv().map(|m| m.kind())
    }
}

fn both() -> [Ipc; 2] {
    [Ipc::producer_finished(), Ipc::shutdown_microprocess()]
}

/// CH-CAR-01.
#[test]
fn test_byDefaultDoesNothing() {
    let t = setup();
    t.run_for();
    assert_eq!(t.count(), 0);
    assert!(t.collect_outbox().is_empty() && t.collect_signal().is_empty());
    assert!(t.collect_request_next().is_empty());
    assert!(!t.carousel.is_stopped());
}

/// CH-CAR-02.
#[test]
fn test_canAskToMake1stRequest() {
    let t = setup_that(Carousel::make_first_request);
    t.run_for();
    assert_eq!(t.count(), 0);
    assert!(t.collect_outbox().is_empty() && t.collect_signal().is_empty());
    assert_eq!(t.collect_request_next(), ["NEXT"]);
    assert!(!t.carousel.is_stopped());
}

/// CH-CAR-06, CH-CAR-07.
#[test]
fn test_shutsDownWhenToldToAndIdle() {
    for message in both() {
        let t = setup();
        t.run_for();
        assert!(!t.carousel.is_stopped());
        t.send_to_control(&message);
        assert_eq!(t.collect_signal(), [message.kind()]);
        assert!(t.carousel.is_stopped());
    }
}

/// CH-CAR-03.
#[test]
fn test_messageToNextRunsFactoryFunction() {
    let run = Rc::new(RefCell::new(None));
    let seen = run.clone();
    let t = setup_with(
        |c| c,
        move |arg| {
            *seen.borrow_mut() = Some(arg);
            sleeper().0
        },
        Rc::default(),
    );
    t.run_for();
    assert_eq!(*run.borrow(), None);
    t.send_to_next("BLAH");
    assert_eq!(run.borrow().as_deref(), Some("BLAH"));
}

/// CH-CAR-03.
#[test]
fn test_messageToNextSpawnsChild() {
    let t = setup();
    t.run_for();
    t.send_to_next("BLAH");
    assert_eq!(t.count(), 1);
    assert_eq!(t.children.borrow()[0].arg, "BLAH");
    assert!(t.was_activated(0));
    assert_eq!(t.carousel.children(), [t.child(0).any()]);
}

/// CH-CAR-05.
#[test]
fn test_childTerminationTriggersRequestNext() {
    let t = setup();
    t.run_for();
    t.send_to_next("BLAH");
    assert!(t.collect_request_next().is_empty());
    t.stop_now(0);
    assert_eq!(t.collect_request_next(), ["NEXT"]);
}

/// CH-CAR-05.
#[test]
fn test_childShutdownSignalDoesntTriggerRequest() {
    for message in both() {
        let t = setup();
        t.run_for();
        t.send_to_next("BLAH");
        t.child(0).signal.send(message).unwrap();
        t.run_for();
        assert!(t.collect_request_next().is_empty());
    }
}

/// CH-CAR-06, CH-CAR-07.
#[test]
fn test_ChildReceivesShutdownSignal() {
    for message in both() {
        let t = setup();
        t.run_for();
        t.send_to_next("BLAH");
        t.send_to_control(&message);
        assert_eq!(t.child_heard(0), Some(message.kind()));
    }
}

/// CH-CAR-04, CH-CAR-03.
#[test]
fn test_nextRequestStartsNewchildOnceCurrentHasTerminated() {
    let t = setup();
    t.run_for();
    t.send_to_next("BLAH");
    for i in 0..5 {
        t.send_to_next("BLAH");
        assert_eq!(t.count(), i + 1, "not before the last one has ended");
        t.stop_now(i);
        assert_eq!(t.count(), i + 2);
        assert!(t.child(i).is_stopped());
        assert!(t.was_activated(i + 1) && !t.child(i + 1).is_stopped());
    }
}

/// CH-CAR-03, CH-CAR-08.
#[test]
fn test_dataReachesChildInbox() {
    let t = setup();
    t.run_for();
    t.send_to_next("BLAH");
    for i in 0..5 {
        let text = format!("HELLO{i}");
        t.send_to_inbox(&text);
        assert_eq!(t.child(0).inbox.try_recv().unwrap().to_string(), text);
    }
}

/// CH-CAR-03, CH-CAR-08.
#[test]
fn test_dataReachesCarouselOutbox() {
    let t = setup();
    t.run_for();
    t.send_to_next("BLAH");
    for i in 0..5 {
        let text = format!("HELLO{i}");
        t.child(0).outbox.send(text.clone().into()).unwrap();
        assert_eq!(t.collect_outbox(), [text]);
    }
}

/// CH-CAR-03.
#[test]
fn test_childSignalIgnored() {
    let t = setup();
    t.run_for();
    t.send_to_next("BLAH");
    for message in both().into_iter().chain([Ipc::other("HELLO!")]) {
        t.child(0).signal.send(message).unwrap();
        t.run_for();
        assert!(t.collect_signal().is_empty());
    }
    assert_eq!(t.child(0).signal.discarded(), 3);
}

/// CH-CAR-06, CH-CAR-07.
#[test]
fn test_terminatingCarouselWithChildPassesSignalToChildToo() {
    for message in both() {
        let t = setup();
        t.run_for();
        t.send_to_next("BLAH");
        t.send_to_control(&message);
        assert_eq!(t.child_heard(0), Some(message.kind()));
        t.stop_now(0);
        assert_eq!(t.collect_signal(), [message.kind()]);
    }
}

/// CH-CAR-08.
#[test]
fn test_carouselDoesntTerminateUntilChildHas() {
    for message in both() {
        let t = setup();
        t.run_for();
        t.send_to_next("BLAH");
        t.send_to_control(&message);
        assert_eq!(t.child_heard(0), Some(message.kind()));
        assert!(!t.carousel.is_stopped() && !t.child(0).is_stopped());
        t.stop_now(0);
        assert!(t.carousel.is_stopped() && t.child(0).is_stopped());
    }
}

/// CH-CAR-06, CH-CAR-04.
#[test]
fn test_queuedNextsFinishedIfProducerFinished() {
    let t = setup();
    t.run_for();
    t.send_to_next("BLAH");
    t.before.signal.send(Ipc::producer_finished()).unwrap();
    for _ in 1..10 {
        t.requests.outbox.send("BLAH".to_string().into()).unwrap();
    }
    t.run_for();
    assert_eq!(t.count(), 1);
    assert!(!t.carousel.is_stopped());
    for i in 0..9 {
        assert!(t.was_activated(i) && !t.child(i).is_stopped());
        assert_eq!(t.child_heard(i), Some("shutdownMicroprocess"), "the next one is due");
        t.stop_now(i);
        assert_eq!(t.count(), i + 2);
        assert!(t.was_activated(i + 1));
    }
    assert_eq!(t.child_heard(9), Some("producerFinished"), "none is left");
    t.stop_now(9);
    assert_eq!(t.collect_signal(), ["producerFinished"]);
    assert!(t.carousel.is_stopped() && t.collect_request_next().is_empty());
}

/// CH-CAR-07.
#[test]
fn test_queuedNextsAbortedIfShutdownMicroprocess() {
    let t = setup();
    t.run_for();
    t.send_to_next("BLAH");
    t.before.signal.send(Ipc::shutdown_microprocess()).unwrap();
    for _ in 1..10 {
        t.requests.outbox.send("BLAH".to_string().into()).unwrap();
    }
    t.run_for();
    assert_eq!(t.count(), 1);
    assert!(!t.carousel.is_stopped());
    assert_eq!(t.child_heard(0), Some("shutdownMicroprocess"));
    t.stop_now(0);
    assert_eq!(t.count(), 1);
    assert!(t.carousel.is_stopped() && t.child(0).is_stopped());
    assert_eq!(t.collect_signal(), ["shutdownMicroprocess"]);
}
