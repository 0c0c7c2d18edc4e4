//! A component used from ordinary code (AX-HDL-01 to 03, D-42).

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use axon::handle::{GetError, Handle, PutError};
use axon::introspect::Snapshot;
use axon::prelude::*;
use axon::util::{NullSink, PureTransformer};
use axon::{OnFailure, SchedulerHandle, ports};

use crate::rounds;

/// A scheduler in a thread of its own, which ends with its last component.
fn elsewhere() -> (SchedulerHandle, JoinHandle<axon::Result<()>>) {
    let (tell, told) = mpsc::channel();
    let thread = thread::spawn(move || {
        let s = Scheduler::new();
        s.wait_for_one();
        tell.send(s.handle()).unwrap();
        s.run()
    });
    (told.recv().unwrap(), thread)
}

ports! {
    pub struct Numbers {
        in  { inbox: u64, control: Ipc }
        out { outbox: u64, signal: Ipc }
    }
}

struct Scripted<F>(F);
impl<F: AsyncFnOnce(Cx<Numbers>) + 'static> Component for Scripted<F> {
    type Ports = Numbers;
    async fn main(self, cx: Cx<Numbers>) {
        (self.0)(cx).await;
    }
}

fn doubler() -> impl Component<Ports = impl axon::Ports> {
    PureTransformer::new(|n: u64| Some(2 * n))
}

#[test]
fn ax_hdl_02_put_and_get_without_waiting() {
    let (s, thread) = elsewhere();
    let h: Handle<u64, u64> = Handle::new(&s, doubler);
    assert_eq!(h.try_get(), Err(GetError::Empty));
    assert_eq!(h.try_get_signal().unwrap_err(), GetError::Empty);
    h.try_put(4).unwrap();
    h.try_put(5).unwrap();
    h.put_control(Ipc::producer_finished()).unwrap();
    thread.join().unwrap().unwrap();
    assert_eq!([h.try_get(), h.try_get()], [Ok(8), Ok(10)], "what it sent can be got after its end");
    assert!(h.try_get_signal().unwrap().is_producer_finished());
    assert_eq!(h.try_get(), Err(GetError::Ended));
    assert!(h.has_ended() && h.failure().is_none());
    let e = h.try_put(6).unwrap_err();
    assert_eq!(
        (e.to_string(), e.into_message()),
        ("the component has ended or its input was closed".into(), 6)
    );
}

/// AX-HDL-01: the original's component with its boxes and links shows in the graph.
#[test]
fn ax_hdl_01_the_boxes_of_the_original_are_in_the_graph() {
    let (s, thread) = elsewhere();
    let h: Handle<u64, u64> = Handle::new(&s, doubler);
    let (tell, told) = mpsc::channel();
    h.blocking_put(1).unwrap();
    h.blocking_get().unwrap();
    s.activate(move || Scripted(async move |cx: Cx<Numbers>| tell.send(Snapshot::from_within(&cx)).unwrap()))
        .unwrap();
    let shot = told.recv().unwrap();
    let me = shot.components.iter().find(|c| c.name.starts_with("Axon.Handle.Handle_")).unwrap();
    let names = |boxes: Vec<&String>| boxes.into_iter().cloned().collect::<Vec<_>>();
    assert_eq!(names(me.inboxes.iter().map(|b| &b.name).collect()), ["_inbox", "_control"]);
    assert_eq!(names(me.outboxes.iter().map(|b| &b.name).collect()), ["_outbox", "_signal"]);
    let child = shot.component(me.children[0]).unwrap();
    let links: Vec<String> = shot.linkages.iter().map(|l| format!("{}->{}", l.source, l.sink)).collect();
    let (m, c) = (me.id, child.id);
    for wanted in [
        format!("({m}, 'o', '_outbox')->({c}, 'i', 'inbox')"),
        format!("({m}, 'o', '_signal')->({c}, 'i', 'control')"),
        format!("({c}, 'o', 'outbox')->({m}, 'i', '_inbox')"),
        format!("({c}, 'o', 'signal')->({m}, 'i', '_control')"),
    ] {
        assert!(links.contains(&wanted), "{wanted} in {links:?}");
    }
    assert_eq!((me.outboxes[0].sent, me.inboxes[0].received), (1, 1));
    drop(h);
    thread.join().unwrap().unwrap();
}

