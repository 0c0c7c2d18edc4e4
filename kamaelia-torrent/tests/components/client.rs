//! A client by itself, with the real engine on loopback (TO-CLI).

use std::fs;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::Duration;

use axon::prelude::*;
use kamaelia_torrent::components::{
    BasicTorrentExplainer, ClientPorts, CloseTorrent, CreateNewTorrent, ListFiles, RequestTag,
    SetFilePriorities, TorrentClient, TorrentEvent,
};
use kamaelia_torrent::engine::{Settings, TorrentId};
use kamaelia_torrent::make::Maker;
use kamaelia_torrent::proto::Priority;

use crate::support::Bounded;

ports! {
    pub(crate) struct UserPorts {
        in  { inbox: TorrentEvent, control: Ipc }
        out { outbox: Message, signal: Ipc }
    }
}

/// A user written down as what it does.
struct User<F>(F);
impl<F: AsyncFnOnce(Cx<UserPorts>) + 'static> Component for User<F> {
    type Ports = UserPorts;
    async fn main(self, cx: Cx<UserPorts>) {
        (self.0)(cx).await;
    }
}

/// Runs a client and its user until both have ended.
pub(crate) fn with_client(dir: &Path, tick: Duration, user: impl AsyncFnOnce(Cx<UserPorts>) + 'static) {
    let settings = Settings { listen: Some("127.0.0.1:0".parse().unwrap()), ..Settings::default() };
    let client = TorrentClient::with_settings(settings).dir(dir).tick_interval(tick).create();
    let user = User(user).create();
    axon::link(&user.outbox, &client.inbox).unwrap();
    axon::link(&user.signal, &client.control).unwrap();
    axon::link(&client.outbox, &user.inbox).unwrap();
    axon::link(&client.signal, &user.control).unwrap();
    let s = Scheduler::new();
    s.activate(&client);
    s.activate(&user);
    s.run_bounded().unwrap();
}

/// A .torrent file of something that lies in the folder.
pub(crate) fn torrent(dir: &Path, name: &str) -> Vec<u8> {
    fs::write(dir.join(name), name.repeat(1000)).unwrap();
    Maker::new(dir.join(name)).make(|_| ControlFlow::Continue(())).unwrap().bytes
}

fn is_status(event: &TorrentEvent) -> bool {
    matches!(event, TorrentEvent::TorrentStatusUpdate { .. })
}

/// The next event that is no status update.
pub(crate) async fn answer(cx: &Cx<UserPorts>) -> TorrentEvent {
    loop {
        let event = cx.inbox.recv().await;
        if !is_status(&event) {
            return event;
        }
    }
}

pub(crate) async fn stop(cx: &Cx<UserPorts>, message: Ipc) {
    cx.signal.send(message).unwrap();
    assert!(cx.control.recv().await.is_producer_finished());
}

pub(crate) const LONG: Duration = Duration::from_secs(3600);
const SHORT: Duration = Duration::from_millis(10);

/// TO-CLI-01, but for the one client that the original allows in a program: here there may be several.
#[test]
fn to_cli_01_clients_work_until_they_are_told_to_stop_and_say_when_they_have() {
    let s = Scheduler::new();
    let make = || {
        let settings = Settings { listen: Some("127.0.0.1:0".parse().unwrap()), ..Settings::default() };
        TorrentClient::with_settings(settings).create()
    };
    let (clients, ears): (Vec<Instance<ClientPorts>>, Vec<_>) = (0..2)
        .map(|_| {
            let (client, ear) = (make(), User(async |_| ()).create());
            axon::link(&client.signal, &ear.control).unwrap();
            s.activate(&client);
            (client, ear)
        })
        .unzip();
    for (client, message) in clients.iter().zip([Ipc::Shutdown, Ipc::shutdown_microprocess()]) {
        assert!(!client.is_stopped());
        client.control.deliver(message).unwrap();
    }
    s.run_bounded().unwrap();
    for (client, ear) in clients.iter().zip(&ears) {
        let heard: Vec<_> = ear.control.drain().collect();
        assert!(
            matches!(&heard[..], [Ipc::ProducerFinished(m)] if m.caller == Some(client.id())),
            "{heard:?}"
        );
    }
}

/// TO-CLI-02, mended: the original looks at its inbox once a tick.
#[test]
fn to_cli_02_a_request_is_answered_between_ticks() {
    let folder = tempfile::tempdir().unwrap();
    let file = torrent(folder.path(), "x");
    with_client(folder.path(), LONG, async move |cx| {
        for tag in 1..4 {
            let mut create = CreateNewTorrent::new(file.clone());
            create.tag = Some(RequestTag(tag));
            cx.outbox.send(Message::new(create)).unwrap();
            assert_eq!(answer(&cx).await.tag(), Some(RequestTag(tag)));
        }
        stop(&cx, Ipc::Shutdown).await;
    });
}

