//! Retention: rules of the operator by which tags go, and manifests without tags; and tags that cannot be changed.

mod decision;
mod guarding;
mod refused;
mod rules;
mod tag_pattern;
mod version;

use std::borrow::Cow;
use std::collections::VecDeque;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::collection::lag;
use super::events::REFUSED;
use super::guard::Guard;
use super::intent::Intent;
use super::{Condition, Expected, Registry, RegistryError, Result};
use crate::index::{Actor, NewEvent, TagTimes};
use crate::oci::{CanonicalDigest, Digest, RepositoryName, Tag};
use decision::Clock;
use refused::REMEMBERED;
pub(super) use refused::Refused;

pub use decision::Decision;
use decision::TagState;
pub use rules::{Retention, RetentionRule, TagOrder};
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

/// The repositories that rules are about, a page at a time.
#[derive(Default)]
struct Names {
    page: VecDeque<RepositoryName>,
    /// The last one that was read.
    last: Option<RepositoryName>,
    is_end: bool,
}

impl Registry {
    /// Passes on what the rules come to, for one repository that a rule is about after the other; changes nothing.
    ///
    /// # Errors
    /// Those of the index.
    pub async fn plan_retention(&self, mut each: impl FnMut(RetentionPlan)) -> Result<()> {
        let mut names = Names::default();
        while let Some(name) = self.next_name(&mut names).await? {
            each(self.plan_for(name).await?);
        }
        Ok(())
    }

    /// Deletes what goes by the rules, and counts it. What a client has changed meanwhile stays. Dropped, it has done a part.
    ///
    /// # Errors
    /// The last one of the index and the storage: after one it goes on with the next repository.
    pub async fn retain(&self, deleted: &mut DeletedByRules) -> Result<()> {
        let (mut names, mut outcome) = (Names::default(), Ok(()));
        while let Some(name) = self.next_name(&mut names).await? {
            let retained = self.retain_in(&name, deleted).await;
            if let Err(error) = &retained {
                tracing::warn!(repository = %name, %error, "failed to apply the retention rules");
            }
            outcome = retained.and(outcome);
        }
        outcome
    }

    async fn retain_in(&self, name: &RepositoryName, deleted: &mut DeletedByRules) -> Result<()> {
        if self.limits.retention.needs_pulls(name) {
            self.write_pulls().await?;
        }
        let RetentionPlan { tags, untagged, .. } = self.plan_for(name.clone()).await?;
        let going = tags.into_iter().filter(|decision| !decision.stays);
        let (followers, tags): (Vec<Decision>, Vec<Decision>) =
            going.partition(|decision| decision.tag.is_of_referrers());
        for decision in tags {
            deleted.tags += u64::from(self.delete_tag(name, decision).await?);
        }
        let mut gone = Vec::new();
        for canonical in untagged {
            let untagged_for = self.untagged_after(name).map(millis);
            let intent = Intent::DeleteManifest {
                repository: name.clone(),
                digest: canonical.into(),
                condition: Condition::default(),
                guard: Guard { untagged_for, ..Guard::default() },
            };
            if self.carried_out(intent).await? {
                tracing::info!(repository = %name, digest = %canonical, "deleted a manifest without a tag by a retention rule");
                deleted.manifests += 1;
                gone.push(Digest::from(canonical));
            }
        }
        for decision in followers {
            if gone.iter().any(|digest| decision.tag.refers_to(digest)) {
                deleted.tags += u64::from(self.delete_tag(name, decision).await?);
            }
        }
        Ok(())
    }

