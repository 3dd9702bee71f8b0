//! What a registry knows of a repository of its own.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{RepositoryName, TreeId};

/// Who may see a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Visibility {
    /// Everybody: it is published.
    Public,
    /// Everybody who has signed in.
    Internal,
    /// Who has a right to it.
    Private,
}

impl Visibility {
    /// Returns the name as it is stored.
    ///
    /// ```
    /// use roadstead::oci::Visibility;
    ///
    /// assert_eq!("private".parse(), Ok(Visibility::Private));
    /// assert_eq!(Visibility::Private.as_str(), "private");
    /// ```
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Internal => "internal",
            Self::Private => "private",
        }
    }

    /// Tells whether everybody may see it.
    ///
    /// ```
    /// use roadstead::oci::Visibility;
    ///
    /// assert!(Visibility::Public.is_public() && !Visibility::Internal.is_public());
    /// ```
    #[must_use]
    pub fn is_public(self) -> bool {
        match self {
            Self::Public => true,
            Self::Internal | Self::Private => false,
        }
    }

    /// Returns the tree in which such a repository is.
    ///
    /// ```
    /// use roadstead::oci::{TreeId, Visibility};
    ///
    /// assert_eq!(Visibility::Public.tree(), TreeId::Public);
    /// assert_eq!(Visibility::Internal.tree(), TreeId::Private);
    /// ```
    #[must_use]
    pub fn tree(self) -> TreeId {
        match self {
            Self::Public => TreeId::Public,
            Self::Internal | Self::Private => TreeId::Private,
        }
    }
}

/// The text is the name of no visibility.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no visibility: it is public, internal or private")]
pub struct VisibilityError(String);

impl FromStr for Visibility {
    type Err = VisibilityError;

    fn from_str(text: &str) -> Result<Self, VisibilityError> {
        let all = [Self::Public, Self::Internal, Self::Private];
        let found = all.into_iter().find(|visibility| visibility.as_str() == text);
        found.ok_or_else(|| VisibilityError(text.to_owned()))
    }
}

/// A repository of this registry. It comes into being with the first thing that is written for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepositoryRecord {
    /// Its number in the index; a rebuild gives it another one.
    pub id: i64,
    /// Its name.
    pub name: RepositoryName,
    /// Who may see it.
    pub visibility: Visibility,
    /// In which tree it is.
    pub tree: TreeId,
    /// When it was made, in milliseconds since the Unix epoch.
    pub created: i64,
    /// The state of the index when the record was read; none where the index does not say.
    pub as_of: Option<IndexState>,
}

/// Which repository it is among all that have or had its name: one that was removed and made again is another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RepositoryIdentity {
    /// Its number in the index. SQLite may give it again.
    pub id: i64,
    /// When it was made, in milliseconds since the Unix epoch.
    pub created: i64,
}

impl RepositoryRecord {
    /// Returns which repository it is.
    ///
    /// ```
    /// use roadstead::oci::{RepositoryIdentity, RepositoryRecord, TreeId, Visibility};
    ///
    /// let name = "team/app".parse()?;
    /// let (visibility, tree) = (Visibility::Public, TreeId::Public);
    /// let record = RepositoryRecord { id: 7, name, visibility, tree, created: 1, as_of: None };
    /// assert_eq!(record.identity(), RepositoryIdentity { id: 7, created: 1 });
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn identity(&self) -> RepositoryIdentity {
        RepositoryIdentity { id: self.id, created: self.created }
    }
}

/// A state of the index. What was read under the same state is consistent; a look-up that is given the state does not
/// query it again. Only the index can interpret the numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IndexState {
    /// By which connection it was seen.
    pub session: u64,
    /// How many commits there were.
    pub version: u64,
}
