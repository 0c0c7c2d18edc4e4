//! Readers and writers of files: what they send and write.

use std::fs;
use std::time::Duration;

use axon::file::*;
use axon::prelude::*;
use axon::util::*;

use crate::common::{body, fresh};
use crate::probe::*;

#[test]
fn u42_simple_reader_sends_the_lines_and_then_a_producer_finished_without_caller() {
    let dir = Dir::new();
    let path = dir.file("f", "one\n\ntwo\r\nlast");
    for s in schedulers() {
        let r = SimpleReader::new(&path).create();
        let end = probe_of!(r);
        s.activate(&r);
        s.run().unwrap();
        assert_eq!(end.inbox.drain().collect::<Vec<_>>(), ["one\n", "\n", "two\n", "last"]);
        let last: Vec<_> = end.control.drain().collect();
        assert!(matches!(&last[..], [Ipc::ProducerFinished(m)] if m.caller.is_none()), "{last:?}");
        let r = SimpleReader::bytes(&path).create();
        let end = probe_of!(r);
        s.activate(&r);
        s.run().unwrap();
        let lines: Vec<_> = end.inbox.drain().collect();
        assert_eq!(lines, [&b"one\n"[..], b"\n", b"two\r\n", b"last"]);
    }
}

#[test]
fn u42_simple_reader_sends_one_line_a_step() {
    let (dir, s) = (Dir::new(), fresh());
    let r = SimpleReader::new(dir.file("f", "1\n2\n3\n")).create();
    let end = probe_of!(r);
    s.activate(&r);
    let mut last = 0;
    while !r.is_stopped() {
        s.step().unwrap();
        let now = end.inbox.len();
        assert!(now <= last + 1, "{last} lines, then {now}");
        last = now;
    }
    assert_eq!(last, 3);
}

#[test]
fn u42_simple_reader_reads_files_of_many_batches_and_long_lines() {
    let (dir, s) = (Dir::new(), fresh());
    let lines: Vec<String> = (0..3000).map(|n| format!("{}\n", "x".repeat(n))).collect();
    let r = SimpleReader::new(dir.file("f", lines.concat())).create();
    let end = probe_of!(r);
    s.activate(&r);
    s.run().unwrap();
    assert!(end.inbox.drain().eq(lines));
    let r = SimpleReader::new(dir.file("empty", "")).create();
    let end = probe_of!(r);
    s.activate(&r);
    s.run().unwrap();
    assert_eq!((end.inbox.len(), kinds(&end)), (0, vec![PF]));
}

#[test]
fn u42_simple_reader_waits_while_its_receiver_is_full() {
    let (dir, s) = (Dir::new(), fresh());
    let r = SimpleReader::new(dir.file("f", "1\n2\n3\n")).create();
    let end = probe_of!(r);
    end.inbox.set_bound(1);
    s.activate(&r);
    for line in ["1\n", "2\n", "3\n"] {
        run_until(&s, || !end.inbox.is_empty());
        assert_eq!(end.inbox.try_recv().unwrap(), line);
    }
    s.run().unwrap();
}

fn prompted(mode: ReadMode, content: &str, requests: &[usize]) -> (Vec<String>, Vec<Ipc>, bool) {
    let (dir, s) = (Dir::new(), fresh());
    let r = PromptedFileReader::new(dir.file("f", content), mode).create();
    let end = probe_of!(r);
    requests.iter().for_each(|n| r.inbox.deliver(*n).unwrap());
    r.control.deliver(pf()).unwrap(); // dropped
    s.activate(&r);
    let answers = requests.iter().filter(|_| true).count();
    run_until(&s, || r.is_stopped() || end.inbox.len() == answers);
    let texts = end.inbox.drain().map(|d| String::from_utf8(d).unwrap()).collect();
    (texts, end.control.drain().collect(), r.is_stopped())
}

