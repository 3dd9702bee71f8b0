//! Whose root a name means, and who is asked for what is below it.

use std::sync::Arc;

use cid::Cid;

use super::super::{RegistryError, Result};
use crate::oci::RootName;
use crate::remote::{Remote, RemoteError, RemoteErrorKind, Source};
use crate::storage::TreePath;

/// Finds roots.
pub struct Roots {
    /// The domains that are served, if not all.
    domains: Vec<String>,
    /// Who is asked for everything.
    sources: Vec<Arc<dyn Source>>,
}

/// A root, and who is asked for what is below it.
pub struct Located {
    /// The root.
    pub root: Cid,
    /// Where the tree begins below it.
    pub path: Vec<String>,
    /// Who is asked.
    pub remote: Remote,
}

impl Located {
    /// Returns a path below the root.
    pub(super) fn below(&self, path: &TreePath) -> Vec<String> {
        let below = path.components().map(str::to_owned);
        self.path.iter().cloned().chain(below).collect()
    }
}

impl Roots {
    /// Finds roots of these domains, or of all where none is given, by these sources.
    #[must_use]
    pub fn new(domains: Vec<String>, sources: Vec<Arc<dyn Source>>) -> Self {
        Self { domains, sources }
    }

    /// Refuses a root that the operator does not want to be served.
    pub(super) fn allow(&self, name: &RootName) -> Result<()> {
        let is_listed = match name {
            RootName::Domain(domain) => self.domains.contains(domain),
            RootName::Cid(_) | RootName::Ipns(_) => false,
        };
        if self.domains.is_empty() || is_listed {
            return Ok(());
        }
        Err(RegistryError::FederationDenied(name.to_string()))
    }

    /// Finds a root.
    pub(super) async fn find(&self, name: &RootName) -> Result<Located> {
        match name {
            RootName::Cid(root) => {
                let remote = Remote::new(self.sources.clone());
                Ok(Located { root: *root, path: Vec::new(), remote })
            }
            RootName::Domain(_) | RootName::Ipns(_) => {
                let what = format!("`{name}` cannot be resolved");
                Err(RemoteError::new(RemoteErrorKind::NoSource, what).into())
            }
        }
    }
}
