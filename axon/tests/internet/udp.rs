//! U-65: datagrams.

use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use axon::Ipc;
use axon::internet::{PostboxPeer, SimplePeer, TargettedPeer};
use axon::prelude::*;

use super::common::*;

fn local() -> SocketAddr {
    "127.0.0.1:0".parse().unwrap()
}

fn other() -> (UdpSocket, u16) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let port = socket.local_addr().unwrap().port();
    (socket, port)
}

fn receive(socket: &UdpSocket) -> (Vec<u8>, SocketAddr) {
    let mut buffer = [0; 2000];
    let (n, from) = socket.recv_from(&mut buffer).unwrap();
    (buffer[..n].to_vec(), from)
}

macro_rules! start {
    ($cx:ident, $peer:expr, $from:ident) => {{
        let peer = $peer.create();
        $cx.link(&$cx.$from, &peer.inbox).unwrap();
        $cx.link(&$cx.signal, &peer.control).unwrap();
        $cx.link(&peer.outbox, &$cx.datagrams).unwrap();
        $cx.link(&peer.listening, &$cx.addresses).unwrap();
        $cx.link(&peer.signal, &$cx.control).unwrap();
        $cx.activate(&peer);
        peer
    }};
}

#[test]
fn u65_simple_peer_sends_to_its_receiver_and_tells_who_sent() {
    run(async |cx| {
        let (socket, port) = other();
        start!(cx, SimplePeer::new(local()).receiver("127.0.0.1", port), outbox);
        let own = cx.addresses.recv().await;
        cx.outbox.send(b"question".to_vec()).unwrap();
        cx.outbox.send(Vec::new()).unwrap(); // an empty datagram is one
        let theirs = elsewhere(move || {
            assert_eq!(receive(&socket), (b"question".to_vec(), own));
            assert_eq!(receive(&socket), (Vec::new(), own));
            socket.send_to(b"answer", own).unwrap();
            socket.local_addr().unwrap()
        })
        .await;
        assert_eq!(cx.datagrams.recv().await, (b"answer".to_vec(), theirs));
    });
}

#[test]
fn u65_over_ipv6() {
    run(async |cx| {
        let socket = UdpSocket::bind("[::1]:0").unwrap();
        let port = socket.local_addr().unwrap().port();
        start!(cx, SimplePeer::new("[::1]:0".parse().unwrap()).receiver("::1", port), outbox);
        cx.outbox.send(b"six".to_vec()).unwrap();
        elsewhere(move || assert_eq!(receive(&socket).0, b"six")).await;
    });
}

#[test]
fn u65_targetted_peer_changes_its_receiver() {
    run(async |cx| {
        let ((a, to_a), (b, to_b)) = (other(), other());
        let peer = start!(cx, TargettedPeer::new(local()).receiver("127.0.0.1", to_a), outbox);
        cx.link(&cx.targets, &peer.target).unwrap();
        cx.outbox.send(b"first".to_vec()).unwrap();
        elsewhere(move || assert_eq!(receive(&a).0, b"first")).await;
        cx.targets.send(("localhost".into(), to_b)).unwrap();
        cx.outbox.send(b"second".to_vec()).unwrap();
        elsewhere(move || assert_eq!(receive(&b).0, b"second")).await;
    });
}

#[test]
fn u65_postbox_peer_sends_each_to_its_own_and_keeps_the_order_while_a_name_is_looked_up() {
    run(async |cx| {
        let (socket, port) = other();
        start!(cx, PostboxPeer::new(local()), letters);
        let hosts = ["localhost", "127.0.0.1", "nosuch.invalid", "localhost", "127.0.0.1"];
        for (i, host) in hosts.iter().enumerate() {
            cx.letters.send((host.to_string(), port, vec![i as u8])).unwrap();
        }
        elsewhere(move || {
            let got: Vec<_> = (0..4).map(|_| receive(&socket).0[0]).collect();
            assert_eq!(got, [0, 1, 3, 4], "one with an unknown host is dropped, the others keep their order");
        })
        .await;
    });
}

