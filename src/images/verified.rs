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
    /// How many bytes from the first on were hashed, or were there before.
    hashed: u64,
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
        let state = Mutex::new(State { hasher, hashed: 0, read: 0 });
        let check = Arc::new(Self { descriptor: descriptor.clone(), state });
        let (noted, progress) = (Arc::clone(&check), Arc::clone(progress));
        let content = content.observed(move |offset, piece| {
            progress.advance(noted.note(offset, piece));
        });
        (content, check)
    }

    /// Hashes what is new of a piece, and returns how many bytes that is.
    fn note(&self, offset: u64, piece: &[u8]) -> u64 {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.read += piece.len() as u64;
        let Some(skipped) = state.hashed.checked_sub(offset) else {
            // The target has what is between: it checks the whole itself.
            let new = offset + piece.len() as u64 - state.hashed;
            state.hasher = None;
            state.hashed += new;
            return new;
        };
        let new = piece.get(usize::try_from(skipped).unwrap_or(usize::MAX)..).unwrap_or_default();
        if let Some(hasher) = &mut state.hasher {
            hasher.update(new);
        }
        state.hashed += new.len() as u64;
        new.len() as u64
    }

    /// Returns how many bytes were read, and how many of the blob the progress knows of.
    pub(super) fn counts(&self) -> (u64, u64) {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        (state.read, state.hashed)
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
