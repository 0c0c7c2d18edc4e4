//! A .torrent file (BEP 3), checked: names are safe, lengths add up, the info hash is that of the raw bytes.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::bencode::{Bencode, BencodeError, Document, Limits, RawValue, Value};
use super::geometry::{Geometry, GeometryError, MAX_TOTAL_LEN, PieceIndex};
use super::info_hash::InfoHash;
use super::path::{PathError, Rules, check_extent, clean_text, refuse_clashes, told_apart};

/// What a .torrent file says. Cloning is cheap.
///
/// * Hybrid torrents (BEP 52) are read by their version 1 part.
/// * Pad files (BEP 47) are listed and marked; their names may repeat, since nothing is written for them.
/// * Symbolic links (BEP 47) are left out: following one is a way out of the folder.
/// * A torrent without any bytes is refused, as in libtorrent: there is nothing to share or to verify.
#[derive(Clone)]
pub struct Metainfo(Arc<Inner>);

/// A file of a torrent.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FileEntry {
    /// Where it goes below the download folder: safe components, the first being the torrent's name.
    pub path: PathBuf,
    /// Length, bytes.
    pub len: u64,
    /// Offset of its first byte in the torrent's byte stream.
    pub offset: u64,
    /// BEP 47: only zeros, to align the next file with a piece; not stored.
    pub pad: bool,
}

