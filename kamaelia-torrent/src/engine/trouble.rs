//! Files that somebody else changed, and disks that refuse.
//!
//! | what | what follows |
//! |---|---|
//! | a file is changed or cut | its pieces are hashed again; those that are gone are fetched again |
//! | a file is removed while the torrent is downloaded | the same |
//! | a file is removed from a complete torrent, or all files are gone | its pieces are hashed again each 10 minutes, and fetched only after [`Engine::retry_disk`]: the user may have meant it, or the medium is away |
//! | the disk is full, or takes or gives no data | fetching rests for 10 minutes or until [`Engine::retry_disk`]; what can be read is served |
//! | something stands in the way of a file | the torrent fails; [`Engine::recheck`] starts it again |

use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::Engine;
use super::event::{Event, RequestError, TorrentId};
use crate::disk::{CheckHandle, DiskError, StorageKey};
use crate::proto::bitfield::Bitfield;
use crate::proto::geometry::{BlockRequest, PieceIndex};
use crate::proto::torrent::PeerKey;

/// Pieces that are hashed again.
pub(super) struct Doubt {
    /// Those of which nothing is known yet.
    pieces: Bitfield,
    /// The check that goes on; none while it waits to be tried again.
    handle: Option<CheckHandle>,
    /// Came while the check went on.
    more: Option<Bitfield>,
    checked: u32,
    total: u32,
    /// Everything is hashed because somebody wants it.
    whole: bool,
    /// A file is missing from a torrent that was complete.
    removed: bool,
    /// The user wants what is missing to be fetched.
    insist: bool,
    error: Option<String>,
}

impl Doubt {
    /// Leaves off; the answers that still come count for nothing. What is not known yet is given back.
    pub(super) fn leave_off(self) -> Bitfield {
        if let Some(handle) = &self.handle {
            handle.cancel();
        }
        let mut rest = self.pieces;
        for piece in self.more.iter().flat_map(Bitfield::iter_ones) {
            rest.set(piece);
        }
        rest
    }

    /// Whether a piece is neither there nor fetched until somebody asks for it, or it is there again.
    pub(super) fn holds(&self, piece: PieceIndex) -> bool {
        self.handle.is_none() && self.pieces.get(piece)
    }

    /// Pieces looked at and pieces to look at, if this is a check of everything.
    pub(super) fn progress(&self) -> Option<(u32, u32)> {
        (self.whole && self.handle.is_some()).then_some((self.checked, self.total))
    }
}

/// Why something does not go on at the disk.
pub(super) struct Trouble {
    pub(super) error: String,
    /// What has to work again to end it.
    ends_with: Ends,
    /// The disk was tried again since this was said: if that fails too, it is said again.
    retried: bool,
}

#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum Ends {
    Read,
    Write,
    Check,
}

impl Engine {
    /// Tries the disk again at once, after it refused something or files were missing: what is missing is fetched.
    ///
    /// # Errors
    ///
    /// There is no such torrent, or it is stopping.
    pub fn retry_disk(&mut self, id: TorrentId) -> Result<(), RequestError> {
        let (t, now) = (self.slot_for(id)?, Instant::now());
        let slot = &mut self.torrents[t];
        slot.storage = self.disk.reopen(&slot.storage);
        if let Some(swarm) = self.wake_swarm(now, t) {
            swarm.retry_disk(now);
        }
        let slot = &mut self.torrents[t];
        if let Some(doubt) = &mut slot.doubt {
            doubt.insist = true;
        }
        if let Some(trouble) = &mut slot.trouble {
            trouble.retried = true;
        }
        if slot.swarm.is_some() && slot.ops.is_none() && slot.storage.may_be_unsettled() {
            // What could not be moved out of the part file.
            slot.jobs += 1;
            slot.settling += 1;
            self.disk.prepare(&slot.storage);
        }
        self.check_doubts(t);
        self.touch(t);
        Ok(())
    }

    /// Something is wrong at the disk: says so, unless that was said already.
    pub(super) fn in_trouble(&mut self, t: usize, error: String, ends_with: Ends) {
        let slot = &mut self.torrents[t];
        if slot.trouble.as_ref().is_some_and(|trouble| trouble.error == error && !trouble.retried) {
            return;
        }
        let id = slot.id;
        log::warn!("torrent {id}: {error}");
        slot.trouble = Some(Box::new(Trouble { error: error.clone(), ends_with, retried: false }));
        self.emit(Event::DiskTrouble { id, error: Some(error) });
    }

    /// Something works at the disk.
    pub(super) fn out_of_trouble(&mut self, t: usize, what: Ends) {
        let slot = &mut self.torrents[t];
        if slot.trouble.take_if(|trouble| trouble.ends_with == what).is_some() {
            let id = slot.id;
            self.emit(Event::DiskTrouble { id, error: None });
        }
    }

