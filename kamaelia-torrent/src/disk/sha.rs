//! SHA-1 of long data: what a download, a check and the making of a torrent spend most of their time with.
//!
//! The instructions for SHA-1 do the rounds at a speed that nothing can help: each waits for the one before. Those for
//! its message schedule go through the same unit and hold the rounds up, so here the schedule is done by ordinary
//! vector instructions, which other units take: a sixth less time than [`sha1`] needs, on processors that have them.
//! On all others the work is left to [`sha1`].

use multiversion::multiversion;
use sha1::block_api;

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
    pub(crate) fn update(&mut self, mut data: &[u8]) {
        let held = self.held();
        self.len = self.len.wrapping_add(data.len() as u64);
        if held > 0 {
            let (head, tail) = data.split_at(data.len().min(BLOCK - held));
            self.rest[held..held + head.len()].copy_from_slice(head);
            data = tail;
            if held + head.len() < BLOCK {
                return;
            }
            take(&mut self.state, &[self.rest]);
        }
        let (blocks, tail) = data.as_chunks::<BLOCK>();
        if !blocks.is_empty() {
            take(&mut self.state, blocks);
        }
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

/// Takes whole blocks.
fn take(state: &mut [u32; 5], blocks: &[[u8; BLOCK]]) {
    // Without optimisation each vector instruction is a call; `sha1` is optimised even then. The tests here want to know
    // what the released program does.
    if cfg!(all(debug_assertions, not(test))) {
        block_api::compress(state, blocks);
    } else {
        compress(state, blocks);
    }
}

/// The compression function, by whatever the processor does best.
// The longer list comes first: rotation of vectors is one instruction there.
#[multiversion(
    targets("x86_64+sha+ssse3+sse4.1+avx+avx512f+avx512vl", "x86_64+sha+ssse3+sse4.1+avx"),
    dispatcher = "direct"
)]
fn compress(state: &mut [u32; 5], blocks: &[[u8; BLOCK]]) {
    use multiversion::target::match_target;
    match_target! {
        "x86_64+sha+ssse3+sse4.1+avx" => rounds!(state, blocks),
        _ => block_api::compress(state, blocks),
    }
}

/// The same by vector instructions. A macro, for only within `compress` may these instructions be used without further ado.
#[cfg(target_arch = "x86_64")]
macro_rules! rounds {
    ($state:expr, $blocks:expr) => {{
        use std::arch::x86_64::{
            __m128i, _mm_add_epi32, _mm_alignr_epi8, _mm_extract_epi32, _mm_or_si128, _mm_set_epi32,
            _mm_set_epi64x, _mm_setzero_si128, _mm_sha1msg1_epu32, _mm_sha1msg2_epu32, _mm_sha1nexte_epu32,
            _mm_sha1rnds4_epu32, _mm_shuffle_epi8, _mm_slli_epi32, _mm_srli_epi32, _mm_xor_si128,
        };
        let state: &mut [u32; 5] = $state;
        // The instructions want the first word in the highest place.
        let order = _mm_set_epi64x(0x0001_0203_0405_0607, 0x0809_0a0b_0c0d_0e0f);
        let [a, b, c, d, e] = state.map(u32::cast_signed);
        let mut abcd = _mm_set_epi32(a, b, c, d);
        let mut e = _mm_set_epi32(e, 0, 0, 0);
        for block in $blocks {
            let words = block.as_chunks::<8>().0;
            let mut w: [__m128i; 20] = [_mm_setzero_si128(); 20];
            for i in 0..4 {
                let low = i64::from_le_bytes(words[2 * i]);
                let high = i64::from_le_bytes(words[2 * i + 1]);
                w[i] = _mm_shuffle_epi8(_mm_set_epi64x(high, low), order);
            }
            // The last of these four words needs the first: only the special instructions do that well.
            for i in 4..8 {
                let sum = _mm_xor_si128(_mm_sha1msg1_epu32(w[i - 4], w[i - 3]), w[i - 2]);
                w[i] = _mm_sha1msg2_epu32(sum, w[i - 1]);
            }
            // From here on the rule can be applied to itself: a word depends on none of the five before it.
            // w[t] = (w[t-6] ^ w[t-16] ^ w[t-28] ^ w[t-32]) rotated by 2.
            for i in 8..20 {
                let near = _mm_xor_si128(_mm_alignr_epi8::<8>(w[i - 2], w[i - 1]), w[i - 4]);
                let sum = _mm_xor_si128(near, _mm_xor_si128(w[i - 7], w[i - 8]));
                w[i] = _mm_or_si128(_mm_slli_epi32::<2>(sum), _mm_srli_epi32::<30>(sum));
            }
            let (abcd_before, e_before) = (abcd, e);
            let mut before = abcd;
            abcd = _mm_sha1rnds4_epu32::<0>(abcd, _mm_add_epi32(e, w[0]));
            macro_rules! four_rounds {
                ($function:literal, $i:expr) => {
                    let next = _mm_sha1nexte_epu32(before, w[$i]);
                    before = abcd;
                    abcd = _mm_sha1rnds4_epu32::<$function>(abcd, next);
                };
            }
            for i in 1..5 {
                four_rounds!(0, i);
            }
            for i in 5..10 {
                four_rounds!(1, i);
            }
            for i in 10..15 {
                four_rounds!(2, i);
            }
            for i in 15..20 {
                four_rounds!(3, i);
            }
            e = _mm_sha1nexte_epu32(before, e_before);
            abcd = _mm_add_epi32(abcd, abcd_before);
        }
        let words = [
            _mm_extract_epi32::<3>(abcd),
            _mm_extract_epi32::<2>(abcd),
            _mm_extract_epi32::<1>(abcd),
            _mm_extract_epi32::<0>(abcd),
            _mm_extract_epi32::<3>(e),
        ];
        *state = words.map(i32::cast_unsigned);
    }};
}
#[cfg(target_arch = "x86_64")]
use rounds;

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

    #[test]
    fn what_other_processors_use_agrees() {
        let blocks: Vec<[u8; BLOCK]> = (0..9u8).map(|i| [i.wrapping_mul(77); BLOCK]).collect();
        let (mut here, mut elsewhere) = ([1, 2, 3, 4, u32::MAX], [1, 2, 3, 4, u32::MAX]);
        compress(&mut here, &blocks);
        block_api::compress(&mut elsewhere, &blocks);
        assert_eq!(here, elsewhere);
    }
}
