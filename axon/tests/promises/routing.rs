//! Components that copy, choose and pass on (U-01 to U-08, U-18, U-19, U-23; D-24, D-25, D-27, D-29).

use std::rc::Rc;

use axon::prelude::*;
use axon::tracker::Tracker;
use axon::util::{
    Backplane, Chooser, ChooserPorts, Configuration, DataSource, Fanout, ForwardIteratingChooser, OneShot,
    PassThrough, Plug, PlugSplitter, PlugSplitterPorts, PublishTo, Splitter, SubscribeTo, TwoWaySplitter,
};
use axon::{SchedulerOptions, link};

use crate::common::*;

type SplitterInstance = Instance<PlugSplitterPorts<i32>>;

fn sink(bound: impl Into<Option<usize>>) -> Instance<Boxes> {
    let c = sleeper().0;
    c.inbox.set_bound(bound);
    c
}

fn kinds(c: &Instance<Boxes>) -> Vec<&'static str> {
    c.control.drain().map(|m| m.kind()).collect()
}

fn add(splitter: &SplitterInstance, sink: &Instance<Boxes>) {
    splitter.configuration.deliver(Configuration::add_sink(sink.reference()).sinkcontrol("control")).unwrap();
}

fn remove(splitter: &SplitterInstance, sink: &Instance<Boxes>) {
    splitter
        .configuration
        .deliver(Configuration::remove_sink(sink.reference()).sinkcontrol("control"))
        .unwrap();
}

/// A run to the end that fails where a run would wait for ever.
fn finish(s: &Scheduler) {
    idle(s);
    assert!(s.processes().is_empty(), "asleep for ever: {:?}", s.processes());
}

fn idle(s: &Scheduler) {
    s.run_until_idle().unwrap();
}

// ---- PlugSplitter, Plug, Splitter -------------------------------------------------------------------------------

#[test]
fn u04_a_splitter_copies_to_its_outbox_and_to_all_sinks_in_the_order_of_adding() {
    let s = fresh();
    let splitter = PlugSplitter::<i32>::new().create();
    let sinks = [sink(None), sink(None), sink(None)];
    link(splitter.outbox.untyped(), &sinks[0].inbox).unwrap();
    link(&splitter.signal, &sinks[0].control).unwrap();
    s.activate(&splitter);
    // Configuration comes before data that was there already.
    splitter.inbox.deliver(1).unwrap();
    add(&splitter, &sinks[1]);
    add(&splitter, &sinks[2]);
    add(&splitter, &sinks[2]); // a second time changes nothing
    idle(&s);
    splitter.inbox.deliver(2).unwrap();
    splitter.control.deliver(Ipc::Status("hm".into())).unwrap();
    idle(&s);
    for end in &sinks {
        assert_eq!((numbers(end), kinds(end)), (vec![1, 2], vec!["status"]));
    }
    assert_eq!(splitter.any().outboxes().len(), 2 + 4);
    remove(&splitter, &sinks[1]);
    remove(&splitter, &sinks[1]); // is nothing
    splitter.inbox.deliver(3).unwrap();
    idle(&s);
    assert_eq!(sinks.each_ref().map(numbers), [vec![3], vec![], vec![3]]);
    assert_eq!(splitter.any().outboxes().len(), 2 + 2, "its boxes went with it");
    assert!(!splitter.is_runnable(), "it sleeps (D-23)");
}

/// The copies arrive in the order of adding: the sinks that sleep are woken in it.
#[test]
fn u04_sinks_are_served_in_the_order_of_adding() {
    let s = fresh();
    let splitter = PlugSplitter::<i32>::new().create();
    let log = Rc::new(std::cell::RefCell::new(Vec::new()));
    let sinks = [3, 1, 2].map(|n| {
        let log = log.clone();
        body(async move |cx| {
            loop {
                cx.inbox.drain().for_each(|_| log.borrow_mut().push(n));
                cx.pause().await;
            }
        })
    });
    s.activate(&splitter);
    // Activated in another order than added.
    for at in [1, 2, 0] {
        s.activate(&sinks[at]);
    }
    sinks.iter().for_each(|c| add(&splitter, c));
    idle(&s);
    splitter.inbox.deliver(0).unwrap();
    idle(&s);
    assert_eq!(*log.borrow(), [3, 1, 2]);
}

