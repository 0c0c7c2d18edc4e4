//! A file as a stream of bytes while it comes, over real sockets on loopback.

use std::cell::{Cell, RefCell};
use std::ops::ControlFlow;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use axon::prelude::*;
use axon::tracker::Tracker as Cat;
use kamaelia_torrent::components::{
    ClearPieceDeadlines, CreateNewTorrent, ReadFile, RequestTag, SetPieceDeadline, StopReading,
    TorrentClient, TorrentEvent, TorrentFileStream, TorrentPatron,
};
use kamaelia_torrent::engine::{Settings, TorrentId};
use kamaelia_torrent::make::Maker;
use kamaelia_torrent::proto::metainfo::Metainfo;
use kamaelia_torrent::proto::selection::Priority;

use crate::slow::slow_seed;
use crate::support::{Bounded, Seen, User, attach};

const PIECE: usize = 32_768;

/// A torrent of three files and its payload.
struct Album {
    torrent: Vec<u8>,
    files: [Vec<u8>; 3],
}

fn album(dir: &Path) -> Album {
    let from = dir.join("album");
    std::fs::create_dir_all(&from).unwrap();
    let files = [("a.txt", 10_000), ("b.ogg", 700_000), ("c.ogg", 4_000_000)].map(|(name, len)| {
        let mut data = vec![0; len];
        fastrand::Rng::with_seed(len as u64).fill(&mut data);
        std::fs::write(from.join(name), &data).unwrap();
        data
    });
    let made = Maker::new(&from).piece_len(PIECE as u32).make(|_| ControlFlow::Continue(())).unwrap();
    Album { torrent: made.bytes, files }
}

impl Album {
    fn request(&self, to: &Path, blocks_per_second: u32) -> CreateNewTorrent {
        let metainfo = Metainfo::parse(&self.torrent).unwrap();
        let payload = Arc::new(self.files.concat());
        let hash = metainfo.info_hash().0;
        let mut create = CreateNewTorrent::new(self.torrent.clone());
        create.peers = vec![slow_seed(hash, payload, PIECE, blocks_per_second, usize::MAX)];
        create.dir = Some(to.to_path_buf());
        create
    }
}

fn client() -> AnyInstance {
    let settings = Settings { listen: Some("127.0.0.1:0".parse().unwrap()), ..Settings::default() };
    TorrentClient::with_settings(settings).tick_interval(Duration::from_millis(20)).create().any()
}

ports! {
    struct SinkPorts {
        in  { inbox: Vec<u8>, control: Ipc, status: TorrentEvent }
        out { outbox: (), signal: Ipc }
    }
}

/// What a sink got.
#[derive(Clone, Default)]
struct Got {
    bytes: Rc<RefCell<Vec<u8>>>,
    /// Payload downloaded when the first bytes came.
    first_at: Rc<Cell<Option<u64>>>,
    downloaded: Rc<Cell<u64>>,
    most_waiting: Rc<Cell<usize>>,
    errors: Rc<RefCell<Vec<String>>>,
}

/// Takes a chunk after each `pause`, and stops the stream after `enough` bytes.
struct Sink {
    got: Got,
    pause: Duration,
    enough: usize,
}

impl Component for Sink {
    type Ports = SinkPorts;

    async fn main(self, cx: Cx<SinkPorts>) {
        loop {
            while let Some(event) = cx.status.try_recv() {
                if let TorrentEvent::TorrentStatusUpdate { status, .. } = event {
                    self.got.downloaded.set(status.downloaded);
                }
            }
            let waiting = self.got.most_waiting.get().max(cx.inbox.len());
            self.got.most_waiting.set(waiting);
            if let Some(bytes) = cx.inbox.try_recv() {
                self.got.first_at.set(self.got.first_at.get().or(Some(self.got.downloaded.get())));
                self.got.bytes.borrow_mut().extend(bytes);
                if self.got.bytes.borrow().len() >= self.enough {
                    let _ = cx.signal.send(Ipc::Shutdown);
                }
                if !self.pause.is_zero() {
                    cx.sleep(self.pause).await;
                }
                continue;
            }
            while let Some(message) = cx.control.try_recv() {
                if let Ipc::ErrorInformation(error) = &message {
                    self.got.errors.borrow_mut().extend(error.exception.clone());
                }
                if message.is_producer_finished() {
                    return;
                }
            }
            cx.pause().await;
        }
    }
}

fn join(s: &Scheduler, cat: &Rc<Cat>, stream: TorrentFileStream, sink: Sink) {
    let (stream, sink) = (stream.with_client(client).create(), sink.create());
    stream.set_tracker(cat.clone());
    axon::link(&stream.outbox, &sink.inbox).unwrap();
    axon::link(&stream.status, &sink.status).unwrap();
    axon::link(&stream.signal, &sink.control).unwrap();
    axon::link(&sink.signal, &stream.control).unwrap();
    s.activate(&stream);
    s.activate(&sink);
}

fn sink(got: &Got) -> Sink {
    Sink { got: got.clone(), pause: Duration::ZERO, enough: usize::MAX }
}