#[test]
fn u41_prompted_reader_answers_each_request_with_so_many_bytes() {
    let (got, last, ended) = prompted(ReadMode::Bytes, "abcdefgh", &[3, 0, 1, 3]);
    assert_eq!((got, ended), (["abc", "", "d", "efg"].map(String::from).to_vec(), false));
    assert!(last.is_empty(), "producerFinished is dropped: {last:?}");
}

#[test]
fn u41_prompted_reader_ends_when_nothing_is_left_and_says_so_once() {
    let (got, last, ended) = prompted(ReadMode::Bytes, "abcd", &[3, usize::MAX, 1, 1, 1]);
    assert_eq!((got, ended), (["abc", "d"].map(String::from).to_vec(), true));
    assert!(matches!(&last[..], [Ipc::ProducerFinished(m)] if m.caller.is_some()), "{last:?}");
}

#[test]
fn u41_d28_prompted_reader_joins_lines_as_bytes() {
    let (got, last, ended) = prompted(ReadMode::Lines, "1\n22\n333\n4", &[2, 1, 5, 1]);
    assert_eq!((got, ended), (["1\n22\n", "333\n", "4"].map(String::from).to_vec(), true));
    assert_eq!(last.len(), 1);
}

#[test]
fn u41_a_read_mode_is_bytes_or_lines() {
    assert_eq!("bytes".parse::<ReadMode>().unwrap(), ReadMode::Bytes);
    assert_eq!("lines".parse::<ReadMode>().unwrap(), ReadMode::Lines);
    assert!("words".parse::<ReadMode>().unwrap_err().to_string().contains("words"));
}

#[test]
fn u43_rate_controlled_reader_reads_at_its_rate_to_the_end() {
    let dir = Dir::new();
    let path = dir.file("f", "abcdefghij");
    let s = virtual_time();
    let rate = ByteRate::new(8.0).chunk_size(4.0);
    let r = rate_controlled_file_reader(&path, ReadMode::Bytes, rate).create();
    let end = probe::<Message>();
    axon::link((&r, "outbox"), (&end, "inbox")).unwrap();
    axon::link((&r, "signal"), (&end, "control")).unwrap();
    let start = s.time();
    s.activate(&r);
    s.run().unwrap();
    let got: Vec<_> = end.inbox.drain().map(|m| m.to_string()).collect();
    assert_eq!((got, kinds(&end)), (["abcd", "efgh", "ij"].map(String::from).to_vec(), vec![PF]));
    // Requests at 0, 0.5 and 1 s, and one that finds nothing at 1.5 s. The thread does not know of virtual time, so
    // that requests may have gone on while it read.
    assert!(s.time() - start >= Duration::from_millis(1500));
}

#[test]
fn u43_a_rate_controlled_reader_ends_on_shutdown_microprocess_through_its_parts() {
    let dir = Dir::new();
    let path = dir.file("f", "x".repeat(1000));
    let s = fresh();
    let r = rate_controlled_file_reader(&path, ReadMode::Bytes, ByteRate::new(1.0)).create();
    let end = probe::<Message>();
    axon::link((&r, "outbox"), (&end, "inbox")).unwrap();
    axon::link((&r, "signal"), (&end, "control")).unwrap();
    s.activate(&r);
    run_until(&s, || end.inbox.len() == 1);
    r.control.deliver(sm()).unwrap();
    s.run().unwrap();
    assert_eq!(kinds(&end), [SM]);
}

#[test]
fn u43_reusable_reader_takes_file_after_file() {
    let (dir, s) = (Dir::new(), fresh());
    let r = reusable_file_reader(ReadMode::Lines).create();
    let end = probe::<Message>();
    axon::link((&r, "outbox"), (&end, "inbox")).unwrap();
    axon::link((&r, "signal"), (&end, "control")).unwrap();
    let asked = probe::<String>();
    axon::link(&r.request_next, &asked.inbox).unwrap();
    s.activate(&r);
    for (name, content) in [("a", "1\n2\n"), ("b", "3\n")] {
        let path = dir.file(name, content);
        r.next.deliver(path.clone()).unwrap();
        run_until(&s, || times_open(&path) == 1); // until then a request would go to the file before
        r.inbox.deliver(Message::new(1_usize)).unwrap();
        run_until(&s, || end.inbox.len() == 1);
        assert_eq!(end.inbox.try_recv().unwrap().to_string(), format!("{}\n", &content[..1]));
    }
    // The second file has been read; the next request finds its end.
    r.inbox.deliver(Message::new(1_usize)).unwrap();
    run_until(&s, || asked.inbox.try_recv().as_deref() == Some("NEXT"));
    r.control.deliver(pf()).unwrap();
    s.run().unwrap();
    assert_eq!(kinds(&end), [PF]);
}

