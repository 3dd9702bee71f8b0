//! Purging: an operator takes back what a manifest brought.
//!
//! The manifest goes as a deletion takes it, and with it those of its children that no tag and no other manifest of
//! the repository names. What nothing else needs of what they name is *withdrawn*: the gateway and the routing refuse
//! its blocks under every root, earlier ones too, and its bytes are removed, unless a repository has them as a blob
//! still. The rest of those roots is served on.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use bytes::{Bytes, BytesMut};
use cid::Cid;
use futures_util::TryStreamExt;
use serde::{Deserialize, Serialize};

use super::blobs::blob_without_blocks;
use super::guard::Guard;
use super::intent::{Intent, PlannedInTree, Refusal};
use super::{Condition, Registry, RegistryError, Result, deletion, now};
use crate::auth::DeleteGrant;
use crate::index::{Actor, Writer};
use crate::ipld::Block;
use crate::oci::{CanonicalDigest, Digest, Manifest, RepositoryName, TreeId};
use crate::storage::{Content, Edit};

/// How many repositories are named that have a blob still, and how many manifests that need one.
const LISTED: u32 = 100;

/// How many manifests and blobs a purge on behalf of a client is about at most: others cannot push meanwhile.
const MOST_OF_CLIENT: usize = 1000;

/// What a purge came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Purged {
    /// The public root without it.
    pub root: String,
    /// What was withdrawn: manifests and blobs.
    pub withdrawn: Vec<Withdrawn>,
    /// What other manifests need, and is served on.
    pub needed: Vec<String>,
    /// Which these are, as `team/app@sha256:0123…`, by what they need; the first hundred of each.
    #[serde(default)]
    pub needed_by: BTreeMap<String, Vec<String>>,
}

/// Content that was withdrawn.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Withdrawn {
    /// Its digest.
    pub digest: String,
    /// In bytes; 0 where its bytes were gone before.
    pub size: u64,
    /// The repositories that have it as a blob still, for which its bytes stay; the first hundred.
    #[serde(rename = "kept_for")]
    pub owners: Vec<String>,
}

/// What a purge is about.
#[derive(Default)]
struct Contents {
    all: BTreeSet<CanonicalDigest>,
    children: BTreeSet<CanonicalDigest>,
    /// What is stored, and not in the index: a rebuild forgets what no manifest names.
    forgotten: BTreeMap<CanonicalDigest, Content>,
    /// Of a purge on behalf of a client, what the repository had: what others have alone is not looked for.
    former: Option<HashSet<Digest>>,
}

impl Registry {
    /// Deletes a manifest or a blob of a repository, and withdraws what only that needs. One that the repository
    /// has no longer is withdrawn all the same. Returns when the bytes are gone; repeating it succeeds as long as
    /// anything of it is stored.
    ///
    /// # Errors
    /// [`RegistryError::ManifestUnknown`] when nothing of that digest is stored; [`RegistryError::Referenced`] while
    /// a manifest of the repository references it; [`RegistryError::Waiting`] when it was withdrawn, and its bytes
    /// could not be removed yet: the next start or purge does that.
    pub async fn purge(&self, repository: &RepositoryName, digest: &Digest) -> Result<Purged> {
        let contents = self.contents(repository, digest, Contents::default()).await?;
        self.purge_as(Actor::default(), Guard::default(), repository, digest, contents).await
    }

    /// Purges a manifest that the repository has, or had not long ago, on behalf of who may delete it. What the rules
    /// protect stays. It is carried to its end, even if this future is dropped.
    ///
    /// # Errors
    /// As [`Registry::purge`]; [`RegistryError::ManifestUnknown`] if it was never there; [`RegistryError::TagProtected`];
    /// [`RegistryError::PurgeTooLarge`]
    pub async fn purge_for(&self, grant: &DeleteGrant, digest: &Digest) -> Result<Purged> {
        let (repository, digest) = (grant.repository().clone(), *digest);
        // What others have is neither found nor told.
        let former = self.former_contents(&repository).await?;
        let is_there = self.index.manifest(&repository, &digest).await?.is_some();
        if !is_there && !former.contains(&digest) {
            return Err(RegistryError::ManifestUnknown(digest.to_string(), repository));
        }
        let (registry, actor) = (self.clone(), grant.caller().into());
        let guard = self.guard_deletion(&repository);
        let purging = async move {
            let contents = Contents { former: Some(former), ..Contents::default() };
            let contents = registry.contents(&repository, &digest, contents).await?;
            if contents.all.len() > MOST_OF_CLIENT {
                return Err(RegistryError::PurgeTooLarge(digest));
            }
            registry.purge_as(actor, guard, &repository, &digest, contents).await
        };
        self.spawn_uncancellable(purging).await
    }

