//! Content whose bytes are hashed while they are sent.

use std::sync::{Arc, Mutex, PoisonError};

use super::progress::TransferProgress;
use crate::client::Content;
use crate::oci::{Descriptor, Hasher};

/// What was read of a blob so far. Pieces may be read again, where a transfer goes on.
pub(super) struct Check {
    descriptor: Descriptor,
    state: Mutex<State>,
}

struct State {
    /// None where nothing is hashed, once bytes were left out, or the digest was compared.
    hasher: Option<Hasher>,
    /// How many bytes from the first on were hashed.
    hashed: u64,
    /// Up to where the blob was read, or the target had it before.
    known: u64,
    /// How many were read, those that were read again counted again.
    read: u64,
}

impl Check {
    /// Returns the content, which reports what is read of it to the check and the progress. `is_hashed` tells whether
    /// the bytes are hashed as well, or only counted.
    pub(super) fn of(
        descriptor: &Descriptor,
        content: Content,
        progress: &Arc<dyn TransferProgress>,
        is_hashed: bool,
    ) -> (Content, Arc<Self>) {
        let hasher = is_hashed.then(|| Hasher::new(descriptor.digest.algorithm()));
        let state = Mutex::new(State { hasher, hashed: 0, known: 0, read: 0 });
        let check = Arc::new(Self { descriptor: descriptor.clone(), state });
        let (noted, progress) = (Arc::clone(&check), Arc::clone(progress));
        let content = content.observed(move |offset, piece| {
            progress.advance(noted.note(offset, piece));
        });
        (content, check)
    }

    /// Hashes what is new of a piece, and returns how many bytes the progress did not know of. Who reads from the first
    /// byte again may get others than the first time.
    fn note(&self, offset: u64, piece: &[u8]) -> u64 {
        let mut guard = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let state = &mut *guard;
        if let Some(hasher) = &mut state.hasher {
            if offset == 0 {
                *hasher = Hasher::new(self.descriptor.digest.algorithm());
                state.hashed = 0;
            }
            match state.hashed.checked_sub(offset) {
                Some(skipped) => {
                    let skipped = usize::try_from(skipped).unwrap_or(usize::MAX);
                    let new = piece.get(skipped..).unwrap_or_default();
                    hasher.update(new);
                    state.hashed += new.len() as u64;
                }
                // The target has what is between: it checks the whole itself.
                None => state.hasher = None,
            }
        }
        let end = offset + piece.len() as u64;
        let new = end.saturating_sub(state.known);
        state.known += new;
        state.read += piece.len() as u64;
        new
    }

    /// Returns how many bytes were read, and how many of the blob the progress knows of.
    pub(super) fn counts(&self) -> (u64, u64) {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        (state.read, state.known)
    }

    /// Tells whether all of it was read.
    pub(super) fn is_whole(&self) -> bool {
        self.counts().1 >= self.descriptor.size
    }

    /// Tells whether what was read, if it is the whole blob, has its digest.
    pub(super) fn is_sound(&self) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.hashed < self.descriptor.size {
            return true;
        }
        let hasher = state.hasher.take();
        hasher.is_none_or(|hasher| hasher.finish() == self.descriptor.digest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oci::{Algorithm, Digest};

    struct Silent;

    impl TransferProgress for Silent {
        fn begin(&self, _: u64) {}
        fn advance(&self, _: u64) {}
    }

    fn check() -> Arc<Check> {
        let digest = Digest::of(Algorithm::Sha256, b"hello");
        let descriptor = Descriptor { media_type: String::new(), digest, size: 5 };
        let progress: Arc<dyn TransferProgress> = Arc::new(Silent);
        Check::of(&descriptor, Content::from("hello"), &progress, true).1
    }

    #[test]
    fn what_is_read_again_from_the_first_byte_is_hashed_again() {
        let again = check();
        assert_eq!(
            (again.note(0, b"hello"), again.note(0, b"he"), again.note(2, b"xxo")),
            (5, 0, 0)
        );
        assert_eq!(again.counts(), (10, 5));
        assert!(!again.is_sound());
        let from_the_middle = check();
        assert_eq!((from_the_middle.note(0, b"hel"), from_the_middle.note(2, b"llo")), (3, 2));
        assert!(from_the_middle.is_sound());
        let with_a_gap = check();
        assert_eq!((with_a_gap.note(0, b"h"), with_a_gap.note(3, b"xx")), (1, 4));
        assert!(with_a_gap.is_sound(), "the target checks it");
    }
}
