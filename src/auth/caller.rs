//! The caller of a request.

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;

use super::Scopes;
use super::accounts::Bounded;
use crate::oci::{RepositoryName, Visibility};

/// Who sends a request, and what its token is good for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Caller {
    /// Who it is.
    pub kind: CallerKind,
    /// What its token is good for; none: it sends no token.
    pub scopes: Option<Arc<Scopes>>,
    /// What it may do as of the beginning of its request; none: its sign-in method knows no rights by repository, or it is
    /// anonymous.
    pub rights: Option<Arc<Bounded>>,
    /// The address of its client, as far as it is known.
    pub address: Option<IpAddr>,
}

/// Who sends a request.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum CallerKind {
    /// A client that has not signed in.
    #[default]
    Anonymous,
    /// A user.
    User {
        /// The name.
        name: String,
        /// The number of the account; none where users have nothing but names, as in a password file.
        id: Option<i64>,
    },
    /// A robot.
    Robot {
        /// The name.
        name: String,
        /// The number of the account.
        id: i64,
    },
    /// A workload that signed in by a token of its own issuer.
    Workload {
        /// What people know it by, such as `repo:acme/app`.
        name: String,
        /// What no other workload has: the issuer, and what it calls the workload for good.
        identity: String,
        /// The ids of the rules that let it in.
        rules: Vec<String>,
    },
}

impl Caller {
    /// A client that has not signed in, and sends no token.
    #[must_use]
    pub fn anonymous() -> Self {
        Self::default()
    }

    /// A user who has nothing but a name, and has signed in by name and password.
    #[must_use]
    pub fn user(name: impl Into<String>) -> Self {
        CallerKind::User { name: name.into(), id: None }.into()
    }

    /// Returns the name of a caller that has one.
    #[must_use]
    pub fn subject(&self) -> Option<&str> {
        match &self.kind {
            CallerKind::Anonymous => None,
            CallerKind::User { name, .. }
            | CallerKind::Robot { name, .. }
            | CallerKind::Workload { name, .. } => Some(name),
        }
    }

    /// Returns the name that events have: that of a workload, which its issuer chose, cannot be taken for an account's.
    #[must_use]
    pub fn audited_name(&self) -> Option<Cow<'_, str>> {
        match &self.kind {
            CallerKind::Workload { name, .. } => Some(Cow::Owned(format!("oidc:{name}"))),
            _ => self.subject().map(Cow::Borrowed),
        }
    }

    /// Returns the text by which it owns what it began, such as an upload session. It stays the same as long as the account
    /// does, and no other caller has it: neither one of another kind nor a later account of the same name. It is stored;
    /// users without an account have their names, as in earlier versions, and anonymous clients the empty text.
    #[must_use]
    pub fn owner_key(&self) -> Cow<'_, str> {
        match &self.kind {
            CallerKind::Anonymous => Cow::Borrowed(""),
            // The other keys have a colon.
            CallerKind::User { name, id: None } if !name.is_empty() && !name.contains(':') => {
                Cow::Borrowed(name)
            }
            CallerKind::User { name, id: None } => Cow::Owned(format!("name:{name}")),
            CallerKind::User { id: Some(id), .. } => Cow::Owned(format!("user:{id}")),
            CallerKind::Robot { id, .. } => Cow::Owned(format!("robot:{id}")),
            CallerKind::Workload { identity, .. } => Cow::Owned(format!("workload:{identity}")),
        }
    }

    /// Returns the text by which rate limits count it. Workloads that the same rules let in are counted together: the
    /// author of a job can have the issuer give each run another subject.
    #[must_use]
    pub fn limit_key(&self) -> Cow<'_, str> {
        match &self.kind {
            CallerKind::Workload { rules, .. } => Cow::Owned(format!("rules:{}", rules.join(","))),
            _ => self.owner_key(),
        }
    }

    /// Tells whether it may learn that there is a repository of that name which those may see. Without rights by repository
    /// it knows of public ones.
    #[must_use]
    pub fn may_know(&self, name: &RepositoryName, visibility: Visibility) -> bool {
        match &self.rights {
            Some(rights) => rights.may_know(name, visibility),
            None => visibility.is_public(),
        }
    }

    /// Tells whether it has not signed in.
    #[must_use]
    pub fn is_anonymous(&self) -> bool {
        self.subject().is_none()
    }
}

impl From<CallerKind> for Caller {
    /// One of that kind that sends no token.
    fn from(kind: CallerKind) -> Self {
        Self { kind, ..Self::default() }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[test]
    fn workloads_of_the_same_rules_are_limited_together() {
        let workload = |subject: &str, rules: &[&str]| {
            let (name, identity) = (subject.to_owned(), format!("https://ci.example {subject}"));
            let rules = rules.iter().map(|&rule| rule.to_owned()).collect();
            Caller::from(CallerKind::Workload { name, identity, rules })
        };
        let key = |caller: &Caller| caller.limit_key().into_owned();
        let one = workload("repo:acme/app:ref:a", &["1", "2"]);
        assert_eq!(key(&one), key(&workload("repo:acme/app:ref:b", &["1", "2"])));
        assert_ne!(one.owner_key(), workload("repo:acme/app:ref:b", &["1", "2"]).owner_key());
        assert_ne!(key(&one), key(&workload("repo:acme/app:ref:a", &["1"])));
        assert_eq!(Caller::user("anna").limit_key(), "anna");
    }

    #[test]
    fn no_two_callers_own_the_same() {
        let user = |name: &str, id| CallerKind::User { name: name.to_owned(), id };
        let robot = |name: &str, id| CallerKind::Robot { name: name.to_owned(), id };
        let workload = |name: &str, identity: &str| {
            let (name, identity) = (name.to_owned(), identity.to_owned());
            CallerKind::Workload { name, identity, rules: Vec::new() }
        };
        let mut seen = HashMap::new();
        for (kind, key) in [
            (CallerKind::Anonymous, ""),
            // As earlier versions stored them.
            (user("anna", None), "anna"),
            (user("user", None), "user"),
            (user("", None), "name:"),
            (user("user:7", None), "name:user:7"),
            (user("name:anna", None), "name:name:anna"),
            (user("anna", Some(7)), "user:7"),
            (user("anna", Some(-7)), "user:-7"),
            (robot("anna", 7), "robot:7"),
            (workload("anna", "7"), "workload:7"),
            (
                workload("anna", "https://issuer.example#anna"),
                "workload:https://issuer.example#anna",
            ),
        ] {
            let caller = Caller::from(kind.clone());
            assert_eq!(caller.owner_key(), key);
            assert_eq!(caller.subject().is_none(), kind == CallerKind::Anonymous);
            assert_eq!(seen.insert(key, kind.clone()), None, "{kind:?}");
        }
        let [one, later] = [Some(7), Some(8)].map(|id| Caller::from(user("anna", id)));
        assert_ne!(one.owner_key(), later.owner_key(), "a later account of the same name");
        assert_eq!(one.owner_key(), Caller::from(user("renamed", Some(7))).owner_key());
    }
}
