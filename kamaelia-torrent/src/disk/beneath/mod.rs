//! Opening files beneath a directory, whatever their names say.
//!
//! The names of a torrent's files come from strangers. They were sanitised when the torrent was read, but a name that
//! is harmless as text can still lead away through a symbolic link that stands in the folder. So every file is
//! opened relative to a handle of the torrent's folder and no link is followed below it. What is special to a platform
//! is here: [`unix`] asks the kernel, the portable back end looks at each component before it goes on.

use std::io::{self, IoSlice, IoSliceMut};

#[cfg(not(unix))]
mod portable;
#[cfg(unix)]
mod unix;

#[cfg(not(unix))]
use portable as back_end;
#[cfg(unix)]
use unix as back_end;

pub(crate) use back_end::{
    CAN_ADVISE, Dir, advise, allocate, allocated, is_out_of_files, is_symlink_refusal, lock, next_data,
    read_cached_at, read_vectored_at, write_vectored_at,
};

/// How a file is opened.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// To be read; a missing file is an error.
    Read,
    /// To be read and written; the file and the folders above it are made when missing.
    Write,
}

/// A folder that cannot be made because a file has its name: "exists" is a riddle to whoever named it.
fn not_a_folder(e: io::Error) -> io::Error {
    if e.kind() == io::ErrorKind::AlreadyExists { io::ErrorKind::NotADirectory.into() } else { e }
}

/// What stands under a name.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    /// A regular file, not a link.
    pub(crate) is_file: bool,
    /// What the system knows it by, whatever its name.
    pub(crate) id: Option<(u64, u64)>,
    /// Length, bytes.
    pub(crate) len: u64,
    /// Time of the last change, seconds since 1970 and nanoseconds.
    pub(crate) mtime: (i64, i64),
}

/// Fills all slices from `offset` on, or reports where the file ended.
///
/// # Errors
///
/// `UnexpectedEof` when the file is too short, and what the system reports.
pub(crate) fn read_exact_vectored_at(
    file: &std::fs::File,
    mut slices: &mut [IoSliceMut<'_>],
    mut offset: u64,
) -> io::Result<()> {
    // Empty slices at the front would look like the end of the file.
    IoSliceMut::advance_slices(&mut slices, 0);
    while !slices.is_empty() {
        match read_vectored_at(file, slices, offset) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(n) => {
                offset += n as u64;
                IoSliceMut::advance_slices(&mut slices, n);
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

/// Writes all of the slices, one behind the other, at `offset`.
///
/// # Errors
///
/// What the system reports; a write of nothing counts as a full disk.
pub(crate) fn write_all_vectored_at(
    file: &std::fs::File,
    slices: &[&[u8]],
    mut offset: u64,
) -> io::Result<()> {
    let mut slices: Vec<IoSlice<'_>> = slices.iter().map(|slice| IoSlice::new(slice)).collect();
    let mut slices = &mut slices[..];
    // Empty slices at the front would look like a full disk.
    IoSlice::advance_slices(&mut slices, 0);
    while !slices.is_empty() {
        match write_vectored_at(file, slices, offset) {
            Ok(0) => return Err(io::ErrorKind::StorageFull.into()),
            Ok(n) => {
                offset += n as u64;
                IoSlice::advance_slices(&mut slices, n);
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

/// Writes all of `data` at `offset`.
///
/// # Errors
///
/// As of [`write_all_vectored_at`].
pub(crate) fn write_all_at(file: &std::fs::File, data: &[u8], offset: u64) -> io::Result<()> {
    write_all_vectored_at(file, &[data], offset)
}
