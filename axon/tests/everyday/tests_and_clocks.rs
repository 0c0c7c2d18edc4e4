//! TestResult, Chargen, the clock; ConsoleEchoer as it is used between others.

use std::cell::RefCell;
use std::io::{self, Write};
use std::rc::Rc;
use std::time::Duration;

use axon::prelude::*;
use axon::util::*;

use crate::common::{body, fresh, to_pass};
use crate::probe::*;

#[test]
fn u24_clock_sends_true_at_once_and_after_each_interval() {
    let s = virtual_time();
    let clock = CheapAndCheerfulClock::new(Duration::from_millis(300)).create();
    let (watch, log) = stopwatch(&s);
    axon::link(&clock.outbox, &watch.inbox).unwrap();
    axon::link(&clock.signal, &watch.control).unwrap();
    s.activate(&clock);
    s.activate(&watch);
    let control = body(async |cx| {
        cx.sleep(Duration::from_millis(700)).await;
        cx.signal.send(Ipc::Status("ignored".into())).unwrap();
        cx.sleep(Duration::from_millis(300)).await;
        cx.signal.send(pf()).unwrap();
    });
    axon::link(&control.signal, &clock.control).unwrap();
    s.activate(&control);
    let start = s.time();
    s.run().unwrap(); // ends: the clock is told, in the middle of an interval
    assert_eq!(*log.borrow(), [(0, true), (300, true), (600, true), (900, true)]);
    assert_eq!((s.time() - start).as_millis(), 1000);
}

#[test]
fn u24_clock_leaves_out_pulses_that_its_receiver_has_no_room_for() {
    let s = virtual_time();
    let clock = CheapAndCheerfulClock::new(Duration::from_millis(100)).create();
    let log = Rc::new(RefCell::new(Vec::new()));
    let theirs = log.clone();
    let slow = body(async move |cx| {
        let start = cx.time();
        for _ in 0..4 {
            cx.sleep(Duration::from_millis(250)).await;
            theirs.borrow_mut().push(((cx.time() - start).as_millis(), cx.inbox.drain().count()));
        }
        cx.signal.send(sm()).unwrap();
    });
    slow.inbox.set_bound(1);
    axon::link(clock.outbox.untyped(), &slow.inbox).unwrap();
    axon::link(&slow.signal, &clock.control).unwrap();
    s.activate(&clock);
    s.activate(&slow);
    s.run().unwrap();
    // Each time one waits in the box; another is sent as soon as there is room, and goes before the next is due.
    assert!(log.borrow().iter().all(|(_, n)| *n == 1 || *n == 2), "{log:?}");
}

#[test]
fn u24_a_clock_without_interval_does_not_hold_up_others() {
    let s = virtual_time();
    let clock = CheapAndCheerfulClock::new(Duration::ZERO).create();
    let end = probe_of!(clock);
    s.activate(&clock);
    to_pass(&s, 10);
    assert_eq!(end.inbox.len(), 9);
    clock.control.deliver(sm()).unwrap();
    s.run().unwrap();
}

#[test]
fn u32_chargen_says_hello_world_in_every_step_until_told() {
    for s in schedulers() {
        let c = Chargen::new().create();
        let end = probe_of!(c);
        s.activate(&c);
        to_pass(&s, 11);
        assert_eq!(end.inbox.drain().collect::<Vec<_>>(), ["Hello World"; 10]);
        c.control.deliver(pf()).unwrap();
        s.run().unwrap();
        assert_eq!(kinds(&end), [PF]);
    }
}

#[test]
fn u32_chargen_sleeps_while_its_receiver_is_full() {
    for s in schedulers() {
        let c = Chargen::new().create();
        let end = probe_of!(c);
        end.inbox.set_bound(3);
        s.activate(&c);
        s.run_until_idle().unwrap(); // would not return
        assert_eq!(end.inbox.len(), 3);
        end.inbox.try_recv();
        s.run_until_idle().unwrap();
        assert_eq!(end.inbox.len(), 3);
        c.control.deliver(sm()).unwrap();
        s.run().unwrap();
        assert_eq!(kinds(&end), [SM]);
    }
}

