//! A server that sends each client a fortune cookie, and a client, in one program that shares one selector.
//!
//! PR-16. Original: `FortuneCookie_ServerClient.py` and, with `--serve`, `FortuneCookieServer.py` in
//! `Code/Python/Kamaelia/Examples/TCP_Systems`.
//!
//! ```text
//! SimpleServer(FortuneCookieProtocol) ~ TCP ~ Pipeline(TcpClient, decode, ConsoleEchoer)
//! ```
//!
//! `fortune_cookie [--serve] [--port N] [--command C] [--rate BITS]`: only the server; where it listens (any free port,
//! which it prints); what makes the cookie (`fortune -a`), and how fast it is read, in bits a second (320). The program
//! ends with the client; the original goes on serving.

use axon::chassis::SimpleServer;
use axon::file::ReadFileAdaptor;
use axon::internet::TcpClient;
use axon::prelude::*;
use axon::util::ConsoleEchoer;
use examples::net::{StopAfter, decode, listen};
use examples::{option, text_option};

/// Reads the output of a command at a bit rate, as Kamaelia's `FortuneCookieProtocol`. At its end it says so, and the
/// connection is closed.
fn fortune_cookie_protocol() -> ReadFileAdaptor {
    let command = text_option("--command").unwrap_or_else(|| "fortune -a".into());
    ReadFileAdaptor::command(&command).bit_rate(option("--rate").unwrap_or(320) as f64, 40.0)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let socket = listen()?;
    let port = socket.local_addr()?.port();
    let server = SimpleServer::new(fortune_cookie_protocol).on(socket);
    if std::env::args().any(|a| a == "--serve") {
        return Ok(server.run()?);
    }
    server.activate();

    Pipeline::new()
        .then(TcpClient::new("127.0.0.1", port))
        .then(decode())
        .then(StopAfter::messages(None))
        .then(ConsoleEchoer::new())
        .run()?;
    Ok(())
}