#[test]
fn u43_rate_controlled_reusable_reader_takes_a_rate_with_each_file() {
    let (dir, s) = (Dir::new(), virtual_time());
    let r = rate_controlled_reusable_file_reader(ReadMode::Bytes).create();
    let end = probe::<Message>();
    axon::link((&r, "outbox"), (&end, "inbox")).unwrap();
    axon::link((&r, "signal"), (&end, "control")).unwrap();
    s.activate(&r);
    let (a, b) = (dir.file("a", "abcd"), dir.file("b", "efgh"));
    let director = body(async move |cx| {
        let next = |path: &str, rate| {
            let rate = ByteRate::new(rate).chunk_size(rate);
            cx.outbox.send(Message::new((path.to_string(), rate))).unwrap();
        };
        next(&a, 2.0);
        assert_eq!(cx.inbox.recv().await.as_text(), Some("NEXT"));
        next(&b, 3.0);
        // The reader drops producerFinished, and ends at the end of its file.
        cx.signal.send(pf()).unwrap();
    });
    axon::link(r.request_next.untyped(), &director.inbox).unwrap();
    axon::link(&director.outbox, r.next.untyped()).unwrap();
    axon::link(&director.signal, &r.control).unwrap();
    s.activate(&director);
    s.run().unwrap();
    let pieces: Vec<_> = end.inbox.drain().map(|m| m.to_string()).collect();
    assert_eq!((pieces, kinds(&end)), (["ab", "cd", "efg", "h"].map(String::from).to_vec(), vec![PF]));
}

#[test]
fn u43_fixed_rate_reusable_reader_reads_all_files_at_one_rate() {
    let (dir, s) = (Dir::new(), fresh());
    let rate = ByteRate::new(300.0).chunk_size(3.0);
    let r = fixed_rate_controlled_reusable_file_reader(ReadMode::Bytes, rate).create();
    let end = probe::<Message>();
    axon::link((&r, "outbox"), (&end, "inbox")).unwrap();
    axon::link((&r, "signal"), (&end, "control")).unwrap();
    let asked = probe::<Message>();
    axon::link((&r, "requestNext"), (&asked, "inbox")).unwrap();
    s.activate(&r);
    let paths = probe::<String>();
    axon::link((&paths, "outbox"), (&r, "next")).unwrap();
    axon::link((&paths, "outbox"), (&r, "inbox")).unwrap_err(); // one of the two doors at a time
    let mut got = String::new();
    for (name, content) in [("a", "abcd"), ("b", "efgh")] {
        paths.outbox.send(dir.file(name, content)).unwrap();
        run_until(&s, || {
            let said = asked.inbox.try_recv().is_some();
            got.extend(end.inbox.drain().map(|m| m.to_string()));
            said
        });
    }
    assert_eq!(got, "abcdefgh");
    r.control.deliver(sm()).unwrap();
    s.run().unwrap();
    assert_eq!(kinds(&end), [SM]);
}

#[test]
fn u44_simple_writer_truncates_writes_what_is_queued_and_passes_on_what_ended_it() {
    let dir = Dir::new();
    for s in schedulers() {
        for message in [pf(), sm()] {
            let path = dir.file("f", "old content that is longer");
            let kind = message.kind();
            let w = SimpleFileWriter::new(&path).create();
            let end = probe_of!(w);
            (0..3000).for_each(|n: u32| w.inbox.deliver(n.to_string().into_bytes()).unwrap());
            w.control.deliver(message).unwrap();
            s.activate(&w);
            s.run().unwrap();
            let expected: String = (0..3000).map(|n| n.to_string()).collect();
            assert_eq!(fs::read_to_string(&path).unwrap(), expected);
            assert_eq!(kinds(&end), [kind]);
        }
    }
}

