//! .torrent files that were made to harm: each gets a clear error, none a file outside of its folder.

use std::path::{Component, Path};
use std::time::{Duration, Instant};

use kamaelia_torrent::proto::bencode::{Bencode, BencodeError};
use kamaelia_torrent::proto::path::{PathError, Rules};
use kamaelia_torrent::proto::{GeometryError, InfoHash, Metainfo, MetainfoError, PieceIndex};
use proptest::prelude::*;

fn torrent(info: Bencode) -> Vec<u8> {
    Bencode::dict([("announce", Bencode::from("http://t.example/announce")), ("info", info)]).encode()
}

fn hashes(pieces: usize) -> Bencode {
    Bencode::Bytes((0..pieces * 20).map(|i| i as u8).collect())
}

fn single(name: &[u8], len: i64, piece_len: i64, pieces: usize) -> Bencode {
    Bencode::dict([
        ("length", Bencode::from(len)),
        ("name", name.into()),
        ("piece length", piece_len.into()),
        ("pieces", hashes(pieces)),
    ])
}

fn file(path: &[&str], len: i64) -> Bencode {
    let path = path.iter().map(|p| Bencode::from(*p)).collect();
    Bencode::dict([("length", Bencode::from(len)), ("path", path)])
}

fn multi(files: Vec<Bencode>, pieces: usize) -> Bencode {
    Bencode::dict([
        ("files", Bencode::List(files)),
        ("name", "t".into()),
        ("piece length", 16.into()),
        ("pieces", hashes(pieces)),
    ])
}

fn with(info: Bencode, key: &str, value: Bencode) -> Bencode {
    let Bencode::Dict(mut entries) = info else { panic!("a dictionary") };
    entries.insert(key.into(), value);
    Bencode::Dict(entries)
}

fn parse(info: Bencode) -> Result<Metainfo, MetainfoError> {
    Metainfo::parse(&torrent(info))
}

#[test]
fn well_formed_single_and_multi() {
    let m = parse(single(b"a.bin", 40, 16, 3)).unwrap();
    assert!(m.is_single_file());
    assert_eq!((m.name(), m.files().len(), m.files()[0].path.as_path()), ("a.bin", 1, Path::new("a.bin")));
    assert_eq!(m.geometry().piece_count(), 3);
    assert_eq!(m.piece_hash(PieceIndex(1))[0], 20);
    assert_eq!(m.trackers(), [["http://t.example/announce"]]);
    assert_eq!(m.info_hash(), InfoHash::of_info(m.raw_info()));

    let m = parse(multi(vec![file(&["a"], 10), file(&["d", "b"], 0), file(&["d", "c"], 30)], 3)).unwrap();
    let files: Vec<_> = m.files().iter().map(|f| (f.path.to_str().unwrap(), f.len, f.offset)).collect();
    assert_eq!(files, [("t/a", 10, 0), ("t/d/b", 0, 10), ("t/d/c", 30, 10)]);
    assert!(!m.is_single_file());
}

/// D-47.
#[test]
fn paths_out_of_the_folder_are_refused() {
    for name in [&b".."[..], b"../x", b"/etc/x", b"", b".", b"a\0b", b"..\\x", b"C:", b"a/b", b"... "] {
        let error = parse(single(name, 16, 16, 1)).unwrap_err();
        assert!(matches!(error, MetainfoError::Path(_)), "{name:?} {error}");
    }
    for path in [
        &["..", "x"][..],
        &["a", "..", "..", "x"],
        &["/etc/x"],
        &["", "etc", "x"],
        &["../../x"],
        &["."],
        &["a", ""],
        &[],
        &["a\\..\\b"],
        &["C:", "x"],
        &["a\0"],
    ] {
        let error = parse(multi(vec![file(path, 16)], 1)).unwrap_err();
        assert!(matches!(error, MetainfoError::Path(_)), "{path:?} {error}");
    }
}

