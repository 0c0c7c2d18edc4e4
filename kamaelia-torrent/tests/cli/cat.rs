//! `cat` writes a file while it is downloaded.

use std::io::Read;
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::Arc;

use crate::run::*;
use crate::slow::slow_seed;
use crate::support::{self, TestTorrent, file};

const PIECE: usize = 32_768;

fn album() -> TestTorrent {
    support::multi(
        "album",
        vec![file("one.ogg", 300_000, 1), file("two.ogg", 900_001, 2), file("notes.txt", 5_000, 3)],
        PIECE as u32,
    )
}

/// The arguments to fetch from a seed that sends so many blocks a second, and no more than `most` of them.
fn args(torrent: &TestTorrent, dir: &Path, blocks_per_second: u32, most: usize) -> Vec<String> {
    let payload = Arc::new(torrent.payload());
    let seed = slow_seed(torrent.metainfo.info_hash().0, payload, PIECE, blocks_per_second, most);
    let path = dir.join("t.torrent");
    std::fs::write(&path, &torrent.bytes).unwrap();
    let words = ["cat", path.to_str().unwrap(), "--dir", dir.to_str().unwrap(), "--listen", "127.0.0.1:0"];
    let peer = ["--peer".to_owned(), seed.to_string()];
    words.map(str::to_owned).into_iter().chain(peer).collect()
}

fn start(args: &[String]) -> Child {
    let mut command = command(args);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

#[test]
fn the_file_that_is_named_is_written_and_nothing_else() {
    let torrent = album();
    for (name, number) in [(Some("one.ogg"), 0), (Some("n*.txt"), 2), (Some("1"), 1), (None, 1)] {
        let dir = tempfile::tempdir().unwrap();
        let mut args = args(&torrent, dir.path(), 1000, usize::MAX);
        args.extend(name.map(|name| format!("--file={name}")));
        let output = run(&args);
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        assert!(output.stdout == torrent.files[number].data, "{name:?}");
        assert_eq!(stderr(&output), "");
    }
}

#[test]
fn bytes_come_before_the_rest_can_and_an_interruption_ends_it() {
    let torrent = album();
    let dir = tempfile::tempdir().unwrap();
    // 75 blocks would be needed.
    let mut child = start(&args(&torrent, dir.path(), 200, 40));
    let mut bytes = vec![0; 100_000];
    child.stdout.as_mut().unwrap().read_exact(&mut bytes).unwrap();
    assert!(bytes == torrent.files[1].data[..100_000]);
    signal(child.id(), "INT");
    assert_eq!(child.wait().unwrap().code(), Some(130));
}

/// A socket as standard output that takes nothing, and its other end.
#[cfg(unix)]
fn full_output() -> (Stdio, std::os::unix::net::UnixStream) {
    use std::io::Write;

    let (mut ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
    ours.set_nonblocking(true).unwrap();
    while ours.write(&[0; 1024]).is_ok() {}
    while ours.write(&[0]).is_ok() {}
    ours.set_nonblocking(false).unwrap();
    (std::os::fd::OwnedFd::from(ours).into(), theirs)
}

#[cfg(unix)]
#[test]
fn an_interruption_ends_it_while_nobody_takes_what_it_writes() {
    let torrent = album();
    // While more of the file comes, and when all of it is there.
    for most in [40, usize::MAX] {
        let dir = tempfile::tempdir().unwrap();
        let (output, reader) = full_output();
        let mut command = command(args(&torrent, dir.path(), 2000, most));
        let mut child = command.stdin(Stdio::null()).stdout(output).stderr(Stdio::piped()).spawn().unwrap();
        drop(command);
        // What is first in the file was written to the disk, so it is on its way to standard output.
        let two = dir.path().join("album/two.ogg");
        let end = std::time::Instant::now() + LIMIT;
        let part = if most == 40 { 100_000 } else { 900_001 };
        while std::fs::read(&two).map_or(true, |data| data.get(..part) != torrent.files[1].data.get(..part)) {
            assert!(std::time::Instant::now() < end, "the file comes");
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        signal(child.id(), "INT");
        while child.try_wait().unwrap().is_none() {
            if std::time::Instant::now() > end {
                child.kill().unwrap();
            }
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        assert_eq!(child.wait().unwrap().code(), Some(130));
        drop(reader);
    }
}

#[test]
fn a_reader_that_has_enough_ends_it() {
    let torrent = album();
    let dir = tempfile::tempdir().unwrap();
    let mut child = start(&args(&torrent, dir.path(), 200, usize::MAX));
    child.stdout.as_mut().unwrap().read_exact(&mut [0; 1000]).unwrap();
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn what_makes_no_sense_is_refused_before_anything_is_begun() {
    let torrent = album();
    let dir = tempfile::tempdir().unwrap();
    for (more, code, why) in [
        (&["--file=*.mp3"][..], 1, "t.torrent: no file is called \"*.mp3\""),
        (&["--file=*.ogg"], 1, "2 files are called \"*.ogg\", among them album/one.ogg and album/two.ogg"),
        (&["--file=3"], 1, "there is no file 3: there are 3, counted from 0"),
        (&["--json"], 2, "standard output carries the file itself"),
    ] {
        let mut args = args(&torrent, dir.path(), 1000, usize::MAX);
        args.extend(more.iter().map(|word| (*word).to_owned()));
        let output = run(&args);
        assert_code(&output, code);
        assert!(stderr(&output).contains(why) && output.stdout.is_empty(), "{}", stderr(&output));
    }
    assert!(!dir.path().join("album").exists());
}

#[test]
fn a_disk_that_cannot_be_used_is_named() {
    let torrent = album();
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("album"), "in the way").unwrap();
    let output = run(args(&torrent, dir.path(), 1000, usize::MAX));
    assert_code(&output, 1);
    assert!(stderr(&output).contains("album"), "{}", stderr(&output));
}
