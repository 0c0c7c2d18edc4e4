//! Sixteen messages in the lanes of AVX-512.
//!
//! A register holds the same word of all messages, so that nothing has to wait: each lane costs less than half of what
//! one message costs by the instructions for SHA-1. All sixteen cost the same however few are used.

use multiversion::multiversion;
use sha1::block_api;

use super::BLOCK;

/// Messages side by side.
pub(super) const LANES: usize = 16;

/// States of all messages: word by word, of each message in turn.
pub(super) type States = [[u32; LANES]; 5];

/// Whether the processor can do it.
#[multiversion(targets("x86_64+avx+avx2+avx512f+avx512vl+avx512bw"), dispatcher = "direct")]
pub(super) fn available() -> bool {
    use multiversion::target::match_target;
    match_target! { "x86_64+avx+avx2+avx512f+avx512vl+avx512bw" => true, _ => false }
}

/// Takes blocks of sixteen messages, as many as the shortest has.
#[multiversion(targets("x86_64+avx+avx2+avx512f+avx512vl+avx512bw"), dispatcher = "direct")]
pub(super) fn sixteen(states: &mut States, blocks: [&[[u8; BLOCK]]; LANES]) {
    use multiversion::target::match_target;
    match_target! {
        "x86_64+avx+avx2+avx512f+avx512vl+avx512bw" => lanes!(states, blocks),
        _ => {
            let len = blocks.iter().map(|blocks| blocks.len()).min().unwrap_or(0);
            for (l, blocks) in blocks.into_iter().enumerate() {
                let mut state = states.map(|word| word[l]);
                block_api::compress(&mut state, &blocks[..len]);
                states.iter_mut().zip(state).for_each(|(words, word)| words[l] = word);
            }
        }
    }
}

