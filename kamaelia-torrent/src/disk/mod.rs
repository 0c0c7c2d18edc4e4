//! Files and hashes, on worker threads.
//!
//! [`Disk`] owns the threads. Everything that takes time is a request that returns at once; its answer is fetched with
//! [`Disk::next_answer`] after the `notify` function given at the start was called. Each request has one answer that
//! ends it, so a caller can count what is under way.
//!
//! * A piece of which all bytes come in one part is hashed first and written only if it is right.
//! * A larger piece is written part by part and hashed in order as it comes.
//! * Either way it is called [`PieceResult::Good`] only after it was hashed **and** handed to the file system.
//!
//! Work on one piece is done by one worker, and by another only when nothing of it is under way; reads go to whoever is
//! free; checks fill the gaps; what waits for the medium (sync, resume records) has a thread of its own.

mod answers;
mod assemble;
pub(crate) mod batch;
pub(crate) mod beneath;
mod cache;
mod check;
mod error;
mod frame;
mod hasher;
mod hook;
mod jobs;
mod keeper;
mod layout;
mod log;
mod names;
mod pace;
mod parts;
mod relocate;
mod restore;
pub(crate) mod sha;
mod shifts;
mod small;
mod storage;
mod store;
mod worker;

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::SystemTime;

use crossbeam_channel::{Sender, unbounded};

use crate::proto::bitfield::Bitfield;
use crate::proto::buffer::PartBuf;
use crate::proto::geometry::{BlockRequest, Fetch, PieceIndex};
use crate::proto::metainfo::Metainfo;
use crate::proto::path::PathError;
use crate::proto::selection::Priority;
use crate::proto::stored::Stored;

pub use answers::{DiskAnswer, PieceResult};
pub use check::CheckHandle;
pub use error::DiskError;
pub use frame::PIECE_HEADER;
#[doc(hidden)]
pub use hook::{DiskHook, HookedAccess};
pub use jobs::PartWrite;
#[doc(hidden)]
pub use log::scan_log;
#[doc(hidden)]
pub use sha::HashKernel;
pub use storage::Storage;
pub use store::forget_torrents;

/// Number by which answers name a torrent. The caller chooses it and uses it once.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StorageKey(pub u32);

/// Payload and times of all runs of a torrent.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Sent, bytes.
    pub uploaded: u64,
    /// Received, bytes.
    pub downloaded: u64,
    /// Time that it ran, s.
    pub active_secs: u64,
    /// Time that it was complete and ran, s.
    pub seeding_secs: u64,
}

/// What a resume record says about a torrent.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// Pieces that were reported good.
    pub have: Bitfield,
    /// Payload of all runs.
    pub totals: Totals,
    /// Priorities of the files; empty if all are as usual.
    pub priorities: Vec<Priority>,
    /// When this was so.
    pub at: SystemTime,
    /// Whether pieces that are not in `have` may be written meanwhile.
    pub writes: Writes,
}

/// Whether a torrent is still being written.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Writes {
    /// Pieces may be written at any time.
    GoOn,
    /// All writes were answered and none will follow.
    Ended,
}

/// How room for files is taken from the file system.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum Allocation {
    /// As data comes; what has not come is a hole.
    #[default]
    Sparse,
    /// All of it for the wanted files when a torrent starts, so that a full disk shows at once. On file systems that
    /// cannot reserve (and on systems other than Linux) it is only compared with what is free then.
    Full,
}

/// Settings of the disk layer.
#[derive(Clone, Debug)]
pub struct DiskConfig {
    /// Worker threads; at least 1. Default: the number of cores, at most 4 (one core hashes 15 Gbit/s).
    pub workers: usize,
    /// Files kept open at the same time, of all torrents. Default 64.
    pub open_files: usize,
    /// Folder in which torrents and resume records are kept; it belongs to one process at a time. Default none: then
    /// resume records are kept beside the data, and torrents not at all.
    pub state_dir: Option<PathBuf>,
    /// Bytes of parts that came before their turn that may be kept in memory for hashing; others are read back.
    /// Default 2 MiB.
    pub ahead_bytes: usize,
    /// What happens before each access to a file, for benchmarks and tests.
    #[doc(hidden)]
    pub hook: Option<DiskHook>,
}

