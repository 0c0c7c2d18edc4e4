//! The logic of a tracker (BEP 3, 7, 23, 24, 48), without input or output.
//!
//! [`TrackerState::announce`] and [`TrackerState::scrape`] answer HTTP queries. Below them,
//! [`TrackerState::register`] and [`TrackerState::counts`] know nothing of HTTP: a UDP tracker (BEP 15) uses those.
//! The address of a peer is where its announce came from, never what it claims.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use super::announce::AnnounceEvent;
use super::bencode::Bencode;
use super::info_hash::InfoHash;

mod query;

use query::{Query, scrape_hashes};

/// Settings of a tracker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrackerConfig {
    /// How often clients should announce. One that is silent for twice as long is forgotten.
    pub interval: Duration,
    /// How often clients may announce.
    pub min_interval: Duration,
    /// Peers in an answer to clients that do not say how many they want.
    pub numwant: usize,
    /// Most peers in an answer.
    pub max_numwant: usize,
    /// Most torrents that are kept.
    pub max_torrents: usize,
    /// Most peers of one torrent that are kept.
    pub max_peers: usize,
    /// Most peers of all torrents together that are kept, about 100 bytes each.
    pub max_total_peers: usize,
}

impl Default for TrackerConfig {
    fn default() -> TrackerConfig {
        TrackerConfig {
            interval: Duration::from_secs(30 * 60),
            min_interval: Duration::from_secs(60),
            numwant: 50,
            max_numwant: 200,
            max_torrents: 10_000,
            max_peers: 5_000,
            max_total_peers: 200_000,
        }
    }
}

/// What a peer announces, however it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announce {
    /// The torrent.
    pub info_hash: InfoHash,
    /// The peer's id.
    pub peer_id: [u8; 20],
    /// Where the peer listens: the source address of the announce with the port that it gives.
    pub addr: SocketAddr,
    /// Bytes that it misses; 0 makes it a seeder.
    pub left: u64,
    /// What is told.
    pub event: AnnounceEvent,
    /// How many peers it wants.
    pub numwant: Option<u64>,
}

/// What a peer is answered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reply {
    /// Other peers with their ids.
    pub peers: Vec<(SocketAddr, [u8; 20])>,
    /// How many of the torrent's peers have what.
    pub counts: Counts,
    /// A text for people.
    pub warning: Option<&'static str>,
}

/// Numbers of a torrent.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Peers that have everything.
    pub complete: usize,
    /// Peers that do not.
    pub incomplete: usize,
    /// Peers that said that they completed their download.
    pub downloaded: u64,
}

