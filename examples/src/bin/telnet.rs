//! Sends what is typed to a server and shows what it answers: the client that the original's tutorial takes `telnet` for.
//!
//! ```text
//! Pipeline(ConsoleReader, encode, TcpClient, decode, ConsoleEchoer)
//! ```
//!
//! `telnet HOST PORT`: at the end of the input it says that there is no more, and waits for the server to close.

use axon::internet::TcpClient;
use axon::prelude::*;
use axon::util::{ConsoleEchoer, ConsoleReader};
use examples::net::{StopAfter, decode, encode};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [host, port] = &args[..] else { return Err("usage: telnet HOST PORT".into()) };
    Pipeline::new()
        .then(ConsoleReader::new(""))
        .then(encode())
        .then(TcpClient::new(host, port.parse()?).wait_for_serverclose(true))
        .then(decode())
        .then(StopAfter::messages(None))
        .then(ConsoleEchoer::new())
        .run()?;
    Ok(())
}
