//! The nodes of trees, for code that may block.

use std::sync::Arc;

use bytes::Bytes;
use cid::Cid;
use tokio::runtime::Handle;

use super::{RegistryError, Result};
use crate::index::Index;
use crate::ipld::Load;

/// The nodes of the index as a source of blocks for code that may block.
pub(super) struct TreeNodes {
    index: Arc<Index>,
    runtime: Handle,
}

impl TreeNodes {
    /// Must be called inside of a runtime.
    pub(super) fn new(index: Arc<Index>) -> Self {
        Self { index, runtime: Handle::current() }
    }

    /// Returns the bytes of a node; none where the index has none.
    pub(super) fn find(&mut self, cid: &Cid) -> Result<Option<Bytes>> {
        Ok(self.runtime.block_on(self.index.node(cid))?)
    }
}

impl Load for TreeNodes {
    type Error = RegistryError;

    fn load(&mut self, cid: &Cid) -> Result<Bytes> {
        self.find(cid)?.ok_or_else(|| {
            RegistryError::Record(format!("node {cid} is missing: run `roadstead index rebuild`"))
        })
    }
}