    async fn purge_as(
        &self,
        actor: Actor,
        guard: Guard,
        repository: &RepositoryName,
        digest: &Digest,
        contents: Contents,
    ) -> Result<Purged> {
        let Contents { all, children, forgotten, .. } = contents;
        let mut sizes = Vec::with_capacity(all.len());
        for canonical in &all {
            sizes.push(match forgotten.get(canonical) {
                Some(content) => content.size,
                None => self.size(canonical).await?,
            });
        }
        if !forgotten.is_empty() {
            // It is withdrawn, and its bytes removed, as what the index has.
            let mut writer = self.index.lock().await?;
            for content in forgotten.values() {
                writer.put_blob(None, &blob_without_blocks(content, Vec::new()), now()).await?;
            }
        }
        let intent = Intent::Purge {
            repository: repository.clone(),
            digest: *digest,
            contents: all.iter().copied().collect(),
            children: children.into_iter().collect(),
            guard,
        };
        self.commit(actor, intent).await?;
        let contents: Vec<CanonicalDigest> = all.iter().copied().collect();
        let root = self.forget_withdrawn(&contents).await?;
        let (mut withdrawn, mut needed, mut needed_by) = (Vec::new(), Vec::new(), BTreeMap::new());
        let mut writer = self.index.lock().await?;
        let tree = writer.tree_of(repository).await?;
        for (canonical, size) in all.iter().zip(sizes) {
            let by = writer.needing(tree, canonical, LISTED).await?;
            if !by.is_empty() {
                let by = by.iter().map(|(name, manifest)| format!("{name}@{manifest}"));
                needed.push(canonical.to_string());
                needed_by.insert(canonical.to_string(), by.collect());
                continue;
            }
            let holders = self.index.repositories_with_blob(&(*canonical).into(), LISTED).await?;
            withdrawn.push(Withdrawn {
                digest: canonical.to_string(),
                size,
                owners: holders.iter().map(ToString::to_string).collect(),
            });
        }
        drop(writer);
        // Others read earlier published roots, which may have it, from a storage that keeps them for that.
        if let Some(announcer) = self.storage.announcer() {
            announcer.release_published(&[root]).await?;
        }
        self.storage.clean().await?;
        Ok(Purged { root: root.to_string(), withdrawn, needed, needed_by })
    }

    /// Removes the bytes that a purge left which did not come to its end. To be called at start.
    ///
    /// # Errors
    /// Those of the index and the storage; [`RegistryError::Waiting`]
    pub async fn finish_purges(&self) -> Result<()> {
        let contents = self.index.lock().await?.withdrawn().await?;
        if !contents.is_empty() {
            self.forget_withdrawn(&contents).await?;
        }
        Ok(())
    }

    /// Lists a manifest with what it names, or a blob.
    async fn contents(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
        mut contents: Contents,
    ) -> Result<Contents> {
        let first = self.find(repository, digest, &mut contents).await?;
        let first = first.ok_or(RegistryError::NothingStored(*digest))?;
        contents.all.insert(first);
        let mut open = vec![first];
        while let Some(canonical) = open.pop() {
            let Some(bytes) = self.manifest_bytes(&canonical, &contents).await? else { continue };
            let row = self.index.manifest(repository, &canonical.into()).await?;
            let media_type = row.map(|row| row.media_type);
            let Ok(manifest) = Manifest::parse(&bytes, media_type.as_deref()) else {
                continue;
            };
            for blob in manifest.blobs.iter().filter(|blob| !blob.is_foreign()) {
                let found = self.find(repository, &blob.digest, &mut contents).await?;
                contents.all.extend(found);
            }
            for child in &manifest.children {
                let found = self.find(repository, &child.digest, &mut contents).await?;
                let Some(canonical) = found else { continue };
                contents.all.insert(canonical);
                if canonical != first && contents.children.insert(canonical) {
                    open.push(canonical);
                }
            }
        }
        Ok(contents)
    }

    /// Finds stored content by a name, that of a repository if it has it.
    async fn find(
        &self,
        repository: &RepositoryName,
        name: &Digest,
        contents: &mut Contents,
    ) -> Result<Option<CanonicalDigest>> {
        if let Some(row) = self.index.manifest(repository, name).await? {
            return Ok(Some(row.canonical));
        }
        if let Some(row) = self.index.recorded_blob(repository, name).await? {
            return Ok(Some(row.canonical));
        }
        if contents.former.as_ref().is_some_and(|former| !former.contains(name)) {
            return Ok(None);
        }
        let Some(canonical) = name.canonical() else { return Ok(None) };
        if contents.forgotten.contains_key(&canonical)
            || self.index.stored_manifest(&canonical).await?.is_some()
            || self.index.stored_blob(&canonical).await?.is_some()
        {
            return Ok(Some(canonical));
        }
        // Other bytes under that name are not what was to be purged.
        let found = self.stored(&canonical).await?.filter(|it| it.canonical == canonical);
        let Some(content) = found else { return Ok(None) };
        contents.forgotten.insert(canonical, content);
        Ok(Some(canonical))
    }

    /// Finds content in the storage, whether the index has it or not.
    async fn stored(&self, canonical: &CanonicalDigest) -> Result<Option<Content>> {
        if let Some(found) = self.storage.find(canonical).await? {
            return Ok(Some(found));
        }
        let Some(trees) = self.storage.addressed() else { return Ok(None) };
        // What was purged may be there until it is collected, but nothing serves it.
        if self.index.is_content_withdrawn(canonical).await? {
            return Ok(None);
        }
        Ok(trees.removed_leaf(canonical).await?)
    }

