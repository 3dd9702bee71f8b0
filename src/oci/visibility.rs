//! Who may see a repository at all.

/// Whether a repository may be published. Each has a tree of its own, with its own root.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Visibility {
    /// Below the root that is published.
    Public,
    /// Below a root that never is.
    Private,
}

impl Visibility {
    /// Both, in the order of their trees.
    pub const ALL: [Self; 2] = [Self::Public, Self::Private];

    /// Returns the name as it stands in the index and in the data folder.
    ///
    /// ```
    /// use roadstead::oci::Visibility;
    ///
    /// assert_eq!(Visibility::ALL.map(Visibility::as_str), ["public", "private"]);
    /// ```
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Private => "private",
        }
    }
}
