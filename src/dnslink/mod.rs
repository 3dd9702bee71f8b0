//! SEAM: names to roots.
//!
//! An operator publishes a root as a record in the DNS; this room finds it again. `registry`, `remote`
//! and `cli` resolve a domain, an IPNS key or a CID by a [`Resolver`], and find by a [`Dialer`] where
//! that root's publisher may be reached. `registry` writes such a record by a [`Provider`] of [`PROVIDERS`], and
//! checks it at the servers of the [`Zone`]. This room knows nothing of registries, of HTTP or of trees: it never
//! reads a block, and trusts what the DNS says no further than to look there.
//!
//! [`record`] reads TXT records, [`multiaddr`](Multiaddr) reads addresses,
//! [`ipns`] reads records that the owner of a key has signed; all three are pure. Another room fetches
//! IPNS records: a [`KeyResolver`].

mod dial;
mod dns;
mod domain;
mod error;
pub mod ipns;
mod key;
mod link;
mod multiaddr;
mod name_cache;
mod offer;
mod persistent_cache;
mod providers;
mod publisher;
mod rate_limit;
pub mod record;
mod resolver;
mod servers;
mod step;
#[cfg(test)]
#[path = "../../tests/dnslink/server.rs"]
#[allow(dead_code, reason = "the tests of the room use the rest")]
pub(crate) mod test_server;
mod walk;
mod wildcard;
mod wire;
mod zone;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use cid::Cid;
use jiff::Timestamp;

pub use dial::{DialError, Dialer, Guard};
pub use domain::{Domain, DomainError};
pub use error::{DnslinkError, DnslinkErrorKind, SetupError};
pub use key::{key_of_seed, parse_key, peer_id};
pub use link::{Link, LinkError, Target};
pub use multiaddr::{Gateway, Hint, Host, MAX_HINTS, Multiaddr, MultiaddrError, Peer};
pub use offer::offer_peers;
pub use persistent_cache::PersistentCache;
pub use providers::{PROVIDERS, ProviderKind};
pub use publisher::{Change, Difference, Provider, PublishError, PublishErrorKind, is_link};
pub use rate_limit::on_behalf_of;
pub use resolver::Resolver;
pub use step::{Seen, Step, Trace, Validation};
pub use zone::{ServerAnswer, Zone};

/// The result of every operation of this room.
pub type Result<T> = std::result::Result<T, DnslinkError>;

/// The target of a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolved {
    /// The root.
    pub root: Cid,
    /// The path below the root; mostly empty. No component is empty, `.` or
    /// `..`, or has a slash.
    pub path: Vec<String>,
    /// Where the publisher says it can be reached, at most [`MAX_HINTS`]; nothing of it is checked.
    pub hints: Vec<Hint>,
    /// How long that may be cached, within the floor and the ceiling of the settings.
    pub ttl: Duration,
}

/// The target of a name, and whether it is stale.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The target of the name.
    pub resolved: Arc<Resolved>,
    /// Since when it is due but could not be resolved again; none: it is fresh.
    pub stale_since: Option<Timestamp>,
}

/// Fetches the record of an IPNS key.
#[async_trait]
pub trait KeyResolver: Send + Sync {
    /// Returns the target of the key, and for how long that may be cached. `hints` come from the names
    /// that led to the key; nothing of them is checked.
    ///
    /// # Errors
    /// [`NotFound`](DnslinkErrorKind::NotFound) when no source has a record,
    /// [`Invalid`](DnslinkErrorKind::Invalid) when none of them is good,
    /// [`Unavailable`](DnslinkErrorKind::Unavailable) when that cannot be determined now.
    async fn resolve(&self, key: &Cid, hints: &[Hint]) -> Result<(Link, Duration)>;
}
