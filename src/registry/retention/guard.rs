//! What the rules demand of a change. It is looked at together with the change.

use serde::{Deserialize, Serialize};

use super::super::Result;
use super::super::intent::Refusal;
use super::tag_pattern::TagPattern;
use crate::index::Writer;
use crate::oci::{CanonicalDigest, Digest, RepositoryName, Tag};

/// What the rules demand of a change; by default nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(in super::super) struct Guard {
    /// Tags that may not be moved.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) fixed: Vec<Tag>,
    /// Patterns of tags that may not go with their manifest.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) protected: Vec<String>,
    /// For how long the tag must not have moved, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) unmoved_for: Option<i64>,
    /// For how long the manifest must have had no tag, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) untagged_for: Option<i64>,
}

impl Guard {
    /// Returns whether nothing is demanded.
    pub(in super::super) fn is_none(&self) -> bool {
        *self == Self::default()
    }

    /// Refuses to point tags to a manifest.
    pub(in super::super) async fn on_put(
        &self,
        writer: &mut Writer,
        repository: &RepositoryName,
        tags: &[Tag],
        manifest: &CanonicalDigest,
    ) -> Result<Option<Refusal>> {
        for tag in tags.iter().filter(|tag| self.fixed.contains(tag)) {
            let before = writer.tag(repository, tag).await?;
            if before.is_some_and(|row| row.canonical != *manifest) {
                return Ok(Some(Refusal::TagFixed(tag.clone())));
            }
        }
        Ok(None)
    }

    /// Refuses the deletion of a tag that points to a digest.
    pub(in super::super) async fn on_delete_tag(
        &self,
        writer: &mut Writer,
        repository: &RepositoryName,
        tag: &Tag,
        digest: Digest,
    ) -> Result<Option<Refusal>> {
        let Some(limit) = self.unmoved_for else { return Ok(None) };
        let moved = writer.tag_moved(repository, tag).await?;
        let now = writer.now().await?;
        let is_young = moved.is_none_or(|moved| now.saturating_sub(moved.abs()) < limit);
        Ok(is_young.then_some(Refusal::ConditionOn(Some(digest))))
    }

    /// Refuses the deletion of a manifest, whatever its names are.
    pub(in super::super) async fn on_delete_manifest(
        &self,
        writer: &mut Writer,
        repository: &RepositoryName,
        digest: &Digest,
    ) -> Result<Option<Refusal>> {
        if self.is_none() {
            return Ok(None);
        }
        let Some(row) = writer.manifest(repository, digest).await? else { return Ok(None) };
        if let Some(limit) = self.untagged_for {
            let before = writer.now().await?.saturating_sub(limit);
            if !writer.is_untagged_before(repository, &row.canonical, before).await? {
                return Ok(Some(Refusal::Unknown));
            }
        }
        let patterns: Vec<TagPattern> =
            self.protected.iter().map(|text| TagPattern::new(text)).collect();
        let tags = writer.tags_of(repository, &row.canonical).await?;
        let mut names = tags.into_iter().map(|(tag, _)| tag);
        let protected = names.find(|tag| patterns.iter().any(|pattern| pattern.matches(tag)));
        Ok(protected.map(Refusal::TagProtected))
    }
}
