//! Torrents that are made can be read, describe the files, and are what `lava_torrent` makes of the same files.

use std::fs;
use std::io::Write;
use std::ops::ControlFlow;
use std::path::Path;

use kamaelia_torrent::make::{MakeError, MakeProgress, Maker};
use kamaelia_torrent::proto::PieceIndex;
use kamaelia_torrent::proto::bencode::{Document, Limits};
use lava_torrent::torrent::v1::{Torrent, TorrentBuilder};
use proptest::prelude::*;
use sha1::{Digest, Sha1};

const PIECE: u32 = 16 * 1024;

fn go(_: MakeProgress) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

fn bytes(len: usize, seed: u64) -> Vec<u8> {
    let mut out = vec![0; len];
    fastrand::Rng::with_seed(seed).fill(&mut out);
    out
}

fn fill(root: &Path, files: &[(&str, usize)]) -> Vec<u8> {
    let mut all = Vec::new();
    for (name, len) in files {
        let path = root.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let data = bytes(*len, *len as u64);
        fs::write(path, &data).unwrap();
        all.extend(data);
    }
    all
}

#[test]
fn single_file_with_all_options() {
    let folder = tempfile::tempdir().unwrap();
    let data = fill(folder.path(), &[("a.bin", 100_000)]);
    let mut last = None;
    let made = Maker::new(folder.path().join("a.bin"))
        .piece_len(PIECE)
        .tracker_tier(["http://a/announce", "udp://b:1/announce"])
        .tracker_tier(["https://c/announce"])
        .web_seed("http://w/a.bin")
        .private(true)
        .comment("a comment")
        .creation_date(1_700_000_000)
        .make(|progress| {
            assert!(last.is_none_or(|l: MakeProgress| l.done <= progress.done));
            last = Some(progress);
            ControlFlow::Continue(())
        })
        .unwrap();
    assert_eq!(last, Some(MakeProgress { done: 100_000, total: 100_000 }));
    let m = &made.metainfo;
    assert!(m.is_single_file() && m.private());
    assert_eq!((m.name(), m.files()[0].len), ("a.bin", 100_000));
    assert_eq!(m.trackers(), [vec!["http://a/announce", "udp://b:1/announce"], vec!["https://c/announce"]]);
    assert_eq!((m.web_seeds(), m.comment()), (&["http://w/a.bin".to_owned()][..], Some("a comment")));
    assert_eq!(m.creation_date(), Some(1_700_000_000));
    assert!(m.created_by().unwrap().starts_with("kamaelia-torrent "));
    for (piece, chunk) in data.chunks(PIECE as usize).enumerate() {
        let expected: [u8; 20] = Sha1::digest(chunk).into();
        assert_eq!(m.piece_hash(PieceIndex(piece as u32)), expected);
    }
    // Strictly sorted keys: canonical.
    Document::parse(&made.bytes, &Limits::RECORD).unwrap();
    // One tracker: no list.
    let one = Maker::new(folder.path().join("a.bin")).tracker_tier(["http://a/announce"]).make(go).unwrap();
    assert_eq!(one.metainfo.trackers(), [["http://a/announce"]]);
    assert!(Document::parse(&one.bytes, &Limits::RECORD).unwrap().root().get("announce-list").is_none());
}

#[test]
fn folder_is_sorted_and_whole() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("t");
    let files = [
        (".hidden", 5),
        ("a/1", 40_000),
        ("a/2", 0),
        ("a/b/c", 16_384),
        ("b", 70_000),
        ("empty", 0),
        ("z", 1),
    ];
    let data = fill(&root, &files);
    let made = Maker::new(&root).piece_len(PIECE).make(go).unwrap();
    let listed: Vec<_> =
        made.metainfo.files().iter().map(|f| (f.path.to_str().unwrap(), f.len as usize)).collect();
    let expected: Vec<_> = files.iter().map(|(name, len)| (format!("t/{name}"), *len)).collect();
    assert_eq!(listed, expected.iter().map(|(n, l)| (n.as_str(), *l)).collect::<Vec<_>>());
    for (piece, chunk) in data.chunks(PIECE as usize).enumerate() {
        let expected: [u8; 20] = Sha1::digest(chunk).into();
        assert_eq!(made.metainfo.piece_hash(PieceIndex(piece as u32)), expected, "{piece}");
    }
    let one_thread = Maker::new(&root).piece_len(PIECE).threads(1).make(go).unwrap();
    assert_eq!(one_thread.bytes, made.bytes);
    let renamed = Maker::new(root.join("a").join("..")).name("other").make(go).unwrap();
    assert_eq!(renamed.metainfo.name(), "other");
}

#[cfg(unix)]
#[test]
fn links_are_not_followed_and_reported() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("t");
    fill(&root, &[("a", 10)]);
    std::os::unix::fs::symlink("..", root.join("loop")).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", root.join("secret")).unwrap();
    let made = Maker::new(&root).make(go).unwrap();
    assert_eq!(made.metainfo.files().len(), 1);
    assert!(made.skipped.iter().map(|p| p.file_name().unwrap()).eq(["loop", "secret"]));
}

