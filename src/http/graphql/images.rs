//! What the schema shows of images, and of what repositories and namespaces have.

use async_graphql::SimpleObject;

use super::count::Count;
use super::moment::Moment;
use crate::index::{RepositoryContents, Usage};
use crate::oci::{CanonicalDigest, RepositoryName};

/// An image in a repository. Pulls of the last seconds may be missing
#[derive(SimpleObject)]
#[graphql(complex)]
pub(super) struct Image {
    /// The tag; none of one that was requested by its digest
    pub(super) tag: Option<String>,
    pub(super) digest: String,
    pub(super) media_type: String,
    /// The CID of its manifest, in a public repository
    pub(super) cid: Option<String>,
    /// When the tag moved there; none where that is unknown
    pub(super) pushed: Option<Moment>,
    /// How often its manifest was pulled: once an hour by each client
    pub(super) pulls: Count,
    /// When it was last pulled; none: never, as far as it was noted
    pub(super) last_pulled: Option<Moment>,
    /// The digest of its config, of an index that of the first image
    pub(super) config: Option<String>,
    #[graphql(skip)]
    pub(super) repository: RepositoryName,
    #[graphql(skip)]
    pub(super) canonical: CanonicalDigest,
}

/// What an image takes with all that it lists, each content once
#[derive(SimpleObject)]
pub(super) struct ImageSize {
    pub(super) bytes: Count,
    /// What no other image of the repository has
    pub(super) own: Count,
    /// What other images of the repository have, too
    pub(super) shared: Count,
}

/// What a repository has
#[derive(SimpleObject)]
pub(super) struct Contents {
    pub(super) tags: Count,
    pub(super) manifests: Count,
    /// How many bytes its manifests have with the blobs that they name, each content once
    pub(super) bytes: Count,
    /// How many bytes its blobs have that no manifest names
    pub(super) unreferenced: Count,
    /// How often its manifests were pulled
    pub(super) pulls: Count,
    pub(super) created: Moment,
    /// When a tag moved last; none where that is unknown
    pub(super) pushed: Option<Moment>,
    /// When a manifest was last pulled; none: never, as far as it was noted
    pub(super) last_pulled: Option<Moment>,
}

/// What the repositories of a namespace have together. Content counts once, however many of them have it
#[derive(SimpleObject)]
pub(super) struct NamespaceUsage {
    pub(super) namespace: String,
    /// How many bytes manifests name
    pub(super) bytes: Count,
    /// How many bytes blobs have that no manifest names
    pub(super) unreferenced: Count,
    pub(super) repositories: Count,
    pub(super) tags: Count,
}

impl From<RepositoryContents> for Contents {
    fn from(contents: RepositoryContents) -> Self {
        Self {
            tags: Count::of(contents.tags),
            manifests: Count::of(contents.manifests),
            bytes: Count::of(contents.bytes),
            unreferenced: Count::of(contents.unreferenced),
            pulls: Count::of(contents.pulls),
            created: Moment::of(contents.created),
            pushed: contents.pushed.map(Moment::of),
            last_pulled: contents.last_pulled.map(Moment::of),
        }
    }
}

impl From<(String, Usage)> for NamespaceUsage {
    fn from((namespace, usage): (String, Usage)) -> Self {
        Self {
            namespace,
            bytes: Count::of(usage.bytes),
            unreferenced: Count::of(usage.unreferenced),
            repositories: Count::of(usage.repositories),
            tags: Count::of(usage.tags),
        }
    }
}