/// The compression function in all lanes. A macro, for only within a function that is compiled for them may these
/// instructions be used without further ado.
#[cfg(target_arch = "x86_64")]
macro_rules! lanes {
    ($states:expr, $blocks:expr) => {{
        use std::arch::x86_64::{
            _mm_extract_epi32, _mm512_add_epi32, _mm512_extracti32x4_epi32, _mm512_rol_epi32,
            _mm512_set_epi32, _mm512_set_epi64, _mm512_set1_epi32, _mm512_setzero_si512, _mm512_shuffle_epi8,
            _mm512_shuffle_i32x4, _mm512_ternarylogic_epi32, _mm512_unpackhi_epi32, _mm512_unpackhi_epi64,
            _mm512_unpacklo_epi32, _mm512_unpacklo_epi64, _mm512_xor_si512,
        };
        macro_rules! of_words {
            ($words:expr) => {{
                let w: [u32; LANES] = $words;
                let w = w.map(u32::cast_signed);
                _mm512_set_epi32(
                    w[15], w[14], w[13], w[12], w[11], w[10], w[9], w[8], w[7], w[6], w[5], w[4], w[3], w[2],
                    w[1], w[0],
                )
            }};
        }
        macro_rules! load {
            ($block:expr) => {{
                let w = $block.as_chunks::<8>().0;
                let w: [i64; 8] = std::array::from_fn(|i| i64::from_le_bytes(w[i]));
                _mm512_set_epi64(w[7], w[6], w[5], w[4], w[3], w[2], w[1], w[0])
            }};
        }
        let states: &mut States = $states;
        let blocks: [&[[u8; BLOCK]]; LANES] = $blocks;
        let len = blocks.iter().map(|blocks| blocks.len()).min().unwrap_or(0);
        let blocks = blocks.map(|blocks| &blocks[..len]);
        // Reverses the bytes of each word.
        let (high, low) = (0x0c0d_0e0f_0809_0a0b, 0x0405_0607_0001_0203);
        let order = _mm512_set_epi64(high, low, high, low, high, low, high, low);
        let mut sums = [_mm512_setzero_si512(); 5];
        for i in 0..5 {
            sums[i] = of_words!(states[i]);
        }
        for n in 0..len {
            // A row is a block; what the rounds want is the columns. First within fours of words and fours of rows ...
            let mut rows = [_mm512_setzero_si512(); 16];
            for l in 0..16 {
                rows[l] = _mm512_shuffle_epi8(load!(blocks[l][n]), order);
            }
            let mut twos = rows;
            for i in 0..8 {
                twos[2 * i] = _mm512_unpacklo_epi32(rows[2 * i], rows[2 * i + 1]);
                twos[2 * i + 1] = _mm512_unpackhi_epi32(rows[2 * i], rows[2 * i + 1]);
            }
            let mut fours = twos;
            for i in (0..16).step_by(4) {
                fours[i] = _mm512_unpacklo_epi64(twos[i], twos[i + 2]);
                fours[i + 1] = _mm512_unpackhi_epi64(twos[i], twos[i + 2]);
                fours[i + 2] = _mm512_unpacklo_epi64(twos[i + 1], twos[i + 3]);
                fours[i + 3] = _mm512_unpackhi_epi64(twos[i + 1], twos[i + 3]);
            }
            // ... then these: quarter q of fours[4 * i + j] has word 4 * q + j of rows 4 * i to 4 * i + 3.
            let mut w = fours;
            for j in 0..4 {
                let even = _mm512_shuffle_i32x4::<0x88>(fours[j], fours[4 + j]);
                let odd = _mm512_shuffle_i32x4::<0xdd>(fours[j], fours[4 + j]);
                let even_below = _mm512_shuffle_i32x4::<0x88>(fours[8 + j], fours[12 + j]);
                let odd_below = _mm512_shuffle_i32x4::<0xdd>(fours[8 + j], fours[12 + j]);
                w[j] = _mm512_shuffle_i32x4::<0x88>(even, even_below);
                w[4 + j] = _mm512_shuffle_i32x4::<0x88>(odd, odd_below);
                w[8 + j] = _mm512_shuffle_i32x4::<0xdd>(even, even_below);
                w[12 + j] = _mm512_shuffle_i32x4::<0xdd>(odd, odd_below);
            }
            let [mut a, mut b, mut c, mut d, mut e] = sums;
            macro_rules! round {
                ($t:expr, $function:literal, $constant:literal) => {
                    let t = $t;
                    if t >= 16 {
                        let x = (w[(t + 13) & 15], w[(t + 8) & 15], w[(t + 2) & 15]);
                        let x = _mm512_ternarylogic_epi32::<0x96>(x.0, x.1, x.2);
                        w[t & 15] = _mm512_rol_epi32::<1>(_mm512_xor_si512(x, w[t & 15]));
                    }
                    let f = _mm512_ternarylogic_epi32::<$function>(b, c, d);
                    let constant = _mm512_set1_epi32(u32::cast_signed($constant));
                    let sum = _mm512_add_epi32(_mm512_add_epi32(w[t & 15], constant), e);
                    let sum = _mm512_add_epi32(_mm512_rol_epi32::<5>(a), _mm512_add_epi32(sum, f));
                    (a, b, c, d, e) = (sum, a, _mm512_rol_epi32::<30>(b), c, d);
                };
            }
            // The functions by their tables of truth: choice, parity, majority, parity.
            for t in 0..20 {
                round!(t, 0xca, 0x5a82_7999);
            }
            for t in 20..40 {
                round!(t, 0x96, 0x6ed9_eba1);
            }
            for t in 40..60 {
                round!(t, 0xe8, 0x8f1b_bcdc);
            }
            for t in 60..80 {
                round!(t, 0x96, 0xca62_c1d6);
            }
            let rounds = [a, b, c, d, e];
            for i in 0..5 {
                sums[i] = _mm512_add_epi32(sums[i], rounds[i]);
            }
        }
        for i in 0..5 {
            let quarters = [
                _mm512_extracti32x4_epi32::<0>(sums[i]),
                _mm512_extracti32x4_epi32::<1>(sums[i]),
                _mm512_extracti32x4_epi32::<2>(sums[i]),
                _mm512_extracti32x4_epi32::<3>(sums[i]),
            ];
            for q in 0..4 {
                let words = [
                    _mm_extract_epi32::<0>(quarters[q]),
                    _mm_extract_epi32::<1>(quarters[q]),
                    _mm_extract_epi32::<2>(quarters[q]),
                    _mm_extract_epi32::<3>(quarters[q]),
                ];
                states[i][4 * q..4 * q + 4].copy_from_slice(&words.map(i32::cast_unsigned));
            }
        }
    }};
}
#[cfg(target_arch = "x86_64")]
use lanes;
