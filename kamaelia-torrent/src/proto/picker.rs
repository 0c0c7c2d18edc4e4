//! Which piece to fetch next.
//!
//! Pieces that may be picked stand in one array, ordered by priority and then by how few peers have them. A piece
//! that becomes more or less common moves by one swap; picking looks at the front. Peers that have everything are
//! only counted, so a seed costs nothing however many pieces there are. 12 bytes a piece and one bit, but only while
//! somebody is connected: [at rest](Picker::rest) one bit a piece, and none if everything is there.

use super::{bitfield::Bitfield, geometry::PieceIndex, selection::Priority};

/// How to choose among the pieces that a peer has.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Order {
    /// Any: for the first pieces, to have something to trade soon.
    Random,
    /// The rarest; of equally rare ones the piece after this one, so that disks on both sides read and write runs.
    RarestAfter(Option<PieceIndex>),
    /// The lowest number.
    Sequential,
}

/// What the picker knows of a piece.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum PieceState {
    /// Nobody was asked for it.
    Wanted,
    /// It is being fetched or checked.
    Active,
    /// It is verified.
    Have,
}

/// Rarest first over all pieces of a torrent.
#[derive(Debug)]
pub struct Picker {
    /// At rest, the pieces that are verified; everything else is as in a new picker, and the tables are empty.
    resting: Option<Bitfield>,
    pieces: Vec<Entry>,
    /// Numbers of all pieces; those that can be picked first, by bucket.
    order: Vec<u32>,
    /// Where each bucket ends in `order`.
    ends: Vec<u32>,
    /// One bit for each piece that can be picked.
    pickable: Bitfield,
    seeds: u32,
    first: u32,
    wanted: u32,
    epoch: u64,
    rng: fastrand::Rng,
}

#[derive(Copy, Clone, Debug)]
struct Entry {
    pos: u32,
    peers: u16,
    priority: u8,
    state: PieceState,
}

impl Picker {
    /// Nobody has anything yet, except we `have`.
    pub fn new(have: &Bitfield, rng: fastrand::Rng) -> Picker {
        Picker {
            resting: Some(have.clone()),
            pieces: Vec::new(),
            order: Vec::new(),
            ends: Vec::new(),
            pickable: Bitfield::new(0),
            seeds: 0,
            first: 0,
            wanted: have.len() - have.count(),
            epoch: 0,
            rng,
        }
    }

    /// Gives back the memory of the tables if they say no more than which pieces are verified: nobody is connected,
    /// nothing is being fetched, no priority was given. What needs them makes them again, which costs as much as a
    /// bitfield from a peer.
    pub fn rest(&mut self) {
        let plain = |e: &Entry| e.peers == 0 && e.priority == NORMAL && e.state != PieceState::Active;
        if self.resting.is_some() || self.seeds > 0 || !self.pieces.iter().all(plain) {
            return;
        }
        let mut have = Bitfield::new(self.pieces.len() as u32);
        for (piece, entry) in (0..).zip(&self.pieces) {
            if entry.state == PieceState::Have {
                have.set(PieceIndex(piece));
            }
        }
        self.resting = Some(have);
        (self.pieces, self.order, self.ends) = (Vec::new(), Vec::new(), Vec::new());
        (self.pickable, self.first) = (Bitfield::new(0), 0);
    }

    /// Makes the tables.
    fn rise(&mut self) {
        let Some(have) = self.resting.take() else { return };
        let count = have.len();
        self.order = (0..count).collect();
        self.rng.shuffle(&mut self.order);
        // Those that are wanted in front.
        self.order.sort_by_key(|piece| have.get(PieceIndex(*piece)));
        let state = |piece| if have.get(piece) { PieceState::Have } else { PieceState::Wanted };
        self.pieces = (0..count)
            .map(|piece| Entry { pos: 0, peers: 0, priority: NORMAL, state: state(PieceIndex(piece)) })
            .collect();
        for (pos, piece) in (0..).zip(&self.order) {
            self.pieces[*piece as usize].pos = pos;
        }
        self.pickable = Bitfield::full(count);
        have.iter_ones().for_each(|piece| {
            self.pickable.clear(piece);
        });
        let (lowest, wanted) = (bucket_of(NORMAL, 0), self.wanted);
        self.ends = (0..BUCKETS).map(|bucket| if bucket < lowest { 0 } else { wanted }).collect();
    }

    /// A peer that has everything came (`true`) or went.
    pub fn seed(&mut self, came: bool) {
        self.seeds = if came { self.seeds + 1 } else { self.seeds.saturating_sub(1) };
    }

