//! The part file of a torrent: see [`crate::proto::parts`] for what it looks like.
//!
//! A block of a wanted piece that falls into an unwanted file is written here, so that the unwanted file is neither made
//! nor changed. Whoever reads looks here first. When a file becomes wanted, the keeper moves its parts into the real
//! file: copy, sync, and only then the slot is freed. In between a part is always whole in the place where it is
//! looked for, because it changes places under the lock that everybody holds who reads or writes here.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, IoSliceMut};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::beneath::{self, Access};
use super::hasher::SCRATCH;
use super::hook::HookedAccess;
use super::layout::Segment;
use super::{DiskError, Storage};
use crate::proto::geometry::PieceIndex;
use crate::proto::parts::{Layout, SlotHeader};
use crate::proto::resume::FileStamp;
use crate::proto::selection::Priority;

/// What a [`Storage`] knows of unwanted files and of its part file.
#[derive(Debug, Default)]
pub(crate) struct Parts {
    /// Whether anything here has to be asked at all, so that a torrent without unwanted files takes no lock.
    mode: AtomicU8,
    inner: RwLock<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    /// By file; empty if all are wanted.
    unwanted: Box<[bool]>,
    /// Somebody said what is wanted; the resume record is not asked.
    chosen: bool,
    /// Known since the part file was first looked at or made.
    layout: Option<Box<Layout>>,
    slots: BTreeMap<PieceIndex, Slot>,
    /// Slots of the file, used or not.
    count: u32,
    free: Vec<u32>,
    /// Slots whose headers still say that they are used.
    emptied: Vec<u32>,
    /// Data was written since the last sync.
    written: AtomicBool,
}

#[derive(Debug)]
struct Slot {
    number: u32,
    files: Vec<u32>,
    /// The header in the file says something else.
    dirty: bool,
}

impl Parts {
    /// For a torrent of which these files are wanted; an empty list leaves that to the resume record.
    pub(crate) fn new(priorities: &[Priority]) -> Parts {
        let inner =
            Inner { unwanted: unwanted(priorities), chosen: !priorities.is_empty(), ..Inner::default() };
        Parts { mode: AtomicU8::new(UNKNOWN), inner: RwLock::new(inner) }
    }

    fn read(&self) -> RwLockReadGuard<'_, Inner> {
        self.inner.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Inner> {
        self.inner.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn set_mode(&self, inner: &Inner) {
        let on = inner.unwanted.contains(&true) || !inner.slots.is_empty() || !inner.emptied.is_empty();
        let mut held = inner.slots.values().flat_map(|slot| &slot.files);
        let mode = if held.any(|file| !inner.is_unwanted(*file as usize)) {
            UNSETTLED
        } else if on {
            ON
        } else {
            OFF
        };
        self.mode.store(mode, Ordering::Release);
    }
}

impl Inner {
    fn is_unwanted(&self, file: usize) -> bool {
        self.unwanted.get(file).copied().unwrap_or(false)
    }

    /// The slot that holds the part of this file of this piece.
    fn holds(&self, piece: PieceIndex, file: usize) -> Option<u32> {
        let slot = self.slots.get(&piece)?;
        slot.files.binary_search(&(file as u32)).is_ok().then_some(slot.number)
    }

    /// Notes that a part is there.
    fn add(&mut self, piece: PieceIndex, number: u32, file: usize) {
        let slot = self.slots.entry(piece).or_insert(Slot { number, files: Vec::new(), dirty: true });
        if let Err(at) = slot.files.binary_search(&(file as u32)) {
            slot.files.insert(at, file as u32);
            slot.dirty = true;
        }
    }

    /// Notes that a part is gone; a slot that holds nothing is free once its header says so.
    fn take_out(&mut self, piece: PieceIndex, file: usize) {
        let Some(slot) = self.slots.get_mut(&piece) else { return };
        slot.files.retain(|other| *other != file as u32);
        slot.dirty = true;
        if slot.files.is_empty() {
            self.emptied.push(slot.number);
            self.slots.remove(&piece);
        }
    }
}

impl Storage {
    /// Whether parts of files may be in the part file. Looks at the file the first time.
    pub(crate) fn has_parts(&self) -> bool {
        match self.parts.mode.load(Ordering::Acquire) {
            OFF => false,
            ON | UNSETTLED => true,
            _ => {
                let mut inner = self.parts.write();
                if self.parts.mode.load(Ordering::Acquire) == UNKNOWN {
                    self.load_parts(&mut inner);
                    self.parts.set_mode(&inner);
                }
                self.parts.mode.load(Ordering::Acquire) != OFF
            }
        }
    }

