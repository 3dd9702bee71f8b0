//! Blobs: looking, reading, mounting, deleting.

use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use cid::Cid;
use futures_util::{Stream, StreamExt, TryStreamExt};

use super::federation::{BlobSource, Federation};
use super::intent::Intent;
use super::{Registry, RegistryError, Result, catalog, layout, now};
use crate::auth::{Caller, DeleteGrant, PullGrant, PushGrant};
use crate::index::{BlobBlock, BlobRow, Destination, IndexErrorKind, NewBlob};
use crate::ipld::{file, raw_cid};
use crate::oci::{Algorithm, Digest, Hasher, RepositoryName, TreeId};
use crate::storage::{Content, Edit, Finished, Storage, StorageError, TreeEdit};

/// How many repositories a mount without a source looks at.
const MOUNT_CANDIDATES: u32 = 100;

/// A blob of a repository.
#[derive(Clone)]
pub struct Blob {
    /// The digest that was requested.
    pub digest: Digest,
    content: Content,
    source: Source,
}

/// Where the bytes of a blob are.
#[derive(Clone)]
enum Source {
    /// In this registry's storage.
    Here(Arc<dyn Storage>),
    /// Below a foreign root.
    Foreign(Arc<Federation>, BlobSource),
}

/// Bytes of a blob as they are read; an error ends them, and what came before it is not the whole.
pub type BlobStream = Pin<Box<dyn Stream<Item = Result<Bytes>> + Send>>;

impl Blob {
    /// How long it is.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.content.size
    }

    /// The root of its file, if that is known: of foreign content in the cache it is not.
    #[must_use]
    pub fn cid(&self) -> Option<&Cid> {
        let is_known = match &self.source {
            Source::Here(_) => true,
            Source::Foreign(_, source) => source.knows_cid(),
        };
        is_known.then_some(&self.content.cid)
    }

    /// Returns a URL from which clients can read it themselves, if the operator has set that up.
    #[must_use]
    pub fn location(&self) -> Option<String> {
        match &self.source {
            Source::Here(storage) => storage.location(&self.content),
            Source::Foreign(..) => None,
        }
    }

    /// Reads a range, which is not empty unless the blob is. A foreign blob is read as it comes: its last bytes follow
    /// once the whole was checked, and a range that ends before is checked block by block.
    ///
    /// # Errors
    /// Those of the storage; [`RegistryError::Remote`] when nothing of it comes in time.
    pub async fn read(&self, range: Range<u64>) -> Result<BlobStream> {
        Ok(match &self.source {
            Source::Here(storage) => {
                storage.open(&self.content, range).await?.map_err(RegistryError::from).boxed()
            }
            Source::Foreign(federation, source) => {
                let bytes = federation.read(source, &self.content, range).await?;
                bytes.map_err(RegistryError::from).boxed()
            }
        })
    }

    /// A blob below a foreign root.
    pub(super) fn foreign(
        digest: Digest,
        content: Content,
        federation: Arc<Federation>,
        source: BlobSource,
    ) -> Self {
        Self { digest, content, source: Source::Foreign(federation, source) }
    }
}

impl Registry {
    /// A blob of this registry.
    pub(super) fn own_blob(&self, digest: Digest, content: Content) -> Blob {
        Blob { digest, content, source: Source::Here(Arc::clone(&self.storage)) }
    }

    /// Gives the repository a blob that `from` has. Returns none when it does not, and where the repository was removed
    /// meanwhile.
    ///
    /// # Errors
    /// [`RegistryError::MustBePublic`]; those of the index.
    pub async fn mount_blob(
        &self,
        grant: &PushGrant,
        from: &PullGrant,
        digest: &Digest,
    ) -> Result<Option<Blob>> {
        self.expect_storable(grant).await?;
        let Some(row) = self.index.blob(from.repository(), digest).await? else { return Ok(None) };
        match self.index.mount_blob(destination(grant), digest, now()).await {
            Ok(true) => {}
            Ok(false) => return Ok(None),
            Err(error) if error.kind == IndexErrorKind::Removed => return Ok(None),
            Err(error) => return Err(error.into()),
        }
        Ok(Some(self.own_blob(*digest, content(&row))))
    }

    /// Lists repositories that a mount without a source may take the blob from: those that the client may pull from, and
    /// where its token names none of them one that its user may pull from. The work for it does not depend on which
    /// repositories are hidden from the client.
    ///
    /// # Errors
    /// Those of the index.
    pub async fn mount_candidates(
        &self,
        caller: &Caller,
        digest: &Digest,
    ) -> Result<Vec<RepositoryName>> {
        let seen = catalog::seen_by(caller);
        let Some(scopes) = &caller.scopes else {
            return Ok(self.index.holders_seen(digest, &seen, MOUNT_CANDIDATES).await?);
        };
        let mut named = seen.clone();
        named.push(catalog::named(scopes.repositories()));
        let mut candidates = self.index.holders_seen(digest, &named, MOUNT_CANDIDATES).await?;
        candidates.extend(self.index.holders_seen(digest, &seen, 1).await?);
        Ok(candidates)
    }

