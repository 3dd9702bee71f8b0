//! The turns of a storage that processes share, out of the index that they share.

use std::sync::Arc;

use async_trait::async_trait;

use crate::index::{self, Index, IndexError};
use crate::storage::{StorageError, StorageErrorKind, Turn, Turns};

/// Turns by the locks of an index.
pub(super) struct IndexTurns(pub(super) Arc<dyn Index>);

struct IndexTurn(Box<dyn index::Turn>);

#[async_trait]
impl Turns for IndexTurns {
    async fn begin_linking(&self) -> Result<Option<Box<dyn Turn>>, StorageError> {
        let turn = self.0.begin_linking().await.map_err(failed)?;
        Ok(turn.map(|turn| Box::new(IndexTurn(turn)) as Box<dyn Turn>))
    }

    async fn begin_cleaning(&self) -> Result<Box<dyn Turn>, StorageError> {
        let turn = self.0.begin_cleaning().await.map_err(failed)?;
        Ok(Box::new(IndexTurn(turn)))
    }
}

#[async_trait]
impl Turn for IndexTurn {
    async fn end(self: Box<Self>) -> Result<(), StorageError> {
        self.0.end().await.map_err(failed)
    }
}

/// Whatever keeps a turn from being taken, it may be had later.
fn failed(error: IndexError) -> StorageError {
    let what = "could not get the storage lock";
    StorageError::wrap(StorageErrorKind::Unavailable, what, error)
}
