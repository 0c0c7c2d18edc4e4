//! .torrent files that must be refused: the error names the file and the rule, fast, and nothing is written.

use std::fs;
use std::time::Instant;

use crate::run::*;
use crate::support;

/// A single-file torrent with these values, each as it stands in the file.
fn with(name: &[u8], length: &str, piece_length: &str, hashes: usize) -> Vec<u8> {
    let mut info = b"d".to_vec();
    info.extend(format!("6:length{length}4:name{}:", name.len()).bytes());
    info.extend(name);
    info.extend(format!("12:piece length{piece_length}6:pieces{hashes}:").bytes());
    info.extend(vec![b'h'; hashes]);
    info.push(b'e');
    wrap(&info)
}

fn wrap(info: &[u8]) -> Vec<u8> {
    [b"d4:info", info, b"e"].concat()
}

fn with_files(paths: &[&[&str]]) -> Vec<u8> {
    let mut info = b"d5:filesl".to_vec();
    for path in paths {
        info.extend(b"d6:lengthi1e4:pathl");
        for part in *path {
            info.extend(format!("{}:{part}", part.len()).bytes());
        }
        info.extend(b"ee");
    }
    info.extend(b"e4:name1:n12:piece lengthi16384e6:pieces20:hhhhhhhhhhhhhhhhhhhhe");
    wrap(&info)
}

/// Tries a file with every command that reads one.
#[track_caller]
fn refused(place: &Place, file: &str, rule: &str) {
    let before = tree(place.folder.path());
    let start = Instant::now();
    let get = place.get(file, "download", &[]);
    let seed: Vec<String> = ["seed"].map(String::from).into_iter().chain(get[1..].iter().cloned()).collect();
    let others = [vec!["show", file], vec!["check", file], vec!["show", file, "--json"]];
    let others = others.map(|args| args.into_iter().map(String::from).collect());
    for args in [get, seed].into_iter().chain(others) {
        let output = run(&args);
        assert_code(&output, 1);
        let text = stderr(&output);
        assert!(
            text.starts_with("error: ") && text.contains(file) && text.contains(rule),
            "{args:?}: {text}"
        );
        assert_eq!(text.lines().count(), 1, "{text}");
        if args.iter().any(|a| a == "--json") {
            assert!(objects(&stdout(&output))[0]["error"].as_str().unwrap().contains(rule));
        } else {
            assert_eq!(stdout(&output), "", "{args:?}");
        }
    }
    assert!(start.elapsed().as_secs() < 200, "{file} took {:?}", start.elapsed());
    assert_eq!(tree(place.folder.path()), before, "{file}: nothing is written");
}

#[test]
fn broken_files_are_refused() {
    let good = support::single("f", 100_000, 16_384, 1).bytes;
    let nested = [b"d4:info".to_vec(), vec![b'l'; 100_000], vec![b'e'; 100_000], b"e".to_vec()].concat();
    let max = u64::MAX >> 1;
    let absurd = max.to_string();
    let cases: [(&str, Vec<u8>, &str); 22] = [
        ("truncated", good[..good.len() / 2].to_vec(), "not a .torrent file"),
        ("empty", Vec::new(), "not a .torrent file"),
        ("web-page", b"<!DOCTYPE html><html>".to_vec(), "not a .torrent file"),
        ("trailing", [&good[..], b"x"].concat(), "not a .torrent file"),
        ("nested", nested, "not a .torrent file"),
        ("no-info", b"d8:announce10:http://t/ae".to_vec(), "missing or malformed \"info\""),
        ("dots", with(b"..", "i1e", "i16384e", 20), "leads to another folder"),
        ("absolute", with(b"/etc/cron.d/x", "i1e", "i16384e", 20), "/etc/cron.d/x"),
        ("backslash", with(b"..\\x", "i1e", "i16384e", 20), "x"),
        ("no-name", with(b"", "i1e", "i16384e", 20), "empty file name"),
        ("zero", with(b"a\0b", "i1e", "i16384e", 20), "file name"),
        ("dots-inside", with_files(&[&["a", "..", "..", "x"]]), "leads to another folder"),
        ("slash-inside", with_files(&[&["../../x"]]), "../../x"),
        ("no-path", with_files(&[&[]]), "empty file name"),
        ("twice", with_files(&[&["a"], &["a"]]), "n/a"),
        ("file-and-folder", with_files(&[&["a"], &["a", "b"]]), "n/a"),
        ("zero-length", with(b"n", "i0e", "i16384e", 0), "no data"),
        ("negative", with(b"n", "i-1e", "i16384e", 20), "out of range"),
        ("absurd", with(b"n", &format!("i{max}e"), "i16384e", 20), "out of range"),
        ("zero-piece-length", with(b"n", "i1e", "i0e", 20), "piece length 0"),
        ("absurd-piece-length", with(b"n", "i1e", &format!("i{max}e"), 20), &absurd),
        ("wrong-piece-count", with(b"n", "i100000e", "i16384e", 20), "7 pieces need 140"),
    ];
    let place = Place::new();
    for (name, bytes, rule) in cases {
        let file = place.torrent(&format!("{name}.torrent"), &bytes);
        refused(&place, &file, rule);
    }
}

