//! Where a value came from.

use std::fmt;
use std::path::PathBuf;

/// Where a setting's value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// None was given.
    Default,
    /// A file of settings.
    File(PathBuf),
    /// An environment variable.
    Variable(String),
    /// A flag on the command line.
    Flag(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => formatter.write_str("by default"),
            Self::File(path) => write!(formatter, "in {}", path.display()),
            Self::Variable(name) => write!(formatter, "from the environment variable {name}"),
            Self::Flag(name) => write!(formatter, "from the flag {name}"),
        }
    }
}
