//! Checking the whole store: digests, CIDs, links, and the index against the trees.
//!
//! It changes nothing by itself, and works beside a running server: what is found while the registry moves
//! counts only if it is found again. What is wrong it may have mended by a [`Mender`], and looks again. `cli` calls it;
//! `content` reads bytes, `look` compares links and rows, `totals` counts what nothing needs.

mod content;
mod look;
mod totals;

use std::collections::BTreeSet;
use std::time::Duration;

use serde::Serialize;

use super::repair::{Fault, Finding, Mended, Mender};
use super::{Progress, Registry, Result, Steps};
use crate::index::Folding;
use crate::oci::{CanonicalDigest, TreeId};
use content::Reading;
use look::Look;

/// How often a registry that moves is looked at again, and after how long.
const LOOKS: usize = 5;
const PAUSE: Duration = Duration::from_millis(200);

/// How often it is tried to mend what is wrong.
const ROUNDS: usize = 2;

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
    /// What was wrong and was mended.
    pub mended: Vec<Finding>,
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
        let (look, findings) = self.look_again(&mut reading, progress).await?;
        self.report(reading, look, findings, Mended::default()).await
    }

    /// Checks the same, has what is wrong mended as far as that is possible, and says what is wrong still.
    ///
    /// # Errors
    /// As [`Registry::check`]; those of the one that mends, after which what was mended stays so.
    pub async fn check_and_repair(
        &self,
        mender: &dyn Mender,
        progress: &dyn Progress,
    ) -> Result<Report> {
        self.index.verify().await?;
        let mut reading = Reading::new(self);
        reading.read_all(progress).await?;
        let (mut look, mut findings) = self.look_again(&mut reading, progress).await?;
        let mut outcome = Mended::default();
        let mut faults = look.faults.clone();
        faults.extend(reading.damaged().map(Fault::Content));
        for _ in 0..ROUNDS {
            if faults.is_empty() && look.has_other_root {
                // A name is missing that no finding is about.
                faults = look.names.iter().cloned().map(Fault::Names).collect();
            }
            if faults.is_empty() {
                break;
            }
            progress.begin("mending", Steps::each(&Vec::from_iter(&faults)));
            let mut contents: Vec<CanonicalDigest> = Vec::new();
            for fault in std::mem::take(&mut faults) {
                let one = mender.mend(&fault).await?;
                outcome.done.extend(one.done);
                outcome.left.extend(one.left);
                if let Fault::Content(canonical) = fault {
                    contents.push(canonical);
                }
                progress.advance(1);
            }
            reading.forget(&contents).await?;
            for canonical in contents {
                reading.is_there(&canonical).await?;
            }
            (look, findings) = self.look_again(&mut reading, progress).await?;
        }
        self.report(reading, look, findings, outcome).await
    }

    /// Compares links and rows until what is wrong was found each time.
    async fn look_again(
        &self,
        reading: &mut Reading<'_>,
        progress: &dyn Progress,
    ) -> Result<(Look, BTreeSet<Finding>)> {
        let mut look = Look::default();
        let mut persistent: Option<BTreeSet<Finding>> = None;
        for attempt in 0..LOOKS {
            if attempt > 0 {
                tokio::time::sleep(PAUSE).await;
            }
            let before = self.moment().await?;
            look = self.look(reading, progress).await?;
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
        Ok((look, persistent.unwrap_or_default()))
    }

    async fn report(
        &self,
        reading: Reading<'_>,
        look: Look,
        persistent: BTreeSet<Finding>,
        mended: Mended,
    ) -> Result<Report> {
        let (orphans, orphan_bytes) = reading.orphans(&look).await?;
        let (unreferenced, unreferenced_bytes) = reading.unreferenced(&look);
        let (leftovers, leftover_bytes) = reading.leftovers(&look);
        let mut findings: Vec<Finding> = reading.findings().chain(persistent).collect();
        for Finding { about, what } in mended.left {
            if let Some(finding) = findings.iter_mut().find(|finding| finding.about == about) {
                finding.what.extend(["; not mended: ", &what]);
            } else if !findings.is_empty() {
                findings.push(Finding { about, what: format!("not mended: {what}") });
            }
        }
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
            mended: mended.done,
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
