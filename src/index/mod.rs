//! SEAM: look-ups and the writer's lock.
//!
//! The index is a cache of the trees that answers quickly, and the home of what only it knows:
//! uploads under way, the queue of edits, users and grants. `registry` calls it; nothing here knows
//! of HTTP, of paths in a tree or of where bytes live.
//!
//! Two faces: [`Index`] is shared by all requests and answers from committed rows. [`Writer`] is the
//! writer's lock, held by one task of one process at a time, and the only one to change what a
//! pull sees. Both run the same queries on either database: a file here has one subject and its
//! queries, `sqlite` and `postgres` what differs between the two, and [`INDEXES`] is their table.

mod asker;
mod blobs;
mod clock;
mod columns;
mod connection;
mod database;
mod edges;
mod error;
mod maintenance;
mod manifests;
mod memory;
mod nodes;
mod open;
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
mod turns;
mod uploads;
mod writer;

use std::collections::HashMap;

use async_trait::async_trait;
use bytes::Bytes;
use cid::Cid;

pub use error::{IndexError, IndexErrorKind};
pub use open::{Access, INDEXES, Kind, Opening, open, open_read_only, open_with, set_aside};
pub use rows::{
    BlobBlock, BlobRow, Claim, EdgeKind, Entry, EntryState, Folding, ManifestEdge, ManifestRow,
    NewBlob, NewManifest, NodeRefs, PublicBlock, PublishedRoot, ReferrerRow, StoredManifest,
    TagRow, UploadRow,
};
pub use turns::Turn;

use crate::oci::{CanonicalDigest, Digest, RepositoryName, Tag, Visibility};

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

    /// Finds a blob by its canonical digest, whoever has it.
    async fn stored_blob(&self, digest: &CanonicalDigest) -> Result<Option<BlobRow>>;

    /// Finds a stored manifest, whoever has it.
    async fn stored_manifest(&self, digest: &CanonicalDigest) -> Result<Option<StoredManifest>>;

    /// Lists the canonical digests of stored blobs and manifests, whoever has them, ordered as text,
    /// after `last`, at most `limit`.
    async fn stored_content(
        &self,
        last: Option<&CanonicalDigest>,
        limit: u32,
    ) -> Result<Vec<CanonicalDigest>>;

    /// Lists every name by which the repository has a manifest, in no order.
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

    /// Finds an upload of the repository.
    async fn upload(&self, repository: &RepositoryName, id: &str) -> Result<Option<UploadRow>>;

    /// Claims an upload for one request, if nobody holds a claim on it that is younger than
    /// `stale_before`, and if its offset is `offset` (where given). `claim` is a fresh token. An
    /// upload that is held is [`Claim::Busy`], wherever it stands.
    async fn claim_upload(
        &self,
        repository: &RepositoryName,
        id: &str,
        offset: Option<u64>,
        claim: &str,
        stale_before: i64,
        now: i64,
    ) -> Result<Claim>;

    /// Stores a checkpoint and gives the claim back. Returns false, changing nothing, when the claim
    /// is no longer held.
    async fn save_upload(
        &self,
        id: &str,
        claim: &str,
        offset: u64,
        checkpoint: &[u8],
        now: i64,
    ) -> Result<bool>;

    /// Makes a claim as young as `now`. Returns false, changing nothing, when it is no longer held.
    async fn renew_upload(&self, id: &str, claim: &str, now: i64) -> Result<bool>;

    /// Gives a claim back, leaving offset and checkpoint as they are. Succeeds when it is not held.
    async fn release_upload(&self, id: &str, claim: &str) -> Result<()>;

    /// Forgets an upload. Returns whether it was there.
    async fn remove_upload(&self, id: &str) -> Result<bool>;

    /// Forgets uploads untouched since before `before` on which nobody holds a claim younger than
    /// `stale_before`, of whatever repository. Returns which they were.
    async fn purge_uploads(&self, before: i64, stale_before: i64) -> Result<Vec<String>>;

    /// Returns how many uploads there are.
    async fn upload_count(&self) -> Result<u64>;

    /// Lists every upload.
    async fn upload_ids(&self) -> Result<Vec<String>>;

    /// Appends an intent to the queue and returns its number; a manifest's bytes are stored beside
    /// it, seen by nobody until a [`Writer`] gives them to a repository. Numbers grow, are never given
    /// twice, and appear in their order: whoever sees one has seen all below it.
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

    /// Reads, in one snapshot, a tree's root as last folded and what has to be applied to it still.
    async fn folding(&self, tree: Visibility) -> Result<Folding>;

    /// Returns the bytes of a tree's node.
    async fn node(&self, cid: &Cid) -> Result<Option<Bytes>>;

    /// Finds a block of the public tree, as last folded, or of what was taken from it after
    /// `removed_after`: of directories, links, manifests or blobs.
    async fn public_block(&self, cid: &Cid, removed_after: i64) -> Result<Option<PublicBlock>>;

    /// Takes the writer's lock; waits as long as somebody else holds it.
    async fn lock(&self) -> Result<Box<dyn Writer>>;

    /// Tells whether other processes may use this index at the same time.
    fn is_shared(&self) -> bool;

    /// Takes a turn to link something in the storage, beside others who link; waits as long as
    /// somebody cleans, and whoever wants to clean waits for its end. Returns nothing when a cleaning was
    /// cut short: somebody has to begin one, do all that it may have left, and end it.
    async fn begin_linking(&self) -> Result<Option<Box<dyn Turn>>>;

    /// Takes a turn to clean the storage; waits as long as anybody links or cleans. From here a note
    /// says that a cleaning is under way, durably, until one is ended: by this turn or a later one. It is
    /// a write: not to be waited for by whoever has a writer's transaction open, nor is its end.
    async fn begin_cleaning(&self) -> Result<Box<dyn Turn>>;

    /// Takes the turn to publish, unless somebody else has it, in whatever process; none then.
    async fn begin_publishing(&self) -> Result<Option<Box<dyn Turn>>>;

    /// Returns how publishing stands, as it was last written down.
    async fn publication(&self) -> Result<Option<Vec<u8>>>;

    /// Writes down how publishing stands, for whoever has the turn to publish.
    async fn set_publication(&self, record: &[u8]) -> Result<()>;

    /// Lists the roots that are held since they were published, or were to be, in no order.
    async fn published_roots(&self) -> Result<Vec<PublishedRoot>>;

    /// Returns the random key of that name, the same for every process that uses this index, at any
    /// time; made when first asked for.
    async fn secret(&self, name: &str) -> Result<[u8; 32]>;

    /// Answers whether the database can be reached and written to, by writing something to it that
    /// means nothing.
    async fn ping(&self) -> Result<()>;

    /// Reads all of the database's file, where it is one. A server of databases looks after its own.
    ///
    /// # Errors
    /// [`Damaged`](IndexErrorKind::Damaged) when the file is not whole.
    async fn examine(&self) -> Result<()>;

    /// Closes all connections once nobody uses them any more. Whatever is asked afterwards fails.
    async fn close(&self);
}

