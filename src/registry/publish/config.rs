//! What an operator has set about publishing.

use std::time::Duration;

use crate::dnslink::{Domain, Guard};

/// What an operator has set.
#[derive(Debug, Clone)]
pub struct PublishConfig {
    /// The domain.
    pub domain: Domain,
    /// How long a push waits for others.
    pub debounce: Duration,
    /// Names the provider and where it writes. After a change of this the provider has to write, even if the
    /// records are as they should be.
    pub provider_id: String,
    /// How long others may keep the record.
    pub ttl: Duration,
    /// How long a root is retained after another one was published.
    pub keep: Duration,
    /// How long a written record may take until all servers of the zone return it.
    pub timeouts: Duration,
    /// Where others reach this registry, as multiaddrs; none: it is found out.
    pub hints: Vec<String>,
    /// The multiaddr of this registry's own gateway, if others can reach it.
    pub gateway: Option<String>,
    /// Which addresses of the storage others can reach.
    pub guard: Guard,
}
