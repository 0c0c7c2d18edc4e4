//! Rates that are not to be exceeded: token buckets, and whose turn it is when there are tokens.
//!
//! A [`Limiter`] holds one direction, down or up. Whoever wants to transfer [asks](Limiter::ask) and waits for its
//! turn. Turns go round among torrents, and within a torrent among its connections, each worth the same number of
//! bytes; who has less to transfer than its share leaves the rest to the others, so everybody gets the same unless it
//! wants less (max-min fairness), and nobody waits for ever. What cannot wait, such as protocol messages, is
//! [charged](Limiter::charge) afterwards. Those who do not wait cost nothing, and without limits nothing is asked at
//! all: see [`Limiter::meters`].

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap, VecDeque},
    num::NonZeroU64,
    time::Instant,
};

use super::torrent::PeerKey;

mod bucket;

use bucket::{Bucket, MOST_GRANT};

/// Most bytes per second in either direction; `None` is no limit. What is counted are the bytes of the peer protocol,
/// payload and all else, without the headers of TCP and IP.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Limits {
    /// From peers, bytes per second.
    pub down: Option<NonZeroU64>,
    /// To peers, bytes per second.
    pub up: Option<NonZeroU64>,
}

impl Limits {
    /// No limit in either direction.
    pub const NONE: Limits = Limits { down: None, up: None };
}

/// One direction of all torrents: a limit for all together, and one for each torrent that has its own.
///
/// Torrents are named by a small number (`lane`), connections by their [`PeerKey`].
#[derive(Debug, Default)]
pub struct Limiter {
    total: Option<Bucket>,
    lanes: HashMap<usize, Lane>,
    /// Lanes that have a limit of their own.
    own: usize,
    /// Lanes in which somebody waits.
    active: usize,
    /// The lane whose turn it is, if it has not used it up.
    current: Option<usize>,
    /// The lane of the last grant.
    last: Option<usize>,
    /// Those of them whose turn comes, in order.
    ring: VecDeque<usize>,
    /// Those of them whose own bucket has to fill first.
    resting: BinaryHeap<Reverse<(Instant, usize)>>,
}

/// Leave to transfer.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// The torrent.
    pub lane: usize,
    /// The connection.
    pub key: PeerKey,
    /// The most that it may transfer now; what it does not use is [given back](Limiter::give_back).
    pub bytes: u32,
}

#[derive(Debug, Default)]
struct Lane {
    bucket: Option<Bucket>,
    /// What is left of its turn, bytes: a peer that wants little must not cost the others of its torrent.
    credit: f64,
    waiting: VecDeque<PeerKey>,
    place: Place,
}

#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
enum Place {
    /// Nobody waits.
    #[default]
    Out,
    Ring,
    Resting(Instant),
}

impl Limiter {
    /// Whether transfers of a lane have to ask. Cheap where there is no limit.
    pub fn meters(&self, lane: usize) -> bool {
        self.total.is_some() || (self.own > 0 && self.lanes.get(&lane).is_some_and(|l| l.bucket.is_some()))
    }

    /// Whether there is any limit.
    pub fn is_on(&self) -> bool {
        self.total.is_some() || self.own > 0
    }

    /// Whether anybody waits.
    pub fn is_idle(&self) -> bool {
        self.active == 0
    }

    /// Sets or lifts the limit of all together, from now on.
    pub fn set_total(&mut self, now: Instant, limit: Option<NonZeroU64>) {
        Bucket::set(&mut self.total, now, limit);
    }

    /// Sets or lifts the limit of one lane, from now on.
    pub fn set_lane(&mut self, now: Instant, lane: usize, limit: Option<NonZeroU64>) {
        let at = self.lanes.entry(lane).or_default();
        let before = at.bucket.is_some();
        Bucket::set(&mut at.bucket, now, limit);
        self.own = self.own + usize::from(at.bucket.is_some()) - usize::from(before);
        if let Place::Resting(_) = at.place {
            at.place = Place::Ring;
            self.ring.push_back(lane);
        }
        self.tidy(lane);
    }

