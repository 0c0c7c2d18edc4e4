//! Answers of the disk, and when records are saved.

use std::time::Instant;

use super::Engine;
use super::event::Event;
use super::slot::Phase;
use crate::disk::{DiskAnswer, PieceResult, StorageKey};
use crate::proto::geometry::PieceIndex;
use crate::proto::torrent::{CheckResult, PeerKey};

impl Engine {
    /// Takes what the disk workers have done.
    pub(super) fn take_disk_answers(&mut self, now: Instant) {
        let mut returned = false;
        self.pool.keep_together(self.disk.is_slow());
        while let Some(answer) = self.disk.next_answer() {
            match answer {
                DiskAnswer::Written { key, fetch, bufs, result } => {
                    returned |= !bufs.is_empty();
                    bufs.into_iter().for_each(|buf| self.pool.give(buf));
                    let Some(t) = self.job_done(key) else { continue };
                    let Some(result) = result else { continue };
                    if self.torrents[t].swarm.is_none() {
                        self.take_late_piece(t, fetch.piece, &result);
                    }
                    let result = match result {
                        PieceResult::Good => CheckResult::Good,
                        PieceResult::Bad { blocks } => CheckResult::Bad(blocks),
                        PieceResult::Failed(e) => match self.write_failed(now, t, &e) {
                            Some(error) => CheckResult::Failed(error),
                            None => {
                                self.take_late_piece(t, fetch.piece, &PieceResult::Failed(e));
                                continue;
                            }
                        },
                    };
                    if let Some(swarm) = &mut self.torrents[t].swarm {
                        swarm.piece_checked(now, fetch, result);
                        self.pump(now, t);
                    }
                }
                DiskAnswer::Returned { bufs } => {
                    returned |= !bufs.is_empty();
                    bufs.into_iter().for_each(|buf| self.pool.give(buf));
                }
                DiskAnswer::Read { key, token, blocks, buf, error, place } => {
                    let Some(t) = self.job_done(key) else { continue };
                    self.torrents[t].reads -= 1;
                    let peer = PeerKey(token);
                    if let Some(error) = error {
                        if let Err(blocks) = self.read_again(t, token, place, blocks, buf) {
                            self.read_failed(now, t, peer, &blocks, &error);
                        }
                        continue;
                    }
                    self.worker_read(now, t, peer, &blocks, buf);
                }
                DiskAnswer::Range { key, token, offset, result } => {
                    if let Some(t) = self.job_done(key) {
                        self.torrents[t].reads -= 1;
                    }
                    self.range_read(now, token, offset, result);
                }
                DiskAnswer::BlockHashes { key, piece, result } => {
                    let Some(t) = self.job_done(key) else { continue };
                    match result {
                        Ok(hashes) => {
                            if let Some(swarm) = &mut self.torrents[t].swarm {
                                swarm.block_hashes(now, piece, &hashes);
                                self.pump(now, t);
                            }
                        }
                        // Somebody who sent a bad block stays unknown.
                        Err(e) => log::info!("torrent {}: cannot tell who sent a bad block: {e}", key.0),
                    }
                }
                DiskAnswer::Checked { key, checked, good, end, error, nothing_left } => {
                    let error = error.map(|e| e.to_string());
                    match nothing_left {
                        None => self.check_went_on(now, key, checked, &good, end, error),
                        Some(nothing) => {
                            self.doubts_checked(now, key, checked, &good, error, end.then_some(nothing));
                        }
                    }
                }
                DiskAnswer::Resumed { key, have, recheck, totals, priorities, storage } => {
                    if let Some(t) = self.job_done(key) {
                        let slot = &mut self.torrents[t];
                        slot.before = totals;
                        slot.saved = recheck.is_empty_set().then(|| (have.count(), totals));
                        slot.storage = storage.unwrap_or_else(|| slot.storage.clone());
                        self.recall_selection(t, &priorities);
                        self.loaded(now, t, have, recheck);
                    }
                }
                DiskAnswer::Moved { key, result } => self.moved(now, key, result),
                DiskAnswer::Looked { key, changed } => self.looked(now, key, &changed),
                DiskAnswer::Prepared { key, error } | DiskAnswer::Selected { key, error } => {
                    let Some(t) = self.job_done(key) else { continue };
                    self.settled(t, error.is_none());
                    // The last of them judges: an earlier one may be from before the disk was tried again.
                    let last = self.torrents[t].settling == 0;
                    if let Some(error) = error
                        && let Some(error) = self.write_failed(now, t, &error)
                        && let Some(swarm) = &mut self.torrents[t].swarm
                        && last
                    {
                        swarm.disk_failed(now, error);
                        self.pump(now, t);
                    }
                }
                DiskAnswer::Saved { key, error } => {
                    let Some(t) = self.job_done(key) else { continue };
                    self.torrents[t].saving = false;
                    match error {
                        None => self.torrents[t].unsaved = false,
                        Some(error) => {
                            self.torrents[t].saved = None;
                            self.not_saved(now, t, &error);
                        }
                    }
                }
                DiskAnswer::Stored { key, error } => {
                    self.job_done(key);
                    if let Some(error) = error {
                        log::warn!("torrent {}: not kept for the next run: {error}", key.0);
                    }
                }
                DiskAnswer::Restored { torrents, failed, end } => self.restored(torrents, failed, end),
                DiskAnswer::Closed { key } => self.closed(key),
            }
        }
        if returned && !self.hungry.is_empty() {
            self.feed(now);
        }
    }

