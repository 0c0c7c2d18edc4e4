//! Which torrents a client reports on in a tick.
//!
//! The original sends the figures of every started torrent in every tick (TO-CLI-06). With ten thousand torrents of
//! which most are idle that would be the client's main work, so here a tick reports on
//!
//! * those to which something happened since the last tick, and those whose rates have not faded to 0 yet, and
//! * [`IN_TURN`] of the others, in turn.
//!
//! With up to [`IN_TURN`] torrents that is every one of them in every tick, as it was.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound::{Excluded, Unbounded};

use crate::engine::TorrentId;

/// Picks the torrents of each tick.
#[derive(Debug, Default)]
pub(super) struct Updates {
    /// Torrents whose figures change although nothing happens.
    fading: BTreeSet<TorrentId>,
    /// The last one that had its turn.
    last: Option<TorrentId>,
}

impl Updates {
    /// The torrents to report on now, in order of their numbers: of those that changed, and of the others, as far as
    /// they are `running`.
    pub(super) fn due<T>(
        &mut self,
        changed: Vec<TorrentId>,
        running: &BTreeMap<TorrentId, T>,
    ) -> BTreeSet<TorrentId> {
        let mut due = std::mem::take(&mut self.fading);
        due.extend(changed);
        due.retain(|id| running.contains_key(id));
        let after = self.last.map_or(Unbounded, Excluded);
        let round = running.range((after, Unbounded)).chain(running.range(..)).map(|(id, _)| *id);
        for id in round.take(IN_TURN.min(running.len())) {
            due.insert(id);
            self.last = Some(id);
        }
        due
    }

    /// The torrent has rates: it is due again in the next tick.
    pub(super) fn fades(&mut self, id: TorrentId) {
        self.fading.insert(id);
    }
}

/// Torrents that get a report in each tick although nothing happened to them.
const IN_TURN: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    fn running(count: u32) -> BTreeMap<TorrentId, ()> {
        (1..=count).map(|n| (TorrentId(n), ())).collect()
    }

    #[test]
    fn to_cli_06_a_few_torrents_are_all_reported_each_tick_in_order() {
        let (mut updates, running) = (Updates::default(), running(64));
        for _ in 0..3 {
            let due: Vec<_> = updates.due(Vec::new(), &running).into_iter().collect();
            assert_eq!(due, (1..=64).map(TorrentId).collect::<Vec<_>>());
        }
        assert!(updates.due(Vec::new(), &BTreeMap::<TorrentId, ()>::new()).is_empty());
    }

    #[test]
    fn many_torrents_are_reported_when_they_change_and_else_in_turn() {
        let (mut updates, running) = (Updates::default(), running(10_000));
        let mut seen = BTreeSet::new();
        for tick in 0..157 {
            let due = updates.due(vec![TorrentId(9_999), TorrentId(77_777)], &running);
            assert!(due.contains(&TorrentId(9_999)) && !due.contains(&TorrentId(77_777)));
            assert!(due.len() <= 65, "{} in tick {tick}", due.len());
            seen.extend(due);
        }
        assert_eq!(seen.len(), 10_000, "each had its turn");
        updates.fades(TorrentId(5));
        updates.last = Some(TorrentId(500));
        assert!(updates.due(Vec::new(), &running).contains(&TorrentId(5)));
        updates.last = Some(TorrentId(500));
        assert!(!updates.due(Vec::new(), &running).contains(&TorrentId(5)));
    }
}
