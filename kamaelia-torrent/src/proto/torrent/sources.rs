//! Who sent what: the memory about peers that outlives their connections, and the blame for bad pieces.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr, SocketAddr},
    time::Instant,
};

use slab::Slab;

use crate::proto::{geometry::PieceIndex, handshake::PeerId};

/// Names a source.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct SourceId(pub(super) u32);

/// Where data comes from. A host is one source, however often it connects. On a loopback address many clients of
/// one machine meet, so there the peer id is part of it.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
enum Origin {
    Host(IpAddr),
    Local(IpAddr, PeerId),
}

#[derive(Debug)]
pub(super) struct Source {
    origin: Origin,
    /// Sent part of a piece that failed: gets whole pieces for itself until one is good.
    pub(super) parole: bool,
    pub(super) banned: bool,
    /// When it was last served.
    pub(super) served: Option<Instant>,
    /// Open connections.
    pub(super) connections: u32,
}

/// A piece that failed: the hash of each block and who sent it.
#[derive(Debug)]
struct Failure {
    piece: PieceIndex,
    blocks: Vec<([u8; 20], SourceId)>,
}

#[derive(Debug, Default)]
pub(super) struct Sources {
    all: Slab<Source>,
    by_origin: HashMap<Origin, SourceId>,
    failures: Vec<Failure>,
}

impl Sources {
    /// The source of a connection, new or known.
    pub(super) fn intern(&mut self, addr: SocketAddr, id: PeerId) -> SourceId {
        let origin = origin(addr.ip(), id);
        let all = &mut self.all;
        *self.by_origin.entry(origin).or_insert_with(|| {
            let source = Source { origin, parole: false, banned: false, served: None, connections: 0 };
            // Bounded by `prune`, far below the range of u32.
            SourceId(all.insert(source) as u32)
        })
    }

    pub(super) fn get_mut(&mut self, id: SourceId) -> Option<&mut Source> {
        self.all.get_mut(id.0 as usize)
    }

    pub(super) fn get(&self, id: SourceId) -> Option<&Source> {
        self.all.get(id.0 as usize)
    }

    pub(super) fn on_parole(&self, id: SourceId) -> bool {
        self.get(id).is_some_and(|source| source.parole)
    }

    /// Whether the host is banned altogether (never true for loopback addresses).
    pub(super) fn is_banned(&self, addr: SocketAddr, id: Option<PeerId>) -> bool {
        let origin = origin(addr.ip(), id.unwrap_or(PeerId([0; 20])));
        self.by_origin.get(&origin).and_then(|id| self.get(*id)).is_some_and(|source| source.banned)
    }

    /// The address to refuse everywhere; `None` on loopback.
    pub(super) fn host(&self, id: SourceId) -> Option<IpAddr> {
        match self.get(id)?.origin {
            Origin::Host(ip) => Some(ip),
            Origin::Local(..) => None,
        }
    }

    /// Whether anybody is banned, or has to show that it is honest.
    pub(super) fn any_suspect(&self) -> bool {
        !self.failures.is_empty() || self.all.iter().any(|(_, source)| source.banned || source.parole)
    }

    /// Keeps what is needed to find out who spoiled a piece. `blocks` are those who sent each block.
    pub(super) fn failed(&mut self, piece: PieceIndex, hashes: Vec<[u8; 20]>, blocks: &[SourceId]) {
        for source in blocks {
            if let Some(source) = self.get_mut(*source) {
                source.parole = true;
            }
        }
        if hashes.len() == blocks.len() {
            if self.failures.len() >= MOST_FAILURES {
                self.failures.remove(0);
            }
            let blocks = hashes.into_iter().zip(blocks.iter().copied()).collect();
            self.failures.push(Failure { piece, blocks });
        }
    }

    /// Whether a good copy of the piece would show who spoiled an earlier one.
    pub(super) fn wants_hashes(&self, piece: PieceIndex) -> bool {
        self.failures.iter().any(|failure| failure.piece == piece)
    }

