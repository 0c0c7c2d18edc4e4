//! Writes a file of a torrent while it is downloaded.
//!
//! ```text
//! TorrentFileStream -> SimpleFileWriter
//! ```
//!
//! Usage: `torrent_stream TORRENT FILE OUTPUT [PEER…]`, where FILE is a number or a name, which may contain `*`. OUTPUT
//! may be a named pipe from which a player reads. What the torrent itself needs is kept in the current folder.

use std::error::Error;

use axon::file::SimpleFileWriter;
use axon::prelude::*;
use kamaelia_torrent::components::{CreateNewTorrent, TorrentFileStream};

fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [torrent, file, output, peers @ ..] = &words[..] else {
        return Err("usage: torrent_stream TORRENT FILE OUTPUT [PEER…]".into());
    };
    let mut request = CreateNewTorrent::new(std::fs::read(torrent)?);
    request.peers = peers.iter().map(|peer| peer.parse()).collect::<Result<_, _>>()?;
    Pipeline::new()
        .then(TorrentFileStream::of(request).file(file))
        .then(SimpleFileWriter::new(output))
        .run()?;
    Ok(())
}