/// AX-HDL-03, D-42: the original needs 10 ms for each message; here a round trip is a matter of wakes.
#[test]
fn ax_hdl_03_d42_a_message_does_not_wait_for_a_poll() {
    let (s, thread) = elsewhere();
    let h: Handle<u64, u64> = Handle::new(&s, doubler);
    let from = Instant::now();
    for n in 0..rounds(1000) as u64 {
        h.blocking_put(n).unwrap();
        assert_eq!(h.blocking_get(), Ok(2 * n));
    }
    assert!(from.elapsed() < Duration::from_secs(60), "1000 round trips took {:?}", from.elapsed());
    drop(h);
    thread.join().unwrap().unwrap();
}

#[test]
fn ax_hdl_02_getting_with_a_timeout() {
    let (s, thread) = elsewhere();
    let h: Handle<u64, u64> = Handle::new(&s, doubler);
    let from = Instant::now();
    assert_eq!(h.blocking_get_timeout(Duration::from_millis(30)), Err(GetError::Empty));
    assert!(from.elapsed() >= Duration::from_millis(30));
    assert_eq!(h.blocking_get_signal_timeout(Duration::ZERO).unwrap_err(), GetError::Empty);
    h.blocking_put(1).unwrap();
    assert_eq!(h.blocking_get_timeout(Duration::from_secs(60)), Ok(2));
    h.end_input();
    assert_eq!(h.blocking_get_timeout(Duration::from_secs(60)), Err(GetError::Ended));
    assert!(h.blocking_get_signal_timeout(Duration::from_secs(60)).unwrap().is_producer_finished());
    thread.join().unwrap().unwrap();
}

/// D-42: ten times what the queues hold goes through, in order, from a thread that does not look at the answers.
#[test]
fn d42_nothing_is_lost_and_both_sides_wait_for_room() {
    const N: u64 = rounds(5000) as u64;
    for capacity in [1, 2, 7, 500] {
        let (s, thread) = elsewhere();
        let h: Arc<Handle<u64, u64>> = Arc::new(Handle::with_capacity(&s, capacity, doubler));
        let theirs = h.clone();
        let putter = thread::spawn(move || {
            (0..N).for_each(|n| theirs.blocking_put(n).unwrap());
            theirs.end_input();
        });
        for n in 0..N {
            assert_eq!(h.blocking_get(), Ok(2 * n), "capacity {capacity}");
        }
        assert_eq!(h.blocking_get(), Err(GetError::Ended));
        putter.join().unwrap();
        thread.join().unwrap().unwrap();
    }
}

/// A component that sends more than fits waits; nothing piles up while nobody gets.
#[test]
fn d42_a_fast_component_is_held_up_by_a_slow_outside() {
    let (s, thread) = elsewhere();
    let sent = Arc::new(AtomicUsize::new(0));
    let theirs = sent.clone();
    let h: Handle<u64, u64> = Handle::with_capacity(&s, 5, move || {
        Scripted(async move |cx: Cx<Numbers>| {
            for n in 0..100 {
                cx.outbox.send_wait(n).await.unwrap();
                theirs.fetch_add(1, Ordering::SeqCst);
            }
        })
    });
    let at_rest = |s: &SchedulerHandle| {
        let (tell, told) = mpsc::channel();
        // Asked often enough that everything that can run has run.
        for _ in 0..50 {
            let tell = tell.clone();
            s.run(move || tell.send(()).unwrap()).unwrap();
            told.recv().unwrap();
        }
    };
    at_rest(&s);
    assert_eq!(sent.load(Ordering::SeqCst), 10, "five in the handle's inbox, five outside");
    assert_eq!((0..3).map(|_| h.blocking_get().unwrap()).collect::<Vec<_>>(), [0, 1, 2]);
    at_rest(&s);
    assert_eq!(sent.load(Ordering::SeqCst), 13);
    assert_eq!((3..100).map(|_| h.blocking_get().unwrap()).collect::<Vec<_>>(), (3..100).collect::<Vec<_>>());
    thread.join().unwrap().unwrap();
}

#[test]
fn a_full_handle_gives_the_message_back_and_stop_now_overtakes() {
    let (s, thread) = elsewhere();
    let h: Handle<u64, u64> = Handle::with_capacity(&s, 3, || {
        let c = Scripted(async |cx: Cx<Numbers>| {
            // Reads control and nothing else.
            assert!(cx.control.recv().await.is_shutdown_microprocess());
        })
        .create();
        c.inbox.set_bound(1);
        c
    });
    let mut fitted = 0;
    let refused = loop {
        match h.try_put(fitted) {
            Ok(()) => fitted += 1,
            Err(e) if fitted >= 4 => break e,
            Err(_) => thread::yield_now(), // the first is on its way to the component's inbox
        }
    };
    assert!(refused.is_full() && fitted == 4);
    h.put_control(Ipc::producer_finished()).unwrap(); // waits behind the data
    h.put_control(Ipc::shutdown_microprocess()).unwrap();
    thread.join().unwrap().unwrap();
    assert_eq!(h.undelivered(), [1, 2, 3], "the first was in its inbox; the others come back");
}