/// Why an announce or scrape is refused. The text is sent as `failure reason`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TrackerError {
    /// A parameter is not there.
    #[error("missing {0}")]
    Missing(&'static str),
    /// A parameter has a length or value that it cannot have.
    #[error("malformed {0}")]
    Malformed(&'static str),
    /// A percent sign without two hexadecimal digits.
    #[error("malformed escape in query")]
    Escape,
    /// The query is too long.
    #[error("query is too long")]
    TooLong,
    /// [`TrackerConfig::max_torrents`] is reached.
    #[error("tracker is full")]
    Full,
}

/// All torrents of a tracker and their peers.
#[derive(Debug)]
pub struct TrackerState {
    config: TrackerConfig,
    rng: fastrand::Rng,
    swarms: HashMap<InfoHash, Swarm>,
    total_peers: usize,
    next_sweep: Option<Instant>,
}

#[derive(Debug, Default)]
struct Swarm {
    peers: Vec<Peer>,
    by_addr: HashMap<SocketAddr, usize>,
    seeders: usize,
    downloaded: u64,
}

#[derive(Debug)]
struct Peer {
    addr: SocketAddr,
    id: [u8; 20],
    seeder: bool,
    seen: Instant,
}

impl TrackerState {
    /// A tracker that knows no torrent yet.
    pub fn new(config: TrackerConfig, rng: fastrand::Rng) -> TrackerState {
        TrackerState { config, rng, swarms: HashMap::new(), total_peers: 0, next_sweep: None }
    }

    /// Answers an HTTP announce: `query` is what follows the `?`, `source` where it came from.
    /// The answer is always bencoded, if need be with a `failure reason`.
    pub fn announce(&mut self, now: Instant, query: &str, source: IpAddr) -> Vec<u8> {
        let answer = Query::parse(query, source).and_then(|q| {
            let reply = self.register(now, &q.announce)?;
            Ok(self.encode(&q, reply))
        });
        answer.unwrap_or_else(|e| failure(&e)).encode()
    }

    /// Answers an HTTP scrape (BEP 48) of the torrents that the query names. Scrapes of everything are refused.
    pub fn scrape(&mut self, now: Instant, query: &str) -> Vec<u8> {
        let answer = scrape_hashes(query).map(|hashes| {
            let known = hashes.iter().filter_map(|hash| Some((hash.0, self.counts(now, hash)?)));
            let files = known.map(|(hash, counts)| {
                let counts = Bencode::dict([
                    ("complete", count(counts.complete)),
                    ("downloaded", Bencode::from(i64::try_from(counts.downloaded).unwrap_or(i64::MAX))),
                    ("incomplete", count(counts.incomplete)),
                ]);
                (hash, counts)
            });
            let files: Vec<_> = files.collect();
            Bencode::dict([("files", Bencode::dict(files))])
        });
        answer.unwrap_or_else(|e| failure(&e)).encode()
    }

    /// Takes an announce and picks peers for it, never the asking peer itself.
    ///
    /// # Errors
    ///
    /// The tracker is full.
    pub fn register(&mut self, now: Instant, announce: &Announce) -> Result<Reply, TrackerError> {
        self.sweep(now);
        let full = self.swarms.len() >= self.config.max_torrents;
        let room = self.total_peers < self.config.max_total_peers;
        let stopped = announce.event == AnnounceEvent::Stopped;
        let swarm = match self.swarms.entry(announce.info_hash) {
            Entry::Occupied(swarm) => swarm.into_mut(),
            Entry::Vacant(_) if stopped => return Ok(Reply::default()),
            Entry::Vacant(_) if full => return Err(TrackerError::Full),
            Entry::Vacant(vacant) => vacant.insert(Swarm::default()),
        };
        let before = swarm.peers.len();
        let mut reply = Reply::default();
        if stopped {
            swarm.remove(announce);
        } else if !swarm.update(now, announce, room && before < self.config.max_peers) {
            reply.warning = Some("too many peers: you are not listed");
        }
        self.total_peers = self.total_peers - before + swarm.peers.len();
        reply.counts = swarm.counts();
        if !stopped {
            let wanted =
                announce.numwant.and_then(|n| usize::try_from(n).ok()).unwrap_or(self.config.numwant);
            let oldest = now.checked_sub(life(&self.config));
            reply.peers = swarm.pick(announce, wanted.min(self.config.max_numwant), oldest, &mut self.rng);
        }
        if swarm.peers.is_empty() && swarm.downloaded == 0 {
            self.swarms.remove(&announce.info_hash);
        }
        Ok(reply)
    }

    /// The numbers of a torrent; `None` if it is not known.
    pub fn counts(&mut self, now: Instant, info_hash: &InfoHash) -> Option<Counts> {
        self.sweep(now);
        self.swarms.get(info_hash).map(Swarm::counts)
    }

    /// All torrents with their numbers, in no particular order.
    pub fn torrents(&self) -> impl Iterator<Item = (InfoHash, Counts)> + '_ {
        self.swarms.iter().map(|(hash, swarm)| (*hash, swarm.counts()))
    }

    /// Number of peers of all torrents together.
    pub fn total_peers(&self) -> usize {
        self.total_peers
    }

    /// Forgets who was silent for too long: all of them once a minute, so that an announce is cheap.
    fn sweep(&mut self, now: Instant) {
        if self.next_sweep.is_some_and(|at| at > now) {
            return;
        }
        self.next_sweep = Some(now + SWEEP_INTERVAL);
        let Some(oldest) = now.checked_sub(life(&self.config)) else { return };
        let total = &mut self.total_peers;
        self.swarms.retain(|_, swarm| {
            let mut at = 0;
            while at < swarm.peers.len() {
                if swarm.peers[at].seen < oldest {
                    swarm.remove_at(at);
                    *total -= 1;
                } else {
                    at += 1;
                }
            }
            !swarm.peers.is_empty()
        });
    }

    fn encode(&self, query: &Query, reply: Reply) -> Bencode {
        let seconds = |d: Duration| Bencode::from(i64::try_from(d.as_secs()).unwrap_or(i64::MAX));
        let external = match query.announce.addr.ip() {
            IpAddr::V4(v4) => v4.octets().to_vec(),
            IpAddr::V6(v6) => v6.octets().to_vec(),
        };
        let mut answer = vec![
            ("complete", count(reply.counts.complete)),
            ("external ip", external.into()),
            ("incomplete", count(reply.counts.incomplete)),
            ("interval", seconds(self.config.interval)),
            ("min interval", seconds(self.config.min_interval)),
        ];
        answer.extend(reply.warning.map(|text| ("warning message", text.into())));
        if query.compact {
            let (mut v4, mut v6) = (Vec::new(), Vec::new());
            for (addr, _) in reply.peers {
                let out = match addr.ip() {
                    IpAddr::V4(ip) => {
                        v4.extend(ip.octets());
                        &mut v4
                    }
                    IpAddr::V6(ip) => {
                        v6.extend(ip.octets());
                        &mut v6
                    }
                };
                out.extend(addr.port().to_be_bytes());
            }
            answer.push(("peers", v4.into()));
            answer.extend((!v6.is_empty()).then(|| ("peers6", v6.into())));
        } else {
            let peers = reply.peers.into_iter().map(|(addr, id)| {
                let mut peer = vec![
                    ("ip", Bencode::from(addr.ip().to_string())),
                    ("port", i64::from(addr.port()).into()),
                ];
                if !query.no_peer_id {
                    peer.push(("peer id", id[..].into()));
                }
                Bencode::dict(peer)
            });
            answer.push(("peers", peers.collect()));
        }
        Bencode::dict(answer)
    }
}

