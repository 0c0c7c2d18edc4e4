//! Pieces that are needed at a certain time, for who reads a file while it comes.
//!
//! The idea is that of libtorrent's `set_piece_deadline`. Pieces with a deadline are taken out of the picker and asked
//! for before all others, the earliest first, by all peers together that are fast enough to be in time. Blocks that
//! are late are asked of a second peer. When something is needed at once, requests for what is not are taken back, so
//! that it need not wait behind them.
//!
//! Without deadlines none of this costs anything; with them, a block costs a look at the first of those that are open.

use std::{
    collections::{BTreeSet, HashMap},
    time::{Duration, Instant},
};

use super::{Message, PieceIndex, Torrent, partial::Partial};
use crate::proto::{
    buffer::{BufferPool, PART_LEN},
    geometry::{BLOCK_LEN, BlockRequest},
    peer::Asked,
    picker::{NORMAL, PieceState},
};

/// Pieces with a deadline.
#[derive(Debug, Default)]
pub(super) struct Urgent {
    pieces: HashMap<PieceIndex, Due>,
    /// Those that may have blocks to ask for, the earliest first.
    open: BTreeSet<(Instant, PieceIndex)>,
    /// Those of which every block is here or was asked for.
    asked: BTreeSet<(Instant, PieceIndex)>,
    /// Those of `open` that are not begun.
    unstarted: usize,
    /// Those that would not be fetched at all without the deadline.
    unwanted: usize,
    /// What the fastest peer sent when they were last compared, bytes per second.
    fastest: f64,
    /// How long a piece usually takes from its last request on, seconds.
    usual: Option<f64>,
    /// When to look for late blocks.
    look_at: Option<Instant>,
    /// Something is needed sooner than all that was asked for.
    preempt: bool,
}

#[derive(Debug)]
struct Due {
    at: Instant,
    /// It has a partial.
    started: bool,
    /// When the last of its blocks was asked for, or asked for again.
    asked_at: Option<Instant>,
    /// What the fastest peer that has it sent, if it is one of the first; bytes per second.
    best: Option<f64>,
    /// It would not be fetched at all without the deadline.
    unwanted: bool,
}

impl Torrent {
    /// Says when a piece is needed. It is fetched before pieces without a deadline, those needed earlier first, even
    /// if it was not wanted before. A second call moves the deadline.
    ///
    /// False if that has no effect: the piece is there already, there is no such piece, or 1,024 pieces have earlier
    /// deadlines.
    pub fn set_deadline(&mut self, now: Instant, piece: PieceIndex, at: Instant) -> bool {
        // Of a piece in doubt it is not known whether it has to be fetched.
        if piece.0 >= self.have.len() || self.have.get(piece) || self.is_doubted(piece) {
            return false;
        }
        self.news += 1;
        self.wake_at(now);
        let urgent = self.urgent.get_or_insert_default();
        let first = urgent.open.iter().take(1).chain(urgent.asked.iter().take(1)).map(|(at, _)| *at).min();
        urgent.preempt |= first.is_none_or(|first| at < first) && at <= now + AT_ONCE;
        urgent.look_at = Some(now);
        if let Some(due) = urgent.pieces.get_mut(&piece) {
            let before = std::mem::replace(&mut due.at, at);
            let list =
                if urgent.open.remove(&(before, piece)) { &mut urgent.open } else { &mut urgent.asked };
            list.remove(&(before, piece));
            list.insert((at, piece));
            return true;
        }
        if urgent.pieces.len() >= MOST_URGENT {
            let last = urgent.open.last().max(urgent.asked.last()).copied();
            match last {
                Some((latest, last)) if latest > at => self.clear_deadline(now, last),
                _ => return false,
            }
        }
        let unwanted = !self.picker.is_wanted(piece);
        if unwanted {
            self.set_wanted(now, piece, NORMAL);
        }
        let partial = self.by_piece.get(&piece).and_then(|at| self.partials.get_mut(*at));
        let started = partial.map(|partial| partial.urgent = true).is_some();
        self.picker.set_state(piece, PieceState::Active);
        let urgent = self.urgent.get_or_insert_default();
        urgent.pieces.insert(piece, Due { at, started, asked_at: None, best: None, unwanted });
        urgent.open.insert((at, piece));
        urgent.unstarted += usize::from(!started);
        urgent.unwanted += usize::from(unwanted);
        true
    }

