//! A server that sends everything back.
//!
//! PR-18. Original: `EchoServer.py` and `IntrospectingEchoServer.py` in
//! `Code/Python/Kamaelia/Examples/Introspection/IntrospectionTutorial`.
//!
//! ```text
//! FastRestartServer(EchoProtocol)      Pipeline(Introspector, encode, TcpClient) with --visualiser
//! ```
//!
//! `echo_server [--port N] [--visualiser PORT]`: where to listen (any free port, which it prints; the original's is
//! 1500), and where Kamaelia's visualiser does (1600 in the original).

use axon::chassis::FastRestartServer;
use axon::prelude::*;
use axon::util::PureTransformer;
use examples::net::{introspect, listen};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    introspect();
    let echo_protocol = |_: &_| PureTransformer::new(|bytes: Vec<u8>| Some(bytes));
    FastRestartServer::new(echo_protocol).on(listen()?).run()?;
    Ok(())
}