    /// The same without looking at any file: false if there are certainly none.
    pub(crate) fn may_have_parts(&self) -> bool {
        self.parts.mode.load(Ordering::Acquire) != OFF
    }

    /// Whether the part file may hold something of a wanted file. Looks at no file.
    pub(crate) fn may_be_unsettled(&self) -> bool {
        matches!(self.parts.mode.load(Ordering::Acquire), UNKNOWN | UNSETTLED)
    }

    /// Whether the wish of somebody goes before that of the resume record.
    pub(crate) fn is_chosen(&self) -> bool {
        self.parts.read().chosen
    }

    /// Whether it is known that nothing is in the part file. Waits for nothing.
    pub(crate) fn is_without_parts(&self) -> bool {
        self.parts.mode.load(Ordering::Acquire) == OFF
    }

    /// From now on these files are wanted. What the part file holds of them stays there until
    /// [`settle_parts`](Storage::settle_parts).
    pub(crate) fn set_priorities(&self, priorities: &[Priority]) {
        self.has_parts();
        let mut inner = self.parts.write();
        (inner.unwanted, inner.chosen) = (unwanted(priorities), true);
        self.parts.set_mode(&inner);
    }

    pub(crate) fn is_unwanted(&self, file: usize) -> bool {
        self.may_have_parts() && self.parts.read().is_unwanted(file)
    }

    /// Whether the part of this file of this piece is in the part file.
    pub(crate) fn part_holds(&self, piece: PieceIndex, file: usize) -> bool {
        self.has_parts() && self.parts.read().holds(piece, file).is_some()
    }

    /// Whether a segment that lies within a piece is in the part file.
    pub(crate) fn is_in_parts(&self, segment: &Segment) -> bool {
        self.parts.read().holds(self.within_piece(segment).0, segment.file).is_some()
    }

    /// Pieces of which anything is in the part file.
    pub(crate) fn part_pieces(&self) -> Vec<PieceIndex> {
        if self.has_parts() { self.parts.read().slots.keys().copied().collect() } else { Vec::new() }
    }

    /// Writes a segment that lies within a piece to the part file if it belongs there, else answers false.
    pub(crate) fn write_part(&self, segment: &Segment, slices: &[&[u8]]) -> Result<bool, DiskError> {
        let (piece, within) = self.within_piece(segment);
        {
            let inner = self.parts.read();
            match inner.holds(piece, segment.file) {
                Some(slot) => {
                    self.write_slot(&inner, slot, within, slices)?;
                    return Ok(true);
                }
                None if !inner.is_unwanted(segment.file) => return Ok(false),
                None => {}
            }
        }
        let mut inner = self.parts.write();
        if !inner.is_unwanted(segment.file) && inner.holds(piece, segment.file).is_none() {
            // Somebody changed his mind just now.
            return Ok(false);
        }
        let slot = match inner.slots.get(&piece) {
            Some(slot) => slot.number,
            None => self.new_slot(&mut inner)?,
        };
        let filled = self.fill_slot(&inner, slot, piece, segment);
        let result = filled.and_then(|()| self.write_slot(&inner, slot, within, slices));
        match result {
            Ok(()) => inner.add(piece, slot, segment.file),
            Err(_) if !inner.slots.contains_key(&piece) => inner.free.push(slot),
            Err(_) => {}
        }
        result.map(|()| true)
    }

