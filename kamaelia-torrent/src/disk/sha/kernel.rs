//! The kernels by name, so that a benchmark can take each by itself.

use std::array;

use sha1::block_api;

use super::{BLOCK, narrow, wide};

/// A way to compute SHA-1 of several messages at once.
///
/// Not for programs: it is how a benchmark sees what each costs.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum HashKernel {
    /// The crate `sha1`, one message.
    Crate,
    /// The processor's instructions for SHA-1, one message.
    One,
    /// The same, two messages.
    Two,
    /// The lanes of AVX-512, sixteen messages.
    Sixteen,
}

impl HashKernel {
    /// All that this processor has.
    pub fn all() -> Vec<HashKernel> {
        use HashKernel::{Crate, One, Sixteen, Two};
        let special = if narrow::two_pay() { &[One, Two][..] } else { &[] };
        let wide = if wide::available() { &[Sixteen][..] } else { &[] };
        [&[Crate][..], special, wide].concat()
    }

    /// Messages side by side.
    pub fn messages(self) -> usize {
        match self {
            HashKernel::Crate | HashKernel::One => 1,
            HashKernel::Two => 2,
            HashKernel::Sixteen => wide::LANES,
        }
    }

    /// Takes all whole blocks of `data`, as the blocks of so many messages of equal length, and answers with something that
    /// depends on all of them.
    pub fn run(self, data: &[u8]) -> u32 {
        let blocks = data.as_chunks::<BLOCK>().0;
        let len = blocks.len() / self.messages();
        let message = |l: usize| &blocks[l * len..(l + 1) * len];
        let state = [1, 2, 3, 4, 5];
        let states: [[u32; 5]; wide::LANES] = match self {
            HashKernel::Crate | HashKernel::One => {
                let mut state = state;
                let take = if self == HashKernel::One { narrow::one } else { block_api::compress };
                take(&mut state, blocks);
                [state; wide::LANES]
            }
            HashKernel::Two => {
                let mut states = [state; 2];
                narrow::two(&mut states, array::from_fn(message));
                array::from_fn(|l| states[l % 2])
            }
            HashKernel::Sixteen => {
                let mut states = array::from_fn(|i| [state[i]; wide::LANES]);
                wide::sixteen(&mut states, array::from_fn(message));
                array::from_fn(|l| states.map(|words| words[l]))
            }
        };
        states.as_flattened().iter().fold(0, |all, word| all.rotate_left(1) ^ word)
    }
}
