//! Leave to remove content, which may be lost meanwhile.

use async_trait::async_trait;

use super::{Result, StorageError, StorageErrorKind};

/// Leave to remove something that others may come to need: whoever has it holds a lock, and locks get lost.
#[async_trait]
pub trait Permission: Send {
    /// Tells whether it is still there.
    async fn is_given(&mut self) -> bool;
}

/// Leave that nothing takes away.
pub(super) struct Always;

#[async_trait]
impl Permission for Always {
    async fn is_given(&mut self) -> bool {
        true
    }
}

/// Fails where leave is no longer there. To be called right before a removal.
pub(super) async fn expect(permission: &mut dyn Permission) -> Result<()> {
    if permission.is_given().await {
        return Ok(());
    }
    let what = "nothing was removed: the lock for that was lost";
    Err(StorageError::new(StorageErrorKind::Unavailable, what))
}
