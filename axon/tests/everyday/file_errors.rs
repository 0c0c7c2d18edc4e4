//! Readers and writers of files: what goes wrong is told, with the path and the cause.

use std::fs;

use axon::OnFailure;
use axon::file::*;
use axon::prelude::*;
use axon::util::*;

use crate::common::fresh;
use crate::probe::*;

/// The run ends with an error that contains the texts.
fn fails(c: impl Into<AnyInstance>, texts: &[&str]) {
    let s = fresh();
    let c = s.activate(c);
    let e = s.run().unwrap_err().to_string();
    for text in texts {
        assert!(e.contains(text), "{e:?} does not contain {text:?}");
    }
    assert!(e.contains(&c.name()));
}

#[test]
fn u41_u42_u47_files_that_are_missing() {
    let dir = Dir::new();
    let path = dir.path("missing");
    let cause = [&path[..], "cannot open", "No such file"];
    fails(SimpleReader::new(&path), &cause);
    fails(PromptedFileReader::new(&path, ReadMode::Bytes), &cause);
    fails(MaxSpeedFileReader::new(&path), &cause);
    fails(ReadFileAdaptor::file(&path), &cause);
}

#[test]
fn u41_u42_u47_files_that_cannot_be_read() {
    let dir = Dir::new();
    let folder = dir.path(".");
    let cause = ["cannot read", &folder, "directory"];
    fails(SimpleReader::new(&folder), &cause);
    fails(MaxSpeedFileReader::new(&folder), &cause);
    fails(ReadFileAdaptor::file(&folder), &cause);
    let prompted = PromptedFileReader::new(&folder, ReadMode::Lines).create();
    prompted.inbox.deliver(1).unwrap();
    fails(&prompted, &cause);
}

#[test]
fn u42_text_that_is_not_utf_8_is_an_error_that_names_the_line() {
    let dir = Dir::new();
    let path = dir.file("f", b"good\nb\xffd\n");
    fails(SimpleReader::new(&path), &["line 2", &path, "utf-8"]);
    let s = fresh();
    s.activate(Pipeline::new().then(SimpleReader::bytes(&path)).then(NullSink::new()));
    s.run().unwrap();
}

#[test]
fn u44_u46_files_that_cannot_be_opened_to_write() {
    let dir = Dir::new();
    let path = dir.path("no/such/place");
    fails(SimpleFileWriter::new(&path), &["cannot open", &path, "No such file"]);
    let a = Append::new(&path).create();
    a.inbox.deliver("x".into()).unwrap();
    fails(&a, &["cannot append", &path, "No such file"]);
    fails(Append::new(&path).blat_file(), &["cannot append", &path, "No such file"]);
}

#[test]
fn u44_u46_a_full_disk_is_told_and_the_messages_left_are_not_lost() {
    let w = SimpleFileWriter::new("/dev/full").create();
    w.inbox.deliver(vec![1; 10]).unwrap();
    fails(&w, &["/dev/full", "after 0 bytes", "No space left"]);
    let a = Append::new("/dev/full").create();
    let end = probe_of!(a);
    ["1", "2", "3"].iter().for_each(|t| a.inbox.deliver((*t).into()).unwrap());
    fails(&a, &["/dev/full", "No space left"]);
    assert_eq!((a.inbox.len(), end.inbox.len()), (2, 0), "what was not written is not forwarded");
}

#[test]
fn u46_append_refuses_what_is_neither_text_nor_bytes() {
    let dir = Dir::new();
    let path = dir.path("f");
    let a = Append::new(&path).create();
    a.inbox.deliver(Message::new(7_u64)).unwrap();
    fails(&a, &["u64", &path]);
}

#[test]
fn u47_portions_of_no_bytes_are_refused() {
    let dir = Dir::new();
    let path = dir.file("f", "x");
    fails(MaxSpeedFileReader::new(&path).chunk_size(0), &["chunks of 0 bytes", &path]);
    fails(ReadFileAdaptor::file(&path).blocks(0), &["blocks of 0 bytes", &path]);
    fails(ReadFileAdaptor::file(&path).bit_rate(8.0, 24.0), &["blocks of 0 bytes", &path]);
}

#[test]
fn d43_a_component_that_fails_leaves_no_file_open() {
    let dir = Dir::new();
    let s = fresh();
    s.set_on_failure(OnFailure::GoOn);
    let path = dir.file("f", b"good\nb\xffd\n");
    s.activate(SimpleReader::new(&path));
    s.run().unwrap();
    run_until(&s, || times_open(&path) == 0);
    assert!(fs::exists(&path).unwrap());
}
