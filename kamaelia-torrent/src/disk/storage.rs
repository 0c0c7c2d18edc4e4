//! The files of one torrent: reading, writing, syncing.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, IoSliceMut};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};
use std::time::UNIX_EPOCH;

use super::beneath::{self, Access, Dir};
use super::cache::FileCache;
use super::hook::HookedAccess;
use super::layout::{Segment, segments};
use super::parts::Parts;
use super::{Allocation, DiskError, StorageKey};
use crate::proto::geometry::{Geometry, PieceIndex};
use crate::proto::metainfo::Metainfo;
use crate::proto::resume::FileStamp;
use crate::proto::selection::Priority;

/// The files of one torrent, beneath one folder. Made by [`Disk::open`](super::Disk::open); cheap until it is used.
#[derive(Debug)]
pub struct Storage {
    pub(super) key: StorageKey,
    metainfo: Metainfo,
    root: PathBuf,
    allocation: Allocation,
    pub(super) cache: Arc<FileCache>,
    dir: OnceLock<Dir>,
    /// The same in all places of a torrent.
    pub(super) parts: Arc<Parts>,
    /// Files written since they were last synced; the same set in all places of a torrent.
    dirty: Arc<Mutex<BTreeSet<usize>>>,
    /// Where it was to be kept, if that is another folder now.
    home: Option<PathBuf>,
    /// Files with another name than the torrent gives them.
    names: Option<Arc<BTreeMap<usize, PathBuf>>>,
    /// Counts the places of a torrent: open files of one are not those of another.
    pub(super) place: u32,
    pub(super) recent: Recent,
}

impl Storage {
    pub(crate) fn new(
        key: StorageKey,
        metainfo: Metainfo,
        root: PathBuf,
        allocation: Allocation,
        priorities: &[Priority],
        cache: Arc<FileCache>,
    ) -> Storage {
        let parts = Arc::new(Parts::new(priorities));
        let (dir, dirty, home, names) = (OnceLock::new(), Arc::default(), None, None);
        let recent = Recent::default();
        Storage { key, metainfo, root, allocation, cache, dir, parts, dirty, home, names, recent, place: 0 }
    }

    /// The same torrent with its files in another folder, or under other names, or opened afresh. Nothing is moved.
    pub(crate) fn at(&self, root: PathBuf, names: BTreeMap<usize, PathBuf>) -> Storage {
        Storage {
            key: self.key,
            metainfo: self.metainfo.clone(),
            home: Some(self.home()).filter(|home| **home != *root).map(Path::to_path_buf),
            root,
            allocation: self.allocation,
            cache: Arc::clone(&self.cache),
            dir: OnceLock::new(),
            parts: Arc::clone(&self.parts),
            dirty: Arc::clone(&self.dirty),
            names: (!names.is_empty()).then(|| Arc::new(names)),
            recent: Recent::default(),
            place: self.place + 1,
        }
    }

    /// Which of the places that the torrent has had this is.
    pub fn place(&self) -> u32 {
        self.place
    }

    /// The folder in which it was to be kept when it was added.
    pub(crate) fn home(&self) -> &Path {
        self.home.as_deref().unwrap_or(&self.root)
    }

    /// Files with another name than the torrent gives them.
    pub(crate) fn names(&self) -> BTreeMap<usize, PathBuf> {
        self.names.as_deref().cloned().unwrap_or_default()
    }

    /// Where a file lies below [`root`](Storage::root). Unknown numbers have an empty path.
    pub fn file_path(&self, file: usize) -> &Path {
        let other = self.names.as_ref().and_then(|names| names.get(&file));
        other
            .map(PathBuf::as_path)
            .or_else(|| Some(&*self.metainfo.files().get(file)?.path))
            .unwrap_or(Path::new(""))
    }

    /// The torrent's file or folder.
    pub fn save_path(&self) -> PathBuf {
        let single = self.metainfo.is_single_file();
        self.root.join(if single { self.file_path(0) } else { Path::new(self.metainfo.name()) })
    }

    /// The number of the file that an error names.
    pub(crate) fn file_named(&self, path: &Path) -> Option<usize> {
        let below = path.strip_prefix(&self.root).ok()?;
        let files = self.metainfo.files();
        (0..files.len()).find(|file| !files[*file].pad && self.file_path(*file) == below)
    }

