//! A foreign repository: the name that it has below the root, and what its links say.

use std::sync::Arc;

use cid::Cid;
use tokio::task::spawn_blocking;

use super::super::Result;
use super::roots::Located;
use crate::oci::{CanonicalDigest, ForeignName, RepositoryName, RootName};
use crate::remote::{self, File, LinkCache, Remote, RemoteError, RemoteErrorKind};
use crate::storage::TreePath;

/// The longest link that is read.
const LINK: u64 = 1024;

/// The most names of a directory that are read.
const NAMES: usize = 100_000;

/// A foreign repository, found.
pub(super) struct ForeignRepository {
    located: Located,
    /// The names that it may have below the root: trees of the earlier driver repeat the domain.
    names: Vec<RepositoryName>,
    /// The label of its entries in the cache: its owner, and its name there.
    pub(super) label: String,
    answers: Arc<LinkCache>,
}

impl ForeignRepository {
    pub(super) fn new(name: &ForeignName, located: Located, answers: Arc<LinkCache>) -> Self {
        let mut names = vec![name.repository.clone()];
        if let RootName::Domain(domain) = &name.root {
            names.extend(format!("{domain}/{}", name.repository).parse());
        }
        Self { located, names, label: label(name), answers }
    }

    /// Returns the root that it is below.
    pub(super) fn root(&self) -> Cid {
        self.located.root
    }

    /// Returns the sources of what is below the root.
    pub(super) fn remote(&self) -> Remote {
        self.located.remote.clone()
    }

    /// Returns the name that the root was found under.
    pub(super) fn root_name(&self) -> &str {
        self.label.split_once('/').map_or(self.label.as_str(), |(root, _)| root)
    }

    /// Returns the names that it may have there.
    pub(super) fn names(&self) -> &[RepositoryName] {
        &self.names
    }

    /// Opens a file below the root; none if it is proved that there is none.
    pub(super) async fn open(&self, path: &TreePath) -> remote::Result<Option<File>> {
        let Located { root, remote, .. } = &self.located;
        remote.open(*root, self.located.below(path), None).await
    }

    /// Returns the root of a file and its length; none if it is proved that there is none.
    pub(super) async fn stat(&self, path: &TreePath) -> remote::Result<Option<(Cid, u64)>> {
        let Located { root, remote, .. } = &self.located;
        remote.stat(*root, self.located.below(path)).await
    }

    /// Reads a link under whatever name the repository has.
    pub(super) async fn link(
        &self,
        path: impl Fn(&RepositoryName) -> TreePath,
    ) -> Result<Option<CanonicalDigest>> {
        let Located { root, remote, .. } = &self.located;
        for name in &self.names {
            let path = self.located.below(&path(name));
            if let Some(digest) = self.recall(path.clone()).await {
                return Ok(Some(digest));
            }
            let found = remote.read(*root, path.clone(), LINK).await?;
            let Some((_, bytes)) = found else { continue };
            let digest = std::str::from_utf8(&bytes).ok().and_then(|text| text.parse().ok());
            let nonsense = || {
                let what = format!("the link at {} is not a digest", path.join("/"));
                RemoteError::new(RemoteErrorKind::Invalid, what)
            };
            let digest = digest.ok_or_else(nonsense)?;
            let (answers, root) = (Arc::clone(&self.answers), *root);
            let remembered = spawn_blocking(move || answers.remember(&root, &path, &digest)).await;
            if let Err(error) = remembered.map_err(std::io::Error::other).flatten() {
                tracing::warn!(%error, "failed to store a link in the cache");
            }
            return Ok(Some(digest));
        }
        Ok(None)
    }

    /// Reads a link that was read before, without a request.
    pub(super) async fn known_link(
        &self,
        path: impl Fn(&RepositoryName) -> TreePath,
    ) -> Option<CanonicalDigest> {
        for name in &self.names {
            let found = self.recall(self.located.below(&path(name))).await;
            if found.is_some() {
                return found;
            }
        }
        None
    }

    /// Recalls what the link at a path holds.
    async fn recall(&self, path: Vec<String>) -> Option<CanonicalDigest> {
        let (answers, root) = (Arc::clone(&self.answers), self.located.root);
        spawn_blocking(move || answers.recall(&root, &path)).await.ok().flatten()
    }

    /// Lists the names in a directory, bytewise.
    pub(super) async fn list(&self, path: &TreePath) -> Result<Option<Vec<String>>> {
        let Located { root, remote, .. } = &self.located;
        let entries = remote.list(*root, self.located.below(path), NAMES).await?;
        Ok(entries.map(|entries| entries.into_iter().map(|entry| entry.name).collect()))
    }
}

/// Returns the label of a repository's entries in the cache: its root and its name.
pub(super) fn label(name: &ForeignName) -> String {
    format!("{}/{}", name.root, name.repository)
}
