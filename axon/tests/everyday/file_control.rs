//! Readers and writers of files: how they end, and that they leave nothing open.

use std::fs;
use std::time::{Duration, Instant};

use axon::file::*;
use axon::prelude::*;

use crate::common::fresh;
use crate::probe::*;

/// Waits until this process does not have the file open.
fn closes(path: &str) {
    let start = Instant::now();
    while times_open(path) > 0 {
        assert!(start.elapsed() < Duration::from_secs(60), "{path} stays open");
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn u42_shutdown_microprocess_ends_a_reader_that_waits_for_room_or_for_its_file() {
    let (dir, s) = (Dir::new(), fresh());
    let path = dir.file("f", "1\n2\n3\n");
    let r = SimpleReader::new(&path).create();
    let end = probe_of!(r);
    end.inbox.set_bound(1);
    s.activate(&r);
    run_until(&s, || end.inbox.len() == 1);
    assert_eq!(times_open(&path), 1);
    r.control.deliver(pf()).unwrap();
    s.run_until_idle().unwrap();
    assert!(!r.is_stopped(), "producerFinished is dropped");
    r.control.deliver(sm()).unwrap();
    s.run().unwrap();
    assert_eq!(kinds(&end), [SM], "no producerFinished then");
    closes(&path);

    // Nobody will ever write to this pipe.
    let pipe = dir.path("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let r = SimpleReader::new(&pipe).create();
    let end = probe_of!(r);
    s.activate(&r);
    s.run_until_idle().unwrap();
    r.control.deliver(sm()).unwrap();
    s.run().unwrap();
    assert_eq!(kinds(&end), [SM]);
    fs::OpenOptions::new().write(true).open(&pipe).unwrap(); // lets the thread go
}

#[test]
fn u41_d43_a_prompted_reader_closes_its_file_when_it_ends() {
    let (dir, s) = (Dir::new(), fresh());
    let path = dir.file("f", "abc");
    for ends_by_control in [false, true] {
        let r = PromptedFileReader::new(&path, ReadMode::Bytes).create();
        let end = probe_of!(r);
        s.activate(&r);
        r.inbox.deliver(3).unwrap();
        run_until(&s, || end.inbox.len() == 1);
        assert_eq!(times_open(&path), 1);
        if ends_by_control {
            r.control.deliver(sm()).unwrap();
            s.run().unwrap();
            assert_eq!(kinds(&end), [SM]);
            closes(&path);
        } else {
            r.inbox.deliver(1).unwrap();
            s.run().unwrap();
            assert_eq!(times_open(&path), 0, "closed before the end is told");
        }
    }
}

#[test]
fn u44_d43_a_writer_closes_its_file_before_its_end_is_told() {
    let (dir, s) = (Dir::new(), fresh());
    let path = dir.file("f", "");
    let w = SimpleFileWriter::new(&path).create();
    let end = probe_of!(w);
    s.activate(&w);
    run_until(&s, || times_open(&path) == 1);
    w.control.deliver(pf()).unwrap();
    while end.control.is_empty() {
        s.step().unwrap();
    }
    assert_eq!(times_open(&path), 0);
}

#[test]
fn d43_files_are_closed_when_the_components_are_dropped() {
    let dir = Dir::new();
    let path = dir.file("f", "1\n2\n".repeat(10));
    let s = fresh();
    let full = probe::<Vec<u8>>();
    full.inbox.set_bound(1);
    let text = probe::<String>();
    text.inbox.set_bound(1);
    let lines = SimpleReader::new(&path).create();
    axon::link(&lines.outbox, &text.inbox).unwrap();
    s.activate(lines);
    let prompted = PromptedFileReader::new(&path, ReadMode::Bytes).create();
    s.activate(prompted);
    let fast = MaxSpeedFileReader::new(&path).chunk_size(1).create();
    axon::link(&fast.outbox, &full.inbox).unwrap();
    s.activate(fast);
    let adaptor = ReadFileAdaptor::file(&path).create();
    axon::link(&adaptor.outbox, &full.inbox).unwrap();
    s.activate(adaptor);
    s.activate(SimpleFileWriter::new(&path).append());
    let append = Append::new(&path).create();
    append.inbox.deliver("3\n".into()).unwrap();
    s.activate(append);
    run_until(&s, || times_open(&path) == 6);
    drop(s);
    Scheduler::set_thread_default(None);
    closes(&path);
}

#[test]
fn d43_files_are_closed_when_the_scheduler_is_stopped() {
    let dir = Dir::new();
    let path = dir.file("f", "");
    let s = fresh();
    s.activate(SimpleFileWriter::new(&path));
    s.activate(PromptedFileReader::new(&path, ReadMode::Bytes));
    run_until(&s, || times_open(&path) == 2);
    s.stop();
    s.run().unwrap();
    closes(&path);
}

#[test]
fn u47_control_ends_a_max_speed_reader() {
    let dir = Dir::new();
    let path = dir.file("f", "abcdef");
    for s in schedulers() {
        let start = |s: &Scheduler| {
            let r = MaxSpeedFileReader::new(&path).chunk_size(2).create();
            let end = probe_of!(r);
            end.inbox.set_bound(1);
            s.activate(&r);
            run_until(s, || end.inbox.len() == 1);
            (r, end)
        };
        let (r, end) = start(&s);
        r.control.deliver(sm()).unwrap();
        s.run().unwrap();
        assert_eq!((kinds(&end), end.inbox.len()), (vec![SM], 1), "at once, though a chunk waits");
        closes(&path);
        let (r, end) = start(&s);
        r.control.deliver(pf()).unwrap();
        s.run_until_idle().unwrap();
        assert!(!r.is_stopped());
        end.inbox.try_recv();
        s.run().unwrap();
        assert_eq!(kinds(&end), [PF]);
        assert!(end.inbox.len() <= 1, "after the chunk at hand");
    }
}

#[test]
fn u47_shutdown_microprocess_ends_a_read_file_adaptor_and_its_command() {
    let (dir, s) = (Dir::new(), fresh());
    let pid = dir.path("pid");
    let r = ReadFileAdaptor::command(&format!("echo $$ > {pid}; echo on; exec sleep 1000")).create();
    let end = probe_of!(r);
    s.activate(&r);
    run_until(&s, || end.inbox.len() == 1);
    let pid = fs::read_to_string(pid).unwrap();
    r.control.deliver(sm()).unwrap();
    s.run().unwrap();
    assert_eq!(kinds(&end), [SM]);
    assert!(!exists(&format!("/proc/{}", pid.trim())), "killed and collected");
}

#[test]
fn d23_file_components_sleep_while_there_is_nothing_to_do() {
    let (dir, s) = (Dir::new(), fresh());
    let path = dir.file("f", "abc");
    s.activate(PromptedFileReader::new(&path, ReadMode::Lines));
    s.activate(SimpleFileWriter::new(dir.path("g")));
    s.activate(Append::new(&path));
    let held = MaxSpeedFileReader::new(&path).create();
    let end = probe_of!(held);
    end.inbox.set_bound(0);
    s.activate(&held);
    run_until(&s, || times_open(&path) == 2);
    s.run_until_idle().unwrap(); // would not return if one of them looked again and again
}