#[test]
fn u65_datagrams_have_up_to_1024_bytes_unless_told_otherwise() {
    run(async |cx| {
        for (peer, wanted) in
            [(SimplePeer::new(local()), 1024), (SimplePeer::new(local()).datagram_size(1500), 1400)]
        {
            let peer = start!(cx, peer, outbox);
            let own = cx.addresses.recv().await;
            elsewhere(move || other().0.send_to(&[1; 1400], own).unwrap()).await;
            assert_eq!(cx.datagrams.recv().await.0.len(), wanted);
            cx.unlink_component(&peer);
        }
    });
}

#[test]
fn u65_a_shutdown_ends_it_a_finish_only_if_asked_for() {
    run(async |cx| {
        let (socket, port) = other();
        let peer = start!(cx, SimplePeer::new(local()).receiver("127.0.0.1", port), outbox);
        let own = cx.addresses.recv().await;
        cx.signal.send(Ipc::producer_finished()).unwrap();
        elsewhere(move || socket.send_to(b"reply", own).unwrap()).await;
        assert_eq!(cx.datagrams.recv().await.0, b"reply", "replies may still come");
        cx.signal.send(Ipc::shutdown_microprocess()).unwrap();
        assert!(cx.control.recv().await.is_shutdown_microprocess());
        elsewhere(move || UdpSocket::bind(own).expect("its port is free")).await;
        cx.unlink_component(&peer);

        let (socket, port) = other();
        let peer = SimplePeer::new(local()).receiver("127.0.0.1", port).end_when_finished();
        start!(cx, peer, outbox);
        for i in 0..100 {
            cx.outbox.send(vec![i]).unwrap();
        }
        cx.signal.send(Ipc::producer_finished()).unwrap();
        assert!(cx.control.recv().await.is_producer_finished());
        elsewhere(move || (0..100).for_each(|i| assert_eq!(receive(&socket).0, [i]))).await;
    });
}

#[test]
fn u65_an_address_that_is_taken_is_told() {
    run(async |cx| {
        let (_taken, port) = other();
        start!(cx, SimplePeer::new(SocketAddr::from(([127, 0, 0, 1], port))), outbox);
        let told = cx.control.recv().await.to_string();
        assert!(told.contains(&format!("cannot listen on 127.0.0.1:{port}")), "{told}");
        assert!(cx.control.recv().await.is_shutdown_microprocess());
    });
}

/// D-23: it sleeps while nothing comes, where the original looks in every pass.
#[test]
fn u65_d23_an_idle_peer_does_not_run() {
    run(async |cx| {
        start!(cx, SimplePeer::new(local()), outbox);
        let own = cx.addresses.recv().await;
        cx.sleep(Duration::from_millis(20)).await;
        let before = cx.pass();
        cx.sleep(Duration::from_millis(50)).await;
        assert!(cx.pass() - before < 5, "{} passes in 50 ms of silence", cx.pass() - before);
        elsewhere(move || other().0.send_to(b"x", own).unwrap()).await;
        cx.datagrams.recv().await;
    });
}

/// A flood does not fill the memory: what the receiver has not taken stays in the system, which drops the rest.
#[test]
fn u65_a_receiver_that_takes_nothing_bounds_what_is_read() {
    run(async |cx| {
        start!(cx, SimplePeer::new(local()), outbox);
        let own = cx.addresses.recv().await;
        elsewhere(move || {
            let (socket, _) = other();
            (0..20_000_u32).for_each(|i| drop(socket.send_to(&i.to_be_bytes(), own)));
        })
        .await;
        cx.sleep(Duration::from_millis(50)).await;
        assert!(cx.datagrams.len() <= 256, "{}", cx.datagrams.len());
        // It goes on when the receiver does.
        while cx.datagrams.try_recv().is_some() {}
        elsewhere(move || other().0.send_to(b"last", own).unwrap()).await;
        while cx.datagrams.recv().await.0 != b"last" {}
    });
}
