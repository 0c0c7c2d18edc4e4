//! With the real engine, over real sockets on loopback.

use std::fs;
use std::ops::ControlFlow;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use axon::prelude::*;
use axon::tracker::Tracker as Cat;
use kamaelia_torrent::components::tracker::TrackerServer;
use kamaelia_torrent::components::{CreateNewTorrent, TorrentClient, TorrentPatron};
use kamaelia_torrent::engine::Settings;
use kamaelia_torrent::make::Maker;

use crate::support::{Bounded, Seen, User, attach};

fn payload(path: &Path, len: usize) {
    let mut rng = fastrand::Rng::with_seed(7);
    let bytes: Vec<u8> = std::iter::repeat_with(|| rng.u8(..)).take(len).collect();
    fs::write(path, bytes).unwrap();
}

/// A patron whose service, and so whose client, is its own.
fn lone_patron(cat: &Rc<Cat>, dir: &Path) -> AnyInstance {
    let dir = dir.to_path_buf();
    let patron = TorrentPatron::with_client(move || {
        let settings = Settings { listen: Some("127.0.0.1:0".parse().unwrap()), ..Settings::default() };
        TorrentClient::with_settings(settings)
            .dir(&dir)
            .tick_interval(Duration::from_millis(50))
            .create()
            .any()
    });
    let patron = patron.create();
    patron.set_tracker(cat.clone());
    patron.any()
}

/// TO-CLI-04, D-47: the folder is the client's, not the current one.
#[test]
fn a_patron_downloads_from_another_through_a_tracker_of_components() {
    let folder = tempfile::tempdir().unwrap();
    let (from, to) = (folder.path().join("from"), folder.path().join("to"));
    fs::create_dir_all(&from).unwrap();
    fs::create_dir_all(&to).unwrap();
    payload(&from.join("payload.bin"), 3_000_000);
    let server = TrackerServer::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let url = format!("http://{}/announce", server.local_addr());
    let made = Maker::new(from.join("payload.bin"))
        .tracker_tier([url.clone()])
        .make(|_| ControlFlow::Continue(()))
        .unwrap();

    let s = Scheduler::new();
    let server = server.create();
    s.activate(&server);
    let (cat_a, cat_b) = (Cat::new(), Cat::new());
    let (seed_seen, leech_seen) = (Seen::default(), Seen::default());
    let leech_done = leech_seen.clone();
    let seeder = lone_patron(&cat_a, &from);
    let request = || vec![Message::new(made.bytes.clone())];
    let s2 = seed_seen.clone();
    let control = server.clone();
    attach(
        &s,
        User {
            requests: request(),
            seen: seed_seen.clone(),
            done: Box::new(move |_| {
                let done = leech_done.has_complete();
                if done {
                    control.control.deliver(Ipc::producer_finished()).unwrap();
                }
                done
            }),
        },
        seeder,
    );
    attach(
        &s,
        User {
            requests: request(),
            seen: leech_seen.clone(),
            done: Box::new(move |seen| seen.has_complete() && s2.has_complete()),
        },
        lone_patron(&cat_b, &to),
    );
    s.run_bounded().unwrap();
    assert_eq!(fs::read(from.join("payload.bin")).unwrap(), fs::read(to.join("payload.bin")).unwrap());
    assert_eq!(
        leech_seen.answers(),
        [format!("New torrent 1 created in {}", to.join("payload.bin").display())]
    );
    for seen in [&seed_seen, &leech_seen] {
        let reports = seen.reports();
        let ours = |text: &String| text.starts_with(&format!("Torrent 1 tracker {url}: "));
        assert!(!reports.is_empty() && reports.iter().all(ours), "{reports:?}");
    }
    assert!(cat_a.services().is_empty() && cat_b.services().is_empty(), "the services deregistered");
}

#[test]
fn two_patrons_share_one_client_and_both_get_updates() {
    let folder = tempfile::tempdir().unwrap();
    payload(&folder.path().join("x"), 100_000);
    let made = Maker::new(folder.path().join("x")).make(|_| ControlFlow::Continue(())).unwrap();
    let s = Scheduler::new();
    let cat = Cat::new();
    let (one, two) = (Seen::default(), Seen::default());
    let (see_one, see_two) = (one.clone(), two.clone());
    let request = || vec![Message::new(CreateNewTorrent::new(made.bytes.clone()))];
    let first = User {
        requests: request(),
        seen: one.clone(),
        done: Box::new(move |seen| seen.updates() >= 2 && see_two.updates() >= 2),
    };
    let second = User {
        requests: request(),
        seen: two.clone(),
        done: Box::new(move |seen| seen.updates() >= 4 && see_one.updates() >= 2),
    };
    attach(&s, first, lone_patron(&cat, folder.path()));
    attach(&s, second, lone_patron(&cat, folder.path()));
    s.run_bounded().unwrap();
    assert!(one.answers()[0].starts_with("New torrent 1"), "{:?}", one.answers());
    assert_eq!(two.answers(), ["That torrent is already downloading!"]);
    assert!(cat.services().is_empty());
}

/// TO-CLI-03, TO-IPC-09.
#[test]
fn d_31_a_broken_torrent_file_is_answered_with_the_reason() {
    let s = Scheduler::new();
    let seen = Seen::default();
    let user = User {
        requests: vec![Message::from("d4:infod4:name2:..e"), Message::new(vec![0_u8; 10])],
        seen: seen.clone(),
        done: Box::new(|seen| seen.answers().len() == 2),
    };
    let folder = tempfile::tempdir().unwrap();
    attach(&s, user, lone_patron(&Cat::new(), folder.path()));
    s.run_bounded().unwrap();
    for answer in seen.answers() {
        assert!(answer.starts_with("Torrent failed to start: not a usable .torrent file: "), "{answer}");
    }
}

#[test]
fn a_client_that_cannot_listen_still_answers() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = taken.local_addr().unwrap();
    let patron = TorrentPatron::with_client(move || {
        TorrentClient::with_settings(Settings { listen: Some(addr), ..Settings::default() }).create().any()
    });
    let patron = patron.create();
    patron.set_tracker(Cat::new());
    let s = Scheduler::new();
    let seen = Seen::default();
    let user = User {
        requests: vec![Message::from("x")],
        seen: seen.clone(),
        done: Box::new(|seen| seen.answers().len() == 1),
    };
    attach(&s, user, patron);
    s.run_bounded().unwrap();
    assert!(seen.answers()[0].contains(&addr.to_string()), "{:?}", seen.answers());
}
