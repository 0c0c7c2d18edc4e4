//! What is remembered of a torrent so that it can be brought back: the torrent itself, and how it was added.
//!
//! What was done for it since (pieces, payload) is in its [resume record](super::resume), which changes all the time;
//! this does not. It is read back from disk, where anyone may have changed it, so [`Stored::parse`] takes any bytes.

use std::net::SocketAddr;
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};

use super::bencode::{Bencode, BencodeError, Document, Limits, Value};
use super::limit;
use super::metainfo::{Metainfo, MetainfoError};
use super::selection::Priority;

/// A torrent as it was added.
#[derive(Clone, Debug)]
pub struct Stored {
    /// The torrent.
    pub metainfo: Metainfo,
    /// The folder in which its file or folder lies.
    pub dir: PathBuf,
    /// Peers that the user named.
    pub peers: Vec<SocketAddr>,
    /// Where its files go when everything is there.
    pub move_on_complete: Option<PathBuf>,
    /// Whether its trackers are asked.
    pub trackers: bool,
    /// Whether pieces are taken in order.
    pub sequential: bool,
    /// Its own limits of the rates.
    pub limits: limit::Limits,
    /// Whether it is paused.
    pub paused: bool,
    /// A rule of when it has been shared enough was reached; it counts no more until there is a new one.
    pub sated: bool,
    /// Its own rule for when it has been shared enough.
    pub enough: Option<Enough>,
    /// How soon each file is fetched; empty if nothing was said.
    pub priorities: Vec<Priority>,
    /// Whether room for its files is reserved at the start; `None`: as for all.
    pub reserve: Option<bool>,
}

/// When a torrent has been shared enough; see the engine's stop rule.
#[derive(Copy, Clone, Debug, Default, PartialEq)]
pub struct Enough {
    /// Payload sent, as a multiple of the size.
    pub ratio: Option<f64>,
    /// Seconds for which it was complete.
    pub time: Option<u64>,
    /// Seconds for which nothing was sent.
    pub idle: Option<u64>,
}

