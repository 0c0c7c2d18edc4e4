//! What is remembered of a torrent between two runs.
//!
//! The record says which pieces were verified and how the files looked then; whoever reads it compares the files
//! before believing it. Like everything from disk it may have been changed by anyone: [`Resume::parse`]
//! takes any bytes and gives a record that fits the torrent, or an error.

use std::collections::BTreeMap;

use sha1::{Digest, Sha1};

use super::bencode::{Bencode, BencodeError, Document, Limits, Value};
use super::bitfield::{Bitfield, BitfieldError};
use super::geometry::Geometry;
use super::info_hash::InfoHash;
use super::selection::Priority;

/// State of a torrent at a moment when everything said here was on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resume {
    /// The torrent.
    pub info_hash: InfoHash,
    /// Verified pieces.
    pub have: Bitfield,
    /// The files in the order of the torrent; `None` for one that does not exist (or is a pad file).
    pub files: Vec<Option<FileStamp>>,
    /// Payload bytes sent in all runs.
    pub uploaded: u64,
    /// Payload bytes received in all runs.
    pub downloaded: u64,
    /// Priorities of the files; empty if all are as usual. Since version 2.
    pub priorities: Vec<Priority>,
    /// The part file, if there was one and it was not being written. Since version 2.
    pub parts: Option<FileStamp>,
    /// Where the files are, if they were moved.
    pub moved: Option<Moved>,
    /// Files with another name than the torrent gives them, by number: relative paths, not checked here.
    pub names: BTreeMap<u32, String>,
    /// Time that it ran, in all runs, s. Not in records of before, like the next.
    pub active_secs: u64,
    /// Time that it was complete and ran, s.
    pub seeding_secs: u64,
}

/// A torrent that was moved. Folders are bytes as the system gives them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moved {
    /// The folder in which it was to be kept. The record speaks only to who asks for this one.
    pub home: Vec<u8>,
    /// The folder in which it is.
    pub dir: Vec<u8>,
}

/// How a file looked.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct FileStamp {
    /// Length, bytes.
    pub len: u64,
    /// Time of the last change, nanoseconds since 1970.
    pub mtime: u64,
}

