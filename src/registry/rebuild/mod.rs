//! Rebuilding the index from the tree.
//!
//! Every blob is read and its digest compared; what the tree lost and is still stored is put back into
//! it. Every manifest is checked as a PUT would check it. What a PUT would refuse is dropped from the
//! tree too, for a tree lists nothing that is not whole.

mod content;
mod order;
mod repositories;

use std::collections::{HashMap, HashSet};

use super::blobs::new_blob;
use super::links::count_links;
use super::root::fold_edits;
use super::walk::{PassedOver, TREE};
use super::{Progress, Registry, RegistryError, Result, Steps, layout, now};
use crate::index::Writer;
use crate::oci::{CanonicalDigest, RepositoryName};
use crate::storage::{Edit, Finished, TreePath};

/// What a rebuild found.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Rebuilt {
    /// How many repositories there are.
    pub repositories: usize,
    /// How many manifests they have.
    pub manifests: usize,
    /// How many tags they have.
    pub tags: usize,
    /// How many blobs there are, manifests included.
    pub blobs: usize,
    /// What was dropped from the tree since it was not whole, a sentence each.
    pub dropped: Vec<String>,
    /// How many leftovers were removed from the tree: blobs that no manifest of their repository names, or none of any.
    pub leftovers: usize,
    /// How many bytes of content the tree has less for it.
    pub leftover_bytes: u64,
    /// What else is not in the index, and stays where it is, a sentence each.
    pub left: Vec<String>,
}

/// What becomes of what no manifest names.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Leftovers {
    /// It goes from the tree.
    Remove,
    /// It stays, so that the root does.
    Keep,
}

/// Whether anything is changed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// The index is replaced, and what is not whole goes from the tree.
    Real,
    /// Nothing is.
    Dry,
}

/// A rebuild under way.
struct Rebuild<'a> {
    registry: &'a Registry,
    blobs: HashMap<CanonicalDigest, Finished>,
    /// What was written a moment ago, and need not be read again.
    fresh: HashMap<CanonicalDigest, Finished>,
    /// What some repository had a link to that no manifest of it needs.
    unlinked: HashSet<CanonicalDigest>,
    /// What was looked for, and is not there or has another digest.
    lost: HashSet<CanonicalDigest>,
    /// What goes from the tree.
    removals: Vec<Edit>,
    leftovers: Leftovers,
    mode: Mode,
    passed: PassedOver,
    result: Rebuilt,
}

impl Registry {
    /// Makes the index anew from the public tree. Users, grants and uploads stay; blobs that no
    /// manifest names and media types that the bytes do not state are forgotten. No other process may use
    /// the data folder meanwhile. The queue is given up: [`Registry::carry_out_queue`] comes first.
    ///
    /// The index stays as it was until one transaction replaces it, whose root is that of the tree
    /// without what is dropped. Only then that is removed from the tree. So after an error, or a
    /// crash, either all is as it was or the index is right and the tree still has what it does not
    /// list; repeating the call drops, and names, the same again.
    ///
    /// # Errors
    /// [`RegistryError::TreeLost`], which changes nothing; those of the index and the storage.
    pub async fn rebuild_index(&self, progress: &dyn Progress) -> Result<Rebuilt> {
        self.rebuild(HashMap::new(), Leftovers::Remove, Mode::Real, progress).await
    }

    /// Says what [`Registry::rebuild_index`] would drop, remove and leave, and changes neither the tree nor the index
    /// nor what is stored.
    ///
    /// # Errors
    /// As there.
    pub async fn plan_rebuild(&self, progress: &dyn Progress) -> Result<Rebuilt> {
        self.rebuild(HashMap::new(), Leftovers::Remove, Mode::Dry, progress).await
    }

    /// The same for a copy, whose root stays with all leftovers that it has. What is `fresh` was verified as it was
    /// written a moment ago: where the tree holds it, it is not read again.
    pub(super) async fn rebuild_index_after(
        &self,
        fresh: HashMap<CanonicalDigest, Finished>,
        progress: &dyn Progress,
    ) -> Result<Rebuilt> {
        self.rebuild(fresh, Leftovers::Keep, Mode::Real, progress).await
    }

