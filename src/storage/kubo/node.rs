//! The node as the driver uses it: whether it will do, and linking under leases.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::future::try_join_all;
use tokio::sync::OnceCell;
use uuid::Uuid;

use super::super::{Content, Lease, Locks, Result, StorageError, StorageErrorKind};
use super::mfs_paths::{self, MfsPaths};
use crate::ipld::{Block, Cid, pin_node};
use crate::kubo::{CallTimeout, Kubo, KuboError, KuboErrorKind, Version};
use crate::oci::CanonicalDigest;

/// The oldest version whose collections do not break MFS.
const OLDEST: Version = Version { major: 0, minor: 43 };

/// How long a lease is waited for.
const LEASE_TIME: Duration = Duration::from_secs(30);

/// How long the node may still be at work for a client that is gone.
pub(super) const AFTERMATH: Duration = Duration::from_millis(500);

/// How long a gateway that searches the network is given to show it.
const SEARCH: Duration = Duration::from_secs(3);

/// How often a link is tried again whose block was collected before it was linked.
const TRIES: usize = 100;

/// How often a link is tried again whose folder the node dropped from its cache, and the pause before each.
const DISPLACED: (usize, Duration) = (20, Duration::from_millis(25));

/// How many digests are remembered as durably stored.
const REMEMBERED: usize = 10_000;

/// For how long content counts as just linked.
const JUST: Duration = Duration::from_mins(1);

/// A node, and the folder of the registry on it.
pub(super) struct Node {
    pub(super) kubo: Kubo,
    pub(super) paths: MfsPaths,
    locks: Arc<dyn Locks>,
    /// Content whose name is known to outlast the node; if this process linked it: to what, and when.
    stored: Mutex<HashMap<CanonicalDigest, Option<(Cid, Instant)>>>,
    /// Whether all names that were there before are known to do so.
    settled: OnceCell<()>,
    /// Locked while what an interrupted cleaning has left is mended.
    mending: tokio::sync::Mutex<()>,
}

impl Node {
    pub(super) fn new(kubo: Kubo, paths: MfsPaths, locks: Arc<dyn Locks>) -> Arc<Self> {
        let (stored, settled, mending) =
            (Mutex::default(), OnceCell::new(), tokio::sync::Mutex::default());
        Arc::new(Self { kubo, paths, locks, stored, settled, mending })
    }

    /// Checks that the node will do, and makes the registry's folder on it.
    pub(super) async fn prepare(self: &Arc<Self>) -> Result<()> {
        let version = self.kubo.version().await.map_err(|error| self.unusable(error))?;
        if version < OLDEST {
            return Err(self.unfit(&format!(
                "it is Kubo {version}, whose garbage collection breaks stored content: install {OLDEST} or newer"
            )));
        }
        self.check_gateway().await?;
        self.warn_of_limit().await;
        self.make_folder().await
    }

    /// Says so where the gateway serves no ranges of large files, which is how blobs are read. It is no reason
    /// not to start: the limit may lie above all of them.
    async fn warn_of_limit(&self) {
        let limit = self.kubo.setting("Gateway.MaxRangeRequestFileSize").await;
        if let Some(limit) = limit.filter(|limit| limit != "0") {
            tracing::warn!(
                limit,
                "blobs above the node's limit cannot be pulled: run `ipfs config --json \
                 Gateway.MaxRangeRequestFileSize null` there and restart it"
            );
        }
    }

    /// Checks that the gateway is the node's, and that it never searches the network.
    async fn check_gateway(&self) -> Result<()> {
        let absent = Block::raw(Bytes::from(Uuid::new_v4().to_string())).cid;
        let answered = self.kubo.says_no_at_once(&absent, SEARCH).await;
        if !answered.map_err(|error| self.unreadable(error))? {
            return Err(self.unfit(
                "its gateway fetches missing blocks from the network: run `ipfs config --json Gateway.NoFetch \
                 true` there and restart the node",
            ));
        }
        let known = Block::raw(Bytes::from_static(b"roadstead\n"));
        self.kubo.put(&known).await.map_err(|error| self.unusable(error))?;
        match self.kubo.read(&known.cid, 0..known.bytes.len() as u64).await {
            Ok(_) => Ok(()),
            Err(error) => Err(self.unreadable(error)),
        }
    }

    /// Says what keeps a gateway from serving files of the node.
    fn unreadable(&self, error: KuboError) -> StorageError {
        match error.kind {
            KuboErrorKind::Unavailable => error.into(),
            KuboErrorKind::Denied => self.unfit(&format!(
                "its gateway does not allow files to be read ({error}): `storage.kubo.gateway` has to be the \
                 gateway of the node of `storage.kubo.api`, without a sign-in"
            )),
            _ => self.unfit(&format!(
                "its gateway does not serve the node's content ({error}): `storage.kubo.gateway` has to be the \
                 gateway of the node of `storage.kubo.api`, and to serve files: run `ipfs config --json \
                 Gateway.DeserializedResponses true` there and restart the node"
            )),
        }
    }

