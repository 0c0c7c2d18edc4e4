//! Moving, renaming and checking again, in whatever state a torrent is.
//!
//! Such work is queued. While there is any, writes are held back, reads go on; when everything under way at the disk but
//! reads is answered, the keeper does the work, and what was held back goes to the new place. A read that fails because
//! the files have just gone is tried again there.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use super::Engine;
use super::event::{Event, RequestError, TorrentId};
use super::slot::Phase;
use crate::disk::{DiskError, MoveHandle, Snapshot, Storage, StorageKey, Writes};
use crate::proto::bitfield::Bitfield;
use crate::proto::buffer::PartBuf;
use crate::proto::geometry::{BlockRequest, Fetch, PieceIndex};
use crate::proto::torrent::{Torrent, TorrentOutput};

/// Work on the files of a torrent that nothing may be written during.
pub(super) enum Op {
    Move(PathBuf),
    Rename(usize, String),
    Recheck,
}

/// Work that waits or is done, and what waits for its end.
#[derive(Default)]
pub(super) struct Ops {
    queue: VecDeque<Op>,
    /// The keeper is at the first.
    running: Option<MoveHandle>,
    held: Vec<Held>,
}

/// A request to the disk that waits.
enum Held {
    Write { fetch: Fetch, offset: u32, data: PartBuf, last: bool },
    Abandon(PieceIndex),
    Hashes(PieceIndex),
    Read { token: u64, blocks: Vec<BlockRequest>, buf: Vec<u8> },
}

impl Op {
    fn name(&self) -> &'static str {
        match self {
            Op::Move(_) => "MoveTorrent",
            Op::Rename(..) => "RenameFile",
            Op::Recheck => "RecheckTorrent",
        }
    }
}

impl Engine {
    /// Moves the files of a torrent to another folder, which is made if it is not there. The torrent goes on; what
    /// comes in meanwhile waits in memory. [`Event::Moved`] follows, or [`Event::RequestFailed`], after which everything
    /// is as it was. Nothing is overwritten; files that are not the torrent's stay. Within a file system this takes
    /// no time worth mentioning; to another one the data is copied and brought to the medium before the originals go.
    ///
    /// The resume record keeps the new place: whoever adds the torrent to the old folder again, with the same
    /// [`state_dir`](super::Settings::state_dir), gets it in the new one. Without a `state_dir` the record moves along.
    ///
    /// # Errors
    ///
    /// There is no such torrent, or it is stopping.
    pub fn move_storage(&mut self, id: TorrentId, dir: impl Into<PathBuf>) -> Result<(), RequestError> {
        self.request_op(id, Op::Move(dir.into()))
    }

    /// Gives a file of a torrent another name: a path below the torrent's download folder, its parts joined by `/`,
    /// usually beginning with the torrent's name. [`Event::FileRenamed`] follows, or [`Event::RequestFailed`]. The
    /// resume record keeps the name.
    ///
    /// # Errors
    ///
    /// There is no such torrent, or it is stopping. A name that is not safe, or is taken, shows later.
    pub fn rename_file(
        &mut self,
        id: TorrentId,
        file: usize,
        path: impl Into<String>,
    ) -> Result<(), RequestError> {
        self.request_op(id, Op::Rename(file, path.into()))
    }

    /// Hashes everything again, whatever is known. The torrent keeps its connections: pieces are offered and served
    /// again as they are found. A torrent that failed starts afresh. [`Event::Checked`] follows.
    ///
    /// # Errors
    ///
    /// There is no such torrent, or it is stopping.
    pub fn recheck(&mut self, id: TorrentId) -> Result<(), RequestError> {
        self.request_op(id, Op::Recheck)
    }

    fn request_op(&mut self, id: TorrentId, op: Op) -> Result<(), RequestError> {
        let t = self.slot_for(id)?;
        self.queue_op(t, op);
        Ok(())
    }

    pub(super) fn queue_op(&mut self, t: usize, op: Op) {
        self.torrents[t].ops.get_or_insert_default().queue.push_back(op);
        self.touch(t);
    }