    /// A peer with these pieces (not all) came (`true`) or went.
    pub fn peer(&mut self, has: &Bitfield, came: bool) {
        has.iter_ones().for_each(|piece| self.count(piece, came));
    }

    /// One more peer has the piece (`true`), or one less.
    pub fn count(&mut self, piece: PieceIndex, more: bool) {
        self.rise();
        let Some(entry) = self.pieces.get_mut(piece.as_usize()) else { return };
        let from = entry.bucket();
        entry.peers = if more { entry.peers.saturating_add(1) } else { entry.peers.saturating_sub(1) };
        let to = entry.bucket();
        self.shift(piece, from, to);
    }

    /// Connected peers that have the piece.
    pub fn availability(&self, piece: PieceIndex) -> u32 {
        self.seeds + self.pieces.get(piece.as_usize()).map_or(0, |entry| entry.peers.into())
    }

    /// What is going on with the piece.
    pub fn state(&self, piece: PieceIndex) -> PieceState {
        match &self.resting {
            Some(have) if piece.0 < have.len() && !have.get(piece) => PieceState::Wanted,
            Some(_) => PieceState::Have,
            None => self.pieces.get(piece.as_usize()).map_or(PieceState::Have, |entry| entry.state),
        }
    }

    /// Changes what is going on with the piece.
    pub fn set_state(&mut self, piece: PieceIndex, state: PieceState) {
        self.change(piece, |entry| entry.state = state);
    }

    /// Priority 1 to 7, or 0 for a piece that is not to be fetched; 4 is the usual one.
    pub fn set_priority(&mut self, piece: PieceIndex, priority: u8) {
        self.change(piece, |entry| entry.priority = priority.min(HIGHEST));
    }

    /// Changes the priorities of all pieces at once, in one pass over them.
    ///
    /// # Panics
    ///
    /// If there is not one for each piece.
    pub fn set_priorities(&mut self, priorities: &[Priority]) {
        if self.resting.is_some() && priorities.iter().all(|priority| *priority == Priority::NORMAL) {
            return;
        }
        self.rise();
        assert_eq!(priorities.len(), self.pieces.len(), "priorities of another torrent");
        for (entry, priority) in self.pieces.iter_mut().zip(priorities) {
            entry.priority = priority.level();
        }
        // Buckets keep the order that they have, which is random enough.
        let mut starts = vec![0u32; BUCKETS + 2];
        self.pieces.iter().for_each(|entry| starts[entry.bucket() + 1] += 1);
        for bucket in 0..=BUCKETS {
            starts[bucket + 1] += starts[bucket];
        }
        self.ends.copy_from_slice(&starts[1..=BUCKETS]);
        let before = std::mem::take(&mut self.order);
        self.order = vec![0; before.len()];
        for piece in before {
            let entry = &mut self.pieces[piece as usize];
            let bucket = entry.bucket();
            entry.pos = starts[bucket];
            starts[bucket] += 1;
            self.order[entry.pos as usize] = piece;
            if bucket < BUCKETS {
                self.pickable.set(PieceIndex(piece));
            } else {
                self.pickable.clear(PieceIndex(piece));
            }
        }
        self.wanted = self.pieces.iter().filter(|entry| entry.counts()).count() as u32;
        self.first = 0;
        self.epoch += 1;
    }

    /// Pieces that are to be fetched and not verified, as a set.
    pub fn wanted(&self) -> Bitfield {
        if let Some(have) = &self.resting {
            let mut wanted = Bitfield::full(have.len());
            have.iter_ones().for_each(|piece| {
                wanted.clear(piece);
            });
            return wanted;
        }
        let mut wanted = Bitfield::new(self.pieces.len() as u32);
        for (piece, _) in (0..).zip(&self.pieces).filter(|(_, entry)| entry.counts()) {
            wanted.set(PieceIndex(piece));
        }
        wanted
    }

    /// Whether the piece is to be fetched at all.
    pub fn is_wanted(&self, piece: PieceIndex) -> bool {
        match &self.resting {
            Some(_) => self.state(piece) == PieceState::Wanted,
            None => self.pieces.get(piece.as_usize()).is_some_and(|entry| entry.counts()),
        }
    }

    /// Pieces that nobody was asked for yet.
    pub fn pickable(&self) -> u32 {
        self.ends.last().copied().unwrap_or(self.wanted)
    }

    /// Pieces that are to be fetched and not verified.
    pub fn missing(&self) -> u32 {
        self.wanted
    }

