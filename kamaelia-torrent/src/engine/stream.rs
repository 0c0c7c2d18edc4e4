//! Reading files while they come.
//!
//! A read goes through a range of a file in order. The pieces just ahead of it get deadlines, so that they come next;
//! what is verified is read from the disk in chunks and handed out. A chunk counts as kept until it is dropped, and
//! with 1 MiB of them kept a read rests: a slow reader costs no more memory than that.

mod chunk;
mod deadlines;
mod progress;

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use crossbeam_channel::{Receiver, Sender, unbounded};

use self::chunk::Account;
pub use self::chunk::FileChunk;
use super::event::{Event, TorrentId};
use super::reader::FileReader;
use super::slot::Phase;
use super::Engine;
use crate::proto::geometry::PieceIndex;

/// Number of a read in an engine: counted from 1, never used again.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ReadId(pub u64);

impl fmt::Display for ReadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What is to be read of a torrent.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct FileRange {
    /// The file, as counted in the torrent, from 0.
    pub file: usize,
    /// Where to begin, bytes from the start of the file.
    pub offset: u64,
    /// How much to read, bytes; `None` means up to the end. What lies beyond the end is left out.
    pub len: Option<u64>,
    /// How far ahead pieces are asked for before all others, bytes; at least the piece that is read. Default
    /// [`DEFAULT_AHEAD`].
    pub ahead: u64,
}

impl FileRange {
    /// All of a file.
    pub fn whole(file: usize) -> FileRange {
        FileRange { file, offset: 0, len: None, ahead: DEFAULT_AHEAD }
    }
}

/// Why nothing is read, or no deadline set.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// There is no torrent of this number.
    #[error("there is no torrent {0}")]
    NoSuchTorrent(TorrentId),
    /// The torrent was closed or has failed.
    #[error("torrent {0} has stopped")]
    Stopped(TorrentId),
    /// The torrent has fewer files.
    #[error("there is no file {file}: the torrent has {count}, counted from 0")]
    NoSuchFile {
        /// What was asked for.
        file: usize,
        /// Files of the torrent.
        count: usize,
    },
    /// BEP 47: padding has no content of its own.
    #[error("file {0} is padding")]
    Padding(usize),
    /// The file ends before.
    #[error("{} has {len} bytes, nothing begins at {offset}", .path.display())]
    BeyondEnd {
        /// The file.
        path: PathBuf,
        /// Its length, bytes.
        len: u64,
        /// What was asked for.
        offset: u64,
    },
    /// The torrent has fewer pieces.
    #[error("there is no piece {piece}: the torrent has {count}, counted from 0")]
    NoSuchPiece {
        /// What was asked for.
        piece: u32,
        /// Pieces of the torrent.
        count: u32,
    },
    /// As many files as can be are being read: end a read first.
    #[error("{MAX_READS} files are being read already")]
    TooMany,
}

/// What a reader tells the engine, from any thread.
#[derive(Debug)]
pub(super) enum Order {
    /// There is room for more.
    Freed(ReadId),
    /// Go on at this offset of the file; what is sent from now on is of this turn.
    Seek { read: ReadId, turn: u64, offset: u64 },
    /// Nobody reads any more.
    Stop(ReadId),
}

/// What a [`FileReader`] gets.
#[derive(Debug)]
pub(super) enum Delivery {
    Data { turn: u64, chunk: FileChunk },
    End { turn: u64, error: Option<String> },
}

/// All reads, and deadlines that were set by hand.
pub(super) struct Streams {
    reads: BTreeMap<ReadId, Read>,
    by_torrent: HashMap<TorrentId, Vec<ReadId>>,
    by_hand: HashMap<TorrentId, BTreeMap<PieceIndex, Instant>>,
    last: u64,
    orders: Sender<Order>,
    inbox: Receiver<Order>,
}

impl Default for Streams {
    fn default() -> Streams {
        let (orders, inbox) = unbounded();
        Streams {
            reads: BTreeMap::new(),
            by_torrent: HashMap::new(),
            by_hand: HashMap::new(),
            last: 0,
            orders,
            inbox,
        }
    }
}

struct Read {
    torrent: TorrentId,
    /// Where the file begins in the torrent's stream; this and what follows in bytes.
    base: u64,
    /// What is read from the disk next, in the torrent's stream.
    pos: u64,
    end: u64,
    ahead: u64,
    piece_len: u64,
    /// Pieces up to this one had their deadlines set.
    hurried: u32,
    /// A request to the disk is under way.
    reading: bool,
    /// Bytes of that request.
    asked: usize,
    /// Where the files were then.
    place: u32,
    /// It has a range to read.
    active: bool,
    account: Arc<Account>,
    sink: Sink,
}

enum Sink {
    Events,
    Reader { turn: u64, data: Sender<Delivery> },
}

impl Engine {
    /// Reads a file of a torrent while it comes: [`Event::FileData`] brings its bytes in order as soon as they are
    /// verified, [`Event::ReadEnded`] follows the last. The pieces ahead of it are fetched before all others, even if
    /// nobody wanted them.
    ///
    /// Chunks are at most 256 KiB long. While 1 MiB of a read is kept, that is, neither dropped nor turned into a
    /// `Vec`, no more of it is read. The read waits as long as nobody has what it needs; also for what somebody changed
    /// or removed, until it was fetched again. It ends with an error where that is not fetched unless somebody asks for
    /// it ([`retry_disk`](Engine::retry_disk)).
    ///
    /// # Errors
    ///
    /// [`ReadError`], if there is no such torrent or file, it has stopped, the range begins beyond the end of the file,
    /// or 256 reads are going on.
    pub fn read_file(&mut self, id: TorrentId, range: FileRange) -> Result<ReadId, ReadError> {
        let read = self.new_read(id, range, Sink::Events)?;
        self.begin(read, range.offset, range.len);
        Ok(read)
    }

