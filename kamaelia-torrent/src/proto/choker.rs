//! Who is served.
//!
//! While downloading: those who give most, and one slot in five for somebody else, drawn every 30 s, newcomers three
//! times as likely. While seeding: in turns. A turn ends with its quota or its time, and then whoever waited longest
//! comes first; the wait is remembered by address, so that neither idling, nor greed, nor reconnecting holds a slot
//! ("Stealing bandwidth", Adamsky).

use std::time::{Duration, Instant};

/// What the choker looks at in a peer that wants something.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// Names the peer in the answer.
    pub id: usize,
    /// Payload from the peer, bytes per second.
    pub down_rate: f64,
    /// Payload to the peer, bytes per second.
    pub up_rate: f64,
    /// Served at the moment.
    pub unchoked: bool,
    /// When it was last choked or unchoked; `None` if it never was unchoked.
    pub changed: Option<Instant>,
    /// When it connected.
    pub since: Instant,
    /// When somebody at its address was last served.
    pub served: Option<Instant>,
    /// Payload sent in its present turn, bytes.
    pub sent: u64,
    /// Whether it asks for anything at the moment.
    pub busy: bool,
}

/// Decides in rounds who is served.
#[derive(Debug)]
pub struct Choker {
    slots: Option<usize>,
    /// The most slots that others leave to this torrent.
    cap: Option<usize>,
    /// Slots when nothing is known of what the line carries.
    floor: usize,
    /// Slots without a cap, when they were counted last.
    wanted: usize,
    optimistic: Vec<usize>,
    redraw: Option<Instant>,
    rng: fastrand::Rng,
}

impl Choker {
    /// A choker with a fixed number of slots, or one that follows what the line carries (at least 8).
    pub fn new(slots: Option<usize>, rng: fastrand::Rng) -> Choker {
        Choker {
            slots,
            cap: None,
            floor: DEFAULT_SLOTS,
            wanted: slots.unwrap_or(DEFAULT_SLOTS),
            optimistic: Vec::new(),
            redraw: None,
            rng,
        }
    }

    /// Changes the fixed number of slots; `None` lets it follow the line.
    pub fn set_slots(&mut self, slots: Option<usize>) {
        self.slots = slots;
        self.wanted = slots.unwrap_or(self.floor);
    }

    /// Allows no more slots than this, whatever else; false if that is as before.
    pub fn set_cap(&mut self, cap: Option<usize>) -> bool {
        std::mem::replace(&mut self.cap, cap) != cap
    }

    /// A limit on what is sent, bytes per second: few slots that carry something are worth more than many that do not.
    pub fn set_line(&mut self, limit: Option<u64>) {
        let fit =
            |limit: u64| ((limit as f64 / 1024.0 * 0.6).sqrt() as usize).clamp(LEAST_SLOTS, DEFAULT_SLOTS);
        self.floor = limit.map_or(DEFAULT_SLOTS, fit);
        self.wanted = self.slots.unwrap_or(self.floor);
    }

    /// Whether nobody is ever served.
    pub fn is_closed(&self) -> bool {
        self.slots == Some(0)
    }

    /// Slots that the torrent would have without a cap.
    pub fn wanted(&self) -> usize {
        self.wanted
    }

    /// Slots at present, given the peers that are interested.
    pub fn slots(&mut self, peers: &[Candidate]) -> usize {
        self.wanted = self.uncapped(peers);
        self.cap.map_or(self.wanted, |cap| cap.min(self.wanted))
    }

    fn uncapped(&self, peers: &[Candidate]) -> usize {
        let Some(slots) = self.slots else {
            // Each further slot has to carry 2 KiB/s more than the one before: slots are added as long as the line
            // carries them, and not so many that each gets a trickle.
            let mut rates: Vec<f64> = peers.iter().filter(|p| p.unchoked).map(|p| p.up_rate).collect();
            rates.sort_by(|a, b| b.total_cmp(a));
            let worth = |(n, rate): &(usize, &f64)| **rate > 1024.0 + 2048.0 * *n as f64;
            let carried = rates.iter().enumerate().take_while(worth).count();
            return (carried + 1).clamp(self.floor, MOST_SLOTS);
        };
        slots
    }

    /// A peer went; its name may be used again.
    pub fn forget(&mut self, id: usize) {
        self.optimistic.retain(|other| *other != id);
    }

