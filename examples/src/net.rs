//! What the programs with sockets share.

use std::net::Ipv4Addr;

use axon::chassis::Pipeline;
use axon::internet::{Datagram, Socket, SocketOptions, TcpClient};
use axon::introspect::Introspector;
use axon::prelude::*;
use axon::util::{Function, PureTransformer};

ports! { /// Boxes of a [`StopAfter`].
pub struct StopAfterPorts {
    in  { /// What to count and pass on.
          inbox: String,
          /// A `producerFinished` stops the scheduler too.
          control: Ipc }
    out { /// The same.
          outbox: String,
          /// What came in `control`.
          signal: Ipc }
} }

/// Passes text on, and stops the scheduler after so many messages or bytes, or when its producer has finished: a server
/// in the same program has no end of its own.
pub struct StopAfter {
    left: Option<u64>,
    bytes: bool,
}

impl StopAfter {
    /// Stops after so many messages; without a number, only at the end of what comes.
    pub fn messages(n: Option<u64>) -> Self {
        Self { left: n, bytes: false }
    }

    /// Stops after so many bytes, for TCP does not keep messages apart.
    pub fn bytes(n: Option<u64>) -> Self {
        Self { left: n, bytes: true }
    }
}

impl Component for StopAfter {
    type Ports = StopAfterPorts;
    async fn main(mut self, cx: Cx<StopAfterPorts>) {
        let mut finished = false;
        while !finished && self.left != Some(0) {
            while let Some(message) = cx.control.try_recv() {
                finished |= message.ends_component();
                let _ = cx.signal.send(message);
            }
            while self.left != Some(0)
                && let Some(text) = cx.inbox.try_recv()
            {
                let size = if self.bytes { text.len() as u64 } else { 1 };
                self.left = self.left.map(|left| left.saturating_sub(size));
                let _ = cx.outbox.send_wait(text).await;
            }
            if !finished && self.left != Some(0) {
                cx.pause().await;
            }
        }
        while !cx.outbox.is_empty() {
            cx.yield_now().await; // what was passed on is to be shown
        }
        cx.yield_now().await;
        cx.stop_scheduler();
    }
}

/// Listens on loopback at `--port N`, any free one unless told, and says where.
pub fn listen() -> std::io::Result<Socket> {
    let port = crate::option("--port").unwrap_or(0) as u16;
    let socket = SocketOptions::new().reuse_address().listen((Ipv4Addr::LOCALHOST, port).into())?;
    println!("listening on {}", socket.local_addr()?);
    Ok(socket)
}

/// A function from `A` to `B` as a component.
pub type Convert<A, B> = PureTransformer<Function<fn(A) -> Option<B>, A, B>>;

/// Text to bytes.
pub fn encode() -> Convert<String, Vec<u8>> {
    PureTransformer::new(|text: String| Some(text.into_bytes()))
}

/// Bytes to text; what is no UTF-8 is replaced.
pub fn decode() -> Convert<Vec<u8>, String> {
    PureTransformer::new(|bytes: Vec<u8>| Some(String::from_utf8_lossy(&bytes).into_owned()))
}

/// A datagram as Python prints it.
pub fn show() -> Convert<Datagram, String> {
    PureTransformer::new(|(data, from): Datagram| {
        Some(format!("(b'{}', ('{}', {}))\n", data.escape_ascii(), from.ip(), from.port()))
    })
}

/// With `--visualiser PORT`, sends what the program is made of to Kamaelia's AxonVisualiser (`--port=PORT`).
pub fn introspect() {
    if let Some(port) = crate::option("--visualiser") {
        Pipeline::new()
            .then(Introspector::new().every(std::time::Duration::from_millis(20)))
            .then(encode())
            .then(TcpClient::new("127.0.0.1", port as u16))
            .activate();
    }
}
