//! What is read, by a worker or at once.

use std::path::Path;

use kamaelia_torrent::disk::{DiskAnswer, DiskConfig, DiskError, DiskHook, PIECE_HEADER};
use kamaelia_torrent::proto::geometry::{BLOCK_LEN, BlockRequest, PieceIndex};

use crate::support::single;
use crate::{Rig, mixed};

#[test]
fn blocks_are_read_between_their_headers() {
    let torrent = mixed();
    let tmp = tempfile::tempdir().unwrap();
    torrent.store(tmp.path());
    let rig = Rig::new(DiskConfig::default());
    let storage = rig.open(&torrent, tmp.path());
    let (geometry, payload) = (torrent.metainfo.geometry(), torrent.payload());
    // All blocks in order, then some that do not lie next to each other, with lengths of their own.
    let mut lists = vec![
        geometry
            .pieces()
            .flat_map(|p| (0..geometry.block_count(p)).map(move |b| geometry.block(p, b)))
            .collect::<Vec<_>>(),
    ];
    lists.push(vec![
        BlockRequest { piece: PieceIndex(1), begin: 34_000, len: 7_000 },
        BlockRequest { piece: PieceIndex(0), begin: 0, len: 1 },
        BlockRequest { piece: PieceIndex(0), begin: 1, len: 65_535 },
    ]);
    let mut buf = vec![9; 1_000_000];
    for blocks in lists {
        let at_once = rig.disk.read_now(&storage, &blocks, &mut buf).then(|| buf.clone());
        rig.disk.read(&storage, 42, blocks.clone(), buf);
        let DiskAnswer::Read { token: 42, blocks: answered, buf: data, error: None, .. } = rig.next() else {
            panic!()
        };
        assert_eq!(answered, blocks);
        // The first time no file is open.
        assert_eq!(at_once.is_some(), blocks.len() == 3 && tells_what_is_in_memory(tmp.path()));
        assert!(at_once.is_none_or(|at_once| at_once == data));
        let mut at = 0;
        for block in &blocks {
            let header = &data[at..at + PIECE_HEADER];
            assert_eq!(header[..4], (block.len + 9).to_be_bytes());
            assert_eq!(header[4], 7);
            assert_eq!(header[5..9], block.piece.0.to_be_bytes());
            assert_eq!(header[9..], block.begin.to_be_bytes());
            at += PIECE_HEADER;
            let from = (geometry.piece_offset(block.piece) + u64::from(block.begin)) as usize;
            assert!(data[at..at + block.len as usize] == payload[from..from + block.len as usize]);
            at += block.len as usize;
        }
        assert_eq!(at, data.len());
        buf = data;
    }
    let outside = BlockRequest { piece: PieceIndex(0), begin: 65_530, len: 10 };
    rig.disk.read(&storage, 1, vec![outside], Vec::new());
    assert!(matches!(rig.next(), DiskAnswer::Read { error: Some(DiskError::Range { .. }), .. }));
    assert!(!rig.disk.read_now(&storage, &[outside], &mut Vec::new()));
}

/// Whether the file system that holds a folder can be asked for what is in memory of a file.
#[cfg(target_os = "linux")]
fn tells_what_is_in_memory(dir: &Path) -> bool {
    use rustix::io::ReadWriteFlags;
    std::fs::write(dir.join("probe"), b"probe").unwrap();
    let file = std::fs::File::open(dir.join("probe")).unwrap();
    let mut data = [0; 5];
    let slices = &mut [std::io::IoSliceMut::new(&mut data)];
    rustix::io::preadv2(&file, slices, 0, ReadWriteFlags::NOWAIT) == Ok(5) || is_tmpfs(dir)
}

#[cfg(not(target_os = "linux"))]
fn tells_what_is_in_memory(_dir: &Path) -> bool {
    false
}

/// tmpfs cannot be asked, but never waits.
#[cfg(target_os = "linux")]
fn is_tmpfs(dir: &Path) -> bool {
    rustix::fs::statfs(dir).is_ok_and(|system| system.f_type == 0x0102_1994)
}

#[cfg(target_os = "linux")]
#[test]
fn what_lies_on_tmpfs_is_read_at_once() {
    let torrent = single("f", 65_536, 65_536, 9);
    let shm = Path::new("/dev/shm");
    let Ok(tmp) = tempfile::tempdir_in(shm) else {
        return println!("no /dev/shm to try it on");
    };
    if !is_tmpfs(shm) {
        return println!("/dev/shm is no tmpfs");
    }
    torrent.store(tmp.path());
    let rig = Rig::new(DiskConfig::default());
    let storage = rig.open(&torrent, tmp.path());
    let block = BlockRequest { piece: PieceIndex(0), begin: 40_000, len: BLOCK_LEN };
    rig.disk.read(&storage, 1, vec![block], Vec::new());
    assert!(matches!(rig.next(), DiskAnswer::Read { error: None, .. }));
    let mut buf = Vec::new();
    assert!(rig.disk.read_now(&storage, &[block], &mut buf));
    assert!(buf[PIECE_HEADER..] == torrent.payload()[40_000..][..BLOCK_LEN as usize]);
}

#[test]
fn nothing_is_read_at_once_that_is_not_there_or_might_wait() {
    let torrent = single("f", 65_536, 65_536, 9);
    let block = BlockRequest { piece: PieceIndex(0), begin: 40_000, len: BLOCK_LEN };
    for hook in [None, Some(DiskHook::new(|_, _| Ok(())))] {
        let tmp = tempfile::tempdir().unwrap();
        torrent.store(tmp.path());
        let waits = hook.is_some() || !tells_what_is_in_memory(tmp.path());
        let rig = Rig::new(DiskConfig { hook, ..DiskConfig::default() });
        let storage = rig.open(&torrent, tmp.path());
        rig.disk.read(&storage, 1, vec![block], Vec::new());
        assert!(matches!(rig.next(), DiskAnswer::Read { error: None, .. }));
        let mut buf = Vec::new();
        assert_eq!(rig.disk.read_now(&storage, &[block], &mut buf), !waits);
        // The end of the file is cut off behind our back: whoever may wait finds out.
        std::fs::File::options().write(true).open(tmp.path().join("f")).unwrap().set_len(50_000).unwrap();
        assert!(!rig.disk.read_now(&storage, &[block], &mut buf));
    }
}
