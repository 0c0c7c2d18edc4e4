//! Files that are wanted, files that are not, and changes of mind, between engines over real sockets.

mod support;

use std::path::Path;

use kamaelia_torrent::disk::Allocation;
use kamaelia_torrent::engine::{
    AddError, AddTorrent, CheckPolicy, Event, FileStatus, SelectionError, State, TorrentId,
};
use kamaelia_torrent::proto::Priority;
use support::node::*;
use support::*;

/// Pieces of 64 KiB: 0 a, 1 a b, 2 b c, 3 to 6 c, 6 and 7 d.
fn torrent() -> TestTorrent {
    let files = vec![
        file("a", 100_000, 1),
        file("b", 50_000, 2),
        pad(5000),
        file("sub/c", 300_000, 3),
        file("empty", 0, 4),
        file("d", 60_000, 5),
    ];
    multi("t", files, 65_536)
}

fn levels(levels: &[u8]) -> Vec<Priority> {
    levels.iter().map(|level| Priority::new(*level).unwrap()).collect()
}

fn add(torrent: &TestTorrent, dir: &Path, seed: &Node, wanted: &[u8]) -> AddTorrent {
    AddTorrent {
        peers: vec![seed.addr],
        priorities: levels(wanted),
        ..AddTorrent::new(torrent.metainfo.clone(), dir)
    }
}

/// A node that has fetched the pieces of `b`, and parts of its neighbours with them.
fn with_one_file(torrent: &TestTorrent, dir: &Path, seed: &Node) -> (Node, TorrentId) {
    let mut node = Node::start(settings());
    let id = node.add(add(torrent, dir, seed, &[0, 4, 4, 0, 0, 0]));
    node.wait_completed(id);
    (node, id)
}

fn files(node: &Node, id: TorrentId) -> Vec<FileStatus> {
    node.call(move |engine| engine.files(id)).expect("a known torrent")
}

fn select(node: &Node, id: TorrentId, changes: &[(usize, u8)]) -> Result<(), SelectionError> {
    let changes: Vec<_> = changes.iter().map(|(i, level)| (*i, Priority::new(*level).unwrap())).collect();
    node.call(move |engine| engine.set_file_priorities(id, &changes))
}

fn exists(dir: &Path, name: &str) -> bool {
    dir.join("t").join(name).exists()
}

fn part_file(torrent: &TestTorrent, dir: &Path) -> std::path::PathBuf {
    dir.join(format!(".{}.parts", torrent.metainfo.info_hash()))
}

#[test]
fn only_the_wanted_files_are_fetched_and_the_rest_when_it_is_wanted() {
    let torrent = torrent();
    let (_from, seed, _) = stored_seed(&torrent);
    let to = tempfile::tempdir().unwrap();
    let (mut leech, id) = with_one_file(&torrent, to.path(), &seed);
    let status = leech.status(id);
    assert_eq!((status.state, status.progress), (State::Seeding, 1.0));
    assert_eq!((status.wanted, status.wanted_left, status.downloaded), (131_072, 0, 131_072));
    assert_eq!(status.left, status.total - 131_072, "a tracker is told of everything");
    assert_eq!(std::fs::read(to.path().join("t/b")).unwrap(), torrent.files[1].data);
    for name in ["a", "sub/c", "sub", "d", "empty", ".pad"] {
        assert!(!exists(to.path(), name), "{name}");
    }
    let list = files(&leech, id);
    let verified: Vec<u64> = list.iter().map(|file| file.verified).collect();
    assert_eq!(verified, [34_464, 50_000, 0, 196_608 - 155_000, 0, 0]);
    assert!(list[2].pad && list[3].path.ends_with("t/sub/c") && list[5].len == 60_000);
    assert_eq!(list.iter().map(|file| file.priority.level()).collect::<Vec<_>>(), [0, 4, 4, 0, 0, 0]);

    // More is wanted: the seed, which had been of no more use, is asked again.
    assert_eq!(select(&leech, id, &[(0, 7), (3, 1), (4, 4), (5, 4)]), Ok(()));
    assert_eq!(leech.status(id).state, State::Downloading);
    leech.wait_completed(id);
    torrent.verify(to.path());
    assert_eq!(leech.status(id).wasted, 0);
    leech.stop();
    assert!(!part_file(&torrent, to.path()).exists());
}

