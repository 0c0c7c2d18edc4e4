//! `make`, `show` and `check`.

use std::fs;

use crate::run::*;
use crate::support;

/// A folder of three files, and a .torrent of it.
fn made() -> (Place, String) {
    let place = Place::new();
    fs::create_dir_all(place.path("stuff/deep")).unwrap();
    for (name, len) in [("a.txt", 50_000), ("deep/b.bin", 70_000), ("c", 1)] {
        fs::write(place.path("stuff").join(name), vec![name.len() as u8; len]).unwrap();
    }
    let torrent = place.text("stuff.torrent");
    let output = run([
        "make",
        &place.text("stuff"),
        "-o",
        &torrent,
        "--tracker",
        "http://one.example/announce,http://two.example/announce",
        "--tracker",
        "http://three.example/announce",
        "--web-seed",
        "http://seed.example/",
        "--piece-length",
        "16KiB",
        "--private",
        "--comment",
        "a comment",
        "--json",
    ]);
    assert_code(&output, 0);
    let said = &objects(&stdout(&output))[0];
    assert_eq!((&said["total"], &said["pieces"], &said["files"]), (&120_001.into(), &8.into(), &3.into()));
    (place, torrent)
}

#[test]
fn what_was_made_is_shown() {
    let (_place, torrent) = made();
    let output = run(["show", &torrent, "--json"]);
    assert_code(&output, 0);
    let shown = &objects(&stdout(&output))[0];
    assert_eq!(shown["name"], "stuff");
    assert_eq!(shown["private"], true);
    assert_eq!(shown["comment"], "a comment");
    assert_eq!(shown["piece_length"], 16_384);
    assert_eq!(shown["trackers"][0].as_array().unwrap().len(), 2);
    assert_eq!(shown["trackers"][1][0], "http://three.example/announce");
    assert_eq!(shown["web_seeds"][0], "http://seed.example/");
    let files: Vec<_> =
        shown["files"].as_array().unwrap().iter().map(|f| f["path"].as_str().unwrap()).collect();
    assert_eq!(files, ["stuff/a.txt", "stuff/c", "stuff/deep/b.bin"]);
    let text = stdout(&run(["show", &torrent]));
    for part in [
        "stuff/deep/b.bin",
        "three.example",
        "a comment",
        shown["info_hash"].as_str().unwrap(),
        "120001 bytes",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[test]
fn check_tells_good_missing_short_and_wrong_files_apart() {
    let (place, torrent) = made();
    let dir = place.folder.path().to_str().unwrap();
    let good = run(["check", &torrent, "--dir", dir]);
    assert_code(&good, 0);
    assert!(stdout(&good).contains("8 of 8 pieces are right"));
    fs::remove_file(place.path("stuff/a.txt")).unwrap();
    let mut wrong = fs::read(place.path("stuff/deep/b.bin")).unwrap();
    wrong[40_000] ^= 1;
    fs::write(place.path("stuff/deep/b.bin"), wrong).unwrap();
    fs::write(place.path("stuff/c"), "longer").unwrap();
    let bad = run(["check", &torrent, "--dir", dir]);
    assert_code(&bad, 1);
    let text = stdout(&bad);
    for line in ["missing  stuff/a.txt", "size     stuff/c", "wrong    stuff/deep/b.bin"] {
        assert!(text.lines().any(|l| l == line), "{line:?}: {text}");
    }
    assert!(stderr(&bad).contains("3 files in"), "{}", stderr(&bad));
    let json = run(["check", &torrent, "--dir", dir, "--json"]);
    assert_code(&json, 1);
    let report = &objects(&stdout(&json))[0];
    assert_eq!(report["complete"], false);
    assert_eq!(report["wrong"].as_array().unwrap().len(), 3);
    // A folder with nothing in it, and none at all.
    for dir in ["empty", "nowhere"] {
        if dir == "empty" {
            fs::create_dir(place.path(dir)).unwrap();
        }
        let output = run(["check", &torrent, "--dir", &place.text(dir)]);
        assert_code(&output, 1);
        assert!(stderr(&output).contains(dir), "{}", stderr(&output));
        assert_eq!(place.path(dir).exists(), dir == "empty");
    }
}

#[test]
fn make_says_what_is_wrong_and_where() {
    let place = Place::new();
    fs::write(place.path("file"), "something").unwrap();
    fs::write(place.path("nothing"), "").unwrap();
    fs::create_dir(place.path("folder")).unwrap();
    let [file, out, nothing, folder] =
        ["file", "out.torrent", "nothing", "folder"].map(|name| place.text(name));
    let cases: [(Vec<&str>, &str); 9] = [
        (vec!["/no/such/path", "-o", &out], "/no/such/path: No such file"),
        (vec![&nothing, "-o", &out], "nothing: the torrent holds no data"),
        (vec![&folder, "-o", &out], "folder: the torrent holds no data"),
        (vec![&file, "-o", "/no/such/folder/x.torrent"], "cannot write /no/such/folder/x.torrent"),
        (vec![&file, "-o", &folder], "cannot write"),
        (vec![&file, "-o", &out, "--piece-length", "1000"], "piece length 1000 is not a power of two"),
        (vec![&file, "-o", &out, "--piece-length", "8GiB"], "piece length 8589934592 is too large"),
        (vec![&file, "-o", &out, "--tracker", "nonsense"], "\"nonsense\" is not a tracker URL"),
        (vec![&file, "-o", &out, "--web-seed", "ftp//x"], "\"ftp//x\" is not a web seed URL"),
    ];
    let before = tree(place.folder.path());
    for (args, text) in cases {
        let output = run(["make"].into_iter().chain(args.iter().copied()));
        assert_code(&output, 1);
        assert!(stderr(&output).contains(text), "{args:?}: {}", stderr(&output));
        assert_eq!(tree(place.folder.path()), before, "{args:?}");
    }
    let json = run(["make", "/no/such/path", "-o", &out, "--json"]);
    assert_code(&json, 1);
    assert_eq!(objects(&stdout(&json))[0]["event"], "error");
}

#[test]
fn a_complete_download_goes_where_it_was_told_to() {
    let torrent =
        support::multi("t", vec![support::file("a", 50_000, 1), support::file("b/c", 50_000, 2)], 16_384);
    let place = Place::new();
    let (_seed, addr) = place.seed(&torrent, &[]);
    let file = place.torrent("t.torrent", &torrent.bytes);
    let (peer, there) = (addr.to_string(), place.text("there"));
    let more = ["--peer", &peer, "--move-on-complete", &there, "--json"];
    let output = run(place.get(&file, "d", &more));
    assert_code(&output, 0);
    let said = objects(&stdout(&output));
    assert_eq!(only(&said, "moved")["dir"], there.as_str());
    torrent.verify(&place.path("there"));
    assert!(tree(&place.path("d")).is_empty());
    // The same command again finds it complete.
    let output = run(place.get(&file, "d", &more));
    assert_code(&output, 0);
    assert_eq!(only(&objects(&stdout(&output)), "complete")["downloaded"], 0);
    // Something in the way is not overwritten, and the exit code says so.
    fs::remove_file(place.path("there/t/a")).unwrap();
    fs::remove_dir_all(place.path("there")).unwrap();
    fs::create_dir_all(place.path("there/t")).unwrap();
    fs::write(place.path("there/t/a"), "precious").unwrap();
    let torrent_dir = place.text("seed");
    let mut args = place.get(&file, "seed", &more);
    args[5].clone_from(&torrent_dir);
    let output = run(args);
    assert_code(&output, 1);
    assert!(stderr(&output).contains("t/a\" exists already"), "{}", stderr(&output));
    assert_eq!(fs::read(place.path("there/t/a")).unwrap(), b"precious");
    torrent.verify(&place.path("seed"));
}

#[test]
fn a_folder_to_move_to_that_is_a_file_is_refused_before_the_download() {
    let torrent = support::single("f", 50_000, 16_384, 1);
    let place = Place::new();
    let file = place.torrent("f.torrent", &torrent.bytes);
    let output = run(place.get(&file, "d", &["--move-on-complete", &file]));
    assert_code(&output, 1);
    assert!(stderr(&output).contains("f.torrent is not a folder"), "{}", stderr(&output));
}
