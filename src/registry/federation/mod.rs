//! Foreign repositories: read-only, below a root that a domain, a key or a CID names.
//!
//! What a client receives is proved twice: the blocks by the root, the content by its digest. Only what the
//! repository's own links lead to is served.

mod ahead;
mod blobs;
mod cached;
mod diagnosis;
mod fetching_ahead;
mod foreign_repository;
mod hints;
mod keys;
mod manifests;
mod peer_table;
mod peers;
mod referrers;
mod restorable;
mod roots;
mod stale;
mod unpublished;

use std::sync::Arc;
use std::time::Duration;

use cid::Cid;
use futures_util::future::{Either, select};
use jiff::Timestamp;
use tokio::task::spawn_blocking;

use super::{Result, layout};
use crate::dnslink::DnslinkError;
use crate::oci::{CanonicalDigest, ForeignName, RootName, Tag};
use crate::remote::{
    Bounds, Cache, Cached, Fetch, LinkCache, ReadLimits, RemoteError, RemoteErrorKind,
};
use ahead::Ahead;
pub(super) use blobs::BlobSource;
pub use blobs::Extent;
pub use diagnosis::{
    Diagnosis, Endpoint, Found, Hinted, Listed, ListedRepository, Origin, SourceCheck,
};
use foreign_repository::ForeignRepository;
pub use keys::SignedRecord;
pub use restorable::Restorable;
use roots::Located;
pub(super) use roots::gateways;
pub use roots::{OwnNode, Roots};

/// How long a fetch is waited for where only the whole will do.
pub(super) const TIMEOUT: Duration = Duration::from_secs(10);

/// How long a lookup below a root may take: no client that pulls waits longer.
const LOOKUP_LIMIT: Duration = Duration::from_mins(1);

/// Of how many blobs it is remembered how long they are.
const SIZES: usize = 10_000;

/// Foreign repositories.
pub struct Federation {
    cache: Arc<Cache>,
    answers: Arc<LinkCache>,
    roots: Roots,
    /// The roots of files and their lengths, by the root that they were found under.
    sizes: quick_cache::sync::Cache<(Cid, CanonicalDigest), (Cid, u64)>,
    manifest_limit: u64,
    /// How much is read at once.
    bounds: Arc<Bounds>,
    ahead: Arc<Ahead>,
}

impl Federation {
    /// Serves what is below the roots that `roots` finds, and keeps it. Of an image whose manifest a client gets, at most
    /// `ahead` bytes are fetched before it asks for them.
    #[must_use]
    pub fn new(
        cache: Arc<Cache>,
        answers: LinkCache,
        roots: Roots,
        manifest_limit: usize,
        limits: ReadLimits,
        ahead: u64,
    ) -> Self {
        let answers = Arc::new(answers);
        let sizes = quick_cache::sync::Cache::new(SIZES);
        let (bounds, manifest_limit) = (Bounds::new(limits), manifest_limit as u64);
        let ahead = Arc::new(Ahead::new(ahead, limits.reads_per_root));
        Self { cache, answers, roots, sizes, manifest_limit, bounds, ahead }
    }

    pub(super) fn cache_totals(&self) -> (u64, u64) {
        self.cache.totals()
    }

    /// Returns since when the root of a name could not be looked up again, although that is due.
    pub(super) fn stale_since(&self, name: &ForeignName) -> Option<Timestamp> {
        self.roots.stale_since(&name.root)
    }

    /// Returns since when the root of a name that is known is due to be looked up again, if it is.
    pub(super) fn due_since(&self, name: &ForeignName) -> Option<Timestamp> {
        self.roots.due_since(&name.root)
    }

    /// Returns the record of a key that was resolved here, if it is still good.
    pub(super) fn ipns_record(&self, key: &Cid) -> Option<SignedRecord> {
        self.roots.ipns_record(key)
    }

    /// Counts the names of which the last root serves on.
    pub(super) fn stale_count(&self) -> usize {
        self.roots.stale_count()
    }

    /// Counts the reads of foreign content that are under way, and those that were refused.
    pub(super) fn reads(&self) -> (u64, u64) {
        (self.bounds.reading(), self.bounds.refused())
    }

    /// Refuses a root that the operator does not want to be served.
    pub(super) fn allow(&self, name: &RootName) -> Result<()> {
        self.roots.allow(name)
    }

    /// Returns whether a root of that name was ever seen, as far as that is remembered.
    pub(super) async fn was_found(&self, name: &RootName) -> bool {
        self.roots.was_found(name).await
    }

    /// Looks a name up that may well have no root, for at most so long. A failure counts for half a minute.
    pub(super) async fn look_up(
        &self,
        name: &RootName,
        limit: Option<Duration>,
    ) -> std::result::Result<(), DnslinkError> {
        self.roots.look_up(name, limit).await
    }

