//! U-61 and U-63: the client, and the adapter through it.

use std::time::{Duration, Instant};

use axon::internet::{AdapterOptions, SocketOptions, TcpClient, TcpClientPorts};
use axon::prelude::*;

use super::common::*;

/// A running client, linked to the tester in all directions.
fn client(cx: &Tester, client: TcpClient) -> Instance<TcpClientPorts> {
    let client = client.create();
    cx.link(&cx.outbox, &client.inbox).unwrap();
    cx.link(&cx.signal, &client.control).unwrap();
    cx.link(&client.outbox, &cx.inbox).unwrap();
    cx.link(&client.signal, &cx.control).unwrap();
    cx.activate(&client);
    client
}

#[test]
fn u61_what_is_sent_before_the_connection_is_made_arrives_and_so_does_the_answer() {
    run(async |cx| {
        let (listener, port) = listener();
        client(&cx, TcpClient::new("127.0.0.1", port));
        cx.outbox.send(b"one ".to_vec()).unwrap();
        cx.outbox.send(b"two".to_vec()).unwrap();
        let mut peer = elsewhere(move || {
            let mut peer = accept(&listener);
            assert_eq!(read_exactly(&mut peer, 7), b"one two");
            say(&mut peer, b"three");
            peer
        })
        .await;
        assert_eq!(collect(&cx.inbox, 5).await, b"three");
        cx.outbox.send(b"four".to_vec()).unwrap();
        elsewhere(move || assert_eq!(read_exactly(&mut peer, 4), b"four")).await;
        assert_eq!(remark(&cx.control.recv().await), "closed by peer");
    });
}

#[test]
fn u61_over_ipv6_and_by_name() {
    run(async |cx| {
        // A name may stand for an IPv6 address, tried first, on which nobody listens.
        for (host, bind) in [("::1", "[::1]:0"), ("[::1]", "[::1]:0"), ("localhost", "127.0.0.1:0")] {
            let listener = std::net::TcpListener::bind(bind).unwrap();
            let c = client(&cx, TcpClient::new(host, listener.local_addr().unwrap().port()));
            cx.outbox.send(b"hello".to_vec()).unwrap();
            elsewhere(move || assert_eq!(read_exactly(&mut accept(&listener), 5), b"hello")).await;
            assert!(cx.control.recv().await.is_producer_finished(), "{host}");
            cx.unlink_component(&c);
        }
    });
}

#[test]
fn u61_d30_a_refused_connection_is_told_with_the_address() {
    run(async |cx| {
        let (listener, port) = listener();
        drop(listener);
        client(&cx, TcpClient::new("127.0.0.1", port));
        let end = remark(&cx.control.recv().await);
        assert!(end.starts_with(&format!("cannot connect to 127.0.0.1:{port}: ")), "{end}");
        assert!(end.to_lowercase().contains("refused"), "{end}");
    });
}

#[test]
fn u61_d30_an_unknown_host_is_told_and_the_others_go_on_meanwhile() {
    run(async |cx| {
        client(&cx, TcpClient::new("nosuch.invalid", 1));
        let mut turns = 0;
        let end = loop {
            if let Some(end) = cx.control.try_recv() {
                break end;
            }
            turns += 1;
            cx.yield_now().await;
        };
        let end = remark(&end);
        assert!(end.starts_with("unknown host \"nosuch.invalid\": "), "{end}");
        assert!(turns > 10, "the scheduler ran {turns} times while the name was looked up");
    });
}

#[test]
fn u61_a_host_that_does_not_answer_is_a_timeout() {
    run(async |cx| {
        // Two connections fill a queue of none; the third gets no answer.
        let listening = SocketOptions::new().backlog(0).listen("127.0.0.1:0".parse().unwrap()).unwrap();
        let addr = listening.local_addr().unwrap();
        let _fill: Vec<_> = (0..3)
            .map(|_| {
                let s = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
                s.set_nonblocking(true).unwrap();
                let _ = s.connect(&addr.into());
                s
            })
            .collect();
        let begin = Instant::now();
        client(&cx, TcpClient::new("127.0.0.1", addr.port()).connect_timeout(Duration::from_millis(100)));
        assert_eq!(remark(&cx.control.recv().await), "timeout");
        assert!(begin.elapsed() >= Duration::from_millis(100));
    });
}

