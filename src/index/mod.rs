//! SEAM: look-ups and the writer's lock.
//!
//! The index is a cache of the trees that answers quickly, and the home of what only it knows:
//! uploads under way, the queue of edits, users and grants. `registry` calls it; nothing here knows
//! of HTTP, of paths in a tree or of where bytes live.
//!
//! Two faces: [`Index`] is shared by all requests and answers from committed rows. [`Writer`] is the
//! writer's lock, owned by one task of one process at a time, and the only one to change what a
//! pull sees. Both run the same queries on either database: a file here has one subject and its
//! queries, `sqlite` and `postgres` what differs between the two, and [`INDEXES`] is their table.

mod blobs;
mod cache;
mod columns;
mod connection;
mod database;
mod edges;
mod error;
mod generation;
mod generation_reader;
mod links;
mod locks;
mod maintenance;
mod manifests;
mod nodes;
mod open;
mod pool;
mod pooler;
mod postgres;
mod published;
mod queue;
mod repositories;
mod rows;
mod schema;
mod secrets;
mod sqlite;
mod tags;
mod uploads;
mod withdrawn;
mod writer;
mod writing;

use async_trait::async_trait;
use bytes::Bytes;
use cid::Cid;

pub use error::{IndexError, IndexErrorKind};
pub use locks::Lease;
pub use open::{Access, INDEXES, Kind, Opening, open, open_read_only, open_with, set_aside};
pub use rows::{
    BlobBlock, BlobRow, Claim, EdgeKind, Entry, EntryState, Folding, ManifestEdge, ManifestRow,
    NewBlob, NewManifest, NodeRefs, PublicBlock, PublishedRoot, ReferrerRow, StoredManifest,
    TagRow, TreeState, UploadKey, UploadRow, UploadState,
};
pub use writing::Writer;

use crate::oci::{CanonicalDigest, Digest, RepositoryName, Tag, Visibility};

/// Returns the file that the URL of an index names; none where it names a server.
#[must_use]
pub fn file(url: &str) -> Option<&std::path::Path> {
    sqlite::file(url)
}

/// What every operation of this room returns.
pub type Result<T> = std::result::Result<T, IndexError>;

/// Look-ups, uploads and the queue; shared by all requests.
///
/// Reads see committed rows only. Each write is one transaction, durable when it returns; those of
/// uploads under way outlast the process, but a loss of power may take back what it likes of them.
/// Times are milliseconds since the Unix epoch.
#[async_trait]
pub trait Index: Send + Sync {
    /// Returns a number that grows with every commit of a [`Writer`]: while it stays, whatever was
    /// found by the look-ups below is still so.
    async fn version(&self) -> Result<u64>;

    /// Finds a blob that the repository has under that very name.
    async fn blob(&self, repository: &RepositoryName, digest: &Digest) -> Result<Option<BlobRow>>;

    /// Finds a blob by its canonical digest, in whatever repository.
    async fn stored_blob(&self, digest: &CanonicalDigest) -> Result<Option<BlobRow>>;

    /// Finds a stored manifest, in whatever repository.
    async fn stored_manifest(&self, digest: &CanonicalDigest) -> Result<Option<StoredManifest>>;

    /// Lists the canonical digests of stored blobs and manifests of all repositories, ordered as text,
    /// after `last`, at most `limit`.
    async fn stored_content(
        &self,
        last: Option<&CanonicalDigest>,
        limit: u32,
    ) -> Result<Vec<CanonicalDigest>>;

    /// Lists every name of a manifest in the repository, in no order.
    async fn manifests(&self, repository: &RepositoryName) -> Result<Vec<Digest>>;

    /// Lists repositories that have the blob under that name, at most `limit`: those that came first,
    /// so that it costs the same however many have it.
    async fn repositories_with_blob(
        &self,
        digest: &Digest,
        limit: u32,
    ) -> Result<Vec<RepositoryName>>;

    /// Tells whether the repository has a blob or a manifest.
    async fn repository_exists(&self, repository: &RepositoryName) -> Result<bool>;

    /// Finds a manifest that the repository has under that very name.
    async fn manifest(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
    ) -> Result<Option<ManifestRow>>;

