//! SHA-1 of long data: what a download, a check and the making of a torrent spend most of their time with.
//!
//! Hashing is work for a library, and on processors without special instructions it is left to [`sha1`]. Where there are
//! some, [`narrow`] takes one message or two and [`wide`] sixteen; [`many`] chooses.

mod kernel;
mod many;
mod narrow;
mod wide;

use sha1::block_api;

pub use kernel::HashKernel;
pub(crate) use many::{Message, lanes, update_many};

/// A hash in the making.
#[derive(Clone, Debug)]
pub(crate) struct Sha1 {
    state: [u32; 5],
    /// The start of a block that is not full.
    rest: [u8; BLOCK],
    /// Bytes taken so far, all in all.
    len: u64,
}

impl Sha1 {
    /// The hash of nothing.
    pub(crate) fn new() -> Sha1 {
        Sha1 {
            state: [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476, 0xc3d2_e1f0],
            rest: [0; BLOCK],
            len: 0,
        }
    }

    /// The hash of `data`.
    pub(crate) fn digest(data: &[u8]) -> [u8; 20] {
        let mut sha = Sha1::new();
        sha.update(data);
        sha.finalize()
    }

    /// Takes the next bytes.
    pub(crate) fn update(&mut self, data: &[u8]) {
        let data = self.top_up(data);
        let (blocks, tail) = data.as_chunks();
        if !blocks.is_empty() {
            take(&mut self.state, blocks);
        }
        self.keep(tail);
    }

    /// Counts the bytes and takes as many as the block that was begun has room for; answers with those behind them.
    fn top_up<'d>(&mut self, data: &'d [u8]) -> &'d [u8] {
        let held = self.held();
        self.len = self.len.wrapping_add(data.len() as u64);
        if held == 0 {
            return data;
        }
        let (head, tail) = data.split_at(data.len().min(BLOCK - held));
        self.rest[held..held + head.len()].copy_from_slice(head);
        if held + head.len() == BLOCK {
            take(&mut self.state, &[self.rest]);
        }
        tail
    }

    /// Keeps what is not a whole block. They were counted before.
    fn keep(&mut self, tail: &[u8]) {
        self.rest[..tail.len()].copy_from_slice(tail);
    }

    /// The hash of all that was taken.
    pub(crate) fn finalize(mut self) -> [u8; 20] {
        let bits = self.len.wrapping_mul(8);
        let held = self.held();
        let mut last = [[0; BLOCK]; 2];
        let bytes = last.as_flattened_mut();
        bytes[..held].copy_from_slice(&self.rest[..held]);
        bytes[held] = 0x80;
        let end = if held + 1 + 8 <= BLOCK { BLOCK } else { 2 * BLOCK };
        bytes[end - 8..end].copy_from_slice(&bits.to_be_bytes());
        take(&mut self.state, &last[..end / BLOCK]);
        let mut hash = [0; 20];
        for (place, word) in hash.as_chunks_mut::<4>().0.iter_mut().zip(self.state) {
            *place = word.to_be_bytes();
        }
        hash
    }

    /// Bytes of `rest` that count.
    fn held(&self) -> usize {
        (self.len % BLOCK as u64) as usize
    }
}

/// Takes whole blocks of one message.
fn take(state: &mut [u32; 5], blocks: &[[u8; BLOCK]]) {
    if own_kernels() { narrow::one(state, blocks) } else { block_api::compress(state, blocks) }
}

/// Without optimisation each vector instruction is a call; `sha1` is optimised even then. The tests here want to know what
/// the released program does.
const fn own_kernels() -> bool {
    cfg!(any(not(debug_assertions), test))
}

/// Bytes hashed at a time.
const BLOCK: usize = 64;

#[cfg(test)]
mod tests {
    use sha1::Digest;

    use super::*;

    #[test]
    fn hashes_of_the_standard() {
        let hex = |hash: [u8; 20]| hash.map(|byte| format!("{byte:02x}")).concat();
        assert_eq!(hex(Sha1::digest(b"")), "da39a3ee5e6b4b0d3255bfef95601890afd80709");
        assert_eq!(hex(Sha1::digest(b"abc")), "a9993e364706816aba3e25717850c26c9cd0d89d");
        let million = vec![b'a'; 1_000_000];
        assert_eq!(hex(Sha1::digest(&million)), "34aa973cd4c4daa4f61eeb2bdbad27316534016f");
    }