    /// Reads a segment that lies within a piece from the part file if it is there, else answers false.
    pub(crate) fn read_part(
        &self,
        segment: &Segment,
        slices: &mut [IoSliceMut<'_>],
    ) -> Result<bool, DiskError> {
        let (piece, within) = self.within_piece(segment);
        let inner = self.parts.read();
        let (Some(slot), Some(layout)) = (inner.holds(piece, segment.file), &inner.layout) else {
            return Ok(false);
        };
        let at = layout.data_offset(slot) + within;
        match self.read_slot(slices, at, at + segment.len) {
            Err(e @ (DiskError::Missing { .. } | DiskError::Short { .. })) => {
                drop(inner);
                self.give_up_parts();
                Err(e)
            }
            other => other.map(|()| true),
        }
    }

    /// Somebody else removed the part file or cut it: what it held is gone, and it begins afresh.
    fn give_up_parts(&self) {
        self.cache.forget((self.key, self.place, PART_FILE));
        let mut inner = self.parts.write();
        let (unwanted, chosen) = (std::mem::take(&mut inner.unwanted), inner.chosen);
        *inner = Inner { unwanted, chosen, ..Inner::default() };
        self.parts.set_mode(&inner);
    }

    /// Whether this is the path of the part file.
    pub(crate) fn is_part_file(&self, path: &std::path::Path) -> bool {
        path == self.part_path()
    }

    /// Moves what the part file holds of wanted files to where it belongs. Answers the files that were changed.
    pub(crate) fn settle_parts(&self) -> Result<std::collections::BTreeSet<usize>, DiskError> {
        if !self.has_parts() {
            return Ok(Default::default());
        }
        let moves: Vec<(PieceIndex, usize)> = {
            let inner = self.parts.read();
            let all = inner
                .slots
                .iter()
                .flat_map(|(piece, slot)| slot.files.iter().map(|file| (*piece, *file as usize)));
            all.filter(|(_, file)| !inner.is_unwanted(*file)).collect()
        };
        let mut scratch = vec![0; if moves.is_empty() { 0 } else { SCRATCH }];
        for (piece, file) in moves {
            // Held for one piece at a time: whoever writes or reads next to it waits that long.
            let mut inner = self.parts.write();
            self.move_out(&mut inner, piece, file, &mut scratch)?;
        }
        // Also the headers of the slots that are empty now, after the data that was in them.
        self.sync()
    }

    /// Brings the part file to the medium: data first, then the headers that speak of it. Removes it when it is empty.
    pub(crate) fn sync_parts(&self) -> Result<(), DiskError> {
        if !self.may_have_parts() {
            return Ok(());
        }
        let (written, headers, emptied) = {
            let mut inner = self.parts.write();
            let Some(layout) = inner.layout.clone() else { return Ok(()) };
            let mut headers = Vec::new();
            for (piece, slot) in inner.slots.iter_mut().filter(|(_, slot)| slot.dirty) {
                slot.dirty = false;
                let header = SlotHeader { piece: *piece, files: slot.files.clone() };
                headers.push((
                    *piece,
                    layout.header_offset(slot.number),
                    layout.encode_slot(slot.number, Some(&header)),
                ));
            }
            (inner.written.swap(false, Ordering::Relaxed), headers, std::mem::take(&mut inner.emptied))
        };
        if !written && headers.is_empty() && emptied.is_empty() {
            return Ok(());
        }
        let result = self.write_headers(&headers, &emptied);
        let mut inner = self.parts.write();
        if let Err(e) = result {
            for (piece, ..) in headers {
                inner.slots.get_mut(&piece).into_iter().for_each(|slot| slot.dirty = true);
            }
            inner.emptied.extend(emptied);
            inner.written.store(true, Ordering::Relaxed);
            return Err(e);
        }
        inner.free.extend(emptied);
        if inner.slots.is_empty() && inner.emptied.is_empty() {
            self.cache.forget((self.key, self.place, PART_FILE));
            match self.dir(Access::Read).and_then(|dir| dir.remove(self.part_name().as_ref())) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(self.part_error("remove", e)),
                _ => {}
            }
            *inner = Inner {
                unwanted: std::mem::take(&mut inner.unwanted),
                chosen: inner.chosen,
                ..Inner::default()
            };
        }
        self.parts.set_mode(&inner);
        Ok(())
    }

    /// Size and time of change of the part file; `None` if there is none.
    pub(crate) fn part_stamp(&self) -> Result<Option<FileStamp>, DiskError> {
        if !self.has_parts() {
            return Ok(None);
        }
        let file =
            self.dir(Access::Read).and_then(|dir| dir.open_file(self.part_name().as_ref(), Access::Read));
        match file.and_then(|file| file.metadata()) {
            Ok(meta) => Ok(Some(super::storage::stamp_of(&meta))),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(self.part_error("open", e)),
        }
    }