    /// Forgets a lane and those who wait in it; its number may be used again.
    pub fn remove_lane(&mut self, lane: usize) {
        let Some(gone) = self.lanes.remove(&lane) else { return };
        self.own -= usize::from(gone.bucket.is_some());
        match gone.place {
            Place::Out => return,
            Place::Ring if self.current == Some(lane) => self.current = None,
            Place::Ring => self.ring.retain(|other| *other != lane),
            // Left in the heap, where it will not be found to be resting any more.
            Place::Resting(_) => {}
        }
        self.active -= 1;
    }

    /// Queues for a turn. Ask once, and again after the [grant](Limiter::next) if more is to be transferred. Who
    /// leaves need not say so: it gives the whole grant back.
    pub fn ask(&mut self, lane: usize, key: PeerKey) {
        let at = self.lanes.entry(lane).or_default();
        at.waiting.push_back(key);
        if at.place == Place::Out {
            at.place = Place::Ring;
            self.active += 1;
            if self.current.is_none() && self.last == Some(lane) {
                // Its turn was not over.
                self.current = self.last;
            } else {
                self.ring.push_back(lane);
            }
        }
    }

    /// Whose turn it is now, if it is anybody's.
    pub fn next(&mut self, now: Instant) -> Option<Grant> {
        self.wake_resting(now);
        let total = match &mut self.total {
            Some(bucket) if self.active > 0 => bucket.offer(now)?,
            _ => MOST_GRANT,
        };
        loop {
            let lane = match self.current.take() {
                Some(lane) => lane,
                None => {
                    let lane = self.ring.pop_front()?;
                    if let Some(at) = self.lanes.get_mut(&lane) {
                        at.credit = (at.credit + f64::from(total)).min(2.0 * f64::from(total));
                    }
                    lane
                }
            };
            let Some(at) = self.lanes.get_mut(&lane) else { continue };
            // The crumbs of a turn wait for the next one, which makes this come to an end.
            if at.credit < f64::from(total) / 4.0 {
                self.ring.push_back(lane);
                continue;
            }
            let own = match &mut at.bucket {
                None => MOST_GRANT,
                Some(bucket) => match bucket.offer(now) {
                    Some(own) => own,
                    None => {
                        let until = bucket.filled_at();
                        at.place = Place::Resting(until);
                        self.resting.push(Reverse((until, lane)));
                        continue;
                    }
                },
            };
            let Some(key) = at.waiting.pop_front() else { continue };
            // At least 1, because of the above.
            let bytes = total.min(own).min(at.credit.ceil() as u32);
            if at.waiting.is_empty() {
                at.place = Place::Out;
                self.active -= 1;
            } else {
                self.current = Some(lane);
            }
            self.last = Some(lane);
            self.take(lane, f64::from(bytes));
            return Some(Grant { lane, key, bytes });
        }
    }

    /// What a grant allowed and nobody used.
    pub fn give_back(&mut self, lane: usize, bytes: u32) {
        self.take(lane, -f64::from(bytes));
    }

    /// Counts what was transferred by a grant that was given back: all of it, to be paid for before the next one.
    pub fn spend(&mut self, lane: usize, bytes: u64) {
        self.take(lane, bytes as f64);
    }

    /// Counts what was transferred without a grant. It is paid for later; a limit is never owed more than about two
    /// seconds.
    pub fn charge(&mut self, now: Instant, lane: usize, bytes: u64) {
        let own = self.lanes.get_mut(&lane).and_then(|at| at.bucket.as_mut());
        for bucket in self.total.iter_mut().chain(own) {
            bucket.charge(now, bytes);
        }
    }

    /// When [`next`](Limiter::next) has something to give to those who wait; `None` if nobody does.
    pub fn deadline(&self, now: Instant) -> Option<Instant> {
        let lane = match self.resting.peek() {
            _ if !self.ring.is_empty() || self.current.is_some() => now,
            Some(Reverse((at, _))) => *at,
            None => return None,
        };
        Some(self.total.as_ref().map_or(lane, |total| lane.max(total.filled_at())))
    }