#[test]
fn u61_it_waits_for_the_delay_before_it_connects() {
    run(async |cx| {
        let (listener, port) = listener();
        let begin = Instant::now();
        client(&cx, TcpClient::new("127.0.0.1", port).delay(Duration::from_millis(80)));
        elsewhere(move || drop(accept(&listener))).await;
        assert!(begin.elapsed() >= Duration::from_millis(80));
    });
}

#[test]
fn u61_while_connecting_a_shutdown_is_passed_on_and_ends_it() {
    run(async |cx| {
        for message in [Ipc::producer_finished_by(cx.id()), Ipc::shutdown_microprocess()] {
            let c = client(&cx, TcpClient::new("127.0.0.1", 1).delay(Duration::from_secs(1000)));
            cx.signal.send(message.clone()).unwrap();
            assert_eq!(cx.control.recv().await.to_string(), message.to_string());
            cx.yield_now().await;
            assert!(c.is_stopped() && cx.control.is_empty(), "nothing else is said");
            cx.unlink_component(&c);
        }
    });
}

#[test]
fn u61_waiting_for_the_server_to_close_a_finish_sends_all_and_receives_the_answer() {
    run(async |cx| {
        let (listener, port) = listener();
        client(&cx, TcpClient::new("127.0.0.1", port).wait_for_serverclose(true));
        cx.outbox.send(b"question".to_vec()).unwrap();
        cx.signal.send(Ipc::producer_finished()).unwrap(); // before it is connected
        elsewhere(move || {
            let mut peer = accept(&listener);
            assert_eq!(read_all(&mut peer), b"question"); // up to the end of what it sends
            say(&mut peer, b"answer");
        })
        .await;
        assert_eq!(collect(&cx.inbox, 6).await, b"answer");
        assert_eq!(remark(&cx.control.recv().await), "producer finished");
    });
}

/// The original flushes only as far as one pass allows.
#[test]
fn u63_at_producer_finished_all_that_was_sent_is_flushed_to_a_slow_reader() {
    run(async |cx| {
        let (listener, port) = listener();
        client(&cx, TcpClient::new("127.0.0.1", port));
        let data = pattern(8_000_000);
        let reader = std::thread::spawn(move || {
            let mut peer = accept(&listener);
            say(&mut peer, b"go");
            let mut got = Vec::new();
            while got.len() < 1_000_000 {
                got.extend(read_exactly(&mut peer, 50_000));
                std::thread::sleep(Duration::from_millis(1));
            }
            got.extend(read_all(&mut peer));
            got
        });
        collect(&cx.inbox, 2).await; // before that a finish would end the attempt to connect
        for part in data.chunks(100_000) {
            cx.outbox.send_wait(part.to_vec()).await.unwrap();
        }
        cx.signal.send(Ipc::producer_finished()).unwrap();
        assert_eq!(remark(&cx.control.recv().await), "producer finished");
        assert!(elsewhere(move || reader.join().unwrap()).await == data, "nothing lost, nothing doubled");
    });
}

#[test]
fn u63_a_shutdown_closes_at_once() {
    run(async |cx| {
        let (listener, port) = listener();
        let c = client(&cx, TcpClient::new("127.0.0.1", port));
        let mut peer = elsewhere(move || accept(&listener)).await;
        cx.outbox.send(b"x".to_vec()).unwrap();
        let mut peer = elsewhere(move || {
            read_exactly(&mut peer, 1);
            peer
        })
        .await;
        cx.signal.send(Ipc::shutdown_microprocess()).unwrap();
        assert_eq!(remark(&cx.control.recv().await), "shutdown microprocess");
        elsewhere(move || assert_eq!(read_all(&mut peer), b"")).await;
        assert!(c.children().iter().all(|c| c.is_stopped()));
    });
}

