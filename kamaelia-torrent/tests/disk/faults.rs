//! Failures name the file, and nothing outside the folder is touched.

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc;

use kamaelia_torrent::disk::{
    DiskAnswer, DiskConfig, DiskError, DiskHook, HookedAccess, PieceResult, Storage,
};
use kamaelia_torrent::proto::bitfield::Bitfield;
use kamaelia_torrent::proto::geometry::{BLOCK_LEN, BlockRequest, PieceIndex};

use crate::support::single;
use crate::{Rig, mixed};

#[test]
fn a_hook_sees_each_access_and_can_fail_it() {
    let torrent = single("f", 65_536, 65_536, 9);
    let tmp = tempfile::tempdir().unwrap();
    let (seen, accesses) = mpsc::channel();
    let hook = DiskHook::new(move |access, bytes| {
        seen.send((access, bytes)).unwrap();
        if access == HookedAccess::Read { Err(std::io::ErrorKind::TimedOut.into()) } else { Ok(()) }
    });
    let rig = Rig::new(DiskConfig { hook: Some(hook), ..DiskConfig::default() });
    let storage = rig.open(&torrent, tmp.path());
    let whole = vec![(0, torrent.payload())];
    assert!(matches!(rig.write(&storage, PieceIndex(0), whole), PieceResult::Good));
    torrent.verify(tmp.path());
    let block = BlockRequest { piece: PieceIndex(0), begin: 0, len: BLOCK_LEN };
    rig.disk.read(&storage, 1, vec![block], Vec::new());
    match rig.next() {
        DiskAnswer::Read { error: Some(e), .. } => assert!(e.to_string().contains("timed out"), "{e}"),
        other => panic!("{other:?}"),
    }
    let accesses: Vec<_> = accesses.try_iter().collect();
    let block = u64::from(BLOCK_LEN);
    assert_eq!(accesses, [(HookedAccess::Write, 65_536), (HookedAccess::Read, block)]);
}

#[test]
fn errors_name_the_file_and_the_cause() {
    let torrent = mixed();
    let payload = torrent.payload();
    let write = |dir: &Path| {
        let rig = Rig::new(DiskConfig::default());
        let storage = rig.open(&torrent, dir);
        match rig.write(&storage, PieceIndex(0), vec![(0, payload[..65_536].to_vec())]) {
            PieceResult::Failed(e) => e,
            other => panic!("{other:?}"),
        }
    };
    let tmp = tempfile::tempdir().unwrap();
    // A file where a folder should be.
    std::fs::create_dir(tmp.path().join("mixed")).unwrap();
    std::fs::write(tmp.path().join("mixed/a"), b"").unwrap();
    let e = write(tmp.path());
    assert!(matches!(&e, DiskError::NotAFolder { path } if path.ends_with("mixed/a/one")), "{e}");
    // A folder where a file should be.
    std::fs::remove_file(tmp.path().join("mixed/a")).unwrap();
    std::fs::create_dir_all(tmp.path().join("mixed/a/one")).unwrap();
    let e = write(tmp.path());
    assert!(matches!(&e, DiskError::NotAFile { path } if path.ends_with("mixed/a/one")), "{e}");
    // The folder of the user is a file.
    std::fs::write(tmp.path().join("file"), b"").unwrap();
    let e = write(&tmp.path().join("file"));
    assert!(matches!(&e, DiskError::NotAFolder { .. } | DiskError::Io { .. }), "{e}");
    assert!(e.to_string().contains("mixed/a/one"), "{e}");
}

#[cfg(unix)]
#[test]
fn no_link_out_of_the_folder_is_followed() {
    let torrent = mixed();
    let tmp = tempfile::tempdir().unwrap();
    let outside = tempfile::tempdir().unwrap();
    let mut victim = torrent.payload()[..100_000].to_vec();
    victim[0] ^= 1;
    std::fs::write(outside.path().join("one"), &victim).unwrap();
    std::fs::create_dir(tmp.path().join("mixed")).unwrap();
    std::os::unix::fs::symlink(outside.path(), tmp.path().join("mixed/a")).unwrap();
    let rig = Rig::new(DiskConfig::default());
    let storage = rig.open(&torrent, tmp.path());
    let data = torrent.payload()[..65_536].to_vec();
    let verdict = rig.write(&storage, PieceIndex(0), vec![(0, data)]);
    assert!(matches!(&verdict, PieceResult::Failed(DiskError::Symlink { .. })), "{verdict:?}");
    assert_eq!(std::fs::read(outside.path().join("one")).unwrap(), victim);
    let (have, _, error) = rig.check(&storage, Bitfield::full(torrent.metainfo.geometry().piece_count()));
    assert!(matches!(error, Some(DiskError::Symlink { .. })) && have.is_empty_set());
}

#[test]
fn verified_data_that_is_gone_is_an_error() {
    let torrent = single("f", 100_000, 65_536, 14);
    let tmp = tempfile::tempdir().unwrap();
    let rig = Rig::new(DiskConfig::default());
    let read = |storage: &Arc<Storage>| {
        rig.disk.read(
            storage,
            0,
            vec![BlockRequest { piece: PieceIndex(1), begin: 0, len: 16_384 }],
            Vec::new(),
        );
        match rig.next() {
            DiskAnswer::Read { error: Some(e), .. } => e,
            other => panic!("{other:?}"),
        }
    };
    let storage = rig.open(&torrent, tmp.path());
    assert!(matches!(read(&storage), DiskError::Missing { .. }));
    std::fs::write(tmp.path().join("f"), b"short").unwrap();
    assert!(matches!(read(&storage), DiskError::Short { end: 81_920, .. }));
}