    async fn rebuild(
        &self,
        fresh: HashMap<CanonicalDigest, Finished>,
        leftovers: Leftovers,
        mode: Mode,
        progress: &dyn Progress,
    ) -> Result<Rebuilt> {
        let mut rebuild = Rebuild {
            registry: self,
            blobs: HashMap::new(),
            fresh,
            unlinked: HashSet::new(),
            lost: HashSet::new(),
            removals: Vec::new(),
            leftovers,
            mode,
            passed: PassedOver::default(),
            result: Rebuilt::default(),
        };
        let mut writer = self.index.lock().await?;
        let repositories = rebuild.repositories().await?;
        rebuild.read_blobs(progress).await?;
        writer.begin().await?;
        writer.clear().await?;
        for finished in rebuild.blobs.values() {
            writer.put_blob(None, &new_blob(finished, Vec::new())?, now()).await?;
        }
        progress.begin("checking repositories", Steps::each(&repositories));
        for name in repositories {
            let links = self.tree().links(&name, &mut rebuild.passed).await;
            rebuild.repository(&mut writer, &links).await?;
            progress.advance(1);
        }
        if leftovers == Leftovers::Remove {
            rebuild.remove_unnamed(&mut writer).await?;
        }
        if mode == Mode::Dry {
            writer.rollback().await?;
            rebuild.passed.expect_readable()?;
            return rebuild.planned().await;
        }
        progress.begin("computing the root", Steps::Unknown);
        let mut passed = std::mem::take(&mut rebuild.passed);
        let mut edits = self.tree_edits(&|canonical| rebuild.content(canonical), &mut passed).await;
        passed.expect_readable()?;
        edits.extend(rebuild.removals.iter().cloned());
        let folded = fold_edits(self.index.clone(), None, edits).await?;
        count_links(&mut writer, None, &folded).await?;
        writer.set_root(TREE, &folded.root, 0).await?;
        // The queue goes with the commit, so what it did has to last.
        self.storage.sync().await?;
        writer.commit().await?;
        self.storage.apply(TREE, &rebuild.removals).await?;
        self.storage.sync().await?;
        rebuild.passed = passed;
        rebuild.planned().await
    }
}

impl Rebuild<'_> {
    /// Says what there is beside what the index has.
    async fn planned(mut self) -> Result<Rebuilt> {
        for stray in std::mem::take(&mut self.passed.strays) {
            let why = "not part of a registry; left in place";
            self.result.left.push(format!("skipped {}/{stray}: {why}", TREE.as_str()));
        }
        self.look_at_the_rest().await?;
        self.result.blobs = self.blobs.len();
        Ok(self.result)
    }

    /// Removes content that no repository of the tree names.
    async fn remove_unnamed(&mut self, writer: &mut Writer) -> Result<()> {
        let mut unnamed = Vec::new();
        for canonical in self.blobs.keys() {
            if !writer.is_named(canonical).await? {
                unnamed.push(*canonical);
            }
        }
        unnamed.sort_unstable();
        for canonical in unnamed {
            writer.forget_blob(&canonical).await?;
            self.removals.push(Edit::remove(layout::blob_data(&canonical)));
            if let Some(finished) = self.blobs.remove(&canonical) {
                self.result.leftovers += usize::from(!self.unlinked.contains(&canonical));
                self.result.leftover_bytes += finished.content.size;
            }
        }
        Ok(())
    }

    fn drop_link(&mut self, path: &TreePath, what: &str) {
        self.result.dropped.push(format!("dropped {what}"));
        self.removals.push(Edit::remove(path.clone()));
    }

    /// Lists the repositories of the tree, which has some if the index has.
    async fn repositories(&mut self) -> Result<Vec<RepositoryName>> {
        let repositories = self.registry.tree().repositories(&mut self.passed).await;
        if repositories.is_empty() || self.passed.is_endless {
            self.passed.expect_readable()?;
            if !self.registry.index.repositories(None, 1).await?.is_empty() {
                return Err(RegistryError::TreeLost);
            }
        }
        Ok(repositories)
    }
}
