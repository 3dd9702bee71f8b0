//! Whose images are served beside the registry's own.

use std::ops::RangeInclusive;
use std::time::Duration;

use secrecy::SecretString;

use super::storage::token;
use super::{ExternalUrl, SettingsError, Values};
use crate::kubo::Address;
use crate::oci::read_domain;

/// The most reads that a setting may allow, and the least memory for them: a few blocks.
const MOST_READS: usize = 10_000;
const LEAST_BYTES: u64 = 8 << 20;

/// Whose images are served beside the registry's own.
#[derive(Debug, Clone)]
pub struct FederationSettings {
    /// Whether images below other people's roots are served.
    pub enabled: bool,
    /// Of which domains alone, if not of all; then roots by CID or key are not served either.
    pub domains: Vec<String>,
    /// What anonymous clients get of foreign images, if it is set; [`Settings::anonymous_access`] says what
    /// holds.
    ///
    /// [`Settings::anonymous_access`]: super::Settings::anonymous_access
    pub anonymous: Option<AnonymousAccess>,
    /// Values of the `Host` header that stand for the domain of the same name.
    pub hosts: Vec<String>,
    /// Trustless gateways that are used beside those that a domain names, without a slash at the end.
    pub gateways: Vec<String>,
    /// The Kubo node that is used as well.
    pub kubo: FederationKubo,
    /// How many bytes of the disk other people's content takes at the most.
    pub cache_bytes: u64,
    /// How many files of it.
    pub cache_files: u64,
    /// How much of it below one root, in percent.
    pub cache_root_percent: u64,
    /// How many transfers of other people's content there are at once, and how many other reads.
    pub max_reads: usize,
    /// The same, below one root.
    pub max_reads_per_root: usize,
    /// How many bytes the blocks have that are being received.
    pub max_read_bytes: u64,
    /// How many bytes of an image are fetched ahead of the client that has got its manifest.
    pub fetch_ahead_bytes: u64,
}

/// What anonymous clients get of foreign images.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AnonymousAccess {
    /// All that the registry serves.
    Any,
    /// Those of `federation.domains`.
    Listed,
    /// What is in the cache: nothing is looked up or fetched.
    Cached,
    /// Nothing.
    None,
}

/// The Kubo node that fetches foreign content.
#[derive(Debug, Clone)]
pub struct FederationKubo {
    /// Whose RPC it is.
    pub node: FederationNode,
    /// The token of one of its `API.Authorizations`, if it has some.
    pub token: Option<SecretString>,
    /// How long a publisher's node stays its peer after the last pull.
    pub keep_peers: Duration,
}

/// Which node fetches other people's content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FederationNode {
    /// That of the storage, where images are stored in one.
    Storage,
    /// None.
    Off,
    /// One of its own, by its RPC.
    At(Address),
}

impl FederationSettings {
    /// Returns how many bytes of the cache the images below one root may take.
    #[must_use]
    pub fn cache_root_bytes(&self) -> u64 {
        let bytes = u128::from(self.cache_bytes) * u128::from(self.cache_root_percent) / 100;
        u64::try_from(bytes).unwrap_or(self.cache_bytes)
    }

    pub(super) fn read(values: &Values) -> Result<Self, SettingsError> {
        let domains = |name| {
            let domains = values.list(name);
            let domains: Option<Vec<String>> =
                domains.iter().map(|domain| read_domain(domain)).collect();
            domains.ok_or_else(|| values.refuse(name))
        };
        let within = |name: &'static str, range: RangeInclusive<u64>| {
            let number = values.number(name);
            if range.contains(&number) { Ok(number) } else { Err(values.refuse(name)) }
        };
        let gateways = values.list("federation.gateways");
        let gateways: Option<Vec<String>> =
            gateways.iter().map(|url| ExternalUrl::parse(url).map(|url| url.to_string())).collect();
        let count = |name| {
            let count = usize::try_from(values.number(name)).ok();
            let count = count.filter(|count| (1..=MOST_READS).contains(count));
            count.ok_or_else(|| values.refuse(name))
        };
        let bytes = Some(values.number("federation.max_read_bytes"));
        let refused = || values.refuse("federation.max_read_bytes");
        Ok(Self {
            enabled: values.flag("federation.enabled"),
            domains: domains("federation.domains")?,
            anonymous: values.parse("federation.anonymous", |text| match text {
                "" => Some(None),
                "any" => Some(Some(AnonymousAccess::Any)),
                "listed" => Some(Some(AnonymousAccess::Listed)),
                "cached" => Some(Some(AnonymousAccess::Cached)),
                "none" => Some(Some(AnonymousAccess::None)),
                _ => None,
            })?,
            hosts: domains("federation.hosts")?,
            kubo: FederationKubo {
                node: values.parse("federation.kubo.api", |text| match text {
                    "" => Some(FederationNode::Storage),
                    "none" => Some(FederationNode::Off),
                    address => address.parse().ok().map(FederationNode::At),
                })?,
                token: token(values, "federation.kubo.token")?,
                keep_peers: values.positive_duration("federation.kubo.keep_peers")?,
            },
            gateways: gateways.ok_or_else(|| values.refuse("federation.gateways"))?,
            cache_bytes: values.number("federation.cache_bytes"),
            cache_files: within("federation.cache_files", 1..=u64::MAX)?,
            cache_root_percent: within("federation.cache_root_percent", 1..=100)?,
            max_reads: count("federation.max_reads")?,
            max_reads_per_root: count("federation.max_reads_per_root")?,
            fetch_ahead_bytes: values.number("federation.fetch_ahead_bytes"),
            max_read_bytes: bytes.filter(|bytes| *bytes >= LEAST_BYTES).ok_or_else(refused)?,
        })
    }
}
