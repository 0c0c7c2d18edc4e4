//! The state of a session: which torrents there are, and their resume records, in two logs of one folder.
//!
//! They are apart because one is long and hardly changes, while the other is short and changes all the time.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard};

use super::StateError;
use super::beneath::{self, Access, Dir};
use super::log::{Log, LogReader};
use crate::proto::info_hash::InfoHash;

/// A folder of state, taken for this process.
#[derive(Debug)]
pub(crate) struct Store {
    dir: PathBuf,
    inner: Mutex<Inner>,
    /// Holds the lock as long as the store is there.
    _lock: File,
}

#[derive(Debug)]
struct Inner {
    torrents: Log,
    records: Log,
}

impl Store {
    /// Takes a folder, which is made if it is missing, and looks through what is in it.
    ///
    /// # Errors
    ///
    /// Another process has it (`WouldBlock`), and what the system reports.
    pub(crate) fn open(dir: &Path) -> io::Result<Store> {
        let lock = Dir::open(dir, true)?.open_file(LOCK.as_ref(), Access::Write)?;
        if !beneath::lock(&lock)? {
            return Err(io::Error::new(io::ErrorKind::WouldBlock, "another process uses it"));
        }
        let inner = Inner { torrents: Log::open(dir, TORRENTS)?, records: Log::open(dir, RECORDS)? };
        Ok(Store { dir: dir.to_owned(), inner: Mutex::new(inner), _lock: lock })
    }

    /// The folder.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Remembers a torrent, after [`commit`](Store::commit). One that is remembered just so keeps its place.
    pub(crate) fn put_torrent(&self, info_hash: InfoHash, bytes: &[u8]) -> io::Result<()> {
        let log = &mut self.lock().torrents;
        if log.get(&info_hash.0).is_ok_and(|old| old.as_deref() == Some(bytes)) {
            return Ok(());
        }
        log.put(info_hash.0, bytes)
    }

    /// Forgets a torrent, after [`commit`](Store::commit). Its resume record stays, so that nothing has to be hashed
    /// if it is added again.
    pub(crate) fn forget_torrent(&self, info_hash: InfoHash) {
        self.lock().torrents.delete(info_hash.0);
    }

    /// Keeps a resume record, after [`commit`](Store::commit).
    pub(crate) fn put_record(&self, info_hash: InfoHash, bytes: &[u8]) -> io::Result<()> {
        self.lock().records.put(info_hash.0, bytes)
    }

    /// The resume record of a torrent.
    pub(crate) fn record(&self, info_hash: InfoHash) -> io::Result<Option<Vec<u8>>> {
        self.lock().records.get(&info_hash.0)
    }

    /// Brings everything to the medium: one flush for each log that changed.
    pub(crate) fn commit(&self) -> io::Result<()> {
        let mut inner = self.lock();
        // Both in any case: one that failed must not take the other with it.
        let torrents = inner.torrents.commit();
        inner.records.commit().and(torrents)
    }

    /// The torrents that are remembered, in the order in which they were added.
    pub(crate) fn torrents(&self) -> io::Result<LogReader> {
        self.lock().torrents.reader()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // What the logs hold is changed in steps that each leave them whole.
        self.inner.lock().unwrap_or_else(|e| e.into_inner())
    }
}

/// Forgets torrents that are kept in a folder of state, so that they are not restored; tells of each whether it was
/// there. Their files and resume records stay.
///
/// # Errors
///
/// [`StateError`]: there is no such folder, another process has it, or it cannot be written.
pub fn forget_torrents(state_dir: &Path, torrents: &[InfoHash]) -> Result<Vec<bool>, StateError> {
    let forget = || {
        // It is not made: there is nothing to forget in a new one.
        std::fs::read_dir(state_dir)?;
        let store = Store::open(state_dir)?;
        let known = torrents.iter().map(|torrent| store.lock().torrents.contains(&torrent.0)).collect();
        torrents.iter().for_each(|torrent| store.forget_torrent(*torrent));
        store.commit()?;
        Ok(known)
    };
    forget().map_err(|source| StateError { dir: state_dir.to_owned(), source })
}

const LOCK: &str = "lock";
const TORRENTS: &str = "torrents.log";
const RECORDS: &str = "resume.log";
