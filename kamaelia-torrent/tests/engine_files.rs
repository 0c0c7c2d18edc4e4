//! Files that are moved, renamed, checked again, changed by others, or refused by the disk.

#[path = "support/granted.rs"]
mod granted;
mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use granted::Granted;
use kamaelia_torrent::engine::{AddTorrent, CheckPolicy, Event, RequestError, Settings, State, TorrentId};
use support::node::*;
use support::*;

fn folder() -> TestTorrent {
    multi("t", vec![file("a", 300_000, 1), file("sub/b", 500_000, 2), file("c", 70_000, 3)], 32_768)
}

fn leech(torrent: &TestTorrent, dir: &Path, seed: &Node) -> (Node, TorrentId) {
    let node = Node::start(settings());
    let peers = vec![seed.addr];
    let id = node.add(AddTorrent { peers, ..AddTorrent::new(torrent.metainfo.clone(), dir) });
    (node, id)
}

/// Everything can be fetched from the seed.
fn serves_everything(torrent: &TestTorrent, seed: &Node) {
    let to = tempfile::tempdir().unwrap();
    let (mut node, id) = leech(torrent, to.path(), seed);
    node.wait_completed(id);
    torrent.verify(to.path());
}

fn moved(node: &mut Node) -> PathBuf {
    match node.wait("the move", |e| matches!(e, Event::Moved { .. } | Event::RequestFailed { .. })) {
        Event::Moved { dir, .. } => dir,
        other => panic!("{other:?}"),
    }
}

fn refused(node: &mut Node) -> String {
    match node.wait("a refusal", |e| matches!(e, Event::Moved { .. } | Event::RequestFailed { .. })) {
        Event::RequestFailed { reason, .. } => reason,
        other => panic!("{other:?}"),
    }
}

/// A folder on another file system, if there is one.
fn elsewhere() -> Option<tempfile::TempDir> {
    use std::os::unix::fs::MetadataExt;

    let here = fs::metadata(std::env::temp_dir()).ok()?.dev();
    ["/dev/shm", "/var/tmp", "."]
        .into_iter()
        .find_map(|dir| (fs::metadata(dir).ok()?.dev() != here).then(|| tempfile::tempdir_in(dir).ok())?)
}

#[test]
fn a_seed_moves_and_goes_on_serving() {
    let torrent = folder();
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    torrent.store(from.path());
    fs::write(from.path().join("t/sub/not ours"), "x").unwrap();
    let (mut seed, id) = seed(&torrent.metainfo, from.path());
    let target = to.path().join("made/on the way");
    let dir = target.clone();
    seed.call(move |engine| engine.move_storage(id, dir)).unwrap();
    assert_eq!(moved(&mut seed), target);
    torrent.verify(&target);
    assert_eq!(seed.status(id).save_path, target.join("t"));
    // What is not the torrent's stays; what is empty goes.
    assert!(from.path().join("t/sub/not ours").exists() && !from.path().join("t/a").exists());
    serves_everything(&torrent, &seed);
    seed.stop();
    // The record went along: nothing is hashed at the next start.
    assert_eq!(fs::read_dir(from.path()).unwrap().count(), 1, "the old record is gone");
    let mut again = Node::start(settings());
    let id = again.add(AddTorrent::new(torrent.metainfo.clone(), &target));
    again.wait_started(id);
    assert!(!again.seen.iter().any(|e| matches!(e, Event::Checking { .. })), "{:?}", again.seen);
    assert_eq!(again.status(id).state, State::Seeding);
}

