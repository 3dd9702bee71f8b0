//! Manifests: pulling, pushing, deleting.

use bytes::Bytes;
use tokio::task::spawn_blocking;

use super::blobs::new_blob;
use super::commit::Pushed;
use super::guard::Guard;
use super::intent::Intent;
use super::uploads::new_id;
use super::{Condition, Registry, RegistryError, Result, now};
use crate::auth::{DeleteGrant, PushGrant};
use crate::index::{StoredManifest, Writer};
use crate::oci::{Algorithm, CanonicalDigest, Digest, Manifest, Reference, Tag};
use crate::storage::{Finished, NewContent};

/// How many bytes are hashed and parsed where others wait meanwhile: that takes less than half a millisecond.
const AT_ONCE: usize = 64 * 1024;

/// A manifest that was pushed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PushedManifest {
    /// The name that it was pushed by; sha256, if it was pushed by tag.
    pub digest: Digest,
    /// The CID of its bytes.
    pub cid: cid::Cid,
    /// What it refers to, if to anything.
    pub subject: Option<Digest>,
    /// The tags that point to it by this push.
    pub tags: Vec<Tag>,
}

impl Registry {
    /// Stores a manifest and what it was pushed as; returns when both last. `tags` are those that
    /// come beside a digest; beside a tag they do not count. `condition` is about what `reference` names.
    ///
    /// # Errors
    /// [`RegistryError::ManifestTooLarge`], [`RegistryError::DigestMismatch`],
    /// [`RegistryError::ManifestInvalid`], [`RegistryError::ConditionFailed`],
    /// [`RegistryError::MissingReferences`], [`RegistryError::MustBePublic`], [`RegistryError::TagFixed`];
    /// [`RegistryError::NameUnknown`] where the repository was removed after the push was allowed
    pub async fn put_manifest(
        &self,
        grant: &PushGrant,
        reference: &Reference,
        tags: Vec<Tag>,
        content_type: Option<&str>,
        bytes: Bytes,
        condition: Condition,
    ) -> Result<PushedManifest> {
        self.expect_storable(grant).await?;
        let limit = self.limits.manifest_bytes;
        if bytes.len() > limit {
            return Err(RegistryError::ManifestTooLarge { limit });
        }
        let read = read(bytes.clone(), reference.clone(), content_type.map(str::to_owned)).await?;
        let (canonical, digest, manifest) = read;
        let tags = match reference {
            Reference::Tag(tag) => vec![tag.clone()],
            Reference::Digest(_) => tags,
        };
        let storing = self.storing.clone().read_owned().await;
        let content = if let Some(new) = self.stored_with_edits(canonical, &bytes) {
            new.content()
        } else {
            let (registry, copy) = (self.clone(), bytes.clone());
            let write = async move { registry.keep(canonical, copy).await };
            self.spawn_uncancellable(write).await?.content
        };
        let guard = self.guard_push(grant.repository(), &tags).await?;
        let intent = Intent::PutManifest {
            repository: grant.repository().clone(),
            manifest: content.canonical,
            digest,
            media_type: manifest.media_type.as_str().to_owned(),
            tags: tags.clone(),
            by_tag: matches!(reference, Reference::Tag(_)),
            condition,
            guard,
            is_adopted: false,
            identity: grant.identity(),
        };
        let subject = manifest.subject.as_ref().map(|subject| subject.digest);
        let document = self.documents.remember(content, bytes.clone(), manifest);
        let stored = StoredManifest { canonical: content.canonical, cid: content.cid, bytes };
        let pushed = Pushed { stored, document, storing };
        self.commit_stored(grant.caller().into(), intent, Some(pushed)).await?;
        Ok(PushedManifest { digest, cid: content.cid, subject, tags })
    }

