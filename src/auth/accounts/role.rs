//! Roles, and what each of them may do.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use super::super::Action;

/// The role of a caller in a repository. Each role may do what the ones before it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Role {
    /// May pull.
    Reader,
    /// May push, too, and so create a repository.
    Writer,
    /// May delete, and say who sees it and how long images stay, too.
    Maintainer,
    /// May say who has which role, and remove the repository, too.
    Owner,
}

/// The most that a robot or a workload is in any repository.
pub(super) const MACHINE: Role = Role::Maintainer;

/// What one may do with a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Permission {
    /// Read it.
    Pull,
    /// Write to it.
    Push,
    /// Delete from it.
    Delete,
    /// Say who sees it.
    Visibility,
    /// Say how long its images stay.
    Retention,
    /// Say who has which role.
    Members,
    /// Remove it with all that it has.
    Remove,
}

impl Role {
    /// All of them, the one that may do least first.
    pub const ALL: [Self; 4] = [Self::Reader, Self::Writer, Self::Maintainer, Self::Owner];

    /// Tells whether it may do that.
    #[must_use]
    pub fn may(self, permission: Permission) -> bool {
        self >= Self::needed(permission)
    }

    /// Returns the first role that may do that.
    #[must_use]
    pub fn needed(permission: Permission) -> Self {
        match permission {
            Permission::Pull => Self::Reader,
            Permission::Push => Self::Writer,
            Permission::Delete | Permission::Visibility | Permission::Retention => Self::Maintainer,
            Permission::Members | Permission::Remove => Self::Owner,
        }
    }

    /// Returns the role as it is written and stored.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Reader => "reader",
            Self::Writer => "writer",
            Self::Maintainer => "maintainer",
            Self::Owner => "owner",
        }
    }
}

impl Permission {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Pull,
        Self::Push,
        Self::Delete,
        Self::Visibility,
        Self::Retention,
        Self::Members,
        Self::Remove,
    ];

    /// Returns the permission as scopes name it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pull => "pull",
            Self::Push => "push",
            Self::Delete => "delete",
            Self::Visibility => "visibility",
            Self::Retention => "retention",
            Self::Members => "members",
            Self::Remove => "remove",
        }
    }

    /// Returns it as part of a sentence that begins with `cannot`, and ends with a repository.
    pub(super) fn act(self) -> &'static str {
        match self {
            Self::Pull => "pull from",
            Self::Push => "push to",
            Self::Delete => "delete from",
            Self::Visibility => "change the visibility of",
            Self::Retention => "change the retention of",
            Self::Members => "change the members of",
            Self::Remove => "remove",
        }
    }
}

impl From<Action> for Permission {
    fn from(action: Action) -> Self {
        match action {
            Action::Pull => Self::Pull,
            Action::Push => Self::Push,
            Action::Delete => Self::Delete,
            Action::Visibility => Self::Visibility,
            Action::Remove => Self::Remove,
        }
    }
}

/// The text is none of the words that are expected.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{text:?} is not known: use one of {known}")]
pub struct WordError {
    /// As it came.
    pub text: String,
    /// What there is.
    pub known: String,
}

impl WordError {
    /// Refuses a text where one of these words is expected.
    pub(super) fn new<'a>(text: &str, known: impl IntoIterator<Item = &'a str>) -> Self {
        // The text may be anything, and as long.
        let text = text.chars().take(64).collect();
        Self { text, known: known.into_iter().collect::<Vec<_>>().join(", ") }
    }
}

impl FromStr for Role {
    type Err = WordError;

    fn from_str(text: &str) -> Result<Self, WordError> {
        let found = Self::ALL.into_iter().find(|role| role.as_str() == text);
        found.ok_or_else(|| WordError::new(text, Self::ALL.map(Self::as_str)))
    }
}

impl FromStr for Permission {
    type Err = WordError;

    fn from_str(text: &str) -> Result<Self, WordError> {
        let found = Self::ALL.into_iter().find(|permission| permission.as_str() == text);
        found.ok_or_else(|| WordError::new(text, Self::ALL.map(Self::as_str)))
    }
}

impl fmt::Display for Role {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl fmt::Display for Permission {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_role_may_do_what_the_one_before_may_and_more() {
        use Permission::{Delete, Members, Pull, Push, Remove, Retention, Visibility};
        for (role, may) in [
            (Role::Reader, &[Pull][..]),
            (Role::Writer, &[Pull, Push]),
            (Role::Maintainer, &[Pull, Push, Delete, Visibility, Retention]),
            (Role::Owner, &[Pull, Push, Delete, Visibility, Retention, Members, Remove]),
        ] {
            for permission in Permission::ALL {
                assert_eq!(role.may(permission), may.contains(&permission), "{role} {permission}");
            }
        }
    }

    #[test]
    fn words_are_read_as_they_are_written_and_no_others() {
        for role in Role::ALL {
            assert_eq!(role.to_string().parse(), Ok(role));
        }
        for permission in Permission::ALL {
            assert_eq!(permission.to_string().parse(), Ok(permission));
        }
        for text in ["", "Reader", "reader ", "admin", "*", "\u{455}", &"x".repeat(9999)] {
            assert!(text.parse::<Role>().unwrap_err().to_string().len() < 300);
            assert!(text.parse::<Permission>().is_err());
        }
    }
}