impl Swarm {
    fn counts(&self) -> Counts {
        let incomplete = self.peers.len() - self.seeders;
        Counts { complete: self.seeders, incomplete, downloaded: self.downloaded }
    }

    /// Notes a peer; false if it is new and there is no room.
    fn update(&mut self, now: Instant, announce: &Announce, room: bool) -> bool {
        let seeder = announce.left == 0;
        let Some(at) = self.by_addr.get(&announce.addr).copied() else {
            if room {
                self.by_addr.insert(announce.addr, self.peers.len());
                self.peers.push(Peer { addr: announce.addr, id: announce.peer_id, seeder, seen: now });
                self.seeders += usize::from(seeder);
            }
            return room;
        };
        let peer = &mut self.peers[at];
        // Only who was seen without everything counts, so that the number cannot be driven up by repetition.
        if announce.event == AnnounceEvent::Completed && seeder && !peer.seeder {
            self.downloaded += 1;
        }
        self.seeders = self.seeders - usize::from(peer.seeder) + usize::from(seeder);
        *peer = Peer { addr: announce.addr, id: announce.peer_id, seeder, seen: now };
        true
    }

    fn remove(&mut self, announce: &Announce) {
        // Only the same client at the same address: others behind that address stay.
        if let Some(at) = self.by_addr.get(&announce.addr).copied()
            && self.peers[at].id == announce.peer_id
        {
            self.remove_at(at);
        }
    }

    fn remove_at(&mut self, at: usize) {
        let gone = self.peers.swap_remove(at);
        self.by_addr.remove(&gone.addr);
        self.seeders -= usize::from(gone.seeder);
        if let Some(moved) = self.peers.get(at) {
            self.by_addr.insert(moved.addr, at);
        }
    }

    /// Up to `wanted` others from a random place on. A seeder has no use for other seeders.
    fn pick(
        &self,
        announce: &Announce,
        wanted: usize,
        oldest: Option<Instant>,
        rng: &mut fastrand::Rng,
    ) -> Vec<(SocketAddr, [u8; 20])> {
        let start = if self.peers.is_empty() { 0 } else { rng.usize(..self.peers.len()) };
        let others = self.peers[start..].iter().chain(&self.peers[..start]).filter(|peer| {
            peer.addr != announce.addr
                && peer.id != announce.peer_id
                && !(announce.left == 0 && peer.seeder)
                && oldest.is_none_or(|oldest| peer.seen >= oldest)
        });
        others.take(wanted).map(|peer| (peer.addr, peer.id)).collect()
    }
}

fn life(config: &TrackerConfig) -> Duration {
    config.interval.saturating_mul(2)
}

fn count(n: usize) -> Bencode {
    Bencode::from(i64::try_from(n).unwrap_or(i64::MAX))
}

fn failure(error: &TrackerError) -> Bencode {
    Bencode::dict([("failure reason", Bencode::from(error.to_string()))])
}

/// How often silent peers are looked for.
const SWEEP_INTERVAL: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests;
