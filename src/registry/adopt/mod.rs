//! Adopting the folder of a stock registry: its blobs are taken in, then its manifests and tags are
//! pushed again, so that all that holds for a push holds for them, and the root is that of the
//! pushes.

mod content;
mod manifests;
mod report;
mod role;

use std::collections::{HashMap, HashSet};

pub use report::{Adopted, LeftOut, LeftOutKind};

use super::walk::{PassedOver, Walk, below};
use super::{Progress, Registry, RegistryError, Result, Steps, layout};
use crate::auth::Names;
use crate::oci::{CanonicalDigest, RepositoryName};
use crate::storage::{SourceFolder, TreePath};
use role::Role;

/// How many changes are left for the root at a time.
const UNFOLDED: u64 = 2000;

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
    /// Content of the repository that links of another name lead to.
    misled: HashSet<CanonicalDigest>,
    passed: PassedOver,
    result: Adopted,
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
            misled: HashSet::new(),
            passed: PassedOver::default(),
            result: Adopted::default(),
        };
        adoption.blobs().await;
        for name in adoption.walk().repositories(&mut adoption.passed).await {
            adoption.repository(&name).await?;
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

    async fn repository(&mut self, name: &RepositoryName) -> Result<()> {
        let mut passed = std::mem::take(&mut self.passed);
        let uploads = below(&layout::repository(name), "_uploads");
        for (id, _) in self.walk().names(&uploads, &mut passed).await {
            let why = "the upload was not finished";
            self.leave_out(LeftOutKind::Upload, format!("upload {id} of `{name}`"), why);
        }
        let links = self.walk().links(name, &mut passed).await;
        self.passed = passed;
        if let Some(foreign) = self.names.foreign(name) {
            let first = foreign.root;
            let why = format!(
                "names that begin with `{first}` belong to other registries; list it in server.local_namespaces \
                 to accept it"
            );
            self.leave_out(LeftOutKind::Repository, format!("repository `{name}`"), why);
            return Ok(());
        }
        let record = self.registry.record(name).await?;
        match self.registry.expect_storable_in(name, record.as_ref()).await {
            Err(error @ RegistryError::MustBePublic(_)) => {
                self.leave_out(
                    LeftOutKind::Repository,
                    format!("repository `{name}`"),
                    error.to_string(),
                );
                return Ok(());
            }
            found => found?,
        }
        let revisions = self.resolve(name, &links.revisions, Role::Manifest).await?;
        let layers = self.resolve(name, &links.layers, Role::Layer).await?;
        self.layers(name, &layers).await?;
        let (manifests, tags) = self.manifests(name, &links, &revisions).await?;
        for canonical in std::mem::take(&mut self.misled) {
            self.forget(&canonical).await?;
        }
        if !layers.is_empty() || manifests > 0 {
            self.result.repositories += 1;
        }
        self.result.manifests += manifests;
        self.result.tags += tags;
        Ok(())
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
