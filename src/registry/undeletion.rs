//! Putting back what was deleted, as long as its bytes are stored.
//!
//! A deletion takes a manifest's rows, names and links; its bytes and those of its blobs stay until a collection takes them. To
//! put it back is a push of the same bytes, so what a push promises holds here: it is whole or it is refused, also beside a
//! collection. Bytes are stored by digest, for all repositories: what a repository may put back is what its own events say was
//! deleted from it.

use std::collections::HashSet;

use bytes::Bytes;

use super::events::{DELETE, PURGE, RETENTION};
use super::{Condition, Expected, Registry, RegistryError, Result};
use crate::auth::{DeleteGrant, PushGrant};
use crate::index::{Event, NewEvent};
use crate::oci::{Digest, Manifest, MediaType, Reference, RepositoryName, Tag};

/// How many events are read at a time, and how many pages of them at most: what was deleted before is not found.
const EVENTS: u32 = 500;
const PAGES: usize = 40;

/// How deep indexes may be nested, and how many manifests are put back at once.
const MOST_MANIFESTS: usize = 1000;

/// What was put back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Undeleted {
    /// The manifest that was named.
    pub digest: Digest,
    /// The tags that name it again.
    pub tags: Vec<Tag>,
    /// All manifests that were put back: those that it lists, and itself.
    pub manifests: Vec<Digest>,
}

/// What the events of a repository say of what is to be put back.
#[derive(Default)]
struct Deletions {
    /// Whatever was deleted, and not purged afterwards.
    digests: HashSet<Digest>,
    /// Whatever was purged.
    purged: HashSet<Digest>,
    /// What the reference named.
    named: Option<Digest>,
    /// The tags that went with it.
    tags: Vec<Tag>,
}

