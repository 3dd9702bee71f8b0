//! What an access token is good for: permissions on patterns, and acts that are about no repository.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use super::role::MACHINE;
use super::{Pattern, PatternError, Permission, WordError};
use crate::oci::RepositoryName;

/// What one may do with the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ServerAct {
    /// Administrate: users, teams, quotas and everything else that is changed over the management API.
    Admin,
    /// Read the metrics.
    Metrics,
    /// Read the audit log.
    Audit,
    /// Make and revoke access tokens.
    Tokens,
    /// Make namespaces.
    Namespaces,
}

impl ServerAct {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Admin, Self::Metrics, Self::Audit, Self::Tokens, Self::Namespaces];

    /// Returns the act as scopes name it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Metrics => "metrics",
            Self::Audit => "audit",
            Self::Tokens => "tokens",
            Self::Namespaces => "namespaces",
        }
    }
}

/// One scope of an access token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// These permissions on the repositories that a pattern matches: `acme/*:pull,push`.
    On(Pattern, BTreeSet<Permission>),
    /// An act that is about no repository: `metrics`.
    Server(ServerAct),
}

/// Why a text is no scope.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ScopeError {
    /// It has no colon, and is no act.
    #[error("cannot use the scope: {0}; for repositories write PATTERN:pull,push")]
    Act(WordError),
    /// What stands before the last colon is no pattern.
    #[error("cannot use the scope: {0}")]
    Pattern(PatternError),
    /// What stands after it are no permissions.
    #[error("cannot use the scope: the permission {0}")]
    Permission(WordError),
    /// There are more than [`TokenScopes::MOST`].
    #[error("a token has at most 64 scopes; make a second one for the others")]
    TooMany,
    /// There is none.
    #[error("a token needs at least one scope, such as PATTERN:pull")]
    None,
}

impl FromStr for Scope {
    type Err = ScopeError;

    /// Reads a scope. The last colon ends the pattern, which may have one itself.
    fn from_str(text: &str) -> Result<Self, ScopeError> {
        let Some((pattern, permissions)) = text.rsplit_once(':') else {
            let act = ServerAct::ALL.into_iter().find(|act| act.as_str() == text);
            let unknown =
                || ScopeError::Act(WordError::new(text, ServerAct::ALL.map(ServerAct::as_str)));
            return act.map(Self::Server).ok_or_else(unknown);
        };
        let pattern = pattern.parse().map_err(ScopeError::Pattern)?;
        let permissions = permissions.split(',').map(str::parse);
        Ok(Self::On(
            pattern,
            permissions.collect::<Result<_, _>>().map_err(ScopeError::Permission)?,
        ))
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::On(pattern, permissions) => {
                let words: Vec<_> = permissions.iter().map(|it| it.as_str()).collect();
                write!(formatter, "{pattern}:{}", words.join(","))
            }
            Self::Server(act) => formatter.write_str(act.as_str()),
        }
    }
}

/// The scopes of an access token: at least one. Stored as their texts, which are read again at each use, so a scope that
/// an older version does not know refuses the token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenScopes(Vec<Scope>);

impl TokenScopes {
    /// How many one token has at the most.
    pub const MOST: usize = 64;

