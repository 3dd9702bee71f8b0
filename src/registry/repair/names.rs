//! Names: what the index has of a repository, and its tree has not.

use std::collections::HashSet;

use super::super::blobs::content;
use super::super::visibility::arrival;
use super::super::walk::{LINK_BYTES, PassedOver};
use super::super::{Registry, Result, references};
use super::fault::Mended;
use crate::index::WholeRepository;
use crate::oci::{CanonicalDigest, RepositoryName, TreeId};
use crate::storage::{Content, Edit, TreeEdit, TreePath};

/// What to do where the tree has more than the index.
const REBUILD: &str = "the tree has names that the index has not, or others: `roadstead index rebuild` makes the index \
                       anew from the tree";

impl Registry {
    /// Gives the tree the names of a repository that the index has. Where the tree has others, or more, the index may be
    /// the one that is behind, and nothing is changed.
    pub(super) async fn mend_names(&self, repository: &RepositoryName) -> Result<Mended> {
        let about = format!("repository {repository}");
        let mut writer = self.index.lock().await?;
        self.drain(&mut writer).await?;
        let Some(record) = writer.repository(repository).await? else {
            return Ok(Mended::left(&about, REBUILD));
        };
        let tree = record.tree;
        let whole = writer.whole_repository(repository).await?;
        if self.has_more(tree, repository, &whole).await {
            return Ok(Mended::left(&about, REBUILD));
        }
        let contents: Vec<Content> = whole.contents.iter().map(content).collect();
        let lost = references::lost(self.storage.as_ref(), contents, &HashSet::new()).await?;
        let mut missing = Vec::new();
        for edit in arrival(repository, &whole, &lost) {
            match self.is_missing(tree, &edit).await {
                Ok(true) => missing.push(edit),
                Ok(false) => {}
                Err(other) => return Ok(Mended::left(&about, other)),
            }
        }
        if missing.is_empty() {
            return Ok(Mended::default());
        }
        let count = missing.len();
        let edits = TreeEdit::all(tree, missing);
        let applied = async {
            self.storage.apply(&edits).await?;
            self.storage.sync().await
        };
        if let Err(error) = applied.await {
            let why = if error.is_full() {
                "cannot put its names back: there is no space on the disk".to_owned()
            } else {
                format!("cannot put its names back: {error}")
            };
            return Ok(Mended::left(&about, why));
        }
        let names = if count == 1 { "1 name" } else { &format!("{count} names") };
        let tree = tree.as_str();
        Ok(Mended::done(&about, format!("put {names} back into the {tree} tree from the index")))
    }

    /// Returns whether the tree has a manifest or a tag of a repository that the index has not, or where it points to
    /// another manifest.
    async fn has_more(
        &self,
        tree: TreeId,
        repository: &RepositoryName,
        whole: &WholeRepository,
    ) -> bool {
        let mut passed = PassedOver::default();
        let links = self.tree(tree).links(repository, &mut passed).await;
        let manifests: HashSet<_> = whole.manifests.iter().copied().collect();
        let is_other = |target: Option<CanonicalDigest>, expected: Option<CanonicalDigest>| {
            // A link without a digest says nothing.
            target.is_some() && target != expected
        };
        links.revisions.iter().any(|link| {
            // One that leads from one sha256 digest to another is no manifest at all.
            let is_sound = |target| link.name.canonical().is_none_or(|name| name == target);
            link.target
                .is_some_and(|target| is_sound(target) && !manifests.contains(&(link.name, target)))
        }) || links.tags.iter().any(|tag| {
            let known = whole.tags.iter().find(|(name, _)| *name == tag.current.name);
            is_other(tag.current.target, known.map(|(_, row)| row.canonical))
        })
    }

    /// Returns whether a tree lacks what an edit puts there.
    async fn is_missing(&self, tree: TreeId, edit: &Edit) -> std::result::Result<bool, String> {
        match edit {
            Edit::Link { path, .. } => {
                let Some(content) = edit.content() else { return Ok(false) };
                let is_linked = self.storage.is_linked(tree, path, &content).await;
                is_linked.map(|is_linked| !is_linked).map_err(|error| error.to_string())
            }
            Edit::Put { path, text } => {
                let found = match self.storage.read(tree, path, LINK_BYTES).await {
                    Err(error) if error.is_retryable() => return Err(error.to_string()),
                    // Whatever is there, it is no link.
                    found => found.unwrap_or_default(),
                };
                let found = found.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
                match found {
                    Some(found) if found == *text => Ok(false),
                    // Where the path says what is there, anything else is wrong.
                    Some(_) if is_named_by(path, text) => Ok(true),
                    Some(found) if found.trim().parse::<CanonicalDigest>().is_ok() => {
                        let other = format!("{path} leads elsewhere than in the index: {REBUILD}");
                        Err(other)
                    }
                    // It holds no digest, as after a loss of power.
                    Some(_) | None => Ok(true),
                }
            }
            Edit::Remove { .. } => Ok(false),
        }
    }
}

/// Returns whether the path of a link has the digest that it is to hold.
fn is_named_by(path: &TreePath, text: &str) -> bool {
    text.parse::<CanonicalDigest>().is_ok_and(|digest| {
        let hex = digest.hex();
        path.components().any(|component| component == hex)
    })
}