/// Why bytes are not a stored torrent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StoredError {
    /// Not bencoding.
    #[error("stored torrent is damaged: {0}")]
    Bencode(#[from] BencodeError),
    /// Written by a version of this program with another format.
    #[error("stored torrent has version {0}, not {VERSION}")]
    Version(i64),
    /// A part is missing or has the wrong type.
    #[error("stored torrent has no proper {0:?}")]
    Missing(&'static str),
    /// Its .torrent file is not acceptable.
    #[error(transparent)]
    Metainfo(#[from] MetainfoError),
}

impl Stored {
    /// The bytes to be kept.
    pub fn encode(&self) -> Vec<u8> {
        let peers = self.peers.iter().take(MAX_PEERS).map(|peer| peer.to_string().into_bytes().into());
        let bound = |limit: Option<NonZeroU64>| {
            // What does not fit is no limit.
            limit.and_then(|limit| i64::try_from(limit.get()).ok()).map(Bencode::from)
        };
        let levels: Vec<u8> = self.priorities.iter().map(|priority| priority.level()).collect();
        let entries = [
            ("dir", Some(path_bytes(&self.dir).into())),
            ("down limit", bound(self.limits.down)),
            ("enough", self.enough.map(Enough::encode)),
            ("metainfo", Some(self.metainfo.to_torrent().into())),
            ("move on complete", self.move_on_complete.as_deref().map(|dir| path_bytes(dir).into())),
            ("paused", self.paused.then(|| 1.into())),
            ("peers", Some(peers.collect())),
            ("priorities", (!self.priorities.is_empty()).then(|| levels.into())),
            ("reserve", self.reserve.map(|reserve| i64::from(reserve).into())),
            ("sated", self.sated.then(|| 1.into())),
            ("sequential", Some(i64::from(self.sequential).into())),
            ("trackers", Some(i64::from(self.trackers).into())),
            ("up limit", bound(self.limits.up)),
            ("version", Some(VERSION.into())),
        ];
        Bencode::dict(entries.into_iter().filter_map(|(key, value)| Some((key, value?)))).encode()
    }

    /// Reads what [`encode`](Stored::encode) wrote. Keys that are not known are left alone: a later version may have
    /// written them.
    ///
    /// # Errors
    ///
    /// Bytes that are not a stored torrent, or one that would not be accepted as a .torrent file.
    pub fn parse(bytes: &[u8]) -> Result<Stored, StoredError> {
        let document = Document::parse(bytes, &Limits::RECORD)?;
        let root = document.root();
        match root.get("version").and_then(Value::as_int) {
            Some(VERSION) => {}
            Some(other) => return Err(StoredError::Version(other)),
            None => return Err(StoredError::Missing("version")),
        }
        let bytes_of = |key| root.get(key).and_then(Value::as_bytes).ok_or(StoredError::Missing(key));
        let flag = |key| match root.get(key).and_then(Value::as_int) {
            Some(value @ (0 | 1)) => Ok(value == 1),
            _ => Err(StoredError::Missing(key)),
        };
        let bound = |key| root.get(key).and_then(Value::as_u64).and_then(NonZeroU64::new);
        let peers = root.get("peers").and_then(Value::as_list).ok_or(StoredError::Missing("peers"))?;
        let metainfo = Metainfo::parse(bytes_of("metainfo")?)?;
        let levels = root.get("priorities").map_or(Some(&[][..]), Value::as_bytes);
        let levels = levels.filter(|levels| levels.is_empty() || levels.len() == metainfo.files().len());
        let priorities = levels.and_then(|levels| levels.iter().map(|level| Priority::new(*level)).collect());
        Ok(Stored {
            metainfo,
            priorities: priorities.ok_or(StoredError::Missing("priorities"))?,
            reserve: root.get("reserve").and_then(Value::as_int).map(|reserve| reserve == 1),
            dir: path(bytes_of("dir")?).ok_or(StoredError::Missing("dir"))?,
            peers: peers.take(MAX_PEERS).filter_map(|peer| peer.as_str()?.parse().ok()).collect(),
            move_on_complete: root.get("move on complete").and_then(Value::as_bytes).and_then(path),
            trackers: flag("trackers")?,
            sequential: flag("sequential")?,
            limits: limit::Limits { down: bound("down limit"), up: bound("up limit") },
            paused: root.get("paused").and_then(Value::as_int) == Some(1),
            sated: root.get("sated").and_then(Value::as_int) == Some(1),
            enough: root.get("enough").map(Enough::read),
        })
    }
}

impl Enough {
    fn encode(self) -> Bencode {
        let seconds = |n: Option<u64>| n.and_then(|n| i64::try_from(n).ok()).map(Bencode::from);
        let entries = [
            ("idle", seconds(self.idle)),
            ("ratio", self.ratio.map(|ratio| ratio.to_string().into())),
            ("time", seconds(self.time)),
        ];
        Bencode::dict(entries.into_iter().filter_map(|(key, value)| Some((key, value?))))
    }

    fn read(value: Value<'_>) -> Enough {
        let seconds = |key| value.get(key).and_then(Value::as_u64);
        let ratio = value.get("ratio").and_then(Value::as_str).and_then(|text| text.parse::<f64>().ok());
        let ratio = ratio.filter(|ratio| ratio.is_finite() && *ratio >= 0.0);
        Enough { ratio, time: seconds("time"), idle: seconds("idle") }
    }
}

/// Paths are kept as they are, also those that are not UTF-8.
#[cfg(unix)]
fn path_bytes(path: &Path) -> Vec<u8> {
    use std::os::unix::ffi::OsStrExt;
    path.as_os_str().as_bytes().to_vec()
}

#[cfg(not(unix))]
fn path_bytes(path: &Path) -> Vec<u8> {
    path.to_string_lossy().into_owned().into_bytes()
}

/// A folder that the system could take: not empty, without NUL. Only absolute ones are stored; another would mean a
/// different folder in each run.
fn path(bytes: &[u8]) -> Option<PathBuf> {
    #[cfg(unix)]
    let path = {
        use std::os::unix::ffi::OsStrExt;
        PathBuf::from(std::ffi::OsStr::from_bytes(bytes))
    };
    #[cfg(not(unix))]
    let path = PathBuf::from(std::str::from_utf8(bytes).ok()?);
    (path.is_absolute() && bytes.len() <= MAX_PATH && !bytes.contains(&0)).then_some(path)
}

/// Changes when older versions of the program could not make sense of it.
const VERSION: i64 = 1;

/// Most peers that are kept; trackers name others.
const MAX_PEERS: usize = 64;

/// Longest path, bytes: the limit of Linux.
const MAX_PATH: usize = 4096;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn stored() -> Stored {
        let torrent = b"d8:announce9:http://t/13:announce-listll9:http://t/9:http://u/el9:http://v/ee7:comment2:hi\
            10:created by1:k13:creation datei7e4:infod1:Zi0e6:lengthi5e4:name1:f12:piece lengthi16384e6:pieces20:\
            xxxxxxxxxxxxxxxxxxxx7:privatei1ee8:url-list9:http://w/e";
        Stored {
            move_on_complete: Some("/there".into()),
            metainfo: Metainfo::parse(torrent).unwrap(),
            dir: "/a b/c".into(),
            peers: vec!["1.2.3.4:5".parse().unwrap(), "[::1]:6".parse().unwrap()],
            trackers: true,
            sequential: false,
            limits: limit::Limits { down: NonZeroU64::new(1 << 40), up: None },
            paused: true,
            sated: true,
            enough: Some(Enough { ratio: Some(1.5), time: None, idle: Some(60) }),
            priorities: vec![Priority::HIGHEST],
            reserve: Some(true),
        }
    }

    #[test]
    fn round_trip() {
        let (a, b) = (stored(), Stored::parse(&stored().encode()).unwrap());
        assert_eq!((a.limits, a.paused, a.sated, a.enough), (b.limits, b.paused, b.sated, b.enough));
        assert_eq!((&a.priorities, a.reserve), (&b.priorities, b.reserve));
        assert_eq!((a.dir, a.peers, a.trackers, a.sequential), (b.dir, b.peers, b.trackers, b.sequential));
        let (a, b) = (a.metainfo, b.metainfo);
        assert_eq!((a.info_hash(), a.raw_info()), (b.info_hash(), b.raw_info()));
        assert_eq!(a.trackers().len(), 2);
        assert_eq!((a.trackers(), a.web_seeds(), a.private()), (b.trackers(), b.web_seeds(), b.private()));
        assert_eq!((a.comment(), a.created_by()), (b.comment(), b.created_by()));
        assert_eq!((a.creation_date(), b.creation_date()), (Some(7), Some(7)));
    }

    #[cfg(unix)]
    #[test]
    fn folders_need_not_be_utf_8_but_absolute() {
        assert_eq!(path(b"/\xff").map(|path| path_bytes(&path)), Some(b"/\xff".to_vec()));
        for bad in [&b""[..], b"a/b", b"./a", b"/a\0b", &[b'/'; 5000]] {
            assert_eq!(path(bad), None);
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        assert!(matches!(Stored::parse(b"d7:versioni2ee"), Err(StoredError::Version(2))));
        assert!(matches!(Stored::parse(b"de"), Err(StoredError::Missing("version"))));
        assert!(matches!(Stored::parse(b"x"), Err(StoredError::Bencode(_))));
        let bytes = stored().encode();
        for at in 0..bytes.len() {
            let mut bytes = bytes.clone();
            bytes[at] ^= 1;
            // A flipped bit may be in a harmless place; it must not be more than wrong.
            let _ = Stored::parse(&bytes);
            assert!(Stored::parse(&bytes[..at]).is_err());
        }
    }

    proptest! {
        #[test]
        fn any_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Stored::parse(&bytes);
        }
    }
}
