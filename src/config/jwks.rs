//! Where the keys of an issuer of tokens are.

use std::path::PathBuf;

/// Where the keys of an issuer are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JwksSource {
    /// In a file.
    File(PathBuf),
    /// At a URL.
    Url(String),
    /// Where its discovery document says.
    Discovery,
}