#[test]
fn names_for_one_file_are_refused() {
    let twice = parse(multi(vec![file(&["a"], 8), file(&["b"], 4), file(&["a"], 4)], 1)).unwrap_err();
    assert_eq!(twice, PathError::Duplicate("t/a".into()).into());
    let folder = parse(multi(vec![file(&["a"], 8), file(&["a", "b"], 8)], 1)).unwrap_err();
    assert_eq!(folder, PathError::FileAndFolder("t/a".into()).into());
    let case = torrent(multi(vec![file(&["a"], 8), file(&["A"], 8)], 1));
    let path = |m: &Metainfo, i: usize| m.files()[i].path.to_str().unwrap().to_owned();
    let apart = Metainfo::parse_with(&case, Rules::WINDOWS).unwrap();
    assert!(path(&apart, 0) == "t/a" && path(&apart, 1).starts_with("t/A~"), "{:?}", apart.files());
    let allowed = Metainfo::parse_with(&case, Rules::UNIX).unwrap();
    assert!(path(&allowed, 0) == "t/a" && path(&allowed, 1) == "t/A");
    assert!(matches!(allowed.case_clash(), Some(PathError::CaseClash(..))));
    assert_eq!(allowed.told_apart()[&1], apart.files()[1].path);
    // Two names that differ only in what is replaced.
    let hidden = parse(multi(vec![file(&["a\u{202e}"], 8), file(&["a\u{202d}"], 8)], 1)).unwrap_err();
    assert_eq!(hidden, PathError::Duplicate("t/a_".into()).into());
}

#[test]
fn links_are_left_out_and_pads_are_marked() {
    let link = with(
        with(file(&["evil"], 0), "attr", "l".into()),
        "symlink path",
        [Bencode::from(".."), "etc".into()].into_iter().collect(),
    );
    let pad = |len| with(file(&[".pad", "6"], len), "attr", "p".into());
    let m = parse(multi(vec![file(&["a"], 10), pad(6), link.clone(), file(&["b"], 10), pad(6)], 2)).unwrap();
    let files: Vec<_> = m.files().iter().map(|f| (f.path.to_str().unwrap(), f.offset, f.pad)).collect();
    assert_eq!(
        files,
        [("t/a", 0, false), ("t/.pad/6", 10, true), ("t/b", 16, false), ("t/.pad/6", 26, true)]
    );
    let filled = parse(multi(vec![file(&["a"], 10), with(link, "length", 6.into())], 1));
    assert!(matches!(filled, Err(MetainfoError::FileLen { .. })));
}

#[test]
fn absurd_lengths_are_refused() {
    use GeometryError as G;
    let geometry = |info| match parse(info).unwrap_err() {
        MetainfoError::Geometry(error) => error,
        other => panic!("{other}"),
    };
    assert_eq!(geometry(single(b"a", 0, 16, 0)), G::Empty);
    assert_eq!(geometry(multi(vec![], 0)), G::Empty);
    assert_eq!(geometry(multi(vec![file(&["a"], 0)], 0)), G::Empty);
    assert_eq!(geometry(single(b"a", 16, 0, 1)), G::PieceLen(0));
    assert_eq!(geometry(single(b"a", 16, -16, 1)), G::PieceLen(16));
    assert_eq!(geometry(single(b"a", 16, i64::MAX, 1)), G::PieceLen(i64::MAX as u64));
    assert_eq!(geometry(single(b"a", 1 << 30, 1, 1)), G::Pieces(1 << 30));
    for len in [-1, i64::MIN, i64::MAX, (1 << 48) + 1] {
        let error = parse(single(b"a", len, 16, 1)).unwrap_err();
        assert!(matches!(error, MetainfoError::FileLen { .. }), "{len} {error}");
    }
    // Many files whose sum would overflow.
    let files = (0..200_000).map(|i| file(&[&i.to_string()], 1 << 48)).collect();
    assert!(matches!(parse(multi(files, 1)), Err(MetainfoError::Geometry(G::TotalLen(_)))));
}

