//! Peers and systems that do not behave.

use std::time::Duration;

use axon::AnyInstance;
use axon::chassis::{ServerPorts, SimpleServer};
use axon::prelude::*;
use axon::util::PureTransformer;

use super::common::*;

async fn start(cx: &Tester, server: SimpleServer) -> (Instance<ServerPorts>, std::net::SocketAddr) {
    let server = server.on((std::net::Ipv4Addr::LOCALHOST, 0)).create();
    cx.link(&server.listening, &cx.addresses).unwrap();
    cx.link(&cx.signal, &server.control).unwrap();
    cx.activate(&server);
    let addr = cx.addresses.recv().await;
    (server, addr)
}

fn echo() -> AnyInstance {
    PureTransformer::new(|bytes: Vec<u8>| Some(bytes)).into()
}

fn rings(addr: std::net::SocketAddr) {
    let mut peer = dial(addr);
    say(&mut peer, b"ping");
    assert_eq!(read_exactly(&mut peer, 4), b"ping");
}

/// CH-SRV: with [`axon::OnFailure::GoOn`] a panic harms the connection it happened on, and no other.
#[test]
fn ch_srv_a_protocol_that_panics_harms_only_its_connection() {
    run_on(async |cx| {
        let server = SimpleServer::new(|| {
            PureTransformer::new(|bytes: Vec<u8>| {
                assert!(bytes != b"bang", "the test's own panic");
                Some(bytes)
            })
        });
        let (server, addr) = start(&cx, server).await;
        let mut other = elsewhere(move || {
            let mut other = dial(addr);
            say(&mut other, b"a");
            assert_eq!(read_exactly(&mut other, 1), b"a");
            let mut victim = dial(addr);
            say(&mut victim, b"bang");
            assert_eq!(read_all(&mut victim), b"", "its connection is closed");
            other
        })
        .await;
        elsewhere(move || {
            say(&mut other, b"b");
            assert_eq!(read_exactly(&mut other, 1), b"b");
        })
        .await;
        while server.children().len() > 1 {
            cx.sleep(Duration::from_millis(1)).await;
        }
    });
}

/// An echo to a peer that writes for ever and reads nothing: the echo's outbox fills, so it takes nothing, so nothing
/// is read, so the peer is stopped.
#[test]
fn ch_srv_a_peer_that_floods_and_never_reads_is_stopped_and_the_others_are_served() {
    run(async |cx| {
        let (_server, addr) = start(&cx, SimpleServer::new(echo)).await;
        elsewhere(move || {
            let flood = dial(addr);
            flood.set_nonblocking(true).unwrap();
            let (mut written, mut quiet) = (0_usize, 0);
            while quiet < 20 {
                match std::io::Write::write(&mut &flood, &[7; 65536]) {
                    Ok(n) => (written, quiet) = (written + n, 0),
                    Err(_) => {
                        quiet += 1;
                        std::thread::sleep(Duration::from_millis(10));
                    }
                }
                assert!(written < 200_000_000, "the peer is never stopped");
            }
            rings(addr);
        })
        .await;
    });
}

#[test]
fn u63_a_reset_in_the_middle_of_traffic_ends_that_connection() {
    run(async |cx| {
        let (server, addr) = start(&cx, SimpleServer::new(echo)).await;
        elsewhere(move || {
            for _ in 0..20 {
                let mut peer = dial(addr);
                say(&mut peer, &[1; 100_000]);
                reset(peer);
            }
            rings(addr);
        })
        .await;
        while server.children().len() > 1 {
            cx.sleep(Duration::from_millis(1)).await;
        }
    });
}

/// Only where a limit of descriptors can be set and looked at.
#[cfg(target_os = "linux")]
mod descriptors {
    use super::*;
    use std::process::Command;

    fn open() -> usize {
        std::fs::read_dir("/proc/self/fd").unwrap().count()
    }