    /// Reads them.
    ///
    /// # Errors
    /// When one is malformed, and when there is none, or there are too many.
    pub fn read<'a>(texts: impl IntoIterator<Item = &'a str>) -> Result<Self, ScopeError> {
        let mut scopes = Vec::new();
        for text in texts {
            if scopes.len() >= Self::MOST {
                return Err(ScopeError::TooMany);
            }
            scopes.push(text.parse()?);
        }
        if scopes.is_empty() { Err(ScopeError::None) } else { Ok(Self(scopes)) }
    }

    /// Returns each of them.
    #[must_use]
    pub fn all(&self) -> &[Scope] {
        &self.0
    }

    /// Tells whether they are good for that on a repository. [`ServerAct::Admin`] includes what is done to a repository over
    /// the management API, and not what is done to its images.
    #[must_use]
    pub fn allow(&self, permission: Permission, name: &RepositoryName) -> bool {
        self.by_admin(permission) || self.on(permission, |pattern| pattern.matches(name))
    }

    /// Tells whether they are good for anything on a repository.
    #[must_use]
    pub fn reach(&self, name: &RepositoryName) -> bool {
        Permission::ALL.into_iter().any(|permission| self.on(permission, |it| it.matches(name)))
            || self.allow_act(ServerAct::Admin)
    }

    /// Tells whether they are good for that on all repositories that a pattern matches.
    #[must_use]
    pub fn cover(&self, permission: Permission, pattern: &Pattern) -> bool {
        self.by_admin(permission) || self.on(permission, |own| own.covers(pattern))
    }

    /// Tells whether they are good for an act that is about no repository; [`ServerAct::Admin`] includes the others.
    #[must_use]
    pub fn allow_act(&self, act: ServerAct) -> bool {
        let is_good = |scope: &Scope| matches!(scope, Scope::Server(it) if *it == act || *it == ServerAct::Admin);
        self.0.iter().any(is_good)
    }

    /// Returns the first scope that is of no use to a robot or a workload, which administers nothing and owns no repository.
    #[must_use]
    pub fn beyond_machines(&self) -> Option<&Scope> {
        self.0.iter().find(|scope| match scope {
            Scope::On(_, permissions) => {
                permissions.iter().any(|permission| !MACHINE.may(*permission))
            }
            Scope::Server(_) => true,
        })
    }

    fn by_admin(&self, permission: Permission) -> bool {
        match permission {
            Permission::Pull | Permission::Push | Permission::Delete => false,
            Permission::Visibility
            | Permission::Retention
            | Permission::Members
            | Permission::Remove => self.allow_act(ServerAct::Admin),
        }
    }

    fn on(&self, permission: Permission, is_good: impl Fn(&Pattern) -> bool) -> bool {
        self.0.iter().any(|scope| match scope {
            Scope::On(pattern, permissions) => {
                permissions.contains(&permission) && is_good(pattern)
            }
            Scope::Server(_) => false,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::oci::hostile;

    #[test]
    fn a_scope_is_split_at_the_last_colon() {
        for (text, canonical) in [
            ("acme/*:pull,push", "acme/*:pull,push"),
            ("acme/**:push,pull,push", "acme/**:pull,push"),
            ("host:5000/a/**:pull,push", "host:5000/a/**:pull,push"),
            ("example.com/**:pull", "example.com/**:pull"),
            ("**:delete,visibility,retention,members", "**:delete,visibility,retention,members"),
            ("admin", "admin"),
            ("metrics", "metrics"),
        ] {
            assert_eq!(text.parse::<Scope>().unwrap().to_string(), canonical);
        }
        let port = "host:5000/a/**:pull".parse::<Scope>().unwrap();
        assert!(matches!(port, Scope::On(pattern, _) if pattern.to_string() == "host:5000/a/**"));
    }

    #[test]
    fn what_is_no_scope_is_refused_and_the_refusal_is_short() {
        for text in ["", "acme/*", "Admin", "admin ", "pull", "repository", "*"] {
            assert!(matches!(text.parse::<Scope>(), Err(ScopeError::Act(_))), "{text}");
        }
        for text in [
            ":pull",
            "a b:pull",
            "acme/*/:pull",
            "repository:acme/a:pull",
            "acme:5000:pull",
            "a:pull:",
            "\u{ff0a}:pull",
        ] {
            assert!(matches!(text.parse::<Scope>(), Err(ScopeError::Pattern(_))), "{text}");
        }
        for text in
            ["a:", "a:*", "a:pull,", "a:,pull", "a:Pull", "a:pull, push", "a:admin", "host:5000/a"]
        {
            assert!(matches!(text.parse::<Scope>(), Err(ScopeError::Permission(_))), "{text}");
        }
        for text in [
            "x".repeat(100_000),
            format!("a:{}", "x".repeat(100_000)),
            format!("{}:pull", "x".repeat(100_000)),
        ] {
            assert!(text.parse::<Scope>().unwrap_err().to_string().len() < 400);
        }
        assert_eq!(TokenScopes::read([]), Err(ScopeError::None));
        assert_eq!(TokenScopes::read(["a:pull"; 65]), Err(ScopeError::TooMany));
        assert!(TokenScopes::read(["a:pull"; 64]).is_ok());
        assert!(TokenScopes::read(["a:pull", "a:fly"]).is_err());
    }

    #[test]
    fn scopes_are_good_for_what_they_say() {
        let scopes = |texts: &[&str]| TokenScopes::read(texts.iter().copied()).unwrap();
        let name = |text: &str| text.parse::<RepositoryName>().unwrap();
        let push = scopes(&["acme/*:push", "acme/x:delete"]);
        assert!(
            push.allow(Permission::Push, &name("acme/x"))
                && !push.allow(Permission::Pull, &name("acme/x"))
        );
        assert!(
            push.allow(Permission::Delete, &name("acme/x"))
                && !push.allow(Permission::Delete, &name("acme/y"))
        );
        assert!(
            push.reach(&name("acme/y"))
                && !push.reach(&name("acme"))
                && !push.reach(&name("acme/a/b"))
        );
        assert!(ServerAct::ALL.into_iter().all(|act| !push.allow_act(act)));
        let admin = scopes(&["admin"]);
        assert!(ServerAct::ALL.into_iter().all(|act| admin.allow_act(act)));
        assert!(Permission::ALL.into_iter().skip(3).all(|it| admin.allow(it, &name("a/b"))));
        assert!(Permission::ALL.into_iter().take(3).all(|it| !admin.allow(it, &name("a/b"))));
        let metrics = scopes(&["metrics"]);
        assert!(
            metrics.allow_act(ServerAct::Metrics)
                && !metrics.allow_act(ServerAct::Admin)
                && !metrics.reach(&name("a"))
        );
    }

    proptest! {
        #[test]
        fn what_is_read_is_read_again(
            text in hostile::texts("[a-z]{1,4}(:[0-9]{1,4})?(/([a-z]{1,4}|\\*)){0,2}(/\\*\\*)?(:(pull|push|delete)(,(pull|members)){0,2})?")
        ) {
            if let Ok(scope) = text.parse::<Scope>() {
                prop_assert_eq!(scope.to_string().parse::<Scope>(), Ok(scope));
            }
        }
    }
}