#[cfg(unix)]
#[test]
fn errors_name_the_file() {
    use std::os::unix::ffi::OsStrExt;
    let folder = tempfile::tempdir().unwrap();
    let error = |name: &std::ffi::OsStr| {
        let root = folder.path().join("t");
        fill(&root, &[("a", 10)]);
        fs::write(root.join(name), b"x").unwrap();
        let error = Maker::new(&root).make(go).unwrap_err().to_string();
        fs::remove_dir_all(&root).unwrap();
        error
    };
    assert!(error("a\\b".as_ref()).contains("t/a\\b: file name \"a\\\\b\" contains a path separator"));
    assert!(error("x\u{202e}y".as_ref()).contains("it would be saved as \"x_y\""));
    assert!(error(std::ffi::OsStr::from_bytes(b"\xff")).contains("name is not UTF-8"));
    let missing = Maker::new(folder.path().join("missing")).make(go).unwrap_err();
    assert!(missing.to_string().contains("missing: No such file"), "{missing}");
    let special = Maker::new("/dev/null").make(go).unwrap_err();
    assert!(special.to_string().contains("neither a file nor a folder"), "{special}");
}

#[test]
fn nothing_to_share_and_bad_options_are_errors() {
    let folder = tempfile::tempdir().unwrap();
    let empty = folder.path().join("empty");
    fs::create_dir(&empty).unwrap();
    let error = Maker::new(&empty).make(go).unwrap_err();
    assert!(error.to_string().ends_with("empty: the torrent holds no data (total length 0)"), "{error}");
    fill(folder.path(), &[("a", 10)]);
    let maker = Maker::new(folder.path().join("a"));
    for len in [0, 1, 16_383, 20_000, 1 << 29] {
        assert!(matches!(maker.clone().piece_len(len).make(go), Err(MakeError::PieceLen(l)) if l == len));
    }
    for url in ["", "x", "http://", "http://a b/", "file:///etc/passwd", "udp:a"] {
        assert!(matches!(maker.clone().tracker_tier([url]).make(go), Err(MakeError::Url { .. })), "{url}");
        assert!(matches!(maker.clone().web_seed(url).make(go), Err(MakeError::Url { .. })), "{url}");
    }
    for name in ["", "..", "a/b", "/x"] {
        assert!(matches!(maker.clone().name(name).make(go), Err(MakeError::Name { .. })), "{name}");
    }
}

#[test]
fn cancellation_and_changes_end_it() {
    let folder = tempfile::tempdir().unwrap();
    fill(folder.path(), &[("a", 3_000_000)]);
    let path = folder.path().join("a");
    let maker = Maker::new(&path).piece_len(PIECE).threads(2);
    assert!(matches!(maker.clone().make(|_| ControlFlow::Break(())), Err(MakeError::Cancelled)));
    let mut times = 0;
    let shrunk = maker.clone().threads(1).make(|_| {
        times += 1;
        if times == 1 {
            fs::File::options().write(true).open(&path).unwrap().set_len(100).unwrap();
        }
        ControlFlow::Continue(())
    });
    assert!(matches!(&shrunk, Err(MakeError::Changed(p)) if p.ends_with("a")), "{shrunk:?}");
    // Longer now, but all bytes of the old length were read without trouble.
    fs::write(&path, bytes(100_000, 1)).unwrap();
    let grown = maker.make(|progress| {
        if progress.done == progress.total {
            let mut file = fs::File::options().append(true).open(&path).unwrap();
            file.write_all(b"more").unwrap();
        }
        ControlFlow::Continue(())
    });
    assert!(matches!(&grown, Err(MakeError::Changed(p)) if p.ends_with("a")), "{grown:?}");
}

fn as_lava(path: &Path) -> Torrent {
    TorrentBuilder::new(path, PIECE.into())
        .set_announce(Some("http://a/announce".into()))
        .set_num_threads(2)
        .build()
        .unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    /// Our maker, our reader and `lava_torrent` agree on well-formed input.
    #[test]
    fn same_as_lava_torrent(
        files in prop::collection::btree_map("[a-z][a-zA-Z0-9 äß._-]{0,8}(/[a-z]{1,4}x){0,2}", 1..50_000usize, 1..6),
        single in any::<bool>(),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("t");
        // The letter x ends every folder, so no file is in the way of one.
        for (at, (path, len)) in files.iter().enumerate() {
            let parts: Vec<_> = path.split('/').map(|part| part.trim_end_matches(['.', ' '])).collect();
            let name = format!("{}.f{at}", parts.join("x/"));
            fill(&root, &[(&name, *len)]);
        }
        let target = if single {
            fs::write(root.join("one"), bytes(70_000, 1)).unwrap();
            root.join("one")
        } else {
            root
        };
        let made = Maker::new(&target).piece_len(PIECE).tracker_tier(["http://a/announce"]).make(go).unwrap();
        let lava = as_lava(&target);
        prop_assert_eq!(made.metainfo.info_hash().to_string(), lava.info_hash());
        prop_assert_eq!(made.metainfo.name(), &lava.name);
        prop_assert_eq!(made.metainfo.geometry().total_len() as i64, lava.length);
        prop_assert_eq!(made.metainfo.raw_info(), lava.construct_info().encode());
        // Each reads what the other wrote.
        prop_assert_eq!(&Torrent::read_from_bytes(&made.bytes).unwrap().info_hash(), &lava.info_hash());
        let lava_files = lava.files.clone();
        let hash = lava.info_hash();
        let read = kamaelia_torrent::proto::Metainfo::parse(&lava.encode().unwrap()).unwrap();
        prop_assert_eq!(read.info_hash().to_string(), hash);
        if let Some(files) = lava_files {
            let theirs: Vec<_> = files.iter().map(|f| (Path::new("t").join(&f.path), f.length as u64)).collect();
            let ours: Vec<_> = read.files().iter().map(|f| (f.path.clone(), f.len)).collect();
            prop_assert_eq!(ours, theirs);
        }
    }
}
