//! What a manifest needs of its repository.

use std::collections::{HashMap, HashSet};

use super::blobs::content;
use super::{Result, layout};
use crate::index::Writer;
use crate::oci::{CanonicalDigest, Digest, Manifest, RepositoryName};
use crate::storage::{Content, Edit, Storage};

/// What a manifest needs of its repository.
pub(super) struct References {
    /// Blobs that the tree has to hold, by the name in the manifest.
    found: Vec<(Digest, Content)>,
    /// What the repository does not have.
    pub(super) missing: Vec<Digest>,
}

impl References {
    pub(super) async fn find(
        writer: &mut Writer,
        repository: &RepositoryName,
        manifest: &Manifest,
        sparse_indexes: bool,
    ) -> Result<Self> {
        // A layer may be named many times over.
        let mut seen = HashSet::new();
        let mut required: Vec<(Digest, bool)> = Vec::new();
        for blob in manifest.blobs.iter().filter(|blob| !blob.is_foreign()) {
            if seen.insert(blob.digest) {
                required.push((blob.digest, false));
            }
        }
        for child in &manifest.children {
            if seen.insert(child.digest)
                && writer.manifest(repository, &child.digest).await?.is_none()
            {
                required.push((child.digest, sparse_indexes));
            }
        }
        let digests: Vec<Digest> = required.iter().map(|(digest, _)| *digest).collect();
        let mut rows = writer.blobs(repository, &digests).await?;
        let mut references = Self { found: Vec::new(), missing: Vec::new() };
        for (digest, may_be_missing) in required {
            match rows.remove(&digest) {
                Some(row) => references.found.push((digest, content(&row))),
                None if !may_be_missing => references.missing.push(digest),
                None => {}
            }
        }
        Ok(references)
    }

    /// Says what is wrong with the first whose content the storage does not have, though there is a row for it; the
    /// manifest's own content is among them.
    pub(super) fn first_lost<'a>(
        &self,
        manifest: &CanonicalDigest,
        lost: &'a Lost,
    ) -> Option<&'a str> {
        let found = self.found.iter().map(|(_, content)| &content.canonical);
        found.chain([manifest]).find_map(|canonical| lost.get(canonical).map(String::as_str))
    }

    /// Content first, then the links to it.
    pub(super) fn edits(&self, repository: &RepositoryName) -> Vec<Edit> {
        let data = self
            .found
            .iter()
            .map(|(_, content)| Edit::link(layout::blob_data(&content.canonical), content));
        let links = self.found.iter().flat_map(|(digest, content)| {
            with_canonical(content.canonical, *digest).into_iter().map(|name| {
                Edit::put(layout::layer_link(repository, &name), content.canonical.to_string())
            })
        });
        data.chain(links).collect()
    }
}

/// Content that the storage does not have, and what to say of it.
pub(super) type Lost = HashMap<CanonicalDigest, String>;

/// Looks content up in the storage, except what this process stored a moment ago and no process may have removed since:
/// `removable` is what others may.
///
/// # Errors
/// Those of the storage that may pass.
pub(super) async fn lost(
    storage: &dyn Storage,
    contents: Vec<Content>,
    removable: &HashSet<CanonicalDigest>,
) -> Result<Lost> {
    let shared = storage.shared();
    let is_unsure = |content: &Content| {
        removable.contains(&content.canonical)
            || !shared.is_some_and(|shared| shared.has_just_stored(content))
    };
    let unsure: Vec<Content> = contents.into_iter().filter(is_unsure).collect();
    if unsure.is_empty() {
        return Ok(Lost::new());
    }
    let mut lost = Lost::new();
    let found = storage.contain(unsure.clone()).await?;
    for (Content { canonical, .. }, is_there) in unsure.into_iter().zip(found) {
        let why = match is_there {
            Ok(true) => continue,
            Ok(false) => format!("the content of {canonical} is missing in the storage"),
            Err(error) if error.is_retryable() => return Err(error.into()),
            Err(error) => error.to_string(),
        };
        lost.insert(canonical, why);
    }
    Ok(lost)
}

/// Lists the canonical name, and the other one where it is another.
pub(super) fn with_canonical(canonical: CanonicalDigest, name: Digest) -> Vec<Digest> {
    let canonical = Digest::from(canonical);
    if name == canonical { vec![canonical] } else { vec![canonical, name] }
}
