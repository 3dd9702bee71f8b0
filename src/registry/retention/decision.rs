//! What the rules come to for each tag of a repository. Nothing here reads or changes anything.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::time::Duration;

use super::rules::{Retention, RetentionRule, TagOrder};
use super::version::Version;
use crate::oci::{Digest, RepositoryName, Tag};

/// A tag as the index has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TagState {
    /// The tag.
    pub(super) tag: Tag,
    /// What it points to.
    pub(super) digest: Digest,
    /// When it came to point there, or, where nobody knows that, since when it is known to do so; in milliseconds since
    /// the Unix epoch.
    pub(super) moved: i64,
    /// Whether that is the time of its move.
    pub(super) is_known: bool,
    /// When what it points to was last pulled, as far as it was noted; in milliseconds since the Unix epoch.
    pub(super) pulled: Option<i64>,
}

/// What becomes of a tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// The tag.
    pub tag: Tag,
    /// What it points to.
    pub digest: Digest,
    /// Whether it stays.
    pub stays: bool,
    /// By which rule, counted from 1; none where no rule is about it. Of several that let it go, the first.
    pub rule: Option<usize>,
    /// Why, as a part of a sentence: `younger than 30d`.
    pub why: String,
}

/// The time, and what goes with it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clock {
    /// In milliseconds since the Unix epoch.
    pub(super) now: i64,
    /// What is younger stays.
    pub(super) grace: Duration,
    /// Since when pulls have been noted, in milliseconds since the Unix epoch.
    pub(super) pulls_since: i64,
}

impl Clock {
    /// Tells whether less than that has passed since a time. One in the future is young.
    fn is_within(self, since: i64, limit: Duration) -> bool {
        let limit = i64::try_from(limit.as_millis()).unwrap_or(i64::MAX);
        self.now.saturating_sub(since) < limit
    }
}

impl Retention {
    /// Decides on all tags of a repository. `goes_with` tells whether a tag for referrers goes with its subject: at no other
    /// time does one go.
    pub(super) fn decide(
        &self,
        repository: &RepositoryName,
        tags: &[TagState],
        clock: Clock,
        goes_with: impl Fn(&Tag) -> bool,
    ) -> Vec<Decision> {
        let deleting: Vec<(usize, &RetentionRule)> =
            self.about(repository).filter(|(_, rule)| rule.deletes_tags()).collect();
        let ranks: Vec<BTreeMap<&Tag, usize>> =
            deleting.iter().map(|(_, rule)| ranks(rule, tags)).collect();
        let decide = |state: &TagState| {
            let outcome = |stays, rule, why: String| Decision {
                tag: state.tag.clone(),
                digest: state.digest,
                stays,
                rule,
                why,
            };
            if let Some(rule) = self.protecting(repository, &state.tag) {
                return outcome(true, Some(rule), "protected".to_owned());
            }
            let is_of_referrers = state.tag.is_of_referrers();
            if deleting.is_empty() && !is_of_referrers {
                return outcome(true, None, "no rule deletes tags of this repository".to_owned());
            }
            if clock.is_within(state.moved, clock.grace) {
                return outcome(true, None, "younger than `gc.grace`".to_owned());
            }
            let named = self
                .about(repository)
                .find(|(_, rule)| rule.keep_tags.iter().any(|pattern| pattern.matches(&state.tag)));
            if let Some((rule, _)) = named {
                return outcome(true, Some(rule), "named by `keep_tags`".to_owned());
            }
            if is_of_referrers {
                let stays = !goes_with(&state.tag);
                let why = if stays { "follows its subject" } else { "its subject goes" };
                return outcome(stays, None, why.to_owned());
            }
            let mut goes = None;
            for ((number, rule), ranks) in deleting.iter().zip(&ranks) {
                let Some(rank) = ranks.get(&state.tag) else { continue };
                match verdict(rule, state, *rank, clock) {
                    Ok(why) => return outcome(true, Some(*number), why),
                    Err(why) => {
                        goes.get_or_insert((*number, why));
                    }
                }
            }
            match goes {
                Some((number, why)) => outcome(false, Some(number), why),
                None => outcome(true, None, "no rule that deletes names it".to_owned()),
            }
        };
        tags.iter().map(decide).collect()
    }
}

