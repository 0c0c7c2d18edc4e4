//! Everyday components.

use std::io::{self, BufRead, Cursor, Read, Write};
use std::sync::{Arc, Mutex};

use axon::prelude::*;
use axon::util::{
    ConsoleEchoer, ConsoleReader, DataSource, Fanout, NullSink, OneShot, PureTransformer, Transform,
};
use axon::{Untyped, link};

use crate::common::*;

#[derive(Clone, Default)]
struct Screen(Arc<Mutex<Vec<u8>>>);

impl Write for Screen {
    fn write(&mut self, b: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend(b);
        Ok(b.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Screen {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

/// Writes nothing.
struct Broken;
impl Write for Broken {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::Error::other("broken"))
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
impl Read for Broken {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(io::Error::other("broken"))
    }
}
impl BufRead for Broken {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        Err(io::Error::other("broken"))
    }
    fn consume(&mut self, _: usize) {}
}

fn collect(s: &Scheduler, outbox: Untyped, signal: Untyped) -> (Vec<String>, Vec<&'static str>) {
    let end = plain();
    link(outbox, &end.inbox).unwrap();
    link(signal, &end.control).unwrap();
    s.run().unwrap();
    (end.inbox.drain().map(|m| m.to_string()).collect(), end.control.drain().map(|m| m.kind()).collect())
}

#[test]
fn u12_d26_a_console_reader_sends_lines_and_then_producer_finished() {
    for (eol, expected) in [("\n", ["a\n", "b\n", "c\n"]), ("", ["a", "b", "c"])] {
        let s = fresh();
        let screen = Screen::default();
        let r = ConsoleReader::new(">>> ")
            .eol(eol)
            .from(Cursor::new("a\r\nb\nc"))
            .prompt_to(screen.clone())
            .create();
        s.activate(&r);
        let (lines, end) = collect(&s, r.outbox.untyped(), r.signal.untyped());
        assert_eq!((&lines[..], &end[..]), (&expected.map(String::from)[..], &["producerFinished"][..]));
        assert_eq!(screen.text(), ">>> ".repeat(4));
    }
}

#[test]
fn u12_a_console_reader_looks_at_control_before_each_line() {
    let s = fresh();
    let r = ConsoleReader::new("").from(Cursor::new("a\nb\n".repeat(1000))).create();
    r.control.deliver(Ipc::shutdown_microprocess()).unwrap();
    s.activate(&r);
    let (lines, end) = collect(&s, r.outbox.untyped(), r.signal.untyped());
    assert_eq!(end, ["shutdownMicroprocess"]);
    assert!(lines.len() < 2000, "{} lines were read all the same", lines.len());
}

#[test]
fn u12_an_input_that_fails_ends_a_console_reader_as_failed() {
    let s = fresh();
    s.activate(ConsoleReader::new("").from(Broken));
    assert!(s.run().unwrap_err().to_string().contains("broken"));
}

#[test]
fn u13_an_echoer_writes_tag_and_text_and_passes_all_control_messages_on() {
    let s = fresh();
    let screen = Screen::default();
    let e = ConsoleEchoer::new().to(screen.clone()).tag("> ").forwarder().create();
    for m in [Message::from("x\n"), Message::new(7), Message::new(vec![b'y'])] {
        e.inbox.deliver(m).unwrap();
    }
    s.activate(&e);
    s.run_until_idle().unwrap();
    assert_eq!(screen.text(), "> x\n> 7> y");
    e.inbox.deliver(" last".into()).unwrap();
    e.control.deliver(Ipc::Status("any message".into())).unwrap();
    e.control.deliver(Ipc::Shutdown).unwrap();
    let (forwarded, end) = collect(&s, e.outbox.untyped(), e.signal.untyped());
    assert_eq!(screen.text(), "> x\n> 7> y>  last");
    assert_eq!((forwarded, end), (vec![" last".to_string()], vec!["status", "shutdown"]));
}

#[test]
fn u13_an_echoer_takes_one_more_step_after_a_control_message() {
    let s = fresh();
    let screen = Screen::default();
    let e = ConsoleEchoer::new().to(screen.clone()).create();
    e.control.deliver(Ipc::Shutdown).unwrap();
    s.activate(&e);
    to_pass(&s, 2);
    e.inbox.deliver("on its way".into()).unwrap();
    s.run().unwrap();
    assert_eq!(screen.text(), "on its way");
}

#[test]
fn u13_an_echoer_can_write_the_debug_form_and_fails_with_its_writer() {
    let s = fresh();
    let screen = Screen::default();
    s.activate(
        Pipeline::new().then(OneShot::new("a\n")).then(ConsoleEchoer::new().to(screen.clone()).debug_form()),
    );
    s.run().unwrap();
    assert_eq!(screen.text(), "\"a\\n\"");
    s.activate(Pipeline::new().then(OneShot::new("a\n")).then(ConsoleEchoer::new().to(Broken)));
    assert!(s.run().unwrap_err().to_string().contains("broken"));
}

#[test]
fn u08_d25_a_fanout_sends_to_its_named_boxes_only() {
    let s = fresh();
    let f = Fanout::<String>::new(["b", "a"]).create();
    assert_eq!(f.any().outboxes(), ["outbox", "signal", "b", "a"]);
    let ends: Vec<_> = ["outbox", "a", "b"]
        .iter()
        .map(|name| {
            let end = plain();
            link((&f, *name), (&end, "inbox")).unwrap();
            end
        })
        .collect();
    ends[1].inbox.set_bound(1);
    ["x", "y"].iter().for_each(|t| f.inbox.deliver(t.to_string()).unwrap());
    f.control.deliver(Ipc::producer_finished()).unwrap();
    s.activate(&f);
    s.run_until_idle().unwrap();
    assert_eq!(ends[2].inbox.len(), 2, "the second copy for a waits for room");
    assert_eq!(ends[1].inbox.drain().map(|m| m.to_string()).collect::<String>(), "x");
    link((&f, "signal"), (&ends[0], "control")).unwrap();
    s.run().unwrap();
    assert_eq!(ends[1].inbox.len(), 1);
    assert!(ends[0].inbox.is_empty(), "outbox is not one of the names");
    assert!(ends[0].control.try_recv().is_some());
}

#[test]
fn u08_a_fanout_may_name_its_outbox_and_refuses_a_name_twice() {
    let s = fresh();
    let f = Fanout::<i32>::new(["outbox", "more"]).create();
    let end = plain();
    link(f.outbox.untyped(), &end.inbox).unwrap();
    f.inbox.deliver(4).unwrap();
    f.control.deliver(Ipc::producer_finished()).unwrap();
    s.activate(&f);
    s.run().unwrap();
    assert_eq!(numbers(&end), [4]);
    for bad in [["a", "a"], ["a", "signal"]] {
        s.activate(Fanout::<i32>::new(bad));
        assert!(s.run().unwrap_err().to_string().contains(bad[1]));
    }
}

struct Count(u32);
impl Transform for Count {
    type In = Message;
    type Out = u32;
    fn process_message(&mut self, _: Message) -> Option<u32> {
        self.0 += 1;
        self.0.is_multiple_of(2).then_some(self.0)
    }
}

#[test]
fn u09_a_transformer_sends_results_and_ends_on_producer_finished_or_shutdown() {
    for message in [Ipc::producer_finished(), Ipc::Shutdown] {
        let s = fresh();
        let t = PureTransformer::with(Count(0)).then(|n| Some(n * 10)).create();
        (0..4).for_each(|n| t.inbox.deliver(Message::new(n)).unwrap());
        t.control.deliver(message).unwrap();
        s.activate(&t);
        let (out, end) = collect(&s, t.outbox.untyped(), t.signal.untyped());
        assert_eq!((out, end), (vec!["20".to_string(), "40".into()], vec!["producerFinished"]));
    }
}

#[test]
fn u09_a_transformer_drops_shutdown_microprocess_unless_asked() {
    let s = fresh();
    let make = || PureTransformer::new(|n: i32| Some(n));
    let (plain_one, asked) = (make().create(), make().ends_at_once().create());
    for t in [&plain_one, &asked] {
        t.inbox.deliver(1).unwrap();
        t.control.deliver(Ipc::shutdown_microprocess()).unwrap();
        s.activate(t);
    }
    s.run_until_idle().unwrap();
    assert!(!plain_one.is_stopped() && asked.is_stopped());
    assert_eq!((plain_one.inbox.len(), asked.inbox.len()), (0, 1));
}

#[test]
fn u14_u16_sources_keep_the_original_s_steps() {
    let s = fresh();
    let (one, many, end) = (OneShot::new(1).create(), DataSource::new([1, 2]).create(), plain());
    let other = plain();
    link(one.outbox.untyped(), &end.inbox).unwrap();
    link(&one.signal, &end.control).unwrap();
    link(many.outbox.untyped(), &other.inbox).unwrap();
    link(&many.signal, &other.control).unwrap();
    s.activate(&one);
    s.activate(&many);
    let mut seen = Vec::new();
    for pass in 2..7 {
        to_pass(&s, pass);
        seen.push((end.inbox.len(), end.control.len(), other.inbox.len(), other.control.len()));
    }
    assert_eq!(seen, [(1, 0, 0, 0), (1, 1, 1, 0), (1, 1, 2, 0), (1, 1, 2, 1), (1, 1, 2, 1)]);
}

#[test]
fn u21_d23_a_null_sink_sleeps_and_says_nothing() {
    let s = fresh();
    let n = NullSink::new().create();
    let end = plain();
    link(&n.signal, &end.control).unwrap();
    s.activate(&n);
    n.inbox.deliver("x".into()).unwrap();
    s.run_until_idle().unwrap(); // would not return
    assert!(n.inbox.is_empty());
    n.control.deliver(Ipc::Shutdown).unwrap();
    s.run_until_idle().unwrap();
    assert!(!n.is_stopped());
    n.control.deliver(Ipc::shutdown_microprocess()).unwrap();
    s.run().unwrap();
    assert!(end.control.is_empty());
}