#[test]
fn u63_a_reset_and_an_orderly_end_are_told_apart() {
    run(async |cx| {
        for (abrupt, wanted) in [(false, "closed by peer"), (true, "reset")] {
            let (listener, port) = listener();
            let c = client(&cx, TcpClient::new("127.0.0.1", port));
            elsewhere(move || {
                let peer = accept(&listener);
                if abrupt { reset(peer) } else { drop(peer) }
            })
            .await;
            let end = remark(&cx.control.recv().await);
            assert!(end.contains(wanted), "{end}");
            cx.unlink_component(&c);
        }
    });
}

#[test]
fn u63_messages_have_at_most_32_kib_and_arrive_whole() {
    run(async |cx| {
        let (listener, port) = listener();
        client(&cx, TcpClient::new("127.0.0.1", port));
        let data = pattern(3_000_000);
        let sent = data.clone();
        let peer = std::thread::spawn(move || say(&mut accept(&listener), &sent));
        let mut got = Vec::new();
        while got.len() < data.len() {
            let part = cx.inbox.recv().await;
            assert!(part.len() <= 32768);
            got.extend(part);
        }
        assert!(got == data);
        elsewhere(move || peer.join().unwrap()).await;
    });
}

/// A full receiver holds one message back, and nothing is lost.
#[test]
fn u63_a_bounded_receiver_gets_everything() {
    run(async |cx| {
        let (listener, port) = listener();
        cx.inbox.set_bound(1);
        client(&cx, TcpClient::new("127.0.0.1", port));
        let data = pattern(2_000_000);
        let sent = data.clone();
        let peer = std::thread::spawn(move || say(&mut accept(&listener), &sent));
        let mut got = Vec::new();
        while got.len() < data.len() {
            assert!(cx.inbox.len() <= 1);
            got.extend(cx.inbox.recv().await);
            if got.len() % 7 == 0 {
                cx.yield_now().await;
            }
        }
        assert!(got == data);
        elsewhere(move || peer.join().unwrap()).await;
    });
}

/// Back-pressure: a receiver that takes nothing stops the peer, however much that would send.
#[test]
fn u63_a_receiver_that_stops_bounds_what_is_in_flight() {
    run(async |cx| {
        let (listener, port) = listener();
        let options = AdapterOptions { receive_ahead: 4, ..AdapterOptions::default() };
        client(&cx, TcpClient::new("127.0.0.1", port).options(options));
        let written = elsewhere(move || {
            let peer = accept(&listener);
            peer.set_nonblocking(true).unwrap();
            let (mut written, mut quiet) = (0, 0);
            while quiet < 20 {
                match std::io::Write::write(&mut &peer, &[7; 65536]) {
                    Ok(n) => (written, quiet) = (written + n, 0),
                    Err(_) => {
                        quiet += 1;
                        std::thread::sleep(Duration::from_millis(10));
                    }
                }
                assert!(written < 100_000_000, "the peer is never stopped");
            }
            (written, peer)
        })
        .await;
        let held: usize = cx.inbox.len();
        assert!(held <= 4, "{held} messages wait at a receiver that takes none");
        // What is not there is in the system's buffers, which have a bound of their own.
        let (written, _peer) = written;
        let mut got = 0;
        while got < written {
            got += cx.inbox.recv().await.len();
        }
        assert_eq!(got, written, "and all of it arrives when the receiver goes on");
    });
}

