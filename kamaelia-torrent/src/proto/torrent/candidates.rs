//! Addresses that could be dialled: which one next, and when.

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};

use super::types::PeerSource;
use crate::proto::peer::flood::TokenBucket;

/// Known addresses of one torrent, at most [`MOST_KNOWN`].
#[derive(Debug)]
pub(super) struct Candidates {
    known: HashMap<SocketAddr, Known>,
    pace: TokenBucket,
    dialling: usize,
    // Nothing is due before; `None` if nothing ever is.
    next: Option<Instant>,
}

#[derive(Debug)]
struct Known {
    source: PeerSource,
    state: State,
    fails: u32,
    seed: bool,
    due: Instant,
}

#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum State {
    Waiting,
    Dialling,
    Connected,
    Banned,
}

impl Candidates {
    pub(super) fn new(now: Instant) -> Candidates {
        let pace = TokenBucket::new(now, BOOST, DIALS_PER_SECOND);
        Candidates { known: HashMap::new(), pace, dialling: 0, next: None }
    }

    pub(super) fn add(&mut self, now: Instant, addr: SocketAddr, source: PeerSource) {
        if !is_usable(addr) || self.known.contains_key(&addr) {
            return;
        }
        if self.known.len() >= MOST_KNOWN && !self.make_room(source) {
            return;
        }
        self.known.insert(addr, Known { source, state: State::Waiting, fails: 0, seed: false, due: now });
        self.due(now);
    }

    /// The next address to dial. Seeds are of no use to a seed.
    pub(super) fn next(&mut self, now: Instant, we_seed: bool) -> Option<SocketAddr> {
        if self.dialling >= MOST_DIALLING || self.next.is_none_or(|at| at > now) {
            return None;
        }
        let waiting = || self.known.iter().filter(|(_, k)| k.state == State::Waiting && !(we_seed && k.seed));
        let Some((addr, best)) = waiting().min_by_key(|(a, k)| (k.due, k.fails, k.source, **a)) else {
            self.next = None;
            return None;
        };
        if best.due > now {
            self.next = Some(best.due);
            return None;
        }
        if !self.pace.take(now) {
            self.next = Some(self.pace.next());
            return None;
        }
        let addr = *addr;
        if let Some(known) = self.known.get_mut(&addr) {
            known.state = State::Dialling;
            self.dialling += 1;
        }
        Some(addr)
    }

