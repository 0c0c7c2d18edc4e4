//! Components that pass on what ended them.

use axon::prelude::*;
use axon::util::*;

use crate::probe::*;

/// Works off its queue and passes the message on; without one it sleeps.
macro_rules! passes_on_what_ends_it {
    ($make:expr, $input:expr, $output:expr) => {
        for s in schedulers() {
            for message in [pf(), sm()] {
                let kind = message.kind();
                let c = $make.create();
                let (out, signals, ended) = outcome!(s, c, $input, [Ipc::Shutdown, message]);
                assert_eq!((out, signals, ended), ($output, vec![kind], true));
            }
            let c = $make.create();
            let (_, signals, _) = outcome!(s, c, $input, [sm(), pf()]);
            assert_eq!(signals, [SM], "it outweighs what comes later");
            let c = $make.create();
            let (out, signals, ended) = outcome!(s, c, $input, [Ipc::Shutdown]);
            assert_eq!((out, signals, ended), ($output, vec![], false));
        }
    };
}

/// With a receiver that has room for one: all arrives, in order; or nothing more once sM has come.
macro_rules! respects_a_full_receiver {
    ($make:expr, $input:expr, $outputs:expr) => {
        for s in schedulers() {
            let c = $make.create();
            let end = probe_of!(c);
            end.inbox.set_bound(1);
            $input.into_iter().for_each(|m| c.inbox.deliver(m).unwrap());
            c.control.deliver(pf()).unwrap();
            s.activate(&c);
            let mut got = 0;
            loop {
                s.run_until_idle().unwrap();
                if end.inbox.try_recv().is_none() {
                    break;
                }
                got += 1;
            }
            assert_eq!((got, kinds(&end), c.is_stopped()), ($outputs, vec![PF], true));

            let c = $make.create();
            let end = probe_of!(c);
            end.inbox.set_bound(1);
            $input.into_iter().for_each(|m| c.inbox.deliver(m).unwrap());
            s.activate(&c);
            s.run_until_idle().unwrap();
            c.control.deliver(pf()).unwrap();
            s.run_until_idle().unwrap();
            assert!(!c.is_stopped(), "it waits for room");
            c.control.deliver(sm()).unwrap();
            s.run_until_idle().unwrap();
            assert_eq!((end.inbox.len(), kinds(&end), c.is_stopped()), (1, vec![SM], true));
        }
    };
}

#[test]
fn u32_max_sends_the_greatest_of_each_list() {
    passes_on_what_ends_it!(Max::new(), [vec![1, 4, 2, 3], vec![7]], vec![4, 7]);
    respects_a_full_receiver!(Max::new(), [vec![1], vec![2], vec![3]], 3);
    let words = [vec!["d", "a", "b"], vec!["xx", "xxx"]];
    passes_on_what_ends_it!(Max::new(), words.clone(), vec!["d", "xxx"]);
}

#[test]
fn u32_max_fails_on_an_empty_list() {
    let s = schedulers().next().unwrap();
    let c = Max::<u8>::new().create();
    c.inbox.deliver(vec![]).unwrap();
    s.activate(&c);
    assert!(s.run().unwrap_err().to_string().contains("empty list"));
}

#[test]
fn u32_tag_with_sequence_number_counts_from_its_initial() {
    passes_on_what_ends_it!(TagWithSequenceNumber::default(), ["a", "b"], vec![(0, "a"), (1, "b")]);
    passes_on_what_ends_it!(TagWithSequenceNumber::new(5), ["a", "b"], vec![(5, "a"), (6, "b")]);
    respects_a_full_receiver!(TagWithSequenceNumber::new(5), [1, 2, 3], 3);
}

#[test]
fn u32_first_only_drops_all_but_the_first_and_ends_on_any_control_message() {
    for s in schedulers() {
        for message in [pf(), sm(), Ipc::Shutdown, Ipc::Status("x".into())] {
            let c = FirstOnly::typed().create();
            let end = probe_of!(c);
            c.inbox.deliver(1).unwrap();
            s.activate(&c);
            s.run_until_idle().unwrap();
            (2..5).for_each(|n| c.inbox.deliver(n).unwrap());
            s.run_until_idle().unwrap();
            assert!(c.inbox.is_empty() && !c.is_stopped());
            let kind = message.kind();
            c.control.deliver(message).unwrap();
            s.run_until_idle().unwrap();
            let got: Vec<_> = end.inbox.drain().collect();
            assert_eq!((got, kinds(&end), c.is_stopped()), (vec![1], vec![kind], true));
        }
    }
}