#[test]
fn u04_a_sink_may_name_its_boxes() {
    let s = fresh();
    let splitter = PlugSplitter::<i32>::new().create();
    let (a, b) = (sink(None), SplitterInstance::clone(&PlugSplitter::new().create()));
    s.activate(&splitter);
    let to = |request| splitter.configuration.deliver(request).unwrap();
    to(Configuration::add_sink(a.reference()).sinkbox(None).sinkcontrol("control"));
    to(Configuration::add_sink(b.reference()).sinkbox(Some("_inbox")));
    // Refused: no such box, and another type. The others are served all the same.
    to(Configuration::add_sink(a.reference()).sinkbox(Some("nothing")));
    to(Configuration::add_sink(b.reference()).sinkbox(Some("configuration")));
    splitter.inbox.deliver(5).unwrap();
    splitter.control.deliver(Ipc::Shutdown).unwrap();
    idle(&s);
    assert_eq!((numbers(&a), kinds(&a)), (vec![], vec!["shutdown"]));
    assert_eq!((b._inbox.try_recv(), b.control.len()), (Some(5), 0));
    assert_eq!(splitter.any().outboxes().len(), 2 + 2);
}

/// The original's run dies here, or leaves boxes behind.
#[test]
fn u04_d29_a_splitter_ends_after_copying_the_end_and_unlinks_its_sinks() {
    for message in [Ipc::producer_finished(), Ipc::shutdown_microprocess()] {
        let s = fresh();
        let splitter = PlugSplitter::<i32>::new().create();
        let sinks = [sink(None), sink(None)];
        sinks.iter().for_each(|c| add(&splitter, c));
        splitter.inbox.deliver(1).unwrap();
        splitter.control.deliver(message.clone()).unwrap();
        s.activate(&splitter);
        idle(&s);
        assert!(splitter.is_stopped());
        assert_eq!(splitter.any().outboxes(), ["outbox", "signal"]);
        assert!(splitter.linkages().is_empty());
        for end in &sinks {
            assert_eq!((numbers(end), kinds(end)), (vec![1], vec![message.kind()]));
        }
    }
}

#[test]
fn u04_d24_a_full_sink_loses_nothing_and_holds_up_the_next_message_only() {
    for seed in std::iter::once(None).chain((1..20).map(Some)) {
        Scheduler::set_thread_default(None);
        let s = Scheduler::with_options(SchedulerOptions { shuffle: seed, ..Default::default() });
        let splitter = PlugSplitter::<i32>::new().create();
        let (full, free) = (sink(1), sink(None));
        [&full, &free].iter().for_each(|c| add(&splitter, c));
        (1..=4).for_each(|n| splitter.inbox.deliver(n).unwrap());
        splitter.control.deliver(Ipc::producer_finished()).unwrap();
        s.activate(&splitter);
        idle(&s);
        assert_eq!((full.inbox.len(), free.inbox.len()), (1, 2), "2 is owed to the full one");
        assert!(free.control.is_empty(), "the end waits for the data");
        let mut got = Vec::new();
        while got.len() < 4 {
            got.extend(numbers(&full)); // wakes the splitter
            idle(&s);
        }
        assert_eq!((got, numbers(&free)), (vec![1, 2, 3, 4], vec![1, 2, 3, 4]));
        assert_eq!((kinds(&full), kinds(&free)), (vec!["producerFinished"], vec!["producerFinished"]));
        assert!(splitter.is_stopped());
    }
}