    /// When [`next`](Candidates::next) may have an address; an answered or failed dial may change it.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.next.filter(|_| self.dialling < MOST_DIALLING)
    }

    /// Addresses that are in use or were never in vain.
    pub(super) fn good(&self) -> impl Iterator<Item = SocketAddr> + '_ {
        let good = |k: &Known| k.fails == 0 && k.state != State::Banned;
        // Those connected first: they are worth most.
        let connected = move |(_, k): &(&SocketAddr, &Known)| good(k) && k.state == State::Connected;
        let others = move |(_, k): &(&SocketAddr, &Known)| good(k) && k.state != State::Connected;
        self.known.iter().filter(connected).chain(self.known.iter().filter(others)).map(|(addr, _)| *addr)
    }

    pub(super) fn failed(&mut self, now: Instant, addr: SocketAddr) {
        let Some(known) = self.known.get_mut(&addr) else { return };
        if known.state != State::Dialling {
            return;
        }
        self.dialling -= 1;
        known.state = State::Waiting;
        known.fails += 1;
        if known.fails > GIVE_UP && known.source != PeerSource::User {
            self.known.remove(&addr);
            return;
        }
        let (first, most) = if known.source == PeerSource::User { USER_BACK_OFF } else { BACK_OFF };
        known.due = now + (first * 2u32.saturating_pow(known.fails - 1).min(10_000)).min(most);
        let due = known.due;
        self.due(due);
    }

    /// The peer at this address is connected already, by a connection of its own.
    pub(super) fn known_otherwise(&mut self, now: Instant, addr: SocketAddr) {
        let Some(known) = self.known.get_mut(&addr).filter(|known| known.state == State::Dialling) else {
            return;
        };
        self.dialling -= 1;
        (known.state, known.due) = (State::Waiting, now + LATER);
        self.due(now + LATER);
    }

    pub(super) fn connected(&mut self, addr: SocketAddr) {
        if let Some(known) = self.known.get_mut(&addr) {
            if known.state == State::Dialling {
                self.dialling -= 1;
            }
            known.state = State::Connected;
        }
    }

    /// A dialled connection is over; `productive` if it moved any payload.
    pub(super) fn closed(&mut self, now: Instant, addr: SocketAddr, productive: bool) {
        let Some(known) = self.known.get_mut(&addr) else { return };
        if known.state != State::Connected {
            return;
        }
        known.fails = if productive { 0 } else { known.fails + 1 };
        if known.fails > GIVE_UP && known.source != PeerSource::User {
            self.known.remove(&addr);
            return;
        }
        known.state = State::Waiting;
        known.due = now + (REDIAL * 2u32.saturating_pow(known.fails).min(10_000)).min(BACK_OFF.1);
        let due = known.due;
        self.due(due);
    }

    pub(super) fn set_seed(&mut self, addr: SocketAddr) {
        if let Some(known) = self.known.get_mut(&addr) {
            known.seed = true;
        }
    }

    /// The address is never dialled again.
    pub(super) fn ban(&mut self, addr: SocketAddr) {
        if let Some(known) = self.known.get_mut(&addr) {
            if known.state == State::Dialling {
                self.dialling -= 1;
            }
            known.state = State::Banned;
        }
    }

    /// No address of this host is dialled again.
    pub(super) fn ban_host(&mut self, host: IpAddr) {
        let addrs: Vec<_> = self.known.keys().filter(|addr| addr.ip() == host).copied().collect();
        addrs.into_iter().for_each(|addr| self.ban(addr));
    }

    pub(super) fn is_banned(&self, addr: SocketAddr) -> bool {
        self.known.get(&addr).is_some_and(|known| known.state == State::Banned)
    }

    /// Whether no address is known.
    pub(super) fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// Connections being opened.
    pub(super) fn dialling(&self) -> usize {
        self.dialling
    }

    /// Addresses that could be dialled, now or later.
    pub(super) fn waiting(&self) -> usize {
        self.known.values().filter(|known| known.state == State::Waiting).count()
    }

    /// Those that did nothing wrong may be dialled now, however lately they were connected.
    pub(super) fn recall(&mut self, now: Instant) {
        let willing = |known: &&mut Known| known.state == State::Waiting && known.fails == 0;
        self.known.values_mut().filter(willing).for_each(|known| known.due = known.due.min(now));
        self.due(now);
    }

    /// Looks at all addresses afresh at the next chance: there is room for a connection again.
    pub(super) fn due(&mut self, at: Instant) {
        self.next = Some(self.next.map_or(at, |next| next.min(at)));
    }

    /// Drops the address that failed most often, if there is one that did or that is of less worth than `source`.
    fn make_room(&mut self, source: PeerSource) -> bool {
        let worst = self.known.iter().filter(|(_, k)| k.state == State::Waiting);
        let worst = worst.max_by_key(|(addr, k)| (k.fails, k.source, **addr));
        let drop = worst.filter(|(_, k)| k.fails > 0 || k.source > source).map(|(addr, _)| *addr);
        drop.is_some_and(|addr| self.known.remove(&addr).is_some())
    }
}

fn is_usable(addr: SocketAddr) -> bool {
    let ip = addr.ip();
    let broadcast = matches!(ip, IpAddr::V4(v4) if v4.is_broadcast());
    addr.port() != 0 && !ip.is_unspecified() && !ip.is_multicast() && !broadcast
}

/// Most addresses remembered: a tracker may name thousands, and each costs memory and a dial.
pub(super) const MOST_KNOWN: usize = 1000;

/// A new torrent dials this many at once, then so many per second: home routers fall over at more.
const BOOST: u16 = 30;
const DIALS_PER_SECOND: f32 = 20.0;

/// Most connections being opened at a time.
const MOST_DIALLING: usize = 30;