#[test]
fn u32_range_filter_passes_what_begins_in_a_range() {
    let make = || RangeFilter::new([1..=5, 8..=12]);
    let all = [0, 1, 2, 5, 6, 7, 8, 11, 12, 13, 29, 3];
    passes_on_what_ends_it!(
        make(),
        all.map(|n| (n, "x")),
        [1, 2, 5, 8, 11, 12, 3].map(|n| (n, "x")).to_vec()
    );
    respects_a_full_receiver!(make(), all.map(|n| (n, "x")), 7);
    passes_on_what_ends_it!(RangeFilter::new([1..=5]), [vec![1, 99], vec![6, 1]], vec![vec![1, 99]]);
}

#[test]
fn u32_range_filter_and_detupler_fail_on_a_list_without_the_item() {
    let s = schedulers().next().unwrap();
    let c = RangeFilter::<Vec<i32>>::new([1..=5]).create();
    c.inbox.deliver(vec![]).unwrap();
    s.activate(&c);
    assert!(s.run().unwrap_err().to_string().contains("no first item"));
    let c = SimpleDetupler::<Vec<i32>, 2>::new().create();
    c.inbox.deliver(vec![1, 2]).unwrap();
    s.activate(&c);
    assert!(s.run().unwrap_err().to_string().contains("no item 2"));
}

#[test]
fn u32_simple_detupler_takes_one_item() {
    passes_on_what_ends_it!(SimpleDetupler::<_, 1>::new(), [("greeting", "hello", "world")], vec!["hello"]);
    passes_on_what_ends_it!(SimpleDetupler::<_, 0>::new(), [(1, 'a'), (2, 'b')], vec![1, 2]);
    passes_on_what_ends_it!(SimpleDetupler::<Vec<_>, 2>::new(), [vec![5, 6, 7]], vec![7]);
    passes_on_what_ends_it!(SimpleDetupler::<[_; 2], 1>::new(), [[5, 6]], vec![6]);
    respects_a_full_receiver!(SimpleDetupler::<_, 0>::new(), [(1, 'a'), (2, 'b'), (3, 'c')], 3);
}

#[test]
fn u32_lossy_connector_drops_what_does_not_fit() {
    passes_on_what_ends_it!(LossyConnector::typed(), [1, 2, 3], vec![1, 2, 3]);
    for s in schedulers() {
        let c = LossyConnector::typed().create();
        let end = probe_of!(c);
        end.inbox.set_bound(2);
        s.activate(&c);
        for burst in [[1, 2, 3], [4, 5, 6]] {
            burst.iter().for_each(|n| c.inbox.deliver(*n).unwrap());
            s.run_until_idle().unwrap();
            assert!(c.inbox.is_empty(), "it never waits");
            assert_eq!(end.inbox.drain().collect::<Vec<_>>(), burst[..2]);
        }
    }
}

#[test]
fn u32_prompted_turnstile_lets_one_through_for_each_next() {
    for s in schedulers() {
        let c = PromptedTurnstile::typed().create();
        let end = probe_of!(c);
        s.activate(&c);
        (0..4).for_each(|n| c.inbox.deliver(n).unwrap());
        s.run_until_idle().unwrap();
        assert!(end.inbox.is_empty());
        c.next.deliver("whatever".into()).unwrap();
        s.run_until_idle().unwrap();
        assert_eq!(end.inbox.drain().collect::<Vec<_>>(), [0]);
        c.control.deliver(pf()).unwrap();
        (0..2).for_each(|_| c.next.deliver(Message::new(())).unwrap());
        s.run_until_idle().unwrap();
        assert_eq!((end.inbox.drain().collect::<Vec<_>>(), c.is_stopped()), (vec![1, 2], false));
        c.next.deliver("last".into()).unwrap();
        s.run_until_idle().unwrap();
        assert_eq!((end.inbox.len(), kinds(&end), c.is_stopped()), (1, vec![PF], true));
    }
}

#[test]
fn u32_prompted_turnstile_keeps_requests_that_find_nobody() {
    for s in schedulers() {
        let c = PromptedTurnstile::typed().create();
        let end = probe_of!(c);
        (0..2).for_each(|_| c.next.deliver("x".into()).unwrap());
        s.activate(&c);
        s.run_until_idle().unwrap();
        (0..3).for_each(|n| c.inbox.deliver(n).unwrap());
        s.run_until_idle().unwrap();
        assert_eq!(end.inbox.drain().collect::<Vec<_>>(), [0, 1]);
        c.control.deliver(sm()).unwrap();
        s.run_until_idle().unwrap();
        assert_eq!((c.inbox.len(), kinds(&end), c.is_stopped()), (1, vec![SM], true), "sM: at once");
    }
}

