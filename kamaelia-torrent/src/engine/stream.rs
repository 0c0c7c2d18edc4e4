//! Reading files while they come.
//!
//! A read goes through a range of a file in order. The pieces just ahead of it get deadlines, so that they come next;
//! what is verified is read from the disk in chunks and handed out. A chunk counts as kept until it is dropped, and
//! with 1 MiB of them kept a read rests: a slow reader costs no more memory than that.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::ops::Deref;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, unbounded};
use mio::Waker;

use super::event::{Event, TorrentId};
use super::reader::FileReader;
use super::slot::Phase;
use super::{Engine, wake};
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

/// Bytes of a file that is being read. Its memory counts against the read until it is dropped.
pub struct FileChunk {
    offset: u64,
    bytes: Vec<u8>,
    credit: Credit,
}

impl FileChunk {
    /// Where it lies in the file, bytes from the start.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// The bytes alone; from now on they do not count against the read.
    pub fn into_vec(self) -> Vec<u8> {
        drop(self.credit);
        self.bytes
    }
}

impl Deref for FileChunk {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl PartialEq for FileChunk {
    fn eq(&self, other: &FileChunk) -> bool {
        (self.offset, &self.bytes) == (other.offset, &other.bytes)
    }
}

impl Eq for FileChunk {}

impl fmt::Debug for FileChunk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FileChunk({} bytes at {})", self.bytes.len(), self.offset)
    }
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
    /// It has a range to read.
    active: bool,
    account: Arc<Account>,
    sink: Sink,
}

enum Sink {
    Events,
    Reader { turn: u64, data: Sender<Delivery> },
}

/// What of a read is kept in memory.
struct Account {
    read: ReadId,
    kept: AtomicUsize,
    /// The read waits for room.
    rests: AtomicBool,
    orders: Sender<Order>,
    waker: Arc<Waker>,
}

impl Account {
    /// Takes room for this much, or has it said when there is some.
    fn take(&self, len: usize) -> bool {
        loop {
            let kept = self.kept.load(Ordering::SeqCst);
            if kept == 0 || kept + len <= MAX_KEPT {
                self.kept.fetch_add(len, Ordering::SeqCst);
                return true;
            }
            // A second look: room may have come before the flag was up.
            if self.rests.swap(true, Ordering::SeqCst) {
                return false;
            }
        }
    }
}

/// Gives room back when it is dropped.
struct Credit {
    len: usize,
    account: Arc<Account>,
}

impl Drop for Credit {
    fn drop(&mut self) {
        self.account.kept.fetch_sub(self.len, Ordering::SeqCst);
        if self.account.rests.swap(false, Ordering::SeqCst)
            && self.account.orders.send(Order::Freed(self.account.read)).is_ok()
        {
            wake(&self.account.waker);
        }
    }
}

impl Engine {
    /// Reads a file of a torrent while it comes: [`Event::FileData`] brings its bytes in order as soon as they are
    /// verified, [`Event::ReadEnded`] follows the last. The pieces ahead of it are fetched before all others, even if
    /// nobody wanted them.
    ///
    /// Chunks are at most 256 KiB long. While 1 MiB of a read is kept, that is, neither dropped nor turned into a
    /// `Vec`, no more of it is read. The read waits as long as nobody has what it needs.
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

    /// Says when a piece is needed: it is fetched before those without a deadline, even if nobody wanted it. A second
    /// call moves the deadline.
    ///
    /// At most 1,024 pieces of a torrent have deadlines at a time; the latest are dropped.
    ///
    /// # Errors
    ///
    /// [`ReadError`], if there is no such torrent or piece, or the torrent has stopped.
    pub fn set_piece_deadline(
        &mut self,
        id: TorrentId,
        piece: PieceIndex,
        at: Instant,
    ) -> Result<(), ReadError> {
        let t = self.readable(id)?;
        let count = self.torrents[t].geometry().piece_count();
        if piece.0 >= count {
            return Err(ReadError::NoSuchPiece { piece: piece.0, count });
        }
        if self.torrents[t].have().is_some_and(|have| have.get(piece)) {
            return Ok(());
        }
        let by_hand = self.streams.by_hand.entry(id).or_default();
        by_hand.insert(piece, at);
        if by_hand.len() > MAX_BY_HAND
            && let Some((&latest, _)) = by_hand.iter().max_by_key(|(_, at)| **at)
        {
            by_hand.remove(&latest);
        }
        if let Some(swarm) = &mut self.torrents[t].swarm {
            swarm.set_deadline(Instant::now(), piece, at);
        }
        self.touch(t);
        Ok(())
    }

