//! What the threads answer, and how the answers come back: the caller is rung once until it has fetched all.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crossbeam_channel::{Receiver, Sender, unbounded};

use super::{DiskError, Storage, StorageKey, Totals};
use crate::proto::bitfield::Bitfield;
use crate::proto::buffer::PartBuf;
use crate::proto::geometry::{BlockRequest, Fetch, PieceIndex};
use crate::proto::selection::Priority;
use crate::proto::stored::Stored;

/// What became of a piece.
#[derive(Debug)]
pub enum PieceResult {
    /// Its hash is right and it was handed to the file system.
    Good,
    /// Its hash is wrong.
    Bad {
        /// SHA-1 of each block as it came, for blame.
        blocks: Vec<[u8; 20]>,
    },
    /// It could not be written or read.
    Failed(DiskError),
}

/// The answer to a request.
#[derive(Debug)]
pub enum DiskAnswer {
    /// A part was dealt with.
    Written {
        /// The torrent.
        key: StorageKey,
        /// The piece, and which fetching of it the part was of.
        fetch: Fetch,
        /// Buffers that are free again: that of the part, others of the piece, or none yet.
        bufs: Vec<PartBuf>,
        /// Set with the part that decided about the piece.
        result: Option<PieceResult>,
    },
    /// Buffers of a closed torrent; ends no request.
    Returned {
        /// Buffers that are free again.
        bufs: Vec<PartBuf>,
    },
    /// Blocks were read.
    Read {
        /// The torrent.
        key: StorageKey,
        /// The caller's number of the request.
        token: u64,
        /// The blocks.
        blocks: Vec<BlockRequest>,
        /// One `piece` message for each block; meaningless if there is an error.
        buf: Vec<u8>,
        /// Why they could not be read.
        error: Option<DiskError>,
        /// The [place](Storage) of the torrent that was read.
        place: u32,
    },
    /// A range was read.
    Range {
        /// The torrent.
        key: StorageKey,
        /// The caller's number of the request.
        token: u64,
        /// Offset in the torrent's stream, bytes.
        offset: u64,
        /// The bytes.
        result: Result<Vec<u8>, DiskError>,
    },
    /// The blocks of a piece were hashed.
    BlockHashes {
        /// The torrent.
        key: StorageKey,
        /// The piece.
        piece: PieceIndex,
        /// SHA-1 of each block.
        result: Result<Vec<[u8; 20]>, DiskError>,
    },
    /// A check went on.
    Checked {
        /// The torrent.
        key: StorageKey,
        /// Pieces looked at since the last such answer.
        checked: u32,
        /// Those that are right.
        good: Vec<PieceIndex>,
        /// True for the last answer to the request.
        end: bool,
        /// Why the check broke off. The last answer still comes.
        error: Option<DiskError>,
        /// Set for [`Disk::check_again`](super::Disk::check_again); in its last answer, whether none of the files is there.
        nothing_left: Option<bool>,
    },
    /// The files are ready to be written.
    Prepared {
        /// The torrent.
        key: StorageKey,
        /// Why not.
        error: Option<DiskError>,
    },
    /// The resume record was compared with the files.
    Resumed {
        /// The torrent.
        key: StorageKey,
        /// Pieces that are there.
        have: Bitfield,
        /// Pieces that have to be hashed.
        recheck: Bitfield,
        /// Payload of all runs before.
        totals: Totals,
        /// Priorities of the files as the record has them; empty if all are as usual.
        priorities: Vec<Priority>,
        /// Where the files are, if that is not where they were looked for.
        storage: Option<Arc<Storage>>,
    },
    /// Other files are wanted from now on.
    Selected {
        /// The torrent.
        key: StorageKey,
        /// Why something could not be moved out of the part file, made or reserved.
        error: Option<DiskError>,
    },
    /// The files were brought to another place, or all is as it was.
    Moved {
        /// The torrent.
        key: StorageKey,
        /// The files in their new place, to be used from now on.
        result: Result<Arc<Storage>, DiskError>,
    },
    /// The files were looked at.
    Looked {
        /// The torrent.
        key: StorageKey,
        /// Files that somebody else changed since they were recorded; true if they are missing.
        changed: Vec<(usize, bool)>,
    },
    /// The data is synced and the resume record written.
    Saved {
        /// The torrent.
        key: StorageKey,
        /// Why not.
        error: Option<DiskError>,
    },
    /// A torrent is remembered for a later session, or forgotten.
    Stored {
        /// The torrent.
        key: StorageKey,
        /// Why not.
        error: Option<DiskError>,
    },
    /// Torrents of an earlier session.
    Restored {
        /// The torrents, in the order in which they were added.
        torrents: Vec<Stored>,
        /// Those that could not be read, told with the last answer.
        failed: usize,
        /// True for the last answer to the request.
        end: bool,
    },
    /// The files of the torrent are closed. Comes after all other answers about it if nothing was sent later.
    Closed {
        /// The torrent.
        key: StorageKey,
    },
}

/// A way for answers. `notify` is called from any thread when some are to be fetched, once until they are.
pub(super) fn channel(notify: Arc<dyn Fn() + Send + Sync>) -> (Answers, Incoming) {
    let (sender, receiver) = unbounded();
    let rung = Arc::new(AtomicBool::new(false));
    (Answers { sender, rung: Arc::clone(&rung), notify }, Incoming { receiver, rung })
}

/// Where the threads put their answers.
#[derive(Clone)]
pub(crate) struct Answers {
    sender: Sender<DiskAnswer>,
    rung: Arc<AtomicBool>,
    notify: Arc<dyn Fn() + Send + Sync>,
}

impl Answers {
    /// Sends an answer and rings.
    pub(crate) fn send(&self, answer: DiskAnswer) {
        self.put(answer);
        self.ring();
    }

    /// Sends an answer that is taken with others; a [`ring`](Answers::ring) has to follow soon.
    pub(crate) fn put(&self, answer: DiskAnswer) {
        // Refused only when the owner is gone.
        let _ = self.sender.send(answer);
    }

    /// Rings, unless somebody has since the last time the answers were fetched.
    pub(crate) fn ring(&self) {
        if !self.rung.swap(true, Ordering::SeqCst) {
            (self.notify)();
        }
    }
}

/// Where they are fetched.
pub(super) struct Incoming {
    receiver: Receiver<DiskAnswer>,
    rung: Arc<AtomicBool>,
}

impl Incoming {
    /// The next answer, if there is one. After `None` the next one rings again.
    pub(super) fn next(&self) -> Option<DiskAnswer> {
        self.receiver.try_recv().ok().or_else(|| {
            // In this order: an answer that comes after the flag is down rings, one that came before is found now.
            self.rung.store(false, Ordering::SeqCst);
            self.receiver.try_recv().ok()
        })
    }
}
