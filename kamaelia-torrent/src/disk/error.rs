//! What can go wrong with files, with the name of the file in every case.

use std::io;
use std::path::{Path, PathBuf};

/// A failure of the storage of one torrent. It stops that torrent only.
///
/// Names are shown quoted, so that a name from outside cannot write control characters to a terminal.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DiskError {
    /// The file system (or the quota, or the allowed file size) is full: make room and start the torrent again.
    #[error("no space left to write {path:?}")]
    Full {
        /// The file.
        path: PathBuf,
        /// The refusal of the system.
        source: io::Error,
    },
    /// Room was to be reserved and there is not enough of it: make room, leave files out, or do not reserve.
    #[error("no space left to reserve {needed} bytes in {path:?}: {free} are free")]
    NoRoom {
        /// The folder.
        path: PathBuf,
        /// What is missing of the files, bytes.
        needed: u64,
        /// What is free, bytes.
        free: u64,
    },
    /// A symbolic link stands where a file or folder of the torrent belongs; links are never followed.
    #[error("{path:?} leads through a symbolic link, which is not followed")]
    Symlink {
        /// The file.
        path: PathBuf,
    },
    /// Something other than a regular file has the name of a file.
    #[error("{path:?} is not a regular file")]
    NotAFile {
        /// The file.
        path: PathBuf,
    },
    /// A file stands where a folder of the torrent belongs.
    #[error("a part of the path {path:?} is not a folder")]
    NotAFolder {
        /// The file.
        path: PathBuf,
    },
    /// The system denied access: change the permissions or the folder.
    #[error("no permission to {op} {path:?}")]
    Denied {
        /// The file.
        path: PathBuf,
        /// What was tried.
        op: &'static str,
        /// The refusal of the system.
        source: io::Error,
    },
    /// Data that was verified is gone: the file is missing.
    #[error("{path:?} is missing")]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// Data that was verified is gone: the file ends too early.
    #[error("{path:?} ends before byte {end}")]
    Short {
        /// The file.
        path: PathBuf,
        /// Where the data that was wanted ends, bytes.
        end: u64,
    },
    /// Something with the name of a file stands already where the file was to be moved; nothing is overwritten.
    #[error("{path:?} exists already")]
    Exists {
        /// What is in the way.
        path: PathBuf,
    },
    /// Any other failure of the system.
    #[error("cannot {op} {path:?}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What was tried.
        op: &'static str,
        /// The failure.
        source: io::Error,
    },
    /// A request that is not within the torrent; a caller's mistake.
    #[error("bytes {offset}+{len} are not within the torrent")]
    Range {
        /// Offset in the torrent, bytes.
        offset: u64,
        /// Length, bytes.
        len: u64,
    },
    /// The worker threads are gone.
    #[error("the disk workers have ended")]
    Ended,
}

impl DiskError {
    /// Whether trying again some time later cannot help: something is in the way that only the user can take away.
    pub fn is_lasting(&self) -> bool {
        matches!(
            self,
            DiskError::Symlink { .. }
                | DiskError::NotAFile { .. }
                | DiskError::NotAFolder { .. }
                | DiskError::Range { .. }
                | DiskError::Exists { .. }
                | DiskError::NoRoom { .. }
                | DiskError::Ended
        )
    }

    /// The file, if the data that should be in it is not there.
    pub(crate) fn lost_file(&self) -> Option<&Path> {
        match self {
            DiskError::Missing { path }
            | DiskError::Short { path, .. }
            | DiskError::Symlink { path }
            | DiskError::NotAFile { path }
            | DiskError::NotAFolder { path } => Some(path),
            _ => None,
        }
    }

    /// Sorts a failure of the system by what the user can do about it.
    pub(crate) fn from_io(op: &'static str, path: &Path, source: io::Error) -> DiskError {
        let path = path.to_path_buf();
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
                DiskError::Full { path, source }
            }
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                DiskError::Denied { path, op, source }
            }
            io::ErrorKind::NotADirectory => DiskError::NotAFolder { path },
            io::ErrorKind::IsADirectory => DiskError::NotAFile { path },
            io::ErrorKind::NotFound => DiskError::Missing { path },
            io::ErrorKind::AlreadyExists => DiskError::Exists { path },
            _ if super::beneath::is_symlink_refusal(&source) => DiskError::Symlink { path },
            _ => DiskError::Io { path, op, source },
        }
    }
}
