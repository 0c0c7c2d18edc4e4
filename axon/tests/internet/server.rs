//! CH-SRV: servers with a protocol component for each connection.

use std::cell::RefCell;
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::rc::Rc;

use axon::chassis::{ConnectionInfo, FastRestartServer, ServerCore, ServerPorts, SimpleServer};
use axon::internet::{SocketOptions, TcpServer};
use axon::prelude::*;
use axon::util::PureTransformer;
use axon::{AnyInstance, Ipc, ports};

use super::common::*;

fn localhost() -> (std::net::Ipv4Addr, u16) {
    (std::net::Ipv4Addr::LOCALHOST, 0)
}

/// Runs a server, linked to the tester, and gives its address.
async fn start(cx: &Tester, server: Instance<ServerPorts>) -> SocketAddr {
    cx.link(&server.listening, &cx.addresses).unwrap();
    cx.link(&server.signal, &cx.control).unwrap();
    cx.link(&cx.signal, &server.control).unwrap();
    cx.activate(&server);
    cx.addresses.recv().await
}

fn echo() -> PureTransformer<impl axon::util::Transform<In = Vec<u8>, Out = Vec<u8>>> {
    PureTransformer::new(|bytes: Vec<u8>| Some(bytes))
}

ports! {
    struct HandlerPorts {
        in { inbox: Vec<u8>, control: Ipc }
        out { outbox: Vec<u8>, signal: Ipc, serversignal: Ipc }
    }
}

/// A protocol with a body.
struct Handler<F>(F);

impl<F: AsyncFnOnce(Cx<HandlerPorts>) + 'static> Component for Handler<F> {
    type Ports = HandlerPorts;
    async fn main(self, cx: Cx<HandlerPorts>) {
        (self.0)(cx).await;
    }
}

type Log = Rc<RefCell<Vec<String>>>;

#[test]
fn ch_srv_01_02_03_each_connection_has_its_own_protocol_component() {
    run(async |cx| {
        let infos: Rc<RefCell<Vec<ConnectionInfo>>> = Rc::default();
        let seen = infos.clone();
        let server = ServerCore::new(move |info| {
            seen.borrow_mut().push(*info);
            echo()
        });
        let server = server.on(localhost()).create();
        assert!(server.children().is_empty(), "the TCP server is made in the first step");
        let addr = start(&cx, server.clone()).await;
        assert_eq!(server.children().len(), 1);
        let peers = elsewhere(move || {
            let mut peers = [dial(addr), dial(addr), dial(addr)];
            for (i, peer) in peers.iter_mut().enumerate() {
                say(peer, format!("I am {i}").as_bytes());
            }
            for (i, peer) in peers.iter_mut().enumerate() {
                assert_eq!(read_exactly(peer, 6), format!("I am {i}").into_bytes());
            }
            peers
        })
        .await;
        let wanted: Vec<_> = peers
            .iter()
            .map(|p| ConnectionInfo { peer: p.local_addr().unwrap(), local: p.peer_addr().unwrap() })
            .collect();
        assert_eq!(*infos.borrow(), wanted);
        // The TCP server, and an adapter and a protocol for each, in this order; two outboxes for each.
        assert_eq!(server.children().len(), 1 + 2 * 3);
        let names: Vec<_> = server.children().iter().map(|c| c.name()).collect();
        assert!(
            names[1].contains("ConnectedSocketAdapter") && names[2].contains("PureTransformer"),
            "{names:?}"
        );
        let added = |name: &str| server.any().outboxes().iter().filter(|b| b.starts_with(name)).count();
        assert_eq!(added("protocolHandlerShutdownSignal"), 3);
        assert_eq!(added("connectedSocketShutdownSignal"), 3);
    });
}

#[test]
fn ch_srv_03_a_simple_server_takes_a_function_without_arguments_and_listens_on_ipv6_too() {
    run(async |cx| {
        let server = SimpleServer::new(echo).on((std::net::Ipv6Addr::LOCALHOST, 0));
        let addr = start(&cx, server.create()).await;
        elsewhere(move || {
            let mut peer = dial(addr);
            say(&mut peer, b"six");
            assert_eq!(read_exactly(&mut peer, 3), b"six");
        })
        .await;
    });
}

#[test]
fn ch_srv_03_a_protocol_can_stop_the_server_by_serversignal() {
    run(async |cx| {
        let server = SimpleServer::new(|| {
            Handler(async |cx: Cx<HandlerPorts>| {
                cx.inbox.recv().await;
                cx.serversignal.send(Ipc::ServerShutdown).unwrap();
                loop {
                    cx.pause().await;
                }
            })
        });
        let server = server.on(localhost()).create();
        let addr = start(&cx, server.clone()).await;
        elsewhere(move || {
            let mut peer = dial(addr);
            say(&mut peer, b"stop");
            assert_eq!(read_all(&mut peer), b"");
        })
        .await;
        cx.add_child(&server);
        while !server.is_stopped() {
            cx.pause().await;
        }
    });
}