/// Why bytes are not a usable record. The torrent has to be checked then.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ResumeError {
    /// Not bencoding: cut short, overwritten, empty after a full disk.
    #[error("resume record is damaged: {0}")]
    Bencode(#[from] BencodeError),
    /// Written by a version of this program with another format.
    #[error("resume record has version {0}, not {VERSION}")]
    Version(i64),
    /// A part is missing or has the wrong type.
    #[error("resume record has no proper {0:?}")]
    Missing(&'static str),
    /// The check sum does not fit the content.
    #[error("resume record is damaged: wrong check sum")]
    Sum,
    /// It belongs to another torrent.
    #[error("resume record is of torrent {0}")]
    OtherTorrent(InfoHash),
    /// The set of pieces does not fit the torrent.
    #[error("resume record: {0}")]
    Have(#[from] BitfieldError),
    /// The number of files does not fit the torrent.
    #[error("resume record lists {got} files of {expected}")]
    Files {
        /// Files in the record.
        got: usize,
        /// Files of the torrent.
        expected: usize,
    },
}

impl Resume {
    /// The record as bytes, to be written to a file.
    pub fn encode(&self) -> Vec<u8> {
        let files = self.files.iter().map(|file| match file {
            None => Bencode::List(Vec::new()),
            Some(f) => encode_stamp(f),
        });
        let mut body = vec![
            ("active seconds", signed(self.active_secs)),
            ("downloaded", signed(self.downloaded)),
            ("files", files.collect()),
            ("have", self.have.to_wire().into()),
            ("info hash", self.info_hash.0[..].into()),
            ("seeding seconds", signed(self.seeding_secs)),
            ("uploaded", signed(self.uploaded)),
        ];
        if !self.priorities.is_empty() {
            let levels: Vec<u8> = self.priorities.iter().map(|priority| priority.level()).collect();
            body.push(("priorities", levels.into()));
        }
        body.extend(self.parts.as_ref().map(|stamp| ("parts", encode_stamp(stamp))));
        // What is not said is not written: most records are as they always were.
        if let Some(moved) = &self.moved {
            let pair = [&moved.home, &moved.dir].map(|dir| Bencode::from(&dir[..]));
            body.push(("moved", Bencode::List(pair.into())));
        }
        if !self.names.is_empty() {
            let name = |(file, path): (&u32, &String)| {
                Bencode::List(vec![signed((*file).into()), Bencode::from(path.as_bytes())])
            };
            body.push(("names", self.names.iter().map(name).collect()));
        }
        let body = Bencode::dict(body).encode();
        let sum = Sha1::digest(&body).to_vec();
        Bencode::dict([("body", body.into()), ("sha1", sum.into()), ("version", VERSION.into())]).encode()
    }

    /// Reads a record of the torrent with this info hash, geometry and number of files.
    ///
    /// # Errors
    ///
    /// Anything that [`encode`](Resume::encode) would not have written for this torrent.
    pub fn parse(
        bytes: &[u8],
        info_hash: InfoHash,
        geometry: Geometry,
        file_count: usize,
    ) -> Result<Resume, ResumeError> {
        let outer = Document::parse(bytes, &Limits::RECORD)?;
        let outer = outer.root();
        match outer.get("version").and_then(Value::as_int) {
            Some(1..=VERSION) => {}
            Some(other) => return Err(ResumeError::Version(other)),
            None => return Err(ResumeError::Missing("version")),
        }
        let body = bytes_of(outer, "body")?;
        if bytes_of(outer, "sha1")? != Sha1::digest(body).as_slice() {
            return Err(ResumeError::Sum);
        }
        let document = Document::parse(body, &Limits::RECORD)?;
        let root = document.root();
        let found = bytes_of(root, "info hash")?.try_into().map_err(|_| ResumeError::Missing("info hash"))?;
        if InfoHash(found) != info_hash {
            return Err(ResumeError::OtherTorrent(InfoHash(found)));
        }
        let list = root.get("files").and_then(Value::as_list).ok_or(ResumeError::Missing("files"))?;
        let files = list.map(stamp).collect::<Option<Vec<_>>>().ok_or(ResumeError::Missing("files"))?;
        if files.len() != file_count {
            return Err(ResumeError::Files { got: files.len(), expected: file_count });
        }
        let levels = root.get("priorities").map_or(Some(&[][..]), Value::as_bytes);
        let levels = levels.filter(|levels| levels.is_empty() || levels.len() == file_count);
        let priorities = levels.and_then(|levels| levels.iter().map(|level| Priority::new(*level)).collect());
        let parts = root.get("parts").map_or(Some(None), stamp);
        let total = |key| root.get(key).and_then(Value::as_u64).ok_or(ResumeError::Missing(key));
        let optional = |key| match root.get(key) {
            Some(value) => value.as_u64().ok_or(ResumeError::Missing(key)),
            None => Ok(0),
        };
        Ok(Resume {
            info_hash,
            have: Bitfield::from_wire(bytes_of(root, "have")?, geometry.piece_count())?,
            files,
            uploaded: total("uploaded")?,
            downloaded: total("downloaded")?,
            priorities: priorities.ok_or(ResumeError::Missing("priorities"))?,
            parts: parts.ok_or(ResumeError::Missing("parts"))?,
            moved: root
                .get("moved")
                .map(moved)
                .map(|m| m.ok_or(ResumeError::Missing("moved")))
                .transpose()?,
            names: match root.get("names") {
                None => BTreeMap::new(),
                Some(list) => names(list, file_count).ok_or(ResumeError::Missing("names"))?,
            },
            active_secs: optional("active seconds")?,
            seeding_secs: optional("seeding seconds")?,
        })
    }
}

fn moved(value: Value<'_>) -> Option<Moved> {
    let mut parts = value.as_list()?;
    let mut next = || parts.next().and_then(Value::as_bytes).map(<[u8]>::to_vec);
    let moved = Moved { home: next()?, dir: next()? };
    parts.next().is_none().then_some(moved)
}

fn names(list: Value<'_>, file_count: usize) -> Option<BTreeMap<u32, String>> {
    let name = |pair: Value<'_>| {
        let mut parts = pair.as_list()?;
        let file = parts.next()?.as_u64().filter(|file| *file < file_count as u64)?;
        let path = parts.next()?.as_str()?.to_owned();
        parts.next().is_none().then_some((u32::try_from(file).ok()?, path))
    };
    list.as_list()?.map(name).collect()
}

fn bytes_of<'a>(dict: Value<'a>, key: &'static str) -> Result<&'a [u8], ResumeError> {
    dict.get(key).and_then(Value::as_bytes).ok_or(ResumeError::Missing(key))
}

fn stamp(value: Value<'_>) -> Option<Option<FileStamp>> {
    let mut parts = value.as_list()?;
    let Some(len) = parts.next() else { return Some(None) };
    let stamp = FileStamp { len: len.as_u64()?, mtime: parts.next()?.as_u64()? };
    parts.next().is_none().then_some(Some(stamp))
}

fn encode_stamp(stamp: &FileStamp) -> Bencode {
    Bencode::List(vec![signed(stamp.len), signed(stamp.mtime)])
}

fn signed(value: u64) -> Bencode {
    Bencode::Integer(i64::try_from(value).unwrap_or(i64::MAX))
}

/// Rises when older programs would misunderstand a record. Version 1 had neither priorities nor a part file.
const VERSION: i64 = 2;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::proto::PieceIndex;

    const HASH: InfoHash = InfoHash([7; 20]);

    fn geometry() -> Geometry {
        Geometry::new(100, 10).unwrap()
    }

    fn record() -> Resume {
        let mut have = Bitfield::new(10);
        have.set(PieceIndex(3));
        let stamp = FileStamp { len: 100, mtime: 1 };
        Resume {
            info_hash: HASH,
            have,
            files: vec![Some(stamp), None],
            uploaded: 5,
            downloaded: 1 << 40,
            priorities: vec![Priority::SKIP, Priority::HIGHEST],
            parts: Some(FileStamp { len: 4096, mtime: 2 }),
            active_secs: 7,
            seeding_secs: 3,
            moved: None,
            names: BTreeMap::new(),
        }
    }

    fn decode(bytes: &[u8]) -> Result<Resume, ResumeError> {
        Resume::parse(bytes, HASH, geometry(), 2)
    }

    /// A record with a proper check sum around any body.
    fn wrap(body: &[u8]) -> Vec<u8> {
        let sum = Sha1::digest(body).to_vec();
        Bencode::dict([("body", Bencode::from(body)), ("sha1", sum.into()), ("version", 1.into())]).encode()
    }

    #[test]
    fn round_trip() {
        assert_eq!(decode(&record().encode()), Ok(record()));
        let plain = Resume { priorities: Vec::new(), parts: None, ..record() };
        assert_eq!(decode(&plain.encode()), Ok(plain));
    }

    #[test]
    fn records_of_version_1_are_read() {
        let hash = "\x07".repeat(20);
        let have = "4:have2:\0\0";
        let files = "5:fileslleli3ei4eee";
        let body = format!("d10:downloadedi9e{files}{have}9:info hash20:{hash}8:uploadedi0ee");
        let old = decode(&wrap(body.as_bytes())).unwrap();
        assert_eq!((old.downloaded, old.priorities, old.parts), (9, vec![], None));
        assert_eq!(old.files, [None, Some(FileStamp { len: 3, mtime: 4 })]);
    }

    #[test]
    fn places_and_names_are_kept_and_bounded() {
        let moved = Some(Moved { home: b"/a".into(), dir: vec![b'/', 0xff] });
        let record = Resume { moved, names: [(1, "t/new".to_owned())].into(), ..record() };
        assert_eq!(decode(&record.encode()), Ok(record.clone()));
        let outside = Resume { names: [(2, "t/new".to_owned())].into(), ..record };
        assert_eq!(decode(&outside.encode()), Err(ResumeError::Missing("names")));
    }

    #[test]
    fn records_that_do_not_fit_are_refused() {
        let bytes = record().encode();
        let other = InfoHash([8; 20]);
        assert_eq!(Resume::parse(&bytes, other, geometry(), 2), Err(ResumeError::OtherTorrent(HASH)));
        let larger = Geometry::new(200, 10).unwrap();
        assert!(matches!(Resume::parse(&bytes, HASH, larger, 2), Err(ResumeError::Have(_))));
        let files = Resume::parse(&bytes, HASH, geometry(), 3);
        assert_eq!(files, Err(ResumeError::Files { got: 2, expected: 3 }));
        assert!(matches!(decode(b""), Err(ResumeError::Bencode(_))));
        assert!(matches!(decode(&bytes[..bytes.len() - 1]), Err(ResumeError::Bencode(_))));
        assert_eq!(decode(b"d7:versioni3ee"), Err(ResumeError::Version(3)));
        assert_eq!(decode(b"de"), Err(ResumeError::Missing("version")));
        assert_eq!(decode(&wrap(b"de")), Err(ResumeError::Missing("info hash")));
        let nested = [vec![b'l'; 1000], vec![b'e'; 1000]].concat();
        assert!(matches!(decode(&wrap(&nested)), Err(ResumeError::Bencode(_))));
        for files in ["i1e", "li1ee", "lli1eee", "lli-1ei1eee", "lli1ei1ei1eee", "lleldeee"] {
            let have = "4:have2:\0\0";
            let body = format!(
                "d10:downloadedi0e5:files{files}{have}9:info hash20:{}8:uploadedi0ee",
                "\x07".repeat(20)
            );
            assert_eq!(decode(&wrap(body.as_bytes())), Err(ResumeError::Missing("files")), "{files}");
        }
    }

    #[test]
    fn priorities_and_part_files_that_do_not_fit_are_refused() {
        let levels = |levels: &[u8]| levels.iter().filter_map(|level| Priority::new(*level)).collect();
        let one = Resume { priorities: levels(&[4]), ..record() };
        assert_eq!(decode(&one.encode()), Err(ResumeError::Missing("priorities")));
        let hash = "\x07".repeat(20);
        for (more, key) in [("10:priorities2:\x07\x08", "priorities"), ("5:partsi1e", "parts")] {
            let (parts, priorities) = if key == "parts" { (more, "") } else { ("", more) };
            let body = format!(
                "d10:downloadedi0e5:filesllelee4:have2:\0\09:info hash20:{hash}{parts}{priorities}8:uploadedi0ee"
            );
            assert_eq!(decode(&wrap(body.as_bytes())), Err(ResumeError::Missing(key)));
        }
    }

    #[test]
    fn a_record_of_before_there_were_times_is_read() {
        let hash = "\x07".repeat(20);
        let old = format!("d10:downloadedi9e5:filesllelee4:have2:\0\09:info hash20:{hash}8:uploadedi5ee");
        let record = decode(&wrap(old.as_bytes())).unwrap();
        assert_eq!((record.downloaded, record.active_secs, record.seeding_secs), (9, 0, 0));
        let bad = old.replace("d10:", "d14:active secondsi-1e10:");
        assert_eq!(decode(&wrap(bad.as_bytes())), Err(ResumeError::Missing("active seconds")));
    }

    proptest! {
        #[test]
        fn every_changed_byte_is_noticed(at in any::<prop::sample::Index>(), change in 1..=255u8) {
            let mut bytes = record().encode();
            let at = at.index(bytes.len());
            bytes[at] ^= change;
            prop_assert!(decode(&bytes).is_err());
        }

        #[test]
        fn any_body_never_panics(body in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode(&body);
            let _ = decode(&wrap(&body));
        }
    }
}
