//! What the fuzz targets of the peer protocol do with their input; `tests/fuzz_replay_swarm.rs` does the same with
//! the committed corpora. They panic if a promise is broken.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use kamaelia_torrent::proto::buffer::{BufferPool, PartBuf};
use kamaelia_torrent::proto::handshake::{Handshake, HandshakeReader, PeerId, Reserved};
use kamaelia_torrent::proto::torrent::{
    CheckResult, Direction, Landing, PeerKey, PeerSource, Torrent, TorrentConfig, TorrentOutput,
};
use kamaelia_torrent::proto::wire::{Decoder, Event, Message, block_header};
use kamaelia_torrent::proto::{BlockRequest, Fetch, Geometry, InfoHash, PieceIndex};

/// The first byte says where to cut; what a stream means does not depend on it.
pub(crate) fn wire(data: &[u8]) {
    let Some((&cut, data)) = data.split_first() else { return };
    let whole = meaning(&[data]);
    let pieces: Vec<&[u8]> = data.chunks(usize::from(cut % 32) + 1).collect();
    assert_eq!(meaning(&pieces), whole);
    let _ = HandshakeReader::new().feed(&mut &data[..]);
}

fn meaning(chunks: &[&[u8]]) -> (Vec<u8>, bool) {
    let mut decoder = Decoder::new(100);
    let mut again = Vec::new();
    for chunk in chunks {
        let mut data = *chunk;
        loop {
            match decoder.next(&mut data) {
                Ok(Some(Event::Message(message))) => message.encode(&mut again),
                Ok(Some(Event::BlockStart(block))) => again.extend_from_slice(&block_header(&block)),
                Ok(Some(Event::BlockData { data, .. })) => again.extend_from_slice(data),
                Ok(None) => break,
                Err(_) => return (again, false),
            }
        }
        assert!(data.is_empty());
    }
    (again, true)
}

/// Bytes of a peer, by way of a buffer or straight to where they are expected, as far as there is room; what there is
/// no room for is left.
fn deliver(
    torrent: &mut Torrent,
    now: Instant,
    key: PeerKey,
    mut bytes: &[u8],
    pool: &mut BufferPool,
    step: u8,
) -> Vec<u8> {
    let mut landing = Landing::default();
    while !bytes.is_empty() {
        let room = torrent.room(now, key, pool);
        if room == 0 {
            break;
        }
        let (here, behind) = bytes.split_at(bytes.len().min(room));
        bytes = behind;
        let result = if step & 32 != 0 && torrent.land(key, &mut landing) {
            let mut rest = here;
            landing.for_each_slice(|place| {
                let (here, tail) = rest.split_at(rest.len().min(place.len()));
                place[..here.len()].copy_from_slice(here);
                rest = tail;
            });
            torrent.landed(now, key, &mut landing, here.len(), rest, pool)
        } else {
            torrent.receive(now, key, here, pool)
        };
        if result.is_err() {
            return Vec::new();
        }
    }
    bytes.to_vec()
}