    #[test]
    fn any_length_in_any_pieces_gives_what_the_reference_gives() {
        let mut rng = fastrand::Rng::with_seed(7);
        let data: Vec<u8> = (0..1000).map(|_| rng.u8(..)).collect();
        for len in 0..data.len() {
            let data = &data[..len];
            let mut sha = Sha1::new();
            let mut at = 0;
            while at < len {
                let n = rng.usize(..=(len - at).min(200));
                sha.update(&data[at..at + n]);
                at += n;
            }
            let expected: [u8; 20] = sha1::Sha1::digest(data).into();
            assert_eq!(sha.finalize(), expected, "{len} bytes");
            assert_eq!(Sha1::digest(data), expected, "{len} bytes at once");
        }
    }

    /// The reference for the kernels: what other processors use.
    fn expected(state: [u32; 5], blocks: &[[u8; BLOCK]]) -> [u32; 5] {
        let mut state = state;
        block_api::compress(&mut state, blocks);
        state
    }

    /// States and blocks of some messages, no two of them alike; each has one block more than the one before it.
    fn messages<const N: usize>() -> ([[u32; 5]; N], [Vec<[u8; BLOCK]>; N]) {
        let mut rng = fastrand::Rng::with_seed(3);
        let states = std::array::from_fn(|_| std::array::from_fn(|_| rng.u32(..)));
        (states, std::array::from_fn(|l| (0..3 + l).map(|_| std::array::from_fn(|_| rng.u8(..))).collect()))
    }

    #[test]
    fn one_message_agrees_with_the_reference() {
        let ([mut state], [blocks]) = messages();
        let expected = expected(state, &blocks);
        narrow::one(&mut state, &blocks);
        assert_eq!(state, expected);
    }

    #[test]
    fn each_of_two_messages_agrees_with_the_reference_up_to_the_end_of_the_shorter() {
        let (states, blocks) = messages::<2>();
        for [one, other] in [[0, 1], [1, 0]] {
            let mut got = [states[one], states[other]];
            narrow::two(&mut got, [&blocks[one], &blocks[other]]);
            assert_eq!(got[0], expected(states[one], &blocks[one][..3]));
            assert_eq!(got[1], expected(states[other], &blocks[other][..3]));
        }
    }

    #[test]
    fn each_of_sixteen_messages_agrees_with_the_reference_up_to_the_end_of_the_shortest() {
        let (states, blocks) = messages::<{ wide::LANES }>();
        let mut got = std::array::from_fn(|i| states.map(|state| state[i]));
        wide::sixteen(&mut got, std::array::from_fn(|l| &blocks[l][..]));
        for l in 0..wide::LANES {
            assert_eq!(got.map(|word| word[l]), expected(states[l], &blocks[l][..3]), "lane {l}");
        }
    }

    #[test]
    fn any_number_of_messages_of_any_lengths_gives_what_the_reference_gives() {
        let mut rng = fastrand::Rng::with_seed(11);
        for count in 0..=40 {
            let data: Vec<Vec<u8>> =
                (0..count).map(|_| (0..rng.usize(..600)).map(|_| rng.u8(..)).collect()).collect();
            let mut hashes = vec![Sha1::new(); count];
            let mut at = vec![0; count];
            // In portions of different lengths, so that all begin with different parts of a block.
            while (0..count).any(|i| at[i] < data[i].len()) {
                let portions: Vec<&[u8]> = (0..count)
                    .map(|i| {
                        let start = at[i];
                        at[i] += rng.usize(..=(data[i].len() - start).min(300));
                        &data[i][start..at[i]]
                    })
                    .collect();
                let mut messages: Vec<Message<'_>> =
                    hashes.iter_mut().zip(portions).map(|(sha, data)| Message { sha, data }).collect();
                update_many(&mut messages);
            }
            for (sha, data) in hashes.into_iter().zip(&data) {
                let expected: [u8; 20] = sha1::Sha1::digest(data).into();
                assert_eq!(sha.finalize(), expected, "{count} messages, {} bytes", data.len());
            }
        }
    }

    #[test]
    fn messages_of_equal_length_give_what_the_reference_gives() {
        for count in [1, 2, 3, 8, 9, 15, 16, 17, 33] {
            let data: Vec<Vec<u8>> = (0..count).map(|i| vec![i as u8; 1024]).collect();
            let mut hashes = vec![Sha1::new(); count];
            let mut messages: Vec<Message<'_>> =
                hashes.iter_mut().zip(&data).map(|(sha, data)| Message { sha, data }).collect();
            update_many(&mut messages);
            for (sha, data) in hashes.into_iter().zip(&data) {
                let expected: [u8; 20] = sha1::Sha1::digest(data).into();
                assert_eq!(sha.finalize(), expected, "{count} messages");
            }
        }
    }
}
