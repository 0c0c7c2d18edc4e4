//! Which worker has which piece.
//!
//! All parts of a piece go to the same worker, so that they are hashed in order and nothing of an earlier fetching is
//! written over a later one. Which worker that is, is decided when the first part comes: one worker that has much to do
//! hashes more pieces side by side, and its data stays in its caches; so the others get something only when it falls behind.

use std::collections::HashMap;

use super::StorageKey;
use crate::proto::geometry::{Fetch, PieceIndex};

/// A piece of a torrent.
type Key = (StorageKey, PieceIndex);

/// The pieces that are with the workers, and how much each of these has to do.
#[derive(Debug)]
pub(super) struct Shifts {
    pieces: HashMap<Key, Piece>,
    /// Parts that were not answered for, by worker.
    load: Vec<usize>,
}

#[derive(Debug)]
struct Piece {
    worker: usize,
    /// Which fetching of it the newest part was of.
    attempt: u64,
    /// Parts that were not answered for.
    parts: usize,
    /// No more parts will come, unless it is fetched anew.
    over: bool,
}

impl Shifts {
    pub(super) fn new(workers: usize) -> Shifts {
        Shifts { pieces: HashMap::new(), load: vec![0; workers] }
    }

    /// Who gets pieces that nobody has. If the disk is slow, all are to wait for it at the same time.
    pub(super) fn worker_for_more(&self, slow: bool) -> usize {
        let ready = self.load.iter().position(|load| *load < BUSY && !slow);
        let least = || (0..self.load.len()).min_by_key(|worker| self.load[*worker]);
        ready.or_else(least).unwrap_or(0)
    }

    /// Who gets a part of a piece; if nobody has the piece, `fresh` does.
    pub(super) fn part(&mut self, of: StorageKey, fetch: Fetch, last: bool, fresh: usize) -> usize {
        let new = Piece { worker: fresh, attempt: 0, parts: 0, over: false };
        let piece = self.pieces.entry((of, fetch.piece)).or_insert(new);
        piece.parts += 1;
        (piece.attempt, piece.over) = (fetch.attempt, last);
        self.load[piece.worker] += 1;
        piece.worker
    }

    /// A part was answered for, perhaps with a judgement of the piece.
    pub(super) fn answered(&mut self, of: StorageKey, fetch: Fetch, judged: bool) {
        let key = (of, fetch.piece);
        let Some(piece) = self.pieces.get_mut(&key) else { return };
        piece.parts = piece.parts.saturating_sub(1);
        piece.over |= judged && piece.attempt == fetch.attempt;
        let load = &mut self.load[piece.worker];
        *load = load.saturating_sub(1);
        if piece.over && piece.parts == 0 {
            self.pieces.remove(&key);
        }
    }

    /// A piece is given up; answers who is to know that.
    pub(super) fn given_up(&mut self, key: Key) -> Option<usize> {
        let piece = self.pieces.get_mut(&key)?;
        let worker = piece.worker;
        piece.over = true;
        if piece.parts == 0 {
            self.pieces.remove(&key);
        }
        Some(worker)
    }

    /// All pieces of a torrent are given up.
    pub(super) fn forget(&mut self, torrent: StorageKey) {
        self.pieces.retain(|(of, _), piece| {
            piece.over |= *of == torrent;
            !piece.over || piece.parts > 0
        });
    }
}

/// With so many parts to do (6 MiB, half of the usual memory), a worker gets no more pieces while another has less.
const BUSY: usize = 48;

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: StorageKey = StorageKey(1);

    fn piece(n: u32) -> Fetch {
        PieceIndex(n).into()
    }

    #[test]
    fn one_worker_gets_all_until_it_falls_behind() {
        let mut shifts = Shifts::new(2);
        for n in 0..BUSY as u32 {
            assert_eq!(shifts.worker_for_more(false), 0, "{n}");
            assert_eq!(shifts.worker_for_more(true), usize::from(n > 0), "{n}");
            assert_eq!(shifts.part(ONE, piece(n), false, 0), 0);
        }
        assert_eq!(shifts.worker_for_more(false), 1);
        (100..101 + BUSY as u32).for_each(|n| assert_eq!(shifts.part(ONE, piece(n), false, 1), 1));
        assert_eq!(shifts.worker_for_more(false), 0, "both are busy, the other more so");
    }

    #[test]
    fn a_piece_stays_where_it_is_while_anything_of_it_is_under_way() {
        let mut shifts = Shifts::new(2);
        let (first, again) = (piece(0), Fetch { attempt: 7, ..piece(0) });
        assert_eq!(shifts.part(ONE, first, false, 0), 0);
        shifts.answered(ONE, first, false);
        assert_eq!(shifts.part(ONE, first, false, 1), 0, "it is not through");
        assert_eq!(shifts.given_up((ONE, first.piece)), Some(0));
        assert_eq!(
            shifts.part(ONE, again, false, 1),
            0,
            "of the earlier fetching a part is still to be written"
        );
        shifts.answered(ONE, first, true);
        shifts.answered(ONE, again, false);
        assert_eq!(shifts.part(ONE, again, true, 1), 0, "what was judged is another fetching");
        shifts.answered(ONE, again, true);
        assert_eq!((shifts.pieces.len(), &shifts.load[..]), (0, &[0, 0][..]));
        assert_eq!(shifts.part(ONE, first, false, 1), 1);
        assert_eq!(shifts.given_up((ONE, PieceIndex(1))), None);
        shifts.answered(ONE, first, false);
        assert_eq!((shifts.given_up((ONE, first.piece)), shifts.pieces.len()), (Some(1), 0));
    }

    #[test]
    fn a_torrent_that_rests_is_forgotten_as_soon_as_all_is_answered() {
        let mut shifts = Shifts::new(1);
        let other = StorageKey(2);
        for (of, n) in [(ONE, 0), (ONE, 1), (other, 0)] {
            shifts.part(of, piece(n), false, 0);
        }
        shifts.answered(ONE, piece(1), false);
        shifts.forget(ONE);
        assert_eq!(shifts.pieces.len(), 2);
        shifts.answered(ONE, piece(0), false);
        assert_eq!(shifts.pieces.keys().collect::<Vec<_>>(), [&(other, PieceIndex(0))]);
    }
}
