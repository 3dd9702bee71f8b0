//! Releases of clients that the tests have twice.

use std::path::PathBuf;

use crate::common::require;

/// Which release of a client runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Release {
    /// The one that Debian has.
    Debian,
    /// The newest one, which `scripts/tools` builds.
    Newest,
}

impl Release {
    /// Finds a program of the client.
    pub(crate) fn require(self, program: &str) -> Option<PathBuf> {
        match self {
            Self::Debian => require(program),
            Self::Newest => require(&format!("newest {program}")),
        }
    }
}