impl Default for DiskConfig {
    fn default() -> DiskConfig {
        let cores = thread::available_parallelism().map_or(1, |n| n.get());
        DiskConfig {
            workers: cores.min(4),
            open_files: 64,
            state_dir: None,
            ahead_bytes: 2 * 1024 * 1024,
            hook: None,
        }
    }
}

/// Stops the moving of files; it answers all the same. What was copied goes away then, all is as it was.
#[derive(Clone, Debug)]
pub struct MoveHandle(Arc<AtomicBool>);

impl MoveHandle {
    /// Makes it leave off, unless it is nearly through. Harmless when it has ended.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Worker threads for the files of any number of torrents.
pub struct Disk {
    config: DiskConfig,
    cache: Arc<FileCache>,
    pieces: Vec<Sender<PieceJob>>,
    any: Sender<AnyJob>,
    checks: Sender<CheckTurn>,
    keeper: Option<Sender<KeeperJob>>,
    answers: Incoming,
    /// Which worker has which piece.
    shifts: RefCell<Shifts>,
    /// Each write takes long.
    slow: Arc<AtomicBool>,
    closing: Arc<AtomicBool>,
    store: Option<Arc<Store>>,
    answer_in: Answers,
    threads: Vec<thread::JoinHandle<()>>,
}

use answers::{Answers, Incoming};
use cache::FileCache;
use check::{CheckTask, CheckTurn};
use jobs::{AnyJob, PieceJob};
use keeper::{Keeper, KeeperJob, Move};
use pace::Pace;
use shifts::Shifts;
use store::Store;
use worker::Worker;

impl Disk {
    /// Starts the threads. `notify` is called from any of them when answers are to be fetched, once until they are.
    ///
    /// # Errors
    ///
    /// The system refused a thread, or the folder of state cannot be used ([`StateError`] in the error).
    pub fn new(config: DiskConfig, notify: Arc<dyn Fn() + Send + Sync>) -> std::io::Result<Disk> {
        let count = config.workers.max(1);
        let store = match &config.state_dir {
            Some(dir) => Some(Arc::new(Store::open(dir).map_err(|source| {
                let kind = source.kind();
                std::io::Error::new(kind, StateError { dir: dir.clone(), source })
            })?)),
            None => None,
        };
        let cache = Arc::new(FileCache::new(config.open_files, config.hook.clone()));
        let (any, any_out) = unbounded();
        let (checks, checks_out) = unbounded();
        let (answer_in, answers) = answers::channel(notify);
        let closing = Arc::new(AtomicBool::new(false));
        let kept = Arc::new(AtomicUsize::new(0));
        let (keeper, keeper_out) = unbounded();
        let keeper_thread = Keeper {
            jobs: keeper_out,
            answers: answer_in.clone(),
            stamps: BTreeMap::new(),
            store: store.clone(),
        };
        let mut disk = Disk {
            config,
            cache,
            pieces: Vec::new(),
            any,
            checks,
            keeper: Some(keeper),
            answers,
            shifts: RefCell::new(Shifts::new(count)),
            slow: Arc::default(),
            closing,
            store,
            answer_in: answer_in.clone(),
            threads: Vec::new(),
        };
        let builder = thread::Builder::new().name("kt-keeper".to_owned());
        disk.threads.push(builder.spawn(move || keeper_thread.run())?);
        for i in 0..count {
            let (sender, pieces) = unbounded();
            let worker = Worker {
                pieces,
                any: any_out.clone(),
                checks: checks_out.clone(),
                checks_again: disk.checks.clone(),
                answers: answer_in.clone(),
                ahead_bytes: disk.config.ahead_bytes,
                kept: Arc::clone(&kept),
                making: HashMap::new(),
                untold: 0,
                pace: Pace::new(Arc::clone(&disk.slow)),
                scratch: Vec::new(),
                run: Vec::new(),
                closing: Arc::clone(&disk.closing),
            };
            disk.pieces.push(sender);
            disk.threads
                .push(thread::Builder::new().name(format!("kt-disk-{i}")).spawn(move || worker.run())?);
        }
        Ok(disk)
    }

    /// Prepares the storage of a torrent beneath the folder `root`, all of whose files are wanted. Touches no file.
    pub fn open(&self, key: StorageKey, metainfo: Metainfo, root: PathBuf) -> Arc<Storage> {
        self.open_with(key, metainfo, root, Allocation::Sparse, &[])
    }

