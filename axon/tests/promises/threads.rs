//! Threads in the graph: nothing lost, bells, ends.

use std::sync::mpsc;
use std::time::{Duration, Instant};

use axon::prelude::*;
use axon::threaded::ThreadedStepwise;
use axon::{BoxError, Stepwise, link, ports};

use crate::common::fresh;
use crate::rounds;

ports! {
    pub struct Numbers {
        in  { inbox: u32, control: Ipc }
        out { outbox: u32, signal: Ipc }
    }
}

/// Checks the order of 5,000 numbers, then waits for its control message.
struct Check;
impl Component for Check {
    type Ports = Numbers;
    async fn main(self, cx: Cx<Numbers>) {
        for expected in 0..rounds(5000) as u32 {
            assert_eq!(cx.inbox.recv().await, expected);
            cx.yield_now().await;
        }
        cx.control.recv().await;
        let _ = cx.outbox.send(1);
    }
}

/// AX-THR-04, 11: a thread that sends as much as it can and ends at once: all of it arrives, however long the queues are.
#[test]
fn nothing_is_lost_at_the_end_of_a_thread() {
    for (length, bound) in [(1, None), (3, Some(2)), (1000, None), (1000, Some(1))] {
        let s = fresh();
        let t = threaded::<Numbers, _, _>(|cx| {
            (0..rounds(5000) as u32).for_each(|n| cx.outbox.blocking_send(n).unwrap());
            cx.signal.blocking_send(Ipc::producer_finished()).unwrap();
        });
        let (t, check, end) = (t.queue_lengths(length).create(), Check.create(), Check.create());
        check.inbox.set_bound(bound);
        link(&t.outbox, &check.inbox).unwrap();
        link(&t.signal, &check.control).unwrap();
        link(&check.outbox, &end.inbox).unwrap();
        s.activate(&t);
        s.activate(&check);
        s.run().unwrap();
        assert_eq!(end.inbox.len(), 1, "queues of {length}, bound {bound:?}");
    }
}

/// An event loop of the thread's own blocks in one place only: its bell is replaced by a message to that place.
#[test]
fn a_replaced_bell_rings_for_every_event_and_for_the_one_before() {
    for _ in 0..rounds(20) {
        let s = fresh();
        let t = threaded::<Numbers, _, _>(|cx| {
            let (ring, rung) = mpsc::channel();
            cx.replace_bell(move || ring.send(()).unwrap_or_default());
            let mut seen = 0;
            loop {
                cx.hear();
                for n in cx.inbox.drain() {
                    assert_eq!(n, seen);
                    seen += 1;
                    cx.outbox.blocking_send(n).unwrap();
                }
                if cx.control.try_recv().is_some() {
                    return;
                }
                rung.recv().unwrap(); // the only place in which it blocks
            }
        });
        let t = t.create();
        let feeder = Feeder.create();
        link(&feeder.outbox, &t.inbox).unwrap();
        link(&t.outbox, &feeder.inbox).unwrap();
        link(&feeder.signal, &t.control).unwrap();
        s.activate(&t);
        s.activate(&feeder);
        s.run().unwrap(); // would hang on a lost ring
    }
}

#[test]
fn a_bell_that_is_replaced_after_an_event_rings_at_once() {
    let s = fresh();
    let t = threaded::<Numbers, _, _>(|cx| {
        while cx.inbox.is_empty() {
            std::thread::yield_now();
        }
        cx.sync().unwrap();
        cx.sync().unwrap(); // the event of the first message has been set by now
        let (ring, rung) = mpsc::channel();
        cx.replace_bell(move || ring.send(()).unwrap_or_default());
        assert!(rung.try_recv().is_ok());
        assert!(cx.hear());
        assert!(!cx.hear());
    });
    let t = t.create();
    t.inbox.deliver(1).unwrap();
    s.activate(&t);
    s.run().unwrap();
}

/// Sends a number when the one before has come back.
struct Feeder;
impl Component for Feeder {
    type Ports = Numbers;
    async fn main(self, cx: Cx<Numbers>) {
        for n in 0..if cfg!(miri) { 20 } else { 200 } {
            cx.outbox.send(n).unwrap();
            assert_eq!(cx.inbox.recv().await, n);
        }
        cx.signal.send(Ipc::Shutdown).unwrap();
    }
}

