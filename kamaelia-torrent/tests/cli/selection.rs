//! `--files` and `--allocation`.

use crate::run::*;
use crate::support::{TestTorrent, file, multi, pad};

/// Pieces of 64 KiB: 0 a.ogg, 1 a.ogg b.txt, 2 b.txt c.ogg, 3 to 6 c.ogg.
fn torrent() -> TestTorrent {
    let files =
        vec![file("a.ogg", 100_000, 1), file("b.txt", 50_000, 2), pad(5000), file("sub/c.ogg", 300_000, 3)];
    multi("t", files, 65_536)
}

#[test]
fn only_the_named_files_are_fetched_and_later_the_rest() {
    let (torrent, place) = (torrent(), Place::new());
    let (_seed, addr) = place.seed(&torrent, &[]);
    let (file, addr) = (place.text("seed.torrent"), addr.to_string());
    let output = run(place.get(&file, "d", &["--peer", &addr, "--json", "--files", "*.txt"]));
    assert_code(&output, 0);
    let seen = objects(&stdout(&output));
    let complete = only(&seen, "complete");
    assert_eq!((&complete["wanted"], &complete["total"]), (&131_072.into(), &455_000.into()));
    assert_eq!(std::fs::read(place.path("d/t/b.txt")).unwrap(), torrent.files[1].data);
    let all = tree(&place.path("d"));
    let names: Vec<_> = all.iter().map(|path| path.file_name().unwrap().to_str().unwrap()).collect();
    let hash = torrent.metainfo.info_hash();
    assert_eq!(names, [&format!(".{hash}.parts"), &format!(".{hash}.resume"), "t", "b.txt"]);

    // What was left out is told, and a check knows what the part file has.
    let check = run(["check", &file, "--dir", &place.text("d"), "--json"]);
    assert_code(&check, 1);
    assert_eq!(objects(&stdout(&check))[0]["good_pieces"], 2);

    // Two lists; a text for people.
    let more = ["--peer", &addr, "--files", "1", "--files", "0=7"];
    let output = run(place.get(&file, "d", &more));
    assert_code(&output, 0);
    assert!(stdout(&output).contains("t: complete, 64.0 KiB in"), "{}", stdout(&output));
    assert_eq!(std::fs::read(place.path("d/t/a.ogg")).unwrap(), torrent.files[0].data);

    // Without a list everything, and only what is missing.
    let output = run(place.get(&file, "d", &["--peer", &addr, "--json"]));
    assert_code(&output, 0);
    assert_eq!(only(&objects(&stdout(&output)), "complete")["downloaded"], 455_000 - 3 * 65_536);
    torrent.verify(&place.path("d"));
    assert!(!place.path("d").join(format!(".{hash}.parts")).exists());
}

#[test]
fn seed_shares_what_was_chosen_and_fetches_no_more() {
    let (torrent, place) = (torrent(), Place::new());
    let (seed, addr) = place.seed(&torrent, &[]);
    let (file, addr) = (place.text("seed.torrent"), addr.to_string());
    assert_code(&run(place.get(&file, "d", &["--peer", &addr, "--files", "b.txt"])), 0);
    drop(seed);
    let mut again = Running::start(["seed", &file, "--listen", "127.0.0.1:0", "--dir", &place.text("d")]);
    let addr = again.address().to_string();
    let complete = again.event("complete");
    assert_eq!((&complete["wanted"], &complete["downloaded"]), (&131_072.into(), &0.into()));
    let output = run(place.get(&file, "e", &["--peer", &addr, "--files", "b.txt", "--allocation", "full"]));
    assert_code(&output, 0);
    assert_eq!(std::fs::read(place.path("e/t/b.txt")).unwrap(), torrent.files[1].data);
}

#[test]
fn lists_that_make_no_sense_are_refused_before_anything_is_written() {
    let (torrent, place) = (torrent(), Place::new());
    let file = place.torrent("t.torrent", &torrent.bytes);
    for (list, code, part) in [
        ("*.avi", 1, "no file is called \"*.avi\""),
        ("7", 1, "they are numbered 0 to 3"),
        ("1=9", 2, "a priority is 0 (not) to 7 (first)"),
        ("", 2, "no file is named"),
    ] {
        let output = run(place.get(&file, "d", &["--files", list]));
        assert_code(&output, code);
        assert!(stderr(&output).contains(part), "{list:?}: {}", stderr(&output));
    }
    assert!(!place.path("d").exists());
    let output = run(place.get(&file, "d", &["--allocation", "some"]));
    assert_code(&output, 2);
}

#[test]
fn show_numbers_the_files_as_the_option_does() {
    let (torrent, place) = (torrent(), Place::new());
    let file = place.torrent("t.torrent", &torrent.bytes);
    let text = stdout(&run(["show", &file]));
    let rows: Vec<&str> = text.lines().rev().take(3).collect();
    for (row, (number, name)) in
        rows.iter().rev().zip([("0", "t/a.ogg"), ("1", "t/b.txt"), ("3", "t/sub/c.ogg")])
    {
        let words: Vec<&str> = row.split_whitespace().collect();
        assert_eq!((words[0], *words.last().unwrap()), (number, name), "{text}");
    }
    let object = &objects(&stdout(&run(["show", &file, "--json"])))[0];
    assert_eq!(object["files"][3]["index"], 3);
}