#[test]
fn u44_simple_writer_writes_unbuffered_and_can_append() {
    let (dir, s) = (Dir::new(), fresh());
    let path = dir.file("f", "old ");
    let w = SimpleFileWriter::new(&path).append().create();
    s.activate(&w);
    w.inbox.deliver(b"new".to_vec()).unwrap();
    run_until(&s, || fs::read(&path).unwrap() == b"old new"); // though it has not been told to end
    let w2 = SimpleFileWriter::new(&path).create();
    s.activate(&w2);
    run_until(&s, || fs::read(&path).unwrap().is_empty()); // opened, and so truncated, before any message
    w.control.deliver(pf()).unwrap();
    w2.control.deliver(pf()).unwrap();
    s.run().unwrap();
}

#[test]
fn u46_append_appends_and_forwards() {
    let dir = Dir::new();
    for s in schedulers() {
        for message in [pf(), Ipc::Shutdown, Ipc::Status("x".into())] {
            let path = dir.file("f", "old ");
            let kind = message.kind();
            let a = Append::new(&path).create();
            let end = probe_of!(a);
            a.inbox.deliver(Message::from("text ")).unwrap();
            a.inbox.deliver(Message::new("owned ".to_string())).unwrap();
            a.inbox.deliver(Message::from(b"bytes".to_vec())).unwrap();
            a.control.deliver(message).unwrap();
            s.activate(&a);
            s.run().unwrap();
            assert_eq!(fs::read(&path).unwrap(), b"old text owned bytes");
            let out: Vec<_> = end.inbox.drain().collect();
            assert!(out[0].is::<&'static str>() && out[1].is::<String>() && out[2].is::<Vec<u8>>());
            assert_eq!(kinds(&end), [kind]);
        }
    }
}

#[test]
fn u46_append_leaves_its_queue_on_shutdown_microprocess() {
    let (dir, s) = (Dir::new(), fresh());
    let path = dir.file("f", "old");
    let a = Append::new(&path).create();
    let end = probe_of!(a);
    a.inbox.deliver("x".into()).unwrap();
    a.control.deliver(sm()).unwrap();
    s.activate(&a);
    s.run().unwrap();
    assert_eq!((fs::read(&path).unwrap(), kinds(&end)), (b"old".to_vec(), vec![SM]));
}

#[test]
fn u46_append_can_keep_quiet_and_empty_the_file_first() {
    let (dir, s) = (Dir::new(), fresh());
    let path = dir.file("f", "old");
    let a = Append::new(&path).forwarder(false).blat_file().create();
    let end = probe_of!(a);
    s.activate(&a);
    run_until(&s, || fs::read(&path).unwrap().is_empty());
    a.inbox.deliver("new".into()).unwrap();
    a.control.deliver(pf()).unwrap();
    s.run().unwrap();
    assert_eq!((fs::read(&path).unwrap(), end.inbox.len()), (b"new".to_vec(), 0));
}

#[test]
fn u46_append_that_does_not_hold_the_file_open_goes_on_after_it_was_moved() {
    let dir = Dir::new();
    for holds in [true, false] {
        let s = fresh();
        let (path, moved) = (dir.path(&format!("log{holds}")), dir.path(&format!("old{holds}")));
        let a = Append::new(&path).hold_open(holds).create();
        let end = probe_of!(a);
        s.activate(&a);
        a.inbox.deliver("1".into()).unwrap();
        run_until(&s, || end.inbox.len() == 1);
        assert_eq!(times_open(&path), usize::from(holds));
        fs::rename(&path, &moved).unwrap();
        a.inbox.deliver("2".into()).unwrap();
        run_until(&s, || end.inbox.len() == 2);
        assert_eq!(fs::read(&moved).unwrap(), if holds { "12" } else { "1" }.as_bytes());
        assert_eq!(exists(&path), !holds);
        a.control.deliver(pf()).unwrap();
        s.run().unwrap();
    }
}

#[test]
fn u47_d28_max_speed_reader_reads_to_the_end_in_chunks() {
    let dir = Dir::new();
    let content: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    let path = dir.file("f", &content);
    for s in schedulers() {
        let r = MaxSpeedFileReader::new(&path).create();
        let end = probe_of!(r);
        s.activate(&r);
        s.run().unwrap();
        let chunks: Vec<_> = end.inbox.drain().collect();
        assert_eq!(chunks.iter().map(Vec::len).collect::<Vec<_>>(), [32768, 32768, 32768, 1696]);
        assert_eq!(chunks.concat(), content);
        let last: Vec<_> = end.control.drain().collect();
        assert!(matches!(&last[..], [Ipc::ProducerFinished(m)] if m.caller == Some(r.id())), "{last:?}");
    }
}

#[test]
fn u47_max_speed_reader_reads_no_faster_than_its_receiver_takes() {
    let (dir, s) = (Dir::new(), fresh());
    let r = MaxSpeedFileReader::new(dir.file("f", "abcdef")).chunk_size(2).create();
    let end = probe_of!(r);
    end.inbox.set_bound(1);
    s.activate(&r);
    let mut got = Vec::new();
    for _ in 0..3 {
        run_until(&s, || !end.inbox.is_empty());
        got.extend(end.inbox.drain());
    }
    assert_eq!(got, [b"ab", b"cd", b"ef"]);
    s.run().unwrap();
}

fn adaptor(r: ReadFileAdaptor) -> (Vec<(u64, String)>, Duration) {
    let s = virtual_time();
    let r = r.create();
    let (watch, log) = stopwatch::<Vec<u8>>(&s);
    axon::link(&r.outbox, &watch.inbox).unwrap();
    axon::link(&r.signal, &watch.control).unwrap();
    r.control.deliver(pf()).unwrap(); // dropped
    s.activate(&r);
    s.activate(&watch);
    let start = s.time();
    s.run().unwrap();
    let got = log.take().into_iter().map(|(at, d)| (at, String::from_utf8(d).unwrap())).collect();
    (got, s.time() - start)
}

#[test]
fn u47_read_file_adaptor_reads_lines_blocks_and_rates() {
    let dir = Dir::new();
    let path = dir.file("f", "one\ntwo\nx");
    let is = |got: Vec<(u64, String)>, expected: &[(u64, &str)]| {
        assert_eq!(got.iter().map(|(at, t)| (*at, &t[..])).collect::<Vec<_>>(), expected);
    };
    let ms = Duration::from_millis;
    is(adaptor(ReadFileAdaptor::file(&path)).0, &[(0, "one\n"), (0, "two\n"), (0, "x")]);
    let (got, time) = adaptor(ReadFileAdaptor::file(&path).step_time(ms(200)));
    is(got, &[(200, "one\n"), (400, "two\n"), (600, "x")]);
    assert_eq!(time, ms(800), "the end is found one step later");
    let blocks = ReadFileAdaptor::file(&path).blocks(4).step_time(ms(50));
    is(adaptor(blocks).0, &[(50, "one\n"), (100, "two\n"), (150, "x")]);
    // 96 bits a second in 4 blocks a second: 3 bytes each.
    let rate = ReadFileAdaptor::file(&path).bit_rate(96.0, 4.0);
    is(adaptor(rate).0, &[(250, "one"), (500, "\ntw"), (750, "o\nx")]);
}

#[test]
fn u47_read_file_adaptor_reads_the_output_of_a_command() {
    let (got, _) = adaptor(ReadFileAdaptor::command("echo a; echo b; exit 3"));
    assert_eq!(got.iter().map(|(_, t)| &t[..]).collect::<Vec<_>>(), ["a\n", "b\n"]);
}