    /// The same for a torrent whose files have these priorities. If the list is empty, those of the resume record
    /// count when it is [read](Disk::load_resume). Blocks that fall into unwanted files go to the torrent's part file.
    pub fn open_with(
        &self,
        key: StorageKey,
        metainfo: Metainfo,
        root: PathBuf,
        allocation: Allocation,
        priorities: &[Priority],
    ) -> Arc<Storage> {
        let cache = Arc::clone(&self.cache);
        Arc::new(Storage::new(key, metainfo, root, allocation, priorities, cache))
    }

    /// Changes which files are wanted, for what is written from now on or soon after; what the part file holds of files
    /// that are wanted again is moved to them. Answered by [`DiskAnswer::Selected`].
    pub fn select(&self, storage: &Arc<Storage>, priorities: Vec<Priority>) {
        self.keep(KeeperJob::Select { storage: Arc::clone(storage), priorities });
    }

    /// Forgets the parts of a piece that were sent to be written, and gives their buffers back
    /// ([`DiskAnswer::Returned`]). Ends no request; those under way are answered.
    pub fn abandon(&self, storage: &Arc<Storage>, piece: PieceIndex) {
        if let Some(worker) = self.shifts.borrow_mut().given_up((storage.key(), piece)) {
            let _ = self.pieces[worker].send(PieceJob::Abandon { storage: Arc::clone(storage), piece });
        }
    }

    /// Writes and hashes a part of a piece: the whole piece, or parts in any order. Answered by
    /// [`DiskAnswer::Written`]. `last` says that all other parts were sent before. After a result that fails, the other
    /// parts of the same fetching are given back without one.
    pub fn write(&self, storage: &Arc<Storage>, fetch: Fetch, offset: u32, buf: PartBuf, last: bool) {
        self.write_batch(vec![PartWrite { storage: Arc::clone(storage), fetch, offset, buf, last }]);
    }

    /// Pieces whose parts are hashed together best, on this processor.
    pub fn side_by_side() -> usize {
        sha::lanes()
    }

    /// Whether each of the latest writes took long, however short it was: half a millisecond more than its bytes take at
    /// two GB/s. Then few long ones are better than many. One answer for all torrents, from what was written last.
    pub fn is_slow(&self) -> bool {
        self.slow.load(Ordering::Relaxed)
    }

    /// Writes and hashes parts of any pieces, those of several pieces side by side: the same as
    /// [`write`](Disk::write) for each in turn, for less.
    pub fn write_batch(&self, parts: Vec<PartWrite>) {
        let mut batches: Vec<Vec<PartWrite>> = Vec::new();
        batches.resize_with(self.pieces.len(), Vec::new);
        let mut shifts = self.shifts.borrow_mut();
        let fresh = shifts.worker_for_more(self.is_slow());
        for part in parts {
            batches[shifts.part(part.storage.key(), part.fetch, part.last, fresh)].push(part);
        }
        for (worker, parts) in self.pieces.iter().zip(batches) {
            if !parts.is_empty() {
                // A worker ends only when this object is dropped, so that nothing can be refused.
                let _ = worker.send(PieceJob::Parts(parts));
            }
        }
    }

    /// Reads blocks into `buf` as `piece` messages, neighbours together. Answered by [`DiskAnswer::Read`].
    pub fn read(&self, storage: &Arc<Storage>, token: u64, blocks: Vec<BlockRequest>, buf: Vec<u8>) {
        let _ = self.any.send(AnyJob::Read { storage: Arc::clone(storage), token, blocks, buf });
    }

    /// Does the work of [`read`](Disk::read) at once if that needs no waiting: the files are open and the system has the
    /// data in memory. If it answers false, nothing was done, and what is in `buf` is meaningless.
    ///
    /// Two threads and four changes between them are saved, which cost more than the reading. Only Linux can tell what
    /// is in memory, and not for every file system: elsewhere it is always false.
    pub fn read_now(&self, storage: &Arc<Storage>, blocks: &[BlockRequest], buf: &mut Vec<u8>) -> bool {
        let close = |file| {
            let _ = self.any.send(AnyJob::Close(file));
        };
        frame::read_framed(storage, blocks, buf, |at, slices| storage.read_cached(at, slices, close)).is_ok()
    }