    /// The names of those to serve from now on, out of all peers that want something.
    pub fn round(&mut self, now: Instant, seeding: bool, peers: &[Candidate]) -> Vec<usize> {
        let slots = self.slots(peers);
        // Those who may not change yet keep what they have.
        let settled =
            |p: &&Candidate| p.changed.is_none_or(|at| now.saturating_duration_since(at) >= MIN_HOLD);
        let mut served: Vec<usize> =
            peers.iter().filter(|p| p.unchoked && !settled(p)).map(|p| p.id).take(slots).collect();
        let free = |served: &[usize], p: &&Candidate| !served.contains(&p.id) && (p.unchoked || settled(p));
        let waiting = peers.iter().any(|p| !p.unchoked && settled(&p));
        let lucky = if slots > 1 { (slots / 5).max(1) } else { 0 };
        let regular = slots - lucky;
        let mut rest: Vec<&Candidate> = peers.iter().filter(|p| free(&served, p)).collect();
        if seeding {
            // Who is in the middle of a turn stays; then who waited longest, those never served first.
            let over = |p: &Candidate| !p.unchoked || (waiting && turn_is_over(now, p));
            rest.sort_by_key(|p| (over(p), p.served, p.since));
        } else {
            rest.sort_by(|a, b| b.down_rate.total_cmp(&a.down_rate).then(a.served.cmp(&b.served)));
        }
        let kept = served.len();
        served.extend(rest.iter().map(|p| p.id).take(regular.saturating_sub(kept)));
        self.draw(now, lucky, slots, peers, &mut served, seeding);
        // Slots left over go to whoever is next.
        for p in rest {
            if served.len() < slots && !served.contains(&p.id) {
                served.push(p.id);
            }
        }
        served
    }

    /// Fills up to `lucky` slots with peers drawn at random, who keep them until the next draw.
    fn draw(
        &mut self,
        now: Instant,
        lucky: usize,
        slots: usize,
        peers: &[Candidate],
        served: &mut Vec<usize>,
        seeding: bool,
    ) {
        if self.redraw.is_none_or(|at| now >= at) {
            self.optimistic.clear();
            self.redraw = Some(now + REDRAW);
        }
        let by_id = |id: usize| peers.iter().find(|p| p.id == id);
        // Who earned a slot meanwhile, or no longer wants it, makes room for another.
        let stays = |id: &usize| {
            !served.contains(id) && by_id(*id).is_some_and(|p| !(seeding && turn_is_over(now, p)))
        };
        self.optimistic.retain(stays);
        while self.optimistic.len() < lucky {
            let weight = |p: &Candidate| -> u32 {
                let settled = p.changed.is_none_or(|at| now.saturating_duration_since(at) >= MIN_HOLD);
                let taken = served.contains(&p.id) || self.optimistic.contains(&p.id);
                match p.served {
                    _ if taken || !(settled || p.unchoked) => 0,
                    None => NEWCOMER,
                    // Somebody whose turn is over just now is no surprise.
                    Some(_) if p.unchoked => 0,
                    Some(_) => 1,
                }
            };
            let total: u32 = peers.iter().map(weight).sum();
            if total == 0 {
                break;
            }
            let mut ticket = self.rng.u32(..total);
            let drawn = peers.iter().find(|p| match ticket.checked_sub(weight(p)) {
                Some(left) => {
                    ticket = left;
                    false
                }
                None => true,
            });
            let Some(drawn) = drawn else { break };
            self.optimistic.push(drawn.id);
        }
        for id in &self.optimistic {
            if served.len() < slots {
                served.push(*id);
            }
        }
    }
}

fn turn_is_over(now: Instant, p: &Candidate) -> bool {
    let held = p.changed.map_or(Duration::ZERO, |at| now.saturating_duration_since(at));
    p.unchoked && held >= MIN_HOLD && (p.sent >= QUOTA || held >= TURN || !p.busy)
}

/// Time between rounds.
pub const ROUND: Duration = Duration::from_secs(10);

/// Slots without a setting, as most clients have.
pub const DEFAULT_SLOTS: usize = 8;

const MOST_SLOTS: usize = 50;

/// Slots on the slowest line: one for the best, one for somebody else.
const LEAST_SLOTS: usize = 2;

const REDRAW: Duration = Duration::from_secs(30);

/// Nobody is choked or unchoked again within this time: flapping costs both sides their pipelines.
const MIN_HOLD: Duration = Duration::from_secs(10);

/// A turn at a seed ends after this time or this many bytes, if others wait.
const TURN: Duration = Duration::from_secs(60);
const QUOTA: u64 = 8 * 1024 * 1024;

