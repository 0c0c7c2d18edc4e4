//! U-64: a server for one client.

use axon::Ipc;
use axon::internet::{SingleServer, SingleServerPorts};
use axon::prelude::*;

use super::common::*;

fn serve(cx: &Tester) -> Instance<SingleServerPorts> {
    let server = SingleServer::new((std::net::Ipv4Addr::LOCALHOST, 0)).create();
    cx.link(&cx.outbox, &server.inbox).unwrap();
    cx.link(&cx.signal, &server.control).unwrap();
    cx.link(&server.outbox, &cx.inbox).unwrap();
    cx.link(&server.signal, &cx.control).unwrap();
    cx.link(&server.listening, &cx.addresses).unwrap();
    cx.activate(&server);
    server
}

#[test]
fn u64_the_first_client_is_served_further_ones_are_closed_and_the_next_is_taken() {
    run(async |cx| {
        let _server = serve(&cx);
        cx.outbox.send(b"waited".to_vec()).unwrap(); // before anybody is there
        let addr = cx.addresses.recv().await;
        let mut first = elsewhere(move || {
            let mut first = dial(addr);
            assert_eq!(read_exactly(&mut first, 6), b"waited");
            say(&mut first, b"one");
            first
        })
        .await;
        assert_eq!(collect(&cx.inbox, 3).await, b"one");
        elsewhere(move || assert_eq!(read_all(&mut dial(addr)), b"", "a second client is told to go")).await;
        cx.outbox.send(b"still".to_vec()).unwrap();
        elsewhere(move || {
            assert_eq!(read_exactly(&mut first, 5), b"still");
            drop(first);
        })
        .await;
        assert!(cx.control.recv().await.is_producer_finished(), "the client has gone");
        assert!(cx.control.is_empty(), "of the one that was sent away nothing is said");
        cx.outbox.send(b"next".to_vec()).unwrap();
        elsewhere(move || assert_eq!(read_exactly(&mut dial(addr), 4), b"next")).await;
        assert!(cx.control.recv().await.is_producer_finished());
    });
}

#[test]
fn u64_producer_finished_does_not_end_it_and_a_shutdown_closes_all() {
    run(async |cx| {
        let server = serve(&cx);
        let addr = cx.addresses.recv().await;
        cx.signal.send(Ipc::producer_finished()).unwrap();
        cx.outbox.send(b"x".to_vec()).unwrap();
        let mut peer = elsewhere(move || {
            let mut peer = dial(addr);
            read_exactly(&mut peer, 1);
            peer
        })
        .await;
        cx.signal.send(Ipc::shutdown_microprocess()).unwrap();
        assert!(cx.control.recv().await.is_shutdown_microprocess(), "passed on");
        elsewhere(move || {
            assert_eq!(read_all(&mut peer), b"");
            while std::net::TcpStream::connect(addr).is_ok() {}
        })
        .await;
        assert!(server.is_stopped());
    });
}
