//! Carousel, Seq, Par and the prefab, and chassis in each other (CH-CAR, CH-SEQ, CH-PAR, CH-PREFAB, CH-PIPE, CH-GRAPH).

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use axon::chassis::prefab::join_chooser_to_carousel;
use axon::prelude::*;
use axon::util::{Chooser, DataSource, ForwardIteratingChooser, OneShot, PassThrough};
use axon::{AnyInstance, SchedulerOptions, link};

use crate::common::*;

fn kinds(c: &Instance<Boxes>) -> Vec<&'static str> {
    c.control.drain().map(|m| m.kind()).collect()
}

fn texts(c: &Instance<Boxes>) -> Vec<String> {
    c.inbox.drain().map(|m| m.to_string()).collect()
}

/// A run to the end that fails where a run would wait for ever.
fn finish(s: &Scheduler) {
    idle(s);
    assert!(s.processes().is_empty(), "asleep for ever: {:?}", s.processes());
}

fn idle(s: &Scheduler) {
    s.run_until_idle().unwrap();
}

fn ends_of(c: &AnyInstance) -> Instance<Boxes> {
    let end = sleeper().0;
    link((c, "outbox"), (&end, "inbox")).unwrap();
    link((c, "signal"), (&end, "control")).unwrap();
    end
}

fn pass() -> PassThrough<i32> {
    PassThrough::new()
}

// ---- Carousel ---------------------------------------------------------------------------------------------------

/// CH-CAR-01: without messages it does nothing for ever, and its boxes are there before it runs.
#[test]
fn ch_car_01_a_carousel_has_its_boxes_at_once_and_sleeps() {
    let s = fresh();
    let car = Carousel::new(|n: i32| DataSource::new(0..n)).create();
    assert_eq!(car.any().inboxes(), ["inbox", "control", "next"]);
    assert_eq!(car.any().outboxes(), ["outbox", "signal", "_signal", "requestNext"]);
    s.activate(&car);
    idle(&s);
    assert!(!car.is_runnable() && !car.is_stopped());
    drop(Carousel::new(|n: i32| DataSource::new(0..n)).create()); // and may never run
}

/// CH-CAR-02, 05: a request for which there is no room is kept, and forgotten when it is out of date.
#[test]
fn ch_car_05_a_request_waits_for_room_and_is_dropped_when_something_came() {
    let s = fresh();
    let car = Carousel::new(OneShot::<i32>::new).make_first_request().create();
    let asked = sleeper().0;
    asked.inbox.set_bound(1);
    asked.inbox.deliver("full".into()).unwrap();
    link(car.request_next.untyped(), &asked.inbox).unwrap();
    s.activate(&car);
    idle(&s);
    assert_eq!(texts(&asked), ["full"]);
    idle(&s);
    assert_eq!(texts(&asked), ["NEXT"]);
    asked.inbox.deliver("full".into()).unwrap();
    car.next.deliver(1).unwrap();
    idle(&s); // the request after 1 finds no room
    car.next.deliver(2).unwrap();
    car.control.deliver(Ipc::producer_finished()).unwrap();
    idle(&s);
    assert!(car.is_stopped(), "and does not hold it up");
    assert_eq!(texts(&asked), ["full"]);
}

/// CH-CAR-04, 06, 07: one message to each child, also when it has to wait for room in the child's control.
#[test]
fn ch_car_04_07_a_child_is_told_once_and_a_full_control_is_waited_for() {
    let s = fresh();
    let child = sleeper().0;
    child.control.set_bound(1);
    child.control.deliver(Ipc::Shutdown).unwrap();
    let theirs = child.clone();
    let car = Carousel::new(move |_: i32| theirs.clone()).create();
    let end = ends_of(&car.any());
    car.next.deliver(1).unwrap();
    s.activate(&car);
    idle(&s);
    for message in [Ipc::producer_finished(), Ipc::Status("dropped".into()), Ipc::shutdown_microprocess()] {
        car.control.deliver(message).unwrap();
        idle(&s);
    }
    assert_eq!(kinds(&child), ["shutdown"]);
    idle(&s);
    assert_eq!(kinds(&child), ["shutdownMicroprocess"], "the later, stronger one");
    car.next.deliver(2).unwrap();
    idle(&s);
    assert!(child.control.is_empty() && !car.is_stopped());
    child.stop();
    s.run_until_idle().unwrap();
    assert!(car.is_stopped());
    assert_eq!(kinds(&end), ["shutdownMicroprocess"]);
}

