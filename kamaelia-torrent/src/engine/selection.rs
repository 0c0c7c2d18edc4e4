//! Which files of a torrent are wanted.

use std::path::PathBuf;
use std::time::Instant;

use super::Engine;
use super::event::{Event, TorrentId};
use super::queue::Seat;
use super::slot::{Phase, Slot};
use crate::proto::selection::{Priority, Selection, pieces_of};

/// A file of a torrent at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileStatus {
    /// Where it is or would be, below the torrent's folder.
    pub path: PathBuf,
    /// Length, bytes.
    pub len: u64,
    /// How much of it lies in verified pieces, bytes. Of an unwanted file that may be in the part file.
    pub verified: u64,
    /// How soon it is fetched.
    pub priority: Priority,
    /// BEP 47: padding, which is never stored.
    pub pad: bool,
}

/// Why priorities were not changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SelectionError {
    /// There is none of this number, or it is stopping.
    #[error("there is no torrent {0}")]
    NoSuchTorrent(TorrentId),
    /// The torrent has fewer files.
    #[error("there is no file {index} in a torrent of {files} files")]
    NoSuchFile {
        /// The number given; files are counted from 0.
        index: usize,
        /// Files of the torrent, padding included.
        files: usize,
    },
}

impl Engine {
    /// Changes how soon some files of a torrent are fetched; files that are not named stay as they are. Files are
    /// counted from 0 in the order of the torrent, padding included; of two priorities for one file the later counts.
    ///
    /// A file that is no longer wanted keeps what is in it. What comes with pieces that it shares with wanted ones goes
    /// to a part file, and from there to the file when it is wanted again. The choice is kept in the resume record.
    ///
    /// # Errors
    ///
    /// If there is no such torrent, or no such file; then nothing is changed.
    pub fn set_file_priorities(
        &mut self,
        id: TorrentId,
        changes: &[(usize, Priority)],
    ) -> Result<(), SelectionError> {
        let t = self
            .by_id
            .get(&id)
            .copied()
            .filter(|t| !matches!(self.torrents[*t].phase, Phase::Stopping { .. }));
        let t = t.ok_or(SelectionError::NoSuchTorrent(id))?;
        let slot = &mut self.torrents[t];
        let files = slot.metainfo.files().len();
        if let Some((index, _)) = changes.iter().find(|(index, _)| *index >= files) {
            return Err(SelectionError::NoSuchFile { index: *index, files });
        }
        if matches!(slot.phase, Phase::Loading) || slot.ops.is_some() {
            // What they change may still have to be read, or is on its way to another place.
            slot.early_priorities.extend(changes);
            return Ok(());
        }
        self.change_selection(t, changes);
        Ok(())
    }

    /// The files of a torrent with what is there of each; `None` if there is none of this number. Costs as much as
    /// there are files and pieces.
    pub fn files(&self, id: TorrentId) -> Option<Vec<FileStatus>> {
        Some(self.torrents[*self.by_id.get(&id)?].files())
    }

    /// The resume record is read: what was wanted counts unless somebody said otherwise since.
    pub(super) fn recall_selection(&mut self, t: usize, recorded: &[Priority]) {
        let slot = &mut self.torrents[t];
        if slot.settings.priorities.is_empty() {
            slot.selection = Selection::new(&slot.metainfo, recorded).map(Box::new);
        } else if slot.selection.as_deref() != Selection::new(&slot.metainfo, recorded).as_ref() {
            // The record says something else, so it is written again.
            slot.saved = None;
        }
        self.choose_early(t);
    }

    /// Does what was asked for when it could not be done yet.
    pub(super) fn choose_early(&mut self, t: usize) {
        let early = std::mem::take(&mut self.torrents[t].early_priorities);
        if !early.is_empty() {
            self.change_selection(t, &early);
        }
    }