#[test]
fn u04_d24_a_full_sink_can_leave_and_does_not_delay_a_shutdown_microprocess() {
    let s = fresh();
    let splitter = PlugSplitter::<i32>::new().create();
    let (full, ends, free) = (sink(1), sink(1), sink(None));
    [&full, &ends, &free].iter().for_each(|c| add(&splitter, c));
    s.activate(&splitter);
    s.activate(&ends);
    (1..=3).for_each(|n| splitter.inbox.deliver(n).unwrap());
    idle(&s);
    assert_eq!(free.inbox.len(), 2);
    remove(&splitter, &full);
    idle(&s);
    assert_eq!(free.inbox.len(), 2, "the other one is full still");
    ends.stop(); // without a word to the splitter
    idle(&s);
    assert_eq!(numbers(&free), [1, 2, 3]);
    assert_eq!(splitter.any().outboxes().len(), 2 + 2);

    free.inbox.set_bound(1);
    (4..=6).for_each(|n| splitter.inbox.deliver(n).unwrap());
    splitter.control.deliver(Ipc::producer_finished()).unwrap();
    idle(&s);
    assert!(!splitter.is_stopped());
    splitter.control.deliver(Ipc::shutdown_microprocess()).unwrap();
    idle(&s);
    assert!(splitter.is_stopped());
    assert_eq!(kinds(&free), ["shutdownMicroprocess"]);
}

#[test]
fn u04_with_a_source_it_ends_with_it_after_all_that_it_sent() {
    let s = fresh();
    let splitter = PlugSplitter::<i32>::with_source(PassThrough::<i32>::new()).create();
    let (a, own) = (sink(2), sink(None));
    add(&splitter, &a);
    link(splitter.outbox.untyped(), &own.inbox).unwrap();
    link(&splitter.signal, &own.control).unwrap();
    splitter.inbox.deliver(1).unwrap(); // goes to the source
    s.activate(&splitter);
    idle(&s);
    assert!(!splitter.is_runnable(), "the original never sleeps with a source (D-23)");
    (2..=4).for_each(|n| splitter.inbox.deliver(n).unwrap());
    splitter.control.deliver(Ipc::producer_finished()).unwrap();
    idle(&s);
    assert!(splitter.children()[0].is_stopped() && !splitter.is_stopped(), "a copy is owed");
    let mut got = numbers(&a);
    s.run_until_idle().unwrap();
    got.extend(numbers(&a));
    assert_eq!((got, numbers(&own)), (vec![1, 2, 3, 4], vec![1, 2, 3, 4]));
    assert_eq!((kinds(&a), kinds(&own)), (vec!["producerFinished"], vec!["producerFinished"]));
    idle(&s);
    assert!(splitter.is_stopped());
    // Another type of source is found before anything runs.
    s.activate(PlugSplitter::<i32>::with_source(OneShot::new("text")));
    assert!(s.run().unwrap_err().to_string().contains("i32"));
}

#[test]
fn u05_a_plug_runs_its_component_as_a_sink_and_leaves_with_it() {
    let s = fresh();
    let splitter = PlugSplitter::<i32>::new().create();
    let inner = PassThrough::<i32>::new().create();
    let plug = Plug::<i32>::new(&splitter, &inner).create();
    let end = sink(None);
    link(&plug.outbox, &end.inbox).unwrap();
    link(&plug.signal, &end.control).unwrap();
    s.activate(&splitter);
    s.activate(&plug);
    idle(&s);
    splitter.inbox.deliver(1).unwrap();
    plug.inbox.deliver(2).unwrap(); // its own boxes work as well
    splitter.control.deliver(Ipc::Status("x".into())).unwrap();
    idle(&s);
    assert_eq!((numbers(&end), kinds(&end)), (vec![2, 1], vec!["status"]));
    plug.control.deliver(Ipc::producer_finished()).unwrap();
    idle(&s);
    assert!(plug.is_stopped() && inner.is_stopped() && !splitter.is_stopped());
    assert_eq!(splitter.any().outboxes().len(), 2, "it deregistered");
    assert_eq!(kinds(&end), ["producerFinished"]);

    // The end of the splitter ends the plugged.
    let plug = Plug::<i32>::new(&splitter, PassThrough::<i32>::new()).create();
    s.activate(&plug);
    idle(&s);
    splitter.control.deliver(Ipc::shutdown_microprocess()).unwrap();
    idle(&s);
    assert!(plug.is_stopped() && splitter.is_stopped());

    // One that comes too late is told so.
    let late = Plug::<i32>::new(&splitter, PassThrough::<i32>::new()).create();
    link(&late.signal, &end.control).unwrap();
    s.activate(&late);
    idle(&s);
    assert!(late.is_stopped());
    assert_eq!(kinds(&end), ["producerFinished"]);
}

