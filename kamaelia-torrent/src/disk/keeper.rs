//! The thread for what waits for the medium: syncing data, resume records, making and closing files.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::io::Read;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crossbeam_channel::Receiver;

use super::beneath::{Access, Dir};
use super::store::Store;
use super::{Answers, DiskAnswer, DiskError, Snapshot, Storage, StorageKey, Totals, Writes};
use crate::proto::bitfield::Bitfield;
use crate::proto::info_hash::InfoHash;
use crate::proto::resume::{FileStamp, Resume};
use crate::proto::selection::{Priority, pieces_of};
use crate::proto::stored::Stored;

/// Work for the keeper. All of one torrent is done in the order in which it was sent.
#[derive(Debug)]
pub(crate) enum KeeperJob {
    /// Makes the files that no write would make.
    Prepare(Arc<Storage>),
    /// Reads the resume record and compares it with the files.
    Load(Arc<Storage>),
    /// Syncs the data, then writes the resume record.
    Save { storage: Arc<Storage>, snapshot: Snapshot },
    /// Remembers a torrent.
    Remember { key: StorageKey, stored: Box<Stored> },
    /// Forgets a torrent.
    Forget { key: StorageKey, info_hash: InfoHash },
    /// Other files are wanted.
    Select { storage: Arc<Storage>, priorities: Vec<Priority> },
    /// Closes the files.
    Close(Arc<Storage>),
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
}

impl Keeper {
    /// Works until the owner of the queue is gone and the queue is empty.
    pub(crate) fn run(mut self) {
        let mut answers = Vec::new();
        while let Ok(job) = self.jobs.recv() {
            answers.push(self.work(job));
            // What else waits is done first, so that one flush of the folder of state serves all.
            while answers.len() < BATCH
                && let Ok(job) = self.jobs.try_recv()
            {
                answers.push(self.work(job));
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

    fn work(&mut self, job: KeeperJob) -> DiskAnswer {
        match job {
            KeeperJob::Prepare(storage) => {
                DiskAnswer::Prepared { key: storage.key(), error: self.prepare(&storage).err() }
            }
            KeeperJob::Load(storage) => self.load(&storage),
            KeeperJob::Select { storage, priorities } => {
                storage.set_priorities(&priorities);
                DiskAnswer::Selected { key: storage.key(), error: self.prepare(&storage).err() }
            }
            KeeperJob::Save { storage, snapshot } => {
                let error = self.save(&storage, snapshot).err();
                DiskAnswer::Saved { key: storage.key(), error }
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
        }
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
    fn load(&mut self, storage: &Storage) -> DiskAnswer {
        let key = storage.key();
        let count = storage.geometry().piece_count();
        let record = self.read_record(storage);
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
        self.stamps.insert(key, Stamps { files: stamps, again: BTreeSet::new() });
        let totals = record.map_or_else(Totals::default, |r| Totals {
            uploaded: r.uploaded,
            downloaded: r.downloaded,
            active_secs: r.active_secs,
            seeding_secs: r.seeding_secs,
        });
        DiskAnswer::Resumed { key, have, recheck, totals, priorities }
    }

    fn save(&mut self, storage: &Storage, snapshot: Snapshot) -> Result<(), DiskError> {
        // Data first: the record must never speak of something that is not on the medium.
        let changed = storage.sync()?;
        let count = storage.metainfo().files().len();
        let stamps = self
            .stamps
            .entry(storage.key())
            .or_insert_with(|| Stamps { files: vec![None; count], again: (0..count).collect() });
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
        };
        if let Some(store) = &self.store {
            // Made durable by the commit, before the answer goes out.
            return store.put_record(info_hash, &record.encode()).map_err(|e| state_error(store, &e));
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
