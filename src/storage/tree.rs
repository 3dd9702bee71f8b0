//! Trees: the directories of links that name the content.

use std::collections::HashSet;

use async_trait::async_trait;
use bytes::Bytes;
use cid::Cid;
use futures_util::future::BoxFuture;

use super::{Content, Finished, Folded, Kind, Result, TreeEdit, TreePath};
use crate::ipld::file::CHUNK_SIZE;
use crate::ipld::{Block, raw_cid};
use crate::oci::{CanonicalDigest, TreeId};

/// What edits made of a tree.
#[derive(Debug)]
pub struct Applied {
    /// Which it is.
    pub tree: TreeId,
    /// The root that the tree had before them.
    pub before: Cid,
    /// What it has become.
    pub folded: Folded,
}

/// Content of one leaf, which is stored together with the edits that link it, and stays as long as a tree links it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewContent {
    canonical: CanonicalDigest,
    bytes: Bytes,
}

impl NewContent {
    /// Takes bytes; none where they are more than one leaf.
    #[must_use]
    pub fn of(canonical: CanonicalDigest, bytes: &Bytes) -> Option<Self> {
        (bytes.len() <= CHUNK_SIZE).then(|| Self { canonical, bytes: bytes.clone() })
    }

    /// What it is once it is stored.
    #[must_use]
    pub fn content(&self) -> Content {
        let Self { canonical, bytes } = self;
        Content { canonical: *canonical, cid: raw_cid(canonical.0), size: bytes.len() as u64 }
    }

    pub(super) fn block(&self) -> Block {
        Block { cid: raw_cid(self.canonical.0), bytes: self.bytes.clone() }
    }
}

/// The trees.
#[async_trait]
pub trait TreeStore: Send + Sync {
    /// Applies edits in their order, each in its tree. Each is idempotent and seen by readers as a whole or
    /// not at all. After a failure a prefix of them may have been applied, of one tree or of several: the caller
    /// repeats all.
    async fn apply(&self, edits: &[TreeEdit]) -> Result<()>;

    /// Returns when all that was applied survives a loss of power.
    async fn sync(&self) -> Result<()>;

    /// Reads a small file of a tree; none if there is no file. More than `limit` bytes are an
    /// error of kind [`StorageErrorKind::Damaged`](super::StorageErrorKind::Damaged).
    async fn read(&self, tree: TreeId, path: &TreePath, limit: u64) -> Result<Option<Bytes>>;

    /// Lists a directory of a tree, sorted bytewise; none if there is no directory. What goes while
    /// it is listed may be in the list or not.
    async fn list(&self, tree: TreeId, path: &TreePath) -> Result<Option<Vec<(String, Kind)>>>;

    /// Reads a whole file of a tree and computes its digest and CID. The caller compares the digest
    /// with the name that it stands under.
    ///
    /// # Errors
    /// [`StorageErrorKind::NotFound`](super::StorageErrorKind::NotFound) when there is no file.
    async fn identify(&self, tree: TreeId, path: &TreePath) -> Result<Finished>;

    /// Stores what [`TreeStore::identify`] found at a path as content, replacing whatever was stored
    /// under its digest: from then on the path [is linked](TreeStore::is_linked) to it. Repeating it succeeds.
    async fn adopt(&self, tree: TreeId, path: &TreePath, content: &Content) -> Result<()>;

    /// Tells whether that very content stands at a path of a tree.
    async fn is_linked(&self, tree: TreeId, path: &TreePath, content: &Content) -> Result<bool>;

    /// Returns what the driver can do since its directories have CIDs; none where they are files of the machine.
    fn addressed(&self) -> Option<&dyn AddressedTree>;
}

/// Trees whose directories have CIDs at once.
#[async_trait]
pub trait AddressedTree: Send + Sync {
    /// Applies edits as [`TreeStore::apply`] does. The caller has looked the content of `present` up and keeps others
    /// from forgetting it, so it need not be looked up again; nor need what is `new`: it is stored before any reader sees
    /// the edits, as a part of the trees, and [`ContentStore`](super::ContentStore) does not find it. Readers see all of
    /// the edits or none, whichever trees they are of; none before `permit` has returned true, and an error if it returns
    /// false: it is awaited while the edits are prepared. Returns what the edits made of each tree that they are of, in
    /// the order of [`TreeId::ALL`], so that the caller does not compute it again.
    async fn apply_and_fold(
        &self,
        edits: &[TreeEdit],
        present: &HashSet<CanonicalDigest>,
        new: &[NewContent],
        permit: BoxFuture<'_, bool>,
    ) -> Result<Vec<Applied>>;

    /// Finds content of one leaf that has no name as content, as long as the storage has its block: trees had it, and no
    /// garbage collection has removed it yet. None if there is no such block.
    async fn removed_leaf(&self, canonical: &CanonicalDigest) -> Result<Option<Content>>;

    /// Returns the CID of a directory of a tree; none if there is no directory.
    async fn directory_cid(&self, tree: TreeId, path: &TreePath) -> Result<Option<Cid>>;
}