/// Failures in a row after which an address is forgotten, unless the user named it.
const GIVE_UP: u32 = 6;

/// First and longest wait after a failed dial.
const BACK_OFF: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(3600));
const USER_BACK_OFF: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// Wait before dialling a peer that is connected in another way.
const LATER: Duration = Duration::from_secs(600);

/// Wait after a connection that worked.
const REDIAL: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    fn addr(n: u32) -> SocketAddr {
        SocketAddr::from(([10, (n >> 16) as u8, (n >> 8) as u8, n as u8], 6881))
    }

    #[test]
    fn dials_are_paced_and_bounded() {
        let now = Instant::now();
        let mut c = Candidates::new(now);
        (0..100).for_each(|n| c.add(now, addr(n), PeerSource::Tracker));
        let dialled: Vec<_> = std::iter::from_fn(|| c.next(now, false)).collect();
        assert_eq!(dialled.len(), 30);
        assert_eq!((c.dialling(), c.deadline()), (30, None));
        dialled.iter().take(10).for_each(|a| c.failed(now, *a));
        assert_eq!(c.next(now, false), None);
        let next = c.deadline().unwrap();
        assert!(next > now && next < now + Duration::from_millis(60));
        assert!(c.next(next, false).is_some());
        assert_eq!(c.next(now + Duration::from_secs(1), false).map(|_| c.dialling()), Some(22));
    }

    #[test]
    fn failures_back_off_and_end() {
        let mut now = Instant::now();
        let mut c = Candidates::new(now);
        c.add(now, addr(1), PeerSource::Tracker);
        let mut waits = vec![];
        let mut last = now;
        while let Some(at) = c.deadline() {
            now = now.max(at);
            if let Some(dialled) = c.next(now, false) {
                waits.push((now - last).as_secs());
                last = now;
                c.failed(now, dialled);
            }
        }
        assert_eq!(waits, [0, 10, 20, 40, 80, 160, 320]);
        assert_eq!(c.waiting(), 0);
    }

    #[test]
    fn what_the_user_named_is_tried_for_ever() {
        let mut now = Instant::now();
        let mut c = Candidates::new(now);
        c.add(now, addr(1), PeerSource::User);
        for _ in 0..200 {
            now = now.max(c.deadline().unwrap());
            if let Some(dialled) = c.next(now, false) {
                c.failed(now, dialled);
            }
        }
        assert_eq!(c.next(now, false), None);
        assert_eq!(c.deadline(), Some(now + Duration::from_secs(60)));
    }

    #[test]
    fn memory_is_bounded_and_better_addresses_replace_worse() {
        let now = Instant::now();
        let mut c = Candidates::new(now);
        (0..5000).for_each(|n| c.add(now, addr(n), PeerSource::Tracker));
        assert_eq!(c.waiting(), MOST_KNOWN);
        c.add(now, addr(9999), PeerSource::User);
        assert_eq!(c.waiting(), MOST_KNOWN);
        assert_eq!(c.next(now, false), Some(addr(9999)));
    }

    #[test]
    fn banned_and_unusable_addresses_are_not_dialled() {
        let now = Instant::now();
        let mut c = Candidates::new(now);
        for text in ["0.0.0.0:1", "1.2.3.4:0", "224.0.0.1:5", "255.255.255.255:5", "[::]:5", "[ff02::1]:5"] {
            c.add(now, text.parse().unwrap(), PeerSource::Tracker);
        }
        c.add(now, addr(1), PeerSource::Tracker);
        c.ban_host(addr(1).ip());
        c.add(now, addr(1), PeerSource::Tracker);
        assert!(c.is_banned(addr(1)));
        assert_eq!((c.next(now, false), c.deadline()), (None, None));
    }

    #[test]
    fn a_seed_does_not_dial_seeds() {
        let now = Instant::now();
        let mut c = Candidates::new(now);
        c.add(now, addr(1), PeerSource::Tracker);
        c.set_seed(addr(1));
        assert_eq!(c.next(now, true), None);
        assert_eq!(c.deadline(), None);
        c.due(now);
        assert_eq!(c.next(now, false), Some(addr(1)));
    }
}