    async fn make_folder(self: &Arc<Self>) -> Result<()> {
        let root = self.paths.root();
        let folders = [self.paths.all_content(), self.paths.all_staged(), self.paths.roots()];
        let names = self.kubo.list(root).await?.unwrap_or_default();
        let is_ours = |name: &String| folders.contains(&format!("{root}/{name}"));
        let (tops, blocks) = mfs_paths::skeleton();
        // One that is empty, or of which a crash let only a part come to be, becomes a registry's.
        if names.len() < folders.len() && names.iter().all(is_ours) {
            let node = Arc::clone(self);
            self.with_lease(async move {
                match node.kubo.make_directory(node.paths.root()).await {
                    Err(error) if error.kind == KuboErrorKind::Unavailable => Err(error.into()),
                    Err(error) => Err(node.unfit(&format!(
                        "cannot create {} ({error}): set another `storage.kubo.mfs_root`",
                        node.paths.root()
                    ))),
                    Ok(()) => Ok(()),
                }
            })
            .await?;
            for (top, path) in tops.iter().zip(&folders) {
                self.put(top, path).await?;
            }
        }
        // What a crash prevented; all of it is below a name now.
        self.kubo.import(&blocks).await?;
        for folder in folders {
            if !self.kubo.stat(&folder).await?.is_some_and(|stat| stat.is_directory) {
                return Err(self.unfit(&format!(
                    "{root} exists, but is not of a registry, since {folder} is missing: set another \
                     `storage.kubo.mfs_root`, or remove it with `ipfs files rm -r {root}`"
                )));
            }
        }
        Ok(())
    }

    fn unfit(&self, why: &str) -> StorageError {
        let what = format!("cannot use the node at {}: {why}", self.kubo.api());
        StorageError::new(StorageErrorKind::Unusable, what)
    }

    /// Says what keeps the node from being used at all.
    fn unusable(&self, error: KuboError) -> StorageError {
        match error.kind {
            KuboErrorKind::Denied => self.unfit(
                "it refuses access: set `storage.kubo.token` to one of its `API.Authorizations`",
            ),
            _ => error.into(),
        }
    }