/// TO-CLI-03, TO-CLI-05, D-33: numbers count from 1 and are never used again; what is known is told with its number; what was
/// closed can be asked for anew.
#[test]
fn to_cli_03_05_numbers_are_given_in_order_and_never_twice() {
    let folder = tempfile::tempdir().unwrap();
    let (x, y) = (torrent(folder.path(), "x"), torrent(folder.path(), "y"));
    let (at_x, dir) = (folder.path().join("x"), folder.path().to_path_buf());
    with_client(&dir, LONG, async move |cx| {
        let ask = async |file: &[u8]| {
            cx.outbox.send(Message::new(file.to_vec())).unwrap();
            answer(&cx).await
        };
        let close = |id| cx.outbox.send(Message::new(CloseTorrent { torrent_id: TorrentId(id) })).unwrap();
        match ask(&x).await {
            TorrentEvent::NewTorrentCreated { torrent_id: TorrentId(1), save_folder, .. } => {
                assert_eq!(save_folder, at_x);
            }
            other => panic!("{other}"),
        }
        assert!(matches!(ask(&y).await, TorrentEvent::NewTorrentCreated { torrent_id: TorrentId(2), .. }));
        let again = ask(&x).await;
        assert!(
            matches!(again, TorrentEvent::TorrentAlreadyDownloading { torrent_id: TorrentId(1), .. }),
            "{again}"
        );
        close(9); // nobody has that number (D-33)
        close(1);
        close(1);
        // There is no answer to a close, so the next event is the answer to this.
        let anew = ask(&x).await;
        assert!(matches!(anew, TorrentEvent::NewTorrentCreated { torrent_id: TorrentId(3), .. }), "{anew}");
        assert_eq!(fs::read(&at_x).unwrap().len(), 1000, "the file stays");
        // A request that waits for the old one to stop is answered too when the client is stopped meanwhile.
        close(3);
        for file in [&x, &y] {
            cx.outbox.send(Message::new(file.clone())).unwrap();
        }
        stop(&cx, Ipc::Shutdown).await;
        assert_eq!(cx.inbox.drain().filter(|e| !is_status(e)).count(), 2);
    });
}

/// TO-CLI-04, TO-CLI-06: an update of each torrent that has started, in the order of their numbers, in every tick.
#[test]
fn to_cli_06_each_tick_tells_of_every_torrent_in_the_order_of_numbers() {
    let folder = tempfile::tempdir().unwrap();
    let files: Vec<_> = ["a", "b", "c"].iter().map(|n| torrent(folder.path(), n)).collect();
    with_client(folder.path(), SHORT, async move |cx| {
        for file in &files {
            cx.outbox.send(Message::new(file.clone())).unwrap();
        }
        let (mut created, mut complete, mut turns) = (Vec::new(), Vec::new(), Vec::new());
        while turns.len() < 11 {
            let event = cx.inbox.recv().await;
            let id = event.torrent_id().unwrap().0;
            match &event {
                TorrentEvent::NewTorrentCreated { .. } => created.push(id),
                TorrentEvent::TorrentStatusUpdate { status, .. } => {
                    assert!(created.contains(&id), "an update before its torrent was created");
                    // Before all are complete there are updates out of turn, one at each start.
                    if complete.len() == 3 {
                        turns.push(id);
                    } else if status.is_complete() && !complete.contains(&id) {
                        complete.push(id);
                    }
                }
                _ => {}
            }
        }
        let first = turns.iter().position(|id| *id == 1).unwrap();
        assert_eq!(turns[first..first + 9], [1, 2, 3, 1, 2, 3, 1, 2, 3], "{turns:?}");
        assert_eq!(created, [1, 2, 3]);
        stop(&cx, Ipc::Shutdown).await;
    });
}

#[test]
fn to_cli_07_a_producer_finished_and_other_messages_do_not_stop_a_client() {
    let folder = tempfile::tempdir().unwrap();
    let file = torrent(folder.path(), "x");
    with_client(folder.path(), LONG, async move |cx| {
        cx.signal.send(Ipc::producer_finished()).unwrap();
        cx.signal.send(Ipc::Status("idle".into())).unwrap();
        cx.outbox.send(Message::new(file)).unwrap();
        assert!(answer(&cx).await.to_string().starts_with("New torrent 1 created in "));
        assert!(cx.control.is_empty());
        stop(&cx, Ipc::Shutdown).await;
    });
}

ports! { struct EarPorts { in { inbox: String, control: Ipc } out { } } }
struct Ear;
impl Component for Ear {
    type Ports = EarPorts;
    async fn main(self, _: Cx<EarPorts>) {}
}

#[test]
fn to_cli_08_the_explainer_turns_messages_into_lines() {
    for (end, passed_on) in [
        (Ipc::producer_finished(), "producerFinished"),
        (Ipc::Shutdown, "producerFinished"),
        (Ipc::shutdown_microprocess(), "shutdownMicroprocess"),
    ] {
        let (s, explainer, ear) = (Scheduler::new(), BasicTorrentExplainer::new().create(), Ear.create());
        axon::link(&explainer.outbox, &ear.inbox).unwrap();
        axon::link(&explainer.signal, &ear.control).unwrap();
        for torrent_id in [TorrentId(1), TorrentId(2)] {
            let event = TorrentEvent::NewTorrentCreated {
                torrent_id,
                save_folder: "./x".into(),
                listen: None,
                tag: None,
            };
            explainer.inbox.deliver(event).unwrap();
        }
        explainer.control.deliver(end).unwrap();
        s.activate(&explainer);
        s.run_bounded().unwrap();
        let lines: Vec<_> = ear.inbox.drain().collect();
        assert_eq!(lines, ["New torrent 1 created in ./x\n", "New torrent 2 created in ./x\n"]);
        assert_eq!(ear.control.drain().map(|m| m.kind()).collect::<Vec<_>>(), [passed_on]);
    }
}

