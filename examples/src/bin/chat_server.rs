//! A server that sends what anybody says to everybody, through a backplane.
//!
//! PR-18. Original: `ChatServer.py` and `IntrospectingChatServer.py` in
//! `Code/Python/Kamaelia/Examples/Introspection/IntrospectionTutorial`.
//!
//! ```text
//! FastRestartServer(Pipeline(decode, "peer:port says", PublishTo, SubscribeTo, encode))      Backplane
//! Pipeline(Introspector, encode, TcpClient) with --visualiser
//! ```
//!
//! `chat_server [--port N] [--room NAME] [--visualiser PORT]`: where to listen (any free port, which it prints; the
//! original's is 1500), the name of the backplane (CHAT_ONE), and where Kamaelia's visualiser listens (1600 in the
//! original).

use axon::chassis::{ConnectionInfo, FastRestartServer};
use axon::prelude::*;
use axon::util::{Backplane, PublishTo, PureTransformer, SubscribeTo};
use examples::net::{decode, encode, introspect, listen};
use examples::text_option;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    introspect();
    let room = text_option("--room").unwrap_or_else(|| "CHAT_ONE".into());
    Backplane::<String>::new(&room)?.activate();

    let echo_everyone = move |connection: &ConnectionInfo| {
        let (peer, peerport) = (connection.peer.ip(), connection.peer.port());
        Pipeline::new()
            .then(decode())
            .then(PureTransformer::new(move |text: String| Some(format!("{peer}:{peerport} says {text}"))))
            .then(PublishTo::<String>::new(&room))
            // ------------
            .then(SubscribeTo::<String>::new(&room))
            .then(encode())
    };
    FastRestartServer::new(echo_everyone).on(listen()?).run()?;
    Ok(())
}
