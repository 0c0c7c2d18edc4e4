//! Whose turn it is: the order of the torrents, and how many of them may check, download and seed at a time.
//!
//! The order is that in which torrents were added until somebody changes it. For each [`Activity`] there is a lane with
//! a limit: the torrents at the front are active, the others wait. A torrent that is paused or has failed keeps its
//! place in the order but is in no lane. Every change costs as much as the logarithm of the number of torrents; nothing
//! is looked through when time passes.

use std::collections::BTreeMap;

/// What a torrent waits to do, or does.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Activity {
    /// Hash the data that is there.
    Check,
    /// Fetch what is missing.
    Download,
    /// Share what is complete.
    Seed,
}

/// How many torrents may do something at a time; `None`: all of them, 0: none.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct QueueLimits {
    /// Torrents that download.
    pub downloads: Option<usize>,
    /// Torrents that seed.
    pub seeds: Option<usize>,
    /// Checks of existing data; each uses all disk workers.
    pub checks: Option<usize>,
}

/// Where a torrent is in the queue.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum Seat {
    /// In no lane: paused, failed, stopping, or nothing is known of its data yet.
    Out,
    /// It waits for its turn.
    Waiting(Activity),
    /// It has its turn. One that is slow is not `counted`, so that others may start beside it.
    Active { activity: Activity, counted: bool },
}

/// What has to follow from a change.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum Move {
    /// This torrent has its turn now.
    Start(usize),
    /// This torrent has to wait again.
    Rest(usize),
}

/// The order and the lanes; torrents are named by their place in the engine's table.
#[derive(Debug)]
pub(super) struct Queue {
    order: BTreeMap<i64, usize>,
    lanes: [Lane; 3],
}

#[derive(Debug)]
struct Lane {
    limit: Option<usize>,
    waiting: BTreeMap<i64, usize>,
    /// Active torrents that count.
    counted: BTreeMap<i64, usize>,
}

impl Queue {
    pub(super) fn new(limits: QueueLimits) -> Queue {
        let lane = |limit| Lane { limit, waiting: BTreeMap::new(), counted: BTreeMap::new() };
        let lanes = [limits.checks, limits.downloads, limits.seeds].map(lane);
        Queue { order: BTreeMap::new(), lanes }
    }

    pub(super) fn limits(&self) -> QueueLimits {
        let [checks, downloads, seeds] = [0, 1, 2].map(|lane: usize| self.lanes[lane].limit);
        QueueLimits { downloads, seeds, checks }
    }

    /// To be followed by [`next_move`](Queue::next_move) for every activity.
    pub(super) fn set_limits(&mut self, limits: QueueLimits) {
        for (lane, limit) in self.lanes.iter_mut().zip([limits.checks, limits.downloads, limits.seeds]) {
            lane.limit = limit;
        }
    }

    pub(super) fn is_limited(&self, activity: Activity) -> bool {
        self.lanes[activity as usize].limit.is_some()
    }

    /// Adds a torrent at the end and tells its rank: a number that is smaller the sooner its turn comes.
    pub(super) fn push(&mut self, t: usize) -> i64 {
        let rank = self.order.last_key_value().map_or(0, |(last, _)| last.saturating_add(GAP));
        self.order.insert(rank, t);
        rank
    }

    /// Forgets a torrent.
    pub(super) fn remove(&mut self, rank: i64) {
        self.leave(rank);
        self.order.remove(&rank);
    }

    /// Torrents before this one. Costs as much as there are.
    pub(super) fn position(&self, rank: i64) -> usize {
        self.order.range(..rank).count()
    }

    /// Moves a torrent, which must be in no lane, to a position (0: the front; beyond the end: the end). Gives its new
    /// rank; `None` if there is no room between its neighbours, see [`renumber`](Queue::renumber).
    pub(super) fn place(&mut self, rank: i64, position: usize) -> Option<i64> {
        let t = self.order.remove(&rank)?;
        let mut after = self.order.keys().copied().skip(position.saturating_sub(1));
        let before = if position == 0 { None } else { after.next() };
        let next = after.next();
        let new = match (before, next) {
            _ if position > self.order.len() => self.order.last_key_value().map_or(0, |(k, _)| k + GAP),
            (None, None) => 0,
            (None, Some(next)) => next - GAP,
            (Some(before), None) => before + GAP,
            (Some(before), Some(next)) => before + (next - before) / 2,
        };
        if self.order.contains_key(&new) {
            self.order.insert(rank, t);
            return None;
        }
        self.order.insert(new, t);
        Some(new)
    }

    /// Spreads the ranks evenly again; `tell` learns the new rank of each torrent.
    pub(super) fn renumber(&mut self, mut tell: impl FnMut(usize, i64)) {
        let mut new = BTreeMap::new();
        for (i, (old, t)) in std::mem::take(&mut self.order).into_iter().enumerate() {
            let rank = i as i64 * GAP;
            new.insert(old, rank);
            self.order.insert(rank, t);
            tell(t, rank);
        }
        for lane in &mut self.lanes {
            for map in [&mut lane.waiting, &mut lane.counted] {
                *map = std::mem::take(map)
                    .into_iter()
                    .filter_map(|(old, t)| Some((*new.get(&old)?, t)))
                    .collect();
            }
        }
    }

