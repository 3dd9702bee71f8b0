//! Which tags and manifests go by themselves, and which tags cannot be changed.

use std::time::Duration;

use serde::Deserialize;

use super::{SettingsError, Values, duration};

/// The longest pattern.
const LONGEST: usize = 255;

/// A rule about repositories.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetentionSettings {
    /// Patterns of the repositories that it is about.
    pub repositories: Vec<String>,
    /// Patterns of the tags that `keep_last`, `keep_younger_than` and `keep_pulled_within` are about.
    pub tags: Vec<String>,
    /// How many of these tags stay.
    pub keep_last: Option<usize>,
    /// Whether these are the highest versions, instead of those that moved last.
    pub keep_last_by_version: bool,
    /// For how long each of them stays.
    pub keep_younger_than: Option<Duration>,
    /// For how long each of them stays after its last pull.
    pub keep_pulled_within: Option<Duration>,
    /// Patterns of tags that stay.
    pub keep_tags: Vec<String>,
    /// After how long a manifest without a tag goes.
    pub delete_untagged_after: Option<Duration>,
    /// Patterns of tags that cannot be moved.
    pub immutable_tags: Vec<String>,
    /// Patterns of tags that cannot be deleted.
    pub protect: Vec<String>,
}

/// A rule as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    repositories: Vec<String>,
    tags: Option<Vec<String>>,
    keep_last: Option<usize>,
    keep_last_by: Option<Order>,
    keep_younger_than: Option<String>,
    keep_pulled_within: Option<String>,
    #[serde(default)]
    keep_tags: Vec<String>,
    delete_untagged_after: Option<String>,
    #[serde(default)]
    immutable_tags: Vec<String>,
    #[serde(default)]
    protect: Vec<String>,
}

/// Which tags are the last ones.
#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Order {
    Moved,
    Version,
}

impl RetentionSettings {
    /// Reads all rules.
    pub(super) fn read(values: &Values) -> Result<Vec<Self>, SettingsError> {
        let rules = values.tables("retention").iter().enumerate();
        let read = rules.map(|(index, table)| {
            let refused = |reason| SettingsError::Retention { number: index + 1, reason };
            let row = Row::deserialize(table).map_err(|error| refused(error.to_string()))?;
            Self::check(row).map_err(refused)
        });
        read.collect()
    }

    fn check(row: Row) -> Result<Self, String> {
        let is_pattern = |text: &String| {
            !text.is_empty() && text.len() <= LONGEST && !text.chars().any(char::is_whitespace)
        };
        let all = vec!["*".to_owned()];
        let says_how_much = row.keep_last.is_some()
            || row.keep_younger_than.is_some()
            || row.keep_pulled_within.is_some();
        if row.tags.is_some() && !says_how_much {
            return Err("`tags` says which tags `keep_last`, `keep_younger_than` and `keep_pulled_within` are about: set \
                one of these, or leave it out"
                .to_owned());
        }
        if row.keep_last_by.is_some() && row.keep_last.is_none() {
            return Err(
                "`keep_last_by` says which tags are the last ones: set `keep_last`, too".to_owned()
            );
        }
        let rule = Self {
            repositories: row.repositories,
            tags: row.tags.unwrap_or(all),
            keep_last: row.keep_last,
            keep_last_by_version: row.keep_last_by == Some(Order::Version),
            keep_younger_than: read_duration("keep_younger_than", row.keep_younger_than)?,
            keep_pulled_within: read_duration("keep_pulled_within", row.keep_pulled_within)?,
            keep_tags: row.keep_tags,
            delete_untagged_after: read_duration(
                "delete_untagged_after",
                row.delete_untagged_after,
            )?,
            immutable_tags: row.immutable_tags,
            protect: row.protect,
        };
        if rule.repositories.is_empty() {
            return Err("`repositories` is empty: `**` is all of them".to_owned());
        }
        for (name, patterns) in [
            ("repositories", &rule.repositories),
            ("tags", &rule.tags),
            ("keep_tags", &rule.keep_tags),
            ("immutable_tags", &rule.immutable_tags),
            ("protect", &rule.protect),
        ] {
            if !patterns.iter().all(is_pattern) {
                return Err(format!("`{name}` has to be a list of patterns without spaces"));
            }
        }
        let says_nothing = !says_how_much
            && rule.delete_untagged_after.is_none()
            && [&rule.keep_tags, &rule.immutable_tags, &rule.protect]
                .iter()
                .all(|it| it.is_empty());
        if says_nothing {
            return Err("it says nothing about its repositories".to_owned());
        }
        Ok(rule)
    }
}

fn read_duration(name: &str, text: Option<String>) -> Result<Option<Duration>, String> {
    let Some(text) = text else { return Ok(None) };
    let read = duration::parse(&text).filter(|duration| !duration.is_zero());
    read.map(Some).ok_or_else(|| format!("`{name}` has to be a duration above zero such as 30d"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(rule: serde_json::Value) -> Result<RetentionSettings, String> {
        RetentionSettings::check(Row::deserialize(rule).map_err(|error| error.to_string())?)
    }

    #[test]
    fn a_rule_has_to_say_something_about_something() {
        let rule = read(json!({ "repositories": ["team/**"], "keep_last": 3 })).unwrap();
        assert_eq!((rule.tags.as_slice(), rule.keep_last), (&["*".to_owned()][..], Some(3)));
        let younger = json!({ "repositories": ["a"], "keep_younger_than": "30d", "tags": ["v*"] });
        assert_eq!(read(younger).unwrap().keep_younger_than, Some(Duration::from_hours(720)));
        let by = |order| json!({ "repositories": ["a"], "keep_last": 3, "keep_last_by": order });
        assert!(read(by("version")).unwrap().keep_last_by_version);
        assert!(!read(by("moved")).unwrap().keep_last_by_version);
        let pulled = json!({ "repositories": ["a"], "keep_pulled_within": "30d", "tags": ["v*"] });
        assert_eq!(read(pulled).unwrap().keep_pulled_within, Some(Duration::from_hours(720)));
        for (rule, reason) in [
            (by("name"), "unknown variant"),
            (
                json!({ "repositories": ["a"], "protect": ["a"], "keep_last_by": "version" }),
                "`keep_last_by` says which",
            ),
            (json!({ "repositories": [], "keep_last": 3 }), "is empty"),
            (json!({ "repositories": ["a"] }), "says nothing"),
            (json!({ "keep_last": 3 }), "missing field"),
            (
                json!({ "repositories": ["a"], "tags": ["v*"], "protect": ["v1"] }),
                "`tags` says which",
            ),
            (json!({ "repositories": ["a"], "protect": ["v 1"] }), "`protect` has to be"),
            (json!({ "repositories": ["a"], "keep_tags": [""] }), "`keep_tags` has to be"),
            (
                json!({ "repositories": ["a"], "keep_younger_than": "0s" }),
                "`keep_younger_than` has to be",
            ),
            (json!({ "repositories": ["a"], "keep_last": -1 }), "invalid value"),
            (
                json!({ "repositories": ["a"], "keep_pulled_within": "soon" }),
                "`keep_pulled_within` has to be",
            ),
            (json!({ "repositories": ["a"], "keep_pushed_within": "3d" }), "unknown field"),
        ] {
            let refused = read(rule.clone()).unwrap_err();
            assert!(refused.contains(reason), "{rule}: {refused}");
        }
    }
}
