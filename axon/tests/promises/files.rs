//! Readers and writers of files.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use axon::file::{TriggeredFileReader, WholeFileWriter};
use axon::prelude::*;

use crate::common::fresh;

/// A directory that goes when it is dropped.
struct Dir(PathBuf);

impl Dir {
    fn new() -> Self {
        static N: AtomicU32 = AtomicU32::new(0);
        let name = format!("axon-test-{}-{}", std::process::id(), N.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }
    fn file(&self, name: &str) -> String {
        self.0.join(name).display().to_string()
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

axon::ports! { pub struct Bytes { in { inbox: Vec<u8>, names: String, control: Ipc } out { outbox: u8 } } }
struct Sink;
impl Component for Sink {
    type Ports = Bytes;
    async fn main(self, _: Cx<Bytes>) {}
}

#[test]
fn u40_a_reader_sends_whole_files_in_order_and_then_a_producer_finished_of_its_own() {
    let (s, dir, to) = (fresh(), Dir::new(), Sink.create());
    let r = TriggeredFileReader::new().create();
    axon::link(&r.outbox, &to.inbox).unwrap();
    axon::link(&r.signal, &to.control).unwrap();
    for n in 0..50_u8 {
        fs::write(dir.file(&n.to_string()), [n, 255]).unwrap();
        let end = ["", "\n", "\r\n"][usize::from(n % 3)];
        r.inbox.deliver(dir.file(&n.to_string()) + end).unwrap();
    }
    r.control.deliver(Ipc::shutdown_microprocess()).unwrap(); // dropped, as in the original
    r.control.deliver(Ipc::producer_finished()).unwrap();
    s.activate(&r);
    s.run().unwrap();
    assert!(to.inbox.drain().eq((0..50).map(|n| vec![n, 255])));
    let end: Vec<_> = to.control.drain().collect();
    assert!(matches!(&end[..], [Ipc::ProducerFinished(m)] if m.caller == Some(r.id())), "{end:?}");
}

#[test]
fn u40_more_files_than_the_queue_of_its_thread_holds_are_all_read() {
    let (s, dir, to) = (fresh(), Dir::new(), Sink.create());
    let file = dir.file("x");
    fs::write(&file, "x").unwrap();
    let r = TriggeredFileReader::new().create();
    axon::link(&r.outbox, &to.inbox).unwrap();
    (0..2500).for_each(|_| r.inbox.deliver(file.clone()).unwrap());
    r.control.deliver(Ipc::Shutdown).unwrap();
    s.activate(&r);
    s.run().unwrap();
    assert_eq!(to.inbox.len(), 2500);
}

#[test]
fn u40_an_unreadable_file_ends_it_with_an_error_that_names_the_file() {
    let (s, dir) = (fresh(), Dir::new());
    let r = TriggeredFileReader::new().create();
    r.inbox.deliver(dir.file("missing")).unwrap();
    s.activate(&r);
    let e = s.run().unwrap_err().to_string();
    assert!(e.contains(&dir.file("missing")) && e.contains(&r.name()), "{e}");
    assert!(r.is_stopped());
}

#[test]
fn u45_d51_a_writer_finishes_its_queue_on_producer_finished() {
    let (s, dir, to) = (fresh(), Dir::new(), Sink.create());
    let w = WholeFileWriter::new().create();
    axon::link(&w.outbox, &to.names).unwrap();
    axon::link(&w.signal, &to.control).unwrap();
    for n in 0..1500 {
        w.inbox.deliver((dir.file(&format!("{}", n % 7)), vec![n as u8; 10])).unwrap();
    }
    w.control.deliver(Ipc::producer_finished()).unwrap();
    s.activate(&w);
    s.run().unwrap();
    assert_eq!(to.names.len(), 1500);
    assert_eq!(fs::read(dir.file("1")).unwrap(), [(1499 % 256) as u8; 10], "the last of its name");
    assert!(to.control.try_recv().unwrap().is_producer_finished());
}

#[test]
fn u45_d51_a_writer_stops_at_once_on_shutdown_microprocess() {
    let (s, dir, to) = (fresh(), Dir::new(), Sink.create());
    let w = WholeFileWriter::new().create();
    axon::link(&w.signal, &to.control).unwrap();
    w.control.deliver(Ipc::shutdown_microprocess()).unwrap();
    s.activate(&w);
    s.run().unwrap();
    assert!(to.control.try_recv().unwrap().is_shutdown_microprocess());
    assert_eq!(fs::read_dir(&dir.0).unwrap().count(), 0);
}

#[test]
fn u45_a_file_that_cannot_be_written_ends_it_with_an_error_that_names_the_file() {
    let (s, dir) = (fresh(), Dir::new());
    let w = WholeFileWriter::new().create();
    w.inbox.deliver((dir.file("no/such/place"), vec![])).unwrap();
    s.activate(&w);
    let e = s.run().unwrap_err().to_string();
    assert!(e.contains("no/such/place"), "{e}");
}