    /// Finds the manifest that a tag points to; `ManifestRow::digest` is the name it was tagged by.
    async fn tagged_manifest(
        &self,
        repository: &RepositoryName,
        tag: &Tag,
    ) -> Result<Option<ManifestRow>>;

    /// Lists tags bytewise after `last`, at most `limit`.
    async fn tags(
        &self,
        repository: &RepositoryName,
        last: Option<&str>,
        limit: u32,
    ) -> Result<Vec<Tag>>;

    /// Lists repositories that have a manifest, bytewise after `last`, at most `limit`.
    async fn repositories(&self, last: Option<&str>, limit: u32) -> Result<Vec<RepositoryName>>;

    /// Lists manifests of the repository whose subject is that digest, ordered by digest as text,
    /// after `last`, at most `limit`; only those of that artifact type, if one is given.
    async fn referrers(
        &self,
        repository: &RepositoryName,
        subject: &Digest,
        artifact_type: Option<&str>,
        last: Option<&Digest>,
        limit: u32,
    ) -> Result<Vec<ReferrerRow>>;

    /// Records a finished blob under each of its names for the repository. Repeating it succeeds.
    async fn record_blob(
        &self,
        repository: &RepositoryName,
        blob: &NewBlob,
        now: i64,
    ) -> Result<()>;

    /// Gives the repository a blob that another one has, under that name (and under its canonical
    /// one). Returns false, changing nothing, when the blob is not stored. Repeating it succeeds.
    async fn mount_blob(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
        now: i64,
    ) -> Result<bool>;

    /// Records a new upload with nothing received, under an id that was never used. The repository
    /// need not exist, and does not come to be by it.
    async fn create_upload(
        &self,
        id: &str,
        repository: &RepositoryName,
        owner: &str,
        now: i64,
    ) -> Result<()>;

