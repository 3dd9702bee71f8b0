//! Edits of trees: what the queue stores and replays.

use cid::Cid;
use serde::{Deserialize, Serialize};

use super::{Content, StorageError, StorageErrorKind, TreePath};
use crate::oci::{CanonicalDigest, TreeId};

/// One edit of a tree. Applying it twice is applying it once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Edit {
    /// Stored content stands at the path.
    Link {
        /// Where.
        path: TreePath,
        /// Its canonical digest, as text.
        digest: String,
        /// The CID of its bytes, as text.
        cid: String,
        /// In bytes.
        size: u64,
    },
    /// A small file of text stands at the path.
    Put {
        /// Where.
        path: TreePath,
        /// Its bytes.
        text: String,
    },
    /// Nothing stands at the path, nor at directories above that this leaves empty.
    Remove {
        /// Where; a directory goes with all that is in it.
        path: TreePath,
    },
}

impl Edit {
    /// Where it is.
    pub(super) fn path(&self) -> &TreePath {
        match self {
            Self::Link { path, .. } | Self::Put { path, .. } | Self::Remove { path } => path,
        }
    }

    /// The content that it links, if it links any.
    #[must_use]
    pub fn content(&self) -> Option<Content> {
        let Self::Link { digest, cid, size, .. } = self else { return None };
        linked(digest, cid, *size).ok()
    }

    /// Makes the edit that links content.
    #[must_use]
    pub fn link(path: TreePath, content: &Content) -> Self {
        Self::Link {
            path,
            digest: content.canonical.to_string(),
            cid: content.cid.to_string(),
            size: content.size,
        }
    }

    /// Makes the edit that puts text.
    #[must_use]
    pub fn put(path: TreePath, text: impl Into<String>) -> Self {
        Self::Put { path, text: text.into() }
    }

    /// Makes the edit that removes.
    #[must_use]
    pub fn remove(path: TreePath) -> Self {
        Self::Remove { path }
    }
}

/// An edit, and the tree that it is made in. What is stored names no tree where that is the public one: earlier
/// versions knew no other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TreeEdit {
    /// The tree.
    #[serde(default, skip_serializing_if = "TreeId::is_public")]
    pub tree: TreeId,
    /// What is done there.
    #[serde(flatten)]
    pub edit: Edit,
}

impl TreeEdit {
    /// Makes edits in a tree.
    pub fn all(tree: TreeId, edits: impl IntoIterator<Item = Edit>) -> Vec<Self> {
        edits.into_iter().map(|edit| Self { tree, edit }).collect()
    }

    /// Returns those of a tree, in their order.
    pub fn of_tree(tree: TreeId, edits: impl IntoIterator<Item = Self>) -> Vec<Edit> {
        edits.into_iter().filter(|edit| edit.tree == tree).map(|edit| edit.edit).collect()
    }
}

/// Reads the content that a [`Edit::Link`] names.
pub(super) fn linked(digest: &str, cid: &str, size: u64) -> Result<Content, StorageError> {
    let damaged = || {
        StorageError::new(StorageErrorKind::Damaged, format!("an edit names `{digest}` as `{cid}`"))
    };
    let canonical: CanonicalDigest = digest.parse().map_err(|_| damaged())?;
    let cid: Cid = cid.parse().map_err(|_| damaged())?;
    Ok(Content { canonical, cid, size })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_stored_names_every_tree_but_the_public_one() {
        let path = TreePath::parse("a/link").unwrap();
        let edit = Edit::put(path.clone(), "text");
        for (tree, expected) in [
            (TreeId::Public, r#"[{"put":{"path":"a/link","text":"text"}}]"#),
            (TreeId::Private, r#"[{"tree":"private","put":{"path":"a/link","text":"text"}}]"#),
        ] {
            let edits = TreeEdit::all(tree, [edit.clone()]);
            assert_eq!(serde_json::to_string(&edits).unwrap(), expected);
            assert_eq!(serde_json::from_str::<Vec<TreeEdit>>(expected).unwrap(), edits);
        }
        let other = r#"[{"tree":"unknown","remove":{"path":"a"}}]"#;
        assert!(serde_json::from_str::<Vec<TreeEdit>>(other).is_err(), "no tree is guessed");
    }
}