#[cfg(target_os = "linux")]
#[test]
fn a_move_to_another_file_system_copies_holes_times_and_all() {
    let Some(to) = elsewhere() else {
        eprintln!("SKIPPED: one file system only");
        return;
    };
    let torrent = folder();
    let (from, mut seed, id) = stored_seed(&torrent);
    // What an earlier attempt left behind.
    fs::write(to.path().join(format!(".{}.0.moving", torrent.metainfo.info_hash())), "rubbish").unwrap();
    let dir = to.path().to_path_buf();
    seed.call(move |engine| engine.move_storage(id, dir)).unwrap();
    moved(&mut seed);
    torrent.verify(to.path());
    assert_eq!(fs::read_dir(from.path()).unwrap().count(), 0);
    let left: Vec<_> = fs::read_dir(to.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left.len(), 2, "folder and record: {left:?}");
    serves_everything(&torrent, &seed);
    seed.stop();
    let mut again = Node::start(settings());
    let id = again.add(AddTorrent::new(torrent.metainfo.clone(), to.path()));
    again.wait_started(id);
    assert!(!again.seen.iter().any(|e| matches!(e, Event::Checking { .. })), "{:?}", again.seen);
}

#[test]
fn a_move_overwrites_nothing_and_then_all_is_as_it_was() {
    let torrent = folder();
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    torrent.store(from.path());
    fs::create_dir_all(to.path().join("t/sub")).unwrap();
    fs::write(to.path().join("t/sub/b"), "precious").unwrap();
    fs::write(to.path().join("file"), "").unwrap();
    let (mut seed, id) = seed(&torrent.metainfo, from.path());
    let dir = to.path().to_path_buf();
    seed.call(move |engine| engine.move_storage(id, dir)).unwrap();
    let reason = refused(&mut seed);
    assert!(reason.contains("t/sub/b") && reason.contains("exists already"), "{reason}");
    assert_eq!(fs::read(to.path().join("t/sub/b")).unwrap(), b"precious");
    assert!(!to.path().join("t/a").exists());
    // A folder that is a file.
    let dir = to.path().join("file");
    seed.call(move |engine| engine.move_storage(id, dir)).unwrap();
    let reason = refused(&mut seed);
    assert!(reason.contains("file"), "{reason}");
    torrent.verify(from.path());
    serves_everything(&torrent, &seed);
    assert_eq!(seed.call(|e| e.move_storage(TorrentId(9), "x")), Err(RequestError::Unknown(TorrentId(9))));
}

#[test]
fn a_download_moves_and_is_renamed_on_the_way_without_losing_a_byte() {
    let torrent = single("f", 8 << 20, 1 << 20, 4);
    let (_from, seed, _) = stored_seed(&torrent);
    let (a, b) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (mut node, id) = leech(&torrent, a.path(), &seed);
    for round in 0..6 {
        let dir = if round % 2 == 0 { b.path() } else { a.path() }.to_path_buf();
        node.call(move |engine| {
            engine.move_storage(id, dir).unwrap();
            engine.rename_file(id, 0, format!("new {round}")).unwrap();
        });
        moved(&mut node);
        node.wait("the new name", |e| matches!(e, Event::FileRenamed { .. }));
    }
    if node.status(id).left > 0 {
        node.wait_completed(id);
    }
    assert!(fs::read(a.path().join("new 5")).unwrap() == torrent.payload());
    assert_eq!(fs::read_dir(b.path()).unwrap().count(), 0);
    node.stop();
    // Name and place are remembered.
    let mut again = Node::start(settings());
    let id = again.add(AddTorrent::new(torrent.metainfo.clone(), a.path()));
    again.wait_started(id);
    assert_eq!(again.status(id).state, State::Seeding);
    assert!(!again.seen.iter().any(|e| matches!(e, Event::Checking { .. })), "{:?}", again.seen);
}

#[test]
fn a_move_in_the_middle_of_a_check_goes_on_with_the_check_there() {
    let torrent = single("f", 48 << 20, 65_536, 4);
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    torrent.store(from.path());
    let granted = Granted::default();
    let mut node = Node::start(Settings { disk_hook: Some(granted.hook()), ..settings() });
    let id = node.add(AddTorrent::new(torrent.metainfo.clone(), from.path()));
    // Of 48 MiB it can have no more until it is told to move.
    granted.more(12 << 20);
    node.wait("check", |e| matches!(e, Event::Checking { checked, .. } if *checked > 0));
    let dir = to.path().to_path_buf();
    node.call(move |engine| engine.move_storage(id, dir)).unwrap();
    granted.more(1 << 30);
    node.wait_started(id);
    assert!(node.seen.iter().any(|e| matches!(e, Event::Moved { .. })), "{:?}", node.seen);
    assert_eq!(node.status(id).state, State::Seeding);
    assert!(!node.seen.iter().any(|e| matches!(e, Event::Completed { .. })));
    torrent.verify(to.path());
}