/// CH-CAR-08: data waits for the next child, from the very end of the last one on.
#[test]
fn ch_car_08_data_with_no_child_waits_for_the_next() {
    let s = fresh();
    let children = Rc::new(RefCell::new(Vec::new()));
    let all = children.clone();
    let car = Carousel::new(move |_: i32| {
        let child = sleeper().0;
        all.borrow_mut().push(child.clone());
        child
    })
    .create();
    let send = |n: i32| car.inbox.deliver(Message::new(n)).unwrap();
    s.activate(&car);
    send(1);
    idle(&s);
    assert_eq!(car.inbox.len(), 1);
    car.next.deliver(0).unwrap();
    idle(&s);
    send(2);
    assert_eq!(numbers(&children.borrow()[0]), [1, 2]);
    children.borrow()[0].stop();
    send(3); // nobody has noticed the end yet
    idle(&s);
    send(4);
    car.next.deliver(0).unwrap();
    idle(&s);
    assert_eq!(numbers(&children.borrow()[1]), [3, 4]);
}

/// CH-CAR-03: a factory's component that does not fit ends the carousel, naming both.
#[test]
fn ch_car_03_a_child_that_does_not_fit_is_an_error() {
    let s = fresh();
    let source = OneShot::new("text").create();
    let car = Carousel::new(|_: i32| pass()).create();
    link((&source, "outbox"), (&car, "inbox")).unwrap();
    car.next.deliver(1).unwrap();
    s.activate(&car);
    let e = s.run_until_idle().unwrap_err().to_string();
    for part in [&*source.name(), "&str", "i32"] {
        assert!(e.contains(part), "{part:?} is not in {e}");
    }
    assert!(car.is_stopped() && car.linkages().is_empty());
}

/// CH-PREFAB-01.
#[test]
fn ch_prefab_01_a_chooser_names_what_the_carousel_makes() {
    let s = fresh();
    let join = join_chooser_to_carousel(
        ForwardIteratingChooser::new(1..=3),
        Carousel::new(|n: i32| DataSource::new((0..n).map(move |i| 10 * n + i))),
    )
    .create();
    let end = ends_of(&join.any());
    s.activate(&join);
    finish(&s);
    assert_eq!(numbers(&end), [10, 20, 21, 30, 31, 32]);
    assert_eq!(kinds(&end), ["producerFinished"]);

    // Its inbox is the carousel's, its control the chooser's.
    let s = fresh();
    let join = join_chooser_to_carousel(Chooser::new([5]).looping(), Carousel::new(|_: i32| pass())).create();
    let end = ends_of(&join.any());
    join.inbox.deliver(Message::new(7)).unwrap();
    s.activate(&join);
    idle(&s);
    assert_eq!(numbers(&end), [7]);
    join.control.deliver(Ipc::producer_finished()).unwrap();
    idle(&s);
    assert!(!join.is_stopped(), "a chooser drops it");
    join.control.deliver(Ipc::shutdown_microprocess()).unwrap();
    finish(&s);
    assert_eq!(kinds(&end), ["shutdownMicroprocess"]);
}

// ---- Seq --------------------------------------------------------------------------------------------------------

/// CH-SEQ-01, 02: control is not read; data goes to the one that runs, and what comes between two waits.
#[test]
fn ch_seq_02_a_sequence_does_not_read_control_and_keeps_data_for_the_next() {
    let s = fresh();
    let (a, b) = (sleeper().0, sleeper().0);
    let seq = Seq::new().then(&a).then(&b).create();
    let end = ends_of(&seq.any());
    s.activate(&seq);
    idle(&s);
    seq.control.deliver(Ipc::shutdown_microprocess()).unwrap();
    seq.inbox.deliver(Message::new(1)).unwrap();
    idle(&s);
    assert!(!seq.is_runnable() && !seq.is_stopped() && !s.contains(b.id()));
    assert_eq!((numbers(&a), a.control.len(), seq.control.len()), (vec![1], 0, 1));
    a.signal.send(Ipc::Shutdown).unwrap();
    a.stop();
    seq.inbox.deliver(Message::new(2)).unwrap();
    idle(&s);
    assert_eq!((numbers(&a), numbers(&b)), (vec![], vec![2]));
    b.stop();
    s.run_until_idle().unwrap();
    assert!(seq.is_stopped());
    assert_eq!(kinds(&end), ["producerFinished"], "those of its components are dropped");
}