/// A torrent with three connections, driven by a list of steps: whatever happens, in whatever order, the
/// bookkeeping stays right and the budget is kept.
pub(crate) fn peer(data: &[u8]) {
    let mut data = data.iter().copied();
    let mut now = Instant::now();
    let mode = data.next().unwrap_or(0);
    // Pieces of two parts, or of three blocks, or so long that a peer is asked for more than there is memory; three.
    let (total, piece_len, little) = match mode & 12 {
        0 => (100_000, 40_000, 1 << 18),
        4 => (700_000, 300_000, 1 << 18),
        _ => (5_000_000, 2_000_000, 1 << 19),
    };
    let geometry = Geometry::new(total, piece_len).expect("valid");
    let mut cfg = TorrentConfig::new(InfoHash([1; 20]), PeerId([1; 20]), geometry);
    if mode & 1 != 0 {
        cfg.have.set(PieceIndex(1));
    }
    (cfg.max_peers, cfg.upload_slots, cfg.min_requests) = (3, Some(2), 4);
    let mut torrent = Torrent::new(cfg, now);
    let mut pool = BufferPool::new(if mode & 2 != 0 { little } else { 1 << 20 });
    let mut writing: Vec<(Fetch, bool, PartBuf)> = Vec::new();
    let mut reading: Vec<(PeerKey, Vec<BlockRequest>)> = Vec::new();
    let mut asked: Vec<(PeerKey, BlockRequest)> = Vec::new();
    let mut decoders: Vec<Decoder> = (0..3).map(|_| Decoder::new(3)).collect();
    // What is left of a block that was sent in part.
    let mut rest: [Vec<u8>; 3] = Default::default();
    while let Some(step) = data.next() {
        let n = step & 3;
        let key = PeerKey(u64::from(n % 3));
        match step >> 2 & 15 {
            0 => {
                let reserved = if step & 64 != 0 { Reserved::OURS } else { Reserved::default() };
                let id = PeerId([data.next().unwrap_or(9) % 5; 20]);
                let handshake = Handshake { reserved, info_hash: InfoHash([1; 20]), peer_id: id };
                let addr = SocketAddr::from(([10, 0, 0, n % 3], 6881));
                if torrent.peer_connected(now, key, addr, Direction::Outgoing, &handshake).is_ok() {
                    decoders[key.0 as usize] = Decoder::new(3);
                    rest[key.0 as usize].clear();
                }
            }
            1 => {
                torrent.peer_closed(now, key);
                asked.retain(|(other, _)| *other != key);
            }
            2 => {
                now += Duration::from_millis(u64::from(data.next().unwrap_or(0)) * 100);
                torrent.tick(now, &mut pool);
            }
            // The disk answers.
            3 | 4 if !writing.is_empty() => {
                let (fetch, last, buffer) = writing.remove(0);
                pool.give(buffer);
                let hashes = vec![[step; 20]; geometry.block_count(fetch.piece) as usize];
                match step >> 6 {
                    0 if last => torrent.piece_checked(now, fetch, CheckResult::Bad(hashes)),
                    1 => torrent.piece_checked(now, fetch, CheckResult::Failed("disk".into())),
                    _ if last => torrent.piece_checked(now, fetch, CheckResult::Good),
                    _ => {}
                }
                torrent.fill(now, &mut pool);
            }
            5 if !reading.is_empty() => {
                let (key, blocks) = reading.remove(0);
                if step >> 6 == 0 {
                    torrent.read_failed(now, key, &blocks);
                } else {
                    torrent.blocks_sent(now, key, blocks.len() as u32, 16_384);
                }
            }
            // A peer sends what it was asked for, in one go or in part.
            6..=9 => {
                let rest = &mut rest[key.0 as usize];
                let mut bytes = std::mem::take(rest);
                if bytes.is_empty() {
                    let many = if step >> 6 == 2 { 16 } else { 1 };
                    for _ in 0..many {
                        let Some(at) = asked.iter().position(|(other, _)| *other == key) else { break };
                        let (_, block) = asked.remove(at);
                        bytes.extend_from_slice(&block_header(&block));
                        bytes.resize(bytes.len() + block.len as usize, step);
                    }
                    if step >> 6 == 3 {
                        *rest = bytes.split_off(bytes.len() / 2);
                    }
                }
                let left = deliver(&mut torrent, now, key, &bytes, &mut pool, step);
                rest.splice(0..0, left);
            }
            10..=13 => {
                let message = match data.next().unwrap_or(0) % 10 {
                    0 => Message::Choke,
                    1 | 2 => Message::Unchoke,
                    3 => Message::Interested,
                    4 => Message::NotInterested,
                    5 => Message::Have(PieceIndex(u32::from(n))),
                    6 => Message::HaveAll,
                    7 => Message::Bitfield(vec![step]),
                    8 => Message::Request(geometry.block(PieceIndex(1), u32::from(n))),
                    _ => match asked.iter().position(|(other, _)| *other == key) {
                        Some(at) => Message::Reject(asked.remove(at).1),
                        None => Message::AllowedFast(PieceIndex(u32::from(n % 3))),
                    },
                };
                let mut bytes = std::mem::take(&mut rest[key.0 as usize]);
                message.encode(&mut bytes);
                rest[key.0 as usize] = deliver(&mut torrent, now, key, &bytes, &mut pool, step);
            }
            14 => {
                let len = usize::from(data.next().unwrap_or(0));
                let mut bytes = std::mem::take(&mut rest[key.0 as usize]);
                bytes.extend(data.by_ref().take(len));
                rest[key.0 as usize] = deliver(&mut torrent, now, key, &bytes, &mut pool, step);
            }
            _ => {
                torrent.retry_disk(now);
                torrent.tick(now, &mut pool);
                torrent.add_candidates(now, &[SocketAddr::from(([10, 0, 0, n], 6881))], PeerSource::Tracker);
                if let Some(addr) = torrent.next_connect(now) {
                    torrent.connect_failed(now, addr);
                }
            }
        }
        while let Some(output) = torrent.poll() {
            match output {
                TorrentOutput::Write { fetch, data, last, .. } => writing.push((fetch, last, data)),
                TorrentOutput::Read { peer, blocks } => reading.push((peer, blocks)),
                TorrentOutput::WantBlockHashes(piece) => {
                    let hashes = vec![[step & 1; 20]; geometry.block_count(piece) as usize];
                    torrent.block_hashes(now, piece, &hashes);
                }
                TorrentOutput::OutputReady(key) => {
                    let mut out = Vec::new();
                    torrent.take_output(now, key, &mut out);
                    let mut out = &out[..];
                    let decoder = &mut decoders[key.0 as usize];
                    while let Some(event) = decoder.next(&mut out).expect("we send proper messages") {
                        match event {
                            Event::Message(Message::Request(block)) => {
                                assert!(geometry.contains(&block));
                                asked.push((key, block));
                            }
                            Event::Message(Message::Cancel(block)) => {
                                asked.retain(|(other, asked)| (*other, *asked) != (key, block));
                            }
                            _ => {}
                        }
                    }
                }
                TorrentOutput::Disconnect(key, _) => asked.retain(|(other, _)| *other != key),
                _ => {}
            }
        }
        torrent.assert_consistent();
        assert!(pool.used() <= pool.budget());
    }
}
