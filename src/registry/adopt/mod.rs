//! Adopting the folder of a stock registry: its blobs are taken in, then its manifests and tags are
//! pushed again, so that all that holds for a push holds for them, and the root is that of the
//! pushes.

mod content;
mod manifests;
mod report;
mod role;

use std::collections::{HashMap, HashSet};

use futures_util::{StreamExt, stream};

pub use report::{Adopted, LeftOut, LeftOutKind};

use super::walk::{self, PassedOver, RepositoryLinks, TagLinks, Walk, below};
use super::{Progress, Registry, RegistryError, Result, Steps, layout};
use crate::auth::Names;
use crate::oci::{CanonicalDigest, Digest, RepositoryName};
use crate::storage::{Finished, SourceFolder, TreePath};
use role::Role;

/// How many changes are left for the root at a time.
const UNFOLDED: u64 = 2000;

/// How many repositories are adopted at a time, in the same transactions.
const AT_ONCE: usize = 50;

/// The directories of a stock registry, one of which shows that a folder is that of one.
const MARKS: [&str; 2] = ["repositories", "blobs"];

/// The path of a tree that a folder may stand for, where the stock registry begins, and the
/// directories there of which it has one at least.
#[must_use]
pub fn adoptable_path() -> (TreePath, [&'static str; 2]) {
    (layout::root(), MARKS)
}

/// An adoption under way.
struct Adoption<'a> {
    registry: &'a Registry,
    source: &'a SourceFolder,
    names: &'a Names,
    progress: &'a dyn Progress,
    /// Content of the folder that nothing has led to yet.
    unreferenced: HashSet<CanonicalDigest>,
    /// Content that cannot be had, and why.
    unfit: HashMap<CanonicalDigest, String>,
    /// Content that was taken in, and is of no use where it was found: it is forgotten unless a repository has it.
    useless: HashSet<CanonicalDigest>,
    passed: PassedOver,
    result: Adopted,
}

/// What a repository of the folder has whose content is sound.
struct SoundLinks {
    name: RepositoryName,
    revisions: Vec<(Digest, Finished)>,
    layers: Vec<(Digest, Finished)>,
    tags: Vec<TagLinks>,
}

impl Registry {
    /// Takes in the folder of a stock registry, whose content must not change meanwhile (that more is
    /// pushed or deleted there does no harm, but is taken or not). `names` says which repositories
    /// are not this registry's own.
    ///
    /// Each image is there as a whole once its tag is. Repeating the call goes on: blobs that are
    /// there are not read again.
    ///
    /// # Errors
    /// Those of the index and the storage. What is wrong with the folder is no error.
    pub async fn adopt(
        &self,
        source: &SourceFolder,
        names: &Names,
        progress: &dyn Progress,
    ) -> Result<Adopted> {
        let mut adoption = Adoption {
            registry: self,
            source,
            names,
            progress,
            unfit: HashMap::new(),
            unreferenced: HashSet::new(),
            useless: HashSet::new(),
            passed: PassedOver::default(),
            result: Adopted::default(),
        };
        adoption.blobs().await;
        for names in adoption.walk().repositories(&mut adoption.passed).await.chunks(AT_ONCE) {
            adoption.repositories(names).await?;
            if self.index.unfolded_entry_count().await? > UNFOLDED {
                self.root().await?;
            }
        }
        adoption.tell_unreferenced();
        adoption.tell_passed_over();
        progress.begin("computing the root", Steps::Unknown);
        adoption.result.root = self.root().await?.to_string();
        // Also what no root leads to: blobs that no manifest names.
        self.storage.sync().await?;
        Ok(adoption.result)
    }
}

