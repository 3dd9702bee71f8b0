//! Restoring: an empty registry becomes a copy of a published root.
//!
//! Names come first, then content, each as edits of the tree; then the index is made anew from the tree, with
//! all that it checks. So a copy is the tree that was published, file by file, what deletions have left in it
//! included, and has its root, or it is none. What no client could have pushed is refused where it is met.

mod content;
mod error;
mod names;

use std::collections::HashMap;
use std::fs::File;
use std::sync::Arc;
use std::time::Duration;

use cid::Cid;
use serde::Serialize;

pub use error::RestoreError;

use super::{Progress, Registry, Restorable, Steps, layout};
use crate::auth::Names;
use crate::ipld::Entry;
use crate::oci::{CanonicalDigest, TreeId};
use crate::remote::{Draft, Remote, RemoteErrorKind};
use crate::storage::{Edit, Finished, TreeEdit, TreePath};
use error::Result;

/// How many entries a directory may have.
const ENTRIES: usize = 500_000;

/// How many edits are applied at a time.
const BATCH: usize = 2000;

/// How many directories and links are read at a time.
const WIDTH: usize = 16;

/// How long a source that broke off is left alone, each time that it did.
const PAUSES: [Duration; 3] =
    [Duration::from_millis(500), Duration::from_secs(2), Duration::from_secs(5)];

/// Why something that is where it should not be, or is made otherwise, is refused.
const STRAY: &str =
    "not part of a registry tree; try `ipfs get` and `roadstead adopt`, which give another root";

/// How many blocks of names and links are fetched at once, and how many bytes.
const AHEAD: (u64, u64) = (20_000_000, 4 << 30);

/// What a restoration came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Restored {
    /// The public root, which is the requested one.
    pub root: String,
    /// How many repositories there are.
    pub repositories: usize,
    /// How many manifests they have.
    pub manifests: usize,
    /// How many tags they have.
    pub tags: usize,
    /// How many blobs there are, manifests included.
    pub blobs: usize,
    /// How many of these were fetched this time.
    pub fetched: usize,
    /// How many bytes were fetched this time.
    pub bytes: u64,
}

/// A restoration under way.
struct Restoration<'a> {
    registry: &'a Registry,
    /// The sources of names and links.
    names_from: Remote,
    /// The sources of content.
    content_from: &'a Remote,
    names: &'a Names,
    progress: &'a dyn Progress,
    edits: Vec<Edit>,
    /// What was fetched and verified.
    fresh: HashMap<CanonicalDigest, Finished>,
}

impl Registry {
    /// Makes the empty registry a copy of a root. `names` says which repositories are not this registry's own;
    /// `names_from`, where it is given, is the source of names and links instead.
    ///
    /// No other process may use the storage or the index meanwhile, nor afterwards if it fails. Repeating the call
    /// goes on: content that is there is not fetched again.
    ///
    /// # Errors
    /// [`RestoreError`]. Unless it is the registry's own, the same root will not do a second time; but a peer
    /// may be there again, or a file be whole.
    pub async fn restore(
        &self,
        source: &Restorable,
        names_from: Option<Remote>,
        names: &Names,
        progress: &dyn Progress,
    ) -> Result<Restored> {
        let mut restoration = Restoration {
            registry: self,
            names_from: names_from.unwrap_or_else(|| source.remote.clone()),
            content_from: &source.remote,
            names,
            progress,
            edits: Vec::new(),
            fresh: HashMap::new(),
        };
        progress.begin("taking names", Steps::Unknown);
        let content = restoration.take_names(source.root).await?;
        restoration.take_content(content).await?;
        restoration.apply(0).await?;
        self.storage.sync().await?;
        let fresh = std::mem::take(&mut restoration.fresh);
        let (fetched, bytes) =
            (fresh.len(), fresh.values().map(|finished| finished.content.size).sum());
        let rebuilt = self.rebuild_index_after(fresh, progress).await?;
        let root = self.root().await?;
        if root != source.root || !rebuilt.dropped.is_empty() {
            let (expected, found) = (source.root.to_string(), root.to_string());
            return Err(RestoreError::Differs { expected, found, dropped: rebuilt.dropped });
        }
        Ok(Restored {
            root: root.to_string(),
            repositories: rebuilt.repositories,
            manifests: rebuilt.manifests,
            tags: rebuilt.tags,
            blobs: rebuilt.blobs,
            fetched,
            bytes,
        })
    }

