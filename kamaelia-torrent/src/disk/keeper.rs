//! The thread for what waits for the medium: syncing data, resume records, making and closing files.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crossbeam_channel::{Receiver, Sender};

use super::beneath::{Access, Dir};
use super::names::{checked_name, tell_apart};
use super::relocate::{Relocation, relocate};
use super::store::Store;
use super::{Answers, DiskAnswer, DiskError, Snapshot, Storage, StorageKey, Totals, Writes};
use crate::proto::bitfield::Bitfield;
use crate::proto::info_hash::InfoHash;
use crate::proto::resume::{FileStamp, Moved, Resume};
use crate::proto::selection::{Priority, pieces_of};
use crate::proto::stored::Stored;

/// Work for the keeper. All of one torrent is done in the order in which it was sent. What is rare is in boxes: when ten
/// thousand torrents are added, twice as many of these wait.
#[derive(Debug)]
pub(crate) enum KeeperJob {
    /// Makes the files that no write would make.
    Prepare(Arc<Storage>),
    /// Reads the resume record and compares it with the files.
    Load { storage: Arc<Storage>, also: Option<PathBuf> },
    /// Syncs the data, then writes the resume record.
    Save { storage: Arc<Storage>, snapshot: Box<Snapshot> },
    /// Brings the files to another place and writes the resume record.
    Move(Box<Move>),
    /// The files are in both places.
    Moved(Box<Move>, Box<Result<Option<Relocation>, DiskError>>),
    /// Looks whether files were changed by somebody else. Only those of which all pieces are in the set, and only those
    /// that were read lately unless the last look at all was so long ago.
    Look { storage: Arc<Storage>, have: Bitfield, all_after: Duration },
    /// Remembers a torrent.
    Remember { key: StorageKey, stored: Box<Stored> },
    /// Forgets a torrent.
    Forget { key: StorageKey, info_hash: InfoHash },
    /// Other files are wanted.
    Select { storage: Arc<Storage>, priorities: Vec<Priority> },
    /// Closes the files.
    Close(Arc<Storage>),
}

/// A torrent on its way.
#[derive(Debug)]
pub(crate) struct Move {
    pub(crate) from: Arc<Storage>,
    pub(crate) to: Arc<Storage>,
    pub(crate) snapshot: Option<Snapshot>,
    /// Set by whoever does not want it any more.
    pub(crate) cancel: Arc<AtomicBool>,
    /// The keeper's queue.
    pub(crate) back: Sender<KeeperJob>,
}

impl Move {
    /// Copying to another file system takes its time, in which the keeper has other things to do. Answers at once if
    /// that cannot be begun.
    fn copy_aside(self: Box<Move>) -> Option<DiskAnswer> {
        let key = self.from.key();
        let path = self.to.root().to_path_buf();
        let mover = thread::Builder::new().name("kt-move".to_owned()).spawn(move || {
            let relocated = relocate(&self.from, &self.to, &self.cancel);
            let back = self.back.clone();
            // Refused only when the keeper has ended, and then nobody waits for it.
            let _ = back.send(KeeperJob::Moved(self, Box::new(relocated)));
        });
        let e = mover.err()?;
        Some(DiskAnswer::Moved { key, result: Err(DiskError::from_io("move to", &path, e)) })
    }
}

/// The keeper thread.
pub(crate) struct Keeper {
    pub(crate) jobs: Receiver<KeeperJob>,
    pub(crate) answers: Answers,
    /// Stamps of the files that were not written since, so that a save looks only at what changed.
    pub(crate) stamps: BTreeMap<StorageKey, Stamps>,
    /// The folder of state, if there is one.
    pub(crate) store: Option<Arc<Store>>,
}

/// How the files of a torrent looked when they were last looked at.
#[derive(Debug)]
pub(crate) struct Stamps {
    files: Vec<Option<FileStamp>>,
    /// Files to be looked at again at the next save.
    again: BTreeSet<usize>,
    /// When all of them were last looked at because some were read.
    looked: Option<Instant>,
}

