//! Shows each line that is typed again.
//!
//! PR-18. Original: `CommandLineEchoExample.py` and `IntrospectingCommandLineEchoExample.py` in
//! `Code/Python/Kamaelia/Examples/Introspection/IntrospectionTutorial`.
//!
//! ```text
//! Pipeline(ConsoleReader, ConsoleEchoer)      Pipeline(Introspector, encode, TcpClient) with --visualiser
//! ```
//!
//! `command_line_echo [--visualiser PORT]`: where Kamaelia's visualiser listens (1600 in the original).

use axon::prelude::*;
use axon::util::{ConsoleEchoer, ConsoleReader};
use examples::net::{StopAfter, introspect};

fn main() -> axon::Result<()> {
    introspect();
    Pipeline::new()
        .then(ConsoleReader::new(">>> "))
        .then(StopAfter::messages(None))
        .then(ConsoleEchoer::new())
        .run()
}
