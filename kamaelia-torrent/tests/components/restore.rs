//! Torrents that come back in a later session, through patrons.

use std::fs;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::Duration;

use axon::prelude::*;
use axon::tracker::Tracker as Cat;
use kamaelia_torrent::components::{
    CreateNewTorrent, RemoveTorrent, RequestTag, RestoreTorrents, TorrentClient, TorrentPatron,
};
use kamaelia_torrent::engine::Settings;
use kamaelia_torrent::make::Maker;

use crate::support::{Bounded, Seen, User, attach};

/// A .torrent file of something that lies in the folder.
fn torrent(dir: &Path, name: &str) -> Vec<u8> {
    fs::write(dir.join(name), name.repeat(1000)).unwrap();
    Maker::new(dir.join(name)).make(|_| ControlFlow::Continue(())).unwrap().bytes
}

/// A patron with a client of its own that keeps its state in the folder.
fn patron(dir: &Path, restore: bool) -> AnyInstance {
    let folder = dir.to_path_buf();
    let patron = TorrentPatron::with_client(move || {
        let settings = Settings {
            listen: Some("127.0.0.1:0".parse().unwrap()),
            state_dir: Some(folder.join("state")),
            ..Settings::default()
        };
        let client = TorrentClient::with_settings(settings).dir(&folder);
        client.restore(restore).tick_interval(Duration::from_millis(10)).create().any()
    });
    let patron = patron.create();
    patron.set_tracker(Cat::new());
    patron.any()
}

/// One session: a patron with these requests, until it has heard so many answers and updates.
fn session(dir: &Path, restore: bool, requests: Vec<Message>, answers: usize, updates: usize) -> Vec<String> {
    let s = Scheduler::new();
    let seen = Seen::default();
    let done = Box::new(move |seen: &Seen| seen.answers().len() >= answers && seen.updates() >= updates);
    attach(&s, User { requests, seen: seen.clone(), done }, patron(dir, restore));
    s.run_bounded().unwrap();
    seen.answers()
}

/// Asks for a torrent, removes it when it is there, and leaves.
struct Remover(Vec<u8>);

impl Component for Remover {
    type Ports = crate::support::UserPorts;

    async fn main(self, cx: Cx<crate::support::UserPorts>) {
        cx.outbox.send(Message::new(CreateNewTorrent::new(self.0))).unwrap();
        let created = cx.inbox.recv().await;
        let torrent_id = created.torrent_id().unwrap();
        cx.outbox.send(Message::new(RemoveTorrent { torrent_id })).unwrap();
        cx.signal.send(Ipc::producer_finished()).unwrap();
        while !cx.control.recv().await.is_producer_finished() {}
    }
}

fn remove(dir: &Path, torrent: &[u8]) {
    let s = Scheduler::new();
    let (patron, user) = (patron(dir, false), Remover(torrent.to_vec()).create());
    axon::link((&user, "outbox"), (&patron, "inbox")).unwrap();
    axon::link((&user, "signal"), (&patron, "control")).unwrap();
    axon::link((&patron, "outbox"), (&user, "inbox")).unwrap();
    axon::link((&patron, "signal"), (&user, "control")).unwrap();
    s.activate(&patron);
    s.activate(&user);
    s.run_bounded().unwrap();
}

#[test]
fn a_patrons_torrents_come_back_and_belong_to_whoever_asks_for_them() {
    let dir = tempfile::tempdir().unwrap();
    let (a, b) = (torrent(dir.path(), "a"), torrent(dir.path(), "b"));
    let create = |bytes: &[u8]| Message::new(CreateNewTorrent::new(bytes));
    assert_eq!(session(dir.path(), false, vec![create(&a), create(&b)], 2, 2).len(), 2);
    // The patron left, which closed both; they are kept all the same.
    let restore = || Message::new(RestoreTorrents { tag: Some(RequestTag(7)) });
    let answers = session(dir.path(), false, vec![restore()], 3, 2);
    assert!(answers[0].starts_with("Torrent 1 restored in ") && answers[0].ends_with("/a"), "{answers:?}");
    assert!(answers[1].starts_with("Torrent 2 restored in ") && answers[1].ends_with("/b"), "{answers:?}");
    assert_eq!(answers[2], "2 torrents restored");
    // One is removed for good.
    remove(dir.path(), &a);
    let answers = session(dir.path(), false, vec![restore()], 2, 1);
    assert_eq!(answers.len(), 2, "{answers:?}");
    assert!(answers[0].ends_with("/b") && answers[1] == "1 torrents restored", "{answers:?}");
}

#[test]
fn a_client_that_restores_by_itself_has_the_torrent_when_a_patron_asks() {
    let dir = tempfile::tempdir().unwrap();
    let a = torrent(dir.path(), "a");
    let create = || Message::new(CreateNewTorrent::new(&a[..]));
    session(dir.path(), false, vec![create()], 1, 1);
    // A second request after the restore is sure to find it; the first may be faster.
    let answers = session(dir.path(), true, vec![create(), Message::new(RestoreTorrents::default())], 2, 1);
    assert!(answers.iter().any(|text| text.contains("already") || text.contains("created")), "{answers:?}");
    assert!(answers.contains(&"0 torrents restored".to_owned()), "{answers:?}");
}
