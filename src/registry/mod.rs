//! The use cases of a registry, on the traits of the seams only.
//!
//! `http` and `cli` call [`Registry`]; it decides what a push, a pull and a deletion are. It never
//! sees a request, a path of the machine or a database: names come inside the grants of
//! [`crate::auth`], bytes go through [`crate::storage`], look-ups and the writer's lock through
//! [`crate::index`].

mod adopt;
mod applied;
mod batch;
mod blobs;
mod browse;
mod catalog;
mod check;
mod clearing;
mod collection;
mod commit;
mod condition;
#[cfg(test)]
mod crashes;
mod deletion;
mod documents;
mod error;
mod events;
mod export;
mod federation;
mod fold_requests;
mod folds;
mod former;
mod gateway;
#[cfg(test)]
mod golden;
mod guard;
mod intent;
mod layout;
mod link_counts;
mod links;
mod manifests;
mod namespace;
mod outcomes;
mod plan;
mod progress;
mod publish;
mod pulls;
mod purge;
mod queue_recovery;
mod rebuild;
mod references;
mod referrers;
mod removal;
mod repair;
mod repository;
mod restore;
mod retention;
mod root;
mod step;
mod time;
mod tree_nodes;
mod undeletion;
mod uploads;
mod visibility;
mod walk;
mod withdrawal;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use cid::Cid;
use tokio::runtime::Handle;
use tokio::sync::{Notify, RwLock};

pub use adopt::{Adopted, LeftOut, LeftOutKind, adoptable_path};
pub use blobs::{Blob, BlobStream};
pub use catalog::repositories_seen;
pub use check::Report;
pub use clearing::UploadSummary;
pub use collection::{Amount, Collected, Retained};
pub use condition::{Condition, Expected};
pub use error::{RegistryError, Result};
pub use export::Export;
pub use federation::{
    Diagnosis, Endpoint, Extent, Federation, Found, Hinted, Listed, ListedRepository, Origin,
    OwnNode, Restorable, Roots, SignedRecord, SourceCheck,
};
pub use gateway::{Archive, Blocks};
pub use manifests::PushedManifest;
pub use progress::{Progress, Silent, Steps};
pub use publish::{
    Failure, FormerDomain, Outcome, Plan, Publication, PublishConfig, PublishStatus, Publisher,
    Trigger, published,
};
pub use purge::{Purged, Withdrawn};
pub use rebuild::Rebuilt;
pub use referrers::{ReferrersPage, ReferrersQuery};
pub use repair::{Fault, Finding, Mended, Mender, own_sources};
pub use repository::Repository;
pub use restore::{RestoreError, Restored};
pub use retention::{
    Decision, DeletedByRules, Retention, RetentionPlan, RetentionRule, TagOrder, TagPattern,
};
pub use root::peek_root;
pub use undeletion::Undeleted;
pub use uploads::{Beside, Ending, Upload};
pub use visibility::SHARED_CACHE_TIME;

use crate::index::Index;
use crate::oci::Visibility;
use crate::remote::Remote;
use crate::storage::Storage;
use time::now;

/// What an operator may set.
#[derive(Debug, Clone)]
pub struct Limits {
    /// The largest manifest in bytes.
    pub manifest_bytes: usize,
    /// How many bytes uploads under way may have together.
    pub upload_bytes: u64,
    /// Whether an index may name manifests that the repository does not have.
    pub sparse_indexes: bool,
    /// How long a request waits for its change to be made.
    pub commit_wait: Duration,
    /// How long a blob stays that no manifest names.
    pub collection_grace: Duration,
    /// How long an upload stays that no client continues.
    pub upload_expiry: Duration,
    /// Which tags and manifests go by themselves, and which tags cannot be changed.
    pub retention: Retention,
    /// How long what is below a public root stays after the root was replaced.
    pub root_grace: Duration,
    /// Who may see a repository that a push makes, where its namespace does not say it. None where clients have no
    /// accounts: all are public then.
    pub new_visibility: Option<Visibility>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            manifest_bytes: 4 << 20,
            upload_bytes: u64::MAX,
            sparse_indexes: false,
            commit_wait: Duration::from_mins(1),
            collection_grace: Duration::from_hours(24),
            upload_expiry: Duration::from_hours(24),
            retention: Retention::default(),
            root_grace: Duration::from_hours(1),
            new_visibility: None,
        }
    }
}

/// A registry: cheap to clone, shared by all requests.
#[derive(Clone)]
pub struct Registry {
    index: Arc<Index>,
    storage: Arc<dyn Storage>,
    limits: Arc<Limits>,
    root_changes: Arc<AtomicU64>,
    /// Receives each deletion of a manifest or blob.
    deletions: Arc<Notify>,
    folds: Arc<folds::Folds>,
    /// What this process's commits have made of the tree.
    commits: Arc<applied::Commits>,
    documents: Arc<documents::Documents>,
    /// Tells requests what their changes came to.
    outcomes: Arc<outcomes::Outcomes>,
    /// Whether what a crash left is still to be carried on.
    unrecovered: Arc<AtomicBool>,
    /// Content that was stored has its row before this is given back; forgetting content takes it exclusively.
    storing: Arc<RwLock<()>>,
    /// Foreign repositories, if they are served.
    federation: Option<Arc<Federation>>,
    /// What is known of publishing, if anything is published.
    watched: Option<Arc<publish::Watched>>,
    /// The requests that go on with uploads.
    ongoing: Arc<uploads::Ongoing>,
    /// What uploads take.
    quota: Arc<uploads::Quota>,
    /// The collection that runs.
    collections: Arc<collection::Collections>,
    /// Whether blobs are noted as lost.
    lost_blobs: Arc<repair::LostBlobs>,
    /// From where content is fetched again that is lost here, if from anywhere.
    sources: Option<Arc<Remote>>,
    /// The protected tags that were to be deleted a moment ago.
    refused: Arc<retention::Refused>,
    /// The pulls that are to be added to the index.
    pulls: Arc<pulls::Pulls>,
    /// Where commits run to their end, whatever becomes of the request.
    runtime: Handle,
    #[cfg(test)]
    stop: Arc<std::sync::Mutex<Option<step::Step>>>,
}

