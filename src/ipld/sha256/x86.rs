//! Two messages at once, by the SHA extensions of x86.

use std::arch::x86_64::{
    __m128i, _mm_add_epi32, _mm_alignr_epi8, _mm_blend_epi16, _mm_extract_epi32, _mm_set_epi32,
    _mm_set_epi64x, _mm_sha256msg1_epu32, _mm_sha256msg2_epu32, _mm_sha256rnds2_epu32,
    _mm_shuffle_epi8, _mm_shuffle_epi32,
};

use super::state::{BLOCK, State};

/// The constants of the rounds (FIPS 180-4, 4.2.2).
#[rustfmt::skip]
const ROUNDS: [u32; 64] = [
    0x428a_2f98, 0x7137_4491, 0xb5c0_fbcf, 0xe9b5_dba5, 0x3956_c25b, 0x59f1_11f1,
    0x923f_82a4, 0xab1c_5ed5, 0xd807_aa98, 0x1283_5b01, 0x2431_85be, 0x550c_7dc3,
    0x72be_5d74, 0x80de_b1fe, 0x9bdc_06a7, 0xc19b_f174, 0xe49b_69c1, 0xefbe_4786,
    0x0fc1_9dc6, 0x240c_a1cc, 0x2de9_2c6f, 0x4a74_84aa, 0x5cb0_a9dc, 0x76f9_88da,
    0x983e_5152, 0xa831_c66d, 0xb003_27c8, 0xbf59_7fc7, 0xc6e0_0bf3, 0xd5a7_9147,
    0x06ca_6351, 0x1429_2967, 0x27b7_0a85, 0x2e1b_2138, 0x4d2c_6dfc, 0x5338_0d13,
    0x650a_7354, 0x766a_0abb, 0x81c2_c92e, 0x9272_2c85, 0xa2bf_e8a1, 0xa81a_664b,
    0xc24b_8b70, 0xc76c_51a3, 0xd192_e819, 0xd699_0624, 0xf40e_3585, 0x106a_a070,
    0x19a4_c116, 0x1e37_6c08, 0x2748_774c, 0x34b0_bcb5, 0x391c_0cb3, 0x4ed8_aa4a,
    0x5b9c_ca4f, 0x682e_6ff3, 0x748f_82ee, 0x78a5_636f, 0x84c8_7814, 0x8cc7_0208,
    0x90be_fffa, 0xa450_6ceb, 0xbef9_a3f7, 0xc671_78f2,
];

/// Tells whether the processor has what the rest is compiled for.
pub(super) fn is_supported() -> bool {
    is_x86_feature_detected!("sha")
        && is_x86_feature_detected!("ssse3")
        && is_x86_feature_detected!("sse4.1")
}

/// Takes the next blocks of both messages.
#[target_feature(enable = "sha,ssse3,sse4.1")]
pub(super) fn compress(states: [&mut State; 2], blocks: &[[u8; BLOCK]]) {
    let [first, second] = states;
    let (mut one, mut two) = (Words::load(first), Words::load(second));
    for block in blocks {
        let before = (one, two);
        let mut schedule = [0, 1, 2, 3].map(|quarter| message(block, quarter));
        for group in 0..16 {
            let [now, next, _, last] = schedule;
            let sum = _mm_add_epi32(now, words(&ROUNDS, 4 * group));
            let rest = _mm_shuffle_epi32::<0x0e>(sum);
            // Each of the two has to wait for its own result, and does so while the other goes on.
            one.cdgh = _mm_sha256rnds2_epu32(one.cdgh, one.abef, sum);
            two.cdgh = _mm_sha256rnds2_epu32(two.cdgh, two.abef, sum);
            one.abef = _mm_sha256rnds2_epu32(one.abef, one.cdgh, rest);
            two.abef = _mm_sha256rnds2_epu32(two.abef, two.cdgh, rest);
            let middle = _mm_alignr_epi8::<4>(last, schedule[2]);
            let mixed = _mm_add_epi32(_mm_sha256msg1_epu32(now, next), middle);
            schedule = [next, schedule[2], last, _mm_sha256msg2_epu32(mixed, last)];
        }
        one = one.plus(before.0);
        two = two.plus(before.1);
    }
    *first = one.store();
    *second = two.store();
}

/// A state in the order in which the instructions want it.
#[derive(Clone, Copy)]
struct Words {
    abef: __m128i,
    cdgh: __m128i,
}

impl Words {
    #[target_feature(enable = "sha,ssse3,sse4.1")]
    fn load(state: &State) -> Self {
        let cdab = _mm_shuffle_epi32::<0xb1>(words(state, 0));
        let hgfe = _mm_shuffle_epi32::<0x1b>(words(state, 4));
        Self { abef: _mm_alignr_epi8::<8>(cdab, hgfe), cdgh: _mm_blend_epi16::<0xf0>(hgfe, cdab) }
    }

    #[target_feature(enable = "sha,ssse3,sse4.1")]
    fn store(self) -> State {
        let feba = _mm_shuffle_epi32::<0x1b>(self.abef);
        let dchg = _mm_shuffle_epi32::<0xb1>(self.cdgh);
        let low = _mm_blend_epi16::<0xf0>(feba, dchg);
        let high = _mm_alignr_epi8::<8>(dchg, feba);
        let words = [
            _mm_extract_epi32::<0>(low),
            _mm_extract_epi32::<1>(low),
            _mm_extract_epi32::<2>(low),
            _mm_extract_epi32::<3>(low),
            _mm_extract_epi32::<0>(high),
            _mm_extract_epi32::<1>(high),
            _mm_extract_epi32::<2>(high),
            _mm_extract_epi32::<3>(high),
        ];
        words.map(i32::cast_unsigned)
    }

    #[target_feature(enable = "sha,ssse3,sse4.1")]
    fn plus(self, other: Self) -> Self {
        Self {
            abef: _mm_add_epi32(self.abef, other.abef),
            cdgh: _mm_add_epi32(self.cdgh, other.cdgh),
        }
    }
}

/// Reads four words, the first of them lowest.
#[target_feature(enable = "sha,ssse3,sse4.1")]
fn words(of: &[u32], start: usize) -> __m128i {
    let word = |index: usize| of[start + index].cast_signed();
    _mm_set_epi32(word(3), word(2), word(1), word(0))
}

/// Reads four words of a message, which are big-endian.
#[target_feature(enable = "sha,ssse3,sse4.1")]
fn message(block: &[u8; BLOCK], quarter: usize) -> __m128i {
    let halves = block.as_chunks::<8>().0;
    let half = |index: usize| i64::from_le_bytes(halves[2 * quarter + index]);
    let order = _mm_set_epi64x(0x0c0d_0e0f_0809_0a0b, 0x0405_0607_0001_0203);
    _mm_shuffle_epi8(_mm_set_epi64x(half(1), half(0)), order)
}