    /// Takes back all deadlines set with [`set_piece_deadline`](Engine::set_piece_deadline); those of reads stay.
    ///
    /// # Errors
    ///
    /// [`ReadError::NoSuchTorrent`].
    pub fn clear_piece_deadlines(&mut self, id: TorrentId) -> Result<(), ReadError> {
        let &t = self.by_id.get(&id).ok_or(ReadError::NoSuchTorrent(id))?;
        let now = Instant::now();
        for piece in self.streams.by_hand.remove(&id).unwrap_or_default().into_keys() {
            let read = self.streams.covers(id, piece, None);
            if let (false, Some(swarm)) = (read, &mut self.torrents[t].swarm) {
                swarm.clear_deadline(now, piece);
            }
        }
        self.touch(t);
        Ok(())
    }

    /// Something more of a torrent is verified: reads that wait for it go on.
    pub(super) fn read_on(&mut self, now: Instant, id: TorrentId) {
        if self.streams.by_torrent.is_empty() {
            return;
        }
        for read in self.streams.by_torrent.get(&id).cloned().unwrap_or_default() {
            self.advance(now, read);
        }
    }

    /// A torrent has a swarm again, which does not know of deadlines yet.
    pub(super) fn hurry_again(&mut self, now: Instant, id: TorrentId) {
        let Some(&t) = self.by_id.get(&id) else { return };
        if let (Some(by_hand), Some(swarm)) = (self.streams.by_hand.get(&id), &mut self.torrents[t].swarm) {
            for (piece, at) in by_hand {
                swarm.set_deadline(now, *piece, *at);
            }
        }
        for read in self.streams.by_torrent.get(&id).into_iter().flatten() {
            if let Some(read) = self.streams.reads.get_mut(read) {
                read.hurried = 0;
            }
        }
        self.read_on(now, id);
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

    /// The disk has read what was asked for.
    pub(super) fn range_read(
        &mut self,
        now: Instant,
        token: u64,
        offset: u64,
        result: Result<Vec<u8>, String>,
    ) {
        let id = ReadId(token);
        let Some(read) = self.streams.reads.get_mut(&id) else { return };
        read.reading = false;
        let asked = result.as_ref().map_or(0, Vec::len);
        let credit = Credit { len: std::mem::take(&mut read.asked), account: Arc::clone(&read.account) };
        debug_assert!(asked == 0 || asked == credit.len);
        // It may have jumped elsewhere meanwhile.
        if read.active && read.pos == offset {
            match result {
                Ok(bytes) => {
                    read.pos += bytes.len() as u64;
                    let chunk = FileChunk { offset: offset - read.base, bytes, credit };
                    match &read.sink {
                        Sink::Events => {
                            let torrent = read.torrent;
                            self.emit(Event::FileData { id: torrent, read: id, data: Arc::new(chunk) });
                        }
                        Sink::Reader { turn, data } => {
                            // Refused only when it is gone, which it says itself.
                            let _ = data.send(Delivery::Data { turn: *turn, chunk });
                        }
                    }
                }
                Err(error) => return self.finish(now, id, Some(error)),
            }
        }
        self.advance(now, id);
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
        let account = Arc::new(Account {
            read,
            kept: AtomicUsize::new(0),
            rests: AtomicBool::new(false),
            orders: self.streams.orders.clone(),
            waker: self.waker(),
        });
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
            active: false,
            account,
            sink,
        };
        self.streams.reads.insert(read, new);
        self.streams.by_torrent.entry(id).or_default().push(read);
        Ok(read)
    }

    /// Starts a read at an offset of its file.
    fn begin(&mut self, id: ReadId, offset: u64, len: Option<u64>) {
        let Some(read) = self.streams.reads.get_mut(&id) else { return };
        read.pos = read.base.saturating_add(offset).min(read.end);
        if let Some(len) = len {
            read.end = read.pos.saturating_add(len).min(read.end);
        }
        (read.active, read.hurried) = (true, 0);
        self.advance(Instant::now(), id);
    }

    /// Takes the next step of a read, if it can be taken.
    fn advance(&mut self, now: Instant, id: ReadId) {
        let Some(read) = self.streams.reads.get_mut(&id).filter(|read| read.active && !read.reading) else {
            return;
        };
        if read.pos >= read.end {
            return self.finish(now, id, None);
        }
        let Some(&t) = self.by_id.get(&read.torrent) else { return };
        self.hurry(now, id, t);
        let slot = &mut self.torrents[t];
        let (Some(read), Some(have)) = (self.streams.reads.get_mut(&id), slot.have()) else { return };
        let piece_len = read.piece_len;
        // As much as is verified and fits into a chunk.
        let most = read.end.min(read.pos + CHUNK_LEN);
        let first = piece_at(read.pos, piece_len);
        let mut piece = first;
        while u64::from(piece) * piece_len < most && have.get(PieceIndex(piece)) {
            piece += 1;
        }
        let until = most.min(u64::from(piece) * piece_len);
        let Some(len) = until.checked_sub(read.pos).filter(|len| *len > 0) else {
            // It waits for this piece: whatever became of its deadline, it is needed now.
            if let Some(swarm) = &mut slot.swarm
                && swarm.deadline_of(PieceIndex(first)).is_none()
            {
                swarm.set_deadline(now, PieceIndex(first), now);
                self.touch(t);
            }
            return;
        };
        if slot.ops.is_some() {
            // The files are on their way; it goes on when they are there.
            return;
        }
        // At most CHUNK_LEN.
        let len = len as usize;
        if read.account.take(len) {
            (read.reading, read.asked) = (true, len);
            slot.jobs += 1;
            self.disk.read_range(&slot.storage, id.0, read.pos, len);
        }
    }

