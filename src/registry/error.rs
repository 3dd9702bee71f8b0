//! What a use case can answer instead of a result.

use std::time::Duration;

use cid::Cid;
use thiserror::Error;

use crate::auth::AuthError;
use crate::dnslink::DnslinkError;
use crate::index::{IndexError, IndexErrorKind, QuotaExceeded};
use crate::ipld::TraversalError;
use crate::oci::{Digest, ManifestError, RepositoryName, Tag};
use crate::remote::RemoteError;
use crate::storage::{StorageError, StorageErrorKind};

/// What every use case returns.
pub type Result<T> = std::result::Result<T, RegistryError>;

/// Why a use case failed.
#[derive(Debug, Error)]
pub enum RegistryError {
    /// The repository does not have the blob.
    #[error("blob {0} is not in `{1}`")]
    BlobUnknown(Digest, RepositoryName),
    /// The repository has no such upload.
    #[error("upload `{0}` not found: it is finished, cancelled or expired; start a new one")]
    UploadUnknown(String),
    /// The upload is at another offset.
    #[error("cannot append to the upload: it is at byte {offset}; continue from there")]
    UploadOffset {
        /// How many bytes the upload has.
        offset: u64,
    },
    /// A newer request goes on with the upload.
    #[error(
        "cannot append to the upload: a newer request took it over at byte {offset}; continue from there"
    )]
    UploadTakenOver {
        /// How many bytes the upload has.
        offset: u64,
    },
    /// An older request is finishing the upload.
    #[error("cannot change the upload: another request is finishing it; try again in a moment")]
    UploadBusy,
    /// The blob alone is larger than all uploads together may be.
    #[error(
        "cannot store the blob: it is larger than all uploads together may be ({limit} bytes); ask the operator \
         to raise uploads.max_bytes"
    )]
    UploadTooLarge {
        /// In bytes.
        limit: u64,
    },
    /// Uploads under way have as many bytes as they may.
    #[error(
        "cannot continue the upload: unfinished uploads use all the space for uploads; try again later, or cancel \
         uploads that are not needed"
    )]
    UploadsFull,
    /// The body broke off, or could not be read.
    #[error("cannot read the body: it is malformed or ended early; send it again")]
    BodyBroken,
    /// Nothing of the body came for that long.
    #[error("cannot read the body: no data for {} seconds; send the rest again", .0.as_secs())]
    BodyRested(Duration),
    /// The body is not as long as was said.
    #[error("size mismatch: {expected} bytes announced, {received} received")]
    SizeMismatch {
        /// As said.
        expected: u64,
        /// As it came.
        received: u64,
    },
    /// The bytes have another digest.
    #[error("digest mismatch: the content does not match {0}")]
    DigestMismatch(Digest),
    /// The repository does not have the manifest.
    #[error("manifest {0} is not in `{1}`")]
    ManifestUnknown(String, RepositoryName),
    /// There is no such repository, and so no such manifest in it.
    #[error("repository `{0}` not found")]
    RepositoryAbsent(RepositoryName),
    /// The document is not a manifest.
    #[error(transparent)]
    ManifestInvalid(#[from] ManifestError),
    /// The manifest has more bytes than the operator allows.
    #[error("manifest too large: at most {limit} bytes are accepted")]
    ManifestTooLarge {
        /// In bytes.
        limit: usize,
    },
    /// The repository does not have what the manifest references.
    #[error(
        "cannot store the manifest: the repository does not have {}; {}",
        first(.missing),
        cure(*.of_index)
    )]
    MissingReferences {
        /// What it does not have.
        missing: Vec<Digest>,
        /// Whether the manifest is an index, which may be taken without its platforms.
        of_index: bool,
    },
    /// Manifests of the repository still reference it.
    #[error("cannot delete {what}: it is referenced by {}; delete those manifests first", list(.by))]
    Referenced {
        /// What was to be deleted.
        what: String,
        /// The manifests that reference it, the first of them.
        by: Vec<Digest>,
    },
    /// Something else is there than the client demands.
    #[error("{}", condition(what, repository, current.as_deref()))]
    ConditionFailed {
        /// A tag, or a digest.
        what: String,
        /// Where.
        repository: RepositoryName,
        /// The digest that is there, or that nothing is; none where that was not noted.
        current: Option<Box<Option<Digest>>>,
    },
    /// A rule of the operator fixes the tag.
    #[error(
        "cannot move tag `{0}` of `{1}` to another manifest: it is immutable or protected by the registry's retention \
         rules; push another tag"
    )]
    TagFixed(Tag, RepositoryName),
    /// A rule of the operator protects the tag.
    #[error("cannot delete tag `{0}` of `{1}`: it is protected by the registry's retention rules")]
    TagProtected(Tag, RepositoryName),
    /// There is no such repository.
    #[error("repository `{0}` not found")]
    NameUnknown(RepositoryName),
    /// A repository cannot be hidden where there is no telling who may see it.
    #[error(
        "cannot hide `{0}`: clients of this registry have no accounts; set auth.method = \"accounts\""
    )]
    NoAccounts(RepositoryName),
    /// There is no place for a repository that is not public.
    #[error(
        "cannot store `{0}`: this registry's storage can be read by everybody who knows a CID, so every repository has \
         to be public; ask the operator to set auth.accounts.default_visibility = \"public\""
    )]
    MustBePublic(RepositoryName),
    /// The namespace would have more than its quota allows.
    #[error(transparent)]
    OverQuota(QuotaExceeded),
    /// The change was accepted, but could not be carried out in time; it may still be.
    #[error(
        "the change is not committed yet: it is queued and may still be committed; check before you send it again"
    )]
    Waiting,
    /// A collection failed.
    #[error("cannot collect garbage: {0}; the next collection goes on")]
    Collection(std::sync::Arc<Self>),
    /// The one that mends cannot be reached.
    #[error("cannot mend: {0}")]
    Mending(Box<dyn std::error::Error + Send + Sync>),
    /// Nothing of that digest is stored, under any name that is known.
    #[error(
        "{0} not found: no content with that digest is stored; if it has a sha256 digest, use that one"
    )]
    NothingStored(Digest),
    /// More goes with a manifest than a client may have purged at once.
    #[error(
        "cannot purge {0} at once, since too many manifests and blobs go with it: purge what it lists first, or have the operator run `roadstead purge`"
    )]
    PurgeTooLarge(Digest),
    /// What was pushed was purged at the same moment.
    #[error("cannot store {0}: it was purged during the push; push it again")]
    Purged(Digest),
    /// What was pushed is not in the root yet.
    #[error("cannot compute the root: the index or the storage does not answer; try again")]
    RootBehind,
    /// The tree has nothing of what the index lists.
    #[error(
        "the public tree is empty, but the index lists repositories: restore the tree, or remove the index to \
         start empty"
    )]
    TreeLost,
    /// The storage failed.
    #[error(transparent)]
    Storage(StorageError),
    /// The index failed.
    #[error(transparent)]
    Index(IndexError),
    /// What is below a foreign root cannot be fetched.
    #[error(transparent)]
    Remote(#[from] RemoteError),
    /// No server returns the root of a foreign name.
    #[error(transparent)]
    Unresolved(#[from] DnslinkError),
    /// The operator does not serve what is below that root.
    #[error(
        "cannot pull images below `{0}`: this registry does not serve them; ask the operator to list it in \
         federation.domains"
    )]
    FederationDenied(String),
    /// It is not in the cache, and nothing is fetched for the client.
    #[error(transparent)]
    NotFetched(AuthError),
    /// A request on behalf of a domain can be answered neither from there nor by a repository of this registry.
    #[error(
        "{error}; and this registry has no repository `{repository}` to serve instead: push to it, or, if \
         `{domain}` is this registry's own domain, set server.domains = [\"{domain}\"] or federation.enabled = \
         false"
    )]
    NamespaceUnserved {
        /// The domain.
        domain: String,
        /// The name that a repository of this registry would have.
        repository: RepositoryName,
        /// Why nothing comes from there.
        error: DnslinkError,
    },
    /// A block is not below a public root, or was withdrawn.
    #[error("{0} is not below a public root of this registry")]
    NotPublic(Cid),
    /// A path below a root cannot be read: it is too long, or leads through what is no UnixFS.
    #[error(transparent)]
    PathUnreadable(#[from] TraversalError),
    /// Something that the registry itself wrote cannot be read.
    #[error("cannot read a stored record: {0}")]
    Record(String),
}

