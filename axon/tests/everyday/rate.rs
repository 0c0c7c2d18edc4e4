//! Limits of rate, in virtual time.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use axon::prelude::*;
use axon::util::*;

use crate::common::body;
use crate::probe::*;

const MS: Duration = Duration::from_millis(1);

/// Runs a component that sends to a stopwatch, with a companion that talks to it, and returns what came when.
macro_rules! timed {
    ($s:expr, $c:expr) => {{
        let (watch, log) = stopwatch(&$s);
        axon::link(&$c.outbox, &watch.inbox).unwrap();
        axon::link(&$c.signal, &watch.control).unwrap();
        $s.activate(&$c);
        $s.activate(&watch);
        log
    }};
}

/// Sends `message` to `control` after a time.
fn tell(s: &Scheduler, control: &axon::Inbox<Ipc>, after: u32, message: Ipc) {
    let c = body(async move |cx| {
        cx.sleep(after * MS).await;
        cx.signal.send(message).unwrap();
    });
    axon::link(&c.signal, control).unwrap();
    s.activate(&c);
}

#[test]
fn u30_a_limit_fills_its_buffer_and_sends_at_its_rate() {
    let s = virtual_time();
    let c = MessageRateLimit::typed(10.0).buffer(3).create();
    let log = timed!(s, c);
    let source = body(async |cx| {
        for n in 0..6 {
            cx.outbox.send(Message::new(n)).unwrap();
            cx.sleep(20 * MS).await;
        }
        cx.signal.send(pf()).unwrap();
    });
    axon::link(&source.outbox, c.inbox.untyped()).unwrap();
    axon::link(&source.signal, &c.control).unwrap();
    s.activate(&source);
    s.run().unwrap();
    // One each 1/(1.1 * 10) s from the third on.
    assert_eq!(*log.borrow(), [(40, 0), (131, 1), (222, 2), (313, 3), (404, 4), (495, 5)]);
}

#[test]
fn u30_the_rate_is_a_ceiling() {
    let s = virtual_time();
    let c = MessageRateLimit::typed(10.0).buffer(1).create();
    let log = timed!(s, c);
    let source = body(async |cx| {
        for n in 0..3 {
            cx.outbox.send(Message::new(n)).unwrap();
            cx.sleep(200 * MS).await;
        }
        cx.signal.send(pf()).unwrap();
    });
    axon::link(&source.outbox, c.inbox.untyped()).unwrap();
    axon::link(&source.signal, &c.control).unwrap();
    s.activate(&source);
    s.run().unwrap();
    assert_eq!(*log.borrow(), [(0, 0), (200, 1), (400, 2)], "what comes slower goes out as it comes");
}

#[test]
fn u30_producer_finished_before_the_buffer_is_full_sends_what_there_is() {
    let s = virtual_time();
    let c = MessageRateLimit::typed(10.0).create();
    (0..3).for_each(|n| c.inbox.deliver(n).unwrap());
    let log = timed!(s, c);
    s.run_until_idle().unwrap();
    assert!(log.borrow().is_empty() && !c.is_stopped(), "it waits for 60");
    c.control.deliver(pf()).unwrap();
    s.run().unwrap();
    assert_eq!(*log.borrow(), [(0, 0), (91, 1), (182, 2)]);
}

#[test]
fn u30_shutdown_microprocess_ends_a_limit_at_once_while_it_fills_and_later() {
    for (buffer, sent) in [(5, 0), (1, 2)] {
        let s = virtual_time();
        let c = MessageRateLimit::typed(10.0).buffer(buffer).create();
        (0..4).for_each(|n| c.inbox.deliver(n).unwrap());
        let log = timed!(s, c);
        tell(&s, &c.control, 100, sm());
        let start = s.time();
        s.run().unwrap();
        assert_eq!((log.borrow().len(), s.time() - start), (sent, 100 * MS));
    }
}

#[test]
fn u30_other_control_messages_pass_while_a_limit_fills() {
    let s = virtual_time();
    let c = MessageRateLimit::typed(10.0).buffer(2).create();
    let (out, signals, ended) = outcome!(s, c, [1], [Ipc::Shutdown, Ipc::Status("x".into()), sm()]);
    assert_eq!((out, signals, ended), (vec![], vec!["shutdown", "status", SM], true));
}