/// D-42: the original's handle could end with messages still in its queues.
#[test]
fn d42_what_a_component_sent_before_its_end_arrives() {
    for _ in 0..rounds(20) {
        let (s, thread) = elsewhere();
        let h: Handle<u64, u64> = Handle::with_capacity(&s, 2, || {
            Scripted(async |cx: Cx<Numbers>| {
                cx.outbox.send_wait(1).await.unwrap();
                cx.outbox.send_wait(2).await.unwrap();
                cx.signal.send(Ipc::shutdown_microprocess()).unwrap();
                cx.outbox.send_wait(3).await.unwrap();
            })
        });
        thread.join().unwrap().unwrap(); // both have ended without anybody getting anything
        let all: Vec<u64> = std::iter::from_fn(|| h.blocking_get().ok()).collect();
        assert_eq!(all, [1, 2, 3]);
        assert!(h.blocking_get_signal().unwrap().is_shutdown_microprocess());
        assert_eq!(h.blocking_get_signal().unwrap_err(), GetError::Ended);
    }
}

#[test]
fn a_dropped_handle_ends_its_component_in_order() {
    let (s, thread) = elsewhere();
    let (tell, told) = mpsc::channel();
    let h: Handle<u64, u64> = Handle::new(&s, move || {
        Scripted(async move |cx: Cx<Numbers>| {
            loop {
                while let Some(n) = cx.inbox.try_recv() {
                    tell.send(Ok(n)).unwrap();
                    let _ = cx.outbox.send_wait(n).await; // nobody gets it, and it must not wait for ever
                }
                if let Some(end) = cx.control.try_recv() {
                    tell.send(Err(end.kind())).unwrap();
                    return;
                }
                cx.pause().await;
            }
        })
    });
    (0..900).for_each(|n| h.try_put(n).unwrap());
    drop(h);
    thread.join().unwrap().unwrap();
    let all: Vec<_> = told.try_iter().collect();
    assert_eq!(all.len(), 901);
    assert_eq!((all[899], all[900]), (Ok(899), Err("producerFinished")));
}

#[test]
fn a_detached_component_goes_on_without_a_word() {
    let (s, thread) = elsewhere();
    let (tell, told) = mpsc::channel();
    let (free, freed) = mpsc::channel::<()>();
    let h: Handle<u64, u64> = Handle::new(&s, move || {
        Scripted(async move |cx: Cx<Numbers>| {
            tell.send(cx.inbox.recv().await).unwrap();
            while cx.outbox.is_linked() {
                cx.yield_now().await; // until the handle has let go
            }
            freed.recv().unwrap();
            cx.yield_now().await;
            assert!(cx.control.is_empty());
            tell.send(cx.outbox.discarded()).unwrap();
        })
    });
    h.try_put(7).unwrap();
    h.detach();
    assert_eq!(told.recv().unwrap(), 7, "what was put is passed on before");
    free.send(()).unwrap();
    assert_eq!(told.recv().unwrap(), 0);
    thread.join().unwrap().unwrap();
}

#[test]
fn a_component_without_the_four_boxes_or_with_other_types_is_refused_by_name() {
    let (s, thread) = elsewhere();
    ports! { struct Odd { in { inbox: u64, control: Ipc } out { result: u64, signal: Ipc } } }
    struct OddOne;
    impl Component for OddOne {
        type Ports = Odd;
        async fn main(self, _: Cx<Odd>) {}
    }
    let h: Handle<u64, u64> = Handle::new(&s, || OddOne);
    assert_eq!(h.blocking_get(), Err(GetError::Ended));
    assert!(h.failure().unwrap().contains("OddOne") && h.failure().unwrap().contains("no outbox \"outbox\""));
    let h: Handle<String, u64> = Handle::new(&s, doubler);
    assert_eq!(h.blocking_get(), Err(GetError::Ended));
    let why = h.failure().unwrap();
    assert!(why.contains("carries alloc::string::String") && why.contains("takes u64"), "{why}");
    let h: Handle<u64, u64> = Handle::new(&s, || -> axon::AnyInstance { panic!("in the maker") });
    assert_eq!(h.blocking_get(), Err(GetError::Ended));
    assert!(h.failure().is_some());
    s.activate(NullSink::new).unwrap();
    s.stop();
    thread.join().unwrap().unwrap();
}

