//! What a mutation intends, and why it may be refused.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::guard::Guard;
use super::{Condition, RegistryError};
use crate::index::QuotaExceeded;
use crate::oci::{
    CanonicalDigest, Digest, MediaType, RepositoryIdentity, RepositoryName, Tag, Visibility,
};
use crate::storage::{Edit, TreeEdit};

/// A mutation of what a pull sees.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Intent {
    /// A stored manifest becomes the repository's.
    PutManifest {
        repository: RepositoryName,
        manifest: CanonicalDigest,
        /// The name that it was pushed by.
        digest: Digest,
        media_type: String,
        tags: Vec<Tag>,
        /// Whether it was pushed by its tag, which the condition is about then.
        #[serde(default)]
        by_tag: bool,
        #[serde(default, skip_serializing_if = "Condition::is_none")]
        condition: Condition,
        #[serde(default, skip_serializing_if = "Guard::is_none")]
        guard: Guard,
        /// Whether it was there before, so that nobody knows since when its tags point to it.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        is_adopted: bool,
        /// Which repository the push was allowed for, if it was there; none: it is made if need be.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        identity: Option<RepositoryIdentity>,
    },
    /// A tag goes; what it points to stays.
    DeleteTag {
        repository: RepositoryName,
        tag: Tag,
        #[serde(default, skip_serializing_if = "Condition::is_none")]
        condition: Condition,
        #[serde(default, skip_serializing_if = "Guard::is_none")]
        guard: Guard,
    },
    /// A manifest goes, by every name, with every tag that points to it.
    DeleteManifest {
        repository: RepositoryName,
        digest: Digest,
        #[serde(default, skip_serializing_if = "Condition::is_none")]
        condition: Condition,
        #[serde(default, skip_serializing_if = "Guard::is_none")]
        guard: Guard,
    },
    /// A manifest or blob goes, if it is there still, and with it all that nothing else needs of what it names; that
    /// is withdrawn.
    Purge {
        repository: RepositoryName,
        digest: Digest,
        /// The manifest and what it names, directly or by a child; or the blob.
        contents: Vec<CanonicalDigest>,
        /// Which of these it names as children, directly or by one.
        children: Vec<CanonicalDigest>,
        #[serde(default, skip_serializing_if = "Guard::is_none")]
        guard: Guard,
    },
    /// A blob goes, by every name.
    DeleteBlob { repository: RepositoryName, digest: Digest },
    /// Others may see a repository than could before; it goes to the tree of those.
    SetVisibility { repository: RepositoryName, visibility: Visibility },
    /// A repository goes with all that it has.
    RemoveRepository { repository: RepositoryName },
    /// Blobs go from repositories whose manifests have not named them for long, and content that no repository has is
    /// withdrawn.
    Collect {
        /// Since before when nothing has to have named them: what was renewed since stays.
        before: i64,
        /// Blobs of repositories.
        blobs: Vec<(RepositoryName, CanonicalDigest)>,
        /// Content.
        contents: Vec<CanonicalDigest>,
    },
}

/// Why an intent was refused; stored as the outcome of its entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Error)]
#[serde(rename_all = "snake_case")]
pub(super) enum Refusal {
    #[error("missing references")]
    MissingReferences(Vec<Digest>),
    /// As earlier versions stored it.
    #[error("referenced by {0}")]
    Referenced(Digest),
    #[error("referenced by {} or more manifests", .0.len())]
    ReferencedBy(Vec<Digest>),
    /// As earlier versions stored it.
    #[error("not as demanded")]
    Condition,
    /// What is there instead of what the condition demands.
    #[error("not as demanded")]
    ConditionOn(Option<Digest>),
    #[error("not there")]
    Unknown,
    #[error("not a manifest")]
    Invalid,
    /// A rule fixes a tag.
    #[error("tag {0} is fixed")]
    TagFixed(Tag),
    /// A rule protects a tag.
    #[error("tag {0} is protected")]
    TagProtected(Tag),
    /// The repository was removed after the change was allowed.
    #[error("removed")]
    Removed,
    /// There is no place for a repository that is not public.
    #[error("not public")]
    MustBePublic,
    /// The namespace would have more than its quota allows.
    #[error("{0}")]
    OverQuota(QuotaExceeded),
    #[error("{0}")]
    Failed(String),
}

