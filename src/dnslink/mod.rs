//! SEAM: names to roots.
//!
//! An operator publishes a root as a record in the DNS; this room finds it again. `registry`, `remote`
//! and `cli` ask a [`Resolver`] for the root of a domain, an IPNS key or a CID, and a [`Dialer`] where
//! that root's publisher may be reached. `registry` has a [`Provider`] of [`PROVIDERS`] write such a record, and
//! asks the servers of the [`Zone`] whether they tell it. It knows nothing of registries, of HTTP or of trees: it never
//! reads a block, and trusts what the DNS says no further than to look there.
//!
//! [`record`] reads what a TXT record says, [`multiaddr`](Multiaddr) where somebody listens,
//! [`ipns`] what the owner of a key has signed; all three are pure. How an IPNS record is fetched is
//! for others to know: a [`KeyResolver`].

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
mod questions;
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
pub use questions::on_behalf_of;
pub use resolver::Resolver;
pub use step::{Seen, Step, Trace, Validation};
pub use zone::{Told, Zone};

/// What every operation of this room returns.
pub type Result<T> = std::result::Result<T, DnslinkError>;

/// What a name leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolved {
    /// The root.
    pub root: Cid,
    /// Where below the root it leads to, from the root on; mostly empty. No component is empty, `.` or
    /// `..`, or has a slash.
    pub path: Vec<String>,
    /// Where the publisher says it can be reached, at most [`MAX_HINTS`]; nothing of it is checked.
    pub hints: Vec<Hint>,
    /// How long that may be kept, within the floor and the ceiling of the settings.
    pub ttl: Duration,
}

/// What a name leads to, and whether that is still so.
#[derive(Debug, Clone)]
pub struct Answer {
    /// What the name leads to.
    pub resolved: Arc<Resolved>,
    /// Since when it could not be asked for again, although it is due; none: it is fresh.
    pub stale_since: Option<Timestamp>,
}

/// Somebody who can fetch the record of an IPNS key.
#[async_trait]
pub trait KeyResolver: Send + Sync {
    /// Returns where the key leads to, and for how long that may be kept. `hints` are what the names
    /// that led to the key have told; nothing of them is checked.
    ///
    /// # Errors
    /// [`NotFound`](DnslinkErrorKind::NotFound) when nobody has a record,
    /// [`Invalid`](DnslinkErrorKind::Invalid) when none of them is good,
    /// [`Unavailable`](DnslinkErrorKind::Unavailable) when that cannot be told now.
    async fn resolve(&self, key: &Cid, hints: &[Hint]) -> Result<(Link, Duration)>;
}
