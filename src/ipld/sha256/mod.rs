//! SHA-256 (FIPS 180-4) of two messages whose blocks are the same although their beginnings differ, such
//! as a file and the leaf of it that is being read.
//!
//! The rounds of one message wait for each other most of the time. Where the processor has
//! instructions for them, those of two messages fill each other's gaps, and one message schedule
//! serves both, so that two hashes take the time of one.

mod state;
#[cfg(target_arch = "x86_64")]
mod x86;

use sha2::block_api::compress256;

pub(super) use state::{BLOCK, INITIAL, State};

/// Takes the next blocks of both messages.
pub(super) fn compress(states: [&mut State; 2], blocks: &[[u8; BLOCK]]) {
    #[cfg(target_arch = "x86_64")]
    if x86::is_supported() {
        #[expect(unsafe_code, reason = "no safe code can call what not every processor has")]
        // SAFETY: the processor was just checked for all that the function is compiled for.
        unsafe {
            x86::compress(states, blocks);
        }
        return;
    }
    for state in states {
        compress256(state, blocks);
    }
}

/// Returns the digest of a message of that length whose last bytes, less than a block, are still to
/// be taken.
pub(super) fn finish(mut state: State, rest: &[u8], length: u64) -> [u8; 32] {
    let mut blocks = [[0; BLOCK]; 2];
    let bytes = blocks.as_flattened_mut();
    bytes[..rest.len()].copy_from_slice(rest);
    bytes[rest.len()] = 0x80;
    // The mark and the number of bits have to fit in.
    let count = if rest.len() + 1 + 8 <= BLOCK { 1 } else { 2 };
    bytes[count * BLOCK - 8..count * BLOCK].copy_from_slice(&(length * 8).to_be_bytes());
    compress256(&mut state, &blocks[..count]);
    let mut digest = [0; 32];
    for (bytes, word) in digest.as_chunks_mut().0.iter_mut().zip(state) {
        *bytes = word.to_be_bytes();
    }
    digest
}

#[cfg(test)]
mod tests {
    use sha2::{Digest, Sha256};

    use super::*;

    #[test]
    fn two_messages_with_the_same_end_are_hashed_at_once() {
        let bytes: Vec<u8> = (0..251).cycle().take(18 * BLOCK).collect();
        let (blocks, _) = bytes.as_chunks();
        let (other, blocks) = blocks.split_at(1);
        for count in [0, 1, 2, 3, 17] {
            let blocks = &blocks[..count];
            let (mut plain, mut behind) = (INITIAL, INITIAL);
            compress256(&mut behind, other);
            compress([&mut plain, &mut behind], blocks);
            let bytes = blocks.as_flattened();
            let length = bytes.len() as u64;
            assert_eq!(finish(plain, &[], length), *Sha256::digest(bytes), "{count} blocks");
            let bytes = [other.as_flattened(), bytes].concat();
            assert_eq!(finish(behind, &[], length + 64), *Sha256::digest(&bytes), "{count} blocks");
        }
    }

    #[test]
    fn a_message_may_end_anywhere_in_a_block() {
        for length in 0..BLOCK {
            let rest = vec![0xa5; length];
            assert_eq!(finish(INITIAL, &rest, length as u64), *Sha256::digest(&rest), "{length}");
        }
    }
}
