//! PureTransformer and its relatives; Filter; Chunkifier.

use axon::prelude::*;
use axon::util::*;

use crate::probe::*;

fn texts<const N: usize>(texts: [&str; N]) -> Vec<String> {
    texts.map(String::from).to_vec()
}

/// What the family has in common: ends with a `producerFinished` of its own on pF and sd after its queue, sleeps
/// else, drops sM unless asked.
macro_rules! ends_like_the_family {
    ($make:expr, $input:expr, $output:expr) => {
        for s in schedulers() {
            for message in [pf(), Ipc::Shutdown] {
                let c = $make.create();
                let end = probe_of!(c);
                $input.into_iter().for_each(|m| c.inbox.deliver(m).unwrap());
                c.control.deliver(message).unwrap();
                s.activate(&c);
                s.run_until_idle().unwrap();
                assert_eq!(end.inbox.drain().collect::<Vec<_>>(), $output);
                let last: Vec<_> = end.control.drain().collect();
                assert!(matches!(&last[..], [Ipc::ProducerFinished(m)] if m.caller == Some(c.id())), "{last:?}");
                assert!(c.is_stopped());
            }
            let c = $make.create();
            let (out, signals, ended) = outcome!(s, c, $input, [sm(), Ipc::Status("x".into())]);
            assert_eq!((out, signals, ended), ($output, vec![], false), "sM is dropped, and it sleeps");
            let c = $make.ends_at_once().create();
            let (out, signals, ended) = outcome!(s, c, $input, [sm()]);
            assert!(out.is_empty() && ended);
            assert_eq!(signals, [SM]);
        }
    };
}

#[test]
fn u09_pure_transformer() {
    ends_like_the_family!(PureTransformer::new(|n: i32| (n != 2).then_some(n * 10)), [1, 2, 3], vec![10, 30]);
}

#[test]
fn u10_sequential_transformer_applies_its_functions_in_order() {
    let make = || {
        SequentialTransformer::new()
            .then(|t: String| Some(t.to_uppercase()))
            .then(|t| (t != "X").then_some(t))
            .then(|t| Some(format!("foo{t}bar!")))
    };
    ends_like_the_family!(make(), texts(["a", "x", "b"]), texts(["fooAbar!", "fooBbar!"]));
}

#[test]
fn u10_an_empty_list_of_functions_passes_everything() {
    ends_like_the_family!(SequentialTransformer::new(), [1, 2], vec![1, 2]);
}

#[test]
fn u11_line_split_cuts_each_message_by_itself() {
    ends_like_the_family!(
        LineSplit::new(),
        texts(["a\nb\n", "c", "\n\nd"]),
        texts(["a", "b", "", "c", "", "", "d"])
    );
}

#[test]
fn u11_unseen_only_passes_each_distinct_message_once() {
    ends_like_the_family!(UnseenOnly::new(), [1, 2, 1, 3, 2, 3, 1], vec![1, 2, 3]);
}

#[test]
fn u11_unseen_only_with_a_bound_forgets_the_oldest() {
    ends_like_the_family!(UnseenOnly::new().of_the_last(2), [1, 2, 1, 3, 1, 3, 2], vec![1, 2, 3, 1, 2]);
}

#[test]
fn u17_triggered_source_answers_each_message_with_its_own() {
    let any = || [Message::new(true), Message::from("x"), Message::new(7)];
    ends_like_the_family!(TriggeredSource::new("Fish"), any(), vec!["Fish"; 3]);
}

#[test]
fn u29_chunk_namer_counts_from_one() {
    ends_like_the_family!(
        ChunkNamer::new("dir/", ".mp3"),
        [vec![1], vec![2, 3]],
        vec![("dir/chunk1.mp3".to_string(), vec![1]), ("dir/chunk2.mp3".into(), vec![2, 3])]
    );
}

#[test]
fn u28_d28_chunkifier_cuts_anew_and_sends_the_rest_at_the_end() {
    for s in schedulers() {
        let c = Chunkifier::new(3).create();
        let input = ["ab", "", "cdefg", "h"].map(|t| t.as_bytes().to_vec());
        let (out, signals, ended) = outcome!(s, c, input.clone(), [pf()]);
        assert_eq!(out, [b"abc".to_vec(), b"def".to_vec(), b"gh".to_vec()]);
        assert_eq!((signals, ended), (vec![PF], true));

        let c = Chunkifier::new(3).create();
        let (out, signals, ended) = outcome!(s, c, input.clone(), [Ipc::Shutdown]);
        assert_eq!(out.len(), 2, "shutdown drops the rest");
        assert_eq!((signals, ended), (vec![PF], true));

        let c = Chunkifier::new(3).create();
        let (out, signals, ended) = outcome!(s, c, input.clone(), [sm()]);
        assert_eq!((out.len(), signals, ended), (2, vec![], false), "sM is dropped, and it sleeps");

        let c = Chunkifier::new(3).ends_at_once().create();
        let (out, signals, ended) = outcome!(s, c, input, [sm()]);
        assert_eq!((out.len(), signals, ended), (0, vec![SM], true));
    }
}

