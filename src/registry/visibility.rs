//! Who may see a repository. It is in the tree of those: one that goes to another tree goes with all that it has, in
//! one commit.
//!
//! What leaves the public tree is *withheld*: from the commit on the gateway and the routing refuse its content under
//! every root, and once the edits are folded the folder too, tags and digests included (`former`). Only what other
//! public repositories have is served on.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use super::blobs::content;
use super::intent::{Intent, Planned, Refusal};
use super::layout::{self, TreeFile};
use super::references::Lost;
use super::time::now;
use super::{Registry, RegistryError, Result, deletion};
use crate::auth::{PullGrant, PushGrant, VisibilityGrant};
use crate::index::{Actor, WholeRepository, Writer};
use crate::ipld::Block;
use crate::oci::{CanonicalDigest, Digest, RepositoryName, RepositoryRecord, TreeId, Visibility};
use crate::storage::{Edit, TreeEdit};

/// For how long shared caches may serve what was public, after it is not so any more.
pub const SHARED_CACHE_TIME: Duration = Duration::from_hours(1);

/// How many repositories are listed at a time.
const PAGE: u32 = 1000;

impl Registry {
    /// Says who may see a repository. When it returns, that is so for each request, and what is not public any more is
    /// in no root that the gateway serves. Repeating it succeeds.
    ///
    /// What others have fetched cannot be called back, shared caches serve it on for [`SHARED_CACHE_TIME`], and the root
    /// that is published stays so until the publisher has published the new one.
    ///
    /// # Errors
    /// [`RegistryError::NameUnknown`]; [`RegistryError::MustBePublic`]; [`RegistryError::Waiting`], after which it may
    /// still be done; those of the index and the storage.
    pub async fn set_visibility(
        &self,
        grant: &VisibilityGrant,
        visibility: Visibility,
    ) -> Result<()> {
        let (actor, repository) = (grant.caller().into(), grant.repository().clone());
        if !visibility.is_public() {
            self.expect_private_tree(&repository)?;
        }
        let registry = self.clone();
        let changing = async move {
            let record = registry.index.repository(&repository).await?;
            let record = record.ok_or_else(|| RegistryError::NameUnknown(repository.clone()))?;
            if record.visibility != visibility {
                let intent = Intent::SetVisibility { repository, visibility };
                registry.commit(actor, intent).await?;
            }
            // Also when it is repeated, since the first call may have ended before this.
            if !visibility.is_public() {
                registry.root().await?;
            }
            Ok(())
        };
        self.spawn_uncancellable(changing).await
    }

    /// Folds what a change of visibility left that did not come to its end, so that no root which is served leads to it.
    /// To be called at start.
    ///
    /// # Errors
    /// Those of the index and the storage.
    pub async fn finish_visibility(&self) -> Result<()> {
        if self.index.non_public_count().await? > 0 {
            self.fold_pending().await?;
        }
        Ok(())
    }

    /// Counts the repositories that not everybody may see.
    ///
    /// # Errors
    /// Those of the index.
    pub async fn non_public_count(&self) -> Result<u64> {
        Ok(self.index.non_public_count().await?)
    }

    /// Makes all repositories public, and returns how many were not: for a registry whose clients have no accounts from
    /// now on. Repeating it goes on.
    ///
    /// # Errors
    /// Those of [`Registry::set_visibility`].
    pub async fn make_all_public(&self) -> Result<u64> {
        let private = self.change_all(Visibility::Private, Visibility::Public).await?;
        Ok(private + self.change_all(Visibility::Internal, Visibility::Public).await?)
    }

    /// Makes all public repositories internal, and returns how many there were: for a registry that only its users could
    /// read, at its first start with accounts. Repeating it goes on.
    ///
    /// # Errors
    /// [`RegistryError::MustBePublic`], where there is any; those of [`Registry::set_visibility`].
    pub async fn make_all_internal(&self) -> Result<u64> {
        self.change_all(Visibility::Public, Visibility::Internal).await
    }

