//! Reading .torrent files from disk.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::proto::metainfo::{MAX_TORRENT_LEN, Metainfo, MetainfoError};

/// Why a .torrent file cannot be used; names the file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TorrentFileError {
    /// The file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// The file is not an acceptable torrent.
    #[error("{}: {source}", path.display())]
    Metainfo {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: MetainfoError,
    },
}

/// Reads and checks a .torrent file. One that is too long is refused after [`MAX_TORRENT_LEN`] bytes.
///
/// # Errors
///
/// A file that cannot be read or is not an acceptable torrent.
pub fn read_torrent_file(path: &Path) -> Result<Metainfo, TorrentFileError> {
    let bytes = read_torrent_bytes(path)?;
    Metainfo::parse(&bytes).map_err(|source| TorrentFileError::Metainfo { path: path.to_owned(), source })
}

/// Reads the bytes of a .torrent file without looking at them. One that is too long is refused after
/// [`MAX_TORRENT_LEN`] bytes.
///
/// # Errors
///
/// A file that cannot be read or is too long.
pub fn read_torrent_bytes(path: &Path) -> Result<Vec<u8>, TorrentFileError> {
    let io_error = |source| TorrentFileError::Io { path: path.to_owned(), source };
    let file = open(path).map_err(io_error)?;
    let len = file.metadata().map_err(io_error)?.len();
    let too_long =
        |len| TorrentFileError::Metainfo { path: path.to_owned(), source: MetainfoError::TooLong(len) };
    if len > MAX_TORRENT_LEN as u64 {
        return Err(too_long(len));
    }
    let mut bytes = Vec::new();
    // Not every file says its length: /dev/zero has 0.
    file.take(MAX_TORRENT_LEN as u64 + 1).read_to_end(&mut bytes).map_err(io_error)?;
    if bytes.len() > MAX_TORRENT_LEN {
        return Err(too_long(bytes.len() as u64));
    }
    Ok(bytes)
}

/// Opens a file without waiting. A named pipe with nobody at its other end would hold us up for ever: it counts as
/// empty. One that a shell made (`get <(curl …)`) is read to its end.
#[cfg(unix)]
fn open(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;

    use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};

    let flags = i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or(0);
    let file = File::options().read(true).custom_flags(flags).open(path)?;
    fcntl_setfl(&file, fcntl_getfl(&file)? - OFlags::NONBLOCK)?;
    Ok(file)
}

#[cfg(not(unix))]
fn open(path: &Path) -> io::Result<File> {
    File::open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_name_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.torrent");
        let text = || read_torrent_file(&path).unwrap_err().to_string();
        assert!(text().contains("x.torrent: No such file"), "{}", text());
        std::fs::write(&path, b"<html>").unwrap();
        assert!(
            text().ends_with("x.torrent: not a .torrent file: unexpected byte 0x3c at byte 0"),
            "{}",
            text()
        );
        File::create(&path).unwrap().set_len(100_000_000).unwrap();
        assert!(text().contains("a .torrent file of 100000000 bytes is refused"), "{}", text());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn endless_files_are_cut_off() {
        let error = read_torrent_file(Path::new("/dev/zero")).unwrap_err().to_string();
        assert!(error.contains("refused"), "{error}");
    }
}
