//! Rebuilding the index from the trees.
//!
//! Every blob is read and its digest compared; what the tree lost and is still stored is put back into
//! it. Every manifest is checked as a PUT would check it. What a PUT would refuse is dropped from the
//! tree too, for a tree lists nothing that is not whole.

mod content;
mod order;
mod repositories;

use std::collections::{BTreeMap, HashMap, HashSet};

use futures_util::{StreamExt, stream};

use super::blobs::new_blob;
use super::links::count_links;
use super::root::fold_edits;
use super::walk::{self, PassedOver};
use super::{Progress, Registry, RegistryError, Result, Steps, layout, now};
use crate::index::Writer;
use crate::oci::{CanonicalDigest, RepositoryName, TreeId};
use crate::storage::{Edit, Finished, TreeEdit, TreePath};

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
    /// The tree that is looked at.
    tree: TreeId,
    blobs: HashMap<CanonicalDigest, Finished>,
    /// Which of these are in each tree.
    in_tree: HashSet<(TreeId, CanonicalDigest)>,
    /// What was written a moment ago, and need not be read again.
    fresh: HashMap<CanonicalDigest, Finished>,
    /// What some repository had a link to that no manifest of it needs.
    unlinked: HashSet<(TreeId, CanonicalDigest)>,
    /// What was looked for, and is not there or has another digest.
    lost: HashSet<CanonicalDigest>,
    /// What goes from the trees.
    removals: Vec<TreeEdit>,
    leftovers: Leftovers,
    mode: Mode,
    /// Which repositories are internal, as far as the index knew that.
    internal: HashSet<RepositoryName>,
    /// Of each tree.
    passed: BTreeMap<TreeId, PassedOver>,
    result: Rebuilt,
}

impl Registry {
    /// Makes the index anew from the trees: each repository gets the visibility that its tree stands for. Users, grants and uploads stay; blobs that no
    /// manifest names and media types that the bytes do not state are forgotten. No other process may use
    /// the data folder meanwhile. The queue is given up: [`Registry::carry_out_queue`] comes first.
    ///
    /// The index stays as it was until one transaction replaces it, whose roots are those of the trees
    /// without what is dropped. Only then that is removed from the trees. So after an error, or a
    /// crash, either all is as it was or the index is right and the tree still has what it does not
    /// list; repeating the call drops, and names, the same again.
    ///
    /// # Errors
    /// [`RegistryError::TreeLost`], and [`RegistryError::Record`] where a repository is in two trees, which change
    /// nothing; those of the index and the storage.
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
            tree: TreeId::Public,
            blobs: HashMap::new(),
            in_tree: HashSet::new(),
            fresh,
            unlinked: HashSet::new(),
            lost: HashSet::new(),
            removals: Vec::new(),
            leftovers,
            mode,
            internal: HashSet::new(),
            passed: BTreeMap::new(),
            result: Rebuilt::default(),
        };
        let mut writer = self.index.lock().await?;
        let repositories = rebuild.repositories().await?;
        rebuild.internal = self.internal_repositories().await?;
        rebuild.read_blobs(progress).await?;
        writer.begin().await?;
        writer.clear().await?;
        for finished in rebuild.blobs.values() {
            writer.put_blob(None, &new_blob(finished, Vec::new())?, now()).await?;
        }
        progress.begin("checking repositories", Steps::each(&repositories));
        let reading = stream::iter(&repositories).map(|(tree, name)| async move {
            let mut passed = PassedOver::default();
            (*tree, self.tree(*tree).links(name, &mut passed).await, passed)
        });
        let mut reading = reading.buffered(walk::AT_ONCE);
        while let Some((tree, links, passed)) = reading.next().await {
            rebuild.tree = tree;
            rebuild.passed().absorb(passed);
            rebuild.repository(&mut writer, &links).await?;
            progress.advance(1);
        }
        drop(reading);
        if leftovers == Leftovers::Remove {
            rebuild.remove_unnamed(&mut writer).await?;
        }
        if mode == Mode::Dry {
            writer.rollback().await?;
            rebuild.passed.values_mut().try_for_each(PassedOver::expect_readable)?;
            return rebuild.planned().await;
        }
        progress.begin("computing the root", Steps::Unknown);
        for tree in TreeId::ALL {
            rebuild.tree = tree;
            rebuild.set_root(&mut writer).await?;
        }
        // The queue goes with the commit, so what it did has to last.
        self.storage.sync().await?;
        writer.commit().await?;
        self.storage.apply(&rebuild.removals).await?;
        self.storage.sync().await?;
        rebuild.planned().await
    }
}