/// The writer's lock, and the transactions that only its holder may make. Dropping it gives the lock
/// back and rolls back what was not committed.
///
/// Between [`begin`](Writer::begin) and [`commit`](Writer::commit) or
/// [`rollback`](Writer::rollback) reads see the transaction's own writes; outside of one, each
/// write is a transaction of its own. After a call in it failed, a transaction can only be rolled
/// back. Whoever has one open must not wait for a write by the [`Index`]: on SQLite that one waits in
/// turn, and fails after 30 s.
#[async_trait]
pub trait Writer: Send {
    /// Begins a transaction.
    async fn begin(&mut self) -> Result<()>;
    /// Makes the transaction durable and visible, and [`Index::version`] greater. If it fails,
    /// nothing is known: drop the writer, take the lock again and look.
    async fn commit(&mut self) -> Result<()>;
    /// Undoes the transaction.
    async fn rollback(&mut self) -> Result<()>;

    /// Lists entries that have no outcome yet, in order, at most `limit`.
    async fn open_entries(&mut self, limit: u32) -> Result<Vec<Entry>>;
    /// Returns one entry.
    async fn entry(&mut self, seq: i64) -> Result<Option<Entry>>;
    /// Stores the edits of an entry that was checked. They are final: fails for an entry that is not
    /// [`Waiting`](EntryState::Waiting).
    async fn set_checked(&mut self, seq: i64, tree: Visibility, edits: &[u8]) -> Result<()>;
    /// Stores the outcome of an entry, which closes it as done or refused. Fails for an entry that is
    /// closed already, and for the other states.
    async fn set_outcome(&mut self, seq: i64, state: EntryState, outcome: &[u8]) -> Result<()>;

    /// Finds a blob that the repository has under that very name.
    async fn blob(
        &mut self,
        repository: &RepositoryName,
        digest: &Digest,
    ) -> Result<Option<BlobRow>>;
    /// Finds those of these blobs that the repository has, each under that very name.
    async fn blobs(
        &mut self,
        repository: &RepositoryName,
        digests: &[Digest],
    ) -> Result<HashMap<Digest, BlobRow>>;
    /// Finds a manifest that the repository has under that very name.
    async fn manifest(
        &mut self,
        repository: &RepositoryName,
        digest: &Digest,
    ) -> Result<Option<ManifestRow>>;
    /// Finds a stored manifest, whoever has it.
    async fn stored_manifest(&mut self, digest: &CanonicalDigest)
    -> Result<Option<StoredManifest>>;
    /// Finds what a tag points to.
    async fn tag(&mut self, repository: &RepositoryName, tag: &Tag) -> Result<Option<TagRow>>;
    /// Lists the tags that point to a manifest, under whatever name, bytewise.
    async fn tags_of(
        &mut self,
        repository: &RepositoryName,
        digest: &CanonicalDigest,
    ) -> Result<Vec<(Tag, TagRow)>>;
    /// Lists every name by which the repository has that manifest, ordered by digest as text.
    async fn manifest_names(
        &mut self,
        repository: &RepositoryName,
        digest: &CanonicalDigest,
    ) -> Result<Vec<Digest>>;
    /// Lists every name by which the repository has that blob, ordered by digest as text.
    async fn blob_names(
        &mut self,
        repository: &RepositoryName,
        digest: &CanonicalDigest,
    ) -> Result<Vec<Digest>>;
    /// Returns a manifest of the repository that has one of these names as a child or as a blob,
    /// if there is one. A subject does not count, nor what a manifest says of itself.
    async fn referencing(
        &mut self,
        repository: &RepositoryName,
        names: &[Digest],
    ) -> Result<Option<CanonicalDigest>>;
    /// Lists the edges that lead out of a manifest of the repository, in the order they were given.
    async fn edges(
        &mut self,
        repository: &RepositoryName,
        digest: &CanonicalDigest,
    ) -> Result<Vec<ManifestEdge>>;