impl Keeper {
    /// Works until the owner of the queue is gone and the queue is empty.
    pub(crate) fn run(mut self) {
        let mut answers = Vec::new();
        while let Ok(job) = self.jobs.recv() {
            answers.extend(self.work(job));
            // What else waits is done first, so that one flush of the folder of state serves all.
            while answers.len() < BATCH
                && let Ok(job) = self.jobs.try_recv()
            {
                answers.extend(self.work(job));
            }
            let failed = self.store.as_ref().and_then(|store| store.commit().err().map(|e| (store, e)));
            for mut answer in answers.drain(..) {
                if let (
                    Some((store, e)),
                    DiskAnswer::Saved { error: error @ None, .. }
                    | DiskAnswer::Stored { error: error @ None, .. },
                ) = (&failed, &mut answer)
                {
                    *error = Some(state_error(store, e));
                }
                self.answers.send(answer);
            }
        }
    }

    /// Does a job; a move that takes its time is answered later.
    fn work(&mut self, job: KeeperJob) -> Option<DiskAnswer> {
        Some(match job {
            KeeperJob::Prepare(storage) => {
                DiskAnswer::Prepared { key: storage.key(), error: self.prepare(&storage).err() }
            }
            KeeperJob::Select { storage, priorities } => {
                storage.set_priorities(&priorities);
                DiskAnswer::Selected { key: storage.key(), error: self.prepare(&storage).err() }
            }
            KeeperJob::Load { storage, also } => self.load(storage, also),
            KeeperJob::Save { storage, snapshot } => {
                let error = self.save(&storage, *snapshot).err();
                DiskAnswer::Saved { key: storage.key(), error }
            }
            KeeperJob::Move(job) if job.from.root() == job.to.root() => {
                let relocated = relocate(&job.from, &job.to, &job.cancel);
                self.moved(*job, relocated)
            }
            KeeperJob::Move(job) => return job.copy_aside(),
            KeeperJob::Moved(job, relocated) => self.moved(*job, *relocated),
            KeeperJob::Look { storage, have, all_after } => {
                DiskAnswer::Looked { key: storage.key(), changed: self.look(&storage, &have, all_after) }
            }
            KeeperJob::Remember { key, stored } => {
                let put = |store: &Arc<Store>| {
                    let put = store.put_torrent(stored.metainfo.info_hash(), &stored.encode());
                    put.err().map(|e| state_error(store, &e))
                };
                DiskAnswer::Stored { key, error: self.store.as_ref().and_then(put) }
            }
            KeeperJob::Forget { key, info_hash } => {
                if let Some(store) = &self.store {
                    store.forget_torrent(info_hash);
                }
                DiskAnswer::Stored { key, error: None }
            }
            KeeperJob::Close(storage) => {
                storage.close_files();
                self.stamps.remove(&storage.key());
                DiskAnswer::Closed { key: storage.key() }
            }
        })
    }

    fn prepare(&mut self, storage: &Storage) -> Result<(), DiskError> {
        storage.make_empty_files()?;
        storage.reserve()?;
        let changed = storage.settle_parts()?;
        if let Some(stamps) = self.stamps.get_mut(&storage.key()) {
            stamps.again.extend(changed);
        }
        Ok(())
    }