impl Registry {
    /// Puts a registry together. Must be called inside of the runtime that commits shall run on,
    /// which is to outlive all requests.
    #[must_use]
    pub fn new(index: Arc<Index>, storage: Arc<dyn Storage>, limits: Limits) -> Self {
        index.set_new_visibility(limits.new_visibility);
        index.set_renewal_lag(collection::lag(limits.collection_grace));
        Self {
            index,
            storage,
            limits: Arc::new(limits),
            root_changes: Arc::default(),
            deletions: Arc::default(),
            folds: Arc::default(),
            commits: Arc::default(),
            documents: Arc::default(),
            outcomes: Arc::default(),
            unrecovered: Arc::default(),
            storing: Arc::default(),
            federation: None,
            watched: None,
            ongoing: Arc::default(),
            quota: Arc::default(),
            collections: Arc::default(),
            lost_blobs: Arc::default(),
            sources: None,
            refused: Arc::default(),
            pulls: Arc::default(),
            runtime: Handle::current(),
            #[cfg(test)]
            stop: Arc::default(),
        }
    }

    /// Serves foreign repositories too.
    #[must_use]
    pub fn federating(self, federation: Federation) -> Self {
        Self { federation: Some(Arc::new(federation)), ..self }
    }

    /// Counts the foreign roots that cannot be looked up again, although that is due.
    #[must_use]
    pub fn stale_root_count(&self) -> usize {
        self.federation.as_ref().map_or(0, |federation| federation.stale_count())
    }

    /// Returns the record of an IPNS key that led to a foreign repository a while ago, if it is still
    /// good; makes no request.
    #[must_use]
    pub fn ipns_record(&self, key: &Cid) -> Option<SignedRecord> {
        self.federation.as_ref()?.ipns_record(key)
    }

    /// Counts the reads of foreign content that are under way, and those that were refused because there
    /// were too many.
    #[must_use]
    pub fn foreign_reads(&self) -> (u64, u64) {
        self.federation.as_ref().map_or((0, 0), |federation| federation.reads())
    }

    /// Returns how many bytes of the disk and how many files the cache of foreign images takes, as far as
    /// it was counted; none where there is none.
    #[must_use]
    pub fn cache_totals(&self) -> Option<(u64, u64)> {
        self.federation.as_ref().map(|federation| federation.cache_totals())
    }

    /// Disconnects the operator's Kubo node from the publishers' nodes that it was connected to for pulls.
    pub async fn leave_peers(&self) {
        if let Some(federation) = &self.federation {
            federation.leave_peers().await;
        }
    }

    /// Returns since when, about, something has to be gone from the public tree to belong to no repository.
    fn grace_began(&self) -> i64 {
        let grace = i64::try_from(self.limits.root_grace.as_millis()).unwrap_or(i64::MAX);
        now().saturating_sub(grace)
    }

    /// Runs work that must not be left half-done when the request that wants it is gone: on the thread of the request,
    /// since each step that another thread does costs two switches between them.
    async fn spawn_uncancellable<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        let here = Handle::try_current();
        let ended = here.as_ref().unwrap_or(&self.runtime).spawn(work).await;
        ended.map_err(|error| RegistryError::Record(error.to_string()))?
    }

    /// Returns the largest manifest in bytes.
    #[must_use]
    pub fn manifest_limit(&self) -> usize {
        self.limits.manifest_bytes
    }

    /// Returns how many changes of the public tree this process has carried out: pushes of manifests
    /// and deletions, also where they repeat what was there.
    #[must_use]
    pub fn root_changes(&self) -> u64 {
        self.root_changes.load(Ordering::Relaxed)
    }

    /// Returns once this process has deleted a manifest or a blob, now or since the last call. What it took out of
    /// the tree is served until the root is computed, and for [`Limits::root_grace`] after that.
    pub async fn deletion(&self) {
        self.deletions.notified().await;
    }

    /// Returns how many changes were accepted and not carried out yet.
    ///
    /// # Errors
    /// Those of the index.
    pub async fn open_change_count(&self) -> Result<u64> {
        Ok(self.index.open_entry_count().await?)
    }

    /// Returns how many uploads were begun, and neither finished nor given up.
    ///
    /// # Errors
    /// Those of the index.
    pub async fn upload_count(&self) -> Result<u64> {
        Ok(self.index.upload_count().await?)
    }

    /// Answers whether the index can be written to.
    ///
    /// # Errors
    /// Why not.
    pub async fn ping_index(&self) -> Result<()> {
        Ok(self.index.ping().await?)
    }

    /// Gives back what the storage needs no longer.
    ///
    /// # Errors
    /// Those of the storage; it may be repeated.
    pub async fn clean_storage(&self) -> Result<()> {
        Ok(self.storage.clean().await?)
    }

    /// Answers whether content can be written.
    ///
    /// # Errors
    /// Why not.
    pub async fn ping_storage(&self) -> Result<()> {
        Ok(self.storage.ping().await?)
    }
}
