//! What anonymous clients get of foreign repositories, whatever the way to sign in.

use crate::config::AnonymousAccess;
use crate::oci::RootName;

/// What anonymous clients get of foreign repositories.
#[derive(Debug, Clone)]
pub struct AnonymousBound {
    /// How much.
    pub access: AnonymousAccess,
    /// The domains of [`AnonymousAccess::Listed`].
    pub domains: Vec<String>,
}

/// What anonymous clients get below one root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    /// Whatever the registry serves.
    All,
    /// What is in the cache.
    Cache,
    /// Nothing.
    Nothing,
}

impl Default for AnonymousBound {
    fn default() -> Self {
        Self { access: AnonymousAccess::Any, domains: Vec::new() }
    }
}

impl AnonymousBound {
    /// Returns what anonymous clients get below a root.
    pub(super) fn reach(&self, root: &RootName) -> Reach {
        let is_listed = match root {
            RootName::Domain(domain) => self.domains.contains(domain),
            RootName::Cid(_) | RootName::Ipns(_) => false,
        };
        match self.access {
            AnonymousAccess::Any => Reach::All,
            AnonymousAccess::Listed if is_listed => Reach::All,
            AnonymousAccess::Cached => Reach::Cache,
            AnonymousAccess::Listed | AnonymousAccess::None => Reach::Nothing,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_access_bounds_domains_keys_and_cids() {
        use Reach::{All, Cache, Nothing};
        let listed = RootName::Domain("listed.example".to_owned());
        let other = RootName::Domain("sub.listed.example".to_owned());
        let cid = RootName::Cid(crate::ipld::no_root());
        for (access, expected) in [
            (AnonymousAccess::Any, [All, All, All]),
            (AnonymousAccess::Listed, [All, Nothing, Nothing]),
            (AnonymousAccess::Cached, [Cache, Cache, Cache]),
            (AnonymousAccess::None, [Nothing, Nothing, Nothing]),
        ] {
            let bound = AnonymousBound { access, domains: vec!["listed.example".to_owned()] };
            let reached = [&listed, &other, &cid].map(|root| bound.reach(root));
            assert_eq!(reached, expected, "{access:?}");
        }
    }
}