    /// Lists the internal repositories.
    pub(super) async fn internal_repositories(&self) -> Result<HashSet<RepositoryName>> {
        let mut all = HashSet::new();
        let mut last: Option<RepositoryName> = None;
        loop {
            let after = last.as_ref().map(RepositoryName::as_str);
            let page = self.index.repositories_seen_by(Visibility::Internal, after, PAGE).await?;
            let Some(end) = page.last() else { return Ok(all) };
            last = Some(end.clone());
            all.extend(page);
        }
    }

    async fn change_all(&self, from: Visibility, to: Visibility) -> Result<u64> {
        let mut count = 0;
        loop {
            let page = self.index.repositories_seen_by(from, None, PAGE).await?;
            let Some(first) = page.first() else { break };
            if !to.is_public() {
                self.expect_private_tree(first)?;
            }
            for repository in page {
                let intent = Intent::SetVisibility { repository, visibility: to };
                self.commit(Actor::default(), intent).await?;
                count += 1;
            }
        }
        if count > 0 {
            self.fold_all().await?;
        }
        Ok(count)
    }

    /// Tells whether everybody may know where what a grant allows to read is in IPFS: it is public, or below a root that
    /// its own publisher has published.
    ///
    /// # Errors
    /// Those of the index.
    pub async fn is_public_below(&self, grant: &PullGrant) -> Result<bool> {
        if grant.foreign().is_some() {
            return Ok(true);
        }
        self.is_public_repository(grant.record(), grant.repository()).await
    }

    /// Tells the same of a repository that was pushed to.
    ///
    /// # Errors
    /// Those of the index.
    pub async fn is_pushed_public(&self, grant: &PushGrant) -> Result<bool> {
        self.is_public_repository(grant.record(), grant.repository()).await
    }

    async fn is_public_repository(
        &self,
        record: Option<&RepositoryRecord>,
        name: &RepositoryName,
    ) -> Result<bool> {
        if let Some(record) = record {
            return Ok(record.visibility.is_public());
        }
        let record = self.index.repository(name).await?;
        Ok(record.is_some_and(|record| record.visibility.is_public()))
    }

    /// Refuses a push to a repository that would not be public, where there is no place for those; it is made by the push
    /// if need be. To be called before bytes are taken.
    ///
    /// # Errors
    /// [`RegistryError::MustBePublic`]; those of the index.
    pub async fn expect_storable(&self, grant: &PushGrant) -> Result<()> {
        self.expect_storable_in(grant.repository(), grant.record()).await?;
        self.make_namespace(grant).await
    }

    /// Makes the namespace of a repository that is about to be made, where there is none: it is the administrators'. Without
    /// accounts there are no namespaces.
    async fn make_namespace(&self, grant: &PushGrant) -> Result<()> {
        if self.limits.new_visibility.is_none() || grant.record().is_some() {
            return Ok(());
        }
        let name = grant.repository().as_str();
        let name = name.split_once('/').map_or(name, |(namespace, _)| namespace);
        if self.index.namespace(name).await?.is_none() {
            let made = self.index.add_namespace(name, None, &grant.caller().into(), now()).await?;
            // Another request may have made it meanwhile.
            tracing::debug!(name, ?made, "a namespace of a first push");
        }
        Ok(())
    }

    /// The same for a repository of which this is known.
    pub(super) async fn expect_storable_in(
        &self,
        name: &RepositoryName,
        record: Option<&RepositoryRecord>,
    ) -> Result<()> {
        if !self.shows_all() {
            return Ok(());
        }
        let visibility = match record {
            Some(record) => record.visibility,
            None => self.index.new_visibility(name).await?,
        };
        if visibility.is_public() {
            return Ok(());
        }
        Err(RegistryError::MustBePublic(name.clone()))
    }

    /// Tells whether everybody who knows a CID can read what is in any tree.
    pub(super) fn shows_all(&self) -> bool {
        self.storage.addressed().is_some()
    }

    /// Refuses a repository that is not public where anyone can read the private tree who knows a CID, and where clients
    /// have no accounts.
    fn expect_private_tree(&self, repository: &RepositoryName) -> Result<()> {
        if self.limits.new_visibility.is_none() {
            return Err(RegistryError::NoAccounts(repository.clone()));
        }
        if self.shows_all() {
            return Err(RegistryError::MustBePublic(repository.clone()));
        }
        Ok(())
    }
}