/// AX-THR-07: an event that came earlier ends a pause at once, and with it is gone.
#[test]
fn ax_thr_07_a_pause_ends_with_an_event_or_with_its_time() {
    const TIME: Duration = Duration::from_millis(30);
    let s = fresh();
    let t = threaded::<Numbers, _, _>(|cx| {
        while cx.inbox.is_empty() {
            std::thread::yield_now();
        }
        cx.pause(None); // would hang: that message is the last one
        let start = Instant::now();
        cx.pause(Some(TIME));
        assert!(start.elapsed() >= TIME);
    });
    let t = t.create();
    t.inbox.deliver(1).unwrap();
    s.activate(&t);
    s.run().unwrap();
}

/// Says which of its methods runs.
struct Old(mpsc::Sender<String>, u32);

impl Old {
    fn say(&self, what: &str) {
        let name = std::thread::current().name().unwrap_or_default().to_string();
        self.0.send(format!("{what} in {name}")).unwrap();
    }
}

impl ThreadedStepwise for Old {
    type Ports = Numbers;
    fn initialise(&mut self, _: &ThreadCx<Numbers>) {
        self.say("initialise");
    }
    fn main_body(&mut self, cx: &ThreadCx<Numbers>) -> bool {
        self.say("body");
        self.1 += cx.inbox.recv().unwrap();
        self.1 < 3
    }
    fn close_down(&mut self, cx: &ThreadCx<Numbers>) -> Result<(), BoxError> {
        self.say("close down");
        cx.outbox.send(self.1)?;
        Err("surfaces".into())
    }
}

/// AX-THR-13, and AX-THR-12 for its last method.
#[test]
fn ax_thr_13_the_old_style_works_in_a_thread_without_yields() {
    let s = fresh();
    let (tell, told) = mpsc::channel();
    let (t, end) = (Threaded::new(Stepwise(Old(tell, 0))).queue_lengths(1).create(), Check.create());
    link(&t.outbox, &end.inbox).unwrap();
    assert!(t.name().contains("Old_"), "{t:?}");
    s.activate(&t);
    for _ in 0..3 {
        t.inbox.deliver(1).unwrap();
    }
    let e = s.run().unwrap_err().to_string();
    assert!(e.contains("surfaces") && e.contains(&t.name()), "{e}");
    let calls = ["initialise", "body", "body", "body", "close down"];
    assert!(told.iter().eq(calls.map(|call| format!("{call} in {}", t.name()))));
    assert_eq!(end.inbox.try_recv(), Some(3));
}

/// AX-THR-14; here the thread is told, so that it can end too.
#[test]
fn a_stopped_proxy_closes_its_thread() {
    let s = fresh();
    let (tell, told) = mpsc::channel();
    let t = threaded::<Numbers, _, _>(move |cx| {
        while let Ok(n) = cx.inbox.recv() {
            drop(cx.outbox.send(n));
        }
        tell.send(cx.outbox.send(1).is_err()).unwrap();
    });
    let t = t.create();
    s.activate(&t);
    s.run_until_idle().unwrap();
    t.stop();
    s.run().unwrap();
    assert!(told.recv().unwrap(), "a send after the end is refused");
}

/// AX-THR-02: a thread does not keep the program going.
#[test]
fn a_dropped_scheduler_closes_its_threads() {
    let s = fresh();
    let (tell, told) = mpsc::channel();
    s.activate(threaded::<Numbers, _, _>(move |cx| {
        while cx.inbox.recv().is_ok() {}
        tell.send(()).unwrap();
    }));
    s.run_until_idle().unwrap();
    Scheduler::set_thread_default(None);
    drop(s);
    told.recv().unwrap();
}

/// A thread that has room again says so, however the two sides meet: 300,000 numbers through a short queue.
#[test]
fn a_full_queue_to_a_thread_goes_on_when_there_is_room() {
    for length in [1, 3, 100] {
        let s = fresh();
        let total = if cfg!(miri) { 200 } else { 100_000 * u32::from(length > 1) + 2000 };
        let t = threaded::<Numbers, _, _>(move |cx| {
            for expected in 0..total {
                assert_eq!(cx.inbox.recv(), Ok(expected));
                assert!(cx.inbox.len() <= length);
            }
        });
        let t = t.queue_lengths(length).create();
        (0..total).for_each(|n| t.inbox.deliver(n).unwrap());
        s.activate(&t);
        s.run().unwrap(); // would hang on a lost wake
    }
}