impl<'a> Adoption<'a> {
    fn walk(&self) -> Walk<'a> {
        Walk::Foreign(self.source)
    }

    fn leave_out(&mut self, kind: LeftOutKind, about: impl Into<String>, why: impl Into<String>) {
        self.result.left_out.push(LeftOut { kind, about: about.into(), why: why.into() });
    }

    async fn repositories(&mut self, names: &[RepositoryName]) -> Result<()> {
        let walk = self.walk();
        let reading = stream::iter(names).map(|name| async move {
            let mut passed = PassedOver::default();
            let uploads = below(&layout::repository(name), "_uploads");
            let uploads = walk.names(&uploads, &mut passed).await;
            (uploads, walk.links(name, &mut passed).await, passed)
        });
        let mut reading = reading.buffered(walk::AT_ONCE);
        let mut sound = Vec::with_capacity(names.len());
        while let Some((uploads, links, passed)) = reading.next().await {
            self.passed.absorb(passed);
            for (id, _) in uploads {
                let about = format!("upload {id} of `{}`", links.name);
                self.leave_out(LeftOutKind::Upload, about, "the upload was not finished");
            }
            sound.extend(self.resolve_links(links).await?);
        }
        self.layers(&sound).await?;
        let manifests = self.manifests(&sound).await?;
        for canonical in std::mem::take(&mut self.useless) {
            self.forget(&canonical).await?;
        }
        for (repository, (manifests, tags)) in sound.iter().zip(manifests) {
            self.result.repositories += usize::from(!repository.layers.is_empty() || manifests > 0);
            self.result.manifests += manifests;
            self.result.tags += tags;
        }
        Ok(())
    }

    /// Takes in what the links of a repository lead to; none of one that cannot be adopted.
    async fn resolve_links(&mut self, links: RepositoryLinks) -> Result<Option<SoundLinks>> {
        let name = &links.name;
        if let Some(foreign) = self.names.foreign(name) {
            let first = foreign.root;
            let why = format!(
                "names that begin with `{first}` belong to other registries; list it in server.local_namespaces \
                 to accept it"
            );
            self.leave_out(LeftOutKind::Repository, format!("repository `{name}`"), why);
            return Ok(None);
        }
        let record = self.registry.record(name).await?;
        match self.registry.expect_storable_in(name, record.as_ref()).await {
            Err(error @ RegistryError::MustBePublic(_)) => {
                self.leave_out(
                    LeftOutKind::Repository,
                    format!("repository `{name}`"),
                    error.to_string(),
                );
                return Ok(None);
            }
            found => found?,
        }
        let revisions = self.resolve(name, &links.revisions, Role::Manifest).await?;
        let layers = self.resolve(name, &links.layers, Role::Layer).await?;
        Ok(Some(SoundLinks { name: links.name, revisions, layers, tags: links.tags }))
    }

    /// Looks at what content the folder has.
    async fn blobs(&mut self) {
        let mut passed = PassedOver::default();
        let blobs = self.walk().blobs(&mut passed).await;
        for stray in passed.strays {
            self.leave_out(LeftOutKind::Blob, stray.to_string(), "not the name of a blob");
        }
        self.passed.unreadable.append(&mut passed.unreadable);
        self.progress.begin("taking in blobs", Steps::each(&blobs));
        self.unreferenced.extend(blobs);
    }

    fn tell_unreferenced(&mut self) {
        let mut unreferenced: Vec<_> = std::mem::take(&mut self.unreferenced).into_iter().collect();
        unreferenced.sort_unstable_by_key(CanonicalDigest::hex);
        for canonical in unreferenced {
            let why = "no adopted repository references it";
            self.leave_out(LeftOutKind::Blob, format!("blob {canonical}"), why);
        }
    }

    fn tell_passed_over(&mut self) {
        let PassedOver { strays, unreadable, .. } = std::mem::take(&mut self.passed);
        for stray in strays {
            let why = "not part of a registry";
            self.leave_out(LeftOutKind::Path, stray.to_string(), why);
        }
        for (path, error) in unreadable {
            self.result.is_partial |= error.is_forbidden();
            let cause = std::error::Error::source(&error).map(ToString::to_string);
            let why = cause
                .map_or_else(|| error.context.clone(), |cause| format!("cannot read it: {cause}"));
            self.leave_out(LeftOutKind::Path, path.to_string(), why);
        }
    }
}
