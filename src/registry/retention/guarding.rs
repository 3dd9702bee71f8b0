//! A change is looked at with what the rules demand of it, under the writer's lock.

use super::super::Result;
use super::super::guard::Guard;
use super::super::intent::Refusal;
use super::tag_pattern::TagPattern;
use crate::index::Writer;
use crate::oci::{CanonicalDigest, Digest, RepositoryName, Tag};

impl Guard {
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
        let mut is_young = false;
        if let Some(limit) = self.unmoved_for {
            let moved = writer.tag_moved(repository, tag).await?;
            let now = writer.now().await?;
            is_young = moved.is_none_or(|moved| now.saturating_sub(moved.abs()) < limit);
        }
        if let Some(limit) = self.unpulled_for {
            let pulled = writer.tag_pulled(repository, tag).await?;
            let now = writer.now().await?;
            is_young |= pulled.is_some_and(|pulled| now.saturating_sub(pulled) < limit);
        }
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
