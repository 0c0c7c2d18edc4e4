//! Pieces that come whole.

use std::sync::Arc;
use std::sync::mpsc;

use kamaelia_torrent::disk::{DiskAnswer, DiskConfig, DiskHook, PartWrite, PieceResult};
use kamaelia_torrent::proto::bitfield::Bitfield;
use kamaelia_torrent::proto::buffer::PartBuf;
use kamaelia_torrent::proto::geometry::{BLOCK_LEN, Fetch, PieceIndex};
use sha1::{Digest, Sha1};

use crate::support::single;
use crate::{Rig, cut, mixed};

#[test]
fn whole_pieces_over_files_pads_and_empty_files() {
    let torrent = mixed();
    let tmp = tempfile::tempdir().unwrap();
    let dir = tmp.path().join("made/on/demand");
    let rig = Rig::new(DiskConfig { open_files: 1, ..DiskConfig::default() });
    let storage = rig.open(&torrent, &dir);
    assert!(!dir.exists());
    let (geometry, payload) = (torrent.metainfo.geometry(), torrent.payload());
    for piece in geometry.pieces() {
        let data = cut(&payload, geometry.piece_offset(piece), (0, geometry.piece_size(piece)));
        assert!(matches!(rig.write(&storage, piece, vec![data]), PieceResult::Good));
    }
    rig.disk.prepare(&storage);
    assert!(matches!(rig.next(), DiskAnswer::Prepared { error: None, .. }));
    torrent.verify(&dir);
    let (have, checked, error) = rig.check(&storage, Bitfield::full(geometry.piece_count()));
    assert!(have.is_full() && checked == geometry.piece_count() && error.is_none());
}

#[test]
fn a_bad_whole_piece_is_not_written_and_its_blocks_are_told() {
    let torrent = single("f", 200_000, 65_536, 9);
    let tmp = tempfile::tempdir().unwrap();
    let rig = Rig::new(DiskConfig::default());
    let storage = rig.open(&torrent, tmp.path());
    let mut data = torrent.payload()[..65_536].to_vec();
    data[20_000] ^= 1;
    let expected: Vec<[u8; 20]> = data.chunks(BLOCK_LEN as usize).map(|b| Sha1::digest(b).into()).collect();
    match rig.write(&storage, PieceIndex(0), vec![(0, data)]) {
        PieceResult::Bad { blocks } => assert_eq!(blocks, expected),
        other => panic!("{other:?}"),
    }
    assert!(!tmp.path().join("f").exists());
}

#[test]
fn small_pieces_that_wait_are_written_together_without_the_bad_one() {
    const LEN: usize = 16 * 1024;
    let torrent = single("f", 40 * LEN, LEN as u32, 13);
    // Whether long writes fail: then each piece is written alone.
    for fails in [false, true] {
        let tmp = tempfile::tempdir().unwrap();
        let (sent, all_sent) = mpsc::channel::<()>();
        let (seen, accesses) = mpsc::channel();
        let all_sent = std::sync::Mutex::new(all_sent);
        let hook = DiskHook::new(move |_, bytes| {
            // Until the other end is gone.
            let _ = all_sent.lock().unwrap().recv();
            seen.send(bytes as usize / LEN).unwrap();
            if fails && bytes as usize > LEN { Err(std::io::ErrorKind::StorageFull.into()) } else { Ok(()) }
        });
        let rig = Rig::new(DiskConfig { hook: Some(hook), workers: 1, ..DiskConfig::default() });
        let storage = rig.open(&torrent, tmp.path());
        let mut payload = torrent.payload();
        payload[20 * LEN + 5] ^= 1;
        // The last one first: they are sorted.
        let parts = std::iter::once(39).chain(0..39).map(|i| PartWrite {
            storage: Arc::clone(&storage),
            fetch: PieceIndex(i as u32).into(),
            offset: 0,
            buf: PartBuf::unpooled(payload[i * LEN..][..LEN].to_vec()),
            last: true,
        });
        rig.disk.write_batch(parts.collect());
        drop(sent);
        let mut bad = Vec::new();
        for _ in 0..40 {
            match rig.next() {
                DiskAnswer::Written { result: Some(PieceResult::Good), .. } => {}
                DiskAnswer::Written {
                    fetch: Fetch { piece, .. },
                    result: Some(PieceResult::Bad { blocks }),
                    ..
                } => {
                    assert_eq!(blocks.len(), 1);
                    bad.push(piece.0);
                }
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(bad, [20]);
        let accesses: Vec<usize> = accesses.try_iter().collect();
        if fails {
            assert_eq!(accesses.iter().filter(|pieces| **pieces == 1).count(), 39);
        } else {
            assert_eq!(accesses, [16, 4, 11, 8]);
        }
        payload[20 * LEN..21 * LEN].fill(0);
        assert!(std::fs::read(tmp.path().join("f")).unwrap() == payload);
    }
}