impl RegistryError {
    /// Returns whether the same may succeed when there is space again, or a disk or a network is mended.
    pub(super) fn may_pass(&self) -> bool {
        match self {
            Self::Waiting | Self::RootBehind | Self::Purged(_) => true,
            Self::Storage(error) => error.is_retryable(),
            Self::Index(error) => error.is_retryable(),
            _ => false,
        }
    }
}

impl RegistryError {
    /// Returns whether it is about writing alone, so that pulls go on.
    #[must_use]
    pub fn is_of_writing(&self) -> bool {
        match self {
            Self::Storage(error) => error.kind == StorageErrorKind::ReadOnly || self.is_full(),
            Self::Index(error) => error.kind == IndexErrorKind::ReadOnly || self.is_full(),
            _ => false,
        }
    }

    /// Returns whether there was no space.
    #[must_use]
    pub fn is_full(&self) -> bool {
        match self {
            Self::Storage(error) => error.is_full(),
            Self::Index(error) => error.kind == IndexErrorKind::Full,
            _ => false,
        }
    }
}

impl From<StorageError> for RegistryError {
    fn from(error: StorageError) -> Self {
        Self::Storage(error)
    }
}

impl From<IndexError> for RegistryError {
    fn from(error: IndexError) -> Self {
        match error.exceeded() {
            Some(exceeded) => Self::OverQuota(exceeded.clone()),
            None => Self::Index(error),
        }
    }
}

impl From<serde_json::Error> for RegistryError {
    fn from(error: serde_json::Error) -> Self {
        Self::Record(error.to_string())
    }
}

/// Says what is there where a condition demands something else.
fn condition(what: &str, repository: &RepositoryName, current: Option<&Option<Digest>>) -> String {
    let refused = "so the request's If-Match or If-None-Match is not met";
    match current {
        Some(Some(digest)) if digest.to_string() == what => {
            format!("{what} is in `{repository}`; {refused}")
        }
        Some(Some(digest)) => {
            format!("tag `{what}` of `{repository}` points to {digest} now; {refused}")
        }
        Some(None) => format!("there is no {what} in `{repository}`; {refused}"),
        None => format!("{what} of `{repository}` has another digest; {refused}"),
    }
}

fn list(digests: &[Digest]) -> String {
    digests.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// Names the first few.
fn first(digests: &[Digest]) -> String {
    const LISTED: usize = 10;

    let listed = list(&digests[..digests.len().min(LISTED)]);
    match digests.len().saturating_sub(LISTED) {
        0 => listed,
        more => format!("{listed} and {more} more"),
    }
}

/// Says what to do about what is missing.
fn cure(of_index: bool) -> &'static str {
    if of_index {
        "push it first, or set manifests.allow_sparse_indexes = true to take an index without all of its platforms"
    } else {
        "push it first"
    }
}

/// The answer to what is not in the cache, where nothing is fetched for the client.
pub(super) fn not_fetched(refusal: &AuthError) -> RegistryError {
    RegistryError::NotFetched(refusal.clone())
}
