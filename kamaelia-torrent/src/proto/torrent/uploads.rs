//! Memory for what is read ahead for peers, all torrents together.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::proto::buffer::RUN_LEN;

/// Bytes that are being read for peers or wait to be sent, of all torrents that share it.
///
/// Some dozens of fast peers get as long runs as are good for the processor. A thousand of them would need half a
/// gigabyte for that: the more is under way, the shorter are the runs. Nobody waits: with two short runs each a peer
/// goes on.
#[derive(Clone, Debug, Default)]
pub struct Uploads {
    bytes: Arc<AtomicUsize>,
}

impl Uploads {
    /// The longest run, bytes, that is to be read now.
    pub(super) fn longest_run(&self) -> u32 {
        let left = BUDGET.saturating_sub(self.bytes.load(Ordering::Relaxed));
        // At most the longest.
        (left / 4).clamp(SHORTEST as usize, RUN_LEN as usize) as u32
    }

    /// Whether a peer may have more runs at a time than it needs.
    pub(super) fn has_plenty(&self) -> bool {
        self.longest_run() == RUN_LEN
    }
}

/// What is being read for one peer or waits to be sent to it. It counts until the connection is gone.
#[derive(Debug)]
pub(crate) struct Reads {
    count: u32,
    bytes: u32,
    all: Uploads,
}

impl Reads {
    pub(crate) fn new(all: Uploads) -> Reads {
        Reads { count: 0, bytes: 0, all }
    }

    /// Reads under way.
    pub(crate) fn count(&self) -> u32 {
        self.count
    }

    pub(super) fn begin(&mut self, bytes: u32) {
        self.count += 1;
        self.bytes += bytes;
        self.all.bytes.fetch_add(bytes as usize, Ordering::Relaxed);
    }

    pub(super) fn end(&mut self, bytes: u64) {
        self.count = self.count.saturating_sub(1);
        // With the last one nothing is left, whatever the caller counted.
        let bytes =
            if self.count == 0 { self.bytes } else { self.bytes.min(bytes.min(u32::MAX.into()) as u32) };
        self.bytes -= bytes;
        self.all.bytes.fetch_sub(bytes as usize, Ordering::Relaxed);
    }
}

impl Drop for Reads {
    fn drop(&mut self) {
        self.all.bytes.fetch_sub(self.bytes as usize, Ordering::Relaxed);
    }
}

/// As much is read ahead before runs become shorter: two of 256 KiB for 62 peers.
const BUDGET: usize = 32 * 1024 * 1024;

/// No run is shorter for want of memory.
const SHORTEST: u32 = 2 * crate::proto::geometry::BLOCK_LEN;

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::proto::{
        bitfield::Bitfield,
        buffer::BufferPool,
        geometry::{BlockRequest, PieceIndex},
        torrent::{
            Direction, PeerKey, Torrent, TorrentOutput,
            testing::{connect, encoded, settings},
        },
        wire::Message,
    };

    #[test]
    fn a_thousand_peers_get_short_runs_and_give_all_back() {
        let all = Uploads::default();
        let peers: Vec<Reads> = (0..1000)
            .map(|_| {
                let mut peer = Reads::new(all.clone());
                (0..2).for_each(|_| peer.begin(all.longest_run()));
                peer
            })
            .collect();
        let bytes = all.bytes.load(Ordering::Relaxed);
        assert!(bytes <= BUDGET + 2000 * SHORTEST as usize, "{bytes}");
        assert_eq!((all.longest_run(), all.has_plenty()), (SHORTEST, false));
        drop(peers);
        assert_eq!((all.longest_run(), all.bytes.load(Ordering::Relaxed)), (RUN_LEN, 0));
    }

    #[test]
    fn a_swarm_reads_short_runs_while_others_use_the_memory() {
        let all = Uploads::default();
        let (now, key) = (Instant::now(), PeerKey(1));
        let mut cfg = settings(1 << 20, 1 << 20);
        (cfg.uploads, cfg.have) = (all.clone(), Bitfield::full(1));
        let mut torrent = Torrent::new(cfg, now);
        connect(&mut torrent, now, key, Direction::Incoming);
        let mut bytes = encoded(&[Message::HaveNone, Message::Interested]);
        let mut pool = BufferPool::new(1 << 20);
        torrent.receive(now, key, &bytes, &mut pool).unwrap();
        bytes.clear();
        for begin in (0..1 << 20).step_by(16_384) {
            let block = BlockRequest { piece: PieceIndex(0), begin, len: 16_384 };
            Message::Request(block).encode(&mut bytes);
        }
        let mut others = Reads::new(all.clone());
        others.begin(BUDGET as u32);
        torrent.receive(now, key, &bytes, &mut pool).unwrap();
        let mut read = || {
            let mut runs = Vec::new();
            while let Some(output) = torrent.poll() {
                if let TorrentOutput::Read { blocks, .. } = output {
                    runs.push(blocks.iter().map(|block| block.len).sum::<u32>());
                }
            }
            runs.iter().for_each(|run| torrent.blocks_sent(now, key, 1, (*run).into()));
            runs
        };
        assert_eq!(read(), [SHORTEST; 2]);
        // What follows those is short, too: they were sent while the others held the memory.
        assert_eq!(read(), [SHORTEST; 2]);
        others.end(u64::MAX);
        assert_eq!(read(), [SHORTEST; 2]);
        let rest = read();
        assert!(rest.iter().all(|run| *run > SHORTEST) && !rest.is_empty(), "{rest:?}");
    }

    #[test]
    fn what_ends_is_given_back_however_it_is_counted() {
        let all = Uploads::default();
        let mut peer = Reads::new(all.clone());
        peer.begin(1000);
        peer.begin(500);
        peer.end(u64::MAX);
        peer.end(0);
        peer.end(7);
        assert_eq!((peer.count(), all.bytes.load(Ordering::Relaxed)), (0, 0));
    }
}
