//! What the links of a repository lead to.

use super::LeftOutKind;

/// What the links of a repository lead to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Layer,
    Manifest,
}

impl Role {
    /// Names a thing of that kind that is left out.
    pub(super) fn left_out(self) -> (LeftOutKind, &'static str) {
        match self {
            Self::Layer => (LeftOutKind::Layer, "blob"),
            Self::Manifest => (LeftOutKind::Manifest, "manifest"),
        }
    }
}