    /// Ends a read; no [`Event::ReadEnded`] follows. False if there is none of this number.
    pub fn stop_reading(&mut self, read: ReadId) -> bool {
        self.end_read(Instant::now(), read)
    }

    /// Opens a file of a torrent to be read like any other, by another thread than the one that turns the engine.
    ///
    /// # Errors
    ///
    /// As [`read_file`](Engine::read_file).
    ///
    /// # Example
    ///
    /// ```no_run
    /// use std::io::{Read, Seek, SeekFrom};
    /// use kamaelia_torrent::engine::{AddTorrent, Engine, Settings};
    /// # let metainfo = kamaelia_torrent::proto::Metainfo::parse(b"").unwrap();
    ///
    /// let mut engine = Engine::new(Settings::default())?;
    /// let id = engine.add(AddTorrent::new(metainfo, "."))?;
    /// let mut file = engine.open_file(id, 0)?;
    /// std::thread::spawn(move || while engine.turn(None).is_ok() {});
    /// // Fetched before all others:
    /// let mut tail = Vec::new();
    /// file.seek(SeekFrom::End(-1000))?;
    /// file.read_to_end(&mut tail)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn open_file(&mut self, id: TorrentId, file: usize) -> Result<FileReader, ReadError> {
        let (sender, data) = unbounded();
        let sink = Sink::Reader { turn: 0, data: sender };
        let read = self.new_read(id, FileRange::whole(file), sink)?;
        let len = self.streams.reads.get(&read).map_or(0, |read| read.end - read.base);
        Ok(FileReader::new(read, len, self.streams.orders.clone(), self.waker(), data))
    }

    /// Ends all reads of a torrent that stops.
    pub(super) fn end_reads(&mut self, id: TorrentId, reason: &str) {
        self.streams.by_hand.remove(&id);
        for read in self.streams.by_torrent.remove(&id).unwrap_or_default() {
            if let Some(read_state) = self.streams.reads.remove(&read) {
                self.deliver_end(read, &read_state, Some(reason.to_owned()));
            }
        }
    }

    /// Does what readers have asked for.
    pub(super) fn take_read_orders(&mut self, now: Instant) {
        while let Ok(order) = self.streams.inbox.try_recv() {
            match order {
                Order::Freed(read) => self.advance(now, read),
                Order::Stop(read) => {
                    self.end_read(now, read);
                }
                Order::Seek { read, turn: new, offset } => {
                    self.calm(now, read);
                    if let Some(Read { sink: Sink::Reader { turn, .. }, .. }) =
                        self.streams.reads.get_mut(&read)
                    {
                        *turn = new;
                    }
                    self.begin(read, offset, None);
                }
            }
        }
    }

    /// The place of a torrent that can be read.
    fn readable(&self, id: TorrentId) -> Result<usize, ReadError> {
        let &t = self.by_id.get(&id).ok_or(ReadError::NoSuchTorrent(id))?;
        match self.torrents[t].phase {
            Phase::Stopping { .. } | Phase::Failed => Err(ReadError::Stopped(id)),
            _ => Ok(t),
        }
    }

    fn new_read(&mut self, id: TorrentId, range: FileRange, sink: Sink) -> Result<ReadId, ReadError> {
        let t = self.readable(id)?;
        let files = self.torrents[t].metainfo.files();
        let file =
            files.get(range.file).ok_or(ReadError::NoSuchFile { file: range.file, count: files.len() })?;
        if file.pad {
            return Err(ReadError::Padding(range.file));
        }
        if range.offset > file.len {
            let path = file.path.clone();
            return Err(ReadError::BeyondEnd { path, len: file.len, offset: range.offset });
        }
        if self.streams.reads.len() >= MAX_READS {
            return Err(ReadError::TooMany);
        }
        let (base, end) = (file.offset, file.offset + file.len);
        self.streams.last += 1;
        let read = ReadId(self.streams.last);
        let account = Account::new(read, self.streams.orders.clone(), self.waker());
        let piece_len = u64::from(self.torrents[t].geometry().piece_len());
        let ahead = range.ahead;
        let new = Read {
            torrent: id,
            base,
            pos: base,
            end,
            ahead,
            piece_len,
            hurried: 0,
            reading: false,
            asked: 0,
            place: 0,
            active: false,
            account,
            sink,
        };
        self.streams.reads.insert(read, new);
        self.streams.by_torrent.entry(id).or_default().push(read);
        Ok(read)
    }

    /// Forgets a read.
    fn end_read(&mut self, now: Instant, id: ReadId) -> bool {
        self.calm(now, id);
        self.streams.remove(id).is_some()
    }

    fn deliver_end(&mut self, id: ReadId, read: &Read, error: Option<String>) {
        match &read.sink {
            Sink::Events => self.emit(Event::ReadEnded { id: read.torrent, read: id, error }),
            Sink::Reader { turn, data } => {
                let _ = data.send(Delivery::End { turn: *turn, error });
            }
        }
    }
}

impl Streams {
    fn remove(&mut self, id: ReadId) -> Option<Read> {
        let read = self.reads.remove(&id)?;
        if let Some(reads) = self.by_torrent.get_mut(&read.torrent) {
            reads.retain(|other| *other != id);
            if reads.is_empty() {
                self.by_torrent.remove(&read.torrent);
            }
        }
        Some(read)
    }
}

/// How far ahead of a read pieces are fetched before all others, unless it says otherwise, bytes: some seconds of a
/// film.
pub const DEFAULT_AHEAD: u64 = 8 * 1024 * 1024;

/// Reads going on at a time.
const MAX_READS: usize = 256;