    /// Runs work that links, with no cleaning meanwhile, to its end even if this future is dropped:
    /// the node would go on with it, while the lease was given back.
    pub(super) async fn with_lease<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        let node = Arc::clone(self);
        let task = tokio::spawn(async move {
            let lease =
                tokio::time::timeout(LEASE_TIME, node.linking()).await.map_err(|_| {
                    let what = "the cleaning of the node takes too long";
                    StorageError::new(StorageErrorKind::Unavailable, what)
                })??;
            let done = work.await;
            lease.end().await?;
            done
        });
        task.await.unwrap_or_else(|error| Err(ended_early(error)))
    }

    async fn linking(&self) -> Result<Box<dyn Lease>> {
        loop {
            if let Some(lease) = self.locks.begin_linking().await? {
                return Ok(lease);
            }
            let _mending = self.mending.lock().await;
            // Of all tasks that wait, one mends.
            if let Some(lease) = self.locks.begin_linking().await? {
                return Ok(lease);
            }
            tracing::warn!("a cleaning of the node was interrupted: repairing");
            self.alone(async || Ok(())).await?;
        }
    }

    /// Makes sure, once, that all names which were there before this outlast the node: their writers
    /// may not have got an answer.
    pub(super) async fn settle(&self) -> Result<()> {
        self.settled.get_or_try_init(|| self.alone(async || Ok(()))).await.map(drop)
    }

    /// Runs work with no linking or cleaning meanwhile, once the node has done what a client that is
    /// gone may have requested. What the work removes is on the disk when this returns.
    pub(super) async fn alone<T>(&self, work: impl AsyncFnOnce() -> Result<T>) -> Result<T> {
        let lease = self.locks.begin_cleaning().await?;
        tokio::time::sleep(AFTERMATH).await;
        self.kubo.flush(self.paths.root()).await?;
        let done = work().await?;
        let pins = self.kubo.pinned_blocks(&self.paths.pin()).await?;
        self.kubo.unpin_blocks(&pins).await?;
        lease.end().await?;
        Ok(done)
    }

    /// Stages a block under a name of its own.
    pub(super) async fn hold(self: &Arc<Self>, block: &Block, name: &str) -> Result<()> {
        let path = self.paths.staged(name);
        match self.put(block, &path).await? {
            LinkOutcome::Now | LinkOutcome::Before => Ok(()),
            LinkOutcome::Not => Err(collected(&path)),
        }
    }

    /// Sends blocks, which are staged under that name before they are sent; in so many parts at a time.
    pub(super) async fn send(
        self: &Arc<Self>,
        name: &str,
        blocks: &[Block],
        parts: usize,
    ) -> Result<()> {
        let cids: Vec<Cid> = blocks.iter().map(|block| block.cid).collect();
        let begun = Instant::now();
        self.hold(&pin_node(&cids), name).await?;
        let pinned = begun.elapsed();
        let sending = blocks.chunks(blocks.len().div_ceil(parts).max(1));
        try_join_all(sending.map(|part| self.kubo.import(part))).await?;
        let sent = begun.elapsed().saturating_sub(pinned);
        tracing::debug!(name, blocks = blocks.len(), ?pinned, ?sent, "sent blocks to the node");
        Ok(())
    }

    /// Gives a snapshot, whose blocks are staged, the number that it is to have.
    ///
    /// # Errors
    /// [`StorageErrorKind::Unavailable`] when another process has the number already.
    pub(super) async fn commit(self: &Arc<Self>, cid: Cid, seq: u64) -> Result<()> {
        let path = self.paths.snapshot(seq);
        match self.link(cid, path.clone(), CallTimeout::Endless).await? {
            LinkOutcome::Now => Ok(()),
            LinkOutcome::Before => Err(outrun(seq)),
            LinkOutcome::Not => Err(collected(&path)),
        }
    }

    /// Stores content whose blocks are staged, or are only this one.
    pub(super) async fn keep(
        self: &Arc<Self>,
        canonical: &CanonicalDigest,
        cid: Cid,
        only: Option<&Block>,
    ) -> Result<()> {
        let path = self.paths.content(canonical);
        let named = match only {
            Some(block) => self.put(block, &path).await?,
            None => self.link(cid, path.clone(), CallTimeout::Limited).await?,
        };
        let linked = match named {
            LinkOutcome::Not => return Err(collected(&path)),
            // Another task may have linked it a moment ago, and not yet know that it lasts.
            LinkOutcome::Before if !self.stored().contains_key(canonical) => {
                self.alone(async || Ok(())).await?;
                None
            }
            LinkOutcome::Before => None,
            LinkOutcome::Now => Some((cid, Instant::now())),
        };
        self.note(*canonical, linked);
        Ok(())
    }

    /// Returns whether this process linked the content within the last minute, and has not forgotten it.
    pub(super) fn has_just_linked(&self, content: &Content) -> bool {
        let linked = self.stored().get(&content.canonical).copied().flatten();
        linked.is_some_and(|(cid, since)| cid == content.cid && since.elapsed() < JUST)
    }

    /// Puts a block on the node and names it, again when a collection has come between.
    async fn put(self: &Arc<Self>, block: &Block, path: &str) -> Result<LinkOutcome> {
        for _ in 0..TRIES {
            self.kubo.put(block).await?;
            let named = self.link(block.cid, path.to_owned(), CallTimeout::Limited).await?;
            if named != LinkOutcome::Not {
                return Ok(named);
            }
        }
        Ok(LinkOutcome::Not)
    }

    async fn link(
        self: &Arc<Self>,
        cid: Cid,
        path: String,
        timeout: CallTimeout,
    ) -> Result<LinkOutcome> {
        let node = Arc::clone(self);
        let linking = async move {
            let (tries, pause) = DISPLACED;
            let mut copied = node.kubo.copy(&cid, &path, timeout).await;
            for _ in 1..tries {
                // Another registry, or the operator, made a name at the top of the node's files.
                if !matches!(&copied, Err(error) if error.kind == KuboErrorKind::Displaced) {
                    break;
                }
                tokio::time::sleep(pause).await;
                copied = node.kubo.copy(&cid, &path, timeout).await;
            }
            match copied {
                Ok(()) => Ok(LinkOutcome::Now),
                Err(error) if error.kind == KuboErrorKind::Exists => Ok(LinkOutcome::Before),
                Err(error) if error.kind == KuboErrorKind::MissingBlock => Ok(LinkOutcome::Not),
                Err(error) => Err(error.into()),
            }
        };
        self.with_lease(linking).await
    }

    /// Notes content whose name outlasts the node.
    pub(super) fn remember(&self, canonical: CanonicalDigest) {
        self.note(canonical, None);
    }

    fn note(&self, canonical: CanonicalDigest, linked: Option<(Cid, Instant)>) {
        let mut stored = self.stored();
        // What goes is looked up, if it is needed again.
        if stored.len() >= REMEMBERED {
            stored.clear();
        }
        let known = stored.entry(canonical).or_default();
        *known = linked.or(*known);
    }

    pub(super) fn forget(&self, canonical: &CanonicalDigest) {
        self.stored().remove(canonical);
    }

    fn stored(&self) -> MutexGuard<'_, HashMap<CanonicalDigest, Option<(Cid, Instant)>>> {
        self.stored.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a name stands for a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LinkOutcome {
    /// It does so from now on, durably.
    Now,
    /// It was taken.
    Before,
    /// The block is not on the node.
    Not,
}

fn collected(path: &str) -> StorageError {
    let what = format!("the content of {path} was garbage-collected before it was linked");
    StorageError::new(StorageErrorKind::Unavailable, what)
}

/// The error of a writer that is not the only one.
pub(super) fn outrun(seq: u64) -> StorageError {
    let what = format!("another process has made commit {seq}");
    StorageError::new(StorageErrorKind::Unavailable, what)
}

/// The error of a task that panicked or was never run.
pub(super) fn ended_early(error: tokio::task::JoinError) -> StorageError {
    StorageError::io("a task of the storage ended early", std::io::Error::other(error))
}
