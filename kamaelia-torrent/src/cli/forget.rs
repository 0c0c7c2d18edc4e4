//! `forget`: torrents of earlier runs that are not to come back.

use std::path::Path;

use kamaelia_torrent::disk::forget_torrents;
use kamaelia_torrent::proto::info_hash::InfoHash;
use kamaelia_torrent::torrent_file::read_torrent_file;
use serde_json::json;

use super::args::Forget;
use super::output::{clean, line};
use super::transfer::refuse_links;
use super::{Done, Failure};

pub(crate) fn run(args: &Forget) -> Done {
    // All are read before any is forgotten.
    let hashes = args.torrents.iter().map(|torrent| info_hash(torrent)).collect::<Result<Vec<_>, _>>()?;
    let known = forget_torrents(&args.state, &hashes)?;
    let mut unknown = Vec::new();
    for ((torrent, hash), known) in args.torrents.iter().zip(&hashes).zip(known) {
        let label = torrent.display().to_string();
        if !known {
            unknown.push(label);
        } else if args.json {
            let hash = hash.to_string();
            line(&json!({"event": "forgotten", "torrent": label, "info_hash": hash}).to_string());
        } else {
            line(&format!("{}: forgotten", clean(&label)));
        }
    }
    match &unknown[..] {
        [] => Ok(()),
        _ => Err(Failure::Failed(format!("not in {}: {}", args.state.display(), unknown.join(", ")))),
    }
}

/// That of a file, or what was written itself.
fn info_hash(torrent: &Path) -> Result<InfoHash, Failure> {
    if let Some(hash) = torrent.to_str().and_then(|text| text.parse().ok())
        && !torrent.exists()
    {
        return Ok(hash);
    }
    refuse_links(torrent)?;
    Ok(read_torrent_file(torrent)?.info_hash())
}