    /// Gives a stored manifest to the repository under each of its names, with its edges.
    /// Repeating it replaces media type and edges, and adds names. Fails if it is not stored.
    async fn put_manifest(
        &mut self,
        repository: &RepositoryName,
        manifest: &NewManifest,
        now: i64,
    ) -> Result<()>;
    /// Points a tag to a manifest. Fails if the repository does not have that.
    async fn put_tag(
        &mut self,
        repository: &RepositoryName,
        tag: &Tag,
        target: &TagRow,
        now: i64,
    ) -> Result<()>;
    /// Removes a tag; one that is absent is no error.
    async fn remove_tag(&mut self, repository: &RepositoryName, tag: &Tag) -> Result<()>;
    /// Takes a manifest from the repository: every name, edge and tag of it. Its bytes stay stored.
    async fn remove_manifest(
        &mut self,
        repository: &RepositoryName,
        digest: &CanonicalDigest,
    ) -> Result<()>;
    /// Takes a blob from the repository, under every name.
    async fn remove_blob(
        &mut self,
        repository: &RepositoryName,
        digest: &CanonicalDigest,
    ) -> Result<()>;
    /// Records a blob for a repository as [`Index::record_blob`] does, inside the transaction.
    async fn put_blob(
        &mut self,
        repository: Option<&RepositoryName>,
        blob: &NewBlob,
        now: i64,
    ) -> Result<()>;
    /// Stores a manifest's bytes as [`Index::enqueue`] does, inside the transaction.
    async fn put_stored_manifest(&mut self, manifest: &StoredManifest) -> Result<()>;

    /// Reads a tree's root as last folded, and the edits that came since.
    async fn folding(&mut self, tree: Visibility) -> Result<Folding>;
    /// Sets a tree's root, and marks the entries up to `through` as folded into it.
    async fn set_root(&mut self, tree: Visibility, root: &Cid, through: i64) -> Result<()>;
    /// Returns the bytes of a tree's node.
    async fn node(&mut self, cid: &Cid) -> Result<Option<Bytes>>;
    /// Returns how many live nodes of the public tree link to each of these; absent ones are 0.
    async fn node_refs(&mut self, cids: &[Cid]) -> Result<NodeRefs>;
    /// Stores nodes' bytes (for content that is not a tree's node: none), with no links to those that
    /// are new. What was stored before keeps its links, and its bytes if it has some.
    async fn put_nodes(&mut self, nodes: &[(Cid, Option<Bytes>)]) -> Result<()>;
    /// Adds to the counts of links; a count that becomes 0 notes `now` as the time of removal, one
    /// that leaves 0 forgets it. Nodes that are absent come to be, several deltas for one node add
    /// up, and 0 for a node that was never counted notes it as removed. A count below 0 is
    /// [`Damaged`](IndexErrorKind::Damaged).
    async fn add_node_refs(&mut self, deltas: &[(Cid, i64)], now: i64) -> Result<()>;
    /// Notes that a root is held; returns whether it was not yet. The link to its node is the caller's to
    /// count.
    async fn hold_root(&mut self, root: &Cid, now: i64) -> Result<bool>;
    /// Notes that a held root was seen in the DNS, and that all others may go at `expires`, unless they may
    /// sooner.
    async fn set_published(&mut self, root: &Cid, now: i64, expires: i64) -> Result<()>;
    /// Holds a root no longer; returns whether it was held. The link to its node is the caller's to count.
    async fn release_root(&mut self, root: &Cid) -> Result<bool>;
    /// Deletes nodes that nobody has linked to since before `before`, and entries of the queue that
    /// were folded or refused and are older. A tree's root stays, and so does a node that was never
    /// counted (those of the private tree are not). Returns how many rows went.
    async fn prune(&mut self, before: i64) -> Result<u64>;
    /// Deletes all that can be rebuilt from the trees: repositories, tags, manifests, blobs, nodes,
    /// roots, held ones too, and the queue. Users, grants and uploads stay.
    async fn clear(&mut self) -> Result<()>;
}
