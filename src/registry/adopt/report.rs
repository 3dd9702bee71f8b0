//! What an adoption came to.

use serde::Serialize;

/// What an adoption came to.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize)]
pub struct Adopted {
    /// The public root.
    pub root: String,
    /// How many repositories have anything.
    pub repositories: usize,
    /// How many manifests they have.
    pub manifests: usize,
    /// How many tags they have.
    pub tags: usize,
    /// How many blobs were taken in, manifests included, also those that were refused then; what an
    /// earlier, interrupted adoption took in does not count.
    pub blobs: usize,
    /// How many bytes these have.
    pub bytes: u64,
    /// How many of them share their bytes with the folder.
    pub linked: usize,
    /// Whether this user may not read all of the folder, so that another user may take more.
    pub is_partial: bool,
    /// What was not taken, and why.
    pub left_out: Vec<LeftOut>,
}

/// Something that was not taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LeftOut {
    /// What kind of thing it is.
    pub kind: LeftOutKind,
    /// Which one.
    pub about: String,
    /// Why.
    pub why: String,
}

/// What kind of thing was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LeftOutKind {
    /// A push that was not finished.
    Upload,
    /// Content that no repository has, or can have.
    Blob,
    /// A blob of a repository.
    Layer,
    /// A manifest of a repository.
    Manifest,
    /// A tag of a repository.
    Tag,
    /// A whole repository.
    Repository,
    /// Another path of the folder.
    #[serde(rename = "place")]
    Path,
}

impl LeftOut {
    /// Returns whether an image that the folder lists may be missing by it. (A layer that an image
    /// needs is no loss beside that of its manifest.)
    #[must_use]
    pub fn is_loss(&self) -> bool {
        !matches!(self.kind, LeftOutKind::Upload | LeftOutKind::Blob | LeftOutKind::Layer)
    }
}