    /// Returns whether no tree has anything in it.
    ///
    /// # Errors
    /// Those of the storage.
    pub async fn is_empty(&self) -> super::Result<bool> {
        for tree in TreeId::ALL {
            let entries = self.storage.list(tree, &TreePath::root()).await?;
            if entries.is_some_and(|entries| !entries.is_empty()) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Removes all names of the public tree: what an earlier restoration of another root has left. Content
    /// stays.
    ///
    /// # Errors
    /// Those of the storage.
    pub async fn clear_tree(&self) -> super::Result<()> {
        let entries =
            self.storage.list(TreeId::Public, &TreePath::root()).await?.unwrap_or_default();
        let paths = entries.iter().filter_map(|(name, _)| TreePath::root().child(name));
        let edits = TreeEdit::all(TreeId::Public, paths.map(Edit::remove));
        Ok(self.storage.apply(&edits).await?)
    }
}

impl Restoration<'_> {
    /// Applies the edits that wait, if they are more than that.
    async fn apply(&mut self, more_than: usize) -> Result<()> {
        if self.edits.len() > more_than {
            let edits = TreeEdit::all(TreeId::Public, std::mem::take(&mut self.edits));
            self.registry.storage.apply(&edits).await?;
        }
        Ok(())
    }
}

/// Lists the directory at a path.
async fn list(remote: &Remote, cid: Cid, path: &TreePath) -> Result<Vec<(TreePath, Entry)>> {
    let found = patiently(async || {
        let found = remote.list(cid, Vec::new(), ENTRIES).await;
        found.map_err(|error| RestoreError::unread(path, error))
    });
    let found = found.await?;
    let entries = found.ok_or_else(|| RestoreError::unfit(path.as_str(), STRAY))?;
    let located = entries.into_iter().map(|entry| {
        let below = path.child(&entry.name).ok_or_else(|| {
            let entry_path = format!("{path}/{}", entry.name);
            RestoreError::unfit(&entry_path, "not a valid name of a file or directory")
        })?;
        Ok((below, entry))
    });
    located.collect()
}

/// Tries again what no source had, for each of them may have been away for a moment.
async fn patiently<T>(mut attempt: impl AsyncFnMut() -> Result<T>) -> Result<T> {
    let mut pauses = PAUSES.iter();
    loop {
        let error = match attempt().await {
            Ok(done) => return Ok(done),
            Err(error) => error,
        };
        let may_pass = matches!(&error, RestoreError::Unread { source, .. }
            if matches!(source.kind, RemoteErrorKind::Unreachable | RemoteErrorKind::TimedOut));
        let Some(pause) = pauses.next().filter(|_| may_pass) else { return Err(error) };
        tokio::time::sleep(*pause).await;
    }
}

impl Restorable {
    /// Fetches all names and links at once, where a source allows that, into two empty files; returns the source to
    /// read them from. One by one each would cost a round trip.
    pub async fn names_ahead(&self, file: File, notes: File) -> Remote {
        let mut draft = Draft::new(file, notes);
        let components = layout::repositories().components().map(str::to_owned).collect();
        let outcome = self.remote.subtree(self.root, components, AHEAD, &mut draft).await;
        if let Err(error) = outcome {
            tracing::info!(%error, "failed to fetch the names at once; fetching them one by one");
        }
        match draft.finish("what was fetched") {
            Ok(names) => self.remote.after(Arc::new(names)),
            Err(_) => self.remote.clone(),
        }
    }
}

/// The path of all content.
fn blobs() -> TreePath {
    layout::blobs()
}
