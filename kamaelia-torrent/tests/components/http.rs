//! The tracker's components, asked over HTTP by a client that others wrote and by hand.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::Duration;

use axon::prelude::*;
use kamaelia_torrent::components::tracker::TrackerServer;

use crate::support::Bounded;

/// Runs a tracker while `ask` asks it from another thread.
fn with_tracker<R: Send + 'static>(ask: impl FnOnce(SocketAddr) -> R + Send + 'static) -> R {
    let server = TrackerServer::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let addr = server.local_addr();
    let server = server.create();
    let s = Scheduler::new();
    let asker = threaded::<AskPorts, _, _>(move |cx| {
        cx.result.send(Found(Box::new(ask(addr)))).unwrap();
        cx.signal.send(Ipc::producer_finished()).unwrap();
    });
    let (asker, ear) = (asker.create(), Ear.create());
    axon::link(&asker.signal, &server.control).unwrap();
    axon::link(&asker.result, &ear.inbox).unwrap();
    s.activate(&server);
    s.activate(&asker);
    s.run_bounded().unwrap();
    let result = ear.inbox.try_recv().unwrap();
    *result.0.downcast::<R>().unwrap()
}

/// What the asker found.
struct Found(Box<dyn std::any::Any + Send>);

ports! { struct AskPorts { in { control: Ipc } out { result: Found, signal: Ipc } } }
ports! { struct EarPorts { in { inbox: Found } out { } } }
struct Ear;
impl Component for Ear {
    type Ports = EarPorts;
    async fn main(self, _: Cx<EarPorts>) {}
}

fn raw(addr: SocketAddr, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(addr).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(180))).unwrap();
    stream.write_all(request).unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

fn announce(addr: SocketAddr, port: u16, more: &str) -> Vec<u8> {
    let url = format!(
        "http://{addr}/announce?info_hash=aaaaaaaaaaaaaaaaaaaa&peer_id=bbbbbbbbbbbbbbbb{port:04}&port={port}\
         &uploaded=0&downloaded=0&left=5&compact=1{more}"
    );
    ureq::get(url).call().unwrap().body_mut().read_to_vec().unwrap()
}

#[test]
fn peers_learn_of_each_other() {
    let (first, second) = with_tracker(|addr| (announce(addr, 1000, ""), announce(addr, 1001, "")));
    assert!(first.windows(9).any(|w| w == b"5:peers0:"), "{}", first.escape_ascii());
    let peer = [b"5:peers6:".as_slice(), &[127, 0, 0, 1], &1000_u16.to_be_bytes()].concat();
    assert!(second.windows(peer.len()).any(|w| w == peer), "{}", second.escape_ascii());
}

#[test]
fn odd_requests_get_an_answer_or_lose_their_connection_and_nobody_else_notices() {
    let answers = with_tracker(|addr| {
        // Says nothing, and stays.
        let silent = TcpStream::connect(addr).unwrap();
        let answers = vec![
            raw(addr, b"GET / HTTP/1.1\r\n\r\n"),
            raw(addr, b"POST /announce HTTP/1.1\r\n\r\n"),
            raw(addr, b"\x13BitTorrent protocol\r\n\r\n"),
            raw(addr, &[b"GET /".as_slice(), &[b'a'; 20_000]].concat()),
            raw(addr, b"GET /announce?info_hash=%zz HTTP/1.1\r\n\r\n"),
            String::from_utf8(announce(addr, 1, "&event=started")).unwrap(),
        ];
        drop(silent);
        answers
    });
    for (answer, wanted) in answers.iter().zip(["404", "405", "400", "431", "failure reason", "interval"]) {
        assert!(answer.contains(wanted), "{wanted}: {answer}");
    }
}

#[test]
fn many_clients_at_once_are_all_answered() {
    let count = with_tracker(|addr| {
        let threads: Vec<_> =
            (0..100).map(|i| thread::spawn(move || announce(addr, 2000 + i, "").len())).collect();
        threads.into_iter().map(|t| t.join().unwrap()).filter(|len| *len > 0).count()
    });
    assert_eq!(count, 100);
}