#[test]
fn one_hash_for_each_piece() {
    for pieces in [0, 2, 4] {
        let error = parse(single(b"a", 48, 16, pieces)).unwrap_err();
        assert_eq!(error, MetainfoError::Hashes { got: pieces * 20, expected: 60, pieces: 3 });
    }
    let odd = with(single(b"a", 48, 16, 3), "pieces", vec![0u8; 59].into());
    assert!(matches!(parse(odd), Err(MetainfoError::Hashes { got: 59, .. })));
}

#[test]
fn what_is_missing_or_ambiguous_is_named() {
    let info = |without: &str| {
        let Bencode::Dict(mut entries) = single(b"a", 48, 16, 3) else { unreachable!() };
        entries.remove(without.as_bytes());
        Bencode::Dict(entries)
    };
    for key in ["length", "name", "piece length", "pieces"] {
        assert_eq!(parse(info(key)).unwrap_err(), MetainfoError::Missing(key));
    }
    let both = with(single(b"a", 48, 16, 3), "files", Bencode::List(vec![file(&["a"], 48)]));
    assert_eq!(parse(both).unwrap_err(), MetainfoError::LengthAndFiles);
    assert_eq!(Metainfo::parse(b"de").unwrap_err(), MetainfoError::Missing("info"));
    assert_eq!(Metainfo::parse(b"d4:infolee").unwrap_err(), MetainfoError::Missing("info"));
    assert!(Metainfo::parse(b"").is_err());
}

#[test]
fn hybrid_is_read_by_its_v1_part_and_v2_alone_is_refused() {
    let tree = Bencode::dict([("a", Bencode::dict([("", Bencode::dict([("length", Bencode::from(48))]))]))]);
    let hybrid = with(with(single(b"a", 48, 16, 3), "meta version", 2.into()), "file tree", tree.clone());
    assert_eq!(parse(hybrid).unwrap().geometry().piece_count(), 3);
    let v2 = Bencode::dict([
        ("file tree", tree),
        ("meta version", 2.into()),
        ("name", "a".into()),
        ("piece length", 16384.into()),
    ]);
    assert_eq!(parse(v2).unwrap_err(), MetainfoError::V2Only);
}

#[test]
fn info_hash_is_over_the_raw_bytes() {
    // Keys out of order, as some programs write them: sorting them anew would give another hash.
    let info = b"d6:lengthi16e12:piece lengthi16e4:name1:a6:pieces20:aaaaaaaaaaaaaaaaaaaae";
    let bytes = [b"d4:info", &info[..], b"8:announce4:http7:comment2:\x1b[e"].concat();
    let m = Metainfo::parse(&bytes).unwrap();
    assert_eq!(m.info_hash(), InfoHash::of_info(info));
    assert_eq!(m.raw_info(), info);
    assert_eq!(m.comment(), Some(" ["));
    // The same key twice has no single meaning.
    let twice = [b"d4:info", &info[..], b"4:info", info, b"e"].concat();
    assert!(matches!(Metainfo::parse(&twice), Err(MetainfoError::Bencode(BencodeError::Duplicate { .. }))));
}

#[test]
fn trackers_come_in_tiers_and_bad_ones_are_left_out() {
    let tier = |urls: &[&str]| urls.iter().map(|u| Bencode::from(*u)).collect::<Bencode>();
    let list = Bencode::List(vec![
        tier(&["http://a/x", "http://b/x", "http://a/x", "", "http://evil/\x1b[2J"]),
        tier(&[]),
        Bencode::from("not a list"),
        tier(&["http://b/x", "udp://c:1/x"]),
    ]);
    let bytes = Bencode::dict([
        ("announce", Bencode::from("http://ignored/x")),
        ("announce-list", list),
        ("info", single(b"a", 48, 16, 3)),
        ("url-list", "http://w/a".into()),
    ]);
    let m = Metainfo::parse(&bytes.encode()).unwrap();
    assert_eq!(m.trackers(), [vec!["http://a/x", "http://b/x"], vec!["udp://c:1/x"]]);
    assert_eq!(m.web_seeds(), ["http://w/a"]);

    let many = (0..10_000).map(|i| tier(&[&format!("http://{i}/x")])).collect();
    let bytes = Bencode::dict([("announce-list", many), ("info", single(b"a", 48, 16, 3))]).encode();
    assert_eq!(Metainfo::parse(&bytes).unwrap().trackers().len(), 256);
}