    /// Rises whenever a piece can be picked that could not be before: a peer that found nothing need not look again
    /// until then, or until it has more.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// The best piece that `has` contains and that can be picked. It stays pickable until its state is changed.
    pub fn pick(&mut self, has: &Bitfield, order: Order) -> Option<PieceIndex> {
        self.rise();
        match order {
            Order::Random => self.pick_random(has),
            Order::Sequential => self.pick_sequential(has),
            Order::RarestAfter(last) => {
                let rarest = self.pick_rarest(has)?;
                let next = last.map(|last| PieceIndex(last.0.saturating_add(1)));
                let follows = |next: &PieceIndex| {
                    let bucket = self.pieces[next.as_usize()].bucket();
                    has.get(*next) && bucket <= self.pieces[rarest.as_usize()].bucket()
                };
                Some(next.filter(|next| self.pickable.get(*next)).filter(follows).unwrap_or(rarest))
            }
        }
    }

    fn pick_rarest(&mut self, has: &Bitfield) -> Option<PieceIndex> {
        let end = self.pickable() as usize;
        let found = self.order[..end].iter().take(LOOK_AT).copied().map(PieceIndex).find(|p| has.get(*p));
        if found.is_some() || end <= LOOK_AT {
            return found;
        }
        // The peer lacks all of the rarest: look through what it has, 64 pieces at a time, from anywhere.
        let start = self.random_word();
        self.candidates(has, start).take(LOOK_AT).min_by_key(|piece| self.pieces[piece.as_usize()].bucket())
    }

    fn pick_random(&mut self, has: &Bitfield) -> Option<PieceIndex> {
        // Any of the most urgent ones.
        let levels = self.ends.iter().skip(LEVELS - 1).step_by(LEVELS);
        let end = levels.copied().find(|end| *end > 0)? as usize;
        let start = self.rng.usize(..end);
        let tries = self.order[start..end].iter().chain(&self.order[..start]).take(LOOK_AT);
        let found = tries.copied().map(PieceIndex).find(|piece| has.get(*piece));
        found.or_else(|| self.pick_rarest(has))
    }

    fn pick_sequential(&mut self, has: &Bitfield) -> Option<PieceIndex> {
        let count = self.pieces.len() as u32;
        while self.first < count && !self.is_wanted(PieceIndex(self.first)) {
            self.first += 1;
        }
        common(has, &self.pickable, (self.first / 64) as usize..self.pickable.word_count()).next()
    }

    /// Pieces of `has` that can be picked, in order from word `start`, all round.
    fn candidates<'a>(&'a self, has: &'a Bitfield, start: usize) -> impl Iterator<Item = PieceIndex> + 'a {
        let words = self.pickable.word_count();
        common(has, &self.pickable, start..words).chain(common(has, &self.pickable, 0..start))
    }

    fn random_word(&mut self) -> usize {
        self.rng.usize(..self.pickable.word_count().max(1))
    }

    fn change(&mut self, piece: PieceIndex, change: impl FnOnce(&mut Entry)) {
        self.rise();
        let Some(entry) = self.pieces.get_mut(piece.as_usize()) else { return };
        let (from, was_wanted) = (entry.bucket(), entry.counts());
        change(entry);
        let (to, is_wanted) = (entry.bucket(), entry.counts());
        self.wanted = self.wanted + u32::from(is_wanted) - u32::from(was_wanted);
        if to < BUCKETS {
            self.pickable.set(piece);
        } else {
            self.pickable.clear(piece);
        }
        if to < BUCKETS && from >= BUCKETS {
            self.epoch += 1;
            // It may lie before what sequential order has passed.
            self.first = self.first.min(piece.0);
        }
        self.shift(piece, from, to);
    }

    /// Moves a piece between buckets: one swap for each bucket border on the way.
    fn shift(&mut self, piece: PieceIndex, from: usize, to: usize) {
        let mut pos = self.pieces[piece.as_usize()].pos;
        for bucket in from..to {
            // To the end of its bucket, which then ends before it.
            self.ends[bucket] -= 1;
            pos = self.swap(pos, self.ends[bucket]);
        }
        for bucket in (to..from).rev() {
            // To the end of the bucket below, that is the start of its own.
            let start = self.ends[bucket];
            pos = self.swap(pos, start);
            self.ends[bucket] += 1;
        }
        if from != to && to < BUCKETS {
            // A random place in the new bucket, lest all peers fetch in the same order.
            let start = if to == 0 { 0 } else { self.ends[to - 1] };
            let place = self.rng.u32(start..self.ends[to]);
            self.swap(pos, place);
        }
    }