    /// Takes the deadline of a piece away; it is fetched as all others, or not any more if nobody wanted it before.
    pub fn clear_deadline(&mut self, now: Instant, piece: PieceIndex) {
        let Some(due) = self.forget_deadline(piece) else { return };
        if !due.started {
            self.picker.set_state(piece, PieceState::Wanted);
        }
        if due.unwanted {
            self.set_wanted(now, piece, 0);
        }
        self.news += 1;
        self.wake_at(now);
    }

    /// Takes all deadlines away.
    pub fn clear_deadlines(&mut self, now: Instant) {
        let pieces: Vec<PieceIndex> = self.deadlines().map(|(piece, _)| piece).collect();
        pieces.into_iter().for_each(|piece| self.clear_deadline(now, piece));
    }

    /// When a piece is needed, if it has a deadline.
    pub fn deadline_of(&self, piece: PieceIndex) -> Option<Instant> {
        self.urgent.as_ref().and_then(|urgent| urgent.pieces.get(&piece)).map(|due| due.at)
    }

    /// Pieces that are needed at a certain time and not there yet, in no order.
    pub fn deadlines(&self) -> impl Iterator<Item = (PieceIndex, Instant)> + '_ {
        self.urgent.iter().flat_map(|urgent| urgent.pieces.iter().map(|(piece, due)| (*piece, due.at)))
    }

    /// A piece that is needed soon is there: remembers how long that took.
    pub(super) fn urgent_done(&mut self, now: Instant, piece: PieceIndex) {
        let Some(urgent) = self.urgent.as_mut() else { return };
        if let Some(at) = urgent.pieces.get(&piece).and_then(|due| due.asked_at) {
            let took = now.saturating_duration_since(at).as_secs_f64();
            urgent.usual = Some(urgent.usual.map_or(took, |usual| usual * 0.75 + took * 0.25));
        }
        self.forget_deadline(piece);
    }

    /// Blocks of a piece can be asked for that could not be before.
    pub(super) fn urgent_again(&mut self, piece: PieceIndex) {
        let Some(urgent) = self.urgent.as_mut() else { return };
        let Some(due) = urgent.pieces.get_mut(&piece) else { return };
        due.asked_at = None;
        if urgent.asked.remove(&(due.at, piece)) {
            urgent.open.insert((due.at, piece));
        }
    }

    /// The piece has no partial any more and is not there: it is begun afresh.
    pub(super) fn urgent_afresh(&mut self, piece: PieceIndex) {
        self.urgent_again(piece);
        if let Some(urgent) = self.urgent.as_mut()
            && let Some(due) = urgent.pieces.get_mut(&piece)
        {
            urgent.unstarted += usize::from(std::mem::replace(&mut due.started, false));
            self.picker.set_state(piece, PieceState::Active);
        }
    }

    /// Pieces that nobody was asked for although they are needed soon.
    pub(super) fn urgent_unstarted(&self) -> usize {
        self.urgent.as_ref().map_or(0, |urgent| urgent.unstarted)
    }

    /// Whether a piece is kept for those who are in time.
    pub(super) fn is_urgent(&self, piece: PieceIndex) -> bool {
        self.urgent.as_ref().is_some_and(|urgent| urgent.pieces.contains_key(&piece))
    }

    /// Pieces that are missing and would not be fetched without their deadlines.
    pub(super) fn urgent_unwanted(&self) -> usize {
        self.urgent.as_ref().map_or(0, |urgent| urgent.unwanted)
    }

    /// Whether a piece is fetched for its deadline alone.
    pub(super) fn is_only_urgent(&self, piece: PieceIndex) -> bool {
        let urgent = self.urgent.as_ref().and_then(|urgent| urgent.pieces.get(&piece));
        urgent.is_some_and(|due| due.unwanted)
    }

    /// All priorities have changed: pieces with deadlines are fetched all the same.
    pub(super) fn urgent_reprioritised(&mut self) {
        let Some(urgent) = self.urgent.as_mut() else { return };
        for (piece, due) in &mut urgent.pieces {
            due.unwanted = !self.picker.is_wanted(*piece);
            if due.unwanted {
                self.picker.set_priority(*piece, NORMAL);
            }
        }
        urgent.unwanted = urgent.pieces.values().filter(|due| due.unwanted).count();
    }

    /// A block of the earliest piece that this peer has and can send in time.
    pub(super) fn urgent_block(
        &mut self,
        now: Instant,
        slot: usize,
        pool: &mut BufferPool,
    ) -> Option<(usize, BlockRequest)> {
        let urgent = self.urgent.as_ref()?;
        let peer = self.peers.get(slot)?;
        if urgent.open.is_empty() || peer.no_urgent_at == Some(self.news) {
            return None;
        }
        let (rate, parole) = (peer.down.at(now), self.sources.on_parole(peer.source));
        // A peer that sent nothing yet may be as good as any.
        let arrival = match peer.down.total() {
            0 => now + UNPROVEN,
            _ => now + seconds((peer.asked.len() + 1) as f64 * f64::from(BLOCK_LEN) / (rate + 1.0)),
        };
        let (mut full, mut found) = (Vec::new(), None);
        for &(at, piece) in &urgent.open {
            let partial = self.by_piece.get(&piece).and_then(|at| self.partials.get(*at));
            if partial.is_some_and(|p| p.free() == 0) {
                full.push((at, piece));
                continue;
            }
            let allowed = !peer.choking_us || peer.allowed_us.contains(&piece);
            // Who is on parole works alone, so that a failure shows who did it.
            let joins = partial.is_none_or(|p| p.allows(slot) && (!parole || p.owner == Some(slot)));
            let best = urgent.pieces.get(&piece).and_then(|due| due.best).unwrap_or(urgent.fastest);
            let in_time = rate * FAST_ENOUGH >= best || arrival <= at || now >= at + GRACE;
            if allowed && joins && in_time && peer.has.get(piece) {
                found = Some(piece);
                break;
            }
        }
        if let Some(urgent) = self.urgent.as_mut() {
            for (at, piece) in full {
                urgent.open.remove(&(at, piece));
                urgent.asked.insert((at, piece));
                if let Some(due) = urgent.pieces.get_mut(&piece) {
                    due.asked_at.get_or_insert(now);
                }
            }
        }
        let block = found.and_then(|piece| match self.by_piece.get(&piece).copied() {
            Some(at) => self.take_from(now, slot, at, pool),
            None => self.start_urgent(now, slot, parole, piece, pool),
        });
        if block.is_none()
            && let Some(peer) = self.peers.get_mut(slot)
        {
            peer.no_urgent_at = Some(self.news);
        }
        block
    }

    fn start_urgent(
        &mut self,
        now: Instant,
        slot: usize,
        parole: bool,
        piece: PieceIndex,
        pool: &mut BufferPool,
    ) -> Option<(usize, BlockRequest)> {
        if !pool.has_room(self.cfg.geometry.piece_size(piece).min(PART_LEN) as usize) {
            self.go_hungry(now);
            return None;
        }
        let again = self.retry.iter().position(|retry| *retry == piece);
        let fetch = self.next_fetch(piece);
        let mut partial = Partial::new(now, &self.cfg.geometry, fetch);
        if let Some(at) = again {
            self.retry.swap_remove(at);
        }
        // Anybody may join in, unless it must be clear who sent what.
        partial.exclusive = parole || again.is_some();
        partial.owner = partial.exclusive.then_some(slot);
        partial.urgent = true;
        let at = self.insert_partial(partial);
        if let Some(urgent) = self.urgent.as_mut()
            && let Some(due) = urgent.pieces.get_mut(&piece)
            && !std::mem::replace(&mut due.started, true)
        {
            urgent.unstarted -= 1;
        }
        self.take_from(now, slot, at, pool)
    }

    /// When to look after them again.
    pub(super) fn urgent_look(&self) -> Option<Instant> {
        self.urgent.as_ref().and_then(|urgent| urgent.look_at)
    }

    /// Makes room for what is needed at once, compares the peers, and asks others for what is late.
    pub(super) fn look_after_urgent(&mut self, now: Instant, pool: &mut BufferPool) {
        let Some(urgent) = self.urgent.as_mut() else { return };
        if urgent.look_at.is_some_and(|at| at > now) {
            return;
        }
        let givers = || self.peers.iter().map(|(_, peer)| peer).filter(|peer| !peer.choking_us);
        urgent.fastest = givers().map(|peer| peer.down.at(now)).fold(0.0, f64::max);
        // If only a slow one has it, nobody is waited for.
        for (_, piece) in urgent.open.iter().take(COMPARED) {
            if let Some(due) = urgent.pieces.get_mut(piece) {
                let have_it = givers().filter(|peer| peer.has.get(*piece));
                due.best = have_it.map(|peer| peer.down.at(now)).reduce(f64::max);
            }
        }
        if std::mem::take(&mut urgent.preempt) {
            self.preempt(now);
        }
        self.hasten(now, pool);
        // Who was too slow for a deadline may be fast enough for the one that is the first now.
        self.news += 1;
        let pause = if self.givers > 0 { LOOK } else { IDLE_LOOK };
        if let Some(urgent) = self.urgent.as_mut() {
            urgent.look_at = Some(now + pause);
        }
    }

    /// A peer serves us from now on: if something is needed at once, it comes before what was asked for until now.
    pub(super) fn urgent_giver(&mut self, now: Instant) {
        if let Some(urgent) = self.urgent.as_mut()
            && urgent.open.first().is_some_and(|(at, _)| *at <= now + AT_ONCE)
        {
            (urgent.preempt, urgent.look_at) = (true, Some(now));
            self.wake_at(now);
        }
    }

    /// Takes back requests for pieces without a deadline, but for the next blocks of each peer: they are on their way.
    fn preempt(&mut self, now: Instant) {
        let slots: Vec<usize> = self
            .peers
            .iter()
            .filter(|(_, peer)| peer.asked.len() > ON_THEIR_WAY)
            .map(|(slot, _)| slot)
            .collect();
        for slot in slots {
            let Some(peer) = self.peers.get_mut(slot) else { continue };
            let next = peer.asked.drain(..ON_THEIR_WAY).collect::<Vec<Asked>>();
            let rest = std::mem::take(&mut peer.asked);
            let (kept, void): (Vec<Asked>, Vec<Asked>) =
                rest.into_iter().partition(|asked| self.is_urgent(asked.block.piece));
            let Some(peer) = self.peers.get_mut(slot) else { continue };
            peer.asked.extend(next);
            peer.asked.extend(kept);
            peer.late = peer.late.saturating_add(void.len() as u32);
            peer.nothing_at = None;
            for asked in void {
                self.release_asked(slot, &asked);
                self.send(now, slot, &Message::Cancel(asked.block));
            }
        }
    }

    /// Asks a second peer for blocks of pieces whose time has come and that do not come.
    fn hasten(&mut self, now: Instant, pool: &mut BufferPool) {
        let Some(urgent) = self.urgent.as_ref() else { return };
        let usual = seconds(urgent.usual.unwrap_or(0.0));
        let patience = match self.pace {
            None => LEAST_PATIENCE.max(2 * usual).min(MOST_PATIENCE),
            // What is late may be held back by ourselves.
            Some(_) => MOST_PATIENCE,
        };
        let late: Vec<PieceIndex> = urgent
            .asked
            .iter()
            .take_while(|(at, _)| *at <= now)
            .filter(|(_, piece)| {
                let asked_at = urgent.pieces.get(piece).and_then(|due| due.asked_at);
                asked_at.is_some_and(|at| now.saturating_duration_since(at) >= patience)
            })
            .map(|(_, piece)| *piece)
            .take(LATE_PIECES)
            .collect();
        // One that only its owner may fetch, and that is not even asked for.
        let held: Vec<(Instant, PieceIndex)> = urgent.open.iter().take(LATE_PIECES).copied().collect();
        for (at, piece) in held {
            if now >= at + GRACE {
                self.open_to_all(piece);
            }
        }
        if late.is_empty() {
            return;
        }
        let mut helpers: Vec<(f64, usize)> = self
            .peers
            .iter()
            .filter(|(_, peer)| peer.interesting && !peer.choking_us && !peer.pipeline.is_snubbed())
            .filter(|(_, peer)| {
                peer.down.total() > 0 && !peer.is_unread() && !self.sources.on_parole(peer.source)
            })
            .map(|(slot, peer)| ((peer.asked.len() + 1) as f64 / (peer.down.at(now) + 1.0), slot))
            .collect();
        helpers.sort_by(|a, b| a.0.total_cmp(&b.0));
        let mut left = LATE_BLOCKS;
        for piece in late {
            self.open_to_all(piece);
            left -= self.ask_helpers(now, piece, &helpers, left, pool);
            if let Some(due) = self.urgent.as_mut().and_then(|urgent| urgent.pieces.get_mut(&piece)) {
                due.asked_at = Some(now);
            }
        }
    }

    /// Asks for at most `most` of the blocks that are missing of a piece; answers how many it were.
    fn ask_helpers(
        &mut self,
        now: Instant,
        piece: PieceIndex,
        helpers: &[(f64, usize)],
        most: usize,
        pool: &mut BufferPool,
    ) -> usize {
        let Some(&at) = self.by_piece.get(&piece) else { return 0 };
        let mut done = 0;
        for number in 0..self.cfg.geometry.block_count(piece) {
            let Some(partial) = self.partials.get(at) else { return done };
            let requests = partial.requests(number);
            if done >= most {
                break;
            }
            if partial.is_received(number) || requests == 0 || requests >= MOST_ASKED {
                continue;
            }
            let block = partial.block(number);
            let busy = |slot: usize| {
                self.peers.get(slot).is_none_or(|peer| {
                    !peer.has.get(piece)
                        || peer.asked.iter().any(|asked| asked.block == block)
                        || peer.arriving.is_some_and(|arriving| arriving.block == block)
                })
            };
            let Some(&(_, helper)) = helpers.iter().find(|(_, slot)| !busy(*slot)) else { continue };
            let Some(partial) = self.partials.get_mut(at) else { return done };
            if !partial.share(number, pool) {
                self.go_hungry(now);
                return done;
            }
            partial.ask(number);
            self.request(now, helper, at, block);
            done += 1;
        }
        done
    }

    /// A piece that one peer had to itself, to see whom to blame, is open to others: time matters more. The hashes of
    /// its blocks still tell.
    fn open_to_all(&mut self, piece: PieceIndex) {
        if let Some(&at) = self.by_piece.get(&piece)
            && let Some(partial) = self.partials.get_mut(at)
            && partial.exclusive
            && !partial.is_checking()
        {
            (partial.owner, partial.exclusive) = (None, false);
            self.urgent_again(piece);
        }
    }

    fn forget_deadline(&mut self, piece: PieceIndex) -> Option<Due> {
        let urgent = self.urgent.as_mut()?;
        let due = urgent.pieces.remove(&piece)?;
        urgent.open.remove(&(due.at, piece));
        urgent.asked.remove(&(due.at, piece));
        urgent.unstarted -= usize::from(!due.started);
        urgent.unwanted -= usize::from(due.unwanted);
        if let Some(partial) = self.by_piece.get(&piece).and_then(|at| self.partials.get_mut(*at)) {
            partial.urgent = false;
        }
        if urgent.pieces.is_empty() {
            self.urgent = None;
        }
        Some(due)
    }

    /// Gives one piece a priority and lets those know who have it. Costs as much as there are connections.
    fn set_wanted(&mut self, now: Instant, piece: PieceIndex, priority: u8) {
        let before = self.picker.is_wanted(piece);
        self.picker.set_priority(piece, priority);
        let after = self.picker.is_wanted(piece);
        if before == after {
            return;
        }
        if after && self.picker.missing() == 1 {
            // Those who have everything were of no use before, and were parted from.
            self.candidates.recall(now);
        }
        let slots: Vec<usize> = self.peers.iter().map(|(slot, _)| slot).collect();
        for slot in slots {
            let Some(peer) = self.peers.get_mut(slot).filter(|peer| peer.has.get(piece)) else { continue };
            peer.wanted = if after { peer.wanted + 1 } else { peer.wanted.saturating_sub(1) };
            self.update_interest(now, slot);
        }
    }

    /// Compares what is counted with what there is to count, for tests.
    pub(super) fn assert_urgent_consistent(&self) {
        let Some(urgent) = &self.urgent else { return };
        assert!(!urgent.pieces.is_empty(), "nothing urgent is kept");
        assert_eq!(urgent.open.len() + urgent.asked.len(), urgent.pieces.len());
        let mut unstarted = 0;
        for (piece, due) in &urgent.pieces {
            let key = (due.at, *piece);
            assert!(
                urgent.open.contains(&key) != urgent.asked.contains(&key),
                "piece {piece} is in one list"
            );
            let partial = self.by_piece.get(piece).and_then(|at| self.partials.get(*at));
            assert_eq!(partial.is_some(), due.started, "piece {piece} is begun");
            assert!(partial.is_none_or(|partial| partial.urgent));
            assert!(self.picker.is_wanted(*piece) || self.is_doubted(*piece), "piece {piece} is fetched");
            let waits = partial.is_none_or(|partial| partial.free() > 0);
            assert!(!waits || urgent.open.contains(&key), "piece {piece} has free blocks");
            unstarted += usize::from(!due.started);
        }
        assert_eq!(urgent.unstarted, unstarted);
        assert_eq!(urgent.unwanted, urgent.pieces.values().filter(|due| due.unwanted).count());
    }
}

fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or(NEVER).min(NEVER)
}

/// Pieces that can have a deadline at a time: enough for 16 MiB ahead in the shortest usual pieces, and few enough to
/// be looked through.
const MOST_URGENT: usize = 1024;

/// What is needed so soon does not wait behind what is not.
const AT_ONCE: Duration = Duration::from_secs(2);

/// Requests of each peer that are not taken back: what was asked for first has left the other side already.
const ON_THEIR_WAY: usize = 4;

/// A peer is fast enough for everything if it has this part of the rate of the fastest.
const FAST_ENOUGH: f64 = 4.0;

/// The fastest peer is known for so many of the first pieces, for the others only that of all.
const COMPARED: usize = 16;

/// A peer that sent nothing yet is expected to need this long.
const UNPROVEN: Duration = Duration::from_secs(5);

/// After a deadline has passed for so long, the slowest peer is better than none.
const GRACE: Duration = Duration::from_secs(1);

/// How often peers are compared and late blocks looked for while there are deadlines; less often if nobody sends.
const LOOK: Duration = Duration::from_millis(250);
const IDLE_LOOK: Duration = Duration::from_secs(1);

/// A block is late twice the usual time after the last of its piece was asked for, within these bounds.
const LEAST_PATIENCE: Duration = Duration::from_millis(500);
const MOST_PATIENCE: Duration = Duration::from_secs(5);

/// Late pieces and blocks looked after at a time, and most peers asked for one block.
const LATE_PIECES: usize = 8;
const LATE_BLOCKS: usize = 64;
const MOST_ASKED: u8 = 3;

/// Longer than anybody waits, and short enough to be added to any time.
const NEVER: Duration = Duration::from_secs(365 * 24 * 3600);
