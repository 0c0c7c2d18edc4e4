//! Trackers that do not do their part: the user hears of it, they are asked again, and the download goes on without.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use crate::run::*;
use crate::support;

/// Answers every request with the same bytes; nothing at all with `None`. Counts the requests.
fn tracker(answer: Option<&'static str>) -> (SocketAddr, Arc<Mutex<u32>>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let addr = listener.local_addr().unwrap();
    let count = Arc::new(Mutex::new(0));
    let asked = Arc::clone(&count);
    thread::spawn(move || {
        let mut silent = Vec::new();
        for stream in listener.incoming() {
            let mut stream: TcpStream = stream.unwrap();
            *asked.lock().unwrap() += 1;
            match answer {
                None => silent.push(stream),
                Some(answer) => {
                    let mut buffer = [0; 4096];
                    let _ = stream.read(&mut buffer);
                    let _ = stream.write_all(answer.as_bytes());
                }
            }
        }
    });
    (addr, count)
}

/// An address that refuses connections.
fn refusing() -> SocketAddr {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap()
}

/// A torrent of two pieces with these trackers, each a tier of its own.
fn torrent(trackers: &[SocketAddr]) -> (support::TestTorrent, Vec<u8>) {
    let torrent = support::single("f", 32_768, 16_384, 9);
    let mut bytes = b"d13:announce-listl".to_vec();
    for addr in trackers {
        let url = format!("http://{addr}/announce");
        bytes.extend(format!("l{}:{url}e", url.len()).bytes());
    }
    bytes.push(b'e');
    bytes.extend(&torrent.bytes[1..]);
    (torrent, bytes)
}

const HTML: &str = "HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n<html>parked</html>\n";
const BROKEN: &str = "HTTP/1.1 500 Internal Server Error\r\nContent-Length: 4\r\n\r\noops";
const GARBAGE: &str = "HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nd5:peers";
const REFUSAL: &str =
    "HTTP/1.1 200 OK\r\nContent-Length: 45\r\n\r\nd14:failure reason23:not \x1b[31mregistered\x1b[0me";

#[test]
fn every_broken_tracker_is_named_with_its_fault() {
    let ((html, asked), (broken, _), (garbage, _), refusing, (silent, _)) =
        (tracker(Some(HTML)), tracker(Some(BROKEN)), tracker(Some(GARBAGE)), refusing(), tracker(None));
    let (torrent, bytes) = torrent(&[html, broken, garbage, refusing, silent]);
    let slow = SlowSeed::new(&torrent, 0);
    let place = Place::new();
    let file = place.torrent("f.torrent", &bytes);
    let mut get = Running::start(place.get(&file, "d", &["--peer", &slow.text()]));
    let faults = [
        (html, "a web page instead"),
        (broken, "500"),
        (garbage, "ends inside"),
        (refusing, "Connection refused"),
        (silent, ""),
    ];
    for (addr, fault) in faults {
        let said = get.wait(fault, |o| o["event"] == "tracker");
        assert_eq!(said["tracker"], format!("http://{addr}/announce"), "in order of the tiers: {said}");
        assert!(said["error"].as_str().unwrap().contains(fault), "{said}");
        assert_eq!(said["name"], "f");
    }
    // Each is asked again.
    get.wait("another try", |o| o["event"] == "tracker" && o["tracker"] == format!("http://{html}/announce"));
    assert!(*asked.lock().unwrap() >= 2);
    slow.allow(u64::MAX >> 1);
    get.event("complete");
    get.end_with(0);
    torrent.verify(&place.path("d"));
}

#[test]
fn a_silent_tracker_holds_nobody_up() {
    let (silent, asked) = tracker(None);
    let (torrent, bytes) = torrent(&[silent]);
    let place = Place::new();
    let (_seed, addr) = place.seed(&torrent, &[]);
    let file = place.torrent("f.torrent", &bytes);
    let start = std::time::Instant::now();
    let output = run(place.get(&file, "d", &["--peer", &addr.to_string()]));
    assert_code(&output, 0);
    // At the end it is told that we leave, and does not answer that either.
    // Each would be given up after half a minute.
    assert!(start.elapsed().as_secs() < 28, "{:?}", start.elapsed());
    assert!(*asked.lock().unwrap() >= 1);
    torrent.verify(&place.path("d"));
}

#[test]
fn the_text_names_the_tracker_and_what_it_said() {
    let (refusal, _) = tracker(Some(REFUSAL));
    let (torrent, bytes) = torrent(&[refusal]);
    let slow = SlowSeed::new(&torrent, 0);
    let place = Place::new();
    let file = place.torrent("f.torrent", &bytes);
    let mut get = command(place.get(&file, "d", &["--peer", &slow.text()]));
    let mut get = get.stdout(std::process::Stdio::piped()).spawn().unwrap();
    let mut text = String::new();
    let mut pipe = get.stdout.take().unwrap();
    while !text.contains(" tracker ") {
        let mut buffer = [0; 1000];
        let n = pipe.read(&mut buffer).unwrap();
        assert!(n > 0, "{text}");
        text.push_str(std::str::from_utf8(&buffer[..n]).unwrap());
    }
    slow.allow(10);
    pipe.read_to_string(&mut text).unwrap();
    assert_eq!(get.wait().unwrap().code(), Some(0), "{text}");
    let line = text.lines().find(|l| l.contains(" tracker ")).unwrap();
    assert!(line.contains(&format!("http://{refusal}/announce: ")), "{line}");
    assert!(line.contains("registered") && line.contains("asked again"), "{line}");
    assert!(!text.contains('\x1b'), "{text:?}");
}

#[test]
fn a_tracker_that_is_not_spoken_to_is_named() {
    let (torrent, _) = torrent(&[]);
    let url = "udp://tracker.example:6969/announce";
    let mut bytes = format!("d8:announce{}:{url}", url.len()).into_bytes();
    bytes.extend(&torrent.bytes[1..]);
    let place = Place::new();
    let file = place.torrent("f.torrent", &bytes);
    let mut get = Running::start(place.get(&file, "d", &[]));
    let note = get.event("note");
    assert!(note["text"].as_str().unwrap().contains("udp://tracker.example:6969"), "{note}");
    assert!(get.event("waiting")["reason"].as_str().unwrap().contains("--peer"));
    get.signal("INT");
    get.end_with(130);
}

#[test]
fn our_own_tracker_brings_peers_together() {
    let mut server = Running::start(["tracker", "--listen", "127.0.0.1:0"]);
    let announce = server.event("listening")["announce"].as_str().unwrap().to_owned();
    let place = Place::new();
    std::fs::create_dir(place.path("seed")).unwrap();
    std::fs::write(place.path("seed/f"), support::noise(300_000, 1)).unwrap();
    let file = place.text("f.torrent");
    assert_code(&run(["make", &place.text("seed/f"), "-o", &file, "--tracker", &announce]), 0);
    let mut seed = Running::start(["seed", &file, "--listen", "127.0.0.1:0", "--dir", &place.text("seed")]);
    assert_eq!(seed.event("tracker")["peers"], 0);
    let output = run(place.get(&file, "d", &["--json"]));
    assert_code(&output, 0);
    let seen = objects(&stdout(&output));
    assert!(seen.iter().any(|o| o["event"] == "tracker" && o["peers"] == 1), "{seen:?}");
    for running in [seed, server] {
        running.signal("INT");
        running.end_with(0);
    }
}