    /// The pieces that a file has a part in.
    pub(crate) fn pieces_of(&self, file: usize) -> impl Iterator<Item = PieceIndex> + use<> {
        let len = u64::from(self.geometry().piece_len());
        let range = match self.metainfo.files().get(file) {
            Some(entry) if entry.len > 0 => entry.offset / len..(entry.offset + entry.len - 1) / len + 1,
            _ => 0..0,
        };
        // A torrent has at most 2^21 pieces.
        range.map(|piece| PieceIndex(piece as u32))
    }

    /// The number under which answers name this torrent.
    pub fn key(&self) -> StorageKey {
        self.key
    }

    /// The folder that holds the torrent's file or folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn metainfo(&self) -> &Metainfo {
        &self.metainfo
    }

    pub(crate) fn geometry(&self) -> Geometry {
        self.metainfo.geometry()
    }

    pub(crate) fn piece_segments(&self, piece: PieceIndex) -> impl Iterator<Item = Segment> + '_ {
        let geometry = self.geometry();
        segments(self.metainfo.files(), geometry.piece_offset(piece), geometry.piece_size(piece).into())
    }

    /// Reads part of the torrent's stream.
    pub(crate) fn read(&self, offset: u64, data: &mut [u8]) -> Result<(), DiskError> {
        self.read_scattered(offset, vec![data])
    }

    /// Reads a part of the torrent's stream into several slices, with one system call for each file that it lies in.
    pub(crate) fn read_scattered(&self, offset: u64, slices: Vec<&mut [u8]>) -> Result<(), DiskError> {
        let (step, has_parts) = self.step();
        self.scatter(offset, slices, step, |segment, part| {
            if has_parts && self.read_part(segment, part)? {
                return Ok(());
            }
            self.before(HookedAccess::Read, segment)?;
            let file = self.file(segment.file, Access::Read)?;
            self.recent.note(segment.file);
            beneath::read_exact_vectored_at(&file, part, segment.offset).map_err(|e| {
                if e.kind() == io::ErrorKind::UnexpectedEof {
                    DiskError::Short { path: self.path(segment.file), end: segment.offset + segment.len }
                } else {
                    DiskError::from_io("read", &self.path(segment.file), e)
                }
            })
        })
    }

    /// The same from open files and what the system has in memory of them, without ever waiting. Files that were closed
    /// elsewhere meanwhile are given to `close`, because that may take long.
    pub(crate) fn read_cached(
        &self,
        offset: u64,
        slices: Vec<&mut [u8]>,
        close: impl Fn(File),
    ) -> Result<(), NotCached> {
        if !self.is_without_parts() {
            return Err(NotCached);
        }
        self.scatter(offset, slices, u64::MAX, |segment, part| {
            let file = self.cache.peek((self.key, self.place, segment.file)).ok_or(NotCached)?;
            let want: usize = part.iter().map(|slice| slice.len()).sum();
            self.recent.note(segment.file);
            let n = beneath::read_cached_at(&file, part, segment.offset);
            if let Some(file) = Arc::into_inner(file) {
                close(file);
            }
            if n == want { Ok(()) } else { Err(NotCached) }
        })
    }

    /// Tells the system that a range will soon be read, in this order. Nothing waits for it, and nothing comes of it where
    /// there is nothing to read.
    pub(crate) fn ask_ahead(&self, offset: u64, len: u64) {
        let has_parts = self.has_parts();
        for segment in segments(self.metainfo.files(), offset, len) {
            // Whoever reads it properly learns of errors.
            let elsewhere = segment.pad || (has_parts && self.is_in_parts(&segment));
            if !elsewhere && let Ok(file) = self.file(segment.file, Access::Read) {
                beneath::advise(&file, segment.offset, segment.len);
            }
        }
    }

    /// Cuts the slices where files begin, and at multiples of `step`, and has `read` fill those of each file.
    fn scatter<E: From<DiskError>>(
        &self,
        offset: u64,
        slices: Vec<&mut [u8]>,
        step: u64,
        mut read: impl FnMut(&Segment, &mut [IoSliceMut<'_>]) -> Result<(), E>,
    ) -> Result<(), E> {
        let len = slices.iter().map(|s| s.len() as u64).sum::<u64>();
        self.check_range(offset, len)?;
        let mut slices = slices.into_iter();
        let mut current: &mut [u8] = &mut [];
        for segment in self.cut(offset, len, step) {
            let mut part: Vec<IoSliceMut<'_>> = Vec::with_capacity(slices.len() + 1);
            let mut want = segment.len;
            while want > 0 {
                if current.is_empty() {
                    match slices.next() {
                        Some(next) => current = next,
                        None => break,
                    }
                    continue;
                }
                let n = usize::try_from(want).map_or(current.len(), |want| want.min(current.len()));
                let (head, tail) = std::mem::take(&mut current).split_at_mut(n);
                current = tail;
                want -= n as u64;
                if segment.pad {
                    head.fill(0);
                } else {
                    part.push(IoSliceMut::new(head));
                }
            }
            if !part.is_empty() {
                read(&segment, &mut part)?;
            }
        }
        Ok(())
    }

    /// Writes part of the torrent's stream; files and folders are made as they are needed.
    pub(crate) fn write(&self, offset: u64, data: &[u8]) -> Result<(), DiskError> {
        self.write_gathered(offset, &[data])
    }

    /// The same for slices that lie one behind the other, with one system call for each file that they fall into.
    pub(crate) fn write_gathered(&self, offset: u64, slices: &[&[u8]]) -> Result<(), DiskError> {
        let len = slices.iter().map(|slice| slice.len() as u64).sum();
        self.check_range(offset, len)?;
        let (step, has_parts) = self.step();
        let mut slices = slices.iter().copied().filter(|slice| !slice.is_empty());
        let mut current: &[u8] = &[];
        for segment in self.cut(offset, len, step) {
            let mut part = Vec::with_capacity(slices.size_hint().1.unwrap_or(0) + 1);
            // A segment is never longer than the data it was cut from.
            let mut left = segment.len as usize;
            while left > 0 {
                if current.is_empty() {
                    let Some(next) = slices.next() else { break };
                    current = next;
                }
                let (head, tail) = current.split_at(left.min(current.len()));
                (current, left) = (tail, left - head.len());
                part.push(head);
            }
            if segment.pad || has_parts && self.write_part(&segment, &part)? {
                continue;
            }
            self.before(HookedAccess::Write, &segment)?;
            self.write_file(segment.file, segment.offset, &part)?;
        }
        Ok(())
    }

    /// Writes slices, one behind the other, to the file itself.
    pub(super) fn write_file(&self, i: usize, offset: u64, slices: &[&[u8]]) -> Result<(), DiskError> {
        let file = self.file(i, Access::Write)?;
        let result = beneath::write_all_vectored_at(&file, slices, offset);
        // After the write, or a sync that goes on meanwhile would take the note away without the data.
        self.dirty().insert(i);
        result.map_err(|e| self.io_error("write", i, e))
    }

    /// Reads what there is, as much as one call gives, from the file itself; 0 bytes at its end.
    pub(super) fn read_file(&self, i: usize, offset: u64, data: &mut [u8]) -> Result<usize, DiskError> {
        let file = self.file(i, Access::Read)?;
        loop {
            match beneath::read_vectored_at(&file, &mut [IoSliceMut::new(data)], offset) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                other => return other.map_err(|e| self.io_error("read", i, e)),
            }
        }
    }

    /// Into what lengths the stream is cut, and whether the part file has to be asked: it is by piece.
    fn step(&self) -> (u64, bool) {
        if self.has_parts() { (self.geometry().piece_len().into(), true) } else { (u64::MAX, false) }
    }

    /// The segments of a range, none of which goes over a multiple of `step`.
    fn cut(&self, offset: u64, len: u64, step: u64) -> impl Iterator<Item = Segment> + '_ {
        let end = offset + len;
        let mut at = offset;
        let ranges = std::iter::from_fn(move || {
            let start = at;
            at = end.min((start / step + 1).saturating_mul(step));
            (start < end).then_some((start, at - start))
        });
        ranges.flat_map(|(start, len)| segments(self.metainfo.files(), start, len))
    }

    /// Whether any file that holds data is there.
    pub(crate) fn has_any_file(&self) -> bool {
        let Ok(dir) = self.dir(Access::Read) else { return false };
        let files = self.metainfo.files().iter().enumerate().filter(|(_, f)| !f.pad && f.len > 0);
        files.map(|(i, _)| self.file_path(i)).any(|path| matches!(dir.look(path), Ok(Some(_))))
    }

    /// Makes the wanted files that hold no data, which no write would ever make.
    pub(crate) fn make_empty_files(&self) -> Result<(), DiskError> {
        for (i, file) in self.metainfo.files().iter().enumerate() {
            if file.len == 0 && !file.pad && !self.is_unwanted(i) {
                // Not through the cache: nobody will use the handle again.
                self.open_file(i, Access::Write)
                    .map_err(|e| DiskError::from_io("create", &self.path(i), e))?;
            }
        }
        Ok(())
    }

    /// Reserves room for all wanted files if the torrent wants that. When there is clearly not enough, nothing is
    /// reserved, so that the failure does not fill the disk.
    pub(crate) fn reserve(&self) -> Result<(), DiskError> {
        if self.allocation != Allocation::Full {
            return Ok(());
        }
        let files = self.metainfo.files().iter().enumerate();
        let files: Vec<_> = files.filter(|(i, f)| f.len > 0 && !f.pad && !self.is_unwanted(*i)).collect();
        let mut needed = 0u64;
        for (i, entry) in &files {
            let held = match self.open_file(*i, Access::Read).and_then(|file| file.metadata()) {
                Ok(meta) => beneath::allocated(&meta),
                Err(e) if e.kind() == io::ErrorKind::NotFound => 0,
                Err(e) => return Err(self.io_error("open", *i, e)),
            };
            needed = needed.saturating_add(entry.len.saturating_sub(held));
        }
        let dir = self.dir(Access::Write).map_err(|e| DiskError::from_io("open", &self.root, e))?;
        if let Some(free) = dir.free_bytes().filter(|free| *free < needed) {
            return Err(DiskError::NoRoom { path: self.root.clone(), needed, free });
        }
        for (i, entry) in files {
            let reserve = |file: File| beneath::allocate(&file, entry.len);
            self.open_file(i, Access::Write).and_then(reserve).map_err(|e| self.io_error("reserve", i, e))?;
        }
        Ok(())
    }

    /// Closes the files that are open; they are opened again when they are needed.
    pub(crate) fn close_files(&self) {
        self.cache.close(self.key);
    }

    /// Brings all written data to the medium.
    pub(crate) fn sync(&self) -> Result<BTreeSet<usize>, DiskError> {
        let mut dirty = std::mem::take(&mut *self.dirty());
        let mut synced = BTreeSet::new();
        while let Some(i) = dirty.pop_first() {
            let result = self.open_file(i, Access::Read).and_then(|file| file.sync_data());
            if let Err(e) = result {
                dirty.insert(i);
                self.dirty().append(&mut dirty);
                return Err(DiskError::from_io("sync", &self.path(i), e));
            }
            synced.insert(i);
        }
        // After the files: a slot of the part file is freed when what was in it is safe in its file.
        if let Err(e) = self.sync_parts() {
            self.dirty().append(&mut synced);
            return Err(e);
        }
        Ok(synced)
    }

    /// Size and time of change of a file as it is now; `None` if it is missing.
    pub(crate) fn stamp(&self, file: usize) -> Result<Option<FileStamp>, DiskError> {
        let meta = match self.open_file(file, Access::Read).and_then(|f| f.metadata()) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other.map_err(|e| DiskError::from_io("open", &self.path(file), e))?,
        };
        Ok(Some(stamp_of(&meta)))
    }

    /// True if a range of a file holds no stored data (it reads as zeros).
    pub(crate) fn is_hole(&self, segment: &Segment) -> Result<bool, DiskError> {
        if segment.pad {
            return Ok(true);
        }
        if self.has_parts() && self.is_in_parts(segment) {
            return Ok(false);
        }
        let file = self.file(segment.file, Access::Read)?;
        let end = segment.offset + segment.len;
        let short = || DiskError::Short { path: self.path(segment.file), end };
        match beneath::next_data(&file, segment.offset) {
            // Also beyond the end of the file; the range must exist to be a hole.
            Ok(None) => file
                .metadata()
                .map_err(|e| self.io_error("read", segment.file, e))
                .and_then(|meta| if meta.len() < end { Err(short()) } else { Ok(true) }),
            Ok(Some(at)) => Ok(at >= end),
            Err(e) => Err(self.io_error("read", segment.file, e)),
        }
    }

    fn before(&self, access: HookedAccess, segment: &Segment) -> Result<(), DiskError> {
        let op = if access == HookedAccess::Read { "read" } else { "write" };
        self.cache.before(access, segment.len).map_err(|e| self.io_error(op, segment.file, e))
    }

    /// The handle of a file, from the cache or opened now.
    fn file(&self, i: usize, access: Access) -> Result<Arc<File>, DiskError> {
        self.cache
            .get((self.key, self.place, i), access, || self.open_file(i, access))
            .map_err(|e| self.io_error("open", i, e))
    }

    fn open_file(&self, i: usize, access: Access) -> io::Result<File> {
        let entry = &self.metainfo.files()[i];
        let file = self.dir(access)?.open_file(self.file_path(i), access)?;
        if access == Access::Write && file.metadata()?.len() != entry.len {
            if self.allocation == Allocation::Full && entry.len > 0 {
                beneath::allocate(&file, entry.len)?;
            }
            // Sparse by default; a longer file of the same name is cut, because it is being overwritten.
            file.set_len(entry.len)?;
        }
        Ok(file)
    }

    pub(super) fn dir(&self, access: Access) -> io::Result<&Dir> {
        if let Some(dir) = self.dir.get() {
            return Ok(dir);
        }
        let dir = Dir::open(&self.root, access == Access::Write)?;
        // Another worker may have been faster; its handle is as good.
        Ok(self.dir.get_or_init(|| dir))
    }

    fn check_range(&self, offset: u64, len: u64) -> Result<(), DiskError> {
        match offset.checked_add(len) {
            Some(end) if end <= self.geometry().total_len() => Ok(()),
            _ => Err(DiskError::Range { offset, len }),
        }
    }

    fn io_error(&self, op: &'static str, file: usize, e: io::Error) -> DiskError {
        DiskError::from_io(op, &self.path(file), e)
    }

    pub(crate) fn path(&self, file: usize) -> PathBuf {
        self.root.join(self.file_path(file))
    }

    pub(crate) fn dirty(&self) -> MutexGuard<'_, BTreeSet<usize>> {
        self.dirty.lock().unwrap_or_else(|e| e.into_inner())
    }
}