    /// What one lane may expect, bytes per second: its own limit, and its part of that for all.
    pub fn pace(&self, lane: usize) -> Option<u64> {
        let own = self.lanes.get(&lane).and_then(|at| at.bucket.as_ref()).map(|bucket| bucket.rate);
        let part = self.total.as_ref().map(|total| total.rate / self.active.max(1) as f64);
        // Saturates; a rate is at least 1.
        own.into_iter().chain(part).reduce(f64::min).map(|pace| (pace as u64).max(1))
    }

    fn take(&mut self, lane: usize, bytes: f64) {
        let at = self.lanes.get_mut(&lane);
        let own = at.and_then(|at| {
            at.credit = (at.credit - bytes).max(0.0);
            at.bucket.as_mut()
        });
        for bucket in self.total.iter_mut().chain(own) {
            bucket.tokens = (bucket.tokens - bytes).min(bucket.capacity());
        }
    }

    fn wake_resting(&mut self, now: Instant) {
        while let Some(Reverse((until, lane))) = self.resting.peek().copied()
            && until <= now
        {
            self.resting.pop();
            if let Some(at) = self.lanes.get_mut(&lane)
                && at.place == Place::Resting(until)
            {
                at.place = Place::Ring;
                self.ring.push_back(lane);
            }
        }
    }

