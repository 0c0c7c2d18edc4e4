//! Downloads the torrents whose files are named on the console (Kamaelia: the example at the end of
//! `Kamaelia/Protocol/Torrent/TorrentPatron.py`).
//!
//! ```text
//! ConsoleReader -> TriggeredFileReader -> TorrentPatron -> BasicTorrentExplainer -> ConsoleEchoer
//! ```
//!
//! At the end of input it stays until everything is complete.

use axon::file::TriggeredFileReader;
use axon::prelude::*;
use axon::util::{ConsoleEchoer, ConsoleReader};
use kamaelia_torrent::components::{BasicTorrentExplainer, TorrentPatron};

fn main() -> axon::Result<()> {
    Pipeline::new()
        .then(ConsoleReader::new(">>> ").eol(""))
        .then(TriggeredFileReader::new())
        .then(TorrentPatron::new().finish_downloads(true))
        .then(BasicTorrentExplainer::new())
        .then(ConsoleEchoer::new())
        .run()
}