/// Why bytes are not an acceptable .torrent file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MetainfoError {
    /// Longer than [`MAX_TORRENT_LEN`]; not read.
    #[error("a .torrent file of {0} bytes is refused: more than {MAX_TORRENT_LEN}")]
    TooLong(u64),
    /// Not bencoding.
    #[error("not a .torrent file: {0}")]
    Bencode(#[from] BencodeError),
    /// A part that must be there is missing or has the wrong type.
    #[error("missing or malformed {0:?}")]
    Missing(&'static str),
    /// Version 2 without a version 1 part (BEP 52).
    #[error("a BitTorrent v2 torrent without a v1 part, which is not supported")]
    V2Only,
    /// Both `length` and `files`: readers would differ on what the torrent is.
    #[error("has both \"length\" and \"files\"")]
    LengthAndFiles,
    /// Lengths or piece length out of range.
    #[error(transparent)]
    Geometry(#[from] GeometryError),
    /// The length of a file is negative or absurd.
    #[error("length of file {path:?} is out of range")]
    FileLen {
        /// The file.
        path: String,
    },
    /// `pieces` does not hold one hash for each piece.
    #[error("\"pieces\" has {got} bytes, but {pieces} pieces need {expected}")]
    Hashes {
        /// Length of `pieces`.
        got: usize,
        /// What it should be.
        expected: u64,
        /// Pieces of the torrent.
        pieces: u32,
    },
    /// A name that is not safe, or that appears twice.
    #[error(transparent)]
    Path(#[from] PathError),
}

struct Inner {
    info_hash: InfoHash,
    /// Raw bytes of `info`, which hold the piece hashes.
    info: Box<[u8]>,
    hashes: Range<usize>,
    name: String,
    files: Vec<FileEntry>,
    single: bool,
    geometry: Geometry,
    trackers: Vec<Vec<String>>,
    web_seeds: Vec<String>,
    private: bool,
    comment: Option<String>,
    created_by: Option<String>,
    creation_date: Option<u64>,
}

impl Metainfo {
    /// Reads a .torrent file.
    ///
    /// # Errors
    ///
    /// Anything that is not a well-formed torrent of supported kind within the limits of this module.
    ///
    /// # Example
    ///
    /// ```
    /// use kamaelia_torrent::proto::Metainfo;
    ///
    /// let error = Metainfo::parse(b"<html>404</html>").unwrap_err();
    /// assert_eq!(error.to_string(), "not a .torrent file: unexpected byte 0x3c at byte 0");
    /// ```
    pub fn parse(bytes: &[u8]) -> Result<Metainfo, MetainfoError> {
        Metainfo::parse_with(bytes, Rules::host())
    }

    /// Reads a .torrent file for a platform other than the one this runs on.
    ///
    /// # Errors
    ///
    /// As [`parse`](Metainfo::parse).
    pub fn parse_with(bytes: &[u8], rules: Rules) -> Result<Metainfo, MetainfoError> {
        if bytes.len() > MAX_TORRENT_LEN {
            return Err(MetainfoError::TooLong(bytes.len() as u64));
        }
        let document = Document::parse(bytes, &Limits::FILE)?;
        let root = document.root();
        let info =
            root.get("info").filter(|v| v.as_dict().is_some()).ok_or(MetainfoError::Missing("info"))?;
        let parts = Info::read(info, rules)?;
        let text = |key| root.get(key).and_then(Value::as_bytes).map(|t| clean_text(t, MAX_TEXT));
        Ok(Metainfo(Arc::new(Inner {
            info_hash: InfoHash::of_info(info.raw()),
            hashes: parts.hashes.start - info.range().start..parts.hashes.end - info.range().start,
            info: info.raw().into(),
            name: parts.name,
            files: parts.files,
            single: parts.single,
            geometry: parts.geometry,
            trackers: trackers(root),
            web_seeds: web_seeds(root),
            private: info.get("private").and_then(Value::as_int) == Some(1),
            comment: text("comment"),
            created_by: text("created by"),
            creation_date: root.get("creation date").and_then(Value::as_u64),
        })))
    }

    /// SHA-1 over the raw bytes of `info`.
    pub fn info_hash(&self) -> InfoHash {
        self.0.info_hash
    }

    /// The name, made safe: one component of a path.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// The files in the order of the byte stream; at least one.
    pub fn files(&self) -> &[FileEntry] {
        &self.0.files
    }

    /// Whether the torrent is one file that is not in a folder.
    pub fn is_single_file(&self) -> bool {
        self.0.single
    }

    /// Total length and pieces.
    pub fn geometry(&self) -> Geometry {
        self.0.geometry
    }

    /// SHA-1 that a piece must have.
    ///
    /// # Panics
    ///
    /// If the torrent has no such piece.
    pub fn piece_hash(&self, piece: PieceIndex) -> [u8; 20] {
        let hashes = &self.0.info[self.0.hashes.clone()];
        let (hashes, _) = hashes.as_chunks();
        hashes[piece.as_usize()]
    }

    /// Tracker URLs in tiers (BEP 12); `announce` is a tier of its own if there is no list.
    pub fn trackers(&self) -> &[Vec<String>] {
        &self.0.trackers
    }

    /// URLs of web seeds (BEP 19).
    pub fn web_seeds(&self) -> &[String] {
        &self.0.web_seeds
    }

    /// BEP 27: peers come from the trackers only.
    pub fn private(&self) -> bool {
        self.0.private
    }

    /// Free text, without control characters.
    pub fn comment(&self) -> Option<&str> {
        self.0.comment.as_deref()
    }

    /// The program that made the file, without control characters.
    pub fn created_by(&self) -> Option<&str> {
        self.0.created_by.as_deref()
    }

    /// When the file was made, seconds since 1970.
    pub fn creation_date(&self) -> Option<u64> {
        self.0.creation_date
    }

    /// The `info` dictionary byte for byte (what BEP 9 sends to peers).
    pub fn raw_info(&self) -> &[u8] {
        &self.0.info
    }

    /// A .torrent file that says the same: `info` byte for byte, and of the rest what is understood.
    pub fn to_torrent(&self) -> Vec<u8> {
        let urls = |urls: &[String]| urls.iter().map(|url| Bencode::from(url.as_str())).collect::<Bencode>();
        let list = |tiers: &[Vec<String>]| tiers.iter().map(|tier| urls(tier)).collect::<Bencode>();
        let date = self.creation_date().and_then(|date| i64::try_from(date).ok());
        let entries = [
            ("announce-list", Some(self.trackers()).filter(|tiers| !tiers.is_empty()).map(list)),
            ("comment", self.comment().map(Bencode::from)),
            ("created by", self.created_by().map(Bencode::from)),
            ("creation date", date.map(Bencode::from)),
            ("info", Some(Bencode::Raw(RawValue::checked(self.raw_info())))),
            ("url-list", Some(self.web_seeds()).filter(|list| !list.is_empty()).map(urls)),
        ];
        Bencode::dict(entries.into_iter().filter_map(|(key, value)| Some((key, value?)))).encode()
    }

    /// Two files whose paths differ in case or Unicode form only, if there are any: on a file system that ignores that
    /// (a memory stick, a network drive) they would be one. See [`told_apart`](Metainfo::told_apart).
    pub fn case_clash(&self) -> Option<PathError> {
        refuse_clashes(Rules::WINDOWS, stored_paths(self.files())).err()
    }

    /// Other paths for files that would be one with another where case and Unicode form do not count, by number. Only
    /// the paths and their order decide, so that they are the same wherever the torrent is.
    pub fn told_apart(&self) -> BTreeMap<usize, PathBuf> {
        if self.0.single {
            return BTreeMap::new();
        }
        told_apart(numbered_paths(self.files())).into_iter().map(|(i, path)| (i, path.into())).collect()
    }
}

impl fmt::Debug for Metainfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Metainfo").field(&self.name()).field(&self.info_hash()).finish()
    }
}

/// What is inside of `info`.
struct Info {
    name: String,
    files: Vec<FileEntry>,
    single: bool,
    geometry: Geometry,
    hashes: Range<usize>,
}

impl Info {
    fn read(info: Value<'_>, rules: Rules) -> Result<Info, MetainfoError> {
        let Some(pieces) = info.get("pieces") else {
            let v2 = info.get("meta version").is_some() || info.get("file tree").is_some();
            return Err(if v2 { MetainfoError::V2Only } else { MetainfoError::Missing("pieces") });
        };
        let hashes = pieces.as_bytes().ok_or(MetainfoError::Missing("pieces"))?;
        let name = utf8_variant(info, "name.utf-8", "name").and_then(Value::as_bytes);
        let name = rules.component(name.ok_or(MetainfoError::Missing("name"))?)?.into_owned();
        let piece_len = info.get("piece length").and_then(Value::as_int);
        let piece_len = piece_len.ok_or(MetainfoError::Missing("piece length"))?;
        // Out of range either way; what is shown for a negative one is its size.
        let piece_len =
            u32::try_from(piece_len).map_err(|_| GeometryError::PieceLen(piece_len.unsigned_abs()))?;

        let (files, single) = match (info.get("length"), info.get("files")) {
            (Some(_), Some(_)) => return Err(MetainfoError::LengthAndFiles),
            (None, None) => return Err(MetainfoError::Missing("length")),
            (Some(len), None) => {
                let len = file_len(len, &name)?;
                (vec![FileEntry { path: PathBuf::from(&name), len, offset: 0, pad: false }], true)
            }
            (None, Some(list)) => (files(list, &name, rules)?, false),
        };
        let total = files.last().map_or(0, |f| f.offset + f.len);
        let geometry = Geometry::new(total, piece_len)?;
        let expected = u64::from(geometry.piece_count()) * 20;
        if hashes.len() as u64 != expected {
            let pieces = geometry.piece_count();
            return Err(MetainfoError::Hashes { got: hashes.len(), expected, pieces });
        }
        let end = pieces.range().end;
        Ok(Info { name, files, single, geometry, hashes: end - hashes.len()..end })
    }
}

fn files(list: Value<'_>, name: &str, rules: Rules) -> Result<Vec<FileEntry>, MetainfoError> {
    let list = list.as_list().ok_or(MetainfoError::Missing("files"))?;
    let count = list.clone().count();
    let mut files = Vec::with_capacity(count);
    let mut offset = 0u64;
    for file in list {
        let parts = utf8_variant(file, "path.utf-8", "path").and_then(Value::as_list);
        let mut path = String::with_capacity(name.len() + 40);
        path.push_str(name);
        for part in parts.ok_or(MetainfoError::Missing("path"))? {
            path.push('/');
            path.push_str(&rules.component(part.as_bytes().ok_or(MetainfoError::Missing("path"))?)?);
        }
        if path.len() == name.len() {
            return Err(PathError::Empty.into());
        }
        let attributes = file.get("attr").and_then(Value::as_bytes).unwrap_or_default();
        let link = attributes.contains(&b'l');
        let pad = attributes.contains(&b'p');
        let len = match file.get("length") {
            None if link => 0,
            None => return Err(MetainfoError::Missing("length")),
            Some(len) => file_len(len, &path)?,
        };
        if link {
            if len > 0 {
                return Err(MetainfoError::FileLen { path });
            }
            continue;
        }
        check_extent(&path)?;
        files.push(FileEntry { path: PathBuf::from(path), len, offset, pad });
        // Both are below 2^48 here, so the sum cannot overflow.
        offset += len;
        if offset > MAX_TOTAL_LEN {
            return Err(GeometryError::TotalLen(offset).into());
        }
    }
    refuse_clashes(Rules { ignore_case: false, ..rules }, stored_paths(&files))?;
    if rules.ignore_case {
        for (file, path) in told_apart(numbered_paths(&files)) {
            files[file].path = PathBuf::from(path);
        }
    }
    Ok(files)
}

fn numbered_paths(files: &[FileEntry]) -> impl Iterator<Item = (usize, &str)> + Clone {
    files.iter().enumerate().filter(|(_, f)| !f.pad).filter_map(|(i, f)| Some((i, f.path.to_str()?)))
}

/// Pad files are not stored, so they cannot be in the way of others.
fn stored_paths(files: &[FileEntry]) -> impl Iterator<Item = &str> {
    files.iter().filter(|f| !f.pad).filter_map(|f| f.path.to_str())
}

fn file_len(value: Value<'_>, path: &str) -> Result<u64, MetainfoError> {
    let out_of_range = || MetainfoError::FileLen { path: path.chars().take(100).collect() };
    value.as_u64().filter(|len| *len <= MAX_TOTAL_LEN).ok_or_else(out_of_range)
}

/// Old programs wrote names in the code page of their system and added a second copy in UTF-8.
fn utf8_variant<'a>(dict: Value<'a>, utf8: &str, plain: &str) -> Option<Value<'a>> {
    let plain = dict.get(plain)?;
    let is_utf8 = |v: Value<'_>| match v.as_list() {
        Some(mut list) => list.all(|part| part.as_str().is_some()),
        None => v.as_str().is_some(),
    };
    if is_utf8(plain) { Some(plain) } else { dict.get(utf8).filter(|v| is_utf8(*v)).or(Some(plain)) }
}