    /// Forgets a lane without limit in which nobody waited lately.
    fn tidy(&mut self, lane: usize) {
        if self
            .lanes
            .get(&lane)
            .is_some_and(|at| at.bucket.is_none() && at.place == Place::Out && at.credit == 0.0)
        {
            self.lanes.remove(&lane);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn rate(n: u64) -> Option<NonZeroU64> {
        NonZeroU64::new(n)
    }

    /// Connections that transfer as much as they may, or a given rate of their own, for some seconds.
    struct World {
        start: Instant,
        limiter: Limiter,
        /// Lane, bytes per second that it wants, bytes that it has had.
        peers: Vec<(usize, f64, u64)>,
    }

    impl World {
        fn new(peers: &[(usize, f64)]) -> World {
            World {
                start: Instant::now(),
                limiter: Limiter::default(),
                peers: peers.iter().map(|(lane, wants)| (*lane, *wants, 0)).collect(),
            }
        }

        /// Runs from one second to another; answers how often the limiter had to be looked at.
        fn run(&mut self, from: u64, to: u64) -> usize {
            let (mut now, end) =
                (self.start + Duration::from_secs(from), self.start + Duration::from_secs(to));
            let had: Vec<u64> = self.peers.iter().map(|peer| peer.2).collect();
            let begun = now;
            let mut asked: Vec<bool> = vec![false; self.peers.len()];
            let mut looks = 0;
            while now < end {
                let room = |peer: &(usize, f64, u64), had: u64, now: Instant| {
                    (peer.1 * (now - begun).as_secs_f64()) as u64 - (peer.2 - had).min((peer.1 * 1e6) as u64)
                };
                for (i, peer) in self.peers.iter().enumerate() {
                    if !asked[i] && (peer.1.is_infinite() || room(peer, had[i], now) > 0) {
                        asked[i] = true;
                        self.limiter.ask(peer.0, PeerKey(i as u64));
                    }
                }
                looks += 1;
                while let Some(grant) = self.limiter.next(now) {
                    let i = grant.key.0 as usize;
                    let peer = &mut self.peers[i];
                    assert_eq!(grant.lane, peer.0);
                    let most = if peer.1.is_infinite() { u64::MAX } else { room(peer, had[i], now) };
                    let used = u64::from(grant.bytes).min(most);
                    peer.2 += used;
                    self.limiter.give_back(grant.lane, grant.bytes - used as u32);
                    asked[i] = false;
                    if peer.1.is_infinite() {
                        asked[i] = true;
                        self.limiter.ask(peer.0, grant.key);
                    }
                }
                let step = now + Duration::from_millis(10);
                now = self.limiter.deadline(now).map_or(step, |at| at.max(now)).min(step);
            }
            looks
        }

        fn shares(&self) -> Vec<u64> {
            self.peers.iter().map(|peer| peer.2).collect()
        }

        fn all(&self) -> u64 {
            self.shares().iter().sum()
        }
    }

    fn near(is: u64, wanted: f64, tolerance: f64) {
        assert!((is as f64 - wanted).abs() <= wanted * tolerance, "{is} instead of {wanted}");
    }

    const GREEDY: f64 = f64::INFINITY;

    #[test]
    fn a_limit_holds_within_five_per_cent_over_seconds() {
        for limit in [10_000_u64, 100_000, 1 << 20, 50 << 20, 1 << 30, 20 << 30] {
            let mut w = World::new(&[(0, GREEDY), (0, GREEDY), (1, GREEDY)]);
            w.limiter.set_total(w.start, rate(limit));
            w.run(0, 5);
            near(w.all(), 5.0 * limit as f64, 0.05);
            w.run(5, 25);
            near(w.all(), 25.0 * limit as f64, 0.02);
        }
    }

    #[test]
    fn torrents_share_alike_whatever_the_number_of_their_peers() {
        let mut w = World::new(&[(0, GREEDY), (1, GREEDY), (1, GREEDY), (1, GREEDY)]);
        w.limiter.set_total(w.start, rate(1_000_000));
        w.run(0, 10);
        let shares = w.shares();
        near(shares[0], 5e6, 0.05);
        shares[1..].iter().for_each(|share| near(*share, 5e6 / 3.0, 0.05));
    }

    #[test]
    fn what_one_does_not_want_goes_to_the_others() {
        let mut w = World::new(&[(0, 50_000.0), (0, GREEDY), (1, 200_000.0), (2, GREEDY)]);
        w.limiter.set_total(w.start, rate(1_000_000));
        w.run(0, 10);
        let shares = w.shares();
        near(shares[0], 5e5, 0.1);
        near(shares[2], 2e6, 0.1);
        near(shares[1], 3.5e6, 0.05);
        near(shares[3], 4e6, 0.05);
    }

    #[test]
    fn the_lower_of_both_limits_counts_and_the_rest_is_used_by_others() {
        let mut w = World::new(&[(0, GREEDY), (1, GREEDY)]);
        w.limiter.set_total(w.start, rate(1_000_000));
        w.limiter.set_lane(w.start, 0, rate(100_000));
        w.limiter.set_lane(w.start, 1, rate(10_000_000));
        w.run(0, 10);
        near(w.shares()[0], 1e6, 0.05);
        near(w.shares()[1], 9e6, 0.05);
    }

    #[test]
    fn a_torrent_with_a_limit_leaves_others_alone() {
        let mut w = World::new(&[(3, GREEDY)]);
        w.limiter.set_lane(w.start, 3, rate(1000));
        assert!(w.limiter.meters(3) && !w.limiter.meters(4) && w.limiter.is_on());
        w.limiter.set_lane(w.start, 3, None);
        assert!(!w.limiter.meters(3) && !w.limiter.is_on() && w.limiter.lanes.is_empty());
    }

    #[test]
    fn blocks_that_do_not_fit_a_turn_are_shared_alike() {
        const BLOCK: u64 = 16_397;
        for limit in [20_000, 100_000, 1_000_000, 10_000_000] {
            let start = Instant::now();
            let mut limiter = Limiter::default();
            limiter.set_total(start, rate(limit));
            let mut had = [0_u64; 4];
            // One peer in the first lane, three in the second.
            (0..4).for_each(|key| limiter.ask(usize::from(key > 0), PeerKey(key)));
            let mut now = start;
            while now < start + Duration::from_secs(100) {
                while let Some(grant) = limiter.next(now) {
                    limiter.give_back(grant.lane, grant.bytes);
                    let sent = (u64::from(grant.bytes) / BLOCK).max(1) * BLOCK;
                    limiter.spend(grant.lane, sent);
                    had[grant.key.0 as usize] += sent;
                    limiter.ask(grant.lane, grant.key);
                }
                now = now.max(limiter.deadline(now).unwrap());
            }
            near(had.iter().sum(), 100.0 * limit as f64, 0.02);
            near(had[0], 50.0 * limit as f64, 0.05);
            had[1..].iter().for_each(|share| near(*share, 50.0 / 3.0 * limit as f64, 0.06));
        }
    }

    #[test]
    fn changes_count_at_once() {
        let mut w = World::new(&[(0, GREEDY)]);
        w.limiter.set_total(w.start, rate(1));
        w.limiter.charge(w.start, 0, 1 << 40);
        w.run(0, 1);
        assert!(w.all() < 10);
        w.limiter.set_total(w.start + Duration::from_secs(1), rate(1_000_000));
        w.run(1, 3);
        near(w.all(), 2e6, 0.1);
        w.limiter.set_total(w.start + Duration::from_secs(3), rate(1000));
        w.run(3, 8);
        near(w.all(), 2_005_000.0, 0.1);
    }

    #[test]
    fn the_lowest_limit_still_makes_progress_and_the_highest_is_none() {
        let mut w = World::new(&[(0, GREEDY)]);
        w.limiter.set_total(w.start, rate(1));
        w.run(0, 20);
        assert!((15..=22).contains(&w.all()), "{}", w.all());
        for absurd in [1_000_000_000_000_000_000, u64::MAX] {
            w.limiter.set_total(w.start, rate(absurd));
            assert!(!w.limiter.meters(0));
        }
    }

    #[test]
    fn what_was_transferred_without_leave_is_paid_for() {
        let mut w = World::new(&[(0, GREEDY)]);
        w.limiter.set_total(w.start, rate(100_000));
        w.limiter.charge(w.start, 0, 120_000);
        w.run(0, 5);
        near(w.all(), 380_000.0, 0.06);
    }

    #[test]
    fn a_high_limit_does_not_mean_a_look_for_every_turn() {
        let mut w = World::new(&[(0, GREEDY)]);
        w.limiter.set_total(w.start, rate(10 << 30));
        let looks = w.run(0, 2);
        assert!(looks < 500, "{looks} looks in two seconds");
    }

    #[test]
    fn who_left_costs_the_others_nothing() {
        let start = Instant::now();
        let mut limiter = Limiter::default();
        limiter.set_total(start, rate(100_000));
        limiter.set_lane(start, 7, rate(10));
        for key in 0..1000 {
            limiter.ask(0, PeerKey(key));
            limiter.ask(7, PeerKey(key));
        }
        limiter.remove_lane(7);
        let mut granted = 0;
        while let Some(grant) = limiter.next(start) {
            limiter.give_back(grant.lane, grant.bytes);
            assert_eq!(grant.lane, 0);
            granted += 1;
        }
        assert_eq!(granted, 1000);
        assert!(limiter.is_idle() && limiter.deadline(start).is_none());
        limiter.remove_lane(7);
    }

    #[test]
    fn nobody_is_passed_over_when_a_lane_rests() {
        let start = Instant::now();
        let mut limiter = Limiter::default();
        limiter.set_lane(start, 0, rate(1000));
        (0..10).for_each(|key| limiter.ask(0, PeerKey(key)));
        let (mut now, mut order) = (start, Vec::new());
        while let Some(at) = limiter.deadline(now) {
            now = now.max(at);
            order.extend(std::iter::from_fn(|| limiter.next(now)).map(|grant| grant.key.0));
        }
        assert_eq!(order, (0..10).collect::<Vec<_>>());
        assert!(now - start > Duration::from_secs(2));
    }
}