#[test]
fn the_choice_is_remembered_and_a_part_file_is_seeded_from() {
    let torrent = torrent();
    let (_from, first, _) = stored_seed(&torrent);
    let (to, third) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (leech, _) = with_one_file(&torrent, to.path(), &first);
    leech.stop();
    drop(first);
    for check in [CheckPolicy::Resume, CheckPolicy::Full] {
        let mut again = Node::start(settings());
        let add_again = AddTorrent { check, ..AddTorrent::new(torrent.metainfo.clone(), to.path()) };
        let id = again.add(add_again);
        again.wait_started(id);
        let hashed = again.seen.iter().any(|e| matches!(e, Event::Checking { .. }));
        assert_eq!(hashed, check == CheckPolicy::Full);
        let status = again.status(id);
        assert_eq!((status.state, status.wanted_left, status.verified), (State::Seeding, 0, 131_072));
        // Another one that wants the same two pieces gets them, unwanted parts and all.
        let dir = third.path().join(format!("{check:?}"));
        let mut other = Node::start(settings());
        let other_id = other.add(add(&torrent, &dir, &again, &[0, 4, 0, 0, 0, 0]));
        other.wait_completed(other_id);
        assert_eq!(std::fs::read(dir.join("t/b")).unwrap(), torrent.files[1].data);
        again.stop();
    }
}

#[test]
fn nothing_wanted_at_all_is_a_sensible_state() {
    let torrent = torrent();
    let (_from, seed, _) = stored_seed(&torrent);
    let to = tempfile::tempdir().unwrap();
    let mut leech = Node::start(settings());
    let id = leech.add(add(&torrent, to.path(), &seed, &[0; 6]));
    leech.wait_started(id);
    let status = leech.status(id);
    assert_eq!(
        (status.state, status.progress, status.wanted, status.downloaded),
        (State::Seeding, 1.0, 0, 0)
    );
    assert_eq!(select(&leech, id, &[(4, 1), (1, 1)]), Ok(()));
    leech.wait_completed(id);
    assert!(exists(to.path(), "empty") && exists(to.path(), "b") && !exists(to.path(), "a"));
    assert_eq!(leech.status(id).downloaded, 131_072);
    leech.stop();
}

#[test]
fn giving_up_what_is_missing_completes_the_rest() {
    let torrent = single("f", 300_000, 65_536, 9);
    let to = tempfile::tempdir().unwrap();
    let mut node = Node::start(settings());
    let id = node.add(AddTorrent::new(torrent.metainfo.clone(), to.path()));
    node.wait_started(id);
    assert_eq!(node.status(id).state, State::Downloading);
    assert_eq!(select(&node, id, &[(0, 0)]), Ok(()));
    node.wait_completed(id);
    assert_eq!(node.status(id).state, State::Seeding);
    node.stop();
}

#[test]
fn wrong_choices_are_told_and_change_nothing() {
    let torrent = torrent();
    let to = tempfile::tempdir().unwrap();
    let mut node = Node::start(settings());
    let too_few =
        AddTorrent { priorities: levels(&[4, 0]), ..AddTorrent::new(torrent.metainfo.clone(), to.path()) };
    let refused = node.call(move |engine| engine.add(too_few));
    assert_eq!(refused, Err(AddError::Priorities { got: 2, files: 6 }));
    let id = node.add(AddTorrent::new(torrent.metainfo.clone(), to.path()));
    node.wait_started(id);
    let error = select(&node, id, &[(0, 0), (6, 4)]).unwrap_err();
    assert_eq!(error, SelectionError::NoSuchFile { index: 6, files: 6 });
    assert_eq!(error.to_string(), "there is no file 6 in a torrent of 6 files");
    let error = select(&node, TorrentId(9), &[]).unwrap_err();
    assert_eq!(error.to_string(), "there is no torrent 9");
    assert!(files(&node, id).iter().all(|file| file.priority == Priority::NORMAL));
    assert!(node.call(|engine| engine.files(TorrentId(9))).is_none());
}

