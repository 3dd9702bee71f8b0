//! The rules of retention, out of the settings.

use std::str::FromStr;

use super::AppError;
use crate::auth::accounts::Pattern;
use crate::config::Settings;
use crate::registry::{Retention, RetentionRule, TagOrder, TagPattern};

/// Reads the rules of the settings.
pub(super) fn rules(settings: &Settings) -> Result<Retention, AppError> {
    let mut rules = Vec::new();
    for (index, rule) in settings.retention.iter().enumerate() {
        let refused = |error: <Pattern as FromStr>::Err| AppError::Retention {
            number: index + 1,
            reason: error.to_string(),
        };
        let patterns = |texts: &[String]| texts.iter().map(|text| TagPattern::new(text)).collect();
        let repositories = rule.repositories.iter().map(|text| text.parse().map_err(refused));
        rules.push(RetentionRule {
            repositories: repositories.collect::<Result<_, _>>()?,
            tags: patterns(&rule.tags),
            keep_last: rule.keep_last,
            keep_last_by: if rule.keep_last_by_version {
                TagOrder::Version
            } else {
                TagOrder::Moved
            },
            keep_younger_than: rule.keep_younger_than,
            keep_pulled_within: rule.keep_pulled_within,
            keep_tags: patterns(&rule.keep_tags),
            delete_untagged_after: rule.delete_untagged_after,
            immutable_tags: patterns(&rule.immutable_tags),
            protect: patterns(&rule.protect),
        });
    }
    Ok(Retention { rules })
}