    /// The place in the table of a torrent that can be asked for something.
    pub(super) fn slot_for(&self, id: TorrentId) -> Result<usize, RequestError> {
        let t = *self.by_id.get(&id).ok_or(RequestError::Unknown(id))?;
        if matches!(self.torrents[t].phase, Phase::Stopping { .. }) {
            return Err(RequestError::Stopping(id));
        }
        Ok(t)
    }

    /// Takes a request of a swarm to the disk if it has to wait; gives it back otherwise.
    pub(super) fn hold_back(&mut self, t: usize, output: TorrentOutput) -> Option<TorrentOutput> {
        let Some(ops) = &mut self.torrents[t].ops else { return Some(output) };
        match output {
            TorrentOutput::Write { fetch, offset, data, last } => {
                ops.held.push(Held::Write { fetch, offset, data, last });
            }
            // After the parts that wait, and before those that are fetched anew.
            TorrentOutput::Abandon(piece) => ops.held.push(Held::Abandon(piece)),
            TorrentOutput::WantBlockHashes(piece) => ops.held.push(Held::Hashes(piece)),
            other => return Some(other),
        }
        None
    }

    /// A read failed. If that may be because the files are elsewhere now, it is tried again there.
    pub(super) fn read_again(
        &mut self,
        t: usize,
        token: u64,
        place: u32,
        blocks: Vec<BlockRequest>,
        buf: Vec<u8>,
    ) -> Result<(), Vec<BlockRequest>> {
        let slot = &mut self.torrents[t];
        if let Some(ops) = slot.ops.as_mut().filter(|ops| ops.running.is_some()) {
            ops.held.push(Held::Read { token, blocks, buf });
        } else if place != slot.storage.place() {
            slot.jobs += 1;
            slot.reads += 1;
            self.disk.read(&slot.storage, token, blocks, buf);
        } else {
            return Err(blocks);
        }
        Ok(())
    }

    /// Does the next piece of work if it can be done now; releases what waits when nothing is left.
    pub(super) fn go_on_with_ops(&mut self, now: Instant, t: usize) {
        loop {
            let Some(slot) = self.torrents.get_mut(t) else { return };
            let Some(ops) = slot.ops.as_mut().filter(|ops| ops.running.is_none()) else { return };
            if let Phase::Checking(check) = &mut slot.phase {
                // It reads from where the files are now; what is left of it is done in the new place.
                check.handle.pause();
                check.pausing = true;
            }
            if slot.jobs > slot.reads {
                return;
            }
            let id = slot.id;
            let Some(op) = ops.queue.front() else { return self.release_ops(now, t) };
            let name = op.name();
            let result = match op {
                Op::Move(dir) if *dir == *slot.storage.root() => {
                    let dir = dir.clone();
                    ops.queue.pop_front();
                    self.emit(Event::Moved { id, dir });
                    continue;
                }
                Op::Move(dir) => {
                    let dir = dir.clone();
                    let snapshot = self.snapshot(now, t);
                    Ok(self.disk.move_files(&self.torrents[t].storage, dir, snapshot))
                }
                Op::Rename(file, path) => {
                    let (file, path) = (*file, path.clone());
                    let snapshot = self.snapshot(now, t);
                    self.disk.rename_file(&self.torrents[t].storage, file, &path, snapshot)
                }
                Op::Recheck => {
                    ops.queue.pop_front();
                    self.begin_recheck(now, t);
                    continue;
                }
            };
            let slot = &mut self.torrents[t];
            let Some(ops) = &mut slot.ops else { return };
            match result {
                Ok(handle) => {
                    ops.running = Some(handle);
                    slot.jobs += 1;
                    return;
                }
                Err(e) => {
                    ops.queue.pop_front();
                    self.emit(Event::RequestFailed { id, request: name, reason: e.to_string() });
                }
            }
        }
    }