/// Checks a change of visibility; returns the edits that take the repository to its new tree, if that is another one.
/// In a transaction, in which its record changes.
pub(super) async fn plan(
    writer: &mut Writer,
    repository: &RepositoryName,
    visibility: Visibility,
    lost: &Lost,
) -> Result<Planned> {
    let Some(record) = writer.repository(repository).await? else {
        return Ok(Err(Refusal::Unknown));
    };
    let (from, to) = (record.tree, visibility.tree());
    if from == to {
        return Ok(Ok(Vec::new()));
    }
    let whole = writer.whole_repository(repository).await?;
    let why = whole.contents.iter().find_map(|row| lost.get(&row.canonical));
    // What cannot be had need not be shown. That it cannot be had is no reason to show the rest on.
    if let (Some(why), true) = (why, to.is_public()) {
        return Ok(Err(Refusal::Failed(why.clone())));
    }
    let mut edits = TreeEdit::all(to, arrival(repository, &whole, lost));
    writer.set_visibility(repository, visibility, super::now()).await?;
    let mut departure: Vec<Edit> = layout::parts(repository).map(Edit::remove).into();
    let contents: Vec<CanonicalDigest> = whole.contents.iter().map(|row| row.canonical).collect();
    departure.extend(deletion::unnamed(writer, from, contents).await?);
    edits.extend(TreeEdit::all(from, departure));
    Ok(Ok(edits))
}

/// The edits that give a tree a whole repository, in the order of a push.
pub(super) fn arrival(
    repository: &RepositoryName,
    whole: &WholeRepository,
    lost: &Lost,
) -> Vec<Edit> {
    let there = whole.contents.iter().filter(|row| !lost.contains_key(&row.canonical));
    let mut edits: Vec<Edit> =
        there.map(|row| Edit::link(layout::blob_data(&row.canonical), &content(row))).collect();
    edits.extend(whole.blobs.iter().map(|(name, canonical)| {
        Edit::put(layout::layer_link(repository, name), canonical.to_string())
    }));
    let mut subjects: HashMap<CanonicalDigest, Vec<Digest>> = HashMap::new();
    for (canonical, subject) in &whole.subjects {
        subjects.entry(*canonical).or_default().push(*subject);
    }
    for (name, canonical) in &whole.manifests {
        edits.extend(subjects.get(canonical).into_iter().flatten().map(|subject| {
            Edit::put(layout::referrer_link(repository, subject, name), canonical.to_string())
        }));
    }
    edits.extend(whole.manifests.iter().map(|(name, canonical)| {
        Edit::put(layout::revision_link(repository, name), canonical.to_string())
    }));
    for (tag, row) in &whole.tags {
        let text = row.canonical.to_string();
        edits.push(Edit::put(layout::tag_current_link(repository, tag), text.clone()));
        edits.push(Edit::put(layout::tag_index_link(repository, tag, &row.digest), text));
    }
    edits
}

/// Withholds what the edits of a recorded change of visibility take out of the public tree. In its transaction.
pub(super) async fn withhold(writer: &mut Writer, edits: &[TreeEdit]) -> Result<()> {
    for TreeEdit { tree, edit } in edits {
        if tree.is_public()
            && let Edit::Remove { path } = edit
            && let Some(TreeFile::Content(canonical)) = layout::read(path)
        {
            withhold_content(writer, &canonical).await?;
        }
    }
    Ok(())
}

/// Withholds content, unless a public repository has it.
pub(super) async fn withhold_content(
    writer: &mut Writer,
    canonical: &CanonicalDigest,
) -> Result<()> {
    if writer.is_named(TreeId::Public, canonical).await? {
        return Ok(());
    }
    let link = Block::raw(canonical.to_string().into());
    let content = writer.content_cid(canonical).await?;
    let files: Vec<_> = content.into_iter().chain([link.cid]).collect();
    Ok(writer.withhold(canonical, &files).await?)
}