    /// Reads what may be a manifest; none where it is too large for one.
    async fn manifest_bytes(
        &self,
        canonical: &CanonicalDigest,
        contents: &Contents,
    ) -> Result<Option<Bytes>> {
        let Some(content) = contents.forgotten.get(canonical) else {
            let stored = self.index.stored_manifest(canonical).await?;
            return Ok(stored.map(|stored| stored.bytes));
        };
        if content.size > self.limits.manifest_bytes as u64 {
            return Ok(None);
        }
        let mut bytes = BytesMut::new();
        let mut pieces = self.storage.open(content, 0..content.size).await?;
        while let Some(piece) = pieces.try_next().await? {
            bytes.extend_from_slice(&piece);
        }
        Ok(Some(bytes.freeze()))
    }

    async fn size(&self, canonical: &CanonicalDigest) -> Result<u64> {
        if let Some(row) = self.index.stored_blob(canonical).await? {
            return Ok(row.size);
        }
        let manifest = self.index.stored_manifest(canonical).await?;
        Ok(manifest.map_or(0, |manifest| manifest.bytes.len() as u64))
    }
}

/// Checks a purge of a repository that is in that tree, and takes rows away in the open transaction.
pub(super) async fn plan(
    writer: &mut Writer,
    tree: TreeId,
    repository: &RepositoryName,
    digest: &Digest,
    contents: &[CanonicalDigest],
    children: &[CanonicalDigest],
) -> Result<PlannedInTree> {
    let mut edits = match remove(writer, tree, repository, digest, children).await? {
        Ok(edits) => edits,
        Err(refusal) => return Ok(Err(refusal)),
    };
    for canonical in contents {
        if writer.is_needed(tree, canonical).await? {
            continue;
        }
        // What deletions of earlier versions left.
        for name in writer.linking(tree, canonical).await? {
            edits.extend(deletion::unlink(writer, &name, canonical).await?);
        }
        edits.extend(deletion::unnamed(writer, tree, [*canonical]).await?);
    }
    Ok(Ok(edits))
}

/// Takes rows away as [`plan`] has found, in the open transaction.
pub(super) async fn record(
    writer: &mut Writer,
    repository: &RepositoryName,
    digest: &Digest,
    contents: &[CanonicalDigest],
    children: &[CanonicalDigest],
) -> Result<()> {
    let tree = writer.tree_of(repository).await?;
    // The same comes out of it as when it was checked.
    let _: PlannedInTree = remove(writer, tree, repository, digest, children).await?;
    for canonical in contents {
        if !writer.is_needed(tree, canonical).await? {
            writer.remove_blob(repository, canonical).await?;
        }
    }
    Ok(())
}

/// Writes down what a recorded purge of a repository withdraws: what neither its tree nor the public one needs.
pub(super) async fn withdraw(
    writer: &mut Writer,
    repository: &RepositoryName,
    contents: &[CanonicalDigest],
) -> Result<()> {
    let tree = writer.tree_of(repository).await?;
    for canonical in contents {
        if writer.is_needed(tree, canonical).await?
            || !tree.is_public() && writer.is_needed(TreeId::Public, canonical).await?
        {
            continue;
        }
        let link = Block::raw(canonical.to_string().into());
        let content = writer.content_cid(canonical).await?;
        let files: Vec<Cid> = content.into_iter().chain([link.cid]).collect();
        writer.withdraw(canonical, &files).await?;
    }
    Ok(())
}

/// Deletes the manifest or the blob, if it is there, and children that nothing names then. In a transaction, in which
/// their rows go.
async fn remove(
    writer: &mut Writer,
    tree: TreeId,
    repository: &RepositoryName,
    digest: &Digest,
    children: &[CanonicalDigest],
) -> Result<PlannedInTree> {
    let deleted = if writer.manifest(repository, digest).await?.is_some() {
        deletion::plan_manifest(writer, tree, repository, digest, &Condition::default()).await?
    } else {
        deletion::plan_blob(writer, tree, repository, digest).await?
    };
    let mut edits: Vec<Edit> = match deleted {
        Ok(edits) => edits,
        // It was deleted before.
        Err(Refusal::Unknown) => Vec::new(),
        Err(refusal) => return Ok(Err(refusal)),
    };
    // An index that goes may have been the last to name another one.
    let mut open: Vec<CanonicalDigest> = children.to_vec();
    loop {
        let (mut left, before) = (Vec::new(), open.len());
        for canonical in open {
            let name = Digest::from(canonical);
            if writer.manifest(repository, &name).await?.is_none() {
                continue;
            }
            let names = writer.manifest_names(repository, &canonical).await?;
            if writer.tags_of(repository, &canonical).await?.is_empty()
                && writer.referencing(repository, &names, 1).await?.is_empty()
                && let Ok(gone) =
                    deletion::plan_manifest(writer, tree, repository, &name, &Condition::default())
                        .await?
            {
                edits.extend(gone);
            } else {
                left.push(canonical);
            }
        }
        if left.len() == before || left.is_empty() {
            return Ok(Ok(edits));
        }
        open = left;
    }
}