    /// The tests below count or limit the descriptors of their whole process, so each runs in one of its own.
    fn alone(test: &str, limit: &str) -> bool {
        if std::env::var_os("AXON_TEST_ALONE").is_some() {
            return true;
        }
        let me = std::env::current_exe().unwrap();
        let script = format!("ulimit -n {limit} && exec \"$0\" --exact {test} --nocapture");
        let run =
            Command::new("sh").args(["-c", &script]).arg(me).env("AXON_TEST_ALONE", "1").output().unwrap();
        let text = String::from_utf8_lossy(&run.stdout).into_owned() + &String::from_utf8_lossy(&run.stderr);
        assert!(run.status.success() && text.contains("1 passed"), "{text}");
        false
    }

    #[test]
    fn u62_without_descriptors_it_waits_does_not_spin_and_goes_on() {
        if !alone("hostile::descriptors::u62_without_descriptors_it_waits_does_not_spin_and_goes_on", "64") {
            return;
        }
        run(async |cx| {
            let (server, addr) = start(&cx, SimpleServer::new(echo)).await;
            cx.sleep(Duration::from_millis(10)).await; // the selector has its descriptors
            // Both ends are in this process, so this runs out half way; the last ones wait to be accepted.
            let mut peers = Vec::new();
            while let Ok(peer) = std::net::TcpStream::connect(addr) {
                peers.push(patient(peer));
            }
            assert!(peers.len() > 20);
            cx.sleep(Duration::from_millis(50)).await;
            let before = cx.pass();
            cx.sleep(Duration::from_millis(400)).await;
            let passes = cx.pass() - before;
            assert!(passes < 40, "{passes} passes in 400 ms with nothing to be done");
            assert!(!server.is_stopped());
            // Room again: those that wait are served.
            let mut last = peers.pop().unwrap();
            drop(peers);
            elsewhere(move || {
                say(&mut last, b"ping");
                assert_eq!(read_exactly(&mut last, 4), b"ping");
                rings(addr);
            })
            .await;
        });
    }

    #[test]
    fn u60_u61_u62_u65_nothing_is_left_open() {
        if !alone("hostile::descriptors::u60_u61_u62_u65_nothing_is_left_open", "1024") {
            return;
        }
        // The first round may open what stays for good.
        let round = || {
            run(async |cx| {
                let (_server, addr) = start(&cx, SimpleServer::new(echo)).await;
                let peers = elsewhere(move || (0..50).map(|_| dial(addr)).collect::<Vec<_>>()).await;
                elsewhere(move || rings(addr)).await;
                let client = cx.launch(axon::internet::TcpClient::new("127.0.0.1", addr.port()));
                cx.link(&client.outbox, &cx.inbox).unwrap();
                client.inbox.deliver(b"echo".to_vec()).unwrap();
                assert_eq!(collect(&cx.inbox, 4).await, b"echo");
                let refused = cx.launch(axon::internet::TcpClient::new("127.0.0.1", 1));
                cx.link(&refused.signal, &cx.control).unwrap();
                cx.control.recv().await;
                cx.launch(axon::internet::SimplePeer::any());
                cx.yield_now().await;
                // Half of them go, half are open when the scheduler stops.
                drop(peers.into_iter().take(25).collect::<Vec<_>>());
            });
        };
        round();
        let before = open();
        for _ in 0..3 {
            round();
        }
        assert_eq!(open(), before);
    }

    #[test]
    fn ch_srv_05_a_stopped_server_leaves_no_descriptor() {
        if !alone("hostile::descriptors::ch_srv_05_a_stopped_server_leaves_no_descriptor", "1024") {
            return;
        }
        run(async |cx| {
            axon::internet::Selector::services(&cx);
            cx.sleep(Duration::from_millis(10)).await; // its own descriptors are there
            let before = open();
            let (server, addr) = start(&cx, SimpleServer::new(echo)).await;
            let mut peers = elsewhere(move || (0..100).map(|_| dial(addr)).collect::<Vec<_>>()).await;
            while server.children().len() < 201 {
                cx.sleep(Duration::from_millis(1)).await;
            }
            assert_eq!(open(), before + 201, "the listener, and both ends of each connection");
            cx.signal.send(Ipc::ServerShutdown).unwrap();
            elsewhere(move || peers.iter_mut().for_each(|p| assert_eq!(read_all(p), b""))).await;
            cx.sleep(Duration::from_millis(10)).await; // what is left of the turns of the pass
            assert_eq!(open(), before);
        });
    }
}