    /// Reads `len` bytes of the torrent's stream. Answered by [`DiskAnswer::Range`].
    pub fn read_range(&self, storage: &Arc<Storage>, token: u64, offset: u64, len: usize) {
        let _ = self.any.send(AnyJob::Range { storage: Arc::clone(storage), token, offset, len });
    }

    /// Hashes each block of a piece on the disk. Answered by [`DiskAnswer::BlockHashes`].
    pub fn block_hashes(&self, storage: &Arc<Storage>, piece: PieceIndex) {
        let _ = self.any.send(AnyJob::BlockHashes { storage: Arc::clone(storage), piece });
    }

    /// Hashes the data that is there of the `wanted` pieces, with all workers. Answered by a stream of
    /// [`DiskAnswer::Checked`]. Missing files, short files and holes cost next to nothing.
    pub fn check(&self, storage: &Arc<Storage>, wanted: Bitfield) -> CheckHandle {
        self.start_check(storage, wanted, false)
    }

    /// The same for pieces that were there once: something else in the place of a file is no reason to leave off.
    pub fn check_again(&self, storage: &Arc<Storage>, wanted: Bitfield) -> CheckHandle {
        self.start_check(storage, wanted, true)
    }

    fn start_check(&self, storage: &Arc<Storage>, wanted: Bitfield, again: bool) -> CheckHandle {
        let workers = self.pieces.len() as u32;
        let task = Arc::new(CheckTask::new(Arc::clone(storage), wanted, workers, again));
        for _ in 0..workers {
            let _ = self.checks.send(CheckTurn::new(Arc::clone(&task)));
        }
        CheckHandle(task)
    }

    /// Makes the files that hold no data, reserves room if the torrent wants that, and moves what the part file holds of
    /// wanted files to them. Answered by [`DiskAnswer::Prepared`].
    pub fn prepare(&self, storage: &Arc<Storage>) {
        self.keep(KeeperJob::Prepare(Arc::clone(storage)));
    }

    /// Reads the resume record from the folder of state, or from beside the data; if there is nothing of the torrent, looks in
    /// the folder `also`. Answered by [`DiskAnswer::Resumed`].
    pub fn load_resume(&self, storage: &Arc<Storage>, also: Option<PathBuf>) {
        self.keep(KeeperJob::Load { storage: Arc::clone(storage), also });
    }

    /// Brings the files to the folder `root`, and writes the resume record for the new place. Nothing may be written
    /// meanwhile; reads that fail are to be tried again in the new place. Answered by [`DiskAnswer::Moved`].
    pub fn move_files(
        &self,
        storage: &Arc<Storage>,
        root: PathBuf,
        snapshot: Option<Snapshot>,
    ) -> MoveHandle {
        self.relocate(storage, storage.at(root, storage.names()), snapshot)
    }

    fn relocate(&self, from: &Arc<Storage>, to: Storage, snapshot: Option<Snapshot>) -> MoveHandle {
        let cancel = Arc::new(AtomicBool::new(false));
        if let Some(back) = self.keeper.clone() {
            let (from, to, cancel) = (Arc::clone(from), Arc::new(to), Arc::clone(&cancel));
            self.keep(KeeperJob::Move(Box::new(Move { from, to, snapshot, cancel, back })));
        }
        MoveHandle(cancel)
    }

    /// Gives a file another name below the folder of the torrent, and writes the resume record. As with
    /// [`move_files`](Disk::move_files); answered by [`DiskAnswer::Moved`].
    ///
    /// # Errors
    ///
    /// A name that is not one, or that another file of the torrent has.
    pub fn rename_file(
        &self,
        storage: &Arc<Storage>,
        file: usize,
        name: &str,
        snapshot: Option<Snapshot>,
    ) -> Result<MoveHandle, PathError> {
        let mut names = storage.names();
        let path = names::checked_name(storage.metainfo(), &names, file, name)?;
        if *path == *storage.metainfo().files()[file].path {
            names.remove(&file);
        } else {
            names.insert(file, path);
        }
        let to = storage.at(storage.root().to_path_buf(), names);
        Ok(self.relocate(storage, to, snapshot))
    }

    /// The same files, opened afresh: for files that were replaced by others of the same name.
    pub fn reopen(&self, storage: &Arc<Storage>) -> Arc<Storage> {
        Arc::new(storage.at(storage.root().to_path_buf(), storage.names()))
    }

