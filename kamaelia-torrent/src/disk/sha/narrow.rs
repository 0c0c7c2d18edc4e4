//! One or two messages by the processor's instructions for SHA-1.
//!
//! The instructions for the rounds each wait for the one before; those for the message schedule go through the same unit
//! and hold the rounds up. So the schedule is done by ordinary vector instructions, which other units take: a sixth less
//! time than [`sha1`] needs. A second message fills what is left of the waiting: another sixth.

use multiversion::multiversion;
use sha1::block_api;

use super::BLOCK;

/// Takes blocks of one message, by whatever the processor does best.
// The longer list comes first: rotation of vectors is one instruction there.
#[multiversion(
    targets("x86_64+sha+ssse3+sse4.1+avx+avx512f+avx512vl", "x86_64+sha+ssse3+sse4.1+avx"),
    dispatcher = "direct"
)]
pub(super) fn one(state: &mut [u32; 5], blocks: &[[u8; BLOCK]]) {
    use multiversion::target::match_target;
    match_target! {
        "x86_64+sha+ssse3+sse4.1+avx" => {
            let mut states = [*state];
            rounds!(1, &mut states, [blocks]);
            [*state] = states;
        },
        _ => block_api::compress(state, blocks),
    }
}

/// Takes blocks of two messages, as many as the shorter has.
// Without AVX: where there are registers of 256 bits, LLVM puts the ordinary instructions of both messages together in one,
// and each SHA instruction after that, which leaves the upper half alone, waits for it. That is 150 times slower.
#[multiversion(targets("x86_64+sha+ssse3+sse4.1"), dispatcher = "direct")]
pub(super) fn two(states: &mut [[u32; 5]; 2], blocks: [&[[u8; BLOCK]]; 2]) {
    use multiversion::target::match_target;
    match_target! {
        "x86_64+sha+ssse3+sse4.1" => rounds!(2, states, blocks),
        _ => {
            let len = blocks[0].len().min(blocks[1].len());
            for (state, blocks) in states.iter_mut().zip(blocks) {
                block_api::compress(state, &blocks[..len]);
            }
        }
    }
}

/// Whether two at a time are faster than one after the other.
#[multiversion(targets("x86_64+sha+ssse3+sse4.1"), dispatcher = "direct")]
pub(super) fn two_pay() -> bool {
    use multiversion::target::match_target;
    match_target! { "x86_64+sha+ssse3+sse4.1" => true, _ => false }
}

/// The compression function for a number of messages side by side. A macro, for only within a function that is compiled
/// for them may these instructions be used without further ado.
#[cfg(target_arch = "x86_64")]
macro_rules! rounds {
    ($lanes:literal, $states:expr, $blocks:expr) => {{
        use std::arch::x86_64::{
            __m128i, _mm_add_epi32, _mm_alignr_epi8, _mm_extract_epi32, _mm_or_si128, _mm_set_epi32,
            _mm_set_epi64x, _mm_setzero_si128, _mm_sha1msg1_epu32, _mm_sha1msg2_epu32, _mm_sha1nexte_epu32,
            _mm_sha1rnds4_epu32, _mm_shuffle_epi8, _mm_slli_epi32, _mm_srli_epi32, _mm_xor_si128,
        };
        const LANES: usize = $lanes;
        let states: &mut [[u32; 5]; LANES] = $states;
        let blocks: [&[[u8; BLOCK]]; LANES] = $blocks;
        let len = blocks.iter().map(|blocks| blocks.len()).min().unwrap_or(0);
        let blocks = blocks.map(|blocks| &blocks[..len]);
        // The instructions want the first word in the highest place.
        let order = _mm_set_epi64x(0x0001_0203_0405_0607, 0x0809_0a0b_0c0d_0e0f);
        let zero = _mm_setzero_si128();
        let (mut abcd, mut e) = ([zero; LANES], [zero; LANES]);
        for l in 0..LANES {
            let [a, b, c, d, last] = states[l].map(u32::cast_signed);
            abcd[l] = _mm_set_epi32(a, b, c, d);
            e[l] = _mm_set_epi32(last, 0, 0, 0);
        }
        for n in 0..len {
            let mut w: [[__m128i; LANES]; 20] = [[zero; LANES]; 20];
            for l in 0..LANES {
                let words = blocks[l][n].as_chunks::<8>().0;
                for i in 0..4 {
                    let low = i64::from_le_bytes(words[2 * i]);
                    let high = i64::from_le_bytes(words[2 * i + 1]);
                    w[i][l] = _mm_shuffle_epi8(_mm_set_epi64x(high, low), order);
                }
            }
            let (abcd_before, e_before) = (abcd, e);
            let mut before = abcd;
            for l in 0..LANES {
                abcd[l] = _mm_sha1rnds4_epu32::<0>(abcd[l], _mm_add_epi32(e[l], w[0][l]));
            }
            macro_rules! four_rounds {
                ($function:literal, $i:expr) => {
                    // The schedule is three steps ahead, no more: the registers do not hold all of it.
                    let t = $i + 3;
                    for l in 0..LANES {
                        if t < 8 {
                            // The last of these four words needs the first: only the special instructions do that well.
                            let sum = _mm_xor_si128(_mm_sha1msg1_epu32(w[t - 4][l], w[t - 3][l]), w[t - 2][l]);
                            w[t][l] = _mm_sha1msg2_epu32(sum, w[t - 1][l]);
                        } else if t < 20 {
                            // The rule applied to itself: a word depends on none of the five before it.
                            // w[t] = (w[t-6] ^ w[t-16] ^ w[t-28] ^ w[t-32]) rotated by 2, here in fours.
                            let near = _mm_alignr_epi8::<8>(w[t - 2][l], w[t - 1][l]);
                            let near = _mm_xor_si128(near, w[t - 4][l]);
                            let sum = _mm_xor_si128(near, _mm_xor_si128(w[t - 7][l], w[t - 8][l]));
                            w[t][l] = _mm_or_si128(_mm_slli_epi32::<2>(sum), _mm_srli_epi32::<30>(sum));
                        }
                    }
                    for l in 0..LANES {
                        let next = _mm_sha1nexte_epu32(before[l], w[$i][l]);
                        before[l] = abcd[l];
                        abcd[l] = _mm_sha1rnds4_epu32::<$function>(abcd[l], next);
                    }
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
            for l in 0..LANES {
                e[l] = _mm_sha1nexte_epu32(before[l], e_before[l]);
                abcd[l] = _mm_add_epi32(abcd[l], abcd_before[l]);
            }
        }
        for l in 0..LANES {
            let words = [
                _mm_extract_epi32::<3>(abcd[l]),
                _mm_extract_epi32::<2>(abcd[l]),
                _mm_extract_epi32::<1>(abcd[l]),
                _mm_extract_epi32::<0>(abcd[l]),
                _mm_extract_epi32::<3>(e[l]),
            ];
            states[l] = words.map(i32::cast_unsigned);
        }
    }};
}
#[cfg(target_arch = "x86_64")]
use rounds;
