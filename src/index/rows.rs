//! What the index stores, as the rest of the program sees it.

use std::borrow::Cow;
use std::net::IpAddr;

use bytes::Bytes;
use cid::Cid;

use crate::oci::{CanonicalDigest, Digest, RepositoryName};

/// A blob as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlobRow {
    /// Under which its bytes stand.
    pub canonical: CanonicalDigest,
    /// The CID of the bytes as a UnixFS file.
    pub cid: Cid,
    /// In bytes.
    pub size: u64,
}

/// A blob that was just finished.
#[derive(Debug, Clone)]
pub struct NewBlob {
    /// The blob.
    pub blob: BlobRow,
    /// Every name that the repository shall have it by; the canonical one is implied.
    pub aliases: Vec<Digest>,
    /// The blocks of its file.
    pub blocks: Vec<BlobBlock>,
}

/// A block of a blob's file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlobBlock {
    /// Of the block.
    pub cid: Cid,
    /// Where the bytes that it covers begin in the blob.
    pub start: u64,
    /// How many bytes it covers.
    pub length: u64,
    /// The block itself, unless it is those bytes: a node above the leaves.
    pub node: Option<Bytes>,
}

/// What a block below the public tree is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PublicBlock {
    /// A block that the index keeps: of a directory, of a link or a manifest, or above a blob's leaves.
    Stored(Bytes),
    /// That many bytes of a blob, from there.
    Part {
        /// The blob.
        blob: BlobRow,
        /// Where they begin.
        start: u64,
        /// How many they are.
        length: u64,
    },
}

/// A root that was published, or was to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PublishedRoot {
    /// The root.
    pub root: Cid,
    /// Since when it is retained.
    pub retained_since: i64,
    /// When it was last seen in the DNS, or was to be.
    pub published: Option<i64>,
    /// When it may go, since another one was seen.
    pub expires: Option<i64>,
}

/// A manifest of a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManifestRow {
    /// The name that it was requested or tagged by.
    pub digest: Digest,
    /// Under which its bytes stand.
    pub canonical: CanonicalDigest,
    /// The CID of the bytes as a UnixFS file.
    pub cid: Cid,
    /// As the repository got it.
    pub media_type: String,
    /// As they came.
    pub bytes: Bytes,
}

/// A manifest's bytes, in whatever repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredManifest {
    /// Under which its bytes stand.
    pub canonical: CanonicalDigest,
    /// The CID of the bytes as a UnixFS file.
    pub cid: Cid,
    /// As they came.
    pub bytes: Bytes,
}

/// A manifest that a repository gets.
#[derive(Debug, Clone)]
pub struct NewManifest {
    /// Of a stored manifest.
    pub canonical: CanonicalDigest,
    /// Every name that the repository shall have it by; the canonical one is implied.
    pub aliases: Vec<Digest>,
    /// What it is served as.
    pub media_type: String,
    /// Whether it names layers that need not be in the registry, which have no edges.
    pub has_foreign_layers: bool,
    /// What the referrers API filters by.
    pub artifact_type: Option<String>,
    /// What it references.
    pub edges: Vec<ManifestEdge>,
}

/// A reference out of a manifest.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ManifestEdge {
    /// In what sense.
    pub kind: EdgeKind,
    /// By the very name in the manifest.
    pub target: Digest,
}

/// In what sense a manifest references something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EdgeKind {
    /// A manifest of an index.
    Child,
    /// A config or layer.
    Blob,
    /// What a referrer refers to.
    Subject,
}

/// What a tag points to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TagRow {
    /// The name that it was tagged by.
    pub digest: Digest,
    /// Under which the manifest's bytes stand.
    pub canonical: CanonicalDigest,
}

/// A manifest that has a subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReferrerRow {
    /// The name it was pushed by: sha512, if the repository has it by one, else sha256.
    pub digest: Digest,
    /// What it is served as.
    pub media_type: String,
    /// As they came.
    pub bytes: Bytes,
}