    /// A request that moves data out of the part file is answered.
    pub(super) fn settled(&mut self, t: usize, good: bool) {
        let slot = &mut self.torrents[t];
        let id = slot.id;
        slot.settling = slot.settling.saturating_sub(1);
        if good && slot.settling == 0 && std::mem::take(&mut slot.completes) {
            self.emit(Event::Completed { id });
            self.move_completed(t);
        }
    }

    fn change_selection(&mut self, t: usize, changes: &[(usize, Priority)]) {
        let now = Instant::now();
        let slot = &mut self.torrents[t];
        let mut priorities = slot.priorities();
        for (file, priority) in changes {
            priorities[*file] = *priority;
        }
        if priorities == slot.priorities() {
            return;
        }
        slot.selection = Selection::new(&slot.metainfo, &priorities).map(Box::new);
        self.wake_swarm(now, t);
        let slot = &mut self.torrents[t];
        if let Some(swarm) = &mut slot.swarm {
            match &slot.selection {
                Some(selection) => swarm.set_priorities(now, &selection.pieces(&slot.metainfo)),
                None => {
                    let pieces = slot.metainfo.geometry().piece_count() as usize;
                    swarm.set_priorities(now, &vec![Priority::NORMAL; pieces]);
                }
            }
            slot.save_at.get_or_insert(now + self.settings.save_interval);
        }
        slot.jobs += 1;
        slot.settling += 1;
        slot.settings.priorities.clone_from(&priorities);
        self.disk.select(&slot.storage, priorities);
        slot.recorded = false;
        slot.saved = None;
        if matches!(slot.phase, Phase::Resting { settled: true }) && slot.to_check.is_none() && !slot.saving {
            // Nothing else would save it before the torrent goes on or stops. Of half a check nothing is told.
            slot.recorded = true;
            self.save(now, t);
        }
        if matches!(self.torrents[t].seat, Seat::Waiting(before) if before != self.torrents[t].activity()) {
            self.stand_up(t);
            self.enlist(now, t);
        }
        self.touch(t);
        let id = self.torrents[t].id;
        self.remember(id);
    }
}

impl Slot {
    /// The priority of each file.
    fn priorities(&self) -> Vec<Priority> {
        match &self.selection {
            Some(selection) => selection.files().to_vec(),
            None => vec![Priority::NORMAL; self.metainfo.files().len()],
        }
    }

    /// Length of the wanted pieces, and of those of them that are missing, bytes.
    pub(super) fn wanted(&self) -> (u64, u64) {
        match (&self.selection, self.have()) {
            (None, _) => (self.geometry().total_len(), self.left()),
            (Some(selection), Some(have)) => {
                (selection.wanted_len(), selection.wanted_left(&self.geometry(), have))
            }
            (Some(selection), None) => (selection.wanted_len(), selection.wanted_len()),
        }
    }

    /// Whether nothing that is wanted is missing.
    pub(super) fn is_finished(&self) -> bool {
        if let Some(swarm) = &self.swarm {
            return swarm.is_finished();
        }
        self.have().is_some_and(|have| match &self.selection {
            None => have.is_full(),
            Some(selection) => !selection.wanted().any_and_not(have),
        })
    }

    fn files(&self) -> Vec<FileStatus> {
        let geometry = self.geometry();
        let priorities = self.priorities();
        let mut files = Vec::with_capacity(priorities.len());
        for (file, priority) in self.metainfo.files().iter().zip(priorities) {
            let end = file.offset + file.len;
            let overlap = |piece| {
                let start = geometry.piece_offset(piece);
                let stop = start + u64::from(geometry.piece_size(piece));
                stop.min(end) - start.max(file.offset)
            };
            let there = self
                .have()
                .into_iter()
                .flat_map(|have| pieces_of(&geometry, file).filter(|piece| have.get(*piece)));
            let verified = there.map(overlap).sum();
            files.push(FileStatus {
                path: file.path.clone(),
                len: file.len,
                verified,
                priority,
                pad: file.pad,
            });
        }
        files
    }
}