#[test]
fn the_first_bytes_come_long_before_the_torrent_is_complete() {
    let folder = tempfile::tempdir().unwrap();
    let album = album(folder.path());
    let (s, cat, got) = (Scheduler::new(), Cat::new(), Got::default());
    let stream = TorrentFileStream::of(album.request(&folder.path().join("to"), 100)).file("b.ogg");
    join(&s, &cat, stream, sink(&got));
    s.run_bounded().unwrap();
    assert!(*got.bytes.borrow() == album.files[1], "{} bytes", got.bytes.borrow().len());
    assert!(got.first_at.get().unwrap() < 400_000, "{:?} bytes", got.first_at);
    // 4.7 MB in all: nothing but its pieces was fetched, and what they hold of others is no file.
    assert!(got.downloaded.get() <= 22 * PIECE as u64, "{:?} bytes", got.downloaded);
    let to = folder.path().join("to/album");
    assert!(std::fs::read(to.join("b.ogg")).unwrap() == album.files[1]);
    assert!(!to.join("a.txt").exists() && !to.join("c.ogg").exists());
    assert!(cat.services().is_empty(), "the service ended");
}

#[test]
fn torrents_in_the_inbox_are_streamed_one_after_the_other() {
    let folder = tempfile::tempdir().unwrap();
    let album = album(folder.path());
    let (s, cat, got) = (Scheduler::new(), Cat::new(), Got::default());
    let stream = TorrentFileStream::new().with_client(client).create();
    stream.set_tracker(cat.clone());
    let sink = sink(&got).create();
    axon::link(&stream.outbox, &sink.inbox).unwrap();
    axon::link(&stream.signal, &sink.control).unwrap();
    stream.inbox.deliver(Message::new(album.request(folder.path(), 1000))).unwrap();
    stream.inbox.deliver(Message::new(17_u8)).unwrap();
    // All is there already the second time; it is the longest file.
    stream.inbox.deliver(Message::new(album.request(folder.path(), 1000))).unwrap();
    stream.control.deliver(Ipc::producer_finished()).unwrap();
    s.activate(&stream);
    s.activate(&sink);
    let failure = s.run_bounded().unwrap_err().to_string();
    assert!(failure.contains("a message of type u8 is no torrent"), "{failure}");
    s.run_bounded().unwrap();
    assert!(*got.bytes.borrow() == [&album.files[2][..], &album.files[2]].concat());
    assert_eq!(*got.errors.borrow(), ["a message of type u8 is no torrent"]);
}

#[test]
fn a_slow_receiver_holds_the_stream_back() {
    let folder = tempfile::tempdir().unwrap();
    let album = album(folder.path());
    let (s, cat, got) = (Scheduler::new(), Cat::new(), Got::default());
    // It is complete already: nothing but the receiver is slow.
    let stream = TorrentFileStream::of(album.request(folder.path(), 1000));
    join(&s, &cat, stream, Sink { pause: Duration::from_millis(20), ..sink(&got) });
    s.run_bounded().unwrap();
    assert!(*got.bytes.borrow() == album.files[2]);
    assert!((2..=4).contains(&got.most_waiting.get()), "{:?} chunks", got.most_waiting);
}

#[test]
fn two_streams_share_a_client_and_each_gets_its_own_file() {
    let folder = tempfile::tempdir().unwrap();
    let album = album(folder.path());
    let (s, cat) = (Scheduler::new(), Cat::new());
    let (one, two) = (Got::default(), Got::default());
    let request = album.request(&folder.path().join("to"), 300);
    join(&s, &cat, TorrentFileStream::of(request.clone()).file("1"), sink(&one));
    join(&s, &cat, TorrentFileStream::of(request).file("c.*"), sink(&two));
    s.run_bounded().unwrap();
    assert!(*one.bytes.borrow() == album.files[1]);
    assert!(*two.bytes.borrow() == album.files[2]);
    // The second was added to what the first wanted, and nothing else was.
    let to = folder.path().join("to/album");
    assert!(std::fs::read(to.join("b.ogg")).unwrap() == album.files[1]);
    assert!(std::fs::read(to.join("c.ogg")).unwrap() == album.files[2]);
    assert!(!to.join("a.txt").exists());
}

#[test]
fn what_is_said_of_other_files_counts() {
    let folder = tempfile::tempdir().unwrap();
    let album = album(folder.path());
    let (s, cat, got) = (Scheduler::new(), Cat::new(), Got::default());
    let mut request = album.request(&folder.path().join("to"), 1000);
    request.priorities = vec![Priority::HIGHEST, Priority::SKIP, Priority::SKIP];
    join(&s, &cat, TorrentFileStream::of(request).file("b.ogg"), sink(&got));
    s.run_bounded().unwrap();
    assert!(*got.bytes.borrow() == album.files[1]);
    let to = folder.path().join("to/album");
    assert!(to.join("a.txt").exists() && to.join("b.ogg").exists() && !to.join("c.ogg").exists());
}

