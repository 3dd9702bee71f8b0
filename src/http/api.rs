//! What all handlers share: the use cases, the policy, and what the server was set up with.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::{
    Limits, ManifestMemory, Metrics, OwnNames, Peer, RateLimits, Readiness, TrustedProxies,
};
use crate::accounts::Administration;
use crate::auth::Authority;
use crate::registry::Registry;

/// What the handlers share.
pub struct Api {
    /// The use cases.
    pub registry: Registry,
    /// Who may do what.
    pub authority: Authority,
    /// Administers accounts; none where there are none.
    pub administration: Option<Arc<Administration>>,
    /// Where clients see this server, if `Location` is to be absolute; without a slash at the end.
    pub external_url: Option<String>,
    /// Where it listens.
    pub address: SocketAddr,
    /// Whether it encrypts.
    pub is_encrypted: bool,
    /// The names that clients use for it.
    pub own_names: OwnNames,
    /// The proxies that may say for which client a request is.
    pub proxies: Arc<TrustedProxies>,
    /// How long a client may send nothing of a body.
    pub body_idle: Duration,
    /// How long a client may send nothing of a large manifest.
    pub manifest_idle: Duration,
    /// As which peer what is below the public root is served by CIDs; none: it is not.
    pub gateway: Option<Peer>,
    /// What may be under way.
    pub limits: Limits,
    /// How often users and clients may pull and push.
    pub rate_limits: RateLimits,
    /// What `/readyz` answers.
    pub readiness: Readiness,
    /// What manifests may take.
    pub manifest_memory: ManifestMemory,
    /// What is counted.
    pub metrics: Metrics,
}