    /// Deletes a tag, unless it has moved; returns whether it did.
    async fn delete_tag(&self, name: &RepositoryName, decision: Decision) -> Result<bool> {
        let Decision { tag, digest, rule, why, .. } = decision;
        let text = format!("{name}:{tag}");
        let unpulled_for = self.limits.retention.pulled_within(name, &tag).map(millis);
        let intent = Intent::DeleteTag {
            repository: name.clone(),
            tag,
            condition: Condition { only_if: Some(Expected::OneOf(vec![digest])), unless: None },
            guard: Guard {
                unmoved_for: Some(millis(self.limits.collection_grace)),
                unpulled_for,
                ..Guard::default()
            },
        };
        let is_done = self.carried_out(intent).await?;
        if is_done {
            tracing::info!(tag = text, %digest, rule, why, "deleted a tag by a retention rule");
        }
        Ok(is_done)
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

    /// Returns the next repository that a rule is about.
    async fn next_name(&self, names: &mut Names) -> Result<Option<RepositoryName>> {
        let rules = &self.limits.retention;
        loop {
            if let Some(name) = names.page.pop_front() {
                return Ok(Some(name));
            }
            if rules.rules.is_empty() || names.is_end {
                return Ok(None);
            }
            let last = names.last.as_ref().map(RepositoryName::as_str);
            let page = self.index.repositories(None, last, AT_ONCE).await?;
            names.is_end = page.len() < AT_ONCE as usize;
            names.last = page.last().cloned();
            names.page.extend(page.into_iter().filter(|name| rules.about(name).next().is_some()));
        }
    }

    /// After how long a manifest goes that has no tag: a renewal may be written a little late.
    fn untagged_after(&self, repository: &RepositoryName) -> Option<Duration> {
        let grace = self.limits.collection_grace;
        let after = self.limits.retention.untagged_after(repository)?;
        Some(after.max(grace) + lag(grace))
    }

    async fn plan_for(&self, repository: RepositoryName) -> Result<RetentionPlan> {
        let rules = &self.limits.retention;
        let now = self.index.now().await?;
        let mut states: Vec<TagState> = Vec::new();
        loop {
            let last = states.last().map(|state| state.tag.as_str().to_owned());
            let page = self.index.tag_states(&repository, last.as_deref(), AT_ONCE).await?;
            let is_last = page.len() < AT_ONCE as usize;
            states.extend(page.into_iter().map(|TagTimes { tag, digest, moved, pulled }| {
                TagState { tag, digest, moved: moved.abs(), is_known: moved >= 0, pulled }
            }));
            if is_last {
                break;
            }
        }
        let untagged = match self.untagged_after(&repository) {
            Some(after) => {
                let before = now.saturating_sub(millis(after));
                self.index.untagged_of(&repository, before, AT_ONCE).await?
            }
            None => Vec::new(),
        };
        let pulls_since = self.index.pulls_noted_since().await?;
        let clock = Clock { now, grace: self.limits.collection_grace, pulls_since };
        let tags = rules.decide(&repository, &states, clock, |tag| {
            untagged.iter().any(|canonical| tag.refers_to(&Digest::from(*canonical)))
        });
        Ok(RetentionPlan { repository, tags, untagged })
    }

    /// Refuses the deletion of a protected tag.
    pub(super) async fn expect_deletable(
        &self,
        actor: &Actor,
        repository: &RepositoryName,
        tag: &Tag,
    ) -> Result<()> {
        if self.limits.retention.protecting(repository, tag).is_none() {
            return Ok(());
        }
        // Of a tag that is not there nothing can be moved, whatever its name is.
        let is_there = self.index.tagged_manifest(repository, tag).await?.is_some();
        if is_there && self.refused.note(repository, tag) {
            // Other processes look for it.
            let event = NewEvent {
                kind: Cow::Borrowed(REFUSED),
                actor: actor.clone(),
                repository: Some(repository.clone()),
                reference: Some(tag.to_string()),
                detail: Some("deletion of a protected tag".to_owned()),
                ..NewEvent::default()
            };
            let noting = async {
                let at = self.index.now().await?;
                self.index.add_events(&[event], at).await
            };
            if let Err(error) = noting.await {
                tracing::warn!(%repository, %tag, %error, "failed to note a refused deletion");
            }
        }
        Err(RegistryError::TagProtected(tag.clone(), repository.clone()))
    }

    /// What the rules demand of a push: some tags may not be moved.
    pub(super) async fn guard_push(
        &self,
        repository: &RepositoryName,
        tags: &[Tag],
    ) -> Result<Guard> {
        let rules = &self.limits.retention;
        let mut fixed = Vec::new();
        for tag in tags {
            if rules.is_immutable(repository, tag)
                || (rules.protecting(repository, tag).is_some()
                    && self.was_deletion_refused(repository, tag).await?)
            {
                fixed.push(tag.clone());
            }
        }
        Ok(Guard { fixed, ..Guard::default() })
    }

    /// Tells whether a protected tag was to be deleted a moment ago, through whatever process.
    async fn was_deletion_refused(&self, repository: &RepositoryName, tag: &Tag) -> Result<bool> {
        if self.refused.includes(repository, tag) {
            return Ok(true);
        }
        let since = self.index.now().await?.saturating_sub(millis(REMEMBERED));
        Ok(self.index.has_event(REFUSED, repository, tag.as_str(), since).await?)
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
