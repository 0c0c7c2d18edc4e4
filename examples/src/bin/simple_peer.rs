//! A peer that sends datagrams for ever, and one that shows them with their sender.
//!
//! PR-17. Original: `Code/Python/Kamaelia/Examples/UDP_Systems/SimplePeer_Example.py`.
//!
//! ```text
//! Pipeline(Chargen, encode, SimplePeer) ~ UDP ~ Pipeline(SimplePeer, ConsoleEchoer)
//! ```
//!
//! `simple_peer [--port N] [--to PORT] [--count N]`: where the second listens (any free port; the original's is 1600),
//! where the first sends to (there), and after how many datagrams the program stops (never).

use axon::internet::SimplePeer;
use axon::prelude::*;
use axon::util::{Chargen, ConsoleEchoer};
use examples::net::{StopAfter, encode, show};
use examples::option;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let server_addr = std::net::Ipv4Addr::LOCALHOST;
    let receiver = SimplePeer::new((server_addr, option("--port").unwrap_or(0) as u16).into());
    let server_port = option("--to").map_or(receiver.local_addr()?.port(), |to| to as u16);

    Pipeline::new()
        .then(Chargen::new())
        .then(encode())
        .then(SimplePeer::any().receiver(server_addr.to_string(), server_port))
        .activate();

    Pipeline::new()
        .then(receiver)
        .then(show())
        .then(StopAfter::messages(option("--count")))
        .then(ConsoleEchoer::new())
        .run()?;
    Ok(())
}