#[cfg(target_os = "linux")]
#[test]
fn names_that_differ_in_case_are_left_alone_where_they_can_be_told_apart() {
    let torrent = multi("t", vec![file("a", 50_000, 1), file("A", 60_000, 2)], 32_768);
    let (dir, node, _) = stored_seed(&torrent);
    serves_everything(&torrent, &node);
    node.stop();
    // Folder and record; what was made to find out is gone.
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
}

#[test]
fn names_that_are_not_safe_or_taken_are_refused() {
    let torrent = folder();
    let dir = tempfile::tempdir().unwrap();
    torrent.store(dir.path());
    fs::write(dir.path().join("t/user's"), "precious").unwrap();
    let (mut seed, id) = seed(&torrent.metainfo, dir.path());
    for (index, name, text) in [
        (0, "../x", "leads to another folder"),
        (0, "/etc/x", "empty file name"),
        (0, "t/sub", "both a file and a folder"),
        (0, "t/SUB/B", "appears twice"),
        (0, "t/c/x", "both a file and a folder"),
        (0, "t/\u{202e}x", "not safe"),
        (0, "", "empty"),
        (0, "t/user's", "exists already"),
        (9, "t/x", "there is no file 9"),
    ] {
        seed.call(move |engine| engine.rename_file(id, index, name)).unwrap();
        let reason = refused(&mut seed);
        assert!(reason.contains(text), "{name}: {reason}");
    }
    torrent.verify(dir.path());
    assert_eq!(fs::read(dir.path().join("t/user's")).unwrap(), b"precious");
    seed.call(move |engine| engine.rename_file(id, 1, "t/other/B.bin")).unwrap();
    let event = seed.wait("the new name", |e| matches!(e, Event::FileRenamed { .. }));
    assert_eq!(event, Event::FileRenamed { id, index: 1, path: "t/other/B.bin".into() });
    assert!(dir.path().join("t/other/B.bin").exists() && !dir.path().join("t/sub").exists());
    serves_everything(&torrent, &seed);
}

#[test]
fn a_check_again_finds_what_changed_and_keeps_the_connections() {
    let torrent = folder();
    let (dir, mut node, id) = stored_seed(&torrent);
    let path = dir.path().join("t/a");
    let mut data = fs::read(&path).unwrap();
    data[100_000] ^= 1;
    fs::write(&path, data).unwrap();
    node.call(move |engine| engine.recheck(id)).unwrap();
    let count = torrent.metainfo.geometry().piece_count();
    node.wait("the check", |e| matches!(e, Event::Checked { have, .. } if *have == count - 1));
    assert_eq!(node.status(id).state, State::Downloading);
    // It is fetched again from another.
    let (_whole, other, _) = stored_seed(&torrent);
    let peers = vec![other.addr];
    node.call(move |engine| engine.add_peers(id, &peers));
    node.wait_completed(id);
    torrent.verify(dir.path());
}

#[test]
fn a_complete_torrent_goes_where_complete_ones_go_and_is_found_there() {
    let torrent = folder();
    let (_from, seed, _) = stored_seed(&torrent);
    let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let add = AddTorrent {
        peers: vec![seed.addr],
        move_on_complete: Some(there.path().into()),
        ..AddTorrent::new(torrent.metainfo.clone(), here.path())
    };
    let mut node = Node::start(settings());
    let id = node.add(add.clone());
    node.wait_completed(id);
    assert_eq!(moved(&mut node), there.path());
    torrent.verify(there.path());
    node.stop();
    let mut node = Node::start(settings());
    let id = node.add(add);
    node.wait_started(id);
    assert_eq!(node.status(id).state, State::Seeding);
    assert_eq!(fs::read_dir(here.path()).unwrap().count(), 0);
}

