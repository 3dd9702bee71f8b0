//! In which repository, and under which state of the index, rows are looked up.

use crate::oci::{IndexState, RepositoryName, RepositoryRecord};

/// Where rows are looked up: in a repository by its name, as they are now, or by its record, as they were when that was
/// read, or later.
#[derive(Debug, Clone, Copy)]
pub struct Lookup<'a> {
    pub(super) repository: &'a RepositoryName,
    pub(super) as_of: Option<IndexState>,
}

impl<'a> From<&'a RepositoryName> for Lookup<'a> {
    fn from(repository: &'a RepositoryName) -> Self {
        Self { repository, as_of: None }
    }
}

impl<'a> From<&'a RepositoryRecord> for Lookup<'a> {
    fn from(record: &'a RepositoryRecord) -> Self {
        Self { repository: &record.name, as_of: record.as_of }
    }
}
