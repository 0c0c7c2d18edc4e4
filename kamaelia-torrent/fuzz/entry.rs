//! What the fuzz targets do with their input. `tests/fuzz_replay.rs` feeds the committed corpora to the same
//! functions on a stable compiler. They panic if a promise is broken.

use std::net::IpAddr;
use std::path::Component;
use std::time::Instant;

use kamaelia_torrent::proto::announce::{MAX_PEERS, parse_http_response};
use kamaelia_torrent::proto::bencode::{Bencode, Document, Limits, Value};
use kamaelia_torrent::proto::extension::ExtensionHandshake;
use kamaelia_torrent::proto::parts::Layout;
use kamaelia_torrent::proto::resume::Resume;
use kamaelia_torrent::proto::stored::Stored;
use kamaelia_torrent::proto::tracker::{TrackerConfig, TrackerState};
use kamaelia_torrent::proto::{Geometry, InfoHash, Metainfo};

/// The reader keeps its limits, and what it accepts is written back byte for byte.
pub(crate) fn bencode(data: &[u8]) {
    for limits in [Limits::FILE, Limits::TRACKER, Limits::PEER] {
        if let Ok((document, used)) = Document::parse_prefix(data, &limits) {
            assert_eq!(document.root().raw(), &data[..used]);
            assert_eq!(Bencode::from(document.root()).encode(), &data[..used]);
            walk(document.root(), limits.max_depth);
        }
    }
    if let Ok(document) = Document::parse(data, &Limits::RECORD) {
        assert_eq!(copy(document.root()).encode(), data, "strictly sorted input is canonical");
    }
}

/// No path leads out of the folder, and the files fill the pieces exactly.
pub(crate) fn metainfo(data: &[u8]) {
    let Ok(m) = Metainfo::parse(data) else { return };
    let mut offset = 0;
    for file in m.files() {
        assert_eq!(file.offset, offset);
        offset += file.len;
        assert!(file.path.components().all(|c| matches!(c, Component::Normal(_))), "{:?}", file.path);
        assert!(file.path.starts_with(m.name()));
    }
    let geometry = m.geometry();
    assert_eq!(offset, geometry.total_len());
    geometry.pieces().for_each(|piece| assert_eq!(m.piece_hash(piece).len(), 20));
    assert_eq!(m.info_hash(), InfoHash::of_info(m.raw_info()));
    let at = data.windows(m.raw_info().len()).any(|w| w == m.raw_info());
    assert!(at, "the info dictionary is that of the input");
    let _ = m.case_clash();
}

/// Few peers, all of which can be dialled, and texts without control characters.
pub(crate) fn announce_response(data: &[u8]) {
    match parse_http_response(data) {
        Ok(response) => {
            assert!(response.peers.len() <= MAX_PEERS);
            assert!(response.peers.iter().all(|peer| peer.port() != 0 && !peer.ip().is_unspecified()));
            assert!(!response.warning.unwrap_or_default().contains(char::is_control));
        }
        Err(error) => assert!(!error.to_string().contains(char::is_control)),
    }
}

/// Any bytes are a log with a number of values that fits into them, and a torrent that is accepted survives a round trip.
pub(crate) fn state(data: &[u8]) {
    assert!(kamaelia_torrent::disk::scan_log(data) <= data.len() / 33);
    if let Ok(stored) = Stored::parse(data) {
        assert!(stored.dir.is_absolute());
        let again = Stored::parse(&stored.encode()).expect("what was written");
        assert_eq!(again.metainfo.raw_info(), stored.metainfo.raw_info());
        assert_eq!((again.dir, again.peers, again.limits), (stored.dir, stored.peers, stored.limits));
        assert_eq!((again.paused, again.enough), (stored.paused, stored.enough));
    }
}

/// A record that is accepted fits the torrent and survives a round trip.
pub(crate) fn resume(data: &[u8]) {
    let hash = InfoHash([7; 20]);
    let geometry = Geometry::new(100, 10).expect("good sizes");
    if let Ok(record) = Resume::parse(data, hash, geometry, 2) {
        assert_eq!((record.have.len(), record.files.len()), (10, 2));
        assert_eq!(Resume::parse(&record.encode(), hash, geometry, 2), Ok(record));
    }
}