    /// The keeper has moved or renamed, or not.
    pub(super) fn moved(&mut self, now: Instant, key: StorageKey, result: Result<Arc<Storage>, DiskError>) {
        let Some(t) = self.job_done(key) else { return };
        let slot = &mut self.torrents[t];
        let id = slot.id;
        let Some(ops) = &mut slot.ops else { return };
        ops.running = None;
        let Some(op) = ops.queue.pop_front() else { return };
        match result {
            Ok(storage) => {
                slot.storage = storage;
                let event = match op {
                    Op::Rename(index, _) => {
                        let path = slot.storage.file_path(index).to_path_buf();
                        Event::FileRenamed { id, index, path }
                    }
                    _ => Event::Moved { id, dir: slot.storage.root().to_path_buf() },
                };
                self.emit(event);
            }
            Err(e) => {
                self.emit(Event::RequestFailed { id, request: op.name(), reason: e.to_string() });
            }
        }
        self.go_on_with_ops(now, t);
    }

    /// Nothing is left to do: what waited goes to the disk.
    fn release_ops(&mut self, now: Instant, t: usize) {
        let slot = &mut self.torrents[t];
        let Some(ops) = slot.ops.take() else { return };
        for held in ops.held {
            slot.jobs += usize::from(!matches!(held, Held::Abandon(_)));
            match held {
                Held::Abandon(piece) => self.disk.abandon(&slot.storage, piece),
                Held::Write { fetch, offset, data, last } => {
                    self.disk.write(&slot.storage, fetch, offset, data, last);
                }
                Held::Hashes(piece) => self.disk.block_hashes(&slot.storage, piece),
                Held::Read { token, blocks, buf } => {
                    slot.reads += 1;
                    self.disk.read(&slot.storage, token, blocks, buf);
                }
            }
        }
        let id = slot.id;
        self.choose_early(t);
        self.read_on(now, id);
        self.touch(t);
    }

    /// The torrent stops: what was asked for and not done yet is refused, what waited is dropped.
    pub(super) fn drop_ops(&mut self, t: usize) {
        let slot = &mut self.torrents[t];
        let id = slot.id;
        let Some(ops) = &mut slot.ops else { return };
        // What the keeper is at comes to its end, or leaves off.
        let keep = usize::from(ops.running.is_some()).min(ops.queue.len());
        let refused: Vec<Op> = ops.queue.drain(keep..).collect();
        for held in std::mem::take(&mut ops.held) {
            match held {
                Held::Write { data, .. } => self.pool.give(data),
                Held::Read { buf, .. } => self.spare.push(buf),
                Held::Hashes(_) | Held::Abandon(_) => {}
            }
        }
        for op in refused {
            let reason = "the torrent is stopping".to_owned();
            self.emit(Event::RequestFailed { id, request: op.name(), reason });
        }
    }

    /// Everything is to be hashed again.
    fn begin_recheck(&mut self, now: Instant, t: usize) {
        let slot = &mut self.torrents[t];
        let all = Bitfield::full(slot.geometry().piece_count());
        slot.storage = self.disk.reopen(&slot.storage);
        match &mut slot.phase {
            Phase::Running => self.doubt_everything(now, t),
            Phase::Resting { .. } => {
                (slot.have, slot.to_check) = (Some(Bitfield::new(all.len())), Some(Box::new(all)));
                slot.recorded = false;
                let activity = self.stand_up(t);
                self.enlist(now, t);
                if let Some(activity) = activity {
                    self.balance(now, activity);
                }
            }
            Phase::Failed => {
                (slot.error, slot.announcer) = (None, None);
                slot.phase = Phase::Loading;
                self.start_check(now, t, Bitfield::new(all.len()), all);
            }
            Phase::Loading | Phase::Checking(_) | Phase::Stopping { .. } => {}
        }
    }

    /// What a record says of a torrent now; `None` while it is not known what is there.
    pub(super) fn snapshot(&self, now: Instant, t: usize) -> Option<Snapshot> {
        let slot = &self.torrents[t];
        if matches!(slot.phase, Phase::Loading | Phase::Checking(_)) || slot.to_check.is_some() {
            return None;
        }
        let have = slot.have()?.clone();
        let written = slot.swarm.as_deref().is_none_or(Torrent::is_written);
        let ended = have.is_full() || written || slot.ops.is_some();
        let writes = if ended { Writes::Ended } else { Writes::GoOn };
        let totals = slot.totals(&slot.stats(now));
        let priorities =
            slot.selection.as_ref().map_or_else(Vec::new, |selection| selection.files().to_vec());
        Some(Snapshot { have, totals, priorities, at: SystemTime::now(), writes })
    }
}