/// CH-SEQ-01: an empty one ends at once; a writer that fails, or a part that does not fit, ends it as failed.
#[test]
fn ch_seq_01_errors_of_a_sequence_are_its_own() {
    struct Broken;
    impl std::io::Write for Broken {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(std::io::Error::other("broken"))
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let s = fresh();
    let empty = Seq::new().create();
    let end = ends_of(&empty.any());
    s.activate(&empty);
    finish(&s);
    assert_eq!(kinds(&end), ["producerFinished"]);
    s.activate(Seq::new().to(Broken).say("hello"));
    let e = s.run().unwrap_err().to_string();
    assert!(e.contains("hello") && e.contains("broken"), "{e}");
    axon::ports! { struct NoPorts { in {} out {} } }
    struct Bare;
    impl Component for Bare {
        type Ports = NoPorts;
        async fn main(self, _: Cx<NoPorts>) {}
    }
    s.activate(Seq::new().then(Bare));
    assert!(s.run().unwrap_err().to_string().contains("has no outbox \"outbox\""));
}

// ---- Par --------------------------------------------------------------------------------------------------------

/// CH-PAR-01: outboxes of all come out of its own; what comes in is thrown away.
#[test]
fn ch_par_01_all_parts_share_the_outboxes_and_the_inbox_is_thrown_away() {
    let s = fresh();
    let (a, b) = (sleeper().0, sleeper().0);
    let par = Par::new().with(&a).with(&b).create();
    let end = ends_of(&par.any());
    par.inbox.deliver("before".into()).unwrap();
    s.activate(&par);
    idle(&s);
    par.inbox.deliver("after".into()).unwrap();
    idle(&s);
    assert!(par.inbox.is_empty() && a.inbox.is_empty() && b.inbox.is_empty());
    assert!(send(&b, 2) && send(&a, 1));
    b.signal.send(Ipc::Shutdown).unwrap();
    assert_eq!((numbers(&end), kinds(&end)), (vec![2, 1], vec!["shutdown"]));
    a.stop();
    idle(&s);
    assert!(!par.is_stopped());
    b.stop();
    idle(&s);
    assert_eq!(kinds(&end), ["producerFinished"]);
    assert!(par.is_stopped());
}

/// CH-PAR-02, D-23: every control message reaches every part, waiting for room; a `shutdownMicroprocess` ends it at
/// once.
#[test]
fn ch_par_02_control_goes_to_all_and_a_shutdown_microprocess_does_not_wait_for_the_parts() {
    let s = fresh();
    let (a, b) = (sleeper().0, sleeper().0);
    a.control.set_bound(1);
    let par = Par::new().with(&a).with(&b).create();
    let end = ends_of(&par.any());
    s.activate(&par);
    idle(&s);
    par.control.deliver(Ipc::Status("1".into())).unwrap();
    par.control.deliver(Ipc::producer_finished()).unwrap();
    idle(&s);
    assert_eq!(kinds(&b), ["status"], "a has no room for the second");
    assert_eq!(kinds(&a), ["status"]);
    idle(&s);
    assert_eq!((kinds(&a), kinds(&b)), (vec!["producerFinished"], vec!["producerFinished"]));
    par.control.deliver(Ipc::shutdown_microprocess()).unwrap();
    idle(&s);
    assert!(par.is_stopped() && !a.is_stopped());
    assert_eq!(kinds(&end), ["shutdownMicroprocess"]);
    assert_eq!((kinds(&a), kinds(&b)), (vec!["shutdownMicroprocess"], vec!["shutdownMicroprocess"]));
    assert!(send(&a, 1));
    assert!(end.inbox.is_empty() && par.linkages().is_empty());
}

#[test]
fn ch_par_01_an_empty_par_ends_and_one_with_a_part_that_does_not_fit_fails() {
    let s = fresh();
    let par = Par::new().create();
    let end = ends_of(&par.any());
    s.activate(&par);
    finish(&s);
    assert_eq!(kinds(&end), ["producerFinished"]);
    let (par, number) = (Par::new().with(OneShot::new("text")).create(), pass().create());
    link(par.outbox.untyped(), &number.inbox).unwrap();
    s.activate(&par);
    let e = s.run().unwrap_err().to_string();
    assert!(e.contains("&str") && e.contains("i32"), "{e}");
}

// ---- in each other ----------------------------------------------------------------------------------------------

type Wrap = fn(AnyInstance) -> AnyInstance;

fn in_pipeline(c: AnyInstance) -> AnyInstance {
    Pipeline::new().then(c).into()
}

fn in_graphline(c: AnyInstance) -> AnyInstance {
    Graphline::new()
        .node("c", c)
        .link(("", "inbox"), ("c", "inbox"))
        .link(("", "control"), ("c", "control"))
        .link(("c", "outbox"), ("", "outbox"))
        .link(("c", "signal"), ("", "signal"))
        .into()
}

fn in_carousel(c: AnyInstance) -> AnyInstance {
    let car = Carousel::new(move |_: i32| c.clone()).create();
    car.next.deliver(0).unwrap();
    car.any()
}

fn in_seq(c: AnyInstance) -> AnyInstance {
    Seq::new().then(c).into()
}

/// It throws its inbox away, so it can only stand outermost, round a source.
fn in_par(c: AnyInstance) -> AnyInstance {
    Par::new().with(c).into()
}

const WRAPS: [Wrap; 4] = [in_pipeline, in_graphline, in_carousel, in_seq];

/// Every chassis in every other, three deep: data goes through, and a `shutdownMicroprocess` where control is read.
/// The links at both ends are made before anything runs.
#[test]
fn every_chassis_in_every_other_lets_data_and_shutdown_through() {
    let mut tried = 0;
    const CAROUSEL: usize = 2;
    const SEQ: usize = 3;
    let all = 0..WRAPS.len();
    // Every nest takes Miri a second.
    for a in all.clone().skip(if cfg!(miri) { 3 } else { 0 }) {
        for b in all.clone() {
            for c in all.clone() {
                let s = fresh();
                let inner = pass().create();
                let outer = WRAPS[a](WRAPS[b](WRAPS[c](inner.any())));
                let (before, end) = (sleeper().0, ends_of(&outer));
                link((&before, "outbox"), (&outer, "inbox")).unwrap();
                link((&before, "signal"), (&outer, "control")).unwrap();
                assert!(send(&before, 1), "it waits");
                s.activate(&outer);
                s.activate(&before);
                idle(&s);
                assert!(send(&before, 2) && send(&before, 3));
                idle(&s);
                assert_eq!(numbers(&end), [1, 2, 3]);
                before.signal.send(Ipc::shutdown_microprocess()).unwrap();
                idle(&s);
                let wraps = [a, b, c];
                let seq = wraps.iter().position(|w| *w == SEQ);
                let car = wraps.iter().rposition(|w| *w == CAROUSEL);
                if seq.is_some() {
                    assert!(!inner.is_stopped(), "a sequence does not read its control");
                    inner.control.deliver(Ipc::producer_finished()).unwrap();
                    idle(&s);
                }
                assert!(inner.is_stopped());
                if seq.is_some() && seq < car {
                    assert!(
                        !outer.is_stopped(),
                        "a carousel in a sequence is never told, and waits for another child"
                    );
                } else {
                    assert!(outer.is_stopped(), "from the inside out");
                    assert_eq!(kinds(&end).len(), 1);
                }
                tried += 1;
            }
        }
    }
    assert_eq!(tried, if cfg!(miri) { 16 } else { 64 });
}

/// The same with a source inside and Par at each place, in any order of processes.
#[test]
fn sources_in_nested_pars_end_from_the_inside_out_in_any_order() {
    let build = || {
        let source = |from: i32| DataSource::new(from..from + 3);
        Par::new()
            .with(in_pipeline(Par::new().with(source(0)).with(in_seq(source(10).into())).into()))
            .with(in_carousel(in_par(source(20).into())))
            .create()
    };
    for seed in std::iter::once(None).chain((1..if cfg!(miri) { 3 } else { 20 }).map(Some)) {
        Scheduler::set_thread_default(None);
        let s = Scheduler::with_options(SchedulerOptions { shuffle: seed, ..Default::default() });
        let par = build();
        let end = ends_of(&par.any());
        s.activate(&par);
        idle(&s);
        let mut got = numbers(&end);
        // Each source's own order holds.
        for from in [0, 10, 20] {
            let own: Vec<_> = got.iter().copied().filter(|n| (from..from + 10).contains(n)).collect();
            assert_eq!(own, (from..from + 3).collect::<Vec<_>>(), "seed {seed:?}");
        }
        got.sort_unstable();
        assert_eq!(got, [0, 1, 2, 10, 11, 12, 20, 21, 22]);
        assert!(!par.is_stopped(), "the carousel waits for another child");
        par.control.deliver(Ipc::producer_finished()).unwrap();
        s.run_until_idle().unwrap();
        assert!(par.is_stopped(), "seed {seed:?}");
    }
}

/// A message goes straight from end to end, however deep the ends lie: the order holds, it arrives in the same pass,
/// and no chassis round the receiver takes a step. Those round the sender are woken when a message is collected, as
/// every owner of an outbox on its way is (AX-BOX-10; T13 and T20 show it): once a pass at most, not once a message.
#[test]
fn nesting_costs_no_pass_and_no_step_per_message() {
    let nest = |c: AnyInstance, depth| (0..depth).fold(c, |c, n: usize| WRAPS[n % WRAPS.len()](c));
    let run = |round_sender: usize, round_receiver: usize| {
        let s = fresh();
        let log = Rc::new(RefCell::new(Vec::new()));
        let theirs = log.clone();
        let receiver = body(async move |cx| {
            loop {
                for m in cx.inbox.drain() {
                    theirs.borrow_mut().push((cx.pass(), m.downcast::<i32>().unwrap()));
                }
                cx.pause().await;
            }
        });
        let start = Rc::new(Cell::new(0));
        let begun = start.clone();
        let sender = body(async move |cx| {
            while cx.inbox.try_recv().is_none() {
                cx.pause().await;
            }
            begun.set(cx.pass());
            for n in 0..30 {
                cx.outbox.send(Message::new(n)).unwrap();
                if n % 3 == 2 {
                    cx.yield_now().await;
                }
            }
            cx.pause().await;
        });
        let line = Pipeline::new()
            .then(nest(sender.any(), round_sender))
            .then(nest(receiver.any(), round_receiver))
            .create();
        s.activate(&line);
        idle(&s);
        line.inbox.deliver("go".into()).unwrap();
        let mut steps = 0;
        while log.borrow().len() < 30 && s.step().unwrap() {
            steps += 1;
        }
        let passes: Vec<_> = log.borrow().iter().map(|(pass, n)| (pass - start.get(), *n)).collect();
        (passes, steps)
    };
    let (flat, steps) = run(0, 0);
    assert_eq!(flat.iter().map(|(_, n)| *n).collect::<Vec<_>>(), (0..30).collect::<Vec<_>>());
    for depth in [1, 4, 12] {
        assert_eq!(run(0, depth), (flat.clone(), steps), "{depth} round the receiver");
        let (passes, with_wakes) = run(depth, 0);
        assert_eq!(passes, flat, "{depth} round the sender");
        assert!(with_wakes <= steps + 10 * depth, "{with_wakes} steps, not {steps}");
    }
}

/// Dropped before it runs, a graph goes with all that is in it, and leaves no links behind.
#[test]
fn a_nested_graph_that_never_runs_is_dropped_whole() {
    struct Watch(Rc<Cell<u32>>);
    impl Drop for Watch {
        fn drop(&mut self) {
            self.0.set(self.0.get() + 1);
        }
    }
    let gone = Rc::new(Cell::new(0));
    let part = || {
        let watch = Watch(gone.clone());
        body(async move |_| drop(watch)).any()
    };
    let s = fresh();
    let before = sleeper().0;
    {
        let outer = Pipeline::new()
            .then(in_graphline(in_seq(part())))
            .then(in_carousel(part()))
            .then(Par::new().with(part()).with(in_pipeline(part())))
            .create();
        link(&before.outbox, &outer.inbox).unwrap();
        assert!(send(&before, 1));
    }
    assert_eq!(gone.get(), 4);
    assert!(send(&before, 2), "a link to nobody discards");
    s.activate(&before);
    idle(&s);
}

/// Stopping the scheduler in the middle closes everything down.
#[test]
fn a_nested_graph_that_is_stopped_is_closed_down_whole() {
    let s = fresh();
    let inner = pass().create();
    let closed = Rc::new(Cell::new(false));
    let seen = closed.clone();
    inner.on_close_down(move || seen.set(true));
    let outer = in_graphline(in_carousel(in_seq(in_pipeline(inner.any()))));
    s.activate(&outer);
    idle(&s);
    assert!(s.contains(inner.id()));
    s.stop();
    s.run().unwrap();
    assert!(closed.get() && inner.is_stopped() && outer.is_stopped());
    assert!(inner.linkages().is_empty() && outer.linkages().is_empty());
}