/// In the original a plug whose request comes while the splitter ends is never told.
#[test]
fn u05_a_plug_is_told_of_the_splitter_s_end_whenever_it_comes() {
    for with_source in [false, true] {
        for passes in 1..12 {
            let s = fresh();
            let splitter = if with_source {
                PlugSplitter::<i32>::with_source(PassThrough::<i32>::new()).create()
            } else {
                PlugSplitter::<i32>::new().create()
            };
            s.activate(&splitter);
            splitter.control.deliver(Ipc::producer_finished()).unwrap();
            to_pass(&s, passes);
            let plug = Plug::<i32>::new(&splitter, PassThrough::<i32>::new()).create();
            s.activate(&plug);
            idle(&s);
            assert!(plug.is_stopped(), "made in pass {passes}, with a source: {with_source}");
        }
    }
    // And of an end without a word: its source says nothing, or it is stopped.
    let s = fresh();
    let splitter = PlugSplitter::<i32>::with_source(plain()).create();
    let plug = Plug::<i32>::new(&splitter, PassThrough::<i32>::new()).create();
    s.activate(&splitter);
    s.activate(&plug);
    idle(&s);
    assert!(splitter.is_stopped() && plug.is_stopped());
    let splitter = PlugSplitter::<i32>::new().create();
    let plug = Plug::<i32>::new(&splitter, PassThrough::<i32>::new()).create();
    s.activate(&splitter);
    s.activate(&plug);
    idle(&s);
    splitter.stop();
    idle(&s);
    assert!(plug.is_stopped());
}

#[test]
fn u05_a_plug_for_other_messages_fails_and_the_splitter_goes_on() {
    let s = fresh();
    let splitter = PlugSplitter::<i32>::new().create();
    s.activate(&splitter);
    let wrong = Plug::<String>::new(&splitter, PassThrough::<String>::new()).create();
    s.activate(&wrong);
    let e = s.run_until_idle().unwrap_err().to_string();
    for part in [&*wrong.name(), &*splitter.name(), "i32", "String"] {
        assert!(e.contains(part), "{part:?} is not in {e}");
    }
    idle(&s);
    assert!(!splitter.is_stopped());
}

#[test]
fn u06_d24_the_old_splitter_is_a_plug_splitter() {
    let s = fresh();
    let splitter = Splitter::<i32>::new().create();
    let end = sink(None);
    add(&splitter, &end);
    splitter.inbox.deliver(7).unwrap();
    splitter.control.deliver(Ipc::producer_finished()).unwrap();
    s.activate(&splitter);
    finish(&s);
    assert_eq!(numbers(&end), [7]);
}

// ---- TwoWaySplitter, Fanout -------------------------------------------------------------------------------------

#[test]
fn u07_a_two_way_splitter_retries_for_a_full_receiver_and_ends_when_drained() {
    let s = fresh();
    let t = TwoWaySplitter::<i32>::new().create();
    let (a, b) = (sink(1), sink(None));
    link(t.outbox.untyped(), &a.inbox).unwrap();
    link(t.outbox2.untyped(), &b.inbox).unwrap();
    link(&t.signal, &a.control).unwrap();
    link(&t.signal2, &b.control).unwrap();
    (1..=3).for_each(|n| t.inbox.deliver(n).unwrap());
    t.control.deliver(Ipc::Status("dropped".into())).unwrap();
    t.control.deliver(Ipc::producer_finished()).unwrap();
    s.activate(&t);
    idle(&s);
    assert_eq!((a.inbox.len(), b.inbox.len()), (1, 2));
    let mut got = Vec::new();
    while got.len() < 3 {
        got.extend(numbers(&a));
        idle(&s);
    }
    assert_eq!((got, numbers(&b)), (vec![1, 2, 3], vec![1, 2, 3]));
    assert_eq!((kinds(&a), kinds(&b)), (vec!["producerFinished"], vec!["producerFinished"]));
    assert!(t.is_stopped());
}