#[test]
fn u28_chunkifier_without_delay_sends_the_rest_each_step() {
    for s in schedulers() {
        let c = Chunkifier::new(4).no_delay().create();
        let end = probe_of!(c);
        s.activate(&c);
        for text in ["abcdef", "g", "hijkl"] {
            c.inbox.deliver(text.as_bytes().to_vec()).unwrap();
            s.run_until_idle().unwrap();
        }
        let out: Vec<_> = end.inbox.drain().map(|c| String::from_utf8(c).unwrap()).collect();
        assert_eq!(out, ["abcd", "ef", "g", "hijk", "l"]);
    }
}

#[test]
fn u28_chunkifier_waits_for_room_and_loses_nothing() {
    for s in schedulers() {
        let c = Chunkifier::new(2).create();
        let end = probe_of!(c);
        end.inbox.set_bound(1);
        c.inbox.deliver(b"abcde".to_vec()).unwrap();
        c.control.deliver(pf()).unwrap();
        s.activate(&c);
        let mut out = Vec::new();
        for _ in 0..3 {
            s.run_until_idle().unwrap();
            assert_eq!(end.inbox.len(), 1);
            out.extend(end.inbox.try_recv().unwrap());
        }
        s.run_until_idle().unwrap();
        assert_eq!((out, c.is_stopped()), (b"abcde".to_vec(), true));
    }
}

#[test]
fn u28_chunks_of_no_bytes_are_refused() {
    let s = schedulers().next().unwrap();
    s.activate(Chunkifier::new(0));
    assert!(s.run().unwrap_err().to_string().contains("chunks of 0 bytes"));
}

/// Keeps everything back and gives it in the end, in two parts.
#[derive(Default)]
struct Keeper(Vec<i32>);
impl Filtering for Keeper {
    type In = i32;
    type Out = Vec<i32>;
    fn filter(&mut self, n: i32) -> Option<Vec<i32>> {
        if n == 0 {
            return Some(vec![]);
        }
        self.0.push(n);
        None
    }
    fn flush(&mut self) -> Option<Vec<i32>> {
        (!self.0.is_empty()).then(|| self.0.drain(..self.0.len().min(2)).collect())
    }
}

#[test]
fn u20_d23_filter_flushes_at_the_end_and_passes_the_message_on() {
    for s in schedulers() {
        let c = Filter::new(Keeper::default()).create();
        // sM and shutdown are dropped; it sleeps, or this would not return.
        let (out, signals, ended) = outcome!(s, c, [1, 0, 2, 3], [sm(), Ipc::Shutdown]);
        assert_eq!((out, signals, ended), (vec![vec![]], vec![], false));

        let c = Filter::new(Keeper::default()).create();
        let (out, signals, ended) = outcome!(s, c, [1, 0, 2, 3], [pf()]);
        assert_eq!((out, signals, ended), (vec![vec![], vec![1, 2], vec![3]], vec![PF], true));

        let c = Filter::new(Keeper::default()).ends_at_once().create();
        let (out, signals, ended) = outcome!(s, c, [1], [sm()]);
        assert_eq!((out, signals, ended), (vec![], vec![SM], true));
    }
}

#[test]
fn u20_the_message_that_a_filter_passes_on_is_the_one_it_got() {
    let s = schedulers().next().unwrap();
    let c = Filter::default().create();
    let end = probe_of!(c);
    let source = DataSource::new([1]).create();
    c.inbox.deliver(Message::new(5)).unwrap();
    c.control.deliver(Ipc::producer_finished_by(source.id())).unwrap();
    s.activate(&c);
    s.run_until_idle().unwrap();
    assert_eq!(
        end.inbox.drain().map(|m| m.to_string()).collect::<String>(),
        "5",
        "the null filter changes nothing"
    );
    let last = end.control.try_recv();
    assert!(matches!(&last, Some(Ipc::ProducerFinished(m)) if m.caller == Some(source.id())), "{last:?}");
}