/// What a protocol hears, and what becomes of it.
fn listener_protocol(log: &Log) -> AnyInstance {
    let log = log.clone();
    Handler(async move |cx: Cx<HandlerPorts>| {
        loop {
            while let Some(message) = cx.control.try_recv() {
                log.borrow_mut().push(format!("{}: {}", message.kind(), remark(&message)));
                let _ = cx.signal.send(Ipc::producer_finished_by(cx.id())); // and it stays, to hear if it is told again
            }
            cx.pause().await;
        }
    })
    .into()
}

#[test]
fn ch_srv_04_when_the_peer_goes_the_protocol_hears_it_once_and_all_is_forgotten() {
    run(async |cx| {
        for (abrupt, wanted) in [(false, "closed by peer"), (true, "reset")] {
            let log = Log::default();
            let theirs = log.clone();
            let server = SimpleServer::new(move || listener_protocol(&theirs)).on(localhost()).create();
            let addr = start(&cx, server.clone()).await;
            let peer = elsewhere(move || dial(addr)).await;
            while server.children().len() < 3 {
                cx.sleep(std::time::Duration::from_millis(1)).await;
            }
            if abrupt {
                reset(peer)
            } else {
                drop(peer)
            }
            while server.children().len() > 1 {
                cx.sleep(std::time::Duration::from_millis(1)).await;
            }
            assert_eq!(log.borrow().len(), 1, "{log:?}");
            assert!(log.borrow()[0].starts_with("socketShutdown: "), "{log:?}");
            assert!(log.borrow()[0].contains(wanted), "{log:?}");
            assert!(!server.any().outboxes().iter().any(|b| b.contains("ShutdownSignal")));
            cx.unlink_component(&server);
        }
    });
}

/// The original drops what has not left in the pass in which the peer finished.
#[test]
fn ch_srv_04_a_peer_that_closes_one_direction_gets_its_answer() {
    run(async |cx| {
        let server = SimpleServer::new(|| {
            Handler(async |cx: Cx<HandlerPorts>| {
                // Answers only when it knows that it has heard everything.
                cx.control.recv().await;
                let heard: usize = cx.inbox.drain().map(|m| m.len()).sum();
                for _ in 0..40 {
                    cx.outbox.send_wait(vec![b'.'; 50_000]).await.unwrap();
                }
                cx.outbox.send_wait(heard.to_string().into_bytes()).await.unwrap();
            })
        });
        let addr = start(&cx, server.on(localhost()).create()).await;
        elsewhere(move || {
            let mut peer = dial(addr);
            say(&mut peer, &[1; 12345]);
            peer.shutdown(std::net::Shutdown::Write).unwrap();
            let answer = read_all(&mut peer);
            assert_eq!(answer.len(), 40 * 50_000 + 5);
            assert!(answer.ends_with(b"12345"));
        })
        .await;
    });
}

#[test]
fn ch_srv_04_a_finish_from_the_protocol_flushes_and_closes() {
    run(async |cx| {
        let server = SimpleServer::new(|| {
            Handler(async |cx: Cx<HandlerPorts>| {
                for part in pattern(3_000_000).chunks(20_000) {
                    cx.outbox.send_wait(part.to_vec()).await.unwrap();
                }
                cx.signal.send(Ipc::producer_finished_by(cx.id())).unwrap();
                cx.control.recv().await;
            })
        });
        let server = server.on(localhost()).create();
        let addr = start(&cx, server.clone()).await;
        elsewhere(move || assert!(read_all(&mut dial(addr)) == pattern(3_000_000))).await;
        while server.children().len() > 1 {
            cx.sleep(std::time::Duration::from_millis(1)).await;
        }
    });
}

/// The original lets the connection of a protocol that ends without a word hang.
#[test]
fn ch_srv_04_a_protocol_that_just_ends_has_its_connection_closed() {
    run(async |cx| {
        let server = SimpleServer::new(|| {
            Handler(async |cx: Cx<HandlerPorts>| cx.outbox.send(b"bye".to_vec()).unwrap())
        });
        let addr = start(&cx, server.on(localhost()).create()).await;
        elsewhere(move || assert_eq!(read_all(&mut dial(addr)), b"bye")).await;
    });
}

#[test]
fn ch_srv_05_a_shutdown_closes_every_connection_and_the_listening_socket() {
    run(async |cx| {
        for message in [Ipc::ServerShutdown, Ipc::shutdown_microprocess()] {
            let log = Log::default();
            let theirs = log.clone();
            let server = SimpleServer::new(move || listener_protocol(&theirs)).on(localhost()).create();
            let addr = start(&cx, server.clone()).await;
            let mut peers = elsewhere(move || (0..10).map(|_| dial(addr)).collect::<Vec<_>>()).await;
            while server.children().len() < 21 {
                cx.sleep(std::time::Duration::from_millis(1)).await;
            }
            cx.signal.send(Ipc::producer_finished()).unwrap(); // ignored
            cx.signal.send(message).unwrap();
            elsewhere(move || {
                peers.iter_mut().for_each(|p| assert_eq!(read_all(p), b""));
                while TcpStream::connect(addr).is_ok() {}
            })
            .await;
            assert!(server.is_stopped());
            assert_eq!(*log.borrow(), vec!["socketShutdown: stopped"; 10]);
            cx.unlink_component(&server);
        }
    });
}