    /// What the record vouches for, and what has to be hashed because there is no record that speaks of the files as
    /// they are now. The record is input like any other: what it says about pieces holds only for files whose size
    /// and time of change it names correctly.
    ///
    /// The record also says where the files are if they were moved. If there is neither a record nor any file, they may
    /// be in the folder `also`, to which the torrent goes when it is complete.
    fn load(&mut self, asked: Arc<Storage>, also: Option<PathBuf>) -> DiskAnswer {
        let key = asked.key();
        let mut storage = Arc::clone(&asked);
        let mut record = self.read_record(&storage);
        if record.is_none()
            && let Some(also) = also.filter(|_| !storage.has_any_file())
        {
            let there = storage.at(also, BTreeMap::new());
            let found = self.read_record(&there);
            if found.is_some() || there.has_any_file() {
                (storage, record) = (Arc::new(there), found);
            }
        }
        if let Some(place) =
            record.as_ref().and_then(|record| place_of(&storage, record, self.store.is_some()))
        {
            storage = Arc::new(place);
        }
        if let Some(told_apart) = tell_apart(&storage) {
            storage = Arc::new(told_apart);
        }
        let storage = &storage;
        let count = storage.geometry().piece_count();
        let mut have = record.as_ref().map_or_else(|| Bitfield::new(count), |record| record.have.clone());
        // Without a record everything, also pieces that are nothing but padding.
        let mut recheck = if record.is_some() { Bitfield::new(count) } else { Bitfield::full(count) };
        let priorities = record.as_ref().map_or_else(Vec::new, |record| record.priorities.clone());
        if !storage.is_chosen() {
            storage.set_priorities(&priorities);
        }
        let parts = record.as_ref().and_then(|record| record.parts);
        let parts_trusted = storage.part_stamp().unwrap_or(None) == parts;
        if !parts_trusted {
            for piece in storage.part_pieces() {
                have.clear(piece);
                recheck.set(piece);
            }
        }
        let mut stamps = Vec::new();
        for (i, entry) in storage.metainfo().files().iter().enumerate() {
            let now = if entry.pad { None } else { storage.stamp(i).unwrap_or(None) };
            let then = record.as_ref().and_then(|record| record.files.get(i).copied().flatten());
            stamps.push(now);
            // Padding needs no file; a file that is not there has nothing to be hashed.
            let unwanted = storage.is_unwanted(i);
            let was_unwanted = priorities.get(i).is_some_and(|priority| !priority.is_wanted());
            // What is in the part file does not show in the stamp.
            let whole = parts_trusted || !(unwanted || was_unwanted);
            let trusted = entry.pad || (now.is_some() && now == then && whole);
            if trusted || entry.len == 0 {
                continue;
            }
            for piece in pieces_of(&storage.geometry(), entry) {
                if unwanted && record.is_some() && now.is_none() && then.is_none() {
                    // The file is not meant to be there, but what is said to be verified has to be somewhere.
                    let there = parts_trusted && storage.part_holds(piece, i);
                    if !have.get(piece) || there {
                        continue;
                    }
                }
                have.clear(piece);
                // A piece of a missing file can still be right if that part of it is padding or hashes as zeros
                // would; only the check knows.
                recheck.set(piece);
            }
        }
        self.stamps.insert(key, Stamps { files: stamps, again: BTreeSet::new(), looked: None });
        let totals = record.map_or_else(Totals::default, |r| Totals {
            uploaded: r.uploaded,
            downloaded: r.downloaded,
            active_secs: r.active_secs,
            seeding_secs: r.seeding_secs,
        });
        let moved = (!Arc::ptr_eq(storage, &asked)).then(|| Arc::clone(storage));
        DiskAnswer::Resumed { key, have, recheck, totals, priorities, storage: moved }
    }

    /// Data, then the record, then the old names: whenever this ends, the record speaks of a place that is whole.
    fn moved(&mut self, job: Move, relocated: Result<Option<Relocation>, DiskError>) -> DiskAnswer {
        let key = job.from.key();
        let Move { from, to, snapshot, .. } = job;
        let result = relocated.and_then(|relocation| self.record_move(&from, &to, snapshot, relocation));
        // Handles of the old place are of no more use.
        from.close_files();
        DiskAnswer::Moved { key, result: result.map(|()| to) }
    }

    fn record_move(
        &mut self,
        from: &Storage,
        to: &Storage,
        snapshot: Option<Snapshot>,
        relocation: Option<Relocation>,
    ) -> Result<(), DiskError> {
        let old_record = self.store.is_none().then(|| record_name(from));
        let recorded = match snapshot {
            Some(snapshot) => self.save(to, snapshot),
            // Nothing is known yet but what an earlier run left.
            None => self.read_record(from).map_or(Ok(()), |record| self.write_record(to, record)),
        };
        // The old names go only when it is certain that the record stays.
        let recorded = recorded.and_then(|()| {
            let Some(store) = &self.store else { return Ok(()) };
            store.commit().map_err(|e| state_error(store, &e))
        });
        let Some(relocation) = relocation else { return recorded };
        if let Err(e) = recorded {
            relocation.undo();
            return Err(e);
        }
        relocation.leave();
        if let Some(name) = old_record {
            relocation.leave_behind(&name);
        }
        Ok(())
    }