    /// Looks whether files of which all pieces are in `have` were changed by somebody else since they were recorded: those
    /// that were read since the last look, or all of them if they were not looked at for the time `all_after`. Answered
    /// by [`DiskAnswer::Looked`].
    pub fn look(&self, storage: &Arc<Storage>, have: Bitfield, all_after: std::time::Duration) {
        self.keep(KeeperJob::Look { storage: Arc::clone(storage), have, all_after });
    }

    /// Syncs the data and writes the resume record. Answered by [`DiskAnswer::Saved`].
    pub fn save_resume(&self, storage: &Arc<Storage>, snapshot: Snapshot) {
        self.keep(KeeperJob::Save { storage: Arc::clone(storage), snapshot: Box::new(snapshot) });
    }

    /// Whether there is a folder of state.
    pub fn has_state(&self) -> bool {
        self.store.is_some()
    }

    /// Remembers a torrent in the folder of state. Answered by [`DiskAnswer::Stored`].
    pub fn remember(&self, storage: &Arc<Storage>, stored: Stored) {
        self.keep(KeeperJob::Remember { key: storage.key(), stored: Box::new(stored) });
    }

    /// Forgets a torrent in the folder of state. Answered by [`DiskAnswer::Stored`].
    pub fn forget(&self, storage: &Arc<Storage>) {
        self.keep(KeeperJob::Forget { key: storage.key(), info_hash: storage.metainfo().info_hash() });
    }

    /// Reads all torrents that are remembered. Answered by a stream of [`DiskAnswer::Restored`], whose first comes at
    /// once and whose last says so. Without a folder of state there is one empty answer.
    ///
    /// # Errors
    ///
    /// The system refused a thread.
    pub fn restore(&mut self) -> std::io::Result<()> {
        let Some(store) = self.store.clone() else {
            self.answer_in.send(DiskAnswer::Restored { torrents: Vec::new(), failed: 0, end: true });
            return Ok(());
        };
        let (answers, closing) = (self.answer_in.clone(), Arc::clone(&self.closing));
        let builder = thread::Builder::new().name("kt-restore".to_owned());
        self.threads.push(builder.spawn(move || restore::restore(&store, &answers, &closing))?);
        Ok(())
    }

    /// Closes the files of a torrent for which nothing is under way but work of the keeper. Answered by
    /// [`DiskAnswer::Closed`].
    pub fn close(&self, storage: &Arc<Storage>) {
        self.release(storage);
        self.keep(KeeperJob::Close(Arc::clone(storage)));
    }

    /// Gives up what is held for a torrent that rests: open files, and parts of pieces that are not complete. It may
    /// be used again all the same. Ends no request.
    pub fn release(&self, storage: &Arc<Storage>) {
        self.shifts.borrow_mut().forget(storage.key());
        for worker in &self.pieces {
            // Behind what was sent to the worker before.
            let _ = worker.send(PieceJob::Forget(Arc::clone(storage)));
        }
    }

    fn keep(&self, job: KeeperJob) {
        if let Some(keeper) = &self.keeper {
            let _ = keeper.send(job);
        }
    }

    /// The next answer, if there is one. After `None` the next answer rings again.
    pub fn next_answer(&self) -> Option<DiskAnswer> {
        let answer = self.answers.next();
        if let Some(DiskAnswer::Written { key, fetch, result, .. }) = &answer {
            let judged = matches!(result, Some(PieceResult::Good | PieceResult::Bad { .. }));
            self.shifts.borrow_mut().answered(*key, *fetch, judged);
        }
        answer
    }
}

/// A folder of state that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("cannot use {dir:?} as folder of state: {source}")]
pub struct StateError {
    /// The folder.
    pub dir: PathBuf,
    /// Why not.
    pub source: std::io::Error,
}

impl Drop for Disk {
    /// Ends the threads after the work in hand and waits for them. What is still queued is not done: whoever wants
    /// it done waits for the answers first.
    fn drop(&mut self) {
        self.closing.store(true, Ordering::Relaxed);
        self.pieces.clear();
        self.keeper = None;
        for thread in self.threads.drain(..) {
            // A worker that panicked was reported by the panic itself.
            let _ = thread.join();
        }
    }
}

impl fmt::Debug for Disk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Disk").field("config", &self.config).finish_non_exhaustive()
    }
}
