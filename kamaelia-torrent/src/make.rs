//! Making .torrent files.
//!
//! The file is put together and written by `lava_torrent`. Walking the folder and hashing is done here, because its
//! `TorrentBuilder` follows symbolic links (round in circles, if they lead there), leaves hidden files out without a
//! word, panics on a folder without data, takes a file that shrinks meanwhile for a shorter one, and its errors do
//! not say which file they are about. A test compares the outcome with that of `TorrentBuilder` where both work.

mod hash;

use std::collections::HashMap;
use std::fs::{self, Metadata};
use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use lava_torrent::LavaTorrentError;
use lava_torrent::bencode::BencodeElem;
use lava_torrent::torrent::v1::{File as LavaFile, Torrent};

use crate::proto::geometry::{Geometry, GeometryError, MAX_PIECE_LEN, MAX_PIECES};
use crate::proto::metainfo::{MAX_TORRENT_LEN, Metainfo, MetainfoError};
use crate::proto::path::{MAX_DEPTH, Rules};

/// Makes a .torrent file of a file or a folder.
///
/// # Example
///
/// ```
/// use kamaelia_torrent::make::Maker;
/// use std::ops::ControlFlow;
///
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("hello.txt");
/// std::fs::write(&path, "hello")?;
/// let made = Maker::new(&path).tracker_tier(["http://t.example/announce"]).make(|_| ControlFlow::Continue(()))?;
/// assert_eq!(made.metainfo.name(), "hello.txt");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Maker {
    path: PathBuf,
    name: Option<String>,
    piece_len: Option<u32>,
    trackers: Vec<Vec<String>>,
    web_seeds: Vec<String>,
    private: bool,
    comment: Option<String>,
    created_by: Option<String>,
    creation_date: Option<u64>,
    threads: usize,
}

/// How far [`Maker::make`] is.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct MakeProgress {
    /// Bytes hashed.
    pub done: u64,
    /// Bytes in all.
    pub total: u64,
}

/// A .torrent file that was made.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Made {
    /// The bytes of the file.
    pub bytes: Vec<u8>,
    /// The same, read back by our own reader.
    pub metainfo: Metainfo,
    /// What was left out of the folder: symbolic links, sockets, devices.
    pub skipped: Vec<PathBuf>,
}