    /// Puts a torrent among those that wait.
    pub(super) fn wait(&mut self, activity: Activity, rank: i64, t: usize) {
        self.lanes[activity as usize].waiting.insert(rank, t);
    }

    /// Counts a torrent among the active ones.
    pub(super) fn count(&mut self, activity: Activity, rank: i64, t: usize) {
        self.lanes[activity as usize].counted.insert(rank, t);
    }

    /// Takes a torrent out of every lane.
    pub(super) fn leave(&mut self, rank: i64) {
        for lane in &mut self.lanes {
            lane.waiting.remove(&rank);
            lane.counted.remove(&rank);
        }
    }

    /// The next thing that has to change so that those at the front are active and as many as may be. To be called
    /// until it gives `None`.
    pub(super) fn next_move(&mut self, activity: Activity) -> Option<Move> {
        let lane = &mut self.lanes[activity as usize];
        let limit = lane.limit.unwrap_or(usize::MAX);
        let first = lane.waiting.first_key_value().map(|(rank, _)| *rank);
        let overtaken = || {
            let last = lane.counted.last_key_value().map(|(rank, _)| *rank);
            // A check that was begun is brought to its end: there is little to be won by stopping it.
            activity != Activity::Check && first.zip(last).is_some_and(|(first, last)| first < last)
        };
        if lane.counted.len() > limit || (lane.counted.len() == limit && overtaken()) {
            let (rank, t) = lane.counted.pop_last()?;
            lane.waiting.insert(rank, t);
            return Some(Move::Rest(t));
        }
        if lane.counted.len() < limit {
            let (rank, t) = lane.waiting.pop_first()?;
            lane.counted.insert(rank, t);
            return Some(Move::Start(t));
        }
        None
    }
}

/// Distance between the ranks of neighbours: room to put others between them about thirty times.
const GAP: i64 = 1 << 30;

#[cfg(test)]
mod tests {
    use super::*;

    fn queue(downloads: Option<usize>) -> Queue {
        Queue::new(QueueLimits { downloads, seeds: None, checks: Some(1) })
    }

    fn moves(queue: &mut Queue, activity: Activity) -> Vec<Move> {
        std::iter::from_fn(|| queue.next_move(activity)).collect()
    }

    fn in_order(queue: &Queue) -> Vec<usize> {
        queue.order.values().copied().collect()
    }

    #[test]
    fn those_at_the_front_start_and_the_next_follows_when_one_leaves() {
        let mut q = queue(Some(2));
        let ranks: Vec<i64> = (0..4).map(|t| q.push(t)).collect();
        for t in [3, 1, 0, 2] {
            q.wait(Activity::Download, ranks[t], t);
        }
        assert_eq!(moves(&mut q, Activity::Download), [Move::Start(0), Move::Start(1)]);
        q.leave(ranks[0]);
        assert_eq!(moves(&mut q, Activity::Download), [Move::Start(2)]);
    }

    #[test]
    fn who_comes_to_the_front_takes_the_turn_of_the_last_but_never_of_a_check() {
        for (activity, expected) in
            [(Activity::Download, vec![Move::Rest(0), Move::Start(1)]), (Activity::Check, vec![])]
        {
            let mut q = queue(Some(1));
            let ranks = [q.push(0), q.push(1)];
            q.wait(activity, ranks[0], 0);
            assert_eq!(moves(&mut q, activity), [Move::Start(0)]);
            let front = q.place(ranks[1], 0).unwrap();
            q.wait(activity, front, 1);
            assert_eq!(moves(&mut q, activity), expected);
        }
    }

    #[test]
    fn a_lower_limit_sends_the_last_back_and_zero_sends_all() {
        let mut q = queue(None);
        for t in 0..3 {
            let rank = q.push(t);
            q.wait(Activity::Download, rank, t);
        }
        assert_eq!(moves(&mut q, Activity::Download).len(), 3);
        q.set_limits(QueueLimits { downloads: Some(1), ..q.limits() });
        assert_eq!(moves(&mut q, Activity::Download), [Move::Rest(2), Move::Rest(1)]);
        q.set_limits(QueueLimits { downloads: Some(0), ..q.limits() });
        assert_eq!(moves(&mut q, Activity::Download), [Move::Rest(0)]);
    }

    #[test]
    fn any_position_can_be_taken_again_and_again() {
        let mut q = queue(None);
        let mut ranks: Vec<i64> = (0..5).map(|t| q.push(t)).collect();
        let mut expected: Vec<usize> = (0..5).collect();
        // Many moves between the same neighbours use up the room there.
        for round in 0..500 {
            let (t, to) = (round % 5, [1, 2, 0, 9, 3, 4][round % 6]);
            let rank = match q.place(ranks[t], to) {
                Some(rank) => rank,
                None => {
                    q.renumber(|t, rank| ranks[t] = rank);
                    q.place(ranks[t], to).unwrap()
                }
            };
            ranks[t] = rank;
            expected.retain(|other| *other != t);
            expected.insert(to.min(4), t);
            assert_eq!(in_order(&q), expected);
            assert_eq!(q.position(rank), to.min(4));
        }
    }
}
