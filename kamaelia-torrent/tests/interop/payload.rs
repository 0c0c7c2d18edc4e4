//! Payloads, their torrents, and the comparison of what arrived.

use std::fs::{self, File};
use std::io::{ErrorKind, Read, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use kamaelia_torrent::make::Maker;
use kamaelia_torrent::proto::info_hash::InfoHash;
use sha2::{Digest, Sha256};

use crate::bench::{Bench, Failure, Result};

/// What is transferred.
#[derive(Copy, Clone, Debug)]
pub(crate) enum Shape {
    /// One file of 64 MiB.
    OneFile,
    /// 500 files in folders, 16 MiB in all: lengths that are no multiple of a block, some of them 0, and names that
    /// are not ASCII.
    ManyFiles,
}

/// Generated files.
pub(crate) struct Payload {
    /// The folder that the file or folder lies in.
    pub(crate) parent: PathBuf,
    /// Name of the file or folder.
    pub(crate) name: String,
    /// Bytes in all.
    pub(crate) len: u64,
    /// Whether it is a single file.
    pub(crate) single: bool,
    files: Vec<(PathBuf, [u8; 32])>,
}

/// A .torrent file of a payload.
pub(crate) struct Torrent {
    /// Where it lies.
    pub(crate) path: PathBuf,
    /// Its bytes.
    pub(crate) bytes: Vec<u8>,
    /// Its info hash.
    pub(crate) info_hash: InfoHash,
}

impl Payload {
    /// Writes a payload below `parent`.
    pub(crate) fn generate(parent: PathBuf, shape: Shape) -> Result<Payload> {
        match shape {
            Shape::OneFile => Payload::one_file(parent, 64 << 20),
            Shape::ManyFiles => Payload::many_files(parent, 500),
        }
    }

    /// Writes one file of `len` bytes.
    pub(crate) fn one_file(parent: PathBuf, len: usize) -> Result<Payload> {
        Payload::named_file(parent, "one file.bin", len)
    }

    /// Writes one file of this name.
    pub(crate) fn named_file(parent: PathBuf, name: &str, len: usize) -> Result<Payload> {
        let hash = write_random(&parent.join(name), len, &mut fastrand::Rng::with_seed(len as u64))?;
        let files = vec![(PathBuf::from(name), hash)];
        Ok(Payload { parent, name: name.to_owned(), len: len as u64, single: true, files })
    }

    fn many_files(parent: PathBuf, count: usize) -> Result<Payload> {
        let name = "many files";
        let mut rng = fastrand::Rng::with_seed(count as u64);
        let mut files = Vec::new();
        let mut len = 0;
        for n in 0..count {
            let path = Path::new(name).join(format!("folder {}", n % 7)).join(format!("datei-ü-{n:03}.bin"));
            let size = if n % 50 == 7 { 0 } else { rng.usize(1..65_536) };
            fs::create_dir_all(parent.join(&path).parent().ok_or_else(|| Failure::new("no parent"))?)?;
            files.push((path.clone(), write_random(&parent.join(&path), size, &mut rng)?));
            len += size as u64;
        }
        Ok(Payload { parent, name: name.to_owned(), len, single: false, files })
    }

    /// Writes its only file into another folder, with nothing in the second half.
    pub(crate) fn store_half(&self, dir: &Path) -> Result {
        let mut first = File::open(self.root())?.take(self.len / 2);
        let mut file = File::create_new(dir.join(&self.name))?;
        std::io::copy(&mut first, &mut file)?;
        Ok(file.set_len(self.len)?)
    }

    /// The file or folder itself.
    pub(crate) fn root(&self) -> PathBuf {
        self.parent.join(&self.name)
    }

    /// The files in order of their paths, with their lengths.
    pub(crate) fn lengths(&self) -> Result<Vec<(String, u64)>> {
        let mut lengths = Vec::new();
        for (path, _) in &self.files {
            lengths.push((path.display().to_string(), fs::metadata(self.parent.join(path))?.len()));
        }
        lengths.sort();
        Ok(lengths)
    }

    /// Makes a torrent of it that names one tracker.
    pub(crate) fn torrent(&self, bench: &Bench, tracker: &str) -> Result<Torrent> {
        let made = Maker::new(self.root()).tracker_tier([tracker]).make(|_| ControlFlow::Continue(()))?;
        let path = bench.path(&format!("{}.torrent", self.name));
        fs::write(&path, &made.bytes)?;
        Ok(Torrent { path, bytes: made.bytes, info_hash: made.metainfo.info_hash() })
    }

    /// Compares what lies in `dir` with the files whose names end like this, by SHA-256: all of them have to be there,
    /// and nothing else but hidden files beside them.
    pub(crate) fn verify_only(&self, dir: &Path, end: &str) -> Result {
        let chosen: Vec<_> = self.files.iter().filter(|(path, _)| ends_with(path, end)).cloned().collect();
        let some = Payload { parent: self.parent.clone(), name: self.name.clone(), files: chosen, ..*self };
        some.verify(dir)?;
        let mut there = Vec::new();
        walk(&dir.join(&self.name), &mut there)?;
        let others: Vec<_> = there.iter().filter(|path| !ends_with(path, end)).collect();
        if others.is_empty() { Ok(()) } else { Err(Failure::new(format!("not wanted: {others:?}"))) }
    }

    /// Compares what lies in `dir` with what was generated: every file, by SHA-256.
    pub(crate) fn verify(&self, dir: &Path) -> Result {
        self.compare(dir, true)
    }

    /// The same, for clients that make no empty files.
    pub(crate) fn verify_but_empty_files(&self, dir: &Path) -> Result {
        self.compare(dir, false)
    }

    fn compare(&self, dir: &Path, with_empty: bool) -> Result {
        let empty: [u8; 32] = Sha256::digest([]).into();
        let mut wrong = Vec::new();
        for (path, expected) in &self.files {
            match hash_file(&dir.join(path)) {
                Ok(hash) if hash == *expected => {}
                Err(e) if e.kind() == ErrorKind::NotFound && *expected == empty && !with_empty => {}
                Ok(_) => wrong.push(format!("{}: other content", path.display())),
                Err(e) => wrong.push(format!("{}: {e}", path.display())),
            }
        }
        if wrong.is_empty() {
            return Ok(());
        }
        let shown = wrong.len().min(10);
        Err(Failure::new(format!(
            "{} of {} files are wrong in {}:\n{}",
            wrong.len(),
            self.files.len(),
            dir.display(),
            wrong[..shown].join("\n")
        )))
    }
}

fn ends_with(path: &Path, end: &str) -> bool {
    path.to_string_lossy().ends_with(end)
}

/// All files below a folder.
fn walk(folder: &Path, files: &mut Vec<PathBuf>) -> Result {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            walk(&path, files)?;
        } else {
            files.push(path);
        }
    }
    Ok(())
}

fn write_random(path: &Path, len: usize, rng: &mut fastrand::Rng) -> Result<[u8; 32]> {
    let mut file = File::create(path)?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    let mut left = len;
    while left > 0 {
        let part = left.min(buffer.len());
        rng.fill(&mut buffer[..part]);
        hash.update(&buffer[..part]);
        file.write_all(&buffer[..part])?;
        left -= part;
    }
    Ok(hash.finalize().into())
}

fn hash_file(path: &Path) -> std::io::Result<[u8; 32]> {
    let mut file = File::open(path)?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hash.finalize().into()),
            n => hash.update(&buffer[..n]),
        }
    }
}
