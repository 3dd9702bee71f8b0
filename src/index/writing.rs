//! What only the holder of the writer's lock may do.

use std::collections::HashMap;

use async_trait::async_trait;
use bytes::Bytes;
use cid::Cid;

use super::{
    BlobRow, Entry, EntryState, Folding, ManifestEdge, ManifestRow, NewBlob, NewManifest, NodeRefs,
    Result, StoredManifest, TagRow, TreeState,
};
use crate::oci::{CanonicalDigest, Digest, RepositoryName, Tag, Visibility};

/// The writer's lock, and the transactions that only its holder may make. Dropping it gives the lock
/// back and rolls back what was not committed.
///
/// Between [`begin`](Writer::begin) and [`commit`](Writer::commit) or
/// [`rollback`](Writer::rollback) reads see the transaction's own writes; outside of one, each
/// write is a transaction of its own. After a call in it failed, a transaction can only be rolled
/// back. A task that has one open must not wait for a write by the [`Index`](super::Index): on SQLite that one waits
/// for the transaction, and fails after 30 s.
#[async_trait]
pub trait Writer: Send {
    /// Begins a transaction.
    async fn begin(&mut self) -> Result<()>;
    /// Makes the transaction durable and visible, and [`Index::version`](super::Index::version) greater. If it fails,
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
    /// Finds a stored manifest, in whatever repository.
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
    /// Lists every name of that manifest in the repository, ordered by digest as text.
    async fn manifest_names(
        &mut self,
        repository: &RepositoryName,
        digest: &CanonicalDigest,
    ) -> Result<Vec<Digest>>;
    /// Lists every name of that blob in the repository, ordered by digest as text.
    async fn blob_names(
        &mut self,
        repository: &RepositoryName,
        digest: &CanonicalDigest,
    ) -> Result<Vec<Digest>>;
    /// Lists manifests of the repository that have one of these names as a child or as a blob, ordered by
    /// digest as text, at most `limit`. A subject does not count, nor what a manifest says of itself.
    async fn referencing(
        &mut self,
        repository: &RepositoryName,
        names: &[Digest],
        limit: u32,
    ) -> Result<Vec<CanonicalDigest>>;
    /// Lists the edges that lead out of a manifest of the repository, in the order they were given.
    async fn edges(
        &mut self,
        repository: &RepositoryName,
        digest: &CanonicalDigest,
    ) -> Result<Vec<ManifestEdge>>;

    /// Notes whether the public tree has the links to the repository's blobs by these names. Names without a blob
    /// in it are passed over.
    async fn set_linked(
        &mut self,
        repository: &RepositoryName,
        names: &[Digest],
        linked: bool,
    ) -> Result<()>;
    /// Lists the names of the repository's blob that have a link in the public tree, or may have one, ordered by
    /// digest as text.
    async fn linked_names(
        &mut self,
        repository: &RepositoryName,
        digest: &CanonicalDigest,
    ) -> Result<Vec<Digest>>;
    /// Lists those of these names that a manifest of the repository needs a link to a blob for: it names it as
    /// a blob, or as a child that the repository does not have as a manifest.
    async fn needed_names(
        &mut self,
        repository: &RepositoryName,
        names: &[Digest],
    ) -> Result<Vec<Digest>>;
    /// Tells whether any repository has content as a manifest, or the public tree has a link to it as a blob, or
    /// may have one.
    async fn is_named(&mut self, digest: &CanonicalDigest) -> Result<bool>;
    /// Lists links of which it is not known whether the public tree has them, since an earlier version did not
    /// note it; at most `limit`.
    async fn unsettled_links(&mut self, limit: u32) -> Result<Vec<(RepositoryName, Digest)>>;

