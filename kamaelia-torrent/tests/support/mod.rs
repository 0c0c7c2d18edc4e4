//! Torrents made by hand, with whatever files a test wants.
#![allow(dead_code, unreachable_pub, reason = "each test uses a part of it")]

pub mod node;
pub mod tracker;

use kamaelia_torrent::engine::TorrentId;
use kamaelia_torrent::proto::metainfo::Metainfo;
use sha1::{Digest, Sha1};
use std::path::Path;

/// A file of a torrent to be made.
pub struct TestFile {
    pub path: &'static str,
    pub data: Vec<u8>,
    pub pad: bool,
}

/// A file of pseudo-random bytes.
pub fn file(path: &'static str, len: usize, seed: u64) -> TestFile {
    TestFile { path, data: noise(len, seed), pad: false }
}

/// Padding (BEP 47).
pub fn pad(len: usize) -> TestFile {
    TestFile { path: ".pad/0", data: vec![0; len], pad: true }
}

/// Bytes that do not repeat.
pub fn noise(len: usize, seed: u64) -> Vec<u8> {
    let mut data = vec![0; len];
    fastrand::Rng::with_seed(seed).fill(&mut data);
    data
}

/// A torrent and its payload.
pub struct TestTorrent {
    pub metainfo: Metainfo,
    pub bytes: Vec<u8>,
    pub files: Vec<TestFile>,
    pub name: &'static str,
    pub single: bool,
}

/// A seed of a torrent, with the folder that its data lies in.
pub fn stored_seed(torrent: &TestTorrent) -> (tempfile::TempDir, node::Node, TorrentId) {
    let dir = tempfile::tempdir().unwrap();
    torrent.store(dir.path());
    let (node, id) = node::seed(&torrent.metainfo, dir.path());
    (dir, node, id)
}

/// A folder on another file system than that of temporary files, if there is one.
#[cfg(unix)]
pub fn elsewhere() -> Option<tempfile::TempDir> {
    use std::os::unix::fs::MetadataExt;

    let here = std::fs::metadata(std::env::temp_dir()).ok()?.dev();
    let other = |dir: &&str| std::fs::metadata(dir).is_ok_and(|meta| meta.dev() != here);
    ["/dev/shm", "/var/tmp", "."].into_iter().filter(other).find_map(|dir| tempfile::tempdir_in(dir).ok())
}

/// A torrent of one file.
pub fn single(name: &'static str, len: usize, piece_len: u32, seed: u64) -> TestTorrent {
    make(name, vec![file(name, len, seed)], piece_len, true, None)
}

/// A torrent of several files below a folder.
pub fn multi(name: &'static str, files: Vec<TestFile>, piece_len: u32) -> TestTorrent {
    make(name, files, piece_len, false, None)
}

/// A torrent with a tracker.
pub fn with_tracker(name: &'static str, len: usize, piece_len: u32, tracker: &str) -> TestTorrent {
    make(name, vec![file(name, len, 5)], piece_len, true, Some(tracker))
}

fn make(
    name: &'static str,
    files: Vec<TestFile>,
    piece_len: u32,
    single: bool,
    tracker: Option<&str>,
) -> TestTorrent {
    let payload: Vec<u8> = files.iter().flat_map(|f| f.data.iter().copied()).collect();
    let hashes: Vec<u8> = payload.chunks(piece_len as usize).flat_map(|p| Sha1::digest(p).to_vec()).collect();
    let mut out = b"d".to_vec();
    if let Some(url) = tracker {
        out.extend(format!("8:announce{}:{url}", url.len()).bytes());
    }
    out.extend(b"4:infod");
    if single {
        out.extend(format!("6:lengthi{}e", payload.len()).bytes());
    } else {
        out.extend(b"5:filesl");
        for f in &files {
            out.extend(b"d");
            if f.pad {
                out.extend(b"4:attr1:p");
            }
            out.extend(format!("6:lengthi{}e4:pathl", f.data.len()).bytes());
            for part in f.path.split('/') {
                out.extend(format!("{}:{part}", part.len()).bytes());
            }
            out.extend(b"ee");
        }
        out.extend(b"e");
    }
    out.extend(
        format!("4:name{}:{name}12:piece lengthi{piece_len}e6:pieces{}:", name.len(), hashes.len()).bytes(),
    );
    out.extend(&hashes);
    out.extend(b"ee");
    let metainfo = Metainfo::parse(&out).expect("a valid torrent");
    TestTorrent { metainfo, bytes: out, files, name, single }
}

impl TestTorrent {
    /// Writes the payload beneath `dir`.
    pub fn store(&self, dir: &Path) {
        for (path, data) in self.paths(dir) {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, data).unwrap();
        }
    }

    /// Compares what lies beneath `dir` with the payload, byte for byte; padding must not be there.
    pub fn verify(&self, dir: &Path) {
        for (path, data) in self.paths(dir) {
            let got = std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
            assert!(got == data, "{} differs", path.display());
        }
        assert!(!dir.join(self.name).join(".pad").exists());
    }

    /// The stream of bytes that the pieces are cut from.
    pub fn payload(&self) -> Vec<u8> {
        self.files.iter().flat_map(|f| f.data.iter().copied()).collect()
    }

    fn paths<'a>(&'a self, dir: &'a Path) -> impl Iterator<Item = (std::path::PathBuf, &'a [u8])> {
        self.files.iter().filter(|f| !f.pad).map(move |f| {
            let path = if self.single { dir.join(self.name) } else { dir.join(self.name).join(f.path) };
            (path, &f.data[..])
        })
    }
}
