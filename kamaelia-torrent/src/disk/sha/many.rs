//! Several messages at once, by the kernel that suits their number.

use std::cmp::Reverse;

use super::{BLOCK, Sha1, narrow, take, wide};

/// A hash in the making and the bytes that come next.
#[derive(Debug)]
pub(crate) struct Message<'a> {
    pub(crate) sha: &'a mut Sha1,
    pub(crate) data: &'a [u8],
}

/// Takes the next bytes of several hashes, which may be of different lengths. The messages are put into another order.
pub(crate) fn update_many(messages: &mut [Message<'_>]) {
    for message in &mut *messages {
        message.data = message.sha.top_up(message.data);
    }
    let mut rest = &mut *messages;
    loop {
        // Always those that have most left, so that the last ones are as many as can be.
        rest.sort_unstable_by_key(|message| Reverse(message.blocks().len()));
        let left = rest.partition_point(|message| !message.blocks().is_empty());
        rest = &mut rest[..left];
        match lanes_for(left) {
            0 => break,
            1 => rest[0].one(),
            2 => two(rest),
            most => sixteen(&mut rest[..left.min(most)]),
        }
    }
    for message in messages {
        message.sha.keep(message.data);
    }
}

impl<'a> Message<'a> {
    fn blocks(&self) -> &'a [[u8; BLOCK]] {
        self.data.as_chunks().0
    }

    /// Says that so many blocks were taken.
    fn advance(&mut self, blocks: usize) {
        self.data = &self.data[blocks * BLOCK..];
    }

    fn one(&mut self) {
        let blocks = self.blocks();
        take(&mut self.sha.state, blocks);
        self.advance(blocks.len());
    }
}

/// Messages that are taken together best on this processor: 16, 2 or 1.
pub(crate) fn lanes() -> usize {
    // Also in builds that leave the work to `sha1`, so that their tests go the same ways.
    match (wide::available(), narrow::two_pay()) {
        (true, _) => wide::LANES,
        (false, true) => 2,
        (false, false) => 1,
    }
}

/// How many messages are best taken together when there are so many.
fn lanes_for(messages: usize) -> usize {
    if messages >= WIDE_PAYS && super::own_kernels() && wide::available() {
        wide::LANES
    } else if messages >= 2 && super::own_kernels() && narrow::two_pay() {
        2
    } else {
        messages.min(1)
    }
}

/// The first two, in order of length, until the second ends.
fn two(messages: &mut [Message<'_>]) {
    let [one, other, ..] = messages else { return };
    let len = other.blocks().len();
    let mut states = [one.sha.state, other.sha.state];
    narrow::two(&mut states, [one.blocks(), other.blocks()]);
    [one.sha.state, other.sha.state] = states;
    one.advance(len);
    other.advance(len);
}

/// At most sixteen, in order of length, until the last ends.
fn sixteen(messages: &mut [Message<'_>]) {
    let Some(last) = messages.last() else { return };
    let len = last.blocks().len();
    // Lanes for which there is no message do somebody else's work over again.
    let mut blocks = [last.blocks(); wide::LANES];
    let mut states = [[0; wide::LANES]; 5];
    for (l, message) in messages.iter().enumerate() {
        blocks[l] = message.blocks();
        states.iter_mut().zip(message.sha.state).for_each(|(words, word)| words[l] = word);
    }
    wide::sixteen(&mut states, blocks);
    for (l, message) in messages.iter_mut().enumerate() {
        message.sha.state = states.map(|words| words[l]);
        message.advance(len);
    }
}

/// From so many messages on, sixteen lanes are faster than pairs.
const WIDE_PAYS: usize = 9;
