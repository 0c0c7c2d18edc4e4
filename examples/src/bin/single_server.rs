//! A server for one client, fed by a pipeline, and the client.
//!
//! PR-16. Original: `Code/Python/Kamaelia/Examples/TCP_Systems/SingleServerExample.py`.
//!
//! ```text
//! Pipeline(Cat, MessageRateLimit 2/s, encode, SingleServer) ~ TCP ~ Pipeline(TcpClient, decode, ConsoleEchoer)
//! ```
//!
//! `single_server [--rate N]`: messages a second (2). The program ends after the last message; the original stays.

use axon::internet::{SingleServer, TcpClient};
use axon::prelude::*;
use axon::util::{ConsoleEchoer, MessageRateLimit};
use examples::net::{StopAfter, decode, encode, listen};
use examples::option;

ports! { /// Boxes of a cat.
pub struct CatPorts {
    in  { /// Unused.
          inbox: Message,
          /// Unused.
          control: Ipc }
    out { /// What it was given.
          outbox: String,
          /// Unused.
          signal: Ipc }
} }

struct Cat(Vec<String>);

impl Component for Cat {
    type Ports = CatPorts;
    async fn main(self, cx: Cx<CatPorts>) {
        for message in self.0 {
            let _ = cx.outbox.send(message);
        }
        loop {
            cx.pause().await;
        }
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let socket = listen()?;
    let port = socket.local_addr()?.port();
    let messages = vec!["Hello World".to_string(); 12];
    let bytes = messages.iter().map(|m| m.len() as u64).sum();
    Pipeline::new()
        .then(Cat(messages))
        .then(MessageRateLimit::<String>::typed(option("--rate").unwrap_or(2) as f64).buffer(1))
        .then(encode())
        .then(SingleServer::new(socket))
        .activate();

    Pipeline::new()
        .then(TcpClient::new("127.0.0.1", port))
        .then(decode())
        .then(StopAfter::bytes(Some(bytes)))
        .then(ConsoleEchoer::new())
        .run()?;
    Ok(())
}