#[test]
fn a_stream_that_is_shut_down_ends_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let album = album(folder.path());
    let (s, cat, got) = (Scheduler::new(), Cat::new(), Got::default());
    let stream = TorrentFileStream::of(album.request(&folder.path().join("to"), 100));
    join(&s, &cat, stream, Sink { enough: 100_000, ..sink(&got) });
    s.run_bounded().unwrap();
    assert!(got.bytes.borrow().len() < 1_000_000);
    assert!(album.files[2].starts_with(&got.bytes.borrow()));
    assert!(cat.services().is_empty());
}

#[test]
fn what_cannot_be_streamed_is_reported() {
    for (raw, file, why) in [
        (b"d4:infoe".to_vec(), "0", "not a usable .torrent file: "),
        (vec![], "*.mp3", "no file is called \"*.mp3\""),
        (vec![], "9", "there is no file 9: there are 3, counted from 0"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let raw = if raw.is_empty() { album(folder.path()).torrent } else { raw };
        let (s, got) = (Scheduler::new(), Got::default());
        join(&s, &Cat::new(), TorrentFileStream::of(CreateNewTorrent::new(raw)).file(file), sink(&got));
        assert!(s.run_bounded().unwrap_err().to_string().contains(why), "{why}");
        s.run_bounded().unwrap();
        assert!(got.errors.borrow()[0].contains(why) && got.bytes.borrow().is_empty());
    }
}

/// A patron reads by messages: each request has its end, a jump and wrong requests included.
#[test]
fn reads_by_message_end_with_one_answer_each() {
    let folder = tempfile::tempdir().unwrap();
    let album = album(folder.path());
    let (s, seen) = (Scheduler::new(), Seen::default());
    let patron = TorrentPatron::with_client(client).create();
    patron.set_tracker(Cat::new());
    let id = TorrentId(1);
    let read = |file, tag| ReadFile::whole(id, file, RequestTag(tag));
    let later = vec![
        Message::new(read(1, 5)),
        // Takes the place of the one before.
        Message::new(ReadFile { offset: 699_000, ..read(1, 5) }),
        Message::new(ReadFile { len: Some(3), ..read(2, 6) }),
        Message::new(read(7, 7)),
        Message::new(ReadFile { torrent_id: TorrentId(9), ..read(0, 8) }),
        Message::new(read(2, 9)),
        Message::new(StopReading { torrent_id: id, tag: RequestTag(9) }),
        Message::new(StopReading { torrent_id: id, tag: RequestTag(99) }),
        Message::new(SetPieceDeadline { torrent_id: id, piece: 3, within: Duration::from_secs(1) }),
        Message::new(SetPieceDeadline { torrent_id: id, piece: 4, within: Duration::MAX }),
        Message::new(SetPieceDeadline { torrent_id: id, piece: 4_000, within: Duration::ZERO }),
        Message::new(ClearPieceDeadlines { torrent_id: id }),
        Message::new(ClearPieceDeadlines { torrent_id: TorrentId(9) }),
    ];
    let asked = Cell::new(false);
    let inbox = patron.clone();
    let later = RefCell::new(later);
    let user = User {
        requests: vec![Message::new(album.request(folder.path(), 1000))],
        seen: seen.clone(),
        done: Box::new(move |seen| {
            if !asked.get() && !seen.answers().is_empty() {
                asked.set(true);
                later.borrow_mut().drain(..).for_each(|m| inbox.inbox.deliver(m).unwrap());
            }
            let ends =
                |a: &String| a.contains("file read") || a.contains("file not read") || a.contains("Deadline");
            seen.answers().iter().filter(|a| ends(a)).count() >= 6
        }),
    };
    attach(&s, user, patron);
    s.run_bounded().unwrap();
    let of = |tag: u64| {
        let (mut bytes, mut ends) = (Vec::new(), Vec::new());
        for event in seen.all() {
            match event {
                TorrentEvent::FileData { tag: t, data, .. } if t == RequestTag(tag) => {
                    if data.offset() == 699_000 {
                        bytes.clear();
                    }
                    bytes.extend_from_slice(&data);
                }
                TorrentEvent::ReadEnded { tag: t, error, .. } if t == RequestTag(tag) => ends.push(error),
                _ => {}
            }
        }
        (bytes, ends)
    };
    let (bytes, ends) = of(5);
    assert!(bytes == album.files[1][699_000..] && ends == [None], "{ends:?}");
    assert_eq!(of(6), (album.files[2][..3].to_vec(), vec![None]));
    assert_eq!(of(7).1, [Some("there is no file 7: the torrent has 3, counted from 0".to_owned())]);
    assert_eq!(of(8).1, [Some("this patron has no torrent of this number".to_owned())]);
    assert!(of(9).1.is_empty(), "stopped");
    let failed: Vec<String> = seen.answers().into_iter().filter(|a| a.contains("Deadline")).collect();
    assert_eq!(
        failed,
        [
            "Torrent 9 ClearPieceDeadlines: this patron has no torrent of this number",
            "Torrent 1 SetPieceDeadline: there is no piece 4000: the torrent has 144, counted from 0",
        ]
    );
}