    /// Tells whether any repository has content as a manifest, or has a manifest that needs it as a blob.
    async fn is_needed(&mut self, digest: &CanonicalDigest) -> Result<bool>;
    /// Returns the CID of stored content, of a blob or a manifest.
    async fn content_cid(&mut self, digest: &CanonicalDigest) -> Result<Option<Cid>>;
    /// Lists repositories that have the blob, as
    /// [`Index::repositories_with_blob`](super::Index::repositories_with_blob) does.
    async fn repositories_with(
        &mut self,
        digest: &Digest,
        limit: u32,
    ) -> Result<Vec<RepositoryName>>;
    /// Lists the repositories to whose blob of that content the public tree has a link, or may have one.
    async fn linking(&mut self, digest: &CanonicalDigest) -> Result<Vec<RepositoryName>>;
    /// Notes that these files of content are withdrawn: [`Index::public_block`](super::Index::public_block) finds
    /// none of their blocks any more, whichever root leads to them.
    async fn withdraw(&mut self, digest: &CanonicalDigest, files: &[Cid]) -> Result<()>;
    /// Withdraws content no longer.
    async fn end_withdrawal(&mut self, digests: &[CanonicalDigest]) -> Result<()>;
    /// Lists manifests that need content, the manifest itself among them, with their repositories; at most `limit`.
    async fn needing(
        &mut self,
        digest: &CanonicalDigest,
        limit: u32,
    ) -> Result<Vec<(RepositoryName, CanonicalDigest)>>;
    /// Waits until no other process records a blob or a manifest, and keeps them from it until the transaction ends.
    /// In a transaction. Returns false where that would take long; the transaction can only be rolled back then.
    ///
    /// Until the end, nothing may be read but by this writer: those who wait may have all other connections.
    async fn hold_stores(&mut self) -> Result<bool>;
    /// Lists withdrawn content whose bytes are still stored.
    async fn withdrawn(&mut self) -> Result<Vec<CanonicalDigest>>;
    /// Notes that the bytes of withdrawn content are no longer stored.
    async fn set_forgotten(&mut self, digest: &CanonicalDigest) -> Result<()>;
    /// Forgets a stored manifest, unless a repository has it.
    async fn forget_manifest(&mut self, digest: &CanonicalDigest) -> Result<()>;

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
    /// Takes the blobs from the repository under those names to which the public tree has no link.
    async fn forget_unlinked(&mut self, repository: &RepositoryName) -> Result<()>;
    /// Forgets a stored blob, its names and its blocks. Fails if a repository has it.
    async fn forget_blob(&mut self, digest: &CanonicalDigest) -> Result<()>;
    /// Records a blob for a repository as [`Index::record_blob`](super::Index::record_blob) does, inside the transaction.
    async fn put_blob(
        &mut self,
        repository: Option<&RepositoryName>,
        blob: &NewBlob,
        now: i64,
    ) -> Result<()>;
    /// Stores a manifest's bytes as [`Index::enqueue`](super::Index::enqueue) does, inside the transaction.
    async fn put_stored_manifest(&mut self, manifest: &StoredManifest) -> Result<()>;

    /// Tells how far a tree is folded.
    async fn tree_state(&mut self, tree: Visibility) -> Result<TreeState>;
    /// Reads a tree's root as last folded, and the edits that came since.
    async fn folding(&mut self, tree: Visibility) -> Result<Folding>;
    /// The same of the first entries after `after` and up to `through`: as many as memory is to hold at a time, and at
    /// least one where there is any.
    async fn folding_part(&mut self, tree: Visibility, after: i64, through: i64)
    -> Result<Folding>;
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
    /// [`Damaged`](super::IndexErrorKind::Damaged).
    async fn add_node_refs(&mut self, deltas: &[(Cid, i64)], now: i64) -> Result<()>;
    /// Notes that a root is retained, and is not to go; returns whether it was not yet. The link to its node
    /// is the caller's to count.
    async fn hold_root(&mut self, root: &Cid, now: i64) -> Result<bool>;
    /// Notes which retained roots the DNS names, or is to name, and that all others may go at `expires`, unless
    /// they may sooner.
    async fn set_published(&mut self, roots: &[Cid], now: i64, expires: i64) -> Result<()>;
    /// Releases a root; returns whether it was retained. The link to its node is the caller's to count.
    async fn release_root(&mut self, root: &Cid) -> Result<bool>;
    /// Deletes nodes without a new link since before `before`, and entries of the queue that
    /// were folded or refused and are older. A tree's root stays, and so does a node that was never
    /// counted (those of the private tree are not). Returns how many rows went.
    async fn prune(&mut self, before: i64) -> Result<u64>;
    /// Deletes all that can be rebuilt from the trees: repositories, tags, manifests, blobs, nodes,
    /// roots, retained ones too, and the queue. Users, grants and uploads stay.
    async fn clear(&mut self) -> Result<()>;
}