    fn swap(&mut self, a: u32, b: u32) -> u32 {
        if a != b {
            self.order.swap(a as usize, b as usize);
            for pos in [a, b] {
                let piece = self.order[pos as usize];
                self.pieces[piece as usize].pos = pos;
            }
        }
        b
    }
}

impl Entry {
    fn bucket(self) -> usize {
        match self.state {
            PieceState::Wanted if self.priority > 0 => bucket_of(self.priority, self.peers),
            _ => BUCKETS,
        }
    }

    fn counts(self) -> bool {
        self.priority > 0 && self.state != PieceState::Have
    }
}

fn bucket_of(priority: u8, peers: u16) -> usize {
    usize::from(HIGHEST - priority) * LEVELS + usize::from(peers).min(LEVELS - 1)
}

fn common<'a>(
    a: &'a Bitfield,
    b: &'a Bitfield,
    words: std::ops::Range<usize>,
) -> impl Iterator<Item = PieceIndex> + 'a {
    words.flat_map(move |at| {
        // The highest bit is the first piece.
        let mut rest = a.word(at) & b.word(at);
        std::iter::from_fn(move || {
            let bit = rest.leading_zeros();
            rest &= !(1u64.checked_shl(63u32.checked_sub(bit)?)?);
            Some(PieceIndex(at as u32 * 64 + bit))
        })
    })
}

/// Priority of a piece of which nothing else was said.
pub const NORMAL: u8 = 4;

const HIGHEST: u8 = 7;

/// Beyond this many peers, rarity does not matter.
const LEVELS: usize = 32;
const BUCKETS: usize = HIGHEST as usize * LEVELS;

