//! To which repository something is given.

use crate::oci::{RepositoryIdentity, RepositoryName};

/// The repository that something is given to: whichever has its name, or the one that a request was allowed to write to. Where
/// that one was removed meanwhile, nothing is given, and none is made in its stead.
#[derive(Debug, Clone, Copy)]
pub struct Destination<'a> {
    /// Its name.
    pub repository: &'a RepositoryName,
    /// Which one it has to be; none: it is made if need be.
    pub identity: Option<RepositoryIdentity>,
}

impl<'a> From<&'a RepositoryName> for Destination<'a> {
    fn from(repository: &'a RepositoryName) -> Self {
        Self { repository, identity: None }
    }
}
