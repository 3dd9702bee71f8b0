//! The trees of a registry, by name.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A tree of a registry: a directory of content and of the names that lead to it, with a root of its own. What belongs
/// to a tree goes over [`TreeId::ALL`], so another one is another variant.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum TreeId {
    /// Its root may be published, and the gateway serves what is below it.
    #[default]
    Public,
    /// Its root never is, and nothing below it is served by its CID.
    Private,
}

impl TreeId {
    /// All of them, the public one first.
    pub const ALL: [Self; 2] = [Self::Public, Self::Private];

    /// Returns the name as it is stored: in the index, in the queue, and as that of a folder.
    ///
    /// ```
    /// use roadstead::oci::TreeId;
    ///
    /// assert_eq!(TreeId::ALL.map(TreeId::as_str), ["public", "private"]);
    /// assert_eq!("private".parse(), Ok(TreeId::Private));
    /// ```
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Private => "private",
        }
    }

    /// Tells whether it is the public one.
    ///
    /// ```
    /// use roadstead::oci::TreeId;
    ///
    /// assert!(TreeId::Public.is_public() && !TreeId::Private.is_public());
    /// ```
    #[must_use]
    pub fn is_public(&self) -> bool {
        *self == Self::Public
    }
}

/// The text is the name of no tree.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown tree `{0}`: this version has public and private")]
pub struct TreeIdError(String);

impl FromStr for TreeId {
    type Err = TreeIdError;

    fn from_str(text: &str) -> Result<Self, TreeIdError> {
        let found = Self::ALL.into_iter().find(|tree| tree.as_str() == text);
        found.ok_or_else(|| TreeIdError(text.to_owned()))
    }
}
