//! Open files of all torrents, under one budget.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use super::StorageKey;
use super::beneath::{self, Access};
use super::hook::{DiskHook, HookedAccess};

/// A file of a place of a torrent.
type FileKey = (StorageKey, u32, usize);

/// Handles of files in use, the least recently used of which is closed when there are too many.
#[derive(Debug)]
pub(crate) struct FileCache {
    budget: usize,
    hook: Option<DiskHook>,
    inner: Mutex<Inner>,
}

impl FileCache {
    /// A cache of at most `budget` open files. Whoever uses one of them calls [`before`](FileCache::before).
    pub(crate) fn new(budget: usize, hook: Option<DiskHook>) -> FileCache {
        FileCache { budget: budget.max(1), hook, inner: Mutex::default() }
    }

    /// Calls the hook, if there is one, before a file is accessed.
    pub(crate) fn before(&self, access: HookedAccess, bytes: u64) -> io::Result<()> {
        self.hook.as_ref().map_or(Ok(()), |hook| hook.call(access, bytes))
    }

    /// The handle of a file; `open` makes it if there is none that allows `access`.
    pub(crate) fn get(
        &self,
        key: FileKey,
        access: Access,
        open: impl Fn() -> io::Result<File>,
    ) -> io::Result<Arc<File>> {
        {
            let mut inner = self.lock();
            inner.clock += 1;
            let now = inner.clock;
            if let Some(entry) = inner.files.get_mut(&key)
                && (access == Access::Read || entry.access == Access::Write)
            {
                entry.used = now;
                return Ok(Arc::clone(&entry.file));
            }
        }
        // Opened outside the lock: a slow file system holds up this worker only. Two workers may open the same
        // file at once; the later handle stays.
        let file = match open() {
            Err(e) if beneath::is_out_of_files(&e) => {
                // The rest of the process used up the descriptors: give ours back and try once more.
                self.lock().files.clear();
                open()?
            }
            other => other?,
        };
        let file = Arc::new(file);
        let mut inner = self.lock();
        while inner.files.len() >= self.budget && !inner.files.contains_key(&key) {
            let oldest = inner.files.iter().min_by_key(|(_, entry)| entry.used).map(|(key, _)| *key);
            if let Some(oldest) = oldest {
                inner.files.remove(&oldest);
            }
        }
        let used = inner.clock;
        inner.files.insert(key, Entry { file: Arc::clone(&file), access, used });
        Ok(file)
    }

    /// The handle of a file if it is open, for somebody who must not wait: neither for the lock nor for a hook. Whoever
    /// is the last to have it closes it, which may take long.
    pub(crate) fn peek(&self, key: FileKey) -> Option<Arc<File>> {
        if self.hook.is_some() {
            return None;
        }
        let mut inner = self.inner.try_lock().ok()?;
        inner.clock += 1;
        let now = inner.clock;
        let entry = inner.files.get_mut(&key)?;
        entry.used = now;
        Some(Arc::clone(&entry.file))
    }

    /// Closes one file.
    pub(crate) fn forget(&self, key: (StorageKey, u32, usize)) {
        self.lock().files.remove(&key);
    }

    /// Closes the files of one torrent.
    pub(crate) fn close(&self, storage: StorageKey) {
        self.lock().files.retain(|key, _| key.0 != storage);
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // No code that can panic runs under the lock.
        self.inner.lock().unwrap_or_else(|e| e.into_inner())
    }
}

#[derive(Debug, Default)]
struct Inner {
    files: HashMap<FileKey, Entry>,
    clock: u64,
}

#[derive(Debug)]
struct Entry {
    file: Arc<File>,
    access: Access,
    used: u64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    #[test]
    fn the_least_recently_used_is_closed() {
        let tmp = tempfile::tempdir().unwrap();
        let cache = FileCache::new(2, None);
        let opened = Cell::new(0);
        let get = |i: usize, access| {
            let open = || {
                opened.set(opened.get() + 1);
                File::create(tmp.path().join(i.to_string()))
            };
            cache.get((StorageKey(1), 0, i), access, open).unwrap();
        };
        get(0, Access::Write);
        get(1, Access::Read);
        get(0, Access::Read);
        assert_eq!(opened.get(), 2);
        get(2, Access::Read); // closes 1
        get(0, Access::Write);
        assert_eq!(opened.get(), 3);
        get(1, Access::Read);
        assert_eq!(opened.get(), 4);
        assert_eq!(cache.lock().files.len(), 2);
        get(1, Access::Write); // the handle for reading is not enough
        assert_eq!(opened.get(), 5);
        cache.close(StorageKey(1));
        assert!(cache.lock().files.is_empty());
    }
}