    /// Compares what failed with the good blocks; answers those who sent something else. The others are cleared.
    pub(super) fn convict(&mut self, piece: PieceIndex, good: &[[u8; 20]]) -> Vec<SourceId> {
        let mut guilty = Vec::new();
        let (cases, rest) = self.failures.drain(..).partition(|failure| failure.piece == piece);
        self.failures = rest;
        let cases: Vec<Failure> = cases;
        for failure in &cases {
            let wrong = failure.blocks.iter().zip(good).filter(|((hash, _), good)| hash != *good);
            guilty.extend(wrong.map(|((_, source), _)| *source));
        }
        guilty.sort_unstable();
        guilty.dedup();
        for (_, source) in cases.iter().flat_map(|failure| &failure.blocks) {
            if let Some(source) = self.all.get_mut(source.0 as usize) {
                source.parole = false;
            }
        }
        guilty
    }

    /// Forgets those who are of no interest any more, if there are many. `used` are senders of unfinished pieces.
    pub(super) fn prune(&mut self, mut used: impl FnMut() -> Vec<SourceId>) {
        if self.all.len() <= MOST_SOURCES {
            return;
        }
        let mut used = used();
        used.extend(
            self.failures.iter().flat_map(|failure| failure.blocks.iter().map(|(_, source)| *source)),
        );
        used.sort_unstable();
        let by_origin = &mut self.by_origin;
        let mut bans = 0;
        self.all.retain(|id, source| {
            bans += usize::from(source.banned);
            let keep = source.connections > 0
                || (source.banned && bans < MOST_SOURCES / 2)
                || used.binary_search(&SourceId(id as u32)).is_ok();
            if !keep {
                by_origin.remove(&source.origin);
            }
            keep
        });
    }
}

fn origin(ip: IpAddr, id: PeerId) -> Origin {
    let ip = match ip {
        // One household has a whole /64.
        IpAddr::V6(v6) => match v6.to_ipv4_mapped() {
            Some(v4) => IpAddr::V4(v4),
            None if v6.is_loopback() => ip,
            None => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX))),
        },
        v4 => v4,
    };
    if ip.is_loopback() { Origin::Local(ip, id) } else { Origin::Host(ip) }
}

/// Sources remembered before those that are gone are forgotten.
const MOST_SOURCES: usize = 4096;

/// Failed pieces kept for comparison: 24 bytes a block.
const MOST_FAILURES: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    fn addr(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_host_is_one_source_and_loopback_is_many() {
        let mut s = Sources::default();
        let (a, b) = (PeerId([1; 20]), PeerId([2; 20]));
        assert_eq!(s.intern(addr("1.2.3.4:5"), a), s.intern(addr("1.2.3.4:6"), b));
        assert_eq!(s.intern(addr("[::ffff:1.2.3.4]:5"), a), s.intern(addr("1.2.3.4:6"), b));
        assert_eq!(s.intern(addr("[2001:db8::1]:5"), a), s.intern(addr("[2001:db8::2]:6"), b));
        assert_ne!(s.intern(addr("127.0.0.1:5"), a), s.intern(addr("127.0.0.1:5"), b));
        assert_eq!(s.intern(addr("127.0.0.1:5"), a), s.intern(addr("127.0.0.1:9"), a));
    }

    #[test]
    fn only_who_sent_the_bad_block_is_convicted() {
        let mut s = Sources::default();
        let ids: Vec<_> =
            (1..4).map(|n| s.intern(SocketAddr::from(([1, 1, 1, n], 1)), PeerId([n; 20]))).collect();
        let piece = PieceIndex(7);
        s.failed(piece, vec![[1; 20], [2; 20], [9; 20]], &ids);
        assert!(ids.iter().all(|id| s.on_parole(*id)));
        assert!(s.wants_hashes(piece) && !s.wants_hashes(PieceIndex(8)));
        assert_eq!(s.convict(piece, &[[1; 20], [2; 20], [3; 20]]), [ids[2]]);
        assert!(!s.wants_hashes(piece) && !s.on_parole(ids[0]));
    }

    #[test]
    fn memory_is_bounded() {
        let mut s = Sources::default();
        let first = s.intern(addr("9.9.9.9:1"), PeerId([0; 20]));
        s.get_mut(first).unwrap().banned = true;
        for n in 0..20_000u32 {
            let id = s.intern(SocketAddr::from((n.to_be_bytes(), 1)), PeerId([0; 20]));
            s.get_mut(id).unwrap().served = None;
            s.prune(Vec::new);
        }
        assert!(s.all.len() <= MOST_SOURCES + 1 && s.by_origin.len() == s.all.len());
        assert!(s.is_banned(addr("9.9.9.9:7"), None));
    }
}