    /// Files that are not as they were when they were last recorded, and whether they are missing.
    fn look(&mut self, storage: &Storage, have: &Bitfield, all_after: Duration) -> Vec<(usize, bool)> {
        let Some(stamps) = self.stamps.get_mut(&storage.key()) else { return Vec::new() };
        let (now, recent) = (Instant::now(), storage.recent.take());
        let files: Vec<usize> = if stamps.looked.is_none_or(|at| now - at >= all_after) {
            stamps.looked = Some(now);
            (0..stamps.files.len()).collect()
        } else {
            recent.collect()
        };
        let mut changed = Vec::new();
        for i in files {
            let Some(&Some(then)) = stamps.files.get(i) else { continue };
            let settled = !stamps.again.contains(&i) && storage.pieces_of(i).all(|piece| have.get(piece));
            if !settled {
                continue;
            }
            // A file that cannot be looked at is left to whoever reads it.
            let Ok(now) = storage.stamp(i) else { continue };
            // In this order: who writes sets the mark before the piece is counted.
            if now != Some(then) && !storage.dirty().contains(&i) {
                changed.push((i, now.is_none()));
                stamps.files[i] = None;
                stamps.again.insert(i);
            }
        }
        changed
    }

    fn save(&mut self, storage: &Storage, snapshot: Snapshot) -> Result<(), DiskError> {
        // Data first: the record must never speak of something that is not on the medium.
        let changed = storage.sync()?;
        let count = storage.metainfo().files().len();
        let stamps = self.stamps.entry(storage.key()).or_insert_with(|| Stamps {
            files: vec![None; count],
            again: (0..count).collect(),
            looked: None,
        });
        stamps.again.extend(changed);
        let mut waited = false;
        for i in std::mem::take(&mut stamps.again) {
            let mut stamp = storage.stamp(i)?;
            match snapshot.writes {
                // A file that changed since the pieces were counted holds more than the record says. The next run
                // has to look into it.
                Writes::GoOn if stamp.is_some_and(|stamp| age(stamp, snapshot.at) < CLOCK_TICK) => {
                    stamp = None;
                    stamps.again.insert(i);
                }
                // Nobody writes any more; only that the clock ticks is awaited, once for all files, so that the stamp
                // cannot be that of a later change by somebody else.
                Writes::Ended
                    if !waited && stamp.is_some_and(|stamp| age(stamp, SystemTime::now()) < CLOCK_TICK) =>
                {
                    waited = true;
                    std::thread::sleep(CLOCK_TICK);
                }
                _ => {}
            }
            if let Some(file) = stamps.files.get_mut(i) {
                *file = stamp;
            }
        }
        // The part file is looked at each time: it is small, and most torrents have none.
        let parts = storage.part_stamp()?.filter(|stamp| match snapshot.writes {
            Writes::GoOn => age(*stamp, snapshot.at) >= CLOCK_TICK,
            Writes::Ended => {
                if !waited && age(*stamp, SystemTime::now()) < CLOCK_TICK {
                    std::thread::sleep(CLOCK_TICK);
                }
                true
            }
        });
        let files = stamps.files.clone();
        let info_hash = storage.metainfo().info_hash();
        let Snapshot { have, totals, priorities, .. } = snapshot;
        let Totals { uploaded, downloaded, active_secs, seeding_secs } = totals;
        let record = Resume {
            info_hash,
            have,
            files,
            uploaded,
            downloaded,
            active_secs,
            seeding_secs,
            priorities,
            parts,
            moved: None,
            names: BTreeMap::new(),
        };
        self.write_record(storage, record)
    }

    /// Writes a record, with the place as it is. In the folder of state it is durable after the next commit.
    fn write_record(&self, storage: &Storage, mut record: Resume) -> Result<(), DiskError> {
        // A record beside the data needs not say where it is, and would not be believed.
        let moved = self.store.is_some() && storage.home() != storage.root();
        record.moved = moved.then(|| Moved { home: bytes_of(storage.home()), dir: bytes_of(storage.root()) });
        let text =
            |(file, path): (usize, PathBuf)| Some((u32::try_from(file).ok()?, path.to_str()?.to_owned()));
        record.names = storage.names().into_iter().filter_map(text).collect();
        if let Some(store) = &self.store {
            return store.put_record(record.info_hash, &record.encode()).map_err(|e| state_error(store, &e));
        }
        let path = storage.root();
        let error = |e| DiskError::from_io("write", &path.join(record_name(storage)), e);
        let dir = Dir::open(path, true).map_err(error)?;
        dir.replace(&record_name(storage), &record.encode()).map_err(error)
    }