#[test]
fn a_choice_made_before_the_record_is_read_counts() {
    let torrent = torrent();
    let to = tempfile::tempdir().unwrap();
    let mut node = Node::start(settings());
    let metainfo = torrent.metainfo.clone();
    let dir = to.path().to_path_buf();
    let id = node.call(move |engine| {
        let id = engine.add(AddTorrent::new(metainfo, dir)).unwrap();
        engine.set_file_priorities(id, &[(0, Priority::SKIP)]).unwrap();
        id
    });
    node.wait_started(id);
    assert_eq!(files(&node, id)[0].priority, Priority::SKIP);
    assert_eq!(node.status(id).wanted, torrent.metainfo.geometry().total_len() - 65_536);
}

#[test]
fn a_folder_without_room_fails_at_the_start_when_room_is_to_be_reserved() {
    // Larger than any disk of today, and hashes that nothing fits.
    let len = 1u64 << 46;
    let hashes = (len >> 28) as usize * 20;
    let mut text =
        format!("d4:infod6:lengthi{len}e4:name1:f12:piece lengthi268435456e6:pieces{hashes}:").into_bytes();
    text.extend(vec![b'x'; hashes]);
    text.extend(b"ee");
    let metainfo = kamaelia_torrent::proto::Metainfo::parse(&text).unwrap();
    let to = tempfile::tempdir().unwrap();
    let mut node = Node::start(settings());
    let id =
        node.add(AddTorrent { allocation: Some(Allocation::Full), ..AddTorrent::new(metainfo, to.path()) });
    let Event::Failed { error, .. } = node.wait("failure", |e| matches!(e, Event::Failed { .. })) else {
        unreachable!()
    };
    assert!(error.contains("no space left to reserve 70368744177664 bytes"), "{error}");
    assert_eq!(node.status(id).state, State::Failed);
}

#[test]
fn a_part_file_moves_with_its_torrent() {
    let torrent = torrent();
    let (_from, seed, _) = stored_seed(&torrent);
    let (to, next) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (mut leech, id) = with_one_file(&torrent, to.path(), &seed);
    let dir = next.path().to_path_buf();
    leech.call(move |engine| engine.move_storage(id, dir)).unwrap();
    // Said while it is on its way, or before, or after.
    assert_eq!(select(&leech, id, &[(5, 4)]), Ok(()));
    leech.wait("move", |e| matches!(e, Event::Moved { .. }));
    assert!(part_file(&torrent, next.path()).exists() && !part_file(&torrent, to.path()).exists());
    assert_eq!(select(&leech, id, &[(0, 4), (3, 4), (4, 4)]), Ok(()));
    let missing = torrent.metainfo.geometry().total_len() - 131_072;
    leech.wait("everything", |e| matches!(e, Event::Completed { .. }));
    while leech.status(id).left > 0 {
        leech.wait_completed(id);
    }
    assert_eq!(leech.status(id).downloaded, 131_072 + missing);
    leech.stop();
    torrent.verify(next.path());
    assert!(!part_file(&torrent, next.path()).exists());
}

#[test]
fn a_part_file_that_disappears_costs_its_pieces_only() {
    let torrent = torrent();
    let (_from, first, _) = stored_seed(&torrent);
    let (to, third) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (mut leech, id) = with_one_file(&torrent, to.path(), &first);
    leech.call(move |engine| engine.pause(id)).unwrap();
    leech.wait("pause", |e| matches!(e, Event::Paused { .. }));
    // Handles are given up at rest, so that the loss shows.
    std::fs::remove_file(part_file(&torrent, to.path())).unwrap();
    leech.call(move |engine| engine.resume(id)).unwrap();
    let mut other = Node::start(settings());
    let other_id = other.add(add(&torrent, third.path(), &leech, &[0, 4, 0, 0, 0, 0]));
    other.wait_completed(other_id);
    assert_eq!(std::fs::read(third.path().join("t/b")).unwrap(), torrent.files[1].data);
    assert_eq!(std::fs::read(to.path().join("t/b")).unwrap(), torrent.files[1].data);
}