#[test]
fn names_of_old_programs_are_read() {
    let old = with(single(b"gr\xfcn", 48, 16, 3), "name.utf-8", "grün".into());
    assert_eq!(parse(old).unwrap().name(), "grün");
    assert_eq!(parse(single(b"gr\xfcn", 48, 16, 3)).unwrap().name(), "gr_n");
}

#[test]
fn large_and_deep_files_are_refused_at_once() {
    let begin = Instant::now();
    let large = vec![b'l'; 100_000_000];
    assert_eq!(Metainfo::parse(&large).unwrap_err(), MetainfoError::TooLong(100_000_000));
    let deep = vec![b'l'; 10_000_000];
    assert!(matches!(Metainfo::parse(&deep), Err(MetainfoError::Bencode(BencodeError::TooDeep { .. }))));
    let deep_dicts = b"d1:a".repeat(2_000_000);
    assert!(matches!(
        Metainfo::parse(&deep_dicts),
        Err(MetainfoError::Bencode(BencodeError::TooDeep { .. }))
    ));
    let wide = [b"l".to_vec(), b"le".repeat(4_000_000)].concat();
    assert!(matches!(Metainfo::parse(&wide), Err(MetainfoError::Bencode(BencodeError::TooMany { .. }))));
    assert!(begin.elapsed() < Duration::from_secs(60), "{:?}", begin.elapsed());
}

#[test]
fn many_keys_and_files_take_linear_time() {
    // A million keys in reverse order: comparing each with each would take hours.
    let keys: Vec<u8> = (0..800_000).rev().flat_map(|i| format!("7:{i:07}0:").into_bytes()).collect();
    let bytes = [b"d", &keys[..], b"e"].concat();
    let begin = Instant::now();
    assert_eq!(Metainfo::parse(&bytes).unwrap_err(), MetainfoError::Missing("info"));
    let files = (0..50_000).map(|i| file(&["folder", &format!("{i:030}")], 16)).collect();
    assert_eq!(parse(multi(files, 50_000)).unwrap().files().len(), 50_000);
    assert!(begin.elapsed() < Duration::from_secs(60), "{:?}", begin.elapsed());
}

proptest! {
    #[test]
    fn no_name_leads_out_of_the_folder(
        name in "[a./\\\\:\0 ]{0,6}",
        path in prop::collection::vec("[a./\\\\:\0 ]{0,4}", 0..4),
    ) {
        let path: Vec<_> = path.iter().map(|p| Bencode::from(p.as_str())).collect();
        let file = Bencode::dict([("length", Bencode::from(16)), ("path", Bencode::List(path))]);
        let info = with(multi(vec![file], 1), "name", name.as_str().into());
        if let Ok(m) = parse(info) {
            let components: Vec<_> = m.files()[0].path.components().collect();
            prop_assert!(components.len() >= 2);
            prop_assert!(components.iter().all(|c| matches!(c, Component::Normal(_))));
        }
    }

    #[test]
    fn one_changed_byte_never_panics(at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut bytes = torrent(multi(vec![file(&["a"], 10), file(&["d", "c"], 30)], 3));
        let at = at.index(bytes.len());
        bytes[at] = byte;
        let _ = Metainfo::parse(&bytes);
    }
}
