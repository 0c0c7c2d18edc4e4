//! What a slow reader costs in memory: alone in its process, so that nobody else's memory is measured.
//!
//! The way from end to end: a source that never rests, a client's socket, the network, a server's socket, a reader that
//! is slower than all of them.
#![cfg(all(feature = "internet", target_os = "linux"))]
#![allow(missing_docs, unreachable_pub)]

use std::cell::{Cell, RefCell};
use std::net::Ipv4Addr;
use std::rc::Rc;

use axon::chassis::SimpleServer;
use axon::internet::TcpClient;
use axon::ports;
use axon::prelude::*;

ports! {
    struct EndPorts {
        in { inbox: Vec<u8>, control: Ipc, addresses: std::net::SocketAddr }
        out { outbox: Vec<u8>, signal: Ipc }
    }
}

/// What the reader saw.
#[derive(Default)]
struct Seen {
    bytes: Cell<usize>,
    wrong: Cell<bool>,
    /// KiB of resident memory, at the start and each time another [`STEP`] had come.
    resident: RefCell<Vec<u64>>,
}

/// Takes one message, then lets everybody else run many times.
struct SlowReader(Rc<Seen>);

impl Component for SlowReader {
    type Ports = EndPorts;
    async fn main(self, cx: Cx<EndPorts>) {
        // A receiver that bounds its inbox is one that says when it has enough.
        cx.inbox.set_bound(2);
        self.0.resident.borrow_mut().push(resident());
        loop {
            while let Some(part) = cx.inbox.try_recv() {
                let at = self.0.bytes.get();
                self.0.wrong.set(self.0.wrong.get() || part.iter().zip(at..).any(|(b, i)| *b != byte(i)));
                self.0.bytes.set(at + part.len());
                if at / STEP != (at + part.len()) / STEP {
                    self.0.resident.borrow_mut().push(resident());
                }
                for _ in 0..TURNS_PER_MESSAGE {
                    cx.yield_now().await;
                }
            }
            if cx.control.try_recv().is_some() {
                return;
            }
            cx.pause().await;
        }
    }
}

/// Sends as fast as it may.
struct Source;

impl Component for Source {
    type Ports = EndPorts;
    async fn main(self, cx: Cx<EndPorts>) {
        let mut at = 0;
        while at < TOTAL {
            let part = (at..at + PART).map(byte).collect();
            if cx.outbox.send_wait(part).await.is_err() {
                return;
            }
            at += PART;
        }
        let _ = cx.signal.send(Ipc::producer_finished());
    }
}

struct Watch(Rc<Seen>);

impl Component for Watch {
    type Ports = EndPorts;
    async fn main(self, cx: Cx<EndPorts>) {
        let seen = self.0.clone();
        let server =
            SimpleServer::new(move || SlowReader(seen.clone())).on((Ipv4Addr::LOCALHOST, 0)).create();
        cx.link(&server.listening, &cx.addresses).unwrap();
        cx.activate(&server);
        let port = cx.addresses.recv().await.port();
        let client = cx.launch(TcpClient::new("127.0.0.1", port));
        let source = Source.create();
        cx.link(&source.outbox, &client.inbox).unwrap();
        cx.link(&source.signal, &client.control).unwrap();
        client.inbox.set_bound(4);
        cx.activate(&source);
        while self.0.bytes.get() < TOTAL {
            cx.yield_now().await;
        }
        cx.stop_scheduler();
    }
}

/// U-63, CH-SRV-03: memory stays flat however much a fast source has for a slow reader, and nothing is lost.
#[test]
fn u63_ch_srv_03_a_slow_reader_slows_the_source_and_memory_stays_flat() {
    let seen = Rc::new(Seen::default());
    Watch(seen.clone()).create().run().unwrap();
    assert_eq!(seen.bytes.get(), TOTAL);
    assert!(!seen.wrong.get(), "something was lost, doubled or changed");
    let resident = seen.resident.borrow();
    let (first, most) = (resident[0], *resident.iter().max().unwrap());
    eprintln!("resident after each {STEP} bytes, KiB: {resident:?}");
    // What waits between the two ends is a few messages and the buffers of two sockets.
    assert!(most < first + ALLOWED, "resident memory grew from {first} to {most} KiB: {resident:?}");
}

fn byte(i: usize) -> u8 {
    (i.wrapping_mul(0x9e37_79b9) >> 16) as u8
}

/// Resident memory of this process, KiB.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Bytes in all; many times what may be held.
const TOTAL: usize = 64 * 1024 * 1024;
/// Bytes of a message of the source.
const PART: usize = 64 * 1024;
/// Bytes between two looks at the memory.
const STEP: usize = 4 * 1024 * 1024;
/// Passes for everybody else after each message of the reader.
const TURNS_PER_MESSAGE: usize = 100;
/// KiB that memory may grow from when the connection is there.
const ALLOWED: u64 = 8 * 1024;