/// Pieces looked at one by one before looking at words of 64.
const LOOK_AT: usize = 128;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn picker(count: u32) -> Picker {
        Picker::new(&Bitfield::new(count), fastrand::Rng::with_seed(1))
    }

    fn set(count: u32, pieces: &[u32]) -> Bitfield {
        let mut set = Bitfield::new(count);
        pieces.iter().for_each(|piece| {
            set.set(PieceIndex(*piece));
        });
        set
    }

    impl Picker {
        fn check(&mut self) {
            self.rise();
            let mut at = 0;
            for (bucket, end) in self.ends.iter().enumerate() {
                assert!(*end >= at);
                for pos in at..*end {
                    assert_eq!(self.pieces[self.order[pos as usize] as usize].bucket(), bucket);
                }
                at = *end;
            }
            for (piece, entry) in (0..).zip(&self.pieces) {
                assert_eq!(self.order[entry.pos as usize], piece);
                assert_eq!(self.pickable.get(PieceIndex(piece)), entry.bucket() < BUCKETS);
            }
            assert_eq!(self.pickable(), self.pickable.count());
            assert_eq!(self.wanted as usize, self.pieces.iter().filter(|e| e.counts()).count());
        }
    }

    #[test]
    fn the_tables_are_given_back_when_nobody_is_connected() {
        let mut p = picker(1000);
        assert!(p.pieces.is_empty());
        p.peer(&set(1000, &[1, 2]), true);
        p.set_state(PieceIndex(1), PieceState::Active);
        p.rest();
        assert_eq!(p.pieces.len(), 1000, "somebody has pieces, and one is being fetched");
        p.set_state(PieceIndex(1), PieceState::Have);
        p.peer(&set(1000, &[1, 2]), false);
        p.rest();
        assert!(p.pieces.is_empty() && p.ends.is_empty());
        assert_eq!((p.state(PieceIndex(1)), p.state(PieceIndex(2))), (PieceState::Have, PieceState::Wanted));
        assert_eq!((p.missing(), p.pickable(), p.state(PieceIndex(1000))), (999, 999, PieceState::Have));
    }

    #[test]
    fn the_rarest_piece_is_first() {
        let mut p = picker(100);
        p.peer(&Bitfield::full(100), true);
        p.peer(&set(100, &(0..99).filter(|i| *i != 42).collect::<Vec<_>>()), true);
        p.count(PieceIndex(99), true);
        assert_eq!(p.pick(&Bitfield::full(100), Order::RarestAfter(None)), Some(PieceIndex(42)));
        assert_eq!(p.availability(PieceIndex(42)), 1);
        assert_eq!(p.pick(&set(100, &[7]), Order::RarestAfter(None)), Some(PieceIndex(7)));
    }

    #[test]
    fn equally_rare_pieces_come_in_runs() {
        let mut p = picker(1000);
        p.seed(true);
        let mut last = p.pick(&Bitfield::full(1000), Order::RarestAfter(None)).unwrap();
        let mut jumps = 0;
        for _ in 0..999 {
            p.set_state(last, PieceState::Active);
            let next = p.pick(&Bitfield::full(1000), Order::RarestAfter(Some(last))).unwrap();
            jumps += u32::from(next.0 != last.0 + 1);
            last = next;
        }
        assert!(jumps < 20, "{jumps}");
        // Rarity goes before order.
        let mut p = picker(10);
        p.count(PieceIndex(6), true);
        let pick = p.pick(&Bitfield::full(10), Order::RarestAfter(Some(PieceIndex(5))));
        assert_ne!(pick, Some(PieceIndex(6)));
    }

    #[test]
    fn different_seeds_start_at_different_pieces() {
        let first = |seed| {
            Picker::new(&Bitfield::new(1000), fastrand::Rng::with_seed(seed))
                .pick(&Bitfield::full(1000), Order::RarestAfter(None))
        };
        assert!((1..10).any(|seed| first(seed) != first(0)));
    }

    #[test]
    fn priorities_go_before_rarity_and_zero_is_never_picked() {
        let mut p = picker(10);
        (0..50).for_each(|_| p.count(PieceIndex(3), true));
        p.set_priority(PieceIndex(3), 7);
        assert_eq!(p.pick(&Bitfield::full(10), Order::RarestAfter(None)), Some(PieceIndex(3)));
        (0..10).for_each(|i| p.set_priority(PieceIndex(i), 0));
        assert_eq!((p.pick(&Bitfield::full(10), Order::RarestAfter(None)), p.missing()), (None, 0));
        p.check();
    }

    #[test]
    fn sequential_order_goes_back_for_what_failed() {
        let mut p = picker(200);
        let all = Bitfield::full(200);
        for i in 0..150 {
            assert_eq!(p.pick(&all, Order::Sequential), Some(PieceIndex(i)));
            p.set_state(PieceIndex(i), PieceState::Active);
            p.set_state(PieceIndex(i), PieceState::Have);
        }
        p.set_state(PieceIndex(70), PieceState::Wanted);
        assert_eq!(p.pick(&all, Order::Sequential), Some(PieceIndex(70)));
    }

    #[test]
    fn a_peer_with_only_common_pieces_is_served_in_a_huge_torrent() {
        let count = 1 << 21;
        let mut p = picker(count);
        let has = set(count, &[5, 1_234_567]);
        p.peer(&has, true);
        for order in [Order::RarestAfter(None), Order::Random, Order::Sequential] {
            assert!(has.get(p.pick(&has, order).unwrap()));
        }
        assert!(size_of::<Entry>() <= 8);
    }

    proptest! {
        #[test]
        fn order_stays_consistent(steps in prop::collection::vec((0..8u8, 0..40u32, 0..8u8), 0..200)) {
            let mut p = picker(40);
            let mut peers = vec![];
            for (step, piece, n) in steps {
                let index = PieceIndex(piece);
                match step {
                    0 => p.set_state(index, PieceState::Active),
                    1 => p.set_state(index, PieceState::Wanted),
                    2 => p.set_state(index, PieceState::Have),
                    3 => p.set_priority(index, n),
                    6 => {
                        let level = |i: u32| Priority::new(((i + piece) % (u32::from(n) + 1)) as u8).unwrap();
                        p.set_priorities(&(0..40).map(level).collect::<Vec<_>>());
                        let wanted = p.wanted();
                        prop_assert!((0..40).map(PieceIndex).all(|i| wanted.get(i) == p.is_wanted(i)));
                    }
                    4 => {
                        let has = set(40, &(piece..40).step_by(usize::from(n) + 1).collect::<Vec<_>>());
                        p.peer(&has, true);
                        peers.push(has);
                    }
                    5 => if let Some(has) = peers.pop() { p.peer(&has, false) },
                    _ => {
                        let seen = |p: &Picker| {
                            let each = (0..41).map(PieceIndex).map(|i| (p.state(i), p.is_wanted(i), p.availability(i)));
                            (each.collect::<Vec<_>>(), p.missing(), p.pickable())
                        };
                        let before = seen(&p);
                        p.rest();
                        prop_assert_eq!(seen(&p), before);
                    }
                }
                p.check();
                for order in [Order::Random, Order::RarestAfter(Some(index)), Order::Sequential] {
                    let has = set(40, &[piece, u32::from(n)]);
                    let pick = p.pick(&has, order);
                    prop_assert!(pick.is_none_or(|pick| has.get(pick) && p.pickable.get(pick)));
                    prop_assert_eq!(pick.is_some(), has.iter_ones().any(|i| p.pickable.get(i)));
                }
            }
        }
    }
}