    /// The resume record of a torrent, if there is one that can be read and is about this torrent.
    fn read_record(&self, storage: &Storage) -> Option<Resume> {
        let (info_hash, files) = (storage.metainfo().info_hash(), storage.metainfo().files().len());
        let stored = self.store.as_ref().and_then(|store| store.record(info_hash).ok().flatten());
        let bytes = stored.or_else(|| {
            let dir = self.store.as_ref().map_or(storage.root(), |store| store.dir());
            let name = record_name(storage);
            let file = Dir::open(dir, false).and_then(|dir| dir.open_file(name.as_ref(), Access::Read));
            let mut bytes = Vec::new();
            // No record is normal: the torrent is new.
            file.ok()?.take(MAX_RECORD).read_to_end(&mut bytes).ok()?;
            Some(bytes)
        })?;
        match Resume::parse(&bytes, info_hash, storage.geometry(), files) {
            Ok(record) => Some(record),
            Err(e) => {
                log::warn!("resume record of {info_hash} is not used: {e}");
                None
            }
        }
    }
}

/// Where a record says that the files are, if that is not where they are looked for.
///
/// A folder is taken only from a record in the folder for records, where no torrent writes: beside the data a torrent
/// could bring a file with the name of another one's record, and lead it anywhere. It counts only for whoever wants the
/// torrent in the same folder as before.
fn place_of(storage: &Storage, record: &Resume, own_folder: bool) -> Option<Storage> {
    let mut root = storage.root().to_path_buf();
    if let Some(moved) = record.moved.as_ref().filter(|_| own_folder)
        && moved.home == bytes_of(storage.home())
        && let Some(dir) = path_from(&moved.dir)
    {
        root = dir;
    }
    let mut names = BTreeMap::new();
    for (file, name) in &record.names {
        let file = *file as usize;
        match checked_name(storage.metainfo(), &names, file, name) {
            Ok(path) => {
                names.insert(file, path);
            }
            Err(e) => {
                log::warn!("a name in the record of {} is not used: {e}", storage.metainfo().info_hash())
            }
        }
    }
    (root != storage.root() || !names.is_empty()).then(|| storage.at(root, names))
}

/// A folder as bytes, wherever the program runs next time.
fn bytes_of(path: &Path) -> Vec<u8> {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
    path.as_os_str().as_encoded_bytes().to_vec()
}

#[cfg(unix)]
fn path_from(bytes: &[u8]) -> Option<PathBuf> {
    use std::os::unix::ffi::OsStrExt;

    Some(PathBuf::from(std::ffi::OsStr::from_bytes(bytes)))
}

#[cfg(not(unix))]
fn path_from(bytes: &[u8]) -> Option<PathBuf> {
    std::str::from_utf8(bytes).ok().map(PathBuf::from)
}

fn state_error(store: &Store, e: &std::io::Error) -> DiskError {
    // One failure may answer many requests, but an error of the system cannot be copied.
    let copy = e.raw_os_error().map_or_else(|| e.kind().into(), std::io::Error::from_raw_os_error);
    DiskError::from_io("write", store.dir(), copy)
}

/// How long before `at` a file was changed.
fn age(stamp: FileStamp, at: SystemTime) -> Duration {
    let at = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    at.saturating_sub(Duration::from_nanos(stamp.mtime))
}

fn record_name(storage: &Storage) -> String {
    format!(".{}.resume", storage.metainfo().info_hash())
}

/// Time stamps of files are no finer than this (10 ms on Linux with 100 ticks a second), with some reserve. File
/// systems that count in seconds may lose a piece that was written in the same second as a record; it is fetched again.
const CLOCK_TICK: Duration = Duration::from_millis(20);

/// Requests dealt with between two flushes of the folder of state, at most.
const BATCH: usize = 256;

/// A record holds a bit for each of at most a few million pieces and a line for each file.
const MAX_RECORD: u64 = 32 * 1024 * 1024;
