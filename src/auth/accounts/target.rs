//! What a question about rights is about, and the operator's rules that the answer depends on.

use crate::oci::{RepositoryName, RepositoryRecord, Visibility};

use super::WordError;

/// The repository that a request is about.
#[derive(Debug, Clone, Copy)]
pub struct Target<'a> {
    /// Its name.
    pub name: &'a RepositoryName,
    /// What is known of it.
    pub state: State,
}

/// What is known of a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It is one of this registry, and these see it.
    Present(Visibility),
    /// This registry has none of that name.
    Absent,
    /// It belongs to another registry.
    Foreign,
}

impl<'a> Target<'a> {
    /// A repository of this registry, as its record says.
    #[must_use]
    pub fn own(name: &'a RepositoryName, record: Option<&RepositoryRecord>) -> Self {
        Self { name, state: State::of(record) }
    }

    /// A repository of another registry, as [`Names::foreign`](crate::auth::Names::foreign) says.
    #[must_use]
    pub fn foreign(name: &'a RepositoryName) -> Self {
        Self { name, state: State::Foreign }
    }
}

impl State {
    /// What a record says of a repository of this registry.
    #[must_use]
    pub fn of(record: Option<&RepositoryRecord>) -> Self {
        record.map_or(Self::Absent, |record| Self::Present(record.visibility))
    }
}

/// Who creates repositories by their first push.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CreateRule {
    /// Who may push there: users in the namespaces that they own, and others where they have been given a role. Users may
    /// make further namespaces, too.
    Users,
    /// Administrators alone.
    Admins,
}

impl std::str::FromStr for CreateRule {
    type Err = WordError;

    /// Reads the setting `auth.accounts.create`.
    fn from_str(text: &str) -> Result<Self, WordError> {
        match text {
            "users" => Ok(Self::Users),
            "admins" => Ok(Self::Admins),
            _ => Err(WordError::new(text, ["users", "admins"])),
        }
    }
}

/// What the operator says about all repositories.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// Who creates repositories.
    pub create: CreateRule,
    /// Whether clients that have not signed in may pull from other registries at all; how much of that they get is said by
    /// [`AnonymousBound`](crate::auth::AnonymousBound).
    pub anonymous_foreign: bool,
}

impl Rules {
    /// Reads them. The settings know no other word for `create` than those of [`CreateRule`]; one that is not known lets
    /// fewer create.
    #[must_use]
    pub fn read(create: &str, anonymous_foreign: bool) -> Self {
        Self { create: create.parse().unwrap_or(CreateRule::Admins), anonymous_foreign }
    }
}
