//! Cost of the protocol alone: no socket, no disk, no hashing. Prints seconds per GiB, best and median of five.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use kamaelia_torrent::proto::{
    BLOCK_LEN, Bitfield, BlockRequest, Geometry, InfoHash,
    buffer::{BufferPool, DEFAULT_BUDGET},
    handshake::{Handshake, PeerId, Reserved},
    torrent::{CheckResult, Direction, PeerKey, Torrent, TorrentConfig, TorrentOutput},
    wire::{Decoder, Event, Message, block_header},
};

const TOTAL: u64 = 1 << 30;
const KEY: PeerKey = PeerKey(1);

fn torrent(piece_len: u32, seed: bool, now: Instant) -> Torrent {
    let geometry = Geometry::new(TOTAL, piece_len).unwrap();
    let mut cfg = TorrentConfig::new(InfoHash([1; 20]), PeerId([1; 20]), geometry);
    cfg.max_peers = 1000;
    if seed {
        cfg.have = Bitfield::full(geometry.piece_count());
    }
    let mut torrent = Torrent::new(cfg, now);
    let handshake =
        Handshake { reserved: Reserved::OURS, info_hash: InfoHash([1; 20]), peer_id: PeerId([2; 20]) };
    let addr = "10.0.0.2:6881".parse().unwrap();
    torrent.peer_connected(now, KEY, addr, Direction::Incoming, &handshake).unwrap();
    torrent
}

/// One peer gives everything, and `others` have nothing and want to know what we have.
fn download(piece_len: u32, read: usize, others: u64) -> Duration {
    let mut now = Instant::now();
    let mut torrent = torrent(piece_len, false, now);
    for key in 2..2 + others {
        let mut id = PeerId([3; 20]);
        id.0[..8].copy_from_slice(&key.to_be_bytes());
        let handshake = Handshake { reserved: Reserved::OURS, info_hash: InfoHash([1; 20]), peer_id: id };
        let addr = SocketAddr::from(([10, 1, (key >> 8) as u8, key as u8], 6881));
        torrent.peer_connected(now, PeerKey(key), addr, Direction::Incoming, &handshake).unwrap();
    }
    let mut pool = BufferPool::new(DEFAULT_BUDGET);
    let mut stream = Vec::new();
    Message::HaveAll.encode(&mut stream);
    Message::Unchoke.encode(&mut stream);
    let payload = vec![7; BLOCK_LEN as usize];
    let mut decoder = Decoder::new(torrent.have().len());
    let (mut spent, mut out, mut told) = (Duration::ZERO, Vec::new(), Vec::new());
    while !torrent.is_seed() {
        for chunk in stream.chunks(read) {
            now += Duration::from_micros(500);
            let start = Instant::now();
            torrent.receive(now, KEY, chunk, &mut pool).unwrap();
            while let Some(output) = torrent.poll() {
                match output {
                    TorrentOutput::Write { fetch, data, last, .. } => {
                        pool.give(data);
                        if last {
                            torrent.piece_checked(now, fetch, CheckResult::Good);
                        }
                    }
                    TorrentOutput::OutputReady(KEY) => torrent.take_output(now, KEY, &mut out),
                    TorrentOutput::OutputReady(key) => {
                        told.clear();
                        torrent.take_output(now, key, &mut told);
                    }
                    _ => {}
                }
            }
            if torrent.wants_buffers() {
                torrent.fill(now, &mut pool);
            }
            spent += start.elapsed();
        }
        stream.clear();
        let start = Instant::now();
        torrent.tick(now, &mut pool);
        torrent.take_output(now, KEY, &mut out);
        spent += start.elapsed();
        let mut asked = &out[..];
        while let Some(event) = decoder.next(&mut asked).unwrap() {
            if let Event::Message(Message::Request(block)) = event {
                stream.extend_from_slice(&block_header(&block));
                stream.extend_from_slice(&payload[..block.len as usize]);
            }
        }
        out.clear();
        if stream.is_empty() {
            Message::KeepAlive.encode(&mut stream);
            now += Duration::from_secs(10);
        }
    }
    spent
}

fn serve(piece_len: u32) -> Duration {
    let mut now = Instant::now();
    let mut torrent = torrent(piece_len, true, now);
    let geometry = Geometry::new(TOTAL, piece_len).unwrap();
    let mut pool = BufferPool::new(DEFAULT_BUDGET);
    let mut stream = Vec::new();
    Message::HaveNone.encode(&mut stream);
    Message::Interested.encode(&mut stream);
    torrent.receive(now, KEY, &stream, &mut pool).unwrap();
    let blocks: Vec<BlockRequest> = geometry
        .pieces()
        .flat_map(|piece| (0..geometry.block_count(piece)).map(move |n| geometry.block(piece, n)))
        .collect();
    let (mut spent, mut out, mut served) = (Duration::ZERO, Vec::new(), 0);
    for batch in blocks.chunks(16) {
        stream.clear();
        batch.iter().for_each(|block| Message::Request(*block).encode(&mut stream));
        now += Duration::from_micros(500);
        let start = Instant::now();
        torrent.receive(now, KEY, &stream, &mut pool).unwrap();
        while let Some(output) = torrent.poll() {
            match output {
                TorrentOutput::Read { peer, blocks } => {
                    let bytes = blocks.iter().map(|block| u64::from(block.len)).sum();
                    served += bytes;
                    torrent.blocks_sent(now, peer, blocks.len() as u32, bytes);
                }
                TorrentOutput::OutputReady(key) => torrent.take_output(now, key, &mut out),
                _ => {}
            }
        }
        spent += start.elapsed();
    }
    assert_eq!(served, TOTAL);
    spent
}

fn report(what: &str, mut run: impl FnMut() -> Duration) {
    let mut times: Vec<_> = (0..5).map(|_| run().as_secs_f64()).collect();
    times.sort_by(f64::total_cmp);
    println!("{what:<44} best {:.4}  median {:.4} s/GiB", times[0], times[2]);
}

fn main() {
    for piece in [1 << 14, 1 << 18, 1 << 20, 16 << 20] {
        for read in [64 << 10, 256 << 10] {
            let name = format!("receive, pieces {} KiB, reads {} KiB", piece >> 10, read >> 10);
            report(&name, || download(piece, read, 0));
        }
    }
    for (piece, others) in [(1 << 14, 500), (1 << 18, 500)] {
        let name = format!("receive, pieces {} KiB, {others} others", piece >> 10);
        report(&name, || download(piece, 256 << 10, others));
    }
    report("copy of 256 KiB to buffers, for comparison", || {
        let from = vec![1u8; 1 << 18];
        let mut to: Vec<_> = (0..64).map(|_| vec![0u8; 1 << 18]).collect();
        let start = Instant::now();
        (0..4096).for_each(|n| to[n % 64].copy_from_slice(std::hint::black_box(&from)));
        std::hint::black_box(&to);
        start.elapsed()
    });
    report("serve, pieces 256 KiB", || serve(1 << 18));
    report("serve, pieces 4 MiB", || serve(4 << 20));
}
