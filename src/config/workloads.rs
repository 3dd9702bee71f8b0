//! Which workloads are let in: jobs of CI and pods that prove by a token of their issuer what they are.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;

use super::external_url::is_http_url;
use super::{JwksSource, SettingsError, Values};

/// What a rule may give, the least first.
const ROLES: [&str; 3] = ["reader", "writer", "maintainer"];

/// The longest text in a rule.
const LONGEST: usize = 1024;

/// Issuers of whom everyone can get tokens, and what a rule has to name for them.
const SHARED: [&str; 2] = [GITHUB, "https://gitlab.com"];
const GITHUB: &str = "https://token.actions.githubusercontent.com";
const OWNERS: [&str; 9] = [
    "sub",
    "repository_id",
    "repository_owner_id",
    "enterprise_id",
    "repository",
    "repository_owner",
    "project_id",
    "namespace_id",
    "project_path",
];

/// Claims that are names: once one is given up, another owner can take it.
const NAMES: [&str; 5] =
    ["repository", "repository_owner", "project_path", "namespace_path", "actor"];

/// A rule that lets workloads in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkloadSettings {
    /// The issuer, as its tokens have it.
    pub issuer: String,
    /// The audience that a token has to be for.
    pub audience: String,
    /// What the claims of a token have to be, by name: each has one of these patterns.
    pub claims: BTreeMap<String, Vec<String>>,
    /// What the workload may do.
    pub role: &'static str,
    /// In which repositories.
    pub pattern: String,
    /// Where the issuer's keys are.
    pub jwks: JwksSource,
    /// The authorities that its certificate may be of.
    pub ca_file: Option<PathBuf>,
    /// The token that its keys are fetched with.
    pub token_file: Option<PathBuf>,
    /// Whether it may be at a private address.
    pub allow_private_addresses: bool,
}

/// A rule as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    issuer: String,
    audience: String,
    claims: BTreeMap<String, Patterns>,
    role: String,
    pattern: String,
    jwks_file: Option<PathBuf>,
    jwks_url: Option<String>,
    ca_file: Option<PathBuf>,
    token_file: Option<PathBuf>,
    #[serde(default)]
    allow_private_addresses: bool,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Patterns {
    One(String),
    Several(Vec<String>),
}

impl WorkloadSettings {
    /// Reads all rules.
    pub(super) fn read(values: &Values) -> Result<Vec<Self>, SettingsError> {
        let mut rules: Vec<Self> = Vec::new();
        for (index, table) in values.tables("auth.workloads").iter().enumerate() {
            let refused = |reason| SettingsError::Workload { number: index + 1, reason };
            let row = Row::deserialize(table).map_err(|error| refused(error.to_string()))?;
            let rule = Self::check(row).map_err(refused)?;
            if rules.iter().any(|other| other.issuer == rule.issuer && !other.is_fetched_as(&rule))
            {
                let reason = "another rule has the same issuer and fetches its keys otherwise";
                return Err(refused(reason.to_owned()));
            }
            rules.push(rule);
        }
        Ok(rules)
    }

    fn is_fetched_as(&self, other: &Self) -> bool {
        (&self.jwks, &self.ca_file, &self.token_file, self.allow_private_addresses)
            == (&other.jwks, &other.ca_file, &other.token_file, other.allow_private_addresses)
    }