    /// Blocks could not be read.
    pub(super) fn read_failed(
        &mut self,
        now: Instant,
        t: usize,
        peer: PeerKey,
        blocks: &[BlockRequest],
        error: &DiskError,
    ) {
        if let Some(swarm) = &mut self.torrents[t].swarm {
            swarm.read_failed(now, peer, blocks);
        }
        if !self.lost_data(now, t, error) {
            self.in_trouble(t, error.to_string(), Ends::Read);
        }
        self.pump(now, t);
    }

    /// A piece could not be written. Answers what the swarm is told; `None` if the torrent failed.
    pub(super) fn write_failed(&mut self, now: Instant, t: usize, error: &DiskError) -> Option<String> {
        if error.is_lasting() {
            self.fail(now, t, error.to_string());
            return None;
        }
        // The folder may have been replaced, by another medium or after it was removed.
        let slot = &mut self.torrents[t];
        slot.storage = self.disk.reopen(&slot.storage);
        self.lost_data(now, t, error);
        Some(error.to_string())
    }

    /// If the error says that data is gone which was there, looks what is left. False if it says something else.
    pub(super) fn lost_data(&mut self, now: Instant, t: usize, error: &DiskError) -> bool {
        let Some(path) = error.lost_file() else { return false };
        let slot = &self.torrents[t];
        if slot.storage.is_part_file(path) {
            // What was in it may be any part of an unwanted file.
            let unwanted = slot.selection.iter().flat_map(|selection| selection.files().iter().enumerate());
            let files: Vec<_> = unwanted
                .filter(|(_, priority)| !priority.is_wanted())
                .map(|(file, _)| (file, false))
                .collect();
            self.doubt_files(now, t, &files);
            return true;
        }
        let missing = matches!(error, DiskError::Missing { .. });
        let Some(file) = self.torrents[t].storage.file_named(path) else { return false };
        self.doubt_files(now, t, &[(file, missing)]);
        true
    }

    /// Files are not what they were (true: they are missing): takes their pieces back and looks what is left.
    fn doubt_files(&mut self, now: Instant, t: usize, files: &[(usize, bool)]) {
        self.wake_swarm(now, t);
        let slot = &mut self.torrents[t];
        let Some(swarm) = &mut slot.swarm else { return };
        let mut pieces = Bitfield::new(swarm.have().len());
        for piece in files.iter().flat_map(|(file, _)| slot.storage.pieces_of(*file)) {
            pieces.set(piece);
        }
        let removed = swarm.is_finished() && files.iter().any(|(_, missing)| *missing);
        let taken = swarm.doubt(now, &pieces);
        if taken.is_empty_set() {
            return;
        }
        let paths: Vec<PathBuf> =
            files.iter().map(|(file, _)| slot.storage.file_path(*file).into()).collect();
        let id = slot.id;
        log::warn!("torrent {id}: changed by somebody else: {paths:?}");
        self.doubt_pieces(t, taken, removed, false);
        self.emit(Event::FilesChanged { id, files: paths });
        self.pump(now, t);
    }

    /// Takes back everything and hashes everything.
    pub(super) fn doubt_everything(&mut self, now: Instant, t: usize) {
        let Some(swarm) = self.wake_swarm(now, t) else { return };
        let all = Bitfield::full(swarm.have().len());
        swarm.doubt(now, &all);
        let slot = &mut self.torrents[t];
        // Whoever wants a check wants to have what it finds missing.
        slot.doubt = None;
        self.doubt_pieces(t, all, false, true);
        let slot = &self.torrents[t];
        let (id, total) = (slot.id, slot.geometry().piece_count());
        self.emit(Event::Checking { id, checked: 0, total });
        self.pump(now, t);
    }

    fn doubt_pieces(&mut self, t: usize, pieces: Bitfield, removed: bool, whole: bool) {
        let slot = &mut self.torrents[t];
        let doubt = slot.doubt.get_or_insert_with(|| {
            let (pieces, more) = (Bitfield::new(pieces.len()), None);
            let (checked, total, insist) = (0, 0, false);
            Box::new(Doubt {
                pieces,
                handle: None,
                more,
                checked,
                total,
                whole,
                removed,
                insist,
                error: None,
            })
        });
        doubt.removed |= removed;
        let to = match doubt.handle {
            Some(_) => doubt.more.get_or_insert_with(|| Bitfield::new(pieces.len())),
            None => &mut doubt.pieces,
        };
        for piece in pieces.iter_ones() {
            to.set(piece);
        }
        self.check_doubts(t);
    }

    /// Hashes what is in doubt, unless that is going on.
    fn check_doubts(&mut self, t: usize) {
        let slot = &mut self.torrents[t];
        let Some(doubt) = slot.doubt.as_mut().filter(|doubt| doubt.handle.is_none()) else { return };
        if slot.swarm.is_none() {
            return;
        }
        // Handles of files that were replaced read what is no longer there.
        slot.storage = self.disk.reopen(&slot.storage);
        (doubt.checked, doubt.total) = (0, doubt.pieces.count());
        doubt.handle = Some(self.disk.check_again(&slot.storage, doubt.pieces.clone()));
        slot.jobs += 1;
    }