    /// Tells whether a repository that the caller may see has the blob, in the same namespace as that one.
    pub(super) async fn is_seen_in_namespace(
        &self,
        caller: &Caller,
        repository: &RepositoryName,
        digest: &Digest,
    ) -> Result<bool> {
        let mut seen = catalog::seen_by(caller);
        seen.push(catalog::in_namespace_of(repository));
        Ok(!self.index.holders_seen(digest, &seen, 1).await?.is_empty())
    }

    /// Takes a blob from the repository, under every name.
    ///
    /// # Errors
    /// [`RegistryError::BlobUnknown`]; [`RegistryError::Referenced`] while a manifest names it.
    pub async fn delete_blob(&self, grant: &DeleteGrant, digest: &Digest) -> Result<()> {
        let repository = grant.repository().clone();
        self.commit(grant.caller().into(), Intent::DeleteBlob { repository, digest: *digest }).await
    }

    /// Announces to the storage content that is about to come where the index has it: its client knows that
    /// it lasts, so that a storage which processes share need not make sure of that again, with all others waiting.
    pub(super) async fn recall(&self, digest: &Digest) -> Result<()> {
        let (Some(canonical), Some(storage)) = (digest.canonical(), self.storage.shared()) else {
            return Ok(());
        };
        // What is a manifest only need not have a name.
        if self.index.stored_blob(&canonical).await?.is_some()
            && !self.index.is_lost(&canonical).await?
        {
            storage.recall(&canonical);
        }
        Ok(())
    }

    /// Makes the row of content that was just finished. Where other bytes gave way to it, or it was noted as lost, the
    /// trees link to it from then on.
    pub(super) async fn row(&self, finished: &Finished, aliases: Vec<Digest>) -> Result<NewBlob> {
        let content = &finished.content;
        let is_alone = self.storage.shared().is_none();
        if finished.is_replaced || is_alone && self.is_lost(&content.canonical).await? {
            let mut writer = self.index.lock().await?;
            for tree in TreeId::ALL {
                if writer.is_named(tree, &content.canonical).await? {
                    let edit = Edit::link(layout::blob_data(&content.canonical), content);
                    self.storage.apply(&[TreeEdit { tree, edit }]).await?;
                }
            }
        }
        new_blob(finished, aliases)
    }

    /// Computes the sha512 digest of content.
    pub(super) async fn sha512(
        &self,
        content: &Content,
    ) -> std::result::Result<Digest, StorageError> {
        let mut hasher = Hasher::new(Algorithm::Sha512);
        let mut bytes = self.storage.open(content, 0..content.size).await?;
        while let Some(piece) = bytes.next().await {
            hasher.update(&piece?);
        }
        Ok(hasher.finish())
    }
}

/// Where something goes that a grant allows to write.
pub(super) fn destination(grant: &PushGrant) -> Destination<'_> {
    Destination { repository: grant.repository(), identity: grant.identity() }
}

/// Reads a row as the storage's word for it.
pub(super) fn content(row: &BlobRow) -> Content {
    Content { canonical: row.canonical, cid: row.cid, size: row.size }
}

/// Makes the row of content, and names for it, without the blocks of its file.
pub(super) fn blob_without_blocks(content: &Content, aliases: Vec<Digest>) -> NewBlob {
    let Content { canonical, cid, size } = *content;
    NewBlob { blob: BlobRow { canonical, cid, size }, aliases, blocks: Vec::new() }
}

/// Makes the row of content that was just finished, with the blocks that its file is made of.
pub(super) fn new_blob(finished: &Finished, aliases: Vec<Digest>) -> Result<NewBlob> {
    let Content { canonical, cid, size } = finished.content;
    let chunk = file::CHUNK_SIZE as u64;
    let mut blocks: Vec<_> = (0..)
        .map(|index| index * chunk)
        .zip(&finished.leaves)
        .map(|(start, leaf)| BlobBlock {
            cid: raw_cid(*leaf),
            start,
            length: chunk.min(size - start),
            node: None,
        })
        .collect();
    if finished.leaves.len() > 1 {
        let interior = file::interior(&finished.leaves, size).map_err(|error| {
            RegistryError::Record(format!("the leaves of {canonical}: {error}"))
        })?;
        blocks.extend(interior.into_iter().map(|node| BlobBlock {
            cid: node.block.cid,
            start: node.offset,
            length: node.length,
            node: Some(node.block.bytes),
        }));
    }
    Ok(NewBlob { blob: BlobRow { canonical, cid, size }, aliases, blocks })
}
