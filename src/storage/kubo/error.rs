//! What a failure of the node is to the storage.

use super::super::{StorageError, StorageErrorKind};
use crate::kubo::{KuboError, KuboErrorKind};

impl From<KuboError> for StorageError {
    fn from(error: KuboError) -> Self {
        use KuboErrorKind as K;
        use StorageErrorKind as S;

        let (kind, what) = match error.kind {
            K::NotFound | K::MissingBlock => (S::NotFound, "missing on the node"),
            // Measured: a write that failed for lack of space leaves the node unable to write.
            K::Full => {
                (S::Stuck, "the disk of the node is full: free some space, and restart the node")
            }
            K::Unavailable => (S::Unavailable, "the node does not answer"),
            K::Displaced => (S::Unavailable, "the top of the node's MFS keeps changing"),
            K::Exists | K::Denied | K::Disabled | K::Failed => (S::Failed, "the node refused"),
        };
        Self::wrap(kind, what, error)
    }
}
