//! What is typed is appended to a file, and shown.
//!
//! Original (PR-15): `Code/Python/Kamaelia/Examples/Files/DemoAppend.py`.
//!
//! ```text
//! ConsoleReader -> Append -> ConsoleEchoer
//! ```
//!
//! `demo_append [FILE]`; the file is demo.txt unless given. As in the original the line ends are left out.

use axon::file::Append;
use axon::prelude::*;
use axon::util::{ConsoleEchoer, ConsoleReader};

fn main() -> axon::Result<()> {
    let file = std::env::args().nth(1).unwrap_or_else(|| "demo.txt".into());
    Pipeline::new()
        .then(ConsoleReader::default().eol(""))
        .then(Append::new(file))
        .then(ConsoleEchoer::new())
        .run()
}
