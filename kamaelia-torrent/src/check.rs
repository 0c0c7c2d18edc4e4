//! Comparing files with their torrent, without an engine.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crossbeam_channel::unbounded;

use crate::disk::{Disk, DiskAnswer, DiskConfig, DiskError, StorageKey};
use crate::proto::bitfield::Bitfield;
use crate::proto::geometry::PieceIndex;
use crate::proto::metainfo::{FileEntry, Metainfo};

/// Hashes what is there, on all cores.
///
/// ```
/// use kamaelia_torrent::{check::Checker, make::Maker};
/// use std::ops::ControlFlow;
///
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("hello.txt");
/// std::fs::write(&path, "hello")?;
/// let made = Maker::new(&path).make(|_| ControlFlow::Continue(()))?;
/// assert!(Checker::new(&made.metainfo, folder.path()).run(|_| ())?.is_complete());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Checker {
    metainfo: Metainfo,
    dir: PathBuf,
}

/// What was found.
#[derive(Clone, Debug)]
pub struct CheckReport {
    /// Pieces that are there and right.
    pub have: Bitfield,
    /// Each file of the torrent, padding left out, in order.
    pub files: Vec<(PathBuf, FileState)>,
}

/// What is the matter with a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileState {
    /// Every byte is right.
    Good,
    /// There is no such file.
    Missing,
    /// It is longer or shorter.
    Size,
    /// Its length is right, its content is not.
    Wrong,
    /// Its only bad pieces reach into another file that is missing or wrong.
    Unsure,
}

impl fmt::Display for FileState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Good => "good",
            Self::Missing => "missing",
            Self::Size => "size",
            Self::Wrong => "wrong",
            Self::Unsure => "unsure",
        })
    }
}

/// Why a check could not be finished.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CheckError {
    /// A file cannot be read.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The workers could not be started.
    #[error("cannot start the workers: {0}")]
    Start(#[from] std::io::Error),
}

impl CheckReport {
    /// Whether everything is there and right, and no file is too long.
    pub fn is_complete(&self) -> bool {
        self.have.is_full() && self.files.iter().all(|(_, state)| *state == FileState::Good)
    }
}

impl Checker {
    /// Prepares to check the torrent's file or folder inside `dir`.
    pub fn new(metainfo: &Metainfo, dir: impl Into<PathBuf>) -> Self {
        Self { metainfo: metainfo.clone(), dir: dir.into() }
    }

    /// Hashes everything; `progress` is told how many pieces have been looked at.
    ///
    /// # Errors
    /// A file that is there and cannot be read. A missing one is no error.
    pub fn run(&self, mut progress: impl FnMut(u32)) -> Result<CheckReport, CheckError> {
        let (ring, rung) = unbounded();
        let disk = Disk::new(
            DiskConfig::default(),
            Arc::new(move || {
                let _ = ring.send(());
            }),
        )?;
        let pieces = self.metainfo.geometry().piece_count();
        let storage = disk.open(StorageKey(0), self.metainfo.clone(), self.dir.clone());
        let _handle = disk.check(&storage, Bitfield::full(pieces));
        let mut have = Bitfield::new(pieces);
        let mut looked_at = 0;
        loop {
            while let Some(answer) = disk.next_answer() {
                let DiskAnswer::Checked { checked, good, end, error, .. } = answer else { continue };
                if let Some(e) = error {
                    return Err(e.into());
                }
                for piece in good {
                    have.set(piece);
                }
                looked_at += checked;
                progress(looked_at);
                if end {
                    let files = self.judge(&have);
                    return Ok(CheckReport { have, files });
                }
            }
            if rung.recv().is_err() {
                return Err(std::io::Error::other("the disk workers have ended").into());
            }
        }
    }