/// Back-pressure the other way: a peer that reads nothing stops the sender.
#[test]
fn u63_a_peer_that_does_not_read_bounds_what_a_sender_can_send() {
    run(async |cx| {
        let (listener, port) = listener();
        let options = AdapterOptions { send_queue: 8, ..AdapterOptions::default() };
        client(&cx, TcpClient::new("127.0.0.1", port).options(options));
        let mut peer = elsewhere(move || {
            let mut peer = accept(&listener);
            say(&mut peer, b"go");
            peer
        })
        .await;
        collect(&cx.inbox, 2).await;
        let mut sent = 0;
        let mut quiet = 0;
        while quiet < 20 {
            match cx.outbox.send(vec![3; 10_000]) {
                Ok(()) => (sent, quiet) = (sent + 10_000, 0),
                Err(e) => {
                    assert!(e.is_full());
                    quiet += 1;
                    cx.sleep(Duration::from_millis(5)).await;
                }
            }
            assert!(sent < 100_000_000, "the sender is never stopped");
        }
        // The peer reads on, and everything arrives.
        cx.signal.send(Ipc::producer_finished()).unwrap();
        assert_eq!(elsewhere(move || read_all(&mut peer).len()).await, sent);
    });
}

#[test]
fn u63_at_the_end_a_peer_that_takes_nothing_is_given_up() {
    run(async |cx| {
        let (listener, port) = listener();
        let options = AdapterOptions { patience: Duration::from_millis(50), ..AdapterOptions::default() };
        client(&cx, TcpClient::new("127.0.0.1", port).options(options));
        let _peer = elsewhere(move || {
            let mut peer = accept(&listener);
            say(&mut peer, b"go");
            peer
        })
        .await;
        collect(&cx.inbox, 2).await;
        while cx.outbox.send(vec![3; 1_000_000]).is_ok() {
            cx.yield_now().await;
        }
        cx.signal.send(Ipc::producer_finished()).unwrap();
        assert_eq!(remark(&cx.control.recv().await), "the peer takes no data");
    });
}

#[test]
fn u63_after_the_flush_it_waits_a_moment_for_the_peer_and_no_longer() {
    run(async |cx| {
        let (listener, port) = listener();
        let options = AdapterOptions { linger: Duration::from_millis(50), ..AdapterOptions::default() };
        client(&cx, TcpClient::new("127.0.0.1", port).options(options));
        let mut peer = elsewhere(move || {
            let mut peer = accept(&listener);
            say(&mut peer, b"go");
            peer
        })
        .await;
        collect(&cx.inbox, 2).await;
        cx.outbox.send(b"bye".to_vec()).unwrap();
        cx.signal.send(Ipc::producer_finished()).unwrap();
        // The peer sends on and never closes.
        let peer = elsewhere(move || {
            assert_eq!(read_all(&mut peer), b"bye");
            let _ = std::io::Write::write(&mut peer, b"late");
            peer
        })
        .await;
        assert_eq!(remark(&cx.control.recv().await), "producer finished");
        drop(peer);
    });
}

#[test]
fn u61_stopping_it_closes_the_socket_and_tells() {
    run(async |cx| {
        let (listener, port) = listener();
        let c = client(&cx, TcpClient::new("127.0.0.1", port));
        let mut peer = elsewhere(move || accept(&listener)).await;
        cx.outbox.send(b"x".to_vec()).unwrap();
        let mut peer = elsewhere(move || {
            read_exactly(&mut peer, 1);
            peer
        })
        .await;
        for child in c.children() {
            child.stop();
        }
        assert_eq!(remark(&cx.control.recv().await), "stopped");
        elsewhere(move || assert_eq!(read_all(&mut peer), b"")).await;
    });
}

/// What TLS needs is a feature; without it the wish is answered with an error, not ignored.
#[cfg(not(feature = "tls"))]
#[test]
fn u63_makessl_without_the_feature_is_an_error() {
    run(async |cx| {
        let (listener, port) = listener();
        let c = client(&cx, TcpClient::new("127.0.0.1", port));
        let _peer = elsewhere(move || accept(&listener)).await;
        c.makessl.deliver(Message::from("now")).unwrap();
        assert!(remark(&cx.control.recv().await).contains("feature `tls`"));
    });
}