/// How many tags of a rule come after each of them: they have moved later, and those whose time is unknown come after all
/// others; or they are higher versions.
fn ranks<'tags>(rule: &RetentionRule, tags: &'tags [TagState]) -> BTreeMap<&'tags Tag, usize> {
    let is_candidate = |state: &&TagState| {
        !state.tag.is_of_referrers() && rule.tags.iter().any(|pattern| pattern.matches(&state.tag))
    };
    let mut candidates: Vec<&TagState> = tags.iter().filter(is_candidate).collect();
    candidates.sort_by_key(|state| {
        (!state.is_known, std::cmp::Reverse(state.moved), std::cmp::Reverse(&state.tag))
    });
    let mut groups: BTreeMap<&str, Vec<(Option<Version<'_>>, &Tag)>> = BTreeMap::new();
    for TagState { tag, .. } in candidates {
        let version = match rule.keep_last_by {
            TagOrder::Moved => None,
            TagOrder::Version => match Version::parse(tag.as_str()) {
                None => continue,
                version => version,
            },
        };
        let suffix = version.map_or("", |version| version.suffix);
        groups.entry(suffix).or_default().push((version, tag));
    }
    let mut ranks = BTreeMap::new();
    for mut group in groups.into_values() {
        // Of equal versions that one comes first that moved last.
        group.sort_by(|(one, _), (other, _)| match (one, other) {
            (Some(one), Some(other)) => other.compare(one),
            _ => Ordering::Equal,
        });
        ranks.extend(group.into_iter().enumerate().map(|(rank, (_, tag))| (tag, rank)));
    }
    ranks
}

/// Why a tag stays by a rule, or else why it goes.
fn verdict(
    rule: &RetentionRule,
    state: &TagState,
    rank: usize,
    clock: Clock,
) -> Result<String, String> {
    let mut reasons = Vec::new();
    if let Some(age) = rule.keep_younger_than {
        let age_text = humantime(age);
        if clock.is_within(state.moved, age) {
            return Ok(format!("younger than {age_text}"));
        }
        reasons.push(format!("older than {age_text}"));
    }
    if let Some(limit) = rule.keep_pulled_within {
        let text = humantime(limit);
        if state.pulled.is_some_and(|pulled| clock.is_within(pulled, limit)) {
            return Ok(format!("pulled within {text}"));
        }
        // What was never pulled stays as long as if its push were a pull.
        if clock.is_within(state.moved, limit) {
            return Ok(format!("pushed within {text}"));
        }
        if clock.is_within(clock.pulls_since, limit) {
            return Ok(format!("nobody knows whether it was pulled within {text}"));
        }
        reasons.push(format!("not pulled within {text}"));
    }
    if let Some(count) = rule.keep_last {
        if !state.is_known {
            return Ok("nobody knows when it moved".to_owned());
        }
        let (among, after) = match rule.keep_last_by {
            TagOrder::Moved => ("last", "moved after it"),
            TagOrder::Version => ("highest", "higher versions"),
        };
        if rank < count {
            return Ok(format!("among the {among} {count}"));
        }
        reasons.push(format!("{rank} {after}, {count} stay"));
    }
    Err(reasons.join(", and "))
}

/// A duration as the settings write it.
fn humantime(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let units = [(86_400, "d"), (3600, "h"), (60, "m")];
    let unit = units.into_iter().find(|(unit, _)| seconds > 0 && seconds.is_multiple_of(*unit));
    unit.map_or_else(|| format!("{seconds}s"), |(unit, name)| format!("{}{name}", seconds / unit))
}

#[cfg(test)]
mod tests;