    /// Finds an upload of the repository that this user began.
    async fn upload(&self, key: &UploadKey<'_>) -> Result<Option<UploadRow>>;

    /// Claims an upload that this user began for one request, if no claim on it is younger than
    /// `stale_before`, and if its offset is `offset` (where given). `claim` is a fresh token. An
    /// upload with such a claim is [`Claim::Busy`], wherever it stands.
    async fn claim_upload(
        &self,
        key: &UploadKey<'_>,
        offset: Option<u64>,
        claim: &str,
        stale_before: i64,
        now: i64,
    ) -> Result<Claim>;

    /// Stores a checkpoint and gives the claim back. Returns false, changing nothing, when the claim
    /// is no longer valid.
    async fn save_upload(
        &self,
        id: &str,
        claim: &str,
        offset: u64,
        checkpoint: &[u8],
        now: i64,
    ) -> Result<bool>;

    /// Makes a claim as young as `now`. Returns false, changing nothing, when it is no longer valid.
    async fn renew_upload(&self, id: &str, claim: &str, now: i64) -> Result<bool>;

    /// Gives a claim back, leaving offset and checkpoint as they are. Succeeds when it is not valid.
    async fn release_upload(&self, id: &str, claim: &str) -> Result<()>;

    /// Forgets an upload and records the blob that it came to, in one step, if the claim is valid.
    /// Returns false, changing nothing, when it is not.
    async fn finish_upload(
        &self,
        id: &str,
        claim: &str,
        repository: &RepositoryName,
        blob: &NewBlob,
        now: i64,
    ) -> Result<bool>;

    /// Forgets an upload. Returns whether it was there.
    async fn remove_upload(&self, id: &str) -> Result<bool>;

    /// Forgets uploads untouched since before `before` without a claim younger than
    /// `stale_before`, of whatever repository. Returns which they were.
    async fn purge_uploads(&self, before: i64, stale_before: i64) -> Result<Vec<String>>;

    /// Returns how many uploads there are.
    async fn upload_count(&self) -> Result<u64>;

    /// Returns how many bytes all uploads have saved.
    async fn upload_bytes(&self) -> Result<u64>;

    /// Lists uploads with what an operator wants to know of them, those that were continued longest ago first;
    /// claims older than `stale_before` have lapsed.
    async fn uploads(&self, stale_before: i64) -> Result<Vec<UploadState>>;

    /// Lists every upload.
    async fn upload_ids(&self) -> Result<Vec<String>>;

    /// Appends an intent to the queue and returns its number; a manifest's bytes are stored beside
    /// it, invisible until a [`Writer`] gives them to a repository. Numbers grow, are never given
    /// twice, and appear in their order: a reader that sees one has seen all below it.
    async fn enqueue(
        &self,
        intent: &[u8],
        manifest: Option<&StoredManifest>,
        now: i64,
    ) -> Result<i64>;

    /// Returns how many entries of the queue have no outcome yet.
    async fn open_entry_count(&self) -> Result<u64>;

    /// Returns how many entries no tree's root has yet: those without an outcome, and those that are
    /// done but not folded.
    async fn unfolded_entry_count(&self) -> Result<u64>;

    /// Tells how far a tree is folded.
    async fn tree_state(&self, tree: Visibility) -> Result<TreeState>;

    /// Reads, in one snapshot, a tree's root as last folded and what has to be applied to it still: all of it, however
    /// much that is.
    async fn folding(&self, tree: Visibility) -> Result<Folding>;

    /// Returns the bytes of a tree's node.
    async fn node(&self, cid: &Cid) -> Result<Option<Bytes>>;

    /// Finds a block of the public tree, as last folded, or of what was taken from it after
    /// `removed_after`: of directories, links, manifests or blobs. What was [withdrawn](Writer::withdraw) is not found.
    async fn public_block(&self, cid: &Cid, removed_after: i64) -> Result<Option<PublicBlock>>;

    /// Tells whether a file of a tree was withdrawn, by the CID of its root.
    async fn is_withdrawn(&self, cid: &Cid) -> Result<bool>;

    /// Tells whether content was withdrawn, by its digest.
    async fn is_content_withdrawn(&self, digest: &CanonicalDigest) -> Result<bool>;

    /// Finds a block of a tree or of stored content, whether or not it is public.
    async fn block(&self, cid: &Cid) -> Result<Option<PublicBlock>>;

    /// Takes the writer's lock; waits as long as another task has it.
    async fn lock(&self) -> Result<Box<dyn Writer>>;

    /// Tells whether other processes may use this index at the same time.
    fn is_shared(&self) -> bool;

    /// Takes a lease to link something in the storage, beside others; waits as long as a cleaning
    /// runs, and a new cleaning waits for its end. Returns nothing when a cleaning was cut short: the
    /// caller has to begin one, do all that it may have left, and end it.
    async fn begin_linking(&self) -> Result<Option<Box<dyn Lease>>>;

    /// Takes a lease to clean the storage; waits as long as there is another lease to link or clean. From here a note
    /// says that a cleaning is under way, durably, until one is ended: by this lease or a later one. It is
    /// a write: a task with a writer's transaction open must not wait for it, nor for its end.
    async fn begin_cleaning(&self) -> Result<Box<dyn Lease>>;

    /// Takes the lease to publish; none while another task has it, in whatever process.
    async fn begin_publishing(&self) -> Result<Option<Box<dyn Lease>>>;

    /// Returns how publishing stands, as it was last written down.
    async fn publication(&self) -> Result<Option<Vec<u8>>>;

    /// Writes down how publishing stands, for the owner of the lease to publish.
    async fn set_publication(&self, record: &[u8]) -> Result<()>;

    /// Lists the roots that are retained since they were published, or were to be, in no order.
    async fn published_roots(&self) -> Result<Vec<PublishedRoot>>;

    /// Returns the random key of that name, the same for every process that uses this index, at any
    /// time; made when first requested.
    async fn secret(&self, name: &str) -> Result<[u8; 32]>;

    /// Answers whether the database can be reached and written to, by writing something to it that
    /// means nothing.
    async fn ping(&self) -> Result<()>;

    /// Reads all of the database's file, where it is one. A server of databases looks after its own.
    ///
    /// # Errors
    /// [`Damaged`](IndexErrorKind::Damaged) when the file is not whole.
    async fn verify(&self) -> Result<()>;

    /// Closes all connections once they are unused. Every later call fails.
    async fn close(&self);
}
