//! Systems without `openat`: every component is looked at before it is used.
//!
//! Between the look and the use somebody with access to the folder could put a link in place; without handles of
//! folders that cannot be closed, and on such a system nobody but the user writes there.

use std::fs::{File, OpenOptions};
use std::io::{self, IoSlice, IoSliceMut, Read, Seek, SeekFrom, Write};
use std::path::{Component, Path, PathBuf};
use std::sync::Mutex;

use super::{Access, Found};

/// A folder; names are resolved beneath it.
#[derive(Debug)]
pub(crate) struct Dir {
    path: PathBuf,
}

impl Dir {
    /// Opens a folder named by the user. Makes it if `create`.
    pub(crate) fn open(path: &Path, create: bool) -> io::Result<Dir> {
        if create {
            std::fs::create_dir_all(path).map_err(super::not_a_folder)?;
        }
        if !std::fs::metadata(path)?.is_dir() {
            return Err(io::ErrorKind::NotADirectory.into());
        }
        Ok(Dir { path: path.to_path_buf() })
    }

    /// Opens a regular file. `path` must be relative and of plain components.
    pub(crate) fn open_file(&self, path: &Path, access: Access) -> io::Result<File> {
        let full = self.checked(path, access == Access::Write)?;
        let mut options = OpenOptions::new();
        options.read(true);
        if access == Access::Write {
            options.write(true).create(true);
        }
        let file = options.open(full)?;
        if !file.metadata()?.is_file() {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        Ok(file)
    }

    /// Writes a file of this folder so that a crash leaves either the old or the new contents.
    pub(crate) fn replace(&self, name: &str, contents: &[u8]) -> io::Result<()> {
        let new = self.checked(Path::new(&format!("{name}.new")), false)?;
        let mut file = File::create(&new)?;
        file.write_all(contents)?;
        file.sync_all()?;
        std::fs::rename(new, self.path.join(name))
    }

    /// Such a system is not asked how much room is left.
    pub(crate) fn free_bytes(&self) -> Option<u64> {
        None
    }

    /// What stands at `path`, without following a link; `None` if nothing does.
    pub(crate) fn look(&self, path: &Path) -> io::Result<Option<Found>> {
        match std::fs::symlink_metadata(self.path.join(path)) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e),
            Ok(meta) => {
                let since = meta.modified()?.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
                let mtime = (since.as_secs() as i64, since.subsec_nanos().into());
                Ok(Some(Found { is_file: meta.is_file(), id: None, len: meta.len(), mtime }))
            }
        }
    }

    /// Whether both are one folder.
    pub(crate) fn is_same(&self, other: &Dir) -> bool {
        let real = |dir: &Dir| std::fs::canonicalize(&dir.path);
        matches!((real(self), real(other)), (Ok(a), Ok(b)) if a == b)
    }

    /// Gives a file a second name in `to`, making folders on the way. Never replaces anything.
    pub(crate) fn link(&self, path: &Path, to: &Dir, new: &Path) -> io::Result<()> {
        std::fs::hard_link(self.checked(path, false)?, to.checked(new, true)?)
    }

    /// Renames a file, making folders on the way. The caller looks before whether the new name is free.
    pub(crate) fn rename(&self, path: &Path, to: &Dir, new: &Path) -> io::Result<()> {
        std::fs::rename(self.checked(path, false)?, to.checked(new, true)?)
    }

    /// Removes a file (or link).
    pub(crate) fn remove(&self, path: &Path) -> io::Result<()> {
        std::fs::remove_file(self.path.join(path))
    }

    /// Removes a folder that is empty.
    pub(crate) fn remove_folder(&self, path: &Path) -> io::Result<()> {
        std::fs::remove_dir(self.path.join(path))
    }

    /// Folders cannot be synced here.
    pub(crate) fn sync_folder_of(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    /// Renames are as durable here as the system makes them.
    pub(crate) fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    fn checked(&self, path: &Path, create: bool) -> io::Result<PathBuf> {
        let mut full = self.path.clone();
        let mut components = path.components().peekable();
        while let Some(component) = components.next() {
            let Component::Normal(name) = component else {
                return Err(io::ErrorKind::InvalidFilename.into());
            };
            full.push(name);
            let last = components.peek().is_none();
            match std::fs::symlink_metadata(&full) {
                Ok(meta) if meta.file_type().is_symlink() => return Err(io::Error::other(LinkInPath)),
                Ok(_) => {}
                Err(e) if e.kind() == io::ErrorKind::NotFound && create && !last => {
                    std::fs::create_dir(&full)?
                }
                Err(e) if e.kind() == io::ErrorKind::NotFound && last => {}
                Err(e) => return Err(e),
            }
        }
        Ok(full)
    }
}

#[derive(Debug, thiserror::Error)]
#[error("symbolic link in the path")]
struct LinkInPath;

/// True for the error that says "there is a symbolic link in the path".
pub(crate) fn is_symlink_refusal(e: &io::Error) -> bool {
    e.get_ref().is_some_and(|e| e.is::<LinkInPath>())
}

/// Such a system does not tell "too many open files" apart.
pub(crate) fn is_out_of_files(_: &io::Error) -> bool {
    false
}

/// Reads into the first slice.
pub(crate) fn read_vectored_at(file: &File, slices: &mut [IoSliceMut<'_>], offset: u64) -> io::Result<usize> {
    let _seek = SEEK.lock().unwrap_or_else(|e| e.into_inner());
    let mut file = file;
    file.seek(SeekFrom::Start(offset))?;
    file.read_vectored(slices)
}

/// The standard library cannot ask for what is in memory.
pub(crate) fn read_cached_at(_file: &File, _slices: &mut [IoSliceMut<'_>], _offset: u64) -> usize {
    0
}

/// Whether [`advise`] has an effect.
pub(crate) const CAN_ADVISE: bool = false;

/// The standard library has no way to tell the system what will be read.
pub(crate) fn advise(_file: &File, _offset: u64, _len: u64) {}

/// Writes several slices, or some of them, at an offset.
pub(crate) fn write_vectored_at(file: &File, slices: &[IoSlice<'_>], offset: u64) -> io::Result<usize> {
    let _seek = SEEK.lock().unwrap_or_else(|e| e.into_inner());
    let mut file = file;
    file.seek(SeekFrom::Start(offset))?;
    file.write_vectored(slices)
}

/// There are no locks here: nobody is kept from using one folder of state from two processes.
pub(crate) fn lock(_: &File) -> io::Result<bool> {
    Ok(true)
}

/// Holes are not known here.
pub(crate) fn next_data(_: &File, offset: u64) -> io::Result<Option<u64>> {
    Ok(Some(offset))
}

/// Reserves the length; room is up to the file system.
pub(crate) fn allocate(file: &File, len: u64) -> io::Result<()> {
    file.set_len(len)
}

/// Bytes that a file takes up, as far as is known here.
pub(crate) fn allocated(meta: &std::fs::Metadata) -> u64 {
    meta.len()
}

/// The position belongs to the file, not to the call, so one call at a time.
static SEEK: Mutex<()> = Mutex::new(());