#[test]
fn u07_u08_a_shutdown_microprocess_does_not_wait_for_a_full_receiver() {
    let s = fresh();
    let (two, fan) = (TwoWaySplitter::<i32>::new().create(), Fanout::<i32>::new(["a", "b"]).create());
    let full = [sink(1), sink(1)];
    let (end, end2) = (sink(None), sink(None));
    link(two.outbox.untyped(), &full[0].inbox).unwrap();
    link((&fan, "a"), (&full[1], "inbox")).unwrap();
    link(&two.signal, &end.control).unwrap();
    link(&two.signal2, &end.control).unwrap();
    link(&fan.signal, &end2.control).unwrap();
    for n in 1..=3 {
        two.inbox.deliver(n).unwrap();
        fan.inbox.deliver(n).unwrap();
    }
    for c in [two.any(), fan.any()] {
        s.activate(c);
    }
    for message in [Ipc::producer_finished(), Ipc::shutdown_microprocess()] {
        idle(&s);
        assert!(!two.is_stopped() && !fan.is_stopped());
        two.control.deliver(message.clone()).unwrap();
        fan.control.deliver(message).unwrap();
    }
    finish(&s);
    assert_eq!(kinds(&end), ["shutdownMicroprocess"; 2]);
    assert_eq!(kinds(&end2), ["shutdownMicroprocess"]);
}

// ---- Chooser ----------------------------------------------------------------------------------------------------