/// Why no .torrent file was made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MakeError {
    /// A file or folder cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// A name that other systems, or this program, would have to change, so that nobody could seed from the files.
    #[error("{}: {reason}", path.display())]
    Name {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong with its name.
        reason: String,
    },
    /// Length or time of change differ from those at the start.
    #[error("{} was changed while it was read", .0.display())]
    Changed(PathBuf),
    /// The piece length is not a power of two between 16 KiB and the longest piece.
    #[error("piece length {0} is not a power of two from {MIN_PIECE_LEN} to {MAX_PIECE_LEN}")]
    PieceLen(u32),
    /// There is nothing to share, or too much.
    #[error("{}: {source}", path.display())]
    Geometry {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong with its size.
        source: GeometryError,
    },
    /// The .torrent file would be longer than this program reads.
    #[error(
        "the .torrent file would have more than {MAX_TORRENT_LEN} bytes: take longer pieces or fewer files"
    )]
    TooLong,
    /// A tracker or web seed is not a URL of a known scheme.
    #[error("{url:?} is not a {what} URL")]
    Url {
        /// The text.
        url: String,
        /// `tracker` or `web seed`.
        what: &'static str,
    },
    /// The progress callback said so.
    #[error("cancelled")]
    Cancelled,
    /// `lava_torrent` refused to write the file.
    #[error(transparent)]
    Encode(#[from] LavaTorrentError),
    /// Our own reader refuses the file.
    #[error(transparent)]
    Metainfo(#[from] MetainfoError),
}

impl Maker {
    /// Prepares to make a torrent of a file or folder.
    pub fn new(path: impl Into<PathBuf>) -> Maker {
        Maker {
            path: path.into(),
            name: None,
            piece_len: None,
            trackers: Vec::new(),
            web_seeds: Vec::new(),
            private: false,
            comment: None,
            created_by: Some(concat!("kamaelia-torrent ", env!("CARGO_PKG_VERSION")).to_owned()),
            creation_date: None,
            threads: 0,
        }
    }

    /// The name; without it the last part of the path.
    pub fn name(mut self, name: impl Into<String>) -> Maker {
        self.name = Some(name.into());
        self
    }

    /// Bytes in a piece, a power of two; without it so many that there are some 1,000 to 2,000 pieces.
    pub fn piece_len(mut self, bytes: u32) -> Maker {
        self.piece_len = Some(bytes);
        self
    }

    /// Adds a tier of trackers (BEP 12); an empty one adds nothing.
    pub fn tracker_tier<U: Into<String>>(mut self, urls: impl IntoIterator<Item = U>) -> Maker {
        let tier: Vec<String> = urls.into_iter().map(Into::into).collect();
        self.trackers.extend((!tier.is_empty()).then_some(tier));
        self
    }

    /// Adds a web seed (BEP 19).
    pub fn web_seed(mut self, url: impl Into<String>) -> Maker {
        self.web_seeds.push(url.into());
        self
    }

    /// Whether peers may come from the trackers only (BEP 27).
    pub fn private(mut self, private: bool) -> Maker {
        self.private = private;
        self
    }

    /// Free text.
    pub fn comment(mut self, text: impl Into<String>) -> Maker {
        self.comment = Some(text.into());
        self
    }

    /// The program named as creator; `None` for no mention.
    pub fn created_by(mut self, text: Option<String>) -> Maker {
        self.created_by = text;
        self
    }

    /// Date of creation in seconds since 1970; without it the file has none.
    pub fn creation_date(mut self, seconds: u64) -> Maker {
        self.creation_date = Some(seconds);
        self
    }

    /// Threads that hash; 0, the default, is one for each core.
    pub fn threads(mut self, threads: usize) -> Maker {
        self.threads = threads;
        self
    }

    /// Reads and hashes everything. `progress` is called on this thread at least ten times a second and can
    /// break off.
    ///
    /// # Errors
    ///
    /// A file that cannot be read, has a name that cannot be shared or changes meanwhile; nothing to share; options
    /// that do not make sense; cancellation. Files are named.
    pub fn make(self, progress: impl FnMut(MakeProgress) -> ControlFlow<()>) -> Result<Made, MakeError> {
        self.check_urls()?;
        let mut walk = Walk::default();
        let root = fs::canonicalize(&self.path).and_then(|root| Ok((fs::metadata(&root)?, root)));
        let (metadata, root) = root.map_err(|e| io_error(&self.path, e))?;
        let name = match &self.name {
            Some(name) => check_name(&self.path, name)?,
            None => own_name(&root)?,
        };
        if metadata.is_dir() {
            walk.folder(&root)?;
        } else {
            walk.file(root, &metadata)?;
        }
        let geometry = self.geometry(&walk)?;
        let hashes = hash::hash(&walk.files, geometry, self.threads, progress)?;
        walk.files.iter().try_for_each(Source::check_unchanged)?;

        let bytes = self.assemble(name, metadata.is_dir(), &walk, geometry, hashes).encode()?;
        let metainfo = Metainfo::parse(&bytes)?;
        Ok(Made { bytes, metainfo, skipped: walk.skipped })
    }

    fn check_urls(&self) -> Result<(), MakeError> {
        let trackers =
            self.trackers.iter().flatten().map(|url| (url, "tracker", &["http", "https", "udp"][..]));
        let seeds = self.web_seeds.iter().map(|url| (url, "web seed", &["http", "https"][..]));
        for (url, what, schemes) in trackers.chain(seeds) {
            let good = url::Url::parse(url).is_ok_and(|u| schemes.contains(&u.scheme()) && u.has_host());
            if !good || url.contains(char::is_whitespace) {
                return Err(MakeError::Url { url: url.clone(), what });
            }
        }
        Ok(())
    }

    fn geometry(&self, walk: &Walk) -> Result<Geometry, MakeError> {
        let total = walk.total;
        let piece_len = match self.piece_len {
            None => automatic_piece_len(total),
            Some(len) if len.is_power_of_two() && (MIN_PIECE_LEN..=MAX_PIECE_LEN).contains(&len) => len,
            Some(len) => return Err(MakeError::PieceLen(len)),
        };
        let geometry = Geometry::new(total, piece_len)
            .map_err(|source| MakeError::Geometry { path: self.path.clone(), source })?;
        // Better now than after hours of hashing. A file costs its path and about 30 bytes around it.
        let paths: usize = walk.files.iter().map(|f| f.relative.as_os_str().len() + 30).sum();
        if geometry.piece_count() as usize * 20 + paths > MAX_TORRENT_LEN {
            return Err(MakeError::TooLong);
        }
        Ok(geometry)
    }

    fn assemble(
        self,
        name: String,
        folder: bool,
        walk: &Walk,
        geometry: Geometry,
        hashes: Vec<Vec<u8>>,
    ) -> Torrent {
        let files = walk.files.iter().map(|file| LavaFile {
            length: signed(file.len),
            path: file.relative.clone(),
            extra_fields: None,
        });
        let text = |text: Option<String>| text.map(BencodeElem::String);
        let seeds: Vec<_> = self.web_seeds.into_iter().map(BencodeElem::String).collect();
        let fields = [
            ("comment", text(self.comment)),
            ("created by", text(self.created_by)),
            ("creation date", self.creation_date.map(|s| BencodeElem::Integer(signed(s)))),
            ("url-list", (!seeds.is_empty()).then_some(BencodeElem::List(seeds))),
        ];
        let fields: HashMap<String, BencodeElem> =
            fields.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))).collect();
        let private = self.private.then(|| HashMap::from([("private".to_owned(), BencodeElem::Integer(1))]));
        let several = self.trackers.iter().map(Vec::len).sum::<usize>() > 1;
        Torrent {
            announce: self.trackers.first().and_then(|tier| tier.first()).cloned(),
            announce_list: several.then_some(self.trackers),
            length: signed(geometry.total_len()),
            files: folder.then(|| files.collect()),
            name,
            piece_length: geometry.piece_len().into(),
            pieces: hashes,
            extra_fields: (!fields.is_empty()).then_some(fields),
            extra_info_fields: private,
        }
    }
}

