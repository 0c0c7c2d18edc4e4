//! Graphs as text: what is read does what the same graph made in Rust does, and mistakes have places.

use std::cell::RefCell;
use std::rc::Rc;

use axon::chassis::text::{Graph, Makers};
use axon::prelude::*;
use axon::util::{DataSource, PassThrough};
use axon::{AnyInstance, link};

use crate::common::*;

fn parse(text: &str) -> Graph {
    Graph::parse(text).unwrap_or_else(|e| panic!("{e} in {text}"))
}

fn mistake(text: &str) -> String {
    Graph::parse(text).map(|g| g.to_string()).unwrap_err().to_string()
}

/// Sources, stages that write to a log, and a component with an argument for everything.
fn makers(log: &Rc<RefCell<Vec<String>>>) -> Makers {
    let seen = log.clone();
    let arguments = log.clone();
    Makers::everyday()
        .with("Words", |a| Ok(DataSource::new(a.values().to_vec())))
        .with("Show", move |a| {
            let (seen, tag) = (seen.clone(), a.get(0, "tag", String::new())?);
            Ok(body(async move |cx| {
                loop {
                    for m in cx.inbox.drain() {
                        seen.borrow_mut().push(format!("{tag}{m}"));
                        cx.outbox.send(m).unwrap();
                    }
                    if let Some(m) = cx.control.try_recv() {
                        let _ = cx.signal.send(m);
                        return;
                    }
                    cx.pause().await;
                }
            }))
        })
        .with("Arguments", move |a| {
            arguments.borrow_mut().push(format!("{:?} {:?}", a.values(), a.named("key")));
            Ok(PassThrough::<String>::new())
        })
}

fn run(text: &str) -> Vec<String> {
    let s = fresh();
    let log = Rc::default();
    s.activate(parse(text).build(&makers(&log)).unwrap_or_else(|e| panic!("{e} in {text}")));
    s.run_until_idle().unwrap();
    assert!(s.processes().is_empty(), "asleep for ever: {:?}", s.processes());
    log.take()
}

#[test]
fn a_line_is_a_pipeline_and_parentheses_nest_it() {
    assert_eq!(run("Words(a, b) | Show"), ["a", "b"]);
    assert_eq!(run("Words(a) | (Show(1) | Show(2)) | Show(tag = 3)"), ["1a", "2a", "3a"]);
}

#[test]
fn a_table_is_a_graphline() {
    let text = r#"
        # Everything on one line would mean the same.
        words = Words(x, y)
        split = Fanout(left, "to the right")
        l = Show("l ")
        r = Show("r ") | PassThrough
        words.outbox -> split.inbox; words.signal -> split.control
        split.left -> l.inbox
        split."to the right" -> r.inbox
        split.signal -> l.control
        l.signal -> r.control
    "#;
    let mut seen = run(text);
    seen.sort();
    assert_eq!(seen, ["l x", "l y", "r x", "r y"]);
}

#[test]
fn a_graphline_in_a_line_has_boxes_of_its_own() {
    let text = "Words(x) | graphline { s = Show; self.inbox -> s.inbox; self.control -> s.control; \
                s.outbox -> self.outbox; s.signal -> self.signal } | Show(2)";
    assert_eq!(run(text), ["x", "2x"]);
}

#[test]
fn par_seq_and_circular_are_the_other_chassis() {
    let mut seen = run("par { Words(a) | Show; Words(b) Words(c) | Show }");
    seen.sort();
    assert_eq!(seen, ["a", "c"]);
    assert_eq!(run("seq { Words(a, b) Words(c) } | Show"), ["a", "b", "c"]);
    let s = fresh();
    let log = Rc::default();
    let ring = parse("circular { Show | PassThrough }").build(&makers(&log)).unwrap();
    let start = plain();
    link((&start, "outbox"), (&ring, "inbox")).unwrap();
    start.outbox.send(Message::from("x".to_string())).unwrap();
    s.activate(&ring);
    for _ in 0..100 {
        s.step().unwrap();
    }
    assert!(log.borrow().len() > 3, "it goes round");
}