/// How much likelier a peer that was never served is drawn.
const NEWCOMER: u32 = 3;

#[cfg(test)]
mod tests {
    use super::*;

    struct World {
        now: Instant,
        choker: Choker,
        peers: Vec<Candidate>,
        slots_of: Vec<u32>,
    }

    impl World {
        fn new(count: usize, slots: usize) -> World {
            let now = Instant::now();
            let peer = |id| Candidate {
                id,
                down_rate: 0.0,
                up_rate: 0.0,
                unchoked: false,
                changed: None,
                since: now,
                served: None,
                sent: 0,
                busy: true,
            };
            World {
                now,
                choker: Choker::new(Some(slots), fastrand::Rng::with_seed(3)),
                peers: (0..count).map(peer).collect(),
                slots_of: vec![0; count],
            }
        }

        /// Runs rounds; each served peer gets `bytes` a round.
        fn run(&mut self, rounds: usize, seeding: bool, bytes: impl Fn(usize) -> u64) {
            for _ in 0..rounds {
                let served = self.choker.round(self.now, seeding, &self.peers);
                let mut unique = served.clone();
                unique.sort_unstable();
                unique.dedup();
                assert_eq!(unique.len(), served.len());
                for p in &mut self.peers {
                    let unchoke = served.contains(&p.id);
                    if unchoke != p.unchoked {
                        let held = p.changed.map_or(MIN_HOLD, |at| self.now - at);
                        assert!(held >= MIN_HOLD, "{held:?}");
                        (p.unchoked, p.changed, p.sent) = (unchoke, Some(self.now), 0);
                    }
                    if unchoke {
                        p.served = Some(self.now);
                        p.sent += bytes(p.id);
                        self.slots_of[p.id] += 1;
                    }
                }
                self.now += ROUND;
            }
        }
    }

    #[test]
    fn everybody_is_served_while_there_are_slots() {
        let mut w = World::new(5, 8);
        w.run(1, false, |_| 0);
        assert_eq!(w.slots_of, [1; 5]);
    }

    #[test]
    fn who_gives_most_is_served_and_others_get_a_chance() {
        let mut w = World::new(30, 5);
        for (i, p) in w.peers.iter_mut().enumerate() {
            p.down_rate = if i < 4 { 1e6 + i as f64 } else { 10.0 };
        }
        w.run(600, false, |_| 1 << 20);
        assert!(w.slots_of[..4].iter().all(|n| *n >= 590), "{:?}", w.slots_of);
        assert!(w.slots_of[4..].iter().all(|n| (6..80).contains(n)), "{:?}", w.slots_of);
    }

    #[test]
    fn a_seed_serves_in_turns() {
        let mut w = World::new(40, 8);
        w.run(1000, true, |_| 64 << 20);
        let (least, most) = (w.slots_of.iter().min().unwrap(), w.slots_of.iter().max().unwrap());
        assert!(*most <= 2 * *least, "{:?}", w.slots_of);
    }

    #[test]
    fn a_seed_is_not_held_by_idlers_or_the_greedy() {
        let mut w = World::new(20, 4);
        // Two idle, one takes everything; the others take a little at a time.
        (w.peers[0].busy, w.peers[1].busy) = (false, false);
        w.run(1000, true, |id| if id == 2 { 1 << 30 } else { 1 << 20 });
        let honest = w.slots_of[3..].iter().min().unwrap();
        assert!(w.slots_of[..3].iter().all(|n| n <= honest), "{:?}", w.slots_of);
    }

    #[test]
    fn slots_follow_what_the_line_carries() {
        let mut w = World::new(100, 0);
        w.choker = Choker::new(None, fastrand::Rng::with_seed(1));
        assert_eq!(w.choker.slots(&w.peers), DEFAULT_SLOTS);
        w.peers.iter_mut().take(20).for_each(|p| (p.unchoked, p.up_rate) = (true, 1e6));
        assert_eq!(w.choker.slots(&w.peers), 21);
        w.peers.iter_mut().for_each(|p| (p.unchoked, p.up_rate) = (true, 1e9));
        assert_eq!(w.choker.slots(&w.peers), MOST_SLOTS);
    }

    #[test]
    fn no_slots_means_nobody() {
        let mut w = World::new(3, 0);
        w.run(10, true, |_| 0);
        assert_eq!(w.slots_of, [0; 3]);
    }
}
