//! TorrentMaker (TO-MK-01 to 03, D-38).

use std::fs;

use axon::prelude::*;
use kamaelia_torrent::components::{MakeTorrent, MakerPorts, TorrentMaker};
use kamaelia_torrent::proto::metainfo::Metainfo;

use crate::support::Bounded;

ports! { struct EarPorts { in { inbox: Vec<u8>, control: Ipc } out { } } }

/// Never activated: its inboxes keep what arrives.
struct Ear;
impl Component for Ear {
    type Ports = EarPorts;
    async fn main(self, _: Cx<EarPorts>) {}
}

/// Runs a maker to its end on these messages; what it sent on `outbox`, and the texts of what it sent on `signal`.
fn make(maker: TorrentMaker, messages: Vec<Message>, end: Ipc) -> (Vec<Metainfo>, Vec<String>) {
    make_beside(None, maker, messages, end)
}

fn make_beside(
    busy: Option<Busy>,
    maker: TorrentMaker,
    messages: Vec<Message>,
    end: Ipc,
) -> (Vec<Metainfo>, Vec<String>) {
    let s = Scheduler::new();
    if let Some(busy) = busy {
        s.activate(busy);
    }
    let (maker, ear): (Instance<MakerPorts>, _) = (maker.create(), Ear.create());
    axon::link(&maker.outbox, &ear.inbox).unwrap();
    axon::link(&maker.signal, &ear.control).unwrap();
    for m in messages {
        maker.inbox.deliver(m).unwrap();
    }
    maker.control.deliver(end).unwrap();
    s.activate(&maker);
    s.run_bounded().unwrap();
    let made = ear.inbox.drain().map(|bytes| Metainfo::parse(&bytes).unwrap()).collect();
    (made, ear.control.drain().map(|m| m.to_string()).collect())
}

/// TO-MK-01, TO-MK-02.
#[test]
fn to_mk_01_a_bare_path_means_the_usual_torrent() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("song.bin");
    fs::write(&path, vec![7; 600_000]).unwrap();
    let maker = TorrentMaker::with_default_tracker("http://t.example/announce");
    let (made, signals) =
        make(maker, vec![Message::new(path.display().to_string())], Ipc::producer_finished());
    let m = &made[0];
    assert_eq!((m.name(), m.comment()), ("song.bin", Some("Created by Kamaelia")));
    assert_eq!(m.trackers(), [["http://t.example/announce"]]);
    assert_eq!((m.geometry().piece_len(), m.geometry().total_len()), (1 << 18, 600_000));
    assert_eq!(signals, ["producerFinished"]);
}

#[test]
fn to_mk_01_a_request_says_everything_itself() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("x"), "hello").unwrap();
    let request = MakeTorrent {
        tracker_url: String::new(),
        log2_piece_size_bytes: 15,
        title: "title".into(),
        comment: "words".into(),
        src_file: folder.path().join("x"),
    };
    let (made, _) = make(TorrentMaker::new(), vec![Message::new(request)], Ipc::producer_finished());
    let m = &made[0];
    assert_eq!((m.name(), m.comment(), m.geometry().piece_len()), ("title", Some("words"), 32_768));
    assert!(m.trackers().is_empty());
}

/// TO-MK-02: the original prints the failure.
#[test]
fn d_38_what_cannot_be_made_is_reported_and_the_rest_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let good = folder.path().join("good");
    fs::write(&good, "x").unwrap();
    let too_long = MakeTorrent {
        tracker_url: String::new(),
        log2_piece_size_bytes: 77,
        title: "t".into(),
        comment: String::new(),
        src_file: good.clone(),
    };
    let messages = vec![
        Message::from("/does/not/exist"),
        Message::new(7_u64),
        Message::new(too_long),
        Message::new(good.display().to_string()),
    ];
    let (made, signals) = make(TorrentMaker::new(), messages, Ipc::producer_finished());
    assert_eq!(made.len(), 1);
    assert_eq!(signals.len(), 4, "{signals:?}");
    assert!(signals[0].contains("/does/not/exist"), "{signals:?}");
    assert!(signals[1].contains("u64") && signals[2].contains("2^77"), "{signals:?}");
    assert_eq!(signals[3], "producerFinished");
}

#[test]
fn to_mk_03_shutdown_ends_it_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("large");
    // Sparse: hashing it would take seconds.
    fs::File::create(&path).unwrap().set_len(8 << 30).unwrap();
    let (made, signals) =
        make(TorrentMaker::new(), vec![Message::new(path.display().to_string())], Ipc::Shutdown);
    assert!(made.is_empty());
    assert_eq!(signals, ["producerFinished"]);
}

ports! { struct NoPorts { in { } out { } } }

/// Keeps the scheduler busy for 10 ms in each of its steps.
struct Busy;
impl Component for Busy {
    type Ports = NoPorts;
    async fn main(self, cx: Cx<NoPorts>) {
        for _ in 0..20 {
            std::thread::sleep(std::time::Duration::from_millis(10));
            cx.yield_now().await;
        }
    }
}

/// TO-MK-03. The requests fail at once and the scheduler is busy, so the thread finds its queue empty while more is on the way.
#[test]
fn d_38_producer_finished_waits_for_requests_that_do_not_fit_the_threads_queue() {
    let messages = (0..2500).map(|_| Message::from("/does/not/exist")).collect();
    let (_, signals) = make_beside(Some(Busy), TorrentMaker::new(), messages, Ipc::producer_finished());
    assert_eq!(signals.len(), 2501);
}
