//! What an upload needs to be gone on with by whatever process.

use sha2::{Digest, Sha256};

use crate::ipld::file::{CHUNK_SIZE, Spine, TwinHasher};

/// The form of a checkpoint.
const VERSION: u8 = 1;

/// How many bytes of its own hash a checkpoint begins with, after the version.
const CHECK: usize = 16;

/// Where an upload stands: all of it is on the node, under names that begin with the upload's.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Checkpoint {
    /// Both hashes of what has arrived.
    pub(super) hasher: TwinHasher,
    /// The tree above the whole chunks.
    pub(super) spine: Spine,
    /// The sha-256 of the chunk that is not whole, a block of its own; none where every chunk is.
    pub(super) rest: Option<[u8; 32]>,
    /// The name that was staged last for it.
    pub(super) staged: String,
}

impl Checkpoint {
    /// Where an upload begins.
    pub(super) fn beginning() -> Self {
        Self { hasher: TwinHasher::new(), spine: Spine::new(), rest: None, staged: String::new() }
    }

    /// Version, check, hasher, rest, name and spine; at most 150 KB.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut body = Vec::new();
        for part in [&self.hasher.to_bytes()[..], self.staged.as_bytes()] {
            body.push(u8::try_from(part.len()).expect("hasher and name are short"));
            body.extend_from_slice(part);
        }
        body.push(u8::from(self.rest.is_some()));
        body.extend_from_slice(&self.rest.unwrap_or_default());
        body.extend_from_slice(&self.spine.to_bytes());
        let mut bytes = vec![VERSION];
        bytes.extend_from_slice(&Sha256::digest(&body)[..CHECK]);
        bytes.extend_from_slice(&body);
        bytes
    }

    /// Reads a checkpoint of an upload of which that many bytes had arrived; none when it is of another
    /// form, or damaged.
    pub(super) fn from_bytes(bytes: &[u8], offset: u64) -> Option<Self> {
        let (version, rest) = bytes.split_first()?;
        let (check, body) = rest.split_at_checked(CHECK)?;
        if *version != VERSION || Sha256::digest(body)[..CHECK] != *check {
            return None;
        }
        let (hasher, body) = part(body)?;
        let (staged, body) = part(body)?;
        let (has_rest, body) = body.split_first()?;
        let (rest, spine) = body.split_first_chunk::<32>()?;
        let checkpoint = Self {
            hasher: TwinHasher::from_bytes(hasher)?,
            spine: Spine::from_bytes(spine).ok()?,
            rest: (*has_rest == 1).then_some(*rest),
            staged: String::from_utf8(staged.to_vec()).ok()?,
        };
        let whole = offset - offset % CHUNK_SIZE as u64;
        let fits = checkpoint.hasher.length() == offset
            && checkpoint.spine.size() == whole
            && checkpoint.rest.is_some() == (whole < offset);
        fits.then_some(checkpoint)
    }
}

fn part(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, bytes) = bytes.split_first()?;
    bytes.split_at_checked(usize::from(*length))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn checkpoint(size: usize) -> Checkpoint {
        let (mut hasher, mut spine) = (TwinHasher::new(), Spine::new());
        let bytes = vec![7; size];
        hasher.append(&bytes, &mut |leaf| spine.push_leaf(leaf, CHUNK_SIZE as u64, &mut drop));
        let rest = (!size.is_multiple_of(CHUNK_SIZE)).then_some([9; 32]);
        Checkpoint { hasher, spine, rest, staged: "id.session.3".to_owned() }
    }

    #[test]
    fn a_checkpoint_is_read_as_it_was_written() {
        for size in [1, CHUNK_SIZE, 2 * CHUNK_SIZE + 5] {
            let bytes = checkpoint(size).to_bytes();
            assert_eq!(Checkpoint::from_bytes(&bytes, size as u64), Some(checkpoint(size)));
            assert_eq!(Checkpoint::from_bytes(&bytes, size as u64 + 1), None);
            assert_eq!(Checkpoint::from_bytes(&bytes[..bytes.len() - 1], size as u64), None);
        }
    }

    fn golden(text: &str) -> Vec<u8> {
        let digits = text.trim().as_bytes().chunks(2);
        let digits = digits.map(|pair| std::str::from_utf8(pair).unwrap());
        digits.map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect()
    }

    #[test]
    fn one_of_version_0_is_read() {
        let text = include_str!("../../../tests/golden/v0/kubo/checkpoint.hex");
        let bytes = golden(text);
        let size = 2_621_440;
        let checkpoint = Checkpoint::from_bytes(&bytes, size as u64).expect("it is of this form");
        assert_eq!(checkpoint.staged, "01a2251e-c515-7066-8dd7-d17f527a3451.42a64cd0.2");
        let chunks = (size / CHUNK_SIZE * CHUNK_SIZE) as u64;
        assert_eq!((checkpoint.spine.size(), checkpoint.rest.is_some()), (chunks, true));
        assert_eq!(checkpoint.to_bytes(), bytes);
    }

    proptest! {
        #[test]
        fn a_damaged_one_is_never_taken_for_another(index in 0_usize..400, value: u8) {
            let mut bytes = checkpoint(2 * CHUNK_SIZE + 5).to_bytes();
            let index = index % bytes.len();
            prop_assume!(bytes[index] != value);
            bytes[index] = value;
            prop_assert_eq!(Checkpoint::from_bytes(&bytes, 2 * CHUNK_SIZE as u64 + 5), None);
        }

        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), offset: u64) {
            let _ = Checkpoint::from_bytes(&bytes, offset);
        }
    }
}
