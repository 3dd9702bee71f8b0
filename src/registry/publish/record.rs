//! The state of publishing, as the index stores it for all processes.

use cid::Cid;
use serde::{Deserialize, Serialize};

use super::super::{RegistryError, Result};
use crate::dnslink::{Change, PublishError};
use crate::index::Index;

/// How many claims and how many answers are stored.
const MOST: usize = 100;

/// How many domains are remembered under which the root was published before.
const MOST_DOMAINS: usize = 8;

/// The state of publishing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Publication {
    /// The domain.
    pub domain: String,
    /// What we may have written there, and so may take away.
    pub ours: Vec<String>,
    /// The root that was last seen there.
    #[serde(with = "text")]
    pub root: Option<Cid>,
    /// When, in milliseconds since the Unix epoch.
    pub published: i64,
    /// The TTL that it was written with, in seconds; none in what earlier versions noted.
    #[serde(default)]
    pub ttl: Option<u64>,
    /// What identified the provider when it wrote: [`PublishConfig::provider_id`](super::PublishConfig::provider_id).
    #[serde(default, rename = "place")]
    pub provider_id: Option<String>,
    /// The domains under which the root was published before this one, the latest last.
    #[serde(default)]
    pub former: Vec<FormerDomain>,
    /// Why the last try failed, if it did.
    pub failure: Option<Failure>,
    /// Since when something is written that was not seen there, in milliseconds since the Unix epoch.
    #[serde(default)]
    pub untold: Option<i64>,
    /// The requests that were carried out last, or could not be, by the tokens that came with them.
    #[serde(default)]
    pub answers: Vec<String>,
}

/// A domain under which the root was published once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FormerDomain {
    /// The domain.
    pub domain: String,
    /// What we may have written there.
    pub ours: Vec<String>,
}

/// Why publishing does not work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// One word: `conflict`, `refused`, `unavailable` or `failed`.
    pub kind: String,
    /// A sentence.
    pub reason: String,
    /// Since when it does not, in milliseconds since the Unix epoch.
    pub since: i64,
    /// When that was last tried.
    pub tried: i64,
}

impl Publication {
    pub(super) fn new(domain: &str) -> Self {
        Self {
            domain: domain.to_owned(),
            ours: Vec::new(),
            root: None,
            published: 0,
            ttl: None,
            provider_id: None,
            former: Vec::new(),
            failure: None,
            untold: None,
            answers: Vec::new(),
        }
    }

    /// Goes over to a domain; what was published under another one is none of this one's, and is remembered: its
    /// records are ours should it come back.
    pub(super) fn under(self, domain: &str) -> Self {
        if self.domain == domain {
            return self;
        }
        let mut former = self.former;
        let known = former.iter().position(|it| it.domain == domain);
        let ours = known.map(|index| former.remove(index).ours).unwrap_or_default();
        former.push(FormerDomain { domain: self.domain, ours: self.ours });
        let surplus = former.len().saturating_sub(MOST_DOMAINS);
        former.drain(..surplus);
        Self { ours, former, ..Self::new(domain) }
    }

    /// Notes what is about to be written.
    pub(super) fn claim(&mut self, expected: &[String]) {
        self.ours.retain(|text| !expected.contains(text));
        add(&mut self.ours, expected);
    }

    /// Notes that nothing else of ours is there than what was expected.
    pub(super) fn seen(&mut self, root: Cid, change: Change, provider_id: &str, now: i64) {
        (self.root, self.ours, self.published) = (Some(root), change.expected, now);
        (self.ttl, self.provider_id) = (Some(change.ttl.as_secs()), Some(provider_id.to_owned()));
        self.untold = None;
    }

    /// Notes the requests that were carried out, or could not be.
    pub(super) fn answer(&mut self, tokens: &[String]) {
        add(&mut self.answers, tokens);
    }
}

/// Adds texts to others, of which the newest stay.
fn add(texts: &mut Vec<String>, more: &[String]) {
    texts.extend_from_slice(more);
    let surplus = texts.len().saturating_sub(MOST);
    texts.drain(..surplus);
}

impl Failure {
    /// Notes a failure, after an earlier one or not.
    pub(super) fn again(before: Option<&Self>, error: &PublishError, now: i64) -> Self {
        let since = before.map_or(now, |before| before.since);
        Self { kind: error.kind.as_str().to_owned(), reason: error.to_string(), since, tried: now }
    }
}

/// Reads the state of publishing, also beside a running server; none where nothing was ever to be published.
///
/// # Errors
/// Those of the index.
pub async fn published(index: &Index) -> Result<Option<Publication>> {
    let Some(record) = index.publication().await? else { return Ok(None) };
    let read = serde_json::from_slice(&record);
    read.map(Some).map_err(|error| RegistryError::Record(error.to_string()))
}

/// A CID as text.
mod text {
    use cid::Cid;
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[expect(clippy::ref_option, reason = "that is how it is called")]
    pub(super) fn serialize<S: Serializer>(cid: &Option<Cid>, to: S) -> Result<S::Ok, S::Error> {
        cid.map(|cid| cid.to_string()).serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Cid>, D::Error> {
        let text: Option<String> = Option::deserialize(from)?;
        text.map(|text| text.parse().map_err(D::Error::custom)).transpose()
    }
}