#[test]
fn u30_a_hard_limit_bounds_the_inbox_once_the_buffer_was_full() {
    let s = virtual_time();
    let c = MessageRateLimit::typed(0.5).buffer(2).hard_limit(1).create();
    let log = timed!(s, c);
    s.run_until_idle().unwrap();
    assert_eq!(c.inbox.bound(), None);
    let source = body(async |cx| {
        for n in 0..4 {
            cx.outbox.send_wait(Message::new(n)).await.unwrap();
        }
        cx.signal.send(pf()).unwrap();
    });
    axon::link(&source.outbox, c.inbox.untyped()).unwrap();
    axon::link(&source.signal, &c.control).unwrap();
    s.activate(&source);
    s.run().unwrap();
    assert_eq!(c.inbox.bound(), Some(1));
    assert_eq!(*log.borrow(), [(0, 0), (1818, 1), (3636, 2), (5455, 3)]);
    let none = MessageRateLimit::typed(1000.0).buffer(0).hard_limit(0).create();
    let (_, _, ended) = outcome!(s, none, [1], [sm()]);
    assert_eq!((none.inbox.bound(), ended), (None, true), "0 is no limit");
}

#[test]
fn u30_a_rate_that_is_not_above_zero_is_refused() {
    let s = virtual_time();
    for rate in [0.0, -1.0, f64::NAN, 1e-300] {
        s.activate(MessageRateLimit::new(rate));
        assert!(s.run().unwrap_err().to_string().contains("no rate to limit to"), "{rate}");
    }
}

fn requests(s: &Scheduler, rate: ByteRate, for_ms: u32) -> Vec<(u64, usize)> {
    let c = ByteRateRequestControl::new(rate).create();
    let log = timed!(s, c);
    tell(s, &c.control, for_ms, pf());
    s.run().unwrap();
    log.take()
}

/// The original's test_SimpleCase.
#[test]
fn u31_requests_come_at_even_intervals_from_the_start() {
    let got = requests(&virtual_time(), ByteRate::new(100.0).chunk_size(25.0), 1100);
    assert_eq!(got, [(0, 25), (250, 25), (500, 25), (750, 25), (1000, 25)]);
}

/// The original's test_ChunkSizeRounding.
#[test]
#[cfg_attr(miri, ignore)] // an hour, which takes Miri minutes
fn u31_rounding_evens_out() {
    let rate = ByteRate::new(100.0).chunk_rate(3.0);
    let got: Vec<_> = requests(&virtual_time(), rate.aggregates(), 3200).iter().map(|r| r.1).collect();
    assert_eq!(got, [33, 33, 34, 33, 33, 34, 33, 33, 34, 33]);
    let got = requests(&virtual_time(), rate, 1200);
    assert_eq!(got, [(0, 33), (333, 33), (667, 33), (667, 1), (1000, 33)], "no request is above a portion");
    let hour = requests(&virtual_time(), ByteRate::new(1000.0).chunk_rate(7.0), 3_600_050);
    assert_eq!(hour.iter().map(|r| r.1).sum::<usize>(), 3_600_142, "no error adds up in an hour");
}

/// The original's test_DelayCatchupWithAggregation and test_DelayCatchupWithoutAggregation.
#[test]
fn u31_a_control_that_was_held_up_catches_up() {
    for (rate, expected) in [
        (ByteRate::new(100.0).chunk_size(25.0).aggregates(), vec![25, 25, 25, 75]),
        (ByteRate::new(100.0).chunk_size(25.0), vec![25, 25, 25, 25, 25, 25]),
    ] {
        let s = virtual_time();
        let c = ByteRateRequestControl::new(rate).create();
        let got = Rc::new(RefCell::new(Vec::new()));
        let theirs = got.clone();
        let slow = body(async move |cx| {
            cx.sleep(1300 * MS).await;
            for _ in 0..8 {
                theirs.borrow_mut().extend(cx.inbox.drain().map(|m| m.downcast::<usize>().unwrap()));
                cx.sleep(MS).await;
            }
            cx.signal.send(sm()).unwrap();
        });
        // Two fit; the third waits until there is room, and then the rest is due.
        slow.inbox.set_bound(2);
        axon::link(c.outbox.untyped(), &slow.inbox).unwrap();
        axon::link(&slow.signal, &c.control).unwrap();
        s.activate(&c);
        s.activate(&slow);
        s.run().unwrap();
        assert_eq!(*got.borrow(), expected);
    }
}

#[test]
fn u31_the_default_portion_is_a_thousandth_and_at_least_one() {
    // D-28: under Python 3 the original's portion would be 1.5 here.
    let got = requests(&virtual_time(), ByteRate::new(1500.0), 3);
    assert!(got.iter().all(|r| r.1 == 1), "{got:?}");
    assert_eq!(got.len(), 5, "1500 a second for 3 ms, the first at once: {got:?}");
    let got = requests(&virtual_time(), ByteRate::default(), 3);
    assert_eq!(got[..2], [(0, 100), (1, 100)]);
    let got = requests(&virtual_time(), ByteRate::new(2.0), 600);
    assert_eq!(got, [(0, 1), (500, 1)]);
}

