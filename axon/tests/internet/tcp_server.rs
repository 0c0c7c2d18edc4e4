//! U-62: the listening socket.

use axon::Ipc;
use axon::internet::{ConnectionNotice, HowDied, SocketOptions, TcpServer, TcpServerPorts};
use axon::prelude::*;

use super::common::*;

fn serve(cx: &Tester, server: TcpServer) -> Instance<TcpServerPorts> {
    let server = server.create();
    cx.link(&server.protocol_handler_signal, &cx.notices).unwrap();
    cx.link(&server.listening, &cx.addresses).unwrap();
    cx.link(&server.signal, &cx.control).unwrap();
    cx.link(&cx.signal, &server.control).unwrap();
    cx.activate(&server);
    server
}

#[test]
fn u62_a_connection_is_announced_with_its_adapter_and_its_end_too() {
    run(async |cx| {
        let server = serve(&cx, TcpServer::new((std::net::Ipv4Addr::LOCALHOST, 0)));
        let addr = cx.addresses.recv().await;
        assert_ne!(addr.port(), 0, "the real port is told");
        let mut peer = elsewhere(move || dial(addr)).await;
        let ConnectionNotice::New { caller, adapter, socket } = cx.notices.recv().await else {
            panic!("the first notice is of a new connection")
        };
        assert_eq!(caller, server.id());
        assert_eq!(socket.peer_addr().unwrap(), peer.local_addr().unwrap());
        let adapter = adapter.resolve().expect("the server has adopted it");
        assert_eq!(server.children(), std::slice::from_ref(&adapter));
        cx.link((&adapter, "outbox"), (&cx, "inbox")).unwrap();
        cx.link((&cx, "outbox"), (&adapter, "inbox")).unwrap();
        cx.activate(&adapter);
        cx.outbox.send(b"hello".to_vec()).unwrap();
        elsewhere(move || {
            assert_eq!(read_exactly(&mut peer, 5), b"hello");
            say(&mut peer, b"bye");
        })
        .await;
        assert_eq!(collect(&cx.inbox, 3).await, b"bye");
        assert!(matches!(cx.notices.recv().await, ConnectionNotice::PeerFinished { .. }));
        // Nothing more to answer.
        let told = cx.link((&cx, "letters"), (&adapter, "inbox"));
        assert!(told.is_err(), "types of links are checked");
        adapter_control(&cx, &adapter, Ipc::producer_finished());
        match cx.notices.recv().await {
            ConnectionNotice::Shutdown { adapter: a, how_died } => {
                assert_eq!((a.id(), how_died), (adapter.id(), HowDied::ClosedByPeer));
            }
            other => panic!("{other:?}"),
        }
        assert!(server.children().is_empty());
    });
}

fn adapter_control(cx: &Tester, adapter: &AnyInstance, message: Ipc) {
    let helper = tester(async |_| {});
    let link = cx.link((&helper, "signal"), (adapter, "control")).unwrap();
    helper.signal.send(message).unwrap();
    cx.unlink(&link);
}

#[test]
fn u62_it_listens_from_its_construction() {
    let server = TcpServer::new((std::net::Ipv4Addr::LOCALHOST, 0));
    let addr = server.local_addr().unwrap();
    assert!(std::net::TcpStream::connect(addr).is_ok());
    drop(server);
    assert!(std::net::TcpStream::connect(addr).is_err(), "and not after its drop");
}

#[test]
fn u62_without_a_port_any_free_one_is_taken_on_all_interfaces() {
    let server = TcpServer::new(0);
    let addr = server.local_addr().unwrap();
    assert!(addr.ip().is_unspecified() && addr.is_ipv4() && addr.port() != 0);
}

#[test]
fn u62_d30_a_port_in_use_is_told_with_the_error() {
    run(async |cx| {
        let (_taken, port) = listener();
        let server = serve(&cx, TcpServer::new((std::net::Ipv4Addr::LOCALHOST, port)));
        let Ipc::ErrorInformation(e) = cx.control.recv().await else { panic!("first comes the error") };
        let text = e.exception.clone().unwrap();
        assert!(text.starts_with(&format!("cannot listen on 127.0.0.1:{port}: ")), "{text}");
        assert_eq!(e.caller, server.id());
        assert!(cx.control.recv().await.is_shutdown_microprocess());
        cx.yield_now().await;
        assert!(server.is_stopped());
    });
}

/// D-30: the listening socket is closed at its end too.
#[test]
fn u62_d30_a_server_shutdown_closes_the_socket_and_frees_the_selector() {
    run(async |cx| {
        let server = serve(&cx, TcpServer::new((std::net::Ipv4Addr::LOCALHOST, 0)));
        let addr = cx.addresses.recv().await;
        // Only a serverShutdown counts.
        cx.signal.send(Ipc::producer_finished()).unwrap();
        let _peer = elsewhere(move || dial(addr)).await;
        cx.notices.recv().await;
        cx.signal.send(Ipc::ServerShutdown).unwrap();
        cx.add_child(&server);
        while !server.is_stopped() {
            cx.pause().await;
        }
        elsewhere(move || assert!(std::net::TcpStream::connect(addr).is_err())).await;
        while cx.tracker().retrieve_service("selector").is_ok() {
            cx.yield_now().await; // it was asked to end
        }
    });
}

#[test]
fn u62_socket_options_are_used() {
    let port = {
        // A connection that the server closes first leaves its port in TIME_WAIT, with the server's options.
        let first = SocketOptions::new().reuse_address().listen("127.0.0.1:0".parse().unwrap()).unwrap();
        let addr = first.local_addr().unwrap();
        let client = std::net::TcpStream::connect(addr).unwrap();
        let (served, _) = loop {
            if let Ok(accepted) = first.accept() {
                break accepted;
            }
        };
        served.close();
        let mut client = client;
        read_all(&mut client);
        drop(client);
        first.close();
        addr.port()
    };
    let on = (std::net::Ipv4Addr::LOCALHOST, port);
    assert!(TcpServer::new(on).local_addr().is_err(), "the system's default is kept");
    assert!(TcpServer::with_options(on, &SocketOptions::new().reuse_address()).local_addr().is_ok());
}

#[test]
fn u62_many_connections_at_once_are_all_accepted() {
    run(async |cx| {
        let _server = serve(&cx, TcpServer::new((std::net::Ipv4Addr::LOCALHOST, 0)));
        let addr = cx.addresses.recv().await;
        let peers = elsewhere(move || (0..150).map(|_| dial(addr)).collect::<Vec<_>>()).await;
        for _ in &peers {
            assert!(matches!(cx.notices.recv().await, ConnectionNotice::New { .. }));
        }
    });
}
