//! Marshaller, DeMarshaller and the token lists.

use axon::BoxError;
use axon::prelude::*;
use axon::util::*;

use crate::probe::*;

struct SerialiseInt;
impl Marshalling for SerialiseInt {
    type Item = i64;
    type Wire = String;
    fn marshall(n: i64) -> String {
        n.to_string()
    }
    fn demarshall(text: String) -> Result<i64, BoxError> {
        Ok(text.parse()?)
    }
}

#[test]
fn u32_marshaller_and_demarshaller_convert_and_pass_on_what_ends_them() {
    for s in schedulers() {
        for message in [pf(), sm()] {
            let kind = message.kind();
            let c = Marshaller::<SerialiseInt>::new().create();
            let (out, signals, ended) = outcome!(s, c, [5, 0, 999], [message.clone()]);
            assert_eq!((&out.join(" ")[..], signals, ended), ("5 0 999", vec![kind], true));
            let c = DeMarshaller::<SerialiseInt>::new().create();
            let (out, signals, ended) = outcome!(s, c, ["5", "0", "999"].map(String::from), [message]);
            assert_eq!((out, signals, ended), (vec![5, 0, 999], vec![kind], true));
        }
        let c = Marshaller::<SerialiseInt>::new().create();
        let (_, _, ended) = outcome!(s, c, [1], [Ipc::Shutdown]);
        assert!(!ended);
    }
}

#[test]
fn u32_a_demarshaller_fails_on_what_it_does_not_understand_or_skips_it() {
    let s = schedulers().next().unwrap();
    let c = DeMarshaller::<SerialiseInt>::new().create();
    c.inbox.deliver("five".into()).unwrap();
    s.activate(&c);
    assert!(s.run().unwrap_err().to_string().contains("invalid digit"));
    let c = DeMarshaller::<SerialiseInt>::new().skips_malformed().create();
    let (out, signals, _) = outcome!(s, c, ["5", "five", "6"].map(String::from), [pf()]);
    assert_eq!((out, signals), (vec![5, 6], vec![PF]));
}

fn list<const N: usize>(items: [Token; N]) -> Token {
    Token::List(items.to_vec())
}

/// The lists of the original's own test, and its promises about them.
#[test]
fn u32_token_lists_survive_the_trip_as_one_line_of_printable_characters() {
    let t = Token::from;
    let deep = list([t("7"), t("alpha beta")]);
    let tests = [
        vec![],
        vec![t("hello"), t("world")],
        vec![list([t("hello"), t("world")])],
        vec![list([t("hello world")])],
        vec![t("hello"), t(" world"), list([t("1"), t("2"), list([deep, list([t("5"), t("6")])]), t("n")])],
        vec![t("hello\nworld\\today")],
        vec![t("%25 %5b 9 \0a\r\nd [x] %%a9"), list([])],
    ];
    for test in tests {
        let line = EscapedListMarshalling::marshall(test.clone());
        let (text, end) = line.split_at(line.len() - 1);
        assert!(end == "\n" && !text.contains(|c: char| c < ' '), "{line:?}");
        assert_eq!(EscapedListMarshalling::demarshall(line.clone()).unwrap(), test, "{line:?}");
    }
}

#[test]
fn u32_token_lists_are_written_as_the_original_writes_them() {
    let made = EscapedListMarshalling::marshall(vec!["a b\n".into(), list(["9".into(), "%[]".into()])]);
    assert_eq!(made, "a%20b%a [ %39 %25%5b%5d ] \n");
}

#[test]
fn u32_malformed_token_lists_are_errors() {
    let read = |line: &str| EscapedListMarshalling::demarshall(line.into());
    for (line, said) in [("a ] \n", "not begun"), ("[ a \n", "no end"), (&"[ ".repeat(500_000), "100 deep")] {
        assert!(read(line).unwrap_err().to_string().contains(said), "{said}");
    }
    assert_eq!(read("50%\r\n").unwrap(), ["50%".into()], "a lone % is itself");
}

#[test]
fn u32_components_for_token_lists_fit_each_other() {
    for s in schedulers() {
        let (to, from) = (tokenlists_to_lines().create(), lines_to_tokenlists().create());
        let end = probe_of!(from);
        axon::link(&to.outbox, &from.inbox).unwrap();
        axon::link(&to.signal, &from.control).unwrap();
        to.inbox.deliver(vec!["x y".into()]).unwrap();
        to.control.deliver(pf()).unwrap();
        s.activate(&to);
        s.activate(&from);
        s.run().unwrap();
        assert_eq!((end.inbox.try_recv(), kinds(&end)), (Some(vec!["x y".into()]), vec![PF]));
    }
}