    fn move_out(
        &self,
        inner: &mut Inner,
        piece: PieceIndex,
        file: usize,
        scratch: &mut [u8],
    ) -> Result<(), DiskError> {
        let (Some(slot), Some(layout)) = (inner.holds(piece, file), &inner.layout) else { return Ok(()) };
        let data = layout.data_offset(slot);
        for segment in self.piece_segments(piece).filter(|segment| segment.file == file) {
            let (_, within) = self.within_piece(&segment);
            let mut done = 0;
            while done < segment.len {
                // At most SCRATCH.
                let n = (segment.len - done).min(scratch.len() as u64) as usize;
                let at = data + within + done;
                self.cache.before(HookedAccess::Copy, n as u64).map_err(|e| self.part_error("read", e))?;
                self.read_slot(&mut [IoSliceMut::new(&mut scratch[..n])], at, at + n as u64)?;
                self.write_file(file, segment.offset + done, &[&scratch[..n]])?;
                done += n as u64;
            }
        }
        inner.take_out(piece, file);
        Ok(())
    }

    /// Copies what the real file has of a part that is about to be written but not all at once: the piece may have begun
    /// to come while the file was wanted, and a part is either here or there.
    fn fill_slot(
        &self,
        inner: &Inner,
        slot: u32,
        piece: PieceIndex,
        segment: &Segment,
    ) -> Result<(), DiskError> {
        let of_file = |whole: &Segment| whole.file == segment.file && whole.len > segment.len;
        let Some(whole) = self.piece_segments(piece).find(of_file) else { return Ok(()) };
        let (_, within) = self.within_piece(&whole);
        let mut scratch = vec![0; whole.len.min(SCRATCH as u64) as usize];
        let mut done = 0;
        while done < whole.len {
            let n = (whole.len - done).min(scratch.len() as u64) as usize;
            match self.read_file(segment.file, whole.offset + done, &mut scratch[..n]) {
                Ok(0) | Err(DiskError::Missing { .. }) => break,
                Ok(n) => {
                    self.write_slot(inner, slot, within + done, &[&scratch[..n]])?;
                    done += n as u64;
                }
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }

    fn load_parts(&self, inner: &mut Inner) {
        let file =
            self.dir(Access::Read).and_then(|dir| dir.open_file(self.part_name().as_ref(), Access::Read));
        let file = match file {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return,
            Err(e) => return log::warn!("{}", self.part_error("open", e)),
        };
        if let Err(e) = self.read_headers(inner, &file) {
            // What was in it is fetched again.
            log::warn!("{} is not used: {e}", self.part_path().display());
            inner.slots.clear();
            inner.layout = None;
        }
    }

    fn read_headers(&self, inner: &mut Inner, file: &File) -> io::Result<()> {
        let layout = Layout::new(self.metainfo());
        let mut bytes = vec![0; layout.start_len()];
        beneath::read_exact_vectored_at(file, &mut [IoSliceMut::new(&mut bytes)], 0)?;
        if !layout.fits(&bytes) {
            return Err(io::Error::other("it is damaged or belongs to another torrent"));
        }
        bytes.resize(layout.header_len(), 0);
        inner.count = layout.slots(file.metadata()?.len());
        for number in 0..inner.count {
            let at = layout.header_offset(number);
            let read = beneath::read_exact_vectored_at(file, &mut [IoSliceMut::new(&mut bytes)], at);
            let header = read.ok().and_then(|()| layout.parse_slot(number, &bytes, self.metainfo()));
            match header {
                Some(SlotHeader { piece, files }) if !inner.slots.contains_key(&piece) => {
                    inner.slots.insert(piece, Slot { number, files, dirty: false });
                }
                _ => inner.free.push(number),
            }
        }
        inner.layout = Some(Box::new(layout));
        Ok(())
    }

    /// A slot whose header says that it is free, at the end of the file if there is no other.
    fn new_slot(&self, inner: &mut Inner) -> Result<u32, DiskError> {
        if let Some(slot) = inner.free.pop() {
            return Ok(slot);
        }
        let file = self.part_file(Access::Write)?;
        let error = |e| self.part_error("write", e);
        if inner.layout.is_none() {
            let layout = Box::new(Layout::new(self.metainfo()));
            // What may be there was not a part file of this torrent.
            file.set_len(0)
                .and_then(|()| beneath::write_all_at(&file, &layout.encode(), 0))
                .map_err(error)?;
            (inner.layout, inner.count) = (Some(layout), 0);
        }
        let slot = inner.count;
        let Some(layout) = &inner.layout else { return Ok(slot) };
        // To its end, so that what was not written reads as zeros and only damage is short.
        file.set_len(layout.header_offset(slot + 1)).map_err(error)?;
        inner.count += 1;
        Ok(slot)
    }

    fn write_slot(&self, inner: &Inner, slot: u32, within: u64, slices: &[&[u8]]) -> Result<(), DiskError> {
        let Some(layout) = &inner.layout else { return Ok(()) };
        let file = self.part_file(Access::Write)?;
        let result = beneath::write_all_vectored_at(&file, slices, layout.data_offset(slot) + within);
        inner.written.store(true, Ordering::Relaxed);
        result.map_err(|e| self.part_error("write", e))
    }

    fn read_slot(&self, slices: &mut [IoSliceMut<'_>], at: u64, end: u64) -> Result<(), DiskError> {
        let file = self.part_file(Access::Read)?;
        beneath::read_exact_vectored_at(&file, slices, at).map_err(|e| match e.kind() {
            io::ErrorKind::UnexpectedEof => DiskError::Short { path: self.part_path(), end },
            _ => self.part_error("read", e),
        })
    }

    fn write_headers(
        &self,
        headers: &[(PieceIndex, u64, Vec<u8>)],
        emptied: &[u32],
    ) -> Result<(), DiskError> {
        let layout = self.parts.read().layout.clone();
        let Some(layout) = layout else { return Ok(()) };
        let file = self.part_file(Access::Write)?;
        let write = || {
            file.sync_data()?;
            if headers.is_empty() && emptied.is_empty() {
                return Ok(());
            }
            for (_, at, header) in headers {
                beneath::write_all_at(&file, header, *at)?;
            }
            for slot in emptied {
                beneath::write_all_at(&file, &layout.encode_slot(*slot, None), layout.header_offset(*slot))?;
            }
            file.sync_data()
        };
        write().map_err(|e| self.part_error("sync", e))
    }

    /// The piece of a segment, and where in it the segment begins.
    fn within_piece(&self, segment: &Segment) -> (PieceIndex, u64) {
        let piece_len = u64::from(self.geometry().piece_len());
        let offset = self.metainfo().files()[segment.file].offset + segment.offset;
        // Segments lie within the torrent.
        (PieceIndex((offset / piece_len) as u32), offset % piece_len)
    }

    fn part_file(&self, access: Access) -> Result<Arc<File>, DiskError> {
        let open = || self.dir(access)?.open_file(self.part_name().as_ref(), access);
        self.cache
            .get((self.key, self.place, PART_FILE), access, open)
            .map_err(|e| self.part_error("open", e))
    }

    /// Name of the part file, in the folder that holds the torrent's file or folder.
    pub(crate) fn part_name(&self) -> String {
        format!(".{}.parts", self.metainfo().info_hash())
    }

    fn part_path(&self) -> PathBuf {
        self.root().join(self.part_name())
    }

    fn part_error(&self, op: &'static str, e: io::Error) -> DiskError {
        DiskError::from_io(op, &self.part_path(), e)
    }
}

fn unwanted(priorities: &[Priority]) -> Box<[bool]> {
    if priorities.iter().all(|priority| priority.is_wanted()) {
        return Box::default();
    }
    priorities.iter().map(|priority| !priority.is_wanted()).collect()
}

/// Stands for the number of a file where open files are kept.
const PART_FILE: usize = usize::MAX;

/// The part file was not looked at yet.
const UNKNOWN: u8 = 0;
/// All files are wanted and there is no part file.
const OFF: u8 = 1;
/// Look before reading or writing.
const ON: u8 = 2;
/// The same, and the part file holds something of wanted files.
const UNSETTLED: u8 = 3;