    /// A check of pieces in doubt went on. The end comes with whether no file at all is left.
    pub(super) fn doubts_checked(
        &mut self,
        now: Instant,
        key: StorageKey,
        checked: u32,
        good: &[PieceIndex],
        error: Option<String>,
        end: Option<bool>,
    ) {
        let Some(&t) = self.by_id.get(&TorrentId(key.0)) else { return };
        if end.is_some() {
            self.job_done(key);
        }
        let slot = &mut self.torrents[t];
        let id = slot.id;
        let (Some(doubt), Some(swarm)) = (&mut slot.doubt, &mut slot.swarm) else { return };
        doubt.checked += checked;
        doubt.error = doubt.error.take().or(error);
        for piece in good {
            doubt.pieces.clear(*piece);
            swarm.found_again(now, *piece, true);
        }
        let Some(nothing_left) = end else {
            if doubt.whole {
                let (checked, total) = (doubt.checked, doubt.total);
                self.emit(Event::Checking { id, checked, total });
            }
            return self.pump(now, t);
        };
        doubt.handle = None;
        let wait = if let Some(error) = doubt.error.take() {
            Some(error)
        } else if doubt.pieces.is_empty_set() || doubt.insist || !(doubt.removed || nothing_left) {
            None
        } else if nothing_left {
            Some("all files are gone; they are looked for again from time to time".to_owned())
        } else {
            Some("a file was removed and is not fetched again unless that is asked for".to_owned())
        };
        let more = doubt.more.take();
        if let Some(error) = wait {
            // It is looked at again later; until then these pieces are neither there nor fetched.
            for piece in more.iter().flat_map(Bitfield::iter_ones) {
                doubt.pieces.set(piece);
            }
            slot.look_at = Some(now + TRY_AGAIN);
            self.in_trouble(t, error, Ends::Check);
            // Reads that wait for them learn of it.
            self.read_on(now, id);
            return self.pump(now, t);
        }
        for piece in doubt.pieces.iter_ones() {
            swarm.found_again(now, piece, false);
        }
        let whole = doubt.whole;
        slot.doubt = None;
        // The files were looked at: their record is out of date.
        slot.save_at = Some(now);
        let (have, total) = (swarm.have().count(), swarm.have().len());
        if let Some(more) = more {
            self.doubt_pieces(t, more, false, false);
        }
        self.out_of_trouble(t, Ends::Check);
        if whole {
            self.emit(Event::Checked { id, have, total });
        }
        self.hurry_again(now, id);
        self.pump(now, t);
    }

    /// Looks at the files of a torrent some time after something was read from them, and again at what was missing.
    pub(super) fn look_if_due(&mut self, now: Instant, t: usize) {
        let Some(slot) = self.torrents.get_mut(t) else { return };
        if slot.look_at.is_none_or(|at| at > now) {
            return;
        }
        slot.look_at = None;
        let Some(have) = slot.have().filter(|_| slot.runs()) else {
            return;
        };
        let have = have.clone();
        if slot.doubt.is_some() {
            return self.check_doubts(t);
        }
        if slot.ops.is_some() {
            return;
        }
        slot.jobs += 1;
        self.disk.look(&slot.storage, have, self.settings.look_interval);
    }

    /// When the files of a torrent are looked at of which something is read now.
    pub(super) fn next_look(&self, now: Instant) -> Instant {
        now + self.settings.look_interval.min(LOOK_AT_READ)
    }

    /// The files were looked at.
    pub(super) fn looked(&mut self, now: Instant, key: StorageKey, changed: &[(usize, bool)]) {
        if let Some(t) = self.job_done(key)
            && !changed.is_empty()
        {
            self.doubt_files(now, t, changed);
        }
    }

    /// A resume record could not be written. That costs time at the next start, and no data: it is told once.
    pub(super) fn not_saved(&mut self, now: Instant, t: usize, error: &DiskError) {
        if self.lost_data(now, t, error) {
            return;
        }
        let slot = &mut self.torrents[t];
        if !std::mem::replace(&mut slot.unsaved, true) {
            let id = slot.id;
            log::info!("torrent {id}: resume record not saved: {error}");
            self.emit(Event::NotSaved { id, error: error.to_string() });
        }
    }
}

/// After this time files that were missing are looked for again, as a disk that refused is tried again.
const TRY_AGAIN: Duration = Duration::from_secs(600);

/// How long after a file was read it is looked at; all others of its torrent come less often. While a torrent is read from
/// this costs one job for the keeper a second, and for each file that was read, up to four, as much as opening it.
const LOOK_AT_READ: Duration = Duration::from_secs(1);