    /// Notes that a request to the disk is answered; tells which torrent it was, if it is still there.
    pub(super) fn job_done(&mut self, key: StorageKey) -> Option<usize> {
        let t = *self.by_id.get(&super::TorrentId(key.0))?;
        let slot = &mut self.torrents[t];
        slot.jobs = slot.jobs.saturating_sub(1);
        self.touch(t);
        Some(t)
    }

    fn check_went_on(
        &mut self,
        now: Instant,
        key: StorageKey,
        checked: u32,
        good: &[PieceIndex],
        end: bool,
        error: Option<String>,
    ) {
        let Some(&t) = self.by_id.get(&super::TorrentId(key.0)) else { return };
        if end {
            self.job_done(key);
        }
        let slot = &mut self.torrents[t];
        let id = slot.id;
        let Phase::Checking(check) = &mut slot.phase else { return };
        check.checked += checked;
        for piece in good {
            check.have.set(*piece);
        }
        check.error = check.error.take().or(error);
        let (checked, total) = (check.checked, check.total);
        let error = check.error.take_if(|_| end);
        let pausing = check.pausing;
        self.read_on(now, id);
        if !end {
            return self.emit(Event::Checking { id, checked, total });
        }
        match error {
            Some(error) => self.fail(now, t, error),
            None if pausing => self.check_left_off(now, t),
            None => self.check_ended(now, t),
        }
    }

    /// Writes the resume record of a torrent when something new was verified a while ago.
    pub(super) fn save_if_due(&mut self, now: Instant, t: usize) {
        let Some(slot) = self.torrents.get_mut(t) else { return };
        let rests = slot.saving || slot.ops.is_some() || slot.doubt.is_some();
        if rests || !matches!(slot.phase, Phase::Running) || slot.save_at.is_none_or(|at| at > now) {
            return;
        }
        slot.save_at = None;
        self.save(now, t);
    }

    /// Writes the resume record of a torrent. Without a swarm all its writes must be answered.
    pub(super) fn save(&mut self, now: Instant, t: usize) {
        let Some(snapshot) = self.snapshot(now, t) else { return };
        let slot = &mut self.torrents[t];
        slot.saving = true;
        slot.jobs += 1;
        slot.saved = Some((snapshot.have.count(), snapshot.totals));
        self.disk.save_resume(&slot.storage, snapshot);
    }
}