fn ask(
    s: &Scheduler,
    c: &Instance<ChooserPorts<i32>>,
    end: &Instance<Boxes>,
    requests: &[&'static str],
) -> Vec<i32> {
    requests.iter().for_each(|r| c.inbox.deliver((*r).into()).unwrap());
    idle(s);
    numbers(end)
}

fn chooser<C: Component<Ports = ChooserPorts<i32>>>(
    component: C,
) -> (Scheduler, Instance<ChooserPorts<i32>>, Instance<Boxes>) {
    let s = fresh();
    let c = component.create();
    let end = sink(None);
    link(c.outbox.untyped(), &end.inbox).unwrap();
    link(&c.signal, &end.control).unwrap();
    s.activate(&c);
    (s, c, end)
}

#[test]
fn u18_a_chooser_sends_its_first_item_and_moves_as_it_is_told() {
    let (s, c, end) = chooser(Chooser::new([1, 2, 3]));
    assert_eq!(ask(&s, &c, &end, &[]), [1]);
    assert_eq!(ask(&s, &c, &end, &["SAME", "NEXT", "NEXT", "PREV", "FIRST", "LAST"]), [1, 2, 3, 2, 1, 3]);
    c.inbox.deliver(Message::new("PREV".to_string())).unwrap(); // any kind of text
    c.inbox.deliver(Message::new(5)).unwrap(); // as SAME
    assert_eq!(ask(&s, &c, &end, &[]), [2, 2]);
    assert!(!c.is_runnable());
}

#[test]
fn u18_chooser_next_at_the_end_stays_and_prev_at_the_start_resends() {
    let (s, c, end) = chooser(Chooser::new([1, 2]));
    assert_eq!(ask(&s, &c, &end, &["PREV", "NEXT", "NEXT", "SAME", "NEXT"]), [1, 1, 2, 2]);
    let (s, c, end) = chooser(Chooser::new([]));
    assert_eq!(ask(&s, &c, &end, &["SAME", "NEXT", "PREV", "FIRST", "LAST"]), []);
}

#[test]
fn u18_d27_a_looping_chooser_goes_round_both_ways() {
    let (s, c, end) = chooser(Chooser::new([1, 2, 3]).looping());
    assert_eq!(ask(&s, &c, &end, &["PREV", "NEXT", "NEXT", "NEXT", "NEXT"]), [1, 3, 1, 2, 3, 1]);
    let (s, c, end) = chooser(Chooser::new([]).looping());
    assert_eq!(ask(&s, &c, &end, &["NEXT", "PREV"]), []);
}

#[test]
fn u18_u19_choosers_end_on_shutdown_microprocess_only_even_when_blocked() {
    let (s, c, end) = chooser(Chooser::new([1, 2]));
    let (s2, f, end2) = chooser(ForwardIteratingChooser::new(1..));
    for (s, c, end) in [(s, c, end), (s2, f, end2)] {
        end.inbox.set_bound(1);
        c.control.deliver(Ipc::producer_finished()).unwrap();
        c.inbox.deliver("NEXT".into()).unwrap();
        idle(&s);
        assert!(!c.is_stopped());
        assert_eq!(numbers(&end), [1], "the second item waits");
        idle(&s);
        assert_eq!(numbers(&end), [2]);
        ["SAME", "SAME"].iter().for_each(|r| c.inbox.deliver((*r).into()).unwrap());
        idle(&s);
        c.control.deliver(Ipc::shutdown_microprocess()).unwrap();
        finish(&s);
        assert_eq!(kinds(&end), ["shutdownMicroprocess"]);
    }
}

#[test]
fn u19_a_forward_chooser_steps_until_its_items_are_over() {
    let (s, c, end) = chooser(ForwardIteratingChooser::new(1..=3));
    assert_eq!(ask(&s, &c, &end, &["SAME", "NEXT", "PREV", "NEXT"]), [1, 1, 2, 3]);
    assert!(!c.is_stopped());
    assert_eq!(ask(&s, &c, &end, &["NEXT"]), []);
    assert_eq!(kinds(&end), ["producerFinished"]);
    assert!(c.is_stopped());
    let (s, c, end) = chooser(ForwardIteratingChooser::new(0..0));
    assert_eq!(ask(&s, &c, &end, &["SAME"]), []);
    assert!(!c.is_stopped());
    assert_eq!(ask(&s, &c, &end, &["NEXT"]), []);
    assert!(c.is_stopped());
}

// ---- PassThrough ------------------------------------------------------------------------------------------------

#[test]
fn u23_a_pass_through_passes_everything_on_and_ends_as_it_was_told() {
    let s = fresh();
    let both = PassThrough::<i32>::new().create();
    let one = PassThrough::<i32>::new().shutdown_on(Ipc::is_shutdown_microprocess).create();
    let ends = [sink(1), sink(1)];
    for (p, end) in [&both, &one].into_iter().zip(&ends) {
        link(p.outbox.untyped(), &end.inbox).unwrap();
        link(&p.signal, &end.control).unwrap();
        (1..=2).for_each(|n| p.inbox.deliver(n).unwrap());
        p.control.deliver(Ipc::Shutdown).unwrap();
        p.control.deliver(Ipc::producer_finished()).unwrap();
        s.activate(p);
    }
    idle(&s);
    assert_eq!(kinds(&ends[0]), ["shutdown"], "the end waits for the data");
    assert_eq!(kinds(&ends[1]), ["shutdown", "producerFinished"], "it is no end");
    for end in &ends {
        let mut got = numbers(end);
        idle(&s);
        got.extend(numbers(end));
        assert_eq!(got, [1, 2]);
    }
    idle(&s);
    assert!(both.is_stopped() && !one.is_stopped());
    assert_eq!(kinds(&ends[0]), ["producerFinished"]);
    (3..=5).for_each(|n| one.inbox.deliver(n).unwrap());
    one.control.deliver(Ipc::shutdown_microprocess()).unwrap();
    finish(&s);
    assert_eq!((kinds(&ends[1]), numbers(&ends[1])), (vec!["shutdownMicroprocess"], vec![3]));
}

// ---- Backplane --------------------------------------------------------------------------------------------------

fn zapped() -> Scheduler {
    Tracker::shared().zap();
    fresh()
}

#[test]
fn u01_a_backplane_registers_at_construction_and_refuses_a_second_one_of_its_name() {
    let s = zapped();
    let first = Backplane::<i32>::new("N").unwrap();
    assert_eq!(Tracker::shared().services(), ["Backplane_I_N", "Backplane_O_N"]);
    let e = Backplane::<i32>::new("N").err().unwrap();
    assert!(e.to_string().contains("Backplane_I_N"), "{e}");
    let other = Backplane::<String>::new("M").unwrap();
    assert_eq!(Tracker::shared().services().len(), 4);
    drop(other); // never ran
    let first = first.create();
    s.activate(&first);
    idle(&s);
    assert_eq!(Tracker::shared().services(), ["Backplane_I_N", "Backplane_O_N"]);
    let end = sink(None);
    link(&first.signal, &end.control).unwrap();
    first.control.deliver(Ipc::shutdown_microprocess()).unwrap();
    finish(&s);
    assert_eq!(kinds(&end), ["shutdownMicroprocess"]);
    assert!(Tracker::shared().services().is_empty());
    // Half of the name is taken: nothing of the other half stays.
    Tracker::shared().register_service("Backplane_O_N", plain(), "inbox").unwrap();
    assert!(Backplane::<i32>::new("N").is_err());
    assert_eq!(Tracker::shared().services(), ["Backplane_O_N"]);
    // A stopped one deregisters too, but not what somebody else registered since.
    let third = Backplane::<i32>::new("K").unwrap().create();
    s.activate(&third);
    idle(&s);
    Tracker::shared().zap();
    let fourth = Backplane::<i32>::new("K").unwrap();
    third.stop();
    idle(&s);
    assert_eq!(Tracker::shared().services().len(), 2);
    drop(fourth);
    assert!(Tracker::shared().services().is_empty());
}

#[test]
fn u01_a_backplane_lives_in_a_tracker_of_its_own_if_asked() {
    let s = zapped();
    let tracker = Tracker::new();
    let plane = Backplane::<i32>::in_tracker(&tracker, "N").unwrap().create();
    let (p, sub, end) =
        (PublishTo::<i32>::new("N").create(), SubscribeTo::<i32>::new("N").create(), sink(None));
    p.set_tracker(tracker.clone());
    sub.set_tracker(tracker.clone());
    link(sub.outbox.untyped(), &end.inbox).unwrap();
    for c in [plane.any(), p.any(), sub.any()] {
        s.activate(c);
    }
    idle(&s);
    p.inbox.deliver(3).unwrap();
    idle(&s);
    assert_eq!(numbers(&end), [3]);
    assert!(Tracker::shared().services().is_empty() || Rc::ptr_eq(&Tracker::shared(), &tracker));
}

#[test]
fn u02_u03_without_a_backplane_publishers_and_subscribers_fail_and_name_it() {
    let s = zapped();
    s.activate(PublishTo::<i32>::new("none"));
    assert!(s.run().unwrap_err().to_string().contains("Backplane_I_none"));
    s.activate(SubscribeTo::<i32>::new("none"));
    assert!(s.run().unwrap_err().to_string().contains("Backplane_O_none"));
    // Another type of message.
    let plane = Backplane::<i32>::new("numbers").unwrap().create();
    s.activate(&plane);
    s.activate(PublishTo::<String>::new("numbers"));
    assert!(s.run_until_idle().unwrap_err().to_string().contains("String"));
    s.activate(SubscribeTo::<String>::new("numbers"));
    assert!(s.run_until_idle().unwrap_err().to_string().contains("String"));
    idle(&s);
    assert!(!plane.is_stopped());
}

#[test]
fn u02_a_publisher_forwards_if_asked_and_its_end_leaves_the_backplane_alone() {
    let s = zapped();
    let plane = Backplane::<i32>::new("N").unwrap().create();
    let (forwards, silent) =
        (PublishTo::<i32>::new("N").forwarder().create(), PublishTo::<i32>::new("N").create());
    let (sub, end) = (SubscribeTo::<i32>::new("N").create(), sink(None));
    link(sub.outbox.untyped(), &end.inbox).unwrap();
    link(&sub.signal, &end.control).unwrap();
    let afters = [sink(1), sink(1)];
    for c in [plane.any(), sub.any(), forwards.any(), silent.any()] {
        s.activate(c);
    }
    for (p, after) in [&forwards, &silent].into_iter().zip(&afters) {
        link(p.outbox.untyped(), &after.inbox).unwrap();
        link(&p.signal, &after.control).unwrap();
    }
    idle(&s);
    for p in [&forwards, &silent] {
        (1..=3).for_each(|n| p.inbox.deliver(n).unwrap());
        p.control.deliver(Ipc::Shutdown).unwrap();
        p.control.deliver(Ipc::producer_finished()).unwrap();
    }
    idle(&s);
    assert_eq!(kinds(&afters[1]), ["shutdown", "producerFinished"]);
    assert!(silent.is_stopped() && afters[1].inbox.is_empty());
    assert_eq!(kinds(&afters[0]), ["shutdown"], "its end waits for room");
    let mut got = Vec::new();
    while got.len() < 3 {
        got.extend(numbers(&afters[0]));
        idle(&s);
    }
    assert_eq!((got, kinds(&afters[0])), (vec![1, 2, 3], vec!["producerFinished"]));
    assert!(forwards.is_stopped() && !plane.is_stopped() && !sub.is_stopped());
    let mut published = numbers(&end);
    published.sort_unstable();
    assert_eq!(published, [1, 1, 2, 2, 3, 3]);
    assert!(end.control.is_empty());
}

#[test]
fn u03_a_subscriber_copies_its_inbox_and_ends_alone_or_with_the_backplane() {
    let s = zapped();
    let plane = Backplane::<i32>::new("N").unwrap().create();
    let subs = [SubscribeTo::<i32>::new("N").create(), SubscribeTo::<i32>::new("N").create()];
    let ends = [sink(None), sink(None)];
    s.activate(&plane);
    for (sub, end) in subs.iter().zip(&ends) {
        link(sub.outbox.untyped(), &end.inbox).unwrap();
        link(&sub.signal, &end.control).unwrap();
        s.activate(sub);
    }
    let publisher = PublishTo::<i32>::new("N").create();
    publisher.inbox.deliver(1).unwrap(); // waits until it runs
    s.activate(&publisher);
    idle(&s);
    subs[0].inbox.deliver(9).unwrap();
    idle(&s);
    assert_eq!((numbers(&ends[0]), numbers(&ends[1])), (vec![1, 9], vec![1]));
    subs[0].control.deliver(Ipc::producer_finished()).unwrap();
    idle(&s);
    assert!(subs[0].is_stopped());
    assert_eq!(kinds(&ends[0]), ["producerFinished"]);
    publisher.inbox.deliver(2).unwrap();
    idle(&s);
    assert_eq!((numbers(&ends[0]), numbers(&ends[1])), (vec![], vec![2]));
    plane.control.deliver(Ipc::shutdown_microprocess()).unwrap();
    idle(&s);
    assert!(subs[1].is_stopped() && plane.is_stopped() && !publisher.is_stopped());
    assert_eq!(kinds(&ends[1]), ["shutdownMicroprocess"]);
}

/// A subscriber whose receiver is full holds nothing back for ever: when it ends the others go on.
#[test]
fn u03_d24_a_slow_subscriber_loses_nothing_and_frees_the_others_when_it_leaves() {
    let s = zapped();
    s.activate(Backplane::<i32>::new("N").unwrap());
    let (slow, quick) = (SubscribeTo::<i32>::new("N").create(), SubscribeTo::<i32>::new("N").create());
    let (slow_end, quick_end) = (sink(1), sink(None));
    link(slow.outbox.untyped(), &slow_end.inbox).unwrap();
    link(quick.outbox.untyped(), &quick_end.inbox).unwrap();
    s.activate(&slow);
    s.activate(&quick);
    s.activate(Pipeline::new().then(DataSource::new(0..100)).then(PublishTo::<i32>::new("N")));
    idle(&s);
    let mut got = Vec::new();
    while got.len() < 50 {
        got.extend(numbers(&slow_end));
        idle(&s);
    }
    assert_eq!(got, (0..50).collect::<Vec<_>>());
    slow.control.deliver(Ipc::shutdown_microprocess()).unwrap();
    idle(&s);
    assert!(slow.is_stopped());
    assert_eq!(numbers(&quick_end), (0..100).collect::<Vec<_>>());
}
