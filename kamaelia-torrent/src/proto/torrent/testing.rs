//! What the unit tests of a swarm's parts begin with.

use std::net::SocketAddr;
use std::time::Instant;

use super::{Direction, Message, PeerKey, Torrent, TorrentConfig};
use crate::proto::{
    geometry::{BlockRequest, Geometry},
    handshake::{Handshake, PeerId, Reserved},
    info_hash::InfoHash,
    wire::block_header,
};

const INFO_HASH: InfoHash = InfoHash([1; 20]);

/// Settings of a torrent of this many bytes in pieces of this length.
pub(super) fn settings(total: u64, piece_len: u32) -> TorrentConfig {
    let geometry = Geometry::new(total, piece_len).unwrap();
    TorrentConfig::new(INFO_HASH, PeerId([1; 20]), geometry)
}

/// A peer connects, or was dialled, with an address of its own; it has said nothing but its handshake.
pub(super) fn connect(torrent: &mut Torrent, now: Instant, key: PeerKey, direction: Direction) {
    let number = u8::try_from(key.0).unwrap();
    let peer_id = PeerId([number + 2; 20]);
    let handshake = Handshake { reserved: Reserved::OURS, info_hash: INFO_HASH, peer_id };
    let addr = SocketAddr::from(([10, 0, 0, number], 6881));
    torrent.peer_connected(now, key, addr, direction, &handshake).unwrap();
}

/// Messages as they are sent.
pub(super) fn encoded(messages: &[Message]) -> Vec<u8> {
    let mut bytes = Vec::new();
    messages.iter().for_each(|message| message.encode(&mut bytes));
    bytes
}

/// A block as its sender sends it: with its header, all bytes the same.
pub(super) fn block_of_sevens(block: &BlockRequest) -> Vec<u8> {
    let mut bytes = block_header(block).to_vec();
    bytes.resize(bytes.len() + block.len as usize, 7);
    bytes
}