    /// Deletes a tag, or a manifest with every tag that points to it.
    ///
    /// # Errors
    /// [`RegistryError::ManifestUnknown`]; [`RegistryError::Referenced`] while an index names it;
    /// [`RegistryError::ConditionFailed`]; [`RegistryError::TagProtected`]
    pub async fn delete_manifest(
        &self,
        grant: &DeleteGrant,
        reference: &Reference,
        condition: Condition,
    ) -> Result<()> {
        let repository = grant.repository().clone();
        let intent = match reference {
            Reference::Tag(tag) => {
                self.expect_deletable(&grant.caller().into(), &repository, tag).await?;
                let guard = Guard::default();
                Intent::DeleteTag { repository, tag: tag.clone(), condition, guard }
            }
            Reference::Digest(digest) => {
                let guard = self.guard_deletion(&repository);
                Intent::DeleteManifest { repository, digest: *digest, condition, guard }
            }
        };
        self.commit(grant.caller().into(), intent).await
    }

    /// Returns what a storage takes in together with the edits of a commit: a manifest of one leaf, if its trees have
    /// CIDs. The index has the bytes until then, and the trees afterwards; the commit gives it no name as content.
    pub(super) fn stored_with_edits(
        &self,
        canonical: CanonicalDigest,
        bytes: &Bytes,
    ) -> Option<NewContent> {
        self.storage.addressed()?;
        NewContent::of(canonical, bytes)
    }

    /// Tells whether the index has a manifest of that digest that a commit stores with its edits, so that perhaps only
    /// trees have it.
    pub(super) async fn is_stored_with_edits(&self, canonical: &CanonicalDigest) -> Result<bool> {
        let manifest = self.index.stored_manifest(canonical).await?;
        Ok(manifest.is_some_and(|it| self.stored_with_edits(*canonical, &it.bytes).is_some()))
    }

    /// Takes a manifest's bytes in as content.
    async fn keep(&self, canonical: CanonicalDigest, bytes: Bytes) -> Result<Finished> {
        self.recall(&canonical.into()).await?;
        let finished = self.store(canonical, bytes).await?;
        let row = Box::pin(self.row(&finished, Vec::new())).await?;
        // One that is a single block is found by its digest, which is in its CID.
        if finished.leaves.len() > 1 {
            let mut writer = self.index.lock().await?;
            writer.put_blob(None, &row, now()).await?;
        }
        Ok(finished)
    }

    /// Takes the bytes of a manifest of the queue in once more; returns false where there are none.
    pub(super) async fn keep_again(
        &self,
        writer: &mut Writer,
        manifest: &CanonicalDigest,
    ) -> Result<bool> {
        let Some(stored) = writer.stored_manifest(manifest).await? else { return Ok(false) };
        let finished = self.store(*manifest, stored.bytes).await?;
        if finished.leaves.len() > 1 {
            writer.put_blob(None, &new_blob(&finished, Vec::new())?, now()).await?;
        }
        Ok(true)
    }

    pub(super) async fn store(&self, canonical: CanonicalDigest, bytes: Bytes) -> Result<Finished> {
        let digest = canonical.into();
        let id = new_id();
        let mut ingest = self.storage.begin(&id).await?;
        let finished = match ingest.append(bytes).await {
            Ok(()) => ingest.finish(&digest).await,
            Err(error) => Err(error),
        };
        if finished.is_err() {
            self.storage.discard(&id).await?;
        }
        Ok(finished?)
    }
}

/// Hashes and parses what is pushed by a reference: its sha256 digest, the digest of that reference, the manifest.
async fn read(
    bytes: Bytes,
    reference: Reference,
    content_type: Option<String>,
) -> Result<(CanonicalDigest, Digest, Manifest)> {
    let size = bytes.len();
    let reading = move || {
        let canonical = CanonicalDigest::of(&bytes);
        let digest = match reference {
            Reference::Tag(_) => canonical.into(),
            Reference::Digest(digest) => digest,
        };
        let is_right = match digest.algorithm() {
            Algorithm::Sha256 => digest == canonical.into(),
            other @ Algorithm::Sha512 => digest == Digest::of(other, &bytes),
        };
        if !is_right {
            return Err(RegistryError::DigestMismatch(digest));
        }
        let manifest = Manifest::parse(&bytes, content_type.as_deref())?;
        Ok((canonical, digest, manifest))
    };
    if size <= AT_ONCE {
        return reading();
    }
    let read = spawn_blocking(reading).await;
    read.unwrap_or_else(|error| Err(RegistryError::Record(error.to_string())))
}
