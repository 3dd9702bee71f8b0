//! Whether any blob is noted as lost: then an upload looks whether it brings one back.

use std::sync::atomic::{AtomicBool, Ordering};

use super::super::{Registry, Result};
use crate::oci::CanonicalDigest;

/// Whether the index may have lost blobs. Only the process that has the storage to itself relies on it.
pub(in crate::registry) struct LostBlobs(AtomicBool);

impl Default for LostBlobs {
    fn default() -> Self {
        // Until the index was asked.
        Self(AtomicBool::new(true))
    }
}

impl LostBlobs {
    /// Notes that there is one, after the index has it.
    pub(super) fn note(&self) {
        self.0.store(true, Ordering::Release);
    }
}

impl Registry {
    /// Asks the index whether there are lost blobs, so that uploads need not ask each time. To be called after the start.
    ///
    /// # Errors
    /// Those of the index.
    pub async fn look_for_lost_blobs(&self) -> Result<()> {
        self.lost_blobs.0.store(false, Ordering::Release);
        // One that is noted from here on is found, or stays noted.
        match self.index.lost_blobs().await {
            Ok(lost) if lost.is_empty() => Ok(()),
            Ok(_) => {
                self.lost_blobs.note();
                Ok(())
            }
            Err(error) => {
                self.lost_blobs.note();
                Err(error.into())
            }
        }
    }

    /// Returns whether a blob is noted as lost.
    pub(in crate::registry) async fn is_lost(&self, canonical: &CanonicalDigest) -> Result<bool> {
        let may_be = self.lost_blobs.0.load(Ordering::Acquire);
        Ok(may_be && self.index.is_lost(canonical).await?)
    }
}
