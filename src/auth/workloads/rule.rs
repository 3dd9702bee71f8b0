//! One rule that lets workloads in.

use aws_lc_rs::digest::{SHA256, digest};
use serde_json::{Value, json};

use super::super::signed::ForeignClaims;
use super::grant::WorkloadGrant;
use super::pattern::Pattern;
use crate::config::WorkloadSettings;

/// What started the job, and which of these may where the rule does not say: not what runs the base branch for a
/// stranger, such as `pull_request_target`.
const EVENT: &str = "event_name";
const EVENTS: [&str; 7] = [
    "push",
    "pull_request",
    "merge_group",
    "release",
    "schedule",
    "workflow_dispatch",
    "repository_dispatch",
];

/// A rule.
pub(super) struct Rule {
    id: String,
    audience: String,
    claims: Vec<(String, Vec<Pattern>)>,
    role: &'static str,
    pattern: String,
}

impl Rule {
    pub(super) fn new(settings: &WorkloadSettings) -> Self {
        let claims = settings.claims.iter().map(|(name, patterns)| {
            (name.clone(), patterns.iter().map(|it| Pattern::new(it)).collect())
        });
        Self {
            id: id(settings),
            audience: settings.audience.clone(),
            claims: claims.collect(),
            role: settings.role,
            pattern: settings.pattern.clone(),
        }
    }

    pub(super) fn audience(&self) -> &str {
        &self.audience
    }

    pub(super) fn grant(&self) -> WorkloadGrant {
        WorkloadGrant { rule: self.id.clone(), role: self.role, pattern: self.pattern.clone() }
    }

    /// Tells whether each claim of the rule is in the token and as the rule says.
    pub(super) fn matches(&self, claims: &ForeignClaims) -> bool {
        let is_usual = self.claims.iter().any(|(name, _)| name == EVENT)
            || match claims.get(EVENT) {
                None => true,
                Some(event) => event.as_str().is_some_and(|event| EVENTS.contains(&event)),
            };
        is_usual
            && self.claims.iter().all(|(name, patterns)| {
                let value = find(claims, name);
                value.is_some_and(|value| patterns.iter().any(|it| is_as(it, value)))
            })
    }
}

/// Finds a claim by its name, else by the path `claim/member/…` (`kubernetes.io/serviceaccount/uid`).
fn find<'a>(claims: &'a ForeignClaims, name: &str) -> Option<&'a Value> {
    if let Some(value) = claims.get(name) {
        return Some(value);
    }
    let mut path = name.split('/');
    let first = claims.get(path.next()?)?;
    path.try_fold(first, |value, member| value.get(member))
}

/// Tells whether a value is as a pattern says; of a list, whether one of its texts is.
fn is_as(pattern: &Pattern, value: &Value) -> bool {
    match value {
        Value::String(text) => pattern.matches(text),
        Value::Number(_) | Value::Bool(_) => pattern.matches(&value.to_string()),
        Value::Array(items) => {
            items.iter().filter_map(Value::as_str).any(|text| pattern.matches(text))
        }
        Value::Null | Value::Object(_) => false,
    }
}

/// Makes the id of a rule out of all that it says.
fn id(settings: &WorkloadSettings) -> String {
    let WorkloadSettings { issuer, audience, claims, role, pattern, .. } = settings;
    let text = json!([issuer, audience, claims, role, pattern]).to_string();
    let hash = digest(&SHA256, text.as_bytes());
    hash.as_ref()[..8].iter().fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"))
}