#[test]
fn arguments_arrive_as_text_and_everyday_makers_refuse_wrong_ones() {
    let log = Rc::default();
    parse(r#"Arguments("a \"b\"\n\u{e9}", -1.5, word, key = "v")"#).build(&makers(&log)).unwrap();
    parse("Arguments()").build(&makers(&log)).unwrap();
    assert_eq!(log.take(), [r#"["a \"b\"\né", "-1.5", "word"] Some("v")"#, "[] None"]);
    for (text, wanted) in [
        ("NullSink(1)", "line 1, column 1: cannot make a NullSink: it takes 0 arguments, not 1"),
        (
            "\n ConsoleEchoer(maybe)",
            "line 2, column 2: cannot make a ConsoleEchoer: the argument \"forwarder\" is \"maybe\": \
             provided string was not `true` or `false`",
        ),
        (
            "ConsoleReader(a, b, c)",
            "line 1, column 1: cannot make a ConsoleReader: it takes at most 2 arguments, not 3",
        ),
        (
            "ConsoleReader(tag = x)",
            "line 1, column 1: cannot make a ConsoleReader: it has no argument \"tag\"",
        ),
        (
            "ConsoleReader(x, prompt = y)",
            "line 1, column 1: cannot make a ConsoleReader: the argument \"prompt\" is there twice",
        ),
        ("NullSink | Nul", "line 1, column 12: nothing makes a \"Nul\"; there are Backplane, "),
    ] {
        let e = parse(text).build(&Makers::everyday()).unwrap_err().to_string();
        assert!(e.starts_with(wanted), "{e}");
    }
    assert_eq!(
        parse("A").build(&Makers::new()).unwrap_err().to_string(),
        "line 1, column 1: nothing makes a \"A\"; there are no makers"
    );
}

#[test]
fn every_mistake_has_its_place() {
    for (text, wanted) in [
        ("", "line 1, column 1: a component is wanted here, not the end of the text"),
        ("A |", "line 1, column 4: a component is wanted here, not the end of the text"),
        ("A\n  B", "line 2, column 3: the end of the text is wanted here, not \"B\""),
        ("A (B)", "line 1, column 3: the end of the text is wanted here, not '('"),
        ("A(", "line 1, column 3: an argument is wanted here, not the end of the text"),
        ("A(a b)", "line 1, column 5: ')' is wanted here, not \"b\""),
        ("A(k = 1, k = 2)", "line 1, column 10: the argument \"k\" is there twice"),
        ("é", "line 1, column 1: 'é' has no meaning here"),
        ("A(\"é\" \"x", "line 1, column 7: a text without a closing quotation mark"),
        ("A(\"\\q\")", "line 1, column 4: unknown escape \\q; there are \\n, \\r, \\t, \\\", \\\\, \\u{…}"),
        ("A(\"\\u{d800}\")", "line 1, column 4: \\u{d800} is no character"),
        ("par { A", "line 1, column 8: a component is wanted here, not the end of the text"),
        ("a = A\na = B", "line 2, column 1: \"a\" is there twice"),
        ("par = A", "line 1, column 1: \"par\" is a word of the language, not a name"),
        ("A | self", "line 1, column 5: \"self\" is the graphline and cannot be a part"),
        ("a = A\na.x -> b.y", "line 2, column 8: nothing here is called \"b\""),
        ("a = A\nb.x -> a.y", "line 2, column 1: nothing here is called \"b\""),
        (
            "a = A; self.x -> self.y",
            "line 1, column 8: a link from \"self\" to \"self\" needs a part between",
        ),
        ("a = A; a.x -> a.y; a.x -> self.y", "line 1, column 20: \"x\" of \"a\" is linked already"),
        ("a = A; a.x = a.y", "line 1, column 12: -> is wanted here, not '='"),
        ("a = A; a.5 -> a.y", "line 1, column 10: the name of a box is wanted here, not 5"),
    ] {
        assert_eq!(mistake(text), wanted, "{text}");
    }
}

#[test]
#[cfg_attr(miri, ignore)] // a mebibyte of text
fn limits_are_kept() {
    let nested = |n: usize| format!("{}A{}", "(".repeat(n), ")".repeat(n));
    parse(&nested(Graph::MAX_DEPTH - 1));
    assert_eq!(mistake(&nested(Graph::MAX_DEPTH)), "line 1, column 33: more than 32 levels of nesting");
    assert!(mistake(&nested(400_000)).contains("levels"));
    let many = |n: usize| format!("par {{{}}}", "A;".repeat(n));
    parse(&many(Graph::MAX_PARTS - 1));
    assert!(mistake(&many(Graph::MAX_PARTS)).ends_with("more than 10000 parts"));
    assert!(mistake(&"par{}".repeat(Graph::MAX_PARTS)).contains("the end of the text is wanted"));
    let long = " ".repeat(Graph::MAX_LEN + 1);
    assert_eq!(mistake(&long), "line 1, column 1: 1048577 bytes are more than the 1048576 allowed");
}

#[test]
fn what_is_written_reads_as_the_same() {
    for (text, written) in [
        ("A|B", "A | B"),
        ("(A|B)|C", "(A | B) | C"),
        ("circular{(A|B)}", "circular { (A | B) }"),
        ("circular{A|B}|C", "circular { A | B } | C"),
        ("par{A,}", ""),
        ("par{A (B|C)|D}", "par { A; (B | C) | D; }"),
        ("seq{\"A\" A}", "seq { \"A\"; A; }"),
        ("graphline{}", "graphline { }"),
        ("A(b,\"c d\",e=\"\")", "A(b, \"c d\", e = \"\")"),
        (
            "x.o->y.\"i n\" x=A y=graphline{z=B z.o->self.o}",
            "x = A\ny = graphline { z = B; z.o -> self.o }\nx.o -> y.\"i n\"",
        ),
    ] {
        if written.is_empty() {
            mistake(text);
            continue;
        }
        let graph = parse(text);
        assert_eq!(graph.to_string(), written);
        assert_eq!(parse(written).to_string(), written);
    }
}

#[test]
fn a_link_that_does_not_fit_is_an_error_of_the_run() {
    let s = fresh();
    let graph: AnyInstance =
        parse("a = Words(x); b = NullSink; a.outbux -> b.inbox").build(&makers(&Rc::default())).unwrap();
    s.activate(graph);
    assert!(s.run_until_idle().unwrap_err().to_string().contains("has no outbox \"outbux\""));
}
