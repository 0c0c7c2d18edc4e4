//! Disks and addresses that cannot be had: the error names them, and the exit code is 1.

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::process::Command;

use crate::run::*;
use crate::support;

#[test]
fn a_folder_that_is_a_file() {
    let torrent = support::single("f", 100_000, 16_384, 1);
    let place = Place::new();
    let file = place.torrent("f.torrent", &torrent.bytes);
    for command in ["get", "seed"] {
        let mut args = place.get(&file, "f.torrent", &[]);
        args[0] = command.into();
        let output = run(args);
        assert_code(&output, 1);
        assert!(stderr(&output).contains("f.torrent is not a folder"), "{}", stderr(&output));
    }
    let output = run(place.get(&file, "d", &["--state", &file]));
    assert_code(&output, 1);
    assert!(stderr(&output).contains("f.torrent is not a folder"), "{}", stderr(&output));
    // `seed` makes no folder: a misspelt one would look like an empty one.
    let mut args = place.get(&file, "nowhere", &[]);
    args[0] = "seed".into();
    let output = run(args);
    assert_code(&output, 1);
    assert!(stderr(&output).contains("nowhere") && !place.path("nowhere").exists(), "{}", stderr(&output));
}

#[test]
fn a_file_in_the_way_of_a_folder() {
    let torrent =
        support::multi("t", vec![support::file("a/b", 50_000, 1), support::file("c", 50_000, 2)], 16_384);
    let place = Place::new();
    let (_seed, addr) = place.seed(&torrent, &[]);
    let file = place.torrent("f.torrent", &torrent.bytes);
    fs::create_dir_all(place.path("d/t")).unwrap();
    fs::write(place.path("d/t/a"), "in the way").unwrap();
    let output = run(place.get(&file, "d", &["--peer", &addr.to_string()]));
    assert_code(&output, 1);
    assert!(stderr(&output).contains("t/a"), "{}", stderr(&output));
    assert_eq!(fs::read(place.path("d/t/a")).unwrap(), b"in the way");
}

#[test]
fn an_address_that_is_taken() {
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let addr = taken.local_addr().unwrap().to_string();
    let torrent = support::single("f", 100_000, 16_384, 1);
    let place = Place::new();
    let file = place.torrent("f.torrent", &torrent.bytes);
    let mut args = place.get(&file, "d", &["--json"]);
    args[3].clone_from(&addr);
    let outputs = [run(&args), run(["tracker", "--listen", &addr])];
    for output in &outputs {
        assert_code(output, 1);
        let text = stderr(output);
        assert!(text.contains(&format!("cannot listen on {addr}: ")) && text.lines().count() == 1, "{text}");
    }
    let said = objects(&stdout(&outputs[0]));
    assert!(only(&said, "error")["error"].as_str().unwrap().contains(&addr));
    assert!(tree(&place.path("d")).is_empty());
}

/// Runs the program with files of at most 256 KiB, which is what a full disk looks like where none can be mounted.
#[cfg(unix)]
#[test]
fn a_disk_that_is_full() {
    let torrent = support::single("large", 1 << 20, 16_384, 1);
    let place = Place::new();
    let (_seed, addr) = place.seed(&torrent, &[]);
    let file = place.torrent("f.torrent", &torrent.bytes);
    let mut shell = Command::new("sh");
    shell.args(["-c", "trap '' XFSZ; ulimit -f 512; exec \"$0\" \"$@\"", program()]);
    shell.args(place.get(&file, "d", &["--peer", &addr.to_string(), "--json"]));
    let output = finish(shell);
    assert_code(&output, 1);
    let text = stderr(&output);
    assert!(text.contains("d/large"), "{text}");
    let said = objects(&stdout(&output));
    assert!(only(&said, "error")["error"].as_str().unwrap().contains("d/large"));
    // With room again, it goes on.
    assert_code(&run(place.get(&file, "d", &["--peer", &addr.to_string()])), 0);
    torrent.verify(&place.path("d"));
}

/// Permissions say nothing to root, who becomes somebody else for this if the tool for it is there.
#[cfg(target_os = "linux")]
#[test]
fn folders_and_files_without_permission() {
    use std::os::unix::fs::PermissionsExt;

    let torrent = support::single("f", 100_000, 16_384, 1);
    let place = Place::new();
    let mode =
        |path: &std::path::Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    mode(place.folder.path(), 0o755);
    let file = place.torrent("f.torrent", &torrent.bytes);
    mode(file.as_ref(), 0o644);
    let (_seed, addr) = place.seed(&torrent, &[]);
    fs::create_dir(place.path("d")).unwrap();
    mode(&place.path("d"), 0o555);
    let probe = place.path("d/probe");
    let root = fs::write(&probe, "").is_ok();
    let user = |args: Vec<String>| {
        if !root {
            return command(args);
        }
        let mut setpriv = Command::new("setpriv");
        setpriv.args(["--reuid=65534", "--regid=65534", "--clear-groups", program()]).args(args);
        setpriv
    };
    if root {
        fs::remove_file(probe).unwrap();
        let works = user(vec!["--version".into()]).output().is_ok_and(|o| o.status.success());
        if !works {
            eprintln!("SKIPPED: root without a working setpriv");
            return;
        }
    }
    let peer = addr.to_string();
    let output = finish(user(place.get(&file, "d", &["--peer", &peer])));
    assert_code(&output, 1);
    let text = stderr(&output);
    assert!(text.contains("no permission") && text.contains("d/f\""), "{text}");
    let output = finish(user(place.get(&file, "d/below", &["--peer", &peer])));
    assert_code(&output, 1);
    assert!(stderr(&output).contains("d/below"), "{}", stderr(&output));
    let make = ["make", &file, "-o", &place.text("d/x.torrent")].map(String::from);
    let output = finish(user(make.into()));
    assert_code(&output, 1);
    assert!(stderr(&output).contains("d/x.torrent: Permission denied"), "{}", stderr(&output));
    // Files that may not be read.
    mode(file.as_ref(), 0);
    let output = finish(user(vec!["show".into(), file.clone()]));
    assert_code(&output, 1);
    assert!(stderr(&output).contains("f.torrent: Permission denied"), "{}", stderr(&output));
    let output = finish(user(vec!["make".into(), file, "-o".into(), "/dev/null".into()]));
    assert_code(&output, 1);
    assert!(stderr(&output).contains("f.torrent: Permission denied"), "{}", stderr(&output));
}