fn trackers(root: Value<'_>) -> Vec<Vec<String>> {
    let mut left = MAX_URLS;
    let mut tiers: Vec<Vec<String>> = Vec::new();
    for tier in root.get("announce-list").and_then(Value::as_list).into_iter().flatten().take(MAX_URLS) {
        let mut urls: Vec<String> = Vec::new();
        for url in tier.as_list().into_iter().flatten().filter_map(url) {
            let known = || tiers.iter().flatten().chain(&urls).any(|u| *u == url);
            if left > 0 && !known() {
                left -= 1;
                urls.push(url);
            }
        }
        if !urls.is_empty() {
            tiers.push(urls);
        }
    }
    if tiers.is_empty() {
        tiers.extend(root.get("announce").and_then(url).map(|url| vec![url]));
    }
    tiers
}

fn web_seeds(root: Value<'_>) -> Vec<String> {
    match root.get("url-list") {
        Some(list) if list.as_list().is_some() => {
            list.as_list().into_iter().flatten().filter_map(url).take(MAX_URLS).collect()
        }
        Some(one) => url(one).into_iter().collect(),
        None => Vec::new(),
    }
}

/// A text that can be a URL; what cannot is left out, not an error, since one bad tracker should not spoil the rest.
fn url(value: Value<'_>) -> Option<String> {
    let text = value.as_str()?.trim();
    let fits =
        !text.is_empty() && text.len() <= MAX_URL_LEN && !text.contains(|c: char| c.is_control() || c == ' ');
    fits.then(|| text.to_owned())
}

/// Joins a path for display, with `/` on every platform.
pub fn display_path(path: &Path) -> String {
    let parts: Vec<_> = path.components().map(|c| c.as_os_str().to_string_lossy()).collect();
    parts.join("/")
}

/// Longest .torrent file, bytes: 10 MB, libtorrent's and rqbit's limit; a larger one is refused unread.
pub const MAX_TORRENT_LEN: usize = 10_000_000;

/// Most tracker URLs, and most web seeds, that are looked at; real files have fewer than 100.
const MAX_URLS: usize = 256;

/// Longest URL, bytes; browsers and servers take about this much.
const MAX_URL_LEN: usize = 4_096;

/// Longest comment that is kept, characters.
const MAX_TEXT: usize = 4_096;
