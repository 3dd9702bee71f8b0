//! The rules of an operator: which tags stay, which go, and which cannot be changed.

use std::time::Duration;

use super::tag_pattern::TagPattern;
use crate::auth::accounts::Pattern;
use crate::oci::{RepositoryName, Tag};

/// Which of several tags are the last ones.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum TagOrder {
    /// Those that moved last.
    #[default]
    Moved,
    /// Those with the highest versions, among all that have the same behind the version. Other tags are not counted, and
    /// stay.
    Version,
}

/// One rule. What it does not name it says nothing about.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RetentionRule {
    /// The repositories that it is about.
    pub repositories: Vec<Pattern>,
    /// The tags that `keep_last`, `keep_younger_than` and `keep_pulled_within` are about. They delete no others.
    pub tags: Vec<TagPattern>,
    /// How many of these tags stay: the last ones.
    pub keep_last: Option<usize>,
    /// Which these are.
    pub keep_last_by: TagOrder,
    /// For how long each of these tags stays after it has moved.
    pub keep_younger_than: Option<Duration>,
    /// For how long each of these tags stays after its manifest was last pulled or pushed.
    pub keep_pulled_within: Option<Duration>,
    /// Tags that stay, whatever a rule says.
    pub keep_tags: Vec<TagPattern>,
    /// After how long a manifest goes that has no tag and is in no index.
    pub delete_untagged_after: Option<Duration>,
    /// Tags that cannot be moved to another manifest.
    pub immutable_tags: Vec<TagPattern>,
    /// Tags that cannot be deleted.
    pub protect: Vec<TagPattern>,
}

impl RetentionRule {
    pub(super) fn is_about(&self, repository: &RepositoryName) -> bool {
        self.repositories.iter().any(|pattern| pattern.matches(repository))
    }

    /// Tells whether tags can go by this rule.
    pub(super) fn deletes_tags(&self) -> bool {
        self.keep_last.is_some()
            || self.keep_younger_than.is_some()
            || self.keep_pulled_within.is_some()
    }

    /// Tells whether a tag is among those that can go by this rule.
    pub(super) fn can_delete(&self, tag: &Tag) -> bool {
        self.deletes_tags() && self.tags.iter().any(|pattern| pattern.matches(tag))
    }
}

/// All rules, in the order of the settings.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Retention {
    /// The rules.
    pub rules: Vec<RetentionRule>,
}

impl Retention {
    /// The rules about a repository, with their numbers, which begin at 1.
    pub(super) fn about(
        &self,
        repository: &RepositoryName,
    ) -> impl Iterator<Item = (usize, &RetentionRule)> {
        (1..).zip(&self.rules).filter(move |(_, rule)| rule.is_about(repository))
    }

    /// Tells whether a tag cannot be moved. Tags that stand for the referrers of a digest always can: clients add to
    /// them.
    #[must_use]
    pub fn is_immutable(&self, repository: &RepositoryName, tag: &Tag) -> bool {
        let is_named =
            |rule: &RetentionRule| rule.immutable_tags.iter().any(|pattern| pattern.matches(tag));
        self.about(repository).any(|(_, rule)| is_named(rule)) && !tag.is_of_referrers()
    }

    /// Returns the number of the rule by which a tag cannot be deleted, if there is one.
    #[must_use]
    pub fn protecting(&self, repository: &RepositoryName, tag: &Tag) -> Option<usize> {
        let is_named =
            |rule: &RetentionRule| rule.protect.iter().any(|pattern| pattern.matches(tag));
        self.about(repository).find(|(_, rule)| is_named(rule)).map(|(number, _)| number)
    }

    /// The patterns of tags of a repository that cannot be deleted.
    pub(in super::super) fn protected(&self, repository: &RepositoryName) -> Vec<String> {
        let patterns = self.about(repository).flat_map(|(_, rule)| &rule.protect);
        patterns.map(|pattern| pattern.as_str().to_owned()).collect()
    }

    /// For how long a tag stays after it was pulled, by the rule that keeps it for longest.
    pub(super) fn pulled_within(&self, repository: &RepositoryName, tag: &Tag) -> Option<Duration> {
        let rules = self.about(repository).filter(|(_, rule)| rule.can_delete(tag));
        rules.filter_map(|(_, rule)| rule.keep_pulled_within).max()
    }

    /// Tells whether it depends on pulls what becomes of a repository's tags.
    pub(super) fn needs_pulls(&self, repository: &RepositoryName) -> bool {
        self.about(repository).any(|(_, rule)| rule.keep_pulled_within.is_some())
    }

    /// After how long a repository's manifests go that have no tag: what any rule keeps stays.
    pub(super) fn untagged_after(&self, repository: &RepositoryName) -> Option<Duration> {
        self.about(repository).filter_map(|(_, rule)| rule.delete_untagged_after).max()
    }
}
