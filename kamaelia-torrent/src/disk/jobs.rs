//! What workers are asked to do.

use std::fs::File;
use std::sync::Arc;

use super::Storage;
use crate::proto::buffer::PartBuf;
use crate::proto::geometry::{BlockRequest, Fetch, PieceIndex};

/// A part of a piece to be written and hashed.
#[derive(Debug)]
pub struct PartWrite {
    /// The torrent.
    pub storage: Arc<Storage>,
    /// The piece, and which fetching of it this is.
    pub fetch: Fetch,
    /// Where it begins in the piece, bytes.
    pub offset: u32,
    /// Its bytes.
    pub buf: PartBuf,
    /// Whether all other parts of the piece were sent before.
    pub last: bool,
}

/// Work that is bound to the worker of its piece, so that the parts of a piece are hashed in order.
#[derive(Debug)]
pub(crate) enum PieceJob {
    /// Parts of pieces to be written and hashed.
    Parts(Vec<PartWrite>),
    /// A piece in the making is not wanted any more.
    Abandon { storage: Arc<Storage>, piece: PieceIndex },
    /// The torrent rests: its pieces in the making are forgotten, its files closed.
    Forget(Arc<Storage>),
}

/// Work that any worker can do.
#[derive(Debug)]
pub(crate) enum AnyJob {
    /// Blocks to be read into a framed buffer.
    Read { storage: Arc<Storage>, token: u64, blocks: Vec<BlockRequest>, buf: Vec<u8> },
    /// A range to be read as it is.
    Range { storage: Arc<Storage>, token: u64, offset: u64, len: usize },
    /// The hash of each block of a piece.
    BlockHashes { storage: Arc<Storage>, piece: PieceIndex },
    /// A file to be closed.
    Close(File),
}