#[test]
fn ch_srv_05_stopping_the_component_does_the_same() {
    run(async |cx| {
        let server = SimpleServer::new(echo).on(localhost()).create();
        let addr = start(&cx, server.clone()).await;
        let mut peer = elsewhere(move || {
            let mut peer = dial(addr);
            say(&mut peer, b"x");
            read_exactly(&mut peer, 1);
            peer
        })
        .await;
        server.stop();
        elsewhere(move || {
            assert_eq!(read_all(&mut peer), b"");
            while TcpStream::connect(addr).is_ok() {}
        })
        .await;
    });
}

#[test]
fn ch_srv_06_a_fast_restart_server_takes_its_port_again() {
    run(async |cx| {
        let finish = |_: &ConnectionInfo| Handler(async |_: Cx<HandlerPorts>| {});
        let server = FastRestartServer::new(finish).on(localhost()).create();
        let addr = start(&cx, server.clone()).await;
        // The server closes first, so the port stays in TIME_WAIT.
        elsewhere(move || assert_eq!(read_all(&mut dial(addr)), b"")).await;
        while server.children().len() > 1 {
            cx.sleep(std::time::Duration::from_millis(1)).await;
        }
        cx.signal.send(Ipc::ServerShutdown).unwrap();
        cx.add_child(&server);
        while !server.is_stopped() {
            cx.pause().await;
        }
        cx.unlink_component(&server);
        // The adapter and the TCP server end a step later.
        elsewhere(move || while TcpStream::connect(addr).is_ok() {}).await;

        let plain = SimpleServer::new(echo).on(addr).create();
        cx.link(&plain.signal, &cx.control).unwrap();
        cx.activate(&plain);
        assert!(cx.control.recv().await.to_string().contains("cannot listen on"));
        assert!(cx.control.recv().await.is_shutdown_microprocess());
        cx.unlink_component(&plain);

        let again = start(&cx, FastRestartServer::new(finish).on(addr).create()).await;
        assert_eq!(again, addr);
    });
}

#[test]
fn ch_srv_01_d30_a_port_in_use_is_told_and_ends_the_server() {
    run(async |cx| {
        let (_taken, port) = listener();
        let server = SimpleServer::new(echo).on((std::net::Ipv4Addr::LOCALHOST, port)).create();
        cx.link(&server.signal, &cx.control).unwrap();
        cx.add_child(&server);
        cx.activate(&server);
        let told = cx.control.recv().await.to_string();
        assert!(told.contains(&format!("cannot listen on 127.0.0.1:{port}")), "{told}");
        while !server.is_stopped() {
            cx.pause().await;
        }
    });
}

#[test]
fn ch_srv_01_another_tcp_server_can_be_used() {
    run(async |cx| {
        let server = SimpleServer::new(echo)
            .on(localhost())
            .server(|on, options, adapter| TcpServer::with_options(on, options).adapter_options(adapter));
        let addr = start(&cx, server.create()).await;
        elsewhere(move || {
            let mut peer = dial(addr);
            say(&mut peer, b"x");
            assert_eq!(read_exactly(&mut peer, 1), b"x");
        })
        .await;
    });
}

#[test]
fn ch_srv_02_a_socket_that_listens_already_tells_its_port_beforehand() {
    run(async |cx| {
        let socket = SocketOptions::new().listen("127.0.0.1:0".parse().unwrap()).unwrap();
        let wanted = socket.local_addr().unwrap();
        let addr = start(&cx, SimpleServer::new(echo).on(socket).create()).await;
        assert_eq!(addr, wanted);
        assert_eq!(addr.ip(), IpAddr::from([127, 0, 0, 1]));
    });
}

#[test]
fn ch_srv_03_a_protocol_that_does_not_fit_costs_only_its_connection() {
    ports! { struct OddPorts { in { inbox: String, control: Ipc } out { outbox: Vec<u8>, signal: Ipc } } }
    struct Odd;
    impl Component for Odd {
        type Ports = OddPorts;
        async fn main(self, _: Cx<OddPorts>) {}
    }
    run(async |cx| {
        let mut count = 0;
        let server = SimpleServer::new(move || {
            count += 1;
            if count == 1 { AnyInstance::from(Odd) } else { AnyInstance::from(echo()) }
        });
        let addr = start(&cx, server.on(localhost()).create()).await;
        elsewhere(move || {
            assert_eq!(read_all(&mut dial(addr)), b"");
            let mut peer = dial(addr);
            say(&mut peer, b"x");
            assert_eq!(read_exactly(&mut peer, 1), b"x");
        })
        .await;
    });
}