#[test]
fn files_are_listed_and_chosen_by_message() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("t");
    fs::create_dir(&root).unwrap();
    for name in ["a", "b"] {
        fs::write(root.join(name), name.repeat(100_000)).unwrap();
    }
    let file = Maker::new(&root).piece_len(16_384).make(|_| ControlFlow::Continue(())).unwrap().bytes;
    with_client(folder.path(), LONG, async move |cx| {
        let mut request = CreateNewTorrent::new(file);
        request.priorities = vec![Priority::HIGHEST, Priority::SKIP];
        cx.outbox.send(Message::new(request)).unwrap();
        let TorrentEvent::NewTorrentCreated { torrent_id, .. } = answer(&cx).await else { panic!() };
        let list = async || {
            cx.outbox.send(Message::new(ListFiles { torrent_id })).unwrap();
            match answer(&cx).await {
                TorrentEvent::TorrentFiles { torrent_id: id, files } => {
                    assert_eq!(id, torrent_id);
                    files
                }
                other => panic!("{other}"),
            }
        };
        let files = list().await;
        assert_eq!((files[0].priority, files[1].priority), (Priority::HIGHEST, Priority::SKIP));
        assert!(files[1].path.ends_with("t/b") && files[1].len == 100_000);
        let choose = |torrent_id, file| {
            let priorities = vec![(file, Priority::LOWEST)];
            cx.outbox.send(Message::new(SetFilePriorities { torrent_id, priorities })).unwrap();
        };
        choose(torrent_id, 1);
        // It waits for the start, like everything that the record may have to say.
        while !is_status(&cx.inbox.recv().await) {}
        let files = list().await;
        assert_eq!((files[0].priority, files[1].priority), (Priority::HIGHEST, Priority::LOWEST));
        assert_eq!((files[0].verified, files[1].verified), (100_000, 100_000));
        choose(torrent_id, 2);
        let refused = answer(&cx).await.to_string();
        assert_eq!(refused, "Torrent 1 SetFilePriorities: there is no file 2 in a torrent of 2 files");
        choose(TorrentId(9), 0);
        assert_eq!(answer(&cx).await.to_string(), "Torrent 9 SetFilePriorities: there is no torrent 9");
        cx.outbox.send(Message::new(ListFiles { torrent_id: TorrentId(9) })).unwrap();
        let refused = answer(&cx).await.to_string();
        assert_eq!(refused, "Torrent 9 ListFiles: there is no torrent of this number");
        stop(&cx, Ipc::Shutdown).await;
    });
}

#[test]
fn files_are_moved_renamed_and_checked_by_message() {
    use kamaelia_torrent::components::{MoveTorrent, RecheckTorrent, RenameFile, RetryDisk};

    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let bytes = torrent(from.path(), "film");
    let there = to.path().to_path_buf();
    with_client(from.path(), Duration::from_secs(9), async move |cx| {
        cx.outbox.send(Message::new(bytes)).unwrap();
        let TorrentEvent::NewTorrentCreated { torrent_id, .. } = answer(&cx).await else { panic!() };
        let unknown = TorrentId(9);
        for message in [
            Message::new(MoveTorrent { torrent_id: unknown, dir: "x".into() }),
            Message::new(RenameFile { torrent_id: unknown, index: 0, path: "x".into() }),
            Message::new(RecheckTorrent { torrent_id: unknown }),
            Message::new(RetryDisk { torrent_id: unknown }),
            Message::new(RenameFile { torrent_id, index: 0, path: "../film".into() }),
        ] {
            cx.outbox.send(message).unwrap();
            let refused = answer(&cx).await;
            assert!(matches!(refused, TorrentEvent::RequestFailed { .. }), "{refused:?}");
        }
        cx.outbox.send(Message::new(MoveTorrent { torrent_id, dir: there.clone() })).unwrap();
        let moved = answer(&cx).await;
        assert!(matches!(&moved, TorrentEvent::TorrentMoved { dir, .. } if *dir == there), "{moved:?}");
        cx.outbox.send(Message::new(RenameFile { torrent_id, index: 0, path: "clip".into() })).unwrap();
        let renamed = answer(&cx).await;
        assert_eq!(renamed.to_string(), "Torrent 1 file 0 renamed to clip");
        cx.outbox.send(Message::new(RecheckTorrent { torrent_id })).unwrap();
        cx.outbox.send(Message::new(RetryDisk { torrent_id })).unwrap();
        let _ = cx.signal.send(Ipc::Shutdown);
        while !cx.control.recv().await.is_producer_finished() {}
    });
    assert!(to.path().join("clip").exists() && !from.path().join("film").exists());
}