impl Registry {
    /// Puts a manifest back that was deleted from the repository, and what it lists as far as that was deleted, too: by a
    /// tag, which must be free, or by digest with the tags that went with it and are free.
    ///
    /// # Errors
    /// [`RegistryError::ManifestUnknown`] if no such thing was deleted, or its bytes are gone;
    /// [`RegistryError::MissingReferences`] if a blob or a child is; [`RegistryError::ConditionFailed`] if the tag names
    /// something by now; those of [`Registry::put_manifest`].
    pub async fn undelete(
        &self,
        push: &PushGrant,
        _delete: &DeleteGrant,
        reference: &Reference,
    ) -> Result<Undeleted> {
        let repository = push.repository();
        let unknown = || RegistryError::ManifestUnknown(reference.to_string(), repository.clone());
        let deletions = self.deletions_of(repository, Some(reference)).await?;
        let root = deletions.named.ok_or_else(unknown)?;
        if let Reference::Tag(tag) = reference {
            // Nothing comes back half: a tag that is taken is refused before its manifest is there.
            if let Some(row) = self.index.tagged_manifest(repository, tag).await? {
                if Digest::from(row.canonical) == root {
                    return Ok(Undeleted {
                        digest: root,
                        tags: vec![tag.clone()],
                        manifests: Vec::new(),
                    });
                }
                let current = Some(Box::new(Some(Digest::from(row.canonical))));
                let (what, repository) = (tag.to_string(), repository.clone());
                return Err(RegistryError::ConditionFailed { what, repository, current });
            }
        }
        let mut manifests = Vec::new();
        for digest in self.find_deleted(repository, root, &deletions).await? {
            // One at a time is in memory.
            let Some((manifest, bytes)) = self.deleted_manifest(&digest).await? else { continue };
            let by_digest = Reference::Digest(digest);
            let media_type = Some(manifest.media_type.as_str());
            let condition = Condition::default();
            self.put_manifest(push, &by_digest, Vec::new(), media_type, bytes, condition).await?;
            manifests.push(digest);
        }
        let row = self.index.manifest(repository, &root).await?.ok_or_else(unknown)?;
        let free = Condition { only_if: None, unless: Some(Expected::Anything) };
        let names = match reference {
            Reference::Tag(tag) => vec![tag.clone()],
            Reference::Digest(_) => deletions.tags,
        };
        let mut tags = Vec::new();
        for tag in names {
            let by_tag = Reference::Tag(tag.clone());
            let (media_type, bytes) = (Some(&*row.media_type), row.bytes.clone());
            let put = self.put_manifest(push, &by_tag, Vec::new(), media_type, bytes, free.clone());
            match put.await {
                Ok(_) => tags.push(tag),
                // It names something else by now, and was not the one that was named.
                Err(RegistryError::ConditionFailed { .. } | RegistryError::TagFixed(..))
                    if matches!(reference, Reference::Digest(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Undeleted { digest: root, tags, manifests })
    }

    /// Returns what was deleted from the repository, or purged.
    pub(super) async fn former_contents(
        &self,
        repository: &RepositoryName,
    ) -> Result<HashSet<Digest>> {
        let Deletions { mut digests, purged, .. } = self.deletions_of(repository, None).await?;
        digests.extend(purged);
        Ok(digests)
    }

    /// Reads what was deleted from the repository, the last deletion first, back to where the repository itself was.
    async fn deletions_of(
        &self,
        repository: &RepositoryName,
        reference: Option<&Reference>,
    ) -> Result<Deletions> {
        let mut deletions = Deletions::default();
        let mut before = i64::MAX;
        for _ in 0..PAGES {
            let page = self
                .index
                .events_before(repository, &[DELETE, RETENTION, PURGE], before, EVENTS)
                .await?;
            let is_last = page.len() < EVENTS as usize;
            for Event { seq, change, .. } in page {
                before = seq;
                let NewEvent { kind, reference: names, digest, .. } = change;
                let Some(digest) = digest else {
                    if names.is_none() {
                        // What was there before is of another repository of that name.
                        return Ok(deletions);
                    }
                    continue;
                };
                if kind == PURGE {
                    deletions.purged.insert(digest);
                    continue;
                }
                if deletions.purged.contains(&digest) {
                    continue;
                }
                let tags = names.iter().flat_map(|names| names.split(','));
                let tags: Vec<Tag> = tags.filter_map(|tag| tag.parse().ok()).collect();
                let is_named = match reference {
                    Some(Reference::Digest(meant)) => *meant == digest,
                    Some(Reference::Tag(tag)) => tags.contains(tag),
                    None => false,
                };
                if is_named && deletions.named.is_none() {
                    deletions.named = Some(digest);
                    deletions.tags = tags;
                }
                deletions.digests.insert(digest);
            }
            if is_last {
                break;
            }
        }
        Ok(deletions)
    }

    /// Lists a manifest that is not there and what it lists of what was deleted, each after all that it lists: an index is not
    /// put without its children.
    async fn find_deleted(
        &self,
        repository: &RepositoryName,
        root: Digest,
        deletions: &Deletions,
    ) -> Result<Vec<Digest>> {
        // A manifest stands there twice: before and after what it lists was looked at.
        let (mut open, mut seen, mut found) = (vec![(root, false)], HashSet::new(), Vec::new());
        while let Some((digest, is_looked_at)) = open.pop() {
            if is_looked_at {
                found.push(digest);
                continue;
            }
            // A tag may have gone alone, and its manifest later by a rule.
            let is_deleted = digest == root || deletions.digests.contains(&digest);
            if !is_deleted || seen.len() >= MOST_MANIFESTS || !seen.insert(digest) {
                continue;
            }
            if self.index.manifest(repository, &digest).await?.is_some() {
                continue;
            }
            let Some((manifest, _)) = self.deleted_manifest(&digest).await? else { continue };
            open.push((digest, true));
            open.extend(manifest.children.iter().map(|child| (child.digest, false)));
        }
        Ok(found)
    }

    /// Reads a manifest whose bytes are stored still.
    async fn deleted_manifest(&self, digest: &Digest) -> Result<Option<(Manifest, Bytes)>> {
        let Some(canonical) = digest.canonical() else { return Ok(None) };
        let Some(stored) = self.index.stored_manifest(&canonical).await? else { return Ok(None) };
        Ok(parsed(&stored.bytes).map(|manifest| (manifest, stored.bytes)))
    }
}

/// Parses a manifest that was taken before. One that does not name its media type has that of its form.
fn parsed(bytes: &[u8]) -> Option<Manifest> {
    let types = [None, Some(MediaType::OciManifest), Some(MediaType::OciIndex)];
    types
        .into_iter()
        .find_map(|media_type| Manifest::parse(bytes, media_type.map(MediaType::as_str)).ok())
}