/// Some of the files that were read lately. It costs no lock; of many files some get lost, which are found by a look at
/// all.
#[derive(Debug, Default)]
pub(crate) struct Recent([AtomicU32; 4]);

impl Recent {
    fn note(&self, file: usize) {
        // Numbers from 1 on; 0 is none. A torrent of so many files that they do not fit would be refused.
        let (place, number) = (&self.0[file % self.0.len()], file as u32 + 1);
        if place.load(Ordering::Relaxed) != number {
            place.store(number, Ordering::Relaxed);
        }
    }

    /// Takes them out.
    pub(crate) fn take(&self) -> impl Iterator<Item = usize> + '_ {
        let taken = self.0.iter().map(|place| place.swap(0, Ordering::Relaxed));
        taken.filter_map(|number| (number as usize).checked_sub(1))
    }
}

/// What was asked for cannot be had without waiting.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) struct NotCached;

impl From<DiskError> for NotCached {
    fn from(_: DiskError) -> NotCached {
        // Whoever reads it properly learns of the error.
        NotCached
    }
}

/// Size and time of change.
pub(super) fn stamp_of(meta: &std::fs::Metadata) -> FileStamp {
    let mtime = meta.modified().ok().and_then(|t| t.duration_since(UNIX_EPOCH).ok());
    let mtime = mtime.and_then(|t| u64::try_from(t.as_nanos()).ok()).unwrap_or(0);
    FileStamp { len: meta.len(), mtime }
}