    /// Sets the deadlines of the pieces that a read will need next.
    fn hurry(&mut self, now: Instant, id: ReadId, t: usize) {
        let slot = &mut self.torrents[t];
        let (Some(read), Some(swarm)) = (self.streams.reads.get_mut(&id), &mut slot.swarm) else { return };
        let piece_len = read.piece_len;
        let ahead = read.ahead.clamp(piece_len, MAX_AHEAD.max(piece_len));
        let first = piece_at(read.pos, piece_len);
        let next = piece_at(read.end.min(read.pos.saturating_add(ahead)) - 1, piece_len) + 1;
        let next = next.min(first.saturating_add(MAX_HURRIED));
        if next <= read.hurried {
            return;
        }
        for piece in first.max(read.hurried)..next {
            let far = (u64::from(piece) * piece_len).saturating_sub(read.pos);
            let at = now + LEAD.mul_f64(far as f64 / ahead as f64);
            let piece = PieceIndex(piece);
            if swarm.deadline_of(piece).is_none_or(|before| at < before) {
                swarm.set_deadline(now, piece, at);
            }
        }
        read.hurried = next;
        self.touch(t);
    }

    /// Takes back the deadlines of a read, but for those that others want, too.
    fn calm(&mut self, now: Instant, id: ReadId) {
        let Some(read) = self.streams.reads.get_mut(&id) else { return };
        let torrent = read.torrent;
        let hurried = std::mem::take(&mut read.hurried);
        let Some(&t) = self.by_id.get(&torrent) else { return };
        let slot = &mut self.torrents[t];
        let Some(swarm) = &mut slot.swarm else { return };
        for piece in (piece_at(read.pos, read.piece_len)..hurried).map(PieceIndex) {
            if self.streams.covers(torrent, piece, Some(id)) {
                continue;
            }
            match self.streams.by_hand.get(&torrent).and_then(|by_hand| by_hand.get(&piece)) {
                Some(at) => {
                    swarm.set_deadline(now, piece, *at);
                }
                None => swarm.clear_deadline(now, piece),
            }
        }
        self.touch(t);
    }
}

impl Engine {
    /// A read has come to its end, or cannot go on.
    fn finish(&mut self, now: Instant, id: ReadId, error: Option<String>) {
        self.calm(now, id);
        let Some(read) = self.streams.reads.get_mut(&id) else { return };
        read.active = false;
        match &read.sink {
            // It may go back and read on.
            Sink::Reader { turn, data } => {
                let _ = data.send(Delivery::End { turn: *turn, error });
            }
            Sink::Events => {
                let torrent = read.torrent;
                self.streams.remove(id);
                self.emit(Event::ReadEnded { id: torrent, read: id, error });
            }
        }
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
    /// Whether somebody else's deadlines reach over a piece.
    fn covers(&self, torrent: TorrentId, piece: PieceIndex, but: Option<ReadId>) -> bool {
        let reads = self.by_torrent.get(&torrent).into_iter().flatten();
        reads
            .filter(|id| Some(**id) != but)
            .filter_map(|id| self.reads.get(id))
            .any(|read| read.active && (piece_at(read.pos, read.piece_len)..read.hurried).contains(&piece.0))
    }

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

/// The piece at an offset of the torrent's stream; there are fewer than 2^32.
fn piece_at(offset: u64, piece_len: u64) -> u32 {
    u32::try_from(offset / piece_len).unwrap_or(u32::MAX)
}

/// How far ahead of a read pieces are fetched before all others, unless it says otherwise, bytes: some seconds of a
/// film.
pub const DEFAULT_AHEAD: u64 = 8 * 1024 * 1024;

/// Longest look ahead, bytes and pieces.
const MAX_AHEAD: u64 = 1024 * 1024 * 1024;
const MAX_HURRIED: u32 = 1024;

/// The last piece ahead is expected after this time; those before it sooner.
const LEAD: Duration = Duration::from_secs(10);

/// Bytes handed out at a time, and kept at most of one read.
const CHUNK_LEN: u64 = 256 * 1024;
const MAX_KEPT: usize = 1024 * 1024;

/// Reads going on at a time.
const MAX_READS: usize = 256;

/// Deadlines set by hand that are kept for one torrent.
const MAX_BY_HAND: usize = 1024;