#[test]
fn u32_prompted_turnstile_takes_nothing_while_its_receiver_is_full() {
    for s in schedulers() {
        let c = PromptedTurnstile::typed().create();
        let end = probe_of!(c);
        end.inbox.set_bound(1);
        (0..3).for_each(|n| c.inbox.deliver(n).unwrap());
        (0..3).for_each(|_| c.next.deliver("x".into()).unwrap());
        s.activate(&c);
        for left in [2, 1, 0] {
            s.run_until_idle().unwrap();
            assert_eq!((c.inbox.len(), end.inbox.len()), (left, 1));
            end.inbox.try_recv();
        }
    }
}

#[test]
fn u32_rate_chunker_varies_its_chunks_to_match_the_rate() {
    let sizes = |rate: f64, quantum, chunks, pieces: &[usize], last: Ipc| {
        let s = schedulers().next().unwrap();
        let c = RateChunker::new(rate, quantum, chunks).create();
        let (out, signals, ended) = outcome!(s, c, pieces.iter().map(|n| vec![7; *n]), [last]);
        assert!(ended && signals.len() == 1);
        out.iter().map(Vec::len).collect::<Vec<_>>()
    };
    assert_eq!(sizes(48000.0 * 4.0, 4, 25.0, &[20_000], pf()), [7680, 7680, 4640]);
    assert_eq!(sizes(40.0, 4, 3.0, &[13, 67], pf()), [12, 12, 16, 12, 12, 16]);
    // Fewer quanta than chunks: some are empty, and the rate holds.
    assert_eq!(sizes(2.0, 1, 4.0, &[3], pf()), [0, 1, 0, 1, 0, 1, 0]);
    assert_eq!(sizes(40.0, 4, 3.0, &[13], sm()), [12], "sM drops the rest");
}

#[test]
fn u32_rate_chunker_respects_a_full_receiver_and_refuses_senseless_rates() {
    respects_a_full_receiver!(RateChunker::new(2.0, 1, 1.0), [vec![1; 5], vec![2; 2]], 4);
    let s = schedulers().next().unwrap();
    for (rate, quantum, chunks) in [(0.0, 1, 1.0), (1.0, 0, 1.0), (1.0, 1, -1.0), (f64::NAN, 1, 1.0)] {
        s.activate(RateChunker::new(rate, quantum, chunks));
        assert!(s.run().unwrap_err().to_string().contains("cannot cut"));
    }
}

#[test]
fn u32_d23_comparator_tells_for_each_pair_whether_it_is_equal() {
    for s in schedulers() {
        for message in [pf(), sm()] {
            let c = Comparator::new().create();
            let end = probe_of!(c);
            [1, 2, 3, 4].iter().for_each(|n| c.in_a.deliver(*n).unwrap());
            s.activate(&c);
            s.run_until_idle().unwrap(); // it sleeps, or this would not return
            assert!(end.inbox.is_empty());
            [1, 9].iter().for_each(|n| c.in_b.deliver(*n).unwrap());
            s.run_until_idle().unwrap();
            assert_eq!(end.inbox.drain().collect::<Vec<_>>(), [true, false]);
            c.in_b.deliver(3).unwrap();
            c.control.deliver(message).unwrap();
            s.run_until_idle().unwrap();
            assert_eq!((end.inbox.drain().collect::<Vec<_>>(), c.is_stopped()), (vec![true], true));
            let last: Vec<_> = end.control.drain().collect();
            assert!(matches!(&last[..], [Ipc::ProducerFinished(m)] if m.caller.is_none()), "{last:?}");
        }
    }
}

#[test]
fn u32_comparator_can_compare_otherwise() {
    let s = schedulers().next().unwrap();
    let c = Comparator::with(|a: &i32, b: &String| a.to_string() == *b).create();
    let end = probe_of!(c);
    c.in_a.deliver(5).unwrap();
    c.in_b.deliver("5".into()).unwrap();
    s.activate(&c);
    s.run_until_idle().unwrap();
    assert_eq!(end.inbox.try_recv(), Some(true));
}

#[test]
fn u25_sync_sends_the_last_of_each_batch() {
    for s in schedulers() {
        let c = Sync::typed(3).create();
        let others = [Ipc::Shutdown, Ipc::Status("x".into())];
        let (out, signals, ended) = outcome!(s, c, 1..=7, others);
        assert_eq!((out, signals, ended), (vec![3, 6], vec!["shutdown", "status"], false));
        for message in [pf(), sm()] {
            let kind = message.kind();
            let c = Sync::typed(2).create();
            let (out, signals, ended) = outcome!(s, c, 1..=3, [message]);
            assert_eq!((out, signals, ended), (vec![2], vec![kind], true));
        }
    }
    respects_a_full_receiver!(Sync::typed(2), 1..=6, 3);
}

