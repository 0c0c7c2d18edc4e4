//! Bringing back the torrents of an earlier session, on a thread of its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::store::Store;
use super::{Answers, DiskAnswer};
use crate::proto::info_hash::InfoHash;
use crate::proto::stored::Stored;

/// Reads all torrents that are remembered and hands them over, a batch at a time. One that cannot be used is left out
/// and counted; it stays where it is, for a later version may understand it.
pub(crate) fn restore(store: &Store, answers: &Answers, closing: &Arc<AtomicBool>) {
    let mut batch = Vec::new();
    let mut failed = 0;
    match store.torrents() {
        Ok(reader) => {
            batch.reserve(reader.len().min(BATCH));
            for (key, bytes) in reader.values() {
                if closing.load(Ordering::Relaxed) {
                    return;
                }
                let parsed = bytes.map_err(|e| e.to_string());
                match parsed.and_then(|bytes| Stored::parse(&bytes).map_err(|e| e.to_string())) {
                    Ok(stored) if stored.metainfo.info_hash() == InfoHash(key) => batch.push(stored),
                    Ok(_) => failed += 1,
                    Err(e) => {
                        log::warn!("torrent {} is not restored: {e}", InfoHash(key));
                        failed += 1;
                    }
                }
                if batch.len() == BATCH {
                    let torrents = std::mem::take(&mut batch);
                    answers.send(DiskAnswer::Restored { torrents, failed: 0, end: false });
                }
            }
        }
        Err(e) => {
            log::warn!("nothing is restored from {}: {e}", store.dir().display());
            failed += 1;
        }
    }
    answers.send(DiskAnswer::Restored { torrents: batch, failed, end: true });
}

/// Torrents handed over at a time: the event loop takes them in within a millisecond.
const BATCH: usize = 64;