/// What goes into the torrent, in order.
#[derive(Default)]
struct Walk {
    files: Vec<Source>,
    skipped: Vec<PathBuf>,
    total: u64,
}

struct Source {
    path: PathBuf,
    relative: PathBuf,
    len: u64,
    offset: u64,
    modified: Option<SystemTime>,
}

impl Source {
    fn check_unchanged(&self) -> Result<(), MakeError> {
        let now = fs::metadata(&self.path).map_err(|e| io_error(&self.path, e))?;
        let same = now.len() == self.len && now.modified().ok() == self.modified;
        if same { Ok(()) } else { Err(MakeError::Changed(self.path.clone())) }
    }
}

impl Walk {
    /// Takes up all files of a folder, sorted by path, without recursion.
    fn folder(&mut self, root: &Path) -> Result<(), MakeError> {
        let mut found = Vec::new();
        let mut open = vec![PathBuf::new()];
        while let Some(relative) = open.pop() {
            let folder = root.join(&relative);
            if relative.components().count() >= MAX_DEPTH - 1 {
                return Err(MakeError::Name { path: folder, reason: "too deep".into() });
            }
            for entry in fs::read_dir(&folder).map_err(|e| io_error(&folder, e))? {
                let entry = entry.map_err(|e| io_error(&folder, e))?;
                let path = entry.path();
                // Of the entry itself, not of what a link leads to.
                let metadata = entry.metadata().map_err(|e| io_error(&path, e))?;
                if !metadata.is_dir() && !metadata.is_file() {
                    self.skipped.push(path);
                    continue;
                }
                let relative = relative.join(own_name(&path)?);
                if metadata.is_dir() {
                    open.push(relative);
                } else {
                    found.push((relative, metadata));
                }
            }
        }
        found.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        self.skipped.sort_unstable();
        for (relative, metadata) in found {
            self.push(root.join(&relative), relative, &metadata)?;
        }
        Ok(())
    }

    fn file(&mut self, path: PathBuf, metadata: &Metadata) -> Result<(), MakeError> {
        if !metadata.is_file() {
            return Err(MakeError::Name { path, reason: "neither a file nor a folder".into() });
        }
        self.push(path, PathBuf::new(), metadata)
    }

    fn push(&mut self, path: PathBuf, relative: PathBuf, metadata: &Metadata) -> Result<(), MakeError> {
        let len = metadata.len();
        let too_much = || MakeError::Geometry { path: path.clone(), source: GeometryError::TotalLen(len) };
        let total = self.total.checked_add(len).ok_or_else(too_much)?;
        let modified = metadata.modified().ok();
        self.files.push(Source { path, relative, len, offset: self.total, modified });
        self.total = total;
        Ok(())
    }
}

/// The last part of a path, if it can be shared as it is.
fn own_name(path: &Path) -> Result<String, MakeError> {
    let refuse = |reason: &str| MakeError::Name { path: path.to_owned(), reason: reason.to_owned() };
    let name = path.file_name().ok_or_else(|| refuse("has no name; give one"))?;
    check_name(path, name.to_str().ok_or_else(|| refuse("name is not UTF-8"))?)
}

fn check_name(path: &Path, name: &str) -> Result<String, MakeError> {
    let refuse = |reason: String| MakeError::Name { path: path.to_owned(), reason };
    match Rules::host().component(name.as_bytes()) {
        Ok(safe) if safe == name => Ok(safe.into_owned()),
        Ok(safe) => Err(refuse(format!("name cannot be shared as it is: it would be saved as {safe:?}"))),
        Err(error) => Err(refuse(error.to_string())),
    }
}

/// A power of two that makes some 1,000 to 2,000 pieces, from 16 KiB to 16 MiB; more only for what is enormous.
fn automatic_piece_len(total: u64) -> u32 {
    let mut len = (total / 2_000).clamp(MIN_PIECE_LEN.into(), 16 << 20).next_power_of_two();
    while total.div_ceil(len) > u64::from(MAX_PIECES) / 8 && len < MAX_PIECE_LEN.into() {
        len *= 2;
    }
    // At most MAX_PIECE_LEN, which is a u32.
    len as u32
}

/// Lengths are below 2^48 and dates far below 2^63.
fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn io_error(path: &Path, source: io::Error) -> MakeError {
    MakeError::Io { path: path.to_owned(), source }
}

/// Shortest piece, one block.
pub const MIN_PIECE_LEN: u32 = 16 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn piece_length_grows_with_the_torrent() {
        for (total, expected) in [
            (1, 16 << 10),
            (30 << 20, 16 << 10),
            (64 << 20, 64 << 10),
            (4 << 30, 4 << 20),
            (100 << 30, 16 << 20),
            (1 << 42, 16 << 20),
            (1 << 48, 256 << 20),
        ] {
            assert_eq!(automatic_piece_len(total), expected, "{total}");
            assert!(Geometry::new(total, automatic_piece_len(total)).is_ok());
        }
    }
}
