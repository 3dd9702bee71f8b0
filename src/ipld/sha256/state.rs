//! What a hash is made of.

/// What a hash is between two blocks.
pub(in super::super) type State = [u32; 8];

/// The length of a block.
pub(in super::super) const BLOCK: usize = 64;

/// What a hash is before the first block.
pub(in super::super) const INITIAL: State = [
    0x6a09_e667,
    0xbb67_ae85,
    0x3c6e_f372,
    0xa54f_f53a,
    0x510e_527f,
    0x9b05_688c,
    0x1f83_d9ab,
    0x5be0_cd19,
];