impl Rebuild<'_> {
    /// Says what there is beside what the index has.
    async fn planned(mut self) -> Result<Rebuilt> {
        for (tree, passed) in &mut self.passed {
            for stray in std::mem::take(&mut passed.strays) {
                let why = "not part of a registry; left in place";
                self.result.left.push(format!("skipped {}/{stray}: {why}", tree.as_str()));
            }
        }
        self.look_at_the_rest().await?;
        self.result.blobs = self.blobs.len();
        Ok(self.result)
    }

    /// What the walk of the tree could not make use of.
    fn passed(&mut self) -> &mut PassedOver {
        self.passed.entry(self.tree).or_default()
    }

    /// Sets the root of the tree to that of what it has, without what is dropped. An empty tree
    /// has no root, except the public one.
    async fn set_root(&mut self, writer: &mut Writer) -> Result<()> {
        let (registry, tree) = (self.registry, self.tree);
        let mut passed = std::mem::take(self.passed());
        let mut edits =
            registry.tree_edits(tree, &|canonical| self.content(canonical), &mut passed).await;
        passed.expect_readable()?;
        *self.passed() = passed;
        edits.extend(TreeEdit::of_tree(tree, self.removals.iter().cloned()));
        if edits.is_empty() && !tree.is_public() {
            return Ok(());
        }
        let folded = fold_edits(registry.index.clone(), None, edits).await?;
        count_links(writer, tree, None, &folded).await?;
        Ok(writer.set_root(tree, &folded.root, 0).await?)
    }

    /// Removes content from each tree that no repository of it names.
    async fn remove_unnamed(&mut self, writer: &mut Writer) -> Result<()> {
        let mut unnamed = Vec::new();
        for (tree, canonical) in &self.in_tree {
            if !writer.is_named(*tree, canonical).await? {
                unnamed.push((*tree, *canonical));
            }
        }
        unnamed.sort_unstable();
        for (tree, canonical) in unnamed {
            let edit = Edit::remove(layout::blob_data(&canonical));
            self.removals.push(TreeEdit { tree, edit });
            self.in_tree.remove(&(tree, canonical));
            let Some(content) = self.content(&canonical) else { continue };
            self.result.leftovers += usize::from(!self.unlinked.contains(&(tree, canonical)));
            self.result.leftover_bytes += content.size;
            if !TreeId::ALL.into_iter().any(|tree| self.in_tree.contains(&(tree, canonical))) {
                writer.forget_blob(&canonical).await?;
                self.blobs.remove(&canonical);
            }
        }
        Ok(())
    }

    fn drop_link(&mut self, path: &TreePath, what: &str) {
        self.result.dropped.push(format!("dropped {what}"));
        self.removals.push(TreeEdit { tree: self.tree, edit: Edit::remove(path.clone()) });
    }

    /// Lists the repositories of each tree, which has some if the index has.
    async fn repositories(&mut self) -> Result<Vec<(TreeId, RepositoryName)>> {
        let mut all: BTreeMap<RepositoryName, TreeId> = BTreeMap::new();
        for tree in TreeId::ALL {
            self.tree = tree;
            let registry = self.registry;
            let repositories = registry.tree(tree).repositories(self.passed()).await;
            if repositories.is_empty() || self.passed().is_endless {
                self.passed().expect_readable()?;
                if !registry.index.repositories(Some(tree), None, 1).await?.is_empty() {
                    return Err(RegistryError::TreeLost);
                }
            }
            for name in repositories {
                if let Some(other) = all.insert(name.clone(), tree) {
                    return Err(RegistryError::Record(format!(
                        "repository `{name}` is in the {} tree and in the {} tree: remove it from one of them",
                        other.as_str(),
                        tree.as_str()
                    )));
                }
            }
        }
        let mut all: Vec<_> = all.into_iter().map(|(name, tree)| (tree, name)).collect();
        all.sort_unstable();
        Ok(all)
    }
}