#[test]
fn u32_d23_test_result_fails_on_false_and_on_stop_system() {
    let s = fresh();
    let c = TestResult::new().create();
    (0..100).for_each(|_| c.inbox.deliver(true).unwrap());
    s.activate(&c);
    s.run_until_idle().unwrap(); // it sleeps, or this would not return
    assert!(c.inbox.is_empty() && !c.is_stopped());
    c.inbox.deliver(false).unwrap();
    let e = s.run().unwrap_err().to_string();
    assert!(e.contains("false value") && e.contains(&c.name()), "{e}");

    let c = TestResult::new().create();
    c.control.deliver(Ipc::other("another message")).unwrap();
    s.activate(&c);
    s.run_until_idle().unwrap();
    assert!(!c.is_stopped());
    c.control.deliver(Ipc::other(StopSystem)).unwrap();
    let e = s.run().unwrap_err();
    let cause = std::error::Error::source(&e).unwrap();
    assert_eq!(cause.downcast_ref::<StopSystemException>(), Some(&StopSystemException));

    for message in [pf(), sm()] {
        let c = TestResult::new().create();
        c.inbox.deliver(true).unwrap();
        c.control.deliver(message).unwrap();
        s.activate(&c);
        s.run().unwrap();
    }
}

#[derive(Clone, Default)]
struct Screen(Rc<RefCell<Vec<u8>>>, Rc<RefCell<u32>>);
impl Write for Screen {
    fn write(&mut self, b: &[u8]) -> io::Result<usize> {
        self.0.borrow_mut().extend(b);
        Ok(b.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        *self.1.borrow_mut() += 1;
        Ok(())
    }
}

#[test]
fn u13_an_echoer_forwards_what_it_was_sent_with_its_type_and_flushes() {
    for s in schedulers() {
        let screen = Screen::default();
        let e = ConsoleEchoer::new().to(screen.clone()).tag("<").debug_form().forwarder().create();
        let input = [Message::new(7), Message::from("x"), Message::new((1, 2))];
        let (out, signals, ended) = outcome!(s, e, input, [Ipc::Shutdown, pf()]);
        assert!(out[0].is::<i32>() && out[1].is::<&'static str>() && out[2].is::<(i32, i32)>());
        assert_eq!((signals, ended), (vec!["shutdown", PF], true));
        let shown = String::from_utf8(screen.0.borrow().clone()).unwrap();
        assert!(shown.starts_with("<7<\"x\"<"), "{shown}");
        assert!(*screen.1.borrow() > 0);
    }
}

#[test]
fn u13_an_echoer_waits_for_room_when_it_forwards() {
    let s = fresh();
    let e = ConsoleEchoer::new().to(io::sink()).forwarder().create();
    let end = probe_of!(e);
    end.inbox.set_bound(1);
    (0..3).for_each(|n| e.inbox.deliver(Message::new(n)).unwrap());
    s.activate(&e);
    for n in 0..3 {
        s.run_until_idle().unwrap();
        assert_eq!(end.inbox.try_recv().unwrap().to_string(), n.to_string());
    }
}

#[test]
fn u14_u16_one_shot_and_data_source_wait_for_room() {
    for s in schedulers() {
        let (one, many) = (OneShot::new(0).create(), DataSource::new([1, 2]).create());
        let end = probe::<i32>();
        end.inbox.set_bound(1);
        for c in [one.any(), many.any()] {
            axon::link((&c, "outbox"), (&end, "inbox")).unwrap();
            s.activate(c);
        }
        let mut got = Vec::new();
        for _ in 0..3 {
            s.run_until_idle().unwrap();
            got.extend(end.inbox.try_recv());
        }
        s.run().unwrap();
        got.sort_unstable();
        assert_eq!(got, [0, 1, 2]);
    }
}

/// What it sends is compared with the original's, message by message, in the traces (T17).
#[test]
fn u26_an_introspector_ends_on_shutdown_microprocess_only() {
    let s = fresh();
    let c = axon::introspect::Introspector::new().create();
    let end = probe_of!(c);
    s.activate(&c);
    c.control.deliver(pf()).unwrap();
    let first = s.pass();
    to_pass(&s, first + 5);
    assert!(!c.is_stopped() && !end.inbox.is_empty());
    c.control.deliver(sm()).unwrap();
    s.run().unwrap();
    assert_eq!(kinds(&end), [SM]);
}
