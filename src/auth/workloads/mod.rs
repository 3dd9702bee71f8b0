//! Workloads: jobs of CI and pods, which sign in by a token of their issuer and without a stored secret.
//!
//! A rule of the settings says which claims a token needs, and what its bearer may do then. The identity provider
//! asks here who a token is of; what is stored of a workload is no more than the ids of the rules that let it in, so
//! that it may do nothing any more once they are gone. Nothing here issues tokens or decides about an act.

mod grant;
mod pattern;
mod rule;

use std::path::PathBuf;
use std::time::SystemTime;

use super::SetupError;
use super::signed::{
    FetchOptions, ForeignClaims, Issuer, KeySource, OpenFetcher, Subject, SubjectKind, TokenError,
    claimed_issuer,
};
use crate::config::{JwksSource, WorkloadSettings};
pub use grant::WorkloadGrant;
use rule::Rule;

/// The issuers that the operator trusts, and the rules for their workloads.
pub struct Workloads(Vec<IssuerRules>);

struct IssuerRules {
    issuer: Issuer,
    rules: Vec<Rule>,
}

/// A workload whose token was verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Workload {
    /// Its issuer.
    pub issuer: String,
    /// Its subject, as the issuer knows it.
    pub subject: String,
    /// What the rules that match give it; at least one.
    pub grants: Vec<WorkloadGrant>,
    /// Until when the token counts.
    pub until: SystemTime,
}

impl Workload {
    /// Returns whom tokens of the registry for this workload are of.
    #[must_use]
    pub fn as_subject(&self) -> Subject {
        // No issuer has a space in its name, so no two workloads have one id.
        let id = format!("{} {}", self.issuer, self.subject);
        let mut subject = Subject::new(SubjectKind::Workload, id, &self.subject);
        subject.rules = self.grants.iter().map(|grant| grant.rule.clone()).collect();
        subject
    }
}

impl Workloads {
    /// Opens the issuers of these rules. Files have to be good now; nothing is fetched yet.
    ///
    /// # Errors
    /// Which file cannot be used.
    pub fn open(
        settings: &[WorkloadSettings],
        open_fetcher: OpenFetcher<'_>,
    ) -> Result<Self, SetupError> {
        let mut found: Vec<IssuerRules> = Vec::new();
        for rule in settings {
            let known = found.iter_mut().find(|known| known.issuer.name() == rule.issuer);
            match known {
                Some(known) => known.rules.push(Rule::new(rule)),
                None => found.push(IssuerRules {
                    issuer: open_issuer(rule, open_fetcher)?,
                    rules: vec![Rule::new(rule)],
                }),
            }
        }
        Ok(Self(found))
    }

    /// Finds out which workload a token is of.
    ///
    /// # Errors
    /// Why it is refused: [`TokenError::NoRule`] when the token is good and no rule lets its bearer in.
    pub async fn identify(&self, text: &str, now: SystemTime) -> Result<Workload, TokenError> {
        let claimed = claimed_issuer(text).ok_or(TokenError::Malformed)?;
        let known = self.0.iter().find(|known| known.issuer.name() == claimed);
        let IssuerRules { issuer, rules } = known.ok_or(TokenError::Issuer)?;
        let claims = issuer.verify(text, now).await?;
        if claims.subject().is_empty() {
            return Err(TokenError::Claim("sub"));
        }
        let is_for_us = |rule: &&Rule| claims.is_for(rule.audience());
        if !rules.iter().any(|rule| is_for_us(&rule)) {
            return Err(TokenError::Audience);
        }
        let matching = rules.iter().filter(is_for_us).filter(|rule| rule.matches(&claims));
        let grants: Vec<WorkloadGrant> = matching.map(Rule::grant).collect();
        if grants.is_empty() {
            return Err(TokenError::NoRule);
        }
        Ok(Workload {
            issuer: claimed,
            subject: claims.subject().to_owned(),
            grants,
            until: ForeignClaims::until(&claims),
        })
    }

    /// Returns what rules give that let a workload in earlier, by their ids; nothing for those that are gone or were
    /// changed.
    #[must_use]
    pub fn grants(&self, rules: &[String]) -> Vec<WorkloadGrant> {
        let all = self.0.iter().flat_map(|known| &known.rules).map(Rule::grant);
        all.filter(|grant| rules.contains(&grant.rule)).collect()
    }
}

fn open_issuer(
    rule: &WorkloadSettings,
    open_fetcher: OpenFetcher<'_>,
) -> Result<Issuer, SetupError> {
    let options = FetchOptions {
        setting: "auth.workloads",
        ca_file: rule.ca_file.clone(),
        token_file: rule.token_file.clone(),
        allow_private_addresses: rule.allow_private_addresses,
    };
    let fetcher = || open_fetcher(&options);
    let (source, file) = match &rule.jwks {
        JwksSource::File(path) => (KeySource::File(path.clone()), path.clone()),
        JwksSource::Url(url) => (KeySource::Url(url.clone(), fetcher()?), PathBuf::new()),
        JwksSource::Discovery => (KeySource::Discovery(fetcher()?), PathBuf::new()),
    };
    Issuer::open(&rule.issuer, source).map_err(|reason| SetupError {
        setting: "auth.workloads",
        file,
        reason,
    })
}

#[cfg(test)]
mod tests;
