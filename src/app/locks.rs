//! The locks of a storage that processes share, out of the index that they share.

use std::sync::Arc;

use async_trait::async_trait;

use crate::index::{self, Index, IndexError};
use crate::storage::{Lease, Locks, StorageError, StorageErrorKind};

/// Locks by the locks of an index.
pub(super) struct IndexLocks(pub(super) Arc<Index>);

struct IndexLease(Box<dyn index::Lease>);

#[async_trait]
impl Locks for IndexLocks {
    async fn begin_linking(&self) -> Result<Option<Box<dyn Lease>>, StorageError> {
        let lease = self.0.begin_linking().await.map_err(failed)?;
        Ok(lease.map(|lease| Box::new(IndexLease(lease)) as Box<dyn Lease>))
    }

    async fn begin_cleaning(&self) -> Result<Box<dyn Lease>, StorageError> {
        let lease = self.0.begin_cleaning().await.map_err(failed)?;
        Ok(Box::new(IndexLease(lease)))
    }
}

#[async_trait]
impl Lease for IndexLease {
    async fn end(self: Box<Self>) -> Result<(), StorageError> {
        self.0.end().await.map_err(failed)
    }
}

/// Whatever keeps a lease from being taken, it may be had later.
fn failed(error: IndexError) -> StorageError {
    let what = "cannot take the storage lock";
    StorageError::wrap(StorageErrorKind::Unavailable, what, error)
}