#[test]
fn the_folder_for_records_remembers_the_place() {
    let torrent = folder();
    let (from, to, state) =
        (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    torrent.store(from.path());
    let with_state = || Settings { state_dir: Some(state.path().into()), ..settings() };
    let mut node = Node::start(with_state());
    let id = node.add(AddTorrent::new(torrent.metainfo.clone(), from.path()));
    node.wait_started(id);
    let dir = to.path().to_path_buf();
    node.call(move |engine| engine.move_storage(id, dir)).unwrap();
    moved(&mut node);
    // As after a kill: nothing is saved any more.
    drop(node);
    let mut node = Node::start(with_state());
    let id = node.add(AddTorrent::new(torrent.metainfo.clone(), from.path()));
    node.wait_started(id);
    assert_eq!((node.status(id).state, node.status(id).save_path), (State::Seeding, to.path().join("t")));
    drop(node);
    // Whoever asks for another folder gets that one.
    let other = tempfile::tempdir().unwrap();
    let mut node = Node::start(with_state());
    let id = node.add(AddTorrent::new(torrent.metainfo.clone(), other.path()));
    node.wait_started(id);
    assert_eq!((node.status(id).verified, node.status(id).save_path), (0, other.path().join("t")));
}

/// Looks soon after each read.
fn attentive() -> Settings {
    Settings { look_interval: Duration::from_millis(1), ..settings() }
}

fn changed(node: &mut Node) -> Vec<PathBuf> {
    match node.wait("a change", |e| matches!(e, Event::FilesChanged { .. })) {
        Event::FilesChanged { files, .. } => files,
        _ => unreachable!(),
    }
}

#[test]
fn a_file_that_is_cut_while_it_is_shared_is_fetched_again() {
    let torrent = folder();
    let (a, b) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    torrent.store(a.path());
    torrent.store(b.path());
    let (mut cut, id) = seed(&torrent.metainfo, a.path());
    let (whole, _) = seed(&torrent.metainfo, b.path());
    // Cut rather than removed: the file may be open.
    fs::File::options().write(true).open(a.path().join("t/sub/b")).unwrap().set_len(10).unwrap();
    let to = tempfile::tempdir().unwrap();
    let (mut node, leech_id) = leech(&torrent, to.path(), &cut);
    assert_eq!(changed(&mut cut), [PathBuf::from("t/sub/b")]);
    let peers = vec![whole.addr];
    cut.call(move |engine| engine.add_peers(id, &peers));
    cut.wait_completed(id);
    node.wait_completed(leech_id);
    torrent.verify(a.path());
    torrent.verify(to.path());
}

#[test]
fn a_change_behind_our_back_is_seen_soon_after_the_next_read() {
    let torrent = folder();
    let dir = tempfile::tempdir().unwrap();
    torrent.store(dir.path());
    let mut node = Node::start(attentive());
    let id = node.add(AddTorrent::new(torrent.metainfo.clone(), dir.path()));
    node.wait_started(id);
    let path = dir.path().join("t/a");
    let mut data = fs::read(&path).unwrap();
    data[0] ^= 1;
    fs::write(&path, data).unwrap();
    let to = tempfile::tempdir().unwrap();
    let (_leech, _) = leech(&torrent, to.path(), &node);
    assert_eq!(changed(&mut node), [PathBuf::from("t/a")]);
    let count = torrent.metainfo.geometry().piece_count();
    while node.status(id).pieces_have != count - 1 {
        node.wait("a verdict", |e| matches!(e, Event::PieceVerified { .. }));
    }
    assert_eq!(node.status(id).state, State::Downloading);
}

#[test]
fn a_file_removed_from_a_complete_torrent_is_not_brought_back_unless_asked_for() {
    let torrent = folder();
    let (a, b) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    torrent.store(a.path());
    torrent.store(b.path());
    let mut node = Node::start(attentive());
    let id = node.add(AddTorrent::new(torrent.metainfo.clone(), a.path()));
    node.wait_started(id);
    let (whole, _) = seed(&torrent.metainfo, b.path());
    fs::remove_file(a.path().join("t/c")).unwrap();
    let to = tempfile::tempdir().unwrap();
    let (mut other, other_id) = leech(&torrent, to.path(), &node);
    assert_eq!(changed(&mut node), [PathBuf::from("t/c")]);
    let trouble = node.wait("a word about it", |e| matches!(e, Event::DiskTrouble { .. }));
    assert!(matches!(trouble, Event::DiskTrouble { error: Some(_), .. }));
    assert!(node.status(id).disk_error.is_some());
    let whole_addr = vec![whole.addr];
    let peers = whole_addr.clone();
    node.call(move |engine| engine.add_peers(id, &peers));
    // The others are served; the file stays away.
    other.call(move |engine| engine.add_peers(other_id, &whole_addr));
    other.wait_completed(other_id);
    assert!(!a.path().join("t/c").exists());
    node.call(move |engine| engine.retry_disk(id)).unwrap();
    node.wait_completed(id);
    torrent.verify(a.path());
    assert_eq!(node.status(id).disk_error, None);
}

#[test]
fn a_medium_that_comes_back_is_taken_up_again_as_it_was() {
    let torrent = folder();
    let dir = tempfile::tempdir().unwrap();
    torrent.store(dir.path());
    let mut node = Node::start(attentive());
    let id = node.add(AddTorrent::new(torrent.metainfo.clone(), dir.path()));
    node.wait_started(id);
    let away = dir.path().join("away");
    fs::rename(dir.path().join("t"), &away).unwrap();
    let to = tempfile::tempdir().unwrap();
    let (mut other, other_id) = leech(&torrent, to.path(), &node);
    node.wait("trouble", |e| matches!(e, Event::DiskTrouble { error: Some(_), .. }));
    assert!(!dir.path().join("t").exists());
    fs::rename(&away, dir.path().join("t")).unwrap();
    node.call(move |engine| engine.retry_disk(id)).unwrap();
    node.wait("the end of it", |e| matches!(e, Event::DiskTrouble { error: None, .. }));
    other.wait_completed(other_id);
    torrent.verify(to.path());
}

#[test]
fn a_medium_that_cannot_be_written_is_shared_with_one_note() {
    let torrent = folder();
    let dir = tempfile::tempdir().unwrap();
    torrent.store(dir.path());
    // A folder in the place of what would become the record: that cannot be written even by root.
    let record = format!(".{}.resume.new", torrent.metainfo.info_hash());
    fs::create_dir(dir.path().join(record)).unwrap();
    let mut node = Node::start(Settings { save_interval: Duration::ZERO, ..settings() });
    let id = node.add(AddTorrent::new(torrent.metainfo.clone(), dir.path()));
    node.wait("a note", |e| matches!(e, Event::NotSaved { .. }));
    serves_everything(&torrent, &node);
    assert_eq!(node.status(id).state, State::Seeding);
    let seen = node.stop();
    assert_eq!(seen.iter().filter(|e| matches!(e, Event::NotSaved { .. })).count(), 1, "{seen:?}");
    assert!(!seen.iter().any(|e| matches!(e, Event::Failed { .. })));
}

#[test]
fn a_torrent_that_failed_starts_again_when_it_is_checked_again() {
    let torrent = folder();
    let dir = tempfile::tempdir().unwrap();
    torrent.store(dir.path());
    let a = dir.path().join("t/a");
    fs::remove_file(&a).unwrap();
    fs::create_dir(&a).unwrap();
    let mut node = Node::start(settings());
    let add =
        AddTorrent { check: CheckPolicy::Full, ..AddTorrent::new(torrent.metainfo.clone(), dir.path()) };
    let id = node.add(add);
    let failed = node.wait("failure", |e| matches!(e, Event::Failed { .. }));
    assert!(format!("{failed:?}").contains("t/a"), "{failed:?}");
    fs::remove_dir(&a).unwrap();
    torrent.store(dir.path());
    node.call(move |engine| engine.recheck(id)).unwrap();
    node.wait_started(id);
    assert_eq!((node.status(id).state, node.status(id).error), (State::Seeding, None));
    serves_everything(&torrent, &node);
}