/// The header of a slot of a part file that is accepted names files that lie in its piece, and survives a round trip.
pub(crate) fn parts(data: &[u8]) {
    // Four files, one empty and one of padding, in 4 pieces of 10 bytes.
    let torrent: &[u8] =
        b"d4:infod5:filesld6:lengthi7e4:pathl1:aeed6:lengthi0e4:pathl1:beed6:lengthi26e4:pathl1:cee\
        d4:attr1:p6:lengthi7e4:pathl1:peee4:name1:t12:piece lengthi10e6:pieces80:\
        00000000000000000000000000000000000000000000000000000000000000000000000000000000ee";
    let m = Metainfo::parse(torrent).expect("a good torrent");
    let layout = Layout::new(&m);
    assert_eq!(layout.fits(data), data == layout.encode());
    for slot in 0..4 {
        let Some(header) = layout.parse_slot(slot, data, &m) else { continue };
        let start = m.geometry().piece_offset(header.piece);
        let end = start + u64::from(m.geometry().piece_size(header.piece));
        assert!(start < end && !header.files.is_empty());
        for file in header.files.iter().map(|file| &m.files()[*file as usize]) {
            assert!(!file.pad && file.offset < end && file.offset + file.len > start);
        }
        let again = layout.encode_slot(slot, Some(&header));
        assert_eq!(layout.parse_slot(slot, &again, &m), Some(header));
    }
}

/// Bounded, and what was understood is written and read again the same.
pub(crate) fn extension(data: &[u8]) {
    if let Ok(theirs) = ExtensionHandshake::parse(data) {
        assert!(theirs.request_queue != Some(0));
        assert!(!theirs.client.clone().unwrap_or_default().contains(char::is_control));
        let again = ExtensionHandshake::parse(&theirs.encode()).expect("what we write");
        // A text that was cut within a character, or was none, is longer when it is written.
        assert_eq!(again.request_queue, theirs.request_queue);
        for name in ["ut_pex", "ut_metadata", "lt_donthave"] {
            assert_eq!(again.number(name), theirs.number(name));
        }
    }
}

/// One query a line, from different addresses: every one gets a bencoded answer, and the bounds hold.
pub(crate) fn tracker_query(data: &[u8]) {
    let config =
        TrackerConfig { max_torrents: 3, max_peers: 3, max_total_peers: 5, ..TrackerConfig::default() };
    let mut tracker = TrackerState::new(config, fastrand_seeded());
    let now = Instant::now();
    for (n, line) in String::from_utf8_lossy(data).lines().enumerate() {
        let source = IpAddr::from([10, 0, 0, n as u8]);
        for answer in [tracker.announce(now, line, source), tracker.scrape(now, line)] {
            Document::parse(&answer, &Limits::RECORD).expect("a canonical answer");
        }
        assert!(tracker.total_peers() <= 5 && tracker.torrents().count() <= 3);
    }
}

fn fastrand_seeded() -> fastrand::Rng {
    fastrand::Rng::with_seed(1)
}

fn walk(value: Value<'_>, depth: usize) {
    let _ = (value.as_int(), value.as_u64(), value.as_str(), value.get("info"));
    let elements = value.as_list().into_iter().flatten();
    for child in elements.chain(value.as_dict().into_iter().flatten().map(|(_, child)| child)) {
        assert!(depth > 0, "nothing is deeper than the limit");
        walk(child, depth - 1);
    }
}

fn copy(value: Value<'_>) -> Bencode {
    match (value.as_int(), value.as_bytes(), value.as_list()) {
        (Some(int), ..) => Bencode::Integer(int),
        (_, Some(bytes), _) => bytes.into(),
        (.., Some(list)) => list.map(copy).collect(),
        _ => Bencode::dict(value.as_dict().into_iter().flatten().map(|(k, v)| (k, copy(v)))),
    }
}