#[test]
fn what_is_no_torrent_at_all_is_refused() {
    let place = Place::new();
    refused(&place, "magnet:?xt=urn:btih:00", "magnet links are not understood");
    refused(&place, "https://t.example/x.torrent", "fetch the .torrent file first");
    refused(&place, "/no/such.torrent", "No such file");
    fs::create_dir(place.path("folder")).unwrap();
    refused(&place, &place.text("folder"), "director");
    fs::File::create(place.path("huge")).unwrap().set_len(100_000_000).unwrap();
    refused(&place, &place.text("huge"), "100000000 bytes is refused");
}

#[cfg(target_os = "linux")]
#[test]
fn endless_files_and_pipes_do_not_hang() {
    let place = Place::new();
    refused(&place, "/dev/zero", "is refused");
    let pipe = place.text("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    refused(&place, &pipe, "not a .torrent file");
}

#[test]
fn one_bad_file_among_good_ones_stops_everything_before_it_begins() {
    let place = Place::new();
    let good = place.torrent("good.torrent", &support::single("f", 1000, 16_384, 1).bytes);
    let bad = place.torrent("bad.torrent", b"x");
    let output = run(place.get(&good, "download", &[&bad]));
    assert_code(&output, 1);
    assert!(stderr(&output).contains("bad.torrent"));
    assert!(!place.path("download").exists());
}

#[test]
fn names_cannot_send_escapes_to_the_terminal() {
    let evil = "\x1b]0;owned\x07\x1b[31m\u{9b}2J\u{202e}x";
    let mut torrent = with(evil.as_bytes(), "i20000e", "i16384e", 40);
    // The same in every other text of the file.
    torrent.pop();
    torrent.extend(format!("7:comment{}:{evil}", evil.len()).bytes());
    let announce = format!("http://127.0.0.1:1/{evil}/announce");
    torrent.extend(format!("8:announce{}:{announce}e", announce.len()).bytes());
    let place = Place::new();
    let file = place.torrent("x.torrent", &torrent);
    let seed: Vec<String> = vec!["check".into(), file.clone()];
    let mut outputs = vec![run(["show", &file]), run(["show", &file, "--json"]), run(seed)];
    // `get` would wait for peers for ever: it is asked to stop.
    let mut get = Running::start(place.get(&file, "d", &["--peer", "127.0.0.1:1", "-vv"]));
    get.event("status");
    get.signal("INT");
    let (_, seen, stderr) = get.end();
    let said: String = seen.iter().map(|o| o.to_string()).collect();
    outputs.retain(|o| !o.stdout.is_empty() || !o.stderr.is_empty());
    let texts = outputs.iter().flat_map(|o| [stdout(o), crate::run::stderr(o)]).chain([said, stderr]);
    for text in texts {
        for c in ['\x1b', '\x07', '\u{9b}', '\u{202e}'] {
            assert!(!text.contains(c), "{c:?} in {text:?}");
        }
    }
}