    fn judge(&self, have: &Bitfield) -> Vec<(PathBuf, FileState)> {
        let entries: Vec<&FileEntry> = self.metainfo.files().iter().filter(|f| !f.pad).collect();
        let mut states: Vec<FileState> = entries.iter().map(|f| on_disk(&self.dir, f)).collect();
        let broken: Vec<bool> = states.iter().map(|s| *s != FileState::Good).collect();
        for (i, file) in entries.iter().enumerate() {
            if states[i] != FileState::Good || file.len == 0 {
                continue;
            }
            let bad: Vec<PieceIndex> = self.pieces_of(file).filter(|p| !have.get(*p)).collect();
            if bad.is_empty() {
                continue;
            }
            // Files next to this one share its first and last piece.
            let excused = |p: &PieceIndex| {
                let near = i.saturating_sub(NEIGHBOURS)..entries.len().min(i + NEIGHBOURS + 1);
                near.clone().any(|j| j != i && broken[j] && self.pieces_of(entries[j]).any(|q| q == *p))
            };
            states[i] = if bad.iter().all(excused) { FileState::Unsure } else { FileState::Wrong };
        }
        entries.iter().map(|f| f.path.clone()).zip(states).collect()
    }

    fn pieces_of(&self, file: &FileEntry) -> impl Iterator<Item = PieceIndex> + use<> {
        let len = u64::from(self.metainfo.geometry().piece_len());
        let range =
            if file.len == 0 { 0..0 } else { file.offset / len..(file.offset + file.len - 1) / len + 1 };
        range.map(|p| PieceIndex(u32::try_from(p).unwrap_or(u32::MAX)))
    }
}

/// How far a search for a broken neighbour in the same piece goes; many small files can share one piece.
const NEIGHBOURS: usize = 64;

fn on_disk(dir: &Path, file: &FileEntry) -> FileState {
    match fs::symlink_metadata(dir.join(&file.path)) {
        Ok(meta) if meta.is_file() && meta.len() == file.len => FileState::Good,
        Ok(meta) if meta.is_file() => FileState::Size,
        _ => FileState::Missing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::make::Maker;
    use std::ops::ControlFlow;

    fn folder() -> (tempfile::TempDir, Metainfo) {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("t");
        fs::create_dir(&root).unwrap();
        for (name, byte, len) in [("a", 1_u8, 40_000), ("b", 2, 100_000), ("c", 3, 5), ("d", 4, 50_000)] {
            fs::write(root.join(name), vec![byte; len]).unwrap();
        }
        let made = Maker::new(&root).piece_len(16_384).make(|_| ControlFlow::Continue(())).unwrap();
        (dir, made.metainfo)
    }

    fn states(report: &CheckReport) -> Vec<FileState> {
        report.files.iter().map(|(_, s)| *s).collect()
    }

    #[test]
    fn whole_files_are_good() {
        let (dir, m) = folder();
        let report = Checker::new(&m, dir.path()).run(|_| ()).unwrap();
        assert!(report.is_complete());
    }

    #[test]
    fn a_changed_a_short_and_a_missing_file_are_told_apart() {
        let (dir, m) = folder();
        let root = dir.path().join("t");
        let mut b = fs::read(root.join("b")).unwrap();
        b[50_000] ^= 1;
        fs::write(root.join("b"), b).unwrap();
        fs::write(root.join("c"), "x").unwrap();
        fs::remove_file(root.join("d")).unwrap();
        let report = Checker::new(&m, dir.path()).run(|_| ()).unwrap();
        assert_eq!(states(&report), [FileState::Good, FileState::Wrong, FileState::Size, FileState::Missing]);
    }

    #[test]
    fn a_file_that_is_too_long_is_told_though_every_piece_is_right() {
        let (dir, m) = folder();
        let d = dir.path().join("t/d");
        fs::write(&d, [fs::read(&d).unwrap(), vec![0]].concat()).unwrap();
        let report = Checker::new(&m, dir.path()).run(|_| ()).unwrap();
        assert!(report.have.is_full());
        assert_eq!(states(&report)[3], FileState::Size);
        assert!(!report.is_complete());
    }

    #[test]
    fn a_file_that_only_shares_a_bad_piece_is_unsure() {
        let (dir, m) = folder();
        fs::remove_file(dir.path().join("t/b")).unwrap();
        let report = Checker::new(&m, dir.path()).run(|_| ()).unwrap();
        assert_eq!(states(&report)[0], FileState::Unsure);
        assert!(!report.is_complete());
    }
}
