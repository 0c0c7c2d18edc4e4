//! Every file of the fuzz corpora goes through the function that its fuzz target calls, on any compiler.

use std::fs;
use std::path::PathBuf;

use kamaelia_torrent::proto::Metainfo;
use kamaelia_torrent::proto::bencode::{Document, Limits};
use lava_torrent::torrent::v1::Torrent;

#[path = "../fuzz/entry.rs"]
mod entry;

fn corpus(target: &str) -> Vec<(String, Vec<u8>)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let entries = fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let files = entries.map(|entry| entry.unwrap().path());
    let files: Vec<_> = files.map(|p| (p.display().to_string(), fs::read(p).unwrap())).collect();
    assert!(files.len() >= 10, "{target} has a corpus");
    files
}

fn replay(target: &str, run: fn(&[u8])) {
    for (name, bytes) in corpus(target) {
        println!("{name}");
        run(&bytes);
        // The start of every input is an input too.
        for len in (0..bytes.len()).step_by(bytes.len() / 64 + 1) {
            run(&bytes[..len]);
        }
    }
}

#[test]
fn bencode() {
    replay("bencode", entry::bencode);
}

#[test]
fn metainfo() {
    replay("metainfo", entry::metainfo);
}

#[test]
fn announce_response() {
    replay("announce_response", entry::announce_response);
}

#[test]
fn resume() {
    replay("resume", entry::resume);
}

#[test]
fn parts() {
    replay("parts", entry::parts);
}

#[test]
fn state() {
    replay("state", entry::state);
}

#[test]
fn extension() {
    replay("extension", entry::extension);
}

#[test]
fn tracker_query() {
    replay("tracker_query", entry::tracker_query);
}

/// Two readers written apart from each other agree on what a torrent is, where both take it. (`lava_torrent` writes
/// the `info` dictionary anew to hash it, so only canonical files are compared.)
#[test]
fn lava_torrent_agrees() {
    let mut agreed = 0;
    for (name, bytes) in corpus("metainfo") {
        let canonical = Document::parse(&bytes, &Limits::RECORD).is_ok();
        let (Ok(ours), true) = (Metainfo::parse(&bytes), canonical) else { continue };
        let Ok(theirs) = Torrent::read_from_bytes(&bytes) else { continue };
        assert_eq!(ours.info_hash().to_string(), theirs.info_hash(), "{name}");
        assert_eq!(ours.geometry().total_len() as i64, theirs.length, "{name}");
        assert_eq!(ours.private(), theirs.is_private(), "{name}");
        agreed += 1;
    }
    assert!(agreed >= 5, "{agreed}");
}