    fn check(row: Row) -> Result<Self, String> {
        let is_text = |text: &str| {
            !text.is_empty() && text.len() <= LONGEST && !text.chars().any(char::is_whitespace)
        };
        for (name, text) in
            [("issuer", &row.issuer), ("audience", &row.audience), ("pattern", &row.pattern)]
        {
            if !is_text(text) {
                return Err(format!("`{name}` has to be a text without spaces"));
            }
        }
        if row.audience == row.issuer || is_of_api_server(&row.audience) {
            return Err("every pod has a token for that audience, the API server's own: choose another one for \
                `audience`, and request tokens for it"
                .to_owned());
        }
        let role = ROLES.into_iter().find(|role| *role == row.role);
        let role = role.ok_or_else(|| format!("`role` has to be one of {}", ROLES.join(", ")))?;
        let claims: BTreeMap<_, _> = row
            .claims
            .into_iter()
            .map(|(name, patterns)| match patterns {
                Patterns::One(pattern) => (name, vec![pattern]),
                Patterns::Several(patterns) => (name, patterns),
            })
            .collect();
        check_claims(&row.issuer, &claims)?;
        let is_fetched = |url: &str| {
            is_http_url(url) && (url.starts_with("https://") || row.allow_private_addresses)
        };
        let jwks = match (row.jwks_file, row.jwks_url) {
            (Some(_), Some(_)) => {
                return Err("only one of `jwks_file` and `jwks_url` can be used".to_owned());
            }
            (Some(file), None) => JwksSource::File(file),
            (None, Some(url)) if is_fetched(&url) => JwksSource::Url(url),
            (None, None) if is_fetched(&row.issuer) => JwksSource::Discovery,
            (None, _) => {
                return Err("the keys cannot be fetched: an https URL is needed for `issuer` or `jwks_url`, or \
                    `allow_private_addresses`, or `jwks_file`"
                    .to_owned());
            }
        };
        Ok(Self {
            issuer: row.issuer,
            audience: row.audience,
            claims,
            role,
            pattern: row.pattern,
            jwks,
            ca_file: row.ca_file,
            token_file: row.token_file,
            allow_private_addresses: row.allow_private_addresses,
        })
    }

    /// Says what of the rule may let more in than its writer thinks.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let names = |claim: &str| self.claims.contains_key(claim);
        let is_github = self.issuer == GITHUB || self.issuer.ends_with("/_services/token");
        let mut found = Vec::new();
        if is_github && names("sub") {
            found.push("`sub` has another form for repositories that were made or renamed after 2026-07-15: use \
                `repository_id`, and `ref` or `environment`"
                .to_owned());
        }
        let reusable = NAMES.into_iter().find(|name| names(name));
        let has_id = self.claims.keys().any(|name| name.ends_with("_id"));
        if let (Some(name), false) = (reusable, has_id) {
            found.push(format!(
                "`{name}` is a name, which others can have once it is given up: use an id, such as `repository_id`"
            ));
        }
        let is_pod = !is_github
            && self.claims.keys().any(|name| name == "sub" || name.starts_with("kubernetes.io"));
        if self.role != ROLES[0] && !names("ref") && !names("environment") && !is_pod {
            found.push("it lets every branch push: name `ref` or `environment`".to_owned());
        }
        let events = self.claims.get("event_name");
        if events.is_some_and(|events| events.iter().any(|it| it == "pull_request_target")) {
            found.push("`pull_request_target` runs for pull requests of strangers".to_owned());
        }
        found
    }
}

/// Tells whether an audience is the one of the API server of a cluster, which each pod's own token is for.
fn is_of_api_server(audience: &str) -> bool {
    let host = audience.strip_prefix("https://").unwrap_or(audience);
    let host = host.split(['/', ':']).next().unwrap_or_default();
    ["kubernetes", "kubernetes.default"].contains(&host)
        || host == "kubernetes.default.svc"
        || host.starts_with("kubernetes.default.svc.")
}

fn check_claims(issuer: &str, claims: &BTreeMap<String, Vec<String>>) -> Result<(), String> {
    if claims.is_empty() {
        return Err("`claims` is empty, so it lets in all workloads of the issuer".to_owned());
    }
    for (name, patterns) in claims {
        if patterns.is_empty() {
            return Err(format!("the claim `{name}` has no value"));
        }
        for pattern in patterns {
            if pattern.len() > LONGEST || pattern.bytes().all(|byte| byte == b'*') {
                return Err(format!("the claim `{name}` needs a value that says something"));
            }
            if name.ends_with("_id") && pattern.contains('*') {
                return Err(format!("the claim `{name}` is an id, which has no pattern"));
            }
        }
    }
    let names = |claim: &&str| claims.contains_key(*claim);
    let called = ["job_workflow_ref", "job_workflow_sha"].into_iter().find(|claim| names(claim));
    if let Some(claim) = called
        && !["repository_id", "repository_owner_id"].iter().any(names)
    {
        return Err(format!(
            "`{claim}` is the called workflow, which any repository can call: name `repository_id` or \
             `repository_owner_id` as well"
        ));
    }
    if SHARED.contains(&issuer.trim_end_matches('/')) && !OWNERS.iter().any(names) {
        return Err("everyone can get tokens of that issuer: name an id in `claims`, such as `repository_id`, \
            `repository_owner_id`, `project_id` or `namespace_id`"
            .to_owned());
    }
    Ok(())
}