    /// Ends the connections of the operator's node that pulls alone needed.
    pub(super) async fn leave_peers(&self) {
        self.roots.leave_peers().await;
    }

    /// Finds content that a repository was seen to have.
    async fn remembered(
        &self,
        label: &str,
        role: Role,
        canonical: &CanonicalDigest,
    ) -> Option<Cached> {
        self.cache.find_known(&role.of(label), canonical).await
    }

    /// Lists the tags of a repository, bytewise; none if there is no such repository.
    pub(super) async fn tags(&self, name: &ForeignName) -> Result<Option<Vec<Tag>>> {
        self.roots.allow(&name.root)?;
        let repository = self.find(name).await?;
        for name in repository.names() {
            if let Some(entries) = repository.list(&layout::tags(name)).await? {
                return Ok(Some(entries.iter().filter_map(|entry| entry.parse().ok()).collect()));
            }
            // A directory on the way to others is none.
            let entries = repository.list(&layout::repository(name)).await?.unwrap_or_default();
            if entries.iter().any(|entry| entry.starts_with('_')) {
                return Ok(Some(Vec::new()));
            }
        }
        Ok(None)
    }

    async fn find(&self, name: &ForeignName) -> Result<ForeignRepository> {
        let Located { root, path, remote } = self.roots.find(&name.root).await?;
        let located = Located {
            root,
            path,
            remote: remote.within(LOOKUP_LIMIT).bounded(self.bounds.root(root)),
        };
        Ok(ForeignRepository::new(name, located, Arc::clone(&self.answers)))
    }

    /// Notes that a repository has content, which was proved.
    async fn note(&self, label: &str, role: Role, canonical: &CanonicalDigest) {
        let (cache, name, canonical) = (Arc::clone(&self.cache), role.of(label), *canonical);
        let noted = spawn_blocking(move || cache.note(&name, &canonical)).await;
        if let Err(error) = noted.map_err(std::io::Error::other).flatten() {
            tracing::warn!(%error, "failed to store the links of a repository in the cache");
        }
    }

    /// Begins to fetch content, or joins a fetch under way.
    async fn fetch(
        &self,
        repository: &ForeignRepository,
        canonical: CanonicalDigest,
        is_manifest: bool,
    ) -> Result<Arc<Fetch>> {
        self.fetch_up_to(repository, canonical, is_manifest.then_some(self.manifest_limit)).await
    }

    /// The same, unless it is longer than that.
    async fn fetch_up_to(
        &self,
        repository: &ForeignRepository,
        canonical: CanonicalDigest,
        longest: Option<u64>,
    ) -> Result<Arc<Fetch>> {
        let open = async {
            let file = repository.open(&layout::blob_data(&canonical)).await?;
            let file = file.ok_or_else(|| missing(&canonical))?;
            if let Some(longest) = longest {
                expect_at_most(longest, &canonical, file.size)?;
            }
            Ok(file)
        };
        let name = repository.root_name();
        Ok(self.cache.fetch_for(name, repository.root(), canonical, open).await?)
    }
}

/// What a repository has something as.
#[derive(Clone, Copy)]
enum Role {
    Manifest,
    Blob,
}

impl Role {
    /// The name under which it is noted.
    fn of(self, label: &str) -> String {
        match self {
            Self::Manifest => format!("{label} manifest"),
            Self::Blob => format!("{label} blob"),
        }
    }
}

/// Requests a link and what it leads to at once. Without the link none of that is returned, nor waited for.
async fn linked<T>(
    is_linked: impl Future<Output = Result<bool>>,
    found: impl Future<Output = Result<T>>,
) -> Result<Option<T>> {
    match select(Box::pin(is_linked), Box::pin(found)).await {
        Either::Left((is_linked, found)) => {
            if is_linked? {
                found.await.map(Some)
            } else {
                Ok(None)
            }
        }
        Either::Right((found, is_linked)) => {
            if is_linked.await? {
                found.map(Some)
            } else {
                Ok(None)
            }
        }
    }
}

/// Refuses content that is too long.
fn expect_at_most(
    longest: u64,
    canonical: &CanonicalDigest,
    size: u64,
) -> std::result::Result<(), RemoteError> {
    if size <= longest {
        return Ok(());
    }
    let what = format!("{canonical} has {size} bytes, more than {longest}");
    Err(RemoteError::new(RemoteErrorKind::Invalid, what))
}

fn missing(canonical: &CanonicalDigest) -> RemoteError {
    let what = format!("{canonical} is referenced, but missing");
    RemoteError::new(RemoteErrorKind::Invalid, what)
}