#[test]
fn u31_senseless_rates_are_refused() {
    let s = virtual_time();
    let tries = [
        ByteRate::new(0.0),
        ByteRate::new(-5.0),
        ByteRate::new(f64::NAN),
        ByteRate::new(10.0).chunk_rate(20.0),
        ByteRate::new(10.0).chunk_size(0.5),
        ByteRate::new(10.0).chunk_rate(0.0),
    ];
    for rate in tries {
        s.activate(ByteRateRequestControl::new(rate));
        let e = s.run().unwrap_err().to_string();
        assert!(e.contains("items a second"), "{e}");
        s.activate(VariableByteRateRequestControl::new(rate));
        s.run().unwrap_err();
    }
}

#[test]
fn u31_either_message_ends_a_control_at_once_and_is_passed_on() {
    for message in [pf(), sm()] {
        for full in [false, true] {
            let s = virtual_time();
            let kind = message.kind();
            let c = ByteRateRequestControl::new(ByteRate::new(10.0)).create();
            let end = probe_of!(c);
            if full {
                end.inbox.set_bound(0);
            }
            s.activate(&c);
            s.run_until_idle().unwrap();
            c.control.deliver(Ipc::Shutdown).unwrap();
            s.run_until_idle().unwrap();
            assert!(!c.is_stopped());
            c.control.deliver(message.clone()).unwrap();
            s.run_until_idle().unwrap();
            assert_eq!((kinds(&end), c.is_stopped()), (vec![kind], true));
        }
    }
}

/// Changes of rate at given times, in ms.
fn variable(rate: ByteRate, changes: &'static [(u32, f64)], for_ms: u32) -> Vec<(u64, usize)> {
    let s = virtual_time();
    let c = VariableByteRateRequestControl::new(rate).create();
    let log = timed!(s, c);
    let changer = body(async move |cx| {
        let start = cx.time();
        for (at, rate) in changes {
            cx.sleep_until(start + *at * MS).await;
            cx.outbox.send(Message::new(*rate)).unwrap();
        }
    });
    axon::link(&changer.outbox, c.inbox.untyped()).unwrap();
    s.activate(&changer);
    tell(&s, &c.control, for_ms, sm());
    s.run().unwrap();
    log.take()
}

/// The original's test_RateChangeNoChange, test_RateChangeBetweenEmissions, test_MultipleRateChangeBetweenEmissions.
#[test]
fn u31_a_change_of_rate_counts_from_its_moment_without_a_glitch() {
    let same = variable(
        ByteRate::new(100.0).chunk_size(25.0),
        &[(85, 100.0), (105, 100.0), (110, 100.0), (410, 100.0)],
        800,
    );
    assert_eq!(same, [(0, 25), (250, 25), (500, 25), (750, 25)]);
    let doubled = variable(ByteRate::new(100.0).chunk_size(50.0), &[(2250, 200.0)], 2900);
    let at: Vec<_> = doubled.iter().map(|r| r.0).collect();
    assert_eq!(at, [0, 500, 1000, 1500, 2000, 2375, 2625, 2875]);
    assert!(doubled.iter().all(|r| r.1 == 50));
    let briefly = variable(ByteRate::new(10.0).chunk_size(10.0), &[(2150, 20.0), (2400, 10.0)], 4800);
    assert_eq!(briefly, [(0, 10), (1000, 10), (2000, 10), (2750, 10), (3750, 10), (4750, 10)]);
}

#[test]
fn u31_a_rate_of_zero_stops_and_a_senseless_one_is_dropped() {
    let got =
        variable(ByteRate::new(100.0), &[(150, 0.0), (1150, f64::NAN), (1160, -1.0), (2150, 100.0)], 2450);
    assert_eq!(got, [(0, 10), (100, 10), (2200, 10), (2300, 10), (2400, 10)], "ten a second by default");
}

/// Kamaelia/Util/RateFilter.py has a fourth component, which the table of behaviours does not name; D-28 does.
#[test]
fn u31_d28_on_demand_limit_sends_one_for_each_next() {
    for s in schedulers() {
        let c = OnDemandLimit::typed().create();
        let end = probe_of!(c);
        c.slidecontrol.deliver("NEXT".into()).unwrap(); // finds nothing, and is dropped
        s.activate(&c);
        s.run_until_idle().unwrap();
        (0..4).for_each(|n| c.inbox.deliver(n).unwrap());
        s.run_until_idle().unwrap();
        assert!(end.inbox.is_empty() && c.inbox.is_empty());
        ["NEXT", "other", "NEXT"].iter().for_each(|t| c.slidecontrol.deliver((*t).into()).unwrap());
        s.run_until_idle().unwrap();
        assert_eq!(end.inbox.drain().collect::<Vec<_>>(), [0, 1]);
        c.control.deliver(pf()).unwrap();
        s.run().unwrap();
        assert_eq!((end.inbox.len(), kinds(&end)), (0, vec![PF]));
    }
}
