//! Which limits there are, and what is left of them.

use super::limit::{Limit, Rate};

/// Which limits there are; none: as much as there is.
#[derive(Debug, Clone, Copy, Default)]
pub struct RateLimitSettings {
    /// How many manifests a user, robot or workload may pull.
    pub pulls: Option<Rate>,
    /// How many manifests one address may pull by clients that have not signed in.
    pub anonymous_pulls: Option<Rate>,
    /// How many manifests a user may push, or one address by clients that have not signed in.
    pub pushes: Option<Rate>,
}

/// The limits, and what is left of them.
pub struct RateLimits {
    pub(super) pulls: Option<Limit>,
    pub(super) anonymous_pulls: Option<Limit>,
    pub(super) pushes: Option<Limit>,
}

impl RateLimits {
    /// Begins to count.
    #[must_use]
    pub fn new(settings: RateLimitSettings) -> Self {
        let RateLimitSettings { pulls, anonymous_pulls, pushes } = settings;
        Self {
            pulls: pulls.map(|rate| Limit::new("pulls", rate)),
            anonymous_pulls: anonymous_pulls.map(|rate| Limit::new("anonymous_pulls", rate)),
            pushes: pushes.map(|rate| Limit::new("pushes", rate)),
        }
    }
}