impl Refusal {
    /// Says it to the client that requested `intent`.
    pub(super) fn explain(self, intent: &Intent) -> RegistryError {
        let (repository, what) = match intent {
            Intent::Collect { .. } => {
                return RegistryError::Record(format!("a collection was refused: {self}"));
            }
            Intent::PutManifest { repository, tags, by_tag: true, .. }
                if matches!(self, Self::Condition | Self::ConditionOn(_)) && !tags.is_empty() =>
            {
                (repository, tags[0].to_string())
            }
            Intent::PutManifest { repository, digest, .. }
            | Intent::Purge { repository, digest, .. }
            | Intent::DeleteManifest { repository, digest, .. } => (repository, digest.to_string()),
            Intent::DeleteTag { repository, tag, .. } => (repository, tag.to_string()),
            Intent::DeleteBlob { repository, digest } => {
                if self == Self::Unknown {
                    return RegistryError::BlobUnknown(*digest, repository.clone());
                }
                (repository, digest.to_string())
            }
            Intent::SetVisibility { repository, .. } | Intent::RemoveRepository { repository } => {
                if self == Self::Unknown {
                    return RegistryError::NameUnknown(repository.clone());
                }
                (repository, repository.to_string())
            }
        };
        match self {
            Self::MissingReferences(missing) => {
                let Intent::PutManifest { media_type, .. } = intent else {
                    return RegistryError::Record(format!("not the put of a manifest: {what}"));
                };
                let of_index = matches!(
                    MediaType::parse(media_type),
                    Some(MediaType::OciIndex | MediaType::DockerList)
                );
                RegistryError::MissingReferences { missing, of_index }
            }
            Self::Referenced(by) => RegistryError::Referenced { what, by: vec![by] },
            Self::ReferencedBy(by) => RegistryError::Referenced { what, by },
            Self::Condition => {
                let current = None;
                RegistryError::ConditionFailed { what, repository: repository.clone(), current }
            }
            Self::ConditionOn(current) => {
                let current = Some(Box::new(current));
                RegistryError::ConditionFailed { what, repository: repository.clone(), current }
            }
            Self::Unknown => RegistryError::ManifestUnknown(what, repository.clone()),
            Self::Invalid => {
                RegistryError::Record(format!("the stored content of {what} is not a manifest"))
            }
            Self::TagFixed(tag) => RegistryError::TagFixed(tag, repository.clone()),
            Self::TagProtected(tag) => RegistryError::TagProtected(tag, repository.clone()),
            Self::Removed => RegistryError::NameUnknown(repository.clone()),
            Self::MustBePublic => RegistryError::MustBePublic(repository.clone()),
            Self::OverQuota(exceeded) => RegistryError::OverQuota(exceeded),
            Self::Failed(why) => RegistryError::Record(why),
        }
    }
}

/// What checking an intent came to.
pub(super) type Planned = std::result::Result<Vec<TreeEdit>, Refusal>;

/// The same, in the tree of its repository.
pub(super) type PlannedInTree = std::result::Result<Vec<Edit>, Refusal>;

impl Intent {
    /// The manifest that it puts, if it puts one.
    pub(super) fn manifest(&self) -> Option<&CanonicalDigest> {
        match self {
            Self::PutManifest { manifest, .. } => Some(manifest),
            Self::DeleteTag { .. }
            | Self::DeleteManifest { .. }
            | Self::DeleteBlob { .. }
            | Self::Purge { .. }
            | Self::SetVisibility { .. }
            | Self::RemoveRepository { .. }
            | Self::Collect { .. } => None,
        }
    }

    /// The repository that it is about, if it is about one.
    pub(super) fn repository(&self) -> Option<&RepositoryName> {
        match self {
            Self::Collect { .. } => None,
            Self::PutManifest { repository, .. }
            | Self::DeleteTag { repository, .. }
            | Self::DeleteManifest { repository, .. }
            | Self::Purge { repository, .. }
            | Self::DeleteBlob { repository, .. }
            | Self::SetVisibility { repository, .. }
            | Self::RemoveRepository { repository } => Some(repository),
        }
    }
}