/// What an upload is found by: its name alone is not enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UploadKey<'a> {
    /// Where it goes.
    pub repository: &'a RepositoryName,
    /// The user who began it; empty for an anonymous client.
    pub owner: &'a str,
    /// Its name in URLs.
    pub id: &'a str,
}

/// An upload under way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UploadRow {
    /// Its name in URLs.
    pub id: String,
    /// Where it goes.
    pub repository: RepositoryName,
    /// The user who began it; empty for an anonymous client.
    pub owner: String,
    /// How many bytes were received.
    pub offset: u64,
    /// What the storage needs to go on; empty at the start.
    pub checkpoint: Vec<u8>,
}

/// What became of a claim on an upload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claim {
    /// The upload is the caller's until it is saved or released.
    Granted(UploadRow),
    /// Another request holds it; it stands at that offset.
    Busy(u64),
    /// It stands at another offset, this one.
    Offset(u64),
    /// There is no such upload in the repository.
    Unknown,
}

/// How far an entry of the queue has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryState {
    /// An intent, not checked.
    Waiting,
    /// Checked; its edits are final and will be applied.
    Checked,
    /// Applied, rows written.
    Done,
    /// The check failed; nothing was applied.
    Refused,
}

/// Who makes a change, and from where; neither is known of what the registry or its operator does by itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Actor {
    /// The name of a caller that has signed in.
    pub name: Option<String>,
    /// The address of the client.
    pub address: Option<IpAddr>,
}

/// An event that is to be written.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NewEvent {
    /// What was done, as `push` or `delete`; more kinds may come.
    pub kind: Cow<'static, str>,
    /// Who did it.
    pub actor: Actor,
    /// The repository that it was done to.
    pub repository: Option<RepositoryName>,
    /// The tag; several, separated by commas.
    pub reference: Option<String>,
    /// The manifest or blob, by the name in the request.
    pub digest: Option<Digest>,
    /// The size of the manifest in bytes.
    pub size: Option<u64>,
    /// What else is to be known, depending on the kind: the root of a `publish`.
    pub detail: Option<String>,
}

/// An event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Its position in the order of the commits.
    pub seq: i64,
    /// When it was written, in milliseconds since the Unix epoch.
    pub at: i64,
    /// What happened.
    pub change: NewEvent,
}

/// Which events are listed: those that meet all that is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct EventFilter<'a> {
    /// The repository that they were done to.
    pub repository: Option<&'a RepositoryName>,
    /// The name of who did it.
    pub actor: Option<&'a str>,
    /// Since when, in milliseconds since the Unix epoch.
    pub since: Option<i64>,
}

/// How many events were removed because they were old.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PrunedEvents {
    /// All of them.
    pub removed: u64,
    /// Those of them that a subscriber had not handled.
    pub unhandled: u64,
}

/// An entry of the queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its position in the order.
    pub seq: i64,
    /// Whose change it is.
    pub actor: Actor,
    /// How far it has come.
    pub state: EntryState,
    /// What was requested.
    pub intent: Vec<u8>,
    /// What is done to the trees; once it was checked.
    pub edits: Option<Vec<u8>>,
    /// What came of it; once it is closed.
    pub outcome: Option<Vec<u8>>,
}

/// Where the folding of edits into a tree's root stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Folding {
    /// The root of what was folded; none before the first time.
    pub root: Option<Cid>,
    /// Entries that are done but not folded into the tree, in order: number and all of their edits, also those of
    /// other trees.
    pub edits: Vec<(i64, Vec<u8>)>,
}

/// An upload under way, as an operator sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UploadState {
    /// Its name.
    pub id: String,
    /// The repository that it is for, which need not exist.
    pub repository: RepositoryName,
    /// How many of its bytes are saved.
    pub received: u64,
    /// When it was continued last.
    pub touched: i64,
    /// Whether a request has claimed it.
    pub is_claimed: bool,
}

/// How far a tree is folded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TreeState {
    /// The root of what was folded; none before the first time.
    pub root: Option<Cid>,
    /// The number of the last entry that is done but not folded, if there is any.
    pub last: Option<i64>,
}

/// Counts of links to nodes, in the order of the request.
pub type NodeRefs = Vec<(Cid, i64)>;