#[test]
fn u25_sync_waits_for_two_unless_told_otherwise_and_refuses_none() {
    let s = schedulers().next().unwrap();
    let c = Sync::default().create();
    let (out, _, _) = outcome!(s, c, ["a", "b", "c"].map(Message::from), []);
    assert_eq!(out.iter().map(ToString::to_string).collect::<Vec<_>>(), ["b"]);
    s.activate(Sync::new(0));
    assert!(s.run().unwrap_err().to_string().contains("0 messages"));
}

#[test]
fn u27_collate_sends_all_at_the_end() {
    for s in schedulers() {
        for message in [pf(), sm()] {
            let kind = message.kind();
            let c = Collate::new().create();
            let (out, signals, ended) = outcome!(s, c, 1..4, [Ipc::Shutdown, message]);
            assert_eq!((out, signals, ended), (vec![vec![1, 2, 3]], vec!["shutdown", kind], true));
        }
        let c = Collate::<u8>::new().create();
        let (out, _, ended) = outcome!(s, c, [], [pf()]);
        assert_eq!((out, ended), (vec![vec![]], true));
        let c = Collate::new().create();
        let (out, _, ended) = outcome!(s, c, 1..4, []);
        assert_eq!((out, ended), (Vec::<Vec<i32>>::new(), false));
    }
}

#[test]
fn u15_triggered_one_shot_waits_for_any_message() {
    for s in schedulers() {
        let c = TriggeredOneShot::new("now").create();
        let (out, signals, ended) = outcome!(s, c, Vec::<Message>::new(), [Ipc::Shutdown]);
        assert_eq!(
            (out, signals, ended),
            (vec![], vec!["shutdown"], false),
            "all are passed on while it waits"
        );
        let end = probe();
        let c = TriggeredOneShot::new("now").create();
        axon::link(&c.outbox, &end.inbox).unwrap();
        axon::link(&c.signal, &end.control).unwrap();
        s.activate(&c);
        s.run_until_idle().unwrap();
        (0..2).for_each(|n| c.inbox.deliver(Message::new(n)).unwrap());
        s.run_until_idle().unwrap();
        assert_eq!(end.inbox.drain().collect::<Vec<_>>(), ["now"]);
        let last = end.control.try_recv();
        assert!(matches!(&last, Some(Ipc::ProducerFinished(m)) if m.caller == Some(c.id())), "{last:?}");
        for message in [pf(), sm()] {
            let kind = message.kind();
            let c = TriggeredOneShot::new("now").create();
            let (out, signals, ended) = outcome!(s, c, Vec::<Message>::new(), [message]);
            assert_eq!((out, signals, ended), (vec![], vec![kind], true));
        }
    }
}

#[test]
fn u15_triggered_one_shot_ends_one_step_after_its_message() {
    let s = crate::common::fresh();
    let c = TriggeredOneShot::new(1).create();
    let end = probe_of!(c);
    c.inbox.deliver("go".into()).unwrap();
    s.activate(&c);
    crate::common::to_pass(&s, 2);
    assert_eq!((end.inbox.len(), end.control.len()), (1, 0));
    crate::common::to_pass(&s, 3);
    assert_eq!((end.inbox.len(), end.control.len()), (1, 1));
}

#[test]
fn u22_d23_stringify_sends_texts_and_sleeps_between() {
    let input = || [Message::new(1), Message::from("x"), Message::new(2.5), Message::from(b"y".to_vec())];
    for s in schedulers() {
        let c = Stringify::new().create();
        let (out, signals, ended) = outcome!(s, c, input(), [Ipc::Shutdown]);
        assert_eq!((&out.join(" ")[..], signals, ended), ("1 x 2.5 y", vec![], false));
        let c = Stringify::new().create();
        let (out, signals, ended) = outcome!(s, c, input(), [pf()]);
        assert_eq!((out.len(), signals, ended), (4, vec![PF], true));
        let c = Stringify::new().create();
        let (out, signals, ended) = outcome!(s, c, input(), [sm()]);
        assert_eq!((out.len(), signals, ended), (0, vec![SM], true));
    }
}

#[test]
fn u22_stringify_makes_one_text_a_step_and_is_not_activated_by_its_making() {
    let s = crate::common::fresh();
    let c = Stringify::new().create();
    let end = probe_of!(c);
    (0..3).for_each(|n| c.inbox.deliver(Message::new(n)).unwrap());
    s.run_until_idle().unwrap();
    assert_eq!(end.inbox.len(), 0);
    s.activate(&c);
    let first = s.pass() + 2;
    let seen: Vec<_> = (first..first + 5)
        .map(|pass| {
            crate::common::to_pass(&s, pass);
            end.inbox.len()
        })
        .collect();
    assert_eq!(seen, [0, 1, 2, 3, 3]);
}
