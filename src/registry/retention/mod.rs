//! Retention: rules of the operator by which tags go, and manifests without tags; and tags that cannot be changed.

mod decision;
mod fallback;
mod guard;
mod guarding;
mod refused;
mod rules;
mod tag_pattern;

use std::collections::HashSet;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::intent::Intent;
use super::{Condition, Expected, Registry, RegistryError, Result};
use crate::index::Actor;
use crate::oci::{CanonicalDigest, Digest, RepositoryName, Tag};
use decision::Clock;
use fallback::Fallback;
pub(super) use guard::Guard;
pub(super) use refused::Refused;

pub use decision::{Decision, TagState};
pub use rules::{Retention, RetentionRule};
pub use tag_pattern::TagPattern;

/// How many rows are read at a time.
const AT_ONCE: u32 = 1000;

/// What the rules come to for a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetentionPlan {
    /// The repository.
    pub repository: RepositoryName,
    /// What becomes of each of its tags.
    pub tags: Vec<Decision>,
    /// The manifests that go because nothing has named them for too long.
    pub untagged: Vec<CanonicalDigest>,
}

/// What went by the rules.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeletedByRules {
    /// How many tags.
    pub tags: u64,
    /// How many manifests without a tag.
    pub manifests: u64,
}

impl Registry {
    /// Passes on what the rules come to, for one repository that a rule is about after the other; changes nothing.
    ///
    /// # Errors
    /// Those of the index.
    pub async fn plan_retention(&self, mut each: impl FnMut(RetentionPlan)) -> Result<()> {
        let mut last = None;
        while let Some(plan) = self.next_plan(&mut last).await? {
            each(plan);
        }
        Ok(())
    }

    /// Deletes what goes by the rules. What a client has changed meanwhile stays.
    ///
    /// # Errors
    /// Those of the index and the storage.
    pub async fn retain(&self) -> Result<DeletedByRules> {
        let (mut last, mut retained) = (None, DeletedByRules::default());
        while let Some(RetentionPlan { repository, tags, untagged }) =
            self.next_plan(&mut last).await?
        {
            for Decision { tag, digest, rule, why, .. } in tags.into_iter().filter(|it| !it.stays) {
                let condition =
                    Condition { only_if: Some(Expected::OneOf(vec![digest])), unless: None };
                let (repository, text) = (repository.clone(), format!("{repository}:{tag}"));
                let unmoved_for = Some(millis(self.limits.collection_grace));
                let guard = Guard { unmoved_for, ..Guard::default() };
                let intent = Intent::DeleteTag { repository, tag, condition, guard };
                if self.carried_out(intent).await? {
                    tracing::info!(tag = text, %digest, rule, why, "deleted a tag by a retention rule");
                    retained.tags += 1;
                }
            }
            let after = self.limits.retention.untagged_after(&repository);
            let Some(after) = after.map(|after| millis(after.max(self.limits.collection_grace)))
            else {
                continue;
            };
            for canonical in untagged {
                let intent = Intent::DeleteManifest {
                    repository: repository.clone(),
                    digest: canonical.into(),
                    condition: Condition::default(),
                    guard: Guard { untagged_for: Some(after), ..Guard::default() },
                };
                if self.carried_out(intent).await? {
                    tracing::info!(%repository, digest = %canonical, "deleted a manifest without a tag by a retention rule");
                    retained.manifests += 1;
                }
            }
        }
        Ok(retained)
    }

    /// Makes a change; false where it was refused, since things have changed.
    async fn carried_out(&self, intent: Intent) -> Result<bool> {
        match self.commit(Actor::default(), intent).await {
            Ok(()) => Ok(true),
            Err(
                RegistryError::ConditionFailed { .. }
                | RegistryError::ManifestUnknown(..)
                | RegistryError::Referenced { .. },
            ) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Plans for the next repository that a rule is about.
    async fn next_plan(&self, last: &mut Option<RepositoryName>) -> Result<Option<RetentionPlan>> {
        let rules = &self.limits.retention;
        if rules.rules.is_empty() {
            return Ok(None);
        }
        loop {
            let after = last.as_ref().map(RepositoryName::as_str);
            let names = self.index.repositories(None, after, AT_ONCE).await?;
            if names.is_empty() {
                return Ok(None);
            }
            for name in names {
                let is_meant = rules.about(&name).next().is_some();
                *last = Some(name.clone());
                if is_meant {
                    return Ok(Some(self.plan_for(name).await?));
                }
            }
        }
    }

    async fn plan_for(&self, repository: RepositoryName) -> Result<RetentionPlan> {
        let rules = &self.limits.retention;
        let now = self.index.now().await?;
        let mut states: Vec<TagState> = Vec::new();
        loop {
            let last = states.last().map(|state| state.tag.as_str().to_owned());
            let page = self.index.tag_states(&repository, last.as_deref(), AT_ONCE).await?;
            let is_last = page.len() < AT_ONCE as usize;
            states.extend(page.into_iter().map(|(tag, digest, moved)| TagState {
                tag,
                digest,
                moved: moved.abs(),
                is_known: moved >= 0,
            }));
            if is_last {
                break;
            }
        }
        let mut present: HashSet<Digest> = HashSet::new();
        for subject in states.iter().filter_map(|state| Fallback::read(&state.tag)) {
            if self.index.manifest(&repository, &subject.subject).await?.is_some() {
                present.insert(subject.subject);
            }
        }
        let clock = Clock { now, grace: self.limits.collection_grace };
        let tags = rules.decide(&repository, &states, clock, |digest| present.contains(digest));
        let untagged = match rules.untagged_after(&repository) {
            Some(after) => {
                let after = millis(after.max(self.limits.collection_grace));
                let before = now.saturating_sub(after);
                self.index.untagged_of(&repository, before, AT_ONCE).await?
            }
            None => Vec::new(),
        };
        Ok(RetentionPlan { repository, tags, untagged })
    }

    /// Refuses the deletion of a protected tag.
    pub(super) fn expect_deletable(&self, repository: &RepositoryName, tag: &Tag) -> Result<()> {
        if self.limits.retention.protecting(repository, tag).is_none() {
            return Ok(());
        }
        self.refused.note(repository, tag);
        Err(RegistryError::TagProtected(tag.clone(), repository.clone()))
    }

    /// What the rules demand of a push: some tags may not be moved.
    pub(super) fn guard_push(&self, repository: &RepositoryName, tags: &[Tag]) -> Guard {
        let rules = &self.limits.retention;
        let is_fixed = |tag: &&Tag| {
            rules.is_immutable(repository, tag) || self.refused.includes(repository, tag)
        };
        Guard { fixed: tags.iter().filter(is_fixed).cloned().collect(), ..Guard::default() }
    }

    /// What the rules demand of the deletion of a manifest: some tags may not go with it.
    pub(super) fn guard_deletion(&self, repository: &RepositoryName) -> Guard {
        let protected = self.limits.retention.protected(repository);
        Guard { protected, ..Guard::default() }
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
