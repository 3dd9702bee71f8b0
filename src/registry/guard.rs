//! What the rules demand of a change. It is looked at together with the change.

use serde::{Deserialize, Serialize};

use crate::oci::Tag;

/// What the rules demand of a change; by default nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Guard {
    /// Tags that may not be moved.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) fixed: Vec<Tag>,
    /// Patterns of tags that may not go with their manifest.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) protected: Vec<String>,
    /// For how long the tag must not have moved, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) unmoved_for: Option<i64>,
    /// For how long the tag's manifest must not have been pulled, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) unpulled_for: Option<i64>,
    /// For how long the manifest must have had no tag, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) untagged_for: Option<i64>,
}

impl Guard {
    /// Returns whether nothing is demanded.
    pub(super) fn is_none(&self) -> bool {
        *self == Self::default()
    }
}
