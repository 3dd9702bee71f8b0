//! Checking the whole store: digests, CIDs, links, and the index against the trees.
//!
//! It changes nothing, and works beside a running server: what is found while the registry moves
//! counts only if it is found again. `cli` calls it; `content` reads bytes, `look` compares links
//! and rows, `totals` counts what nothing needs.

mod content;
mod finding;
mod look;
mod totals;

use std::collections::BTreeSet;
use std::time::Duration;

use serde::Serialize;

use super::{Progress, Registry, Result};
use crate::index::Folding;
use crate::oci::TreeId;
use content::Reading;
pub use finding::Finding;
use look::Look;

/// How often a registry that moves is looked at again, and after how long.
const LOOKS: usize = 5;
const PAUSE: Duration = Duration::from_millis(200);

/// What a check found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// How many blobs were read, manifests included.
    pub blobs: usize,
    /// How many bytes that was.
    pub bytes: u64,
    /// How many of the blobs belong to no repository and are in no tree. That is no damage: deletions leave
    /// them, and uploads that were never finished.
    pub orphans: usize,
    /// How many bytes those have.
    pub orphan_bytes: u64,
    /// How many of the blobs no manifest of any repository names, orphans and leftovers among them: pushed and not
    /// named yet, or left by deletions.
    pub unreferenced: usize,
    /// How many bytes those have.
    pub unreferenced_bytes: u64,
    /// How many blobs the trees have although no manifest names them, counted for each repository that links
    /// one: deletions of earlier versions left them. `index rebuild` removes them.
    pub leftovers: usize,
    /// How many bytes of content the trees would have less without them.
    pub leftover_bytes: u64,
    /// How many manifests neither a tag nor an index leads to, and that refer to no manifest of their repository.
    pub untagged: usize,
    /// Which those are: `name@digest`.
    pub untagged_manifests: Vec<String>,
    /// How many repositories were looked at.
    pub repositories: usize,
    /// How many tags were looked at.
    pub tags: usize,
    /// The public root.
    pub root: String,
    /// All that is wrong; none if all is well.
    pub findings: Vec<Finding>,
}

impl Registry {
    /// Reads the whole store and says what is wrong with it.
    ///
    /// # Errors
    /// Those of the index and the storage that keep it from going on.
    pub async fn check(&self, progress: &dyn Progress) -> Result<Report> {
        self.index.verify().await?;
        let mut reading = Reading::new(self);
        reading.read_all(progress).await?;
        let mut look = Look::default();
        let mut persistent: Option<BTreeSet<Finding>> = None;
        for attempt in 0..LOOKS {
            if attempt > 0 {
                tokio::time::sleep(PAUSE).await;
            }
            let before = self.moment().await?;
            look = self.look(&mut reading, progress).await?;
            let again: BTreeSet<Finding> = match persistent {
                Some(findings) => findings.intersection(&look.findings).cloned().collect(),
                None => look.findings.clone(),
            };
            let is_settled =
                again.is_empty() || before.is_quiet() && self.moment().await? == before;
            persistent = Some(again);
            if is_settled {
                break;
            }
        }
        let (orphans, orphan_bytes) = reading.orphans(&look).await?;
        let (unreferenced, unreferenced_bytes) = reading.unreferenced(&look);
        let (leftovers, leftover_bytes) = reading.leftovers(&look);
        let mut findings = reading.findings;
        findings.extend(persistent.unwrap_or_default());
        Ok(Report {
            blobs: reading.blobs,
            bytes: reading.bytes,
            orphans,
            orphan_bytes,
            unreferenced,
            unreferenced_bytes,
            leftovers,
            leftover_bytes,
            untagged: look.untagged.len(),
            untagged_manifests: look.untagged.into_iter().collect(),
            repositories: look.repositories,
            tags: look.tags,
            root: look.root,
            findings,
        })
    }

    async fn foldings(&self) -> Result<Vec<Folding>> {
        let mut foldings = Vec::new();
        for tree in TreeId::ALL {
            foldings.push(self.index.folding(tree).await?);
        }
        Ok(foldings)
    }

    /// Returns something that is another as soon as a commit went by.
    async fn moment(&self) -> Result<Moment> {
        Ok(Moment {
            version: self.index.version().await?,
            open: self.index.open_entry_count().await?,
            foldings: self.foldings().await?,
        })
    }
}

/// The state that shows whether the registry moved.
#[derive(PartialEq, Eq)]
struct Moment {
    version: u64,
    open: u64,
    /// Of each tree.
    foldings: Vec<Folding>,
}

impl Moment {
    /// Returns whether no change is on its way into the tree.
    fn is_quiet(&self) -> bool {
        self.open == 0
    }
}