/// Nobody waits for ever: a failure, a stop and a dropped scheduler all end the handle, and it says why.
#[test]
fn a_failure_a_stop_and_a_dropped_scheduler_end_the_handle() {
    // The run goes on: the handle ends by itself.
    let (tell, told) = mpsc::channel();
    let thread = thread::spawn(move || {
        let s = Scheduler::new();
        s.set_on_failure(OnFailure::GoOn);
        s.wait_for_one();
        tell.send(s.handle()).unwrap();
        s.run()
    });
    let s = told.recv().unwrap();
    let h: Handle<u64, u64> =
        Handle::new(&s, || Scripted(async |cx: Cx<Numbers>| cx.end_with(Err("it broke"))));
    assert_eq!(h.blocking_get(), Err(GetError::Ended));
    assert!(h.failure().unwrap().contains("it broke"), "{h:?}");
    thread.join().unwrap().unwrap();

    // The failure ends the run with the error, and the scheduler is dropped.
    let (s, thread) = elsewhere();
    let h: Handle<u64, u64> = Handle::new(&s, || Scripted(async |_: Cx<Numbers>| panic!("oh")));
    assert_eq!(h.blocking_get(), Err(GetError::Ended));
    assert!(h.failure().unwrap().contains("panicked: oh"), "{h:?}");
    assert!(thread.join().unwrap().is_err());
    let late: Handle<u64, u64> = Handle::new(&s, doubler);
    assert_eq!(late.blocking_put(1), Err(PutError::Ended(1)));
    assert_eq!(late.failure().unwrap(), "the scheduler dropped it before it ran");

    // Stopped from outside.
    let (s, thread) = elsewhere();
    let h: Handle<u64, u64> = Handle::new(&s, doubler);
    h.blocking_put(1).unwrap();
    h.blocking_get().unwrap();
    s.stop();
    assert_eq!(h.blocking_get(), Err(GetError::Ended));
    assert_eq!(h.failure().unwrap(), "it was stopped, or its scheduler ended");
    thread.join().unwrap().unwrap();
}

#[test]
fn several_handles_share_a_scheduler() {
    let (s, thread) = elsewhere();
    let all: Vec<Handle<u64, u64>> =
        (0..10).map(|k| Handle::new(&s, move || PureTransformer::new(move |n: u64| Some(n * k)))).collect();
    for n in 0..rounds(100) as u64 {
        all.iter().for_each(|h| h.blocking_put(n).unwrap());
        for (k, h) in (0..).zip(&all) {
            assert_eq!(h.blocking_get(), Ok(n * k));
        }
    }
    drop(all);
    thread.join().unwrap().unwrap();
}

/// A message of another type at an untyped handle is dropped with a word, and holds nobody up.
#[test]
fn a_message_that_the_component_cannot_take_is_skipped() {
    let (s, thread) = elsewhere();
    let h: Handle<Message, Message> = Handle::new(&s, doubler);
    h.try_put(Message::from("text")).unwrap();
    h.try_put(Message::new(4_u64)).unwrap();
    assert_eq!(h.blocking_get().unwrap().downcast::<u64>().unwrap(), 8);
    drop(h);
    thread.join().unwrap().unwrap();
}

#[test]
fn waiting_threads_are_woken_by_the_end() {
    let (s, thread) = elsewhere();
    let h: Arc<Handle<u64, u64>> = Arc::new(Handle::with_capacity(&s, 1, || {
        let c = Scripted(async |cx: Cx<Numbers>| {
            cx.control.recv().await;
        })
        .create();
        c.inbox.set_bound(1);
        c
    }));
    let waiting: Vec<_> = (0..4)
        .map(|n| {
            let h = h.clone();
            thread::spawn(move || match n % 2 {
                0 => while h.blocking_put(n).is_ok() {},
                _ => assert_eq!(h.blocking_get(), Err(GetError::Ended)),
            })
        })
        .collect();
    h.put_control(Ipc::shutdown_microprocess()).unwrap();
    waiting.into_iter().for_each(|t| t.join().unwrap());
    thread.join().unwrap().unwrap();
}
