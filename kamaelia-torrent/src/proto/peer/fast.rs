//! The set of pieces that a choked peer may ask for (BEP 6).

use std::net::{IpAddr, Ipv4Addr};

use sha1::{Digest, Sha1};

use crate::proto::{geometry::PieceIndex, info_hash::InfoHash};

/// The canonical allowed fast set of BEP 6 for a peer: `size` pieces out of `pieces`, the same for every peer of
/// a /24 network, so that reconnecting does not give more. Peers with IPv6 addresses get none: BEP 6 defines none.
pub fn allowed_fast_set(size: usize, pieces: u32, info_hash: InfoHash, addr: IpAddr) -> Vec<PieceIndex> {
    let Some(ip) = v4(addr) else { return Vec::new() };
    let [a, b, c, _] = ip.octets();
    let size = size.min(pieces as usize);
    let mut set = Vec::with_capacity(size);
    let mut hash: [u8; 20] =
        Sha1::new().chain_update([a, b, c, 0]).chain_update(info_hash.0).finalize().into();
    while set.len() < size {
        for word in hash.chunks_exact(4) {
            let piece = PieceIndex(u32::from_be_bytes([word[0], word[1], word[2], word[3]]) % pieces);
            if set.len() < size && !set.contains(&piece) {
                set.push(piece);
            }
        }
        hash = Sha1::digest(hash).into();
    }
    set
}

fn v4(addr: IpAddr) -> Option<Ipv4Addr> {
    match addr {
        IpAddr::V4(ip) => Some(ip),
        IpAddr::V6(ip) => ip.to_ipv4_mapped(),
    }
}

/// Pieces allowed to each choked peer: enough to take part with, as BEP 6 suggests.
pub const ALLOWED_FAST: usize = 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_of_bep_6() {
        let set = |k| -> Vec<u32> {
            let addr = IpAddr::from([80, 4, 4, 200]);
            allowed_fast_set(k, 1313, InfoHash([0xaa; 20]), addr).iter().map(|p| p.0).collect()
        };
        assert_eq!(set(7), [1059, 431, 808, 1217, 287, 376, 1188]);
        assert_eq!(set(9), [1059, 431, 808, 1217, 287, 376, 1188, 353, 508]);
    }

    #[test]
    fn small_torrents_and_other_networks_end() {
        let all = allowed_fast_set(10, 3, InfoHash([1; 20]), IpAddr::from([1, 2, 3, 4]));
        assert_eq!(all.len(), 3);
        assert!(allowed_fast_set(10, 3, InfoHash([1; 20]), "::1".parse().unwrap()).is_empty());
    }
}
