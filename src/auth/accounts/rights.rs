//! What a holder of rights may do now.

use super::super::{Decision, names};
use super::role::MACHINE;
use super::{CreateRule, Namespace, Pattern, Permission, Role, Rules, ServerAct, State, Target};
use crate::oci::{RepositoryName, Visibility};

/// A role in the repositories that a pattern matches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// Which role.
    pub role: Role,
    /// In which repositories.
    pub pattern: Pattern,
}

/// What a user, a robot, a workload or an anonymous client may do, as it is at this moment: made for one request, and
/// never stored. Grants to the teams of a user are among that user's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rights {
    holder: Holder,
    is_admin: bool,
    namespaces: Vec<(Namespace, Role)>,
    grants: Vec<Grant>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Holder {
    Anonymous,
    User,
    /// A robot or a workload: it has no say in who has which role, and makes no tokens.
    Machine,
}

impl Rights {
    /// Those of a client that has not signed in.
    #[must_use]
    pub fn anonymous() -> Self {
        let (namespaces, grants) = (Vec::new(), Vec::new());
        Self { holder: Holder::Anonymous, is_admin: false, namespaces, grants }
    }

    /// Those of a user who owns these namespaces, and was given these roles. An administrator owns everything.
    #[must_use]
    pub fn user(is_admin: bool, owned: Vec<Namespace>, grants: Vec<Grant>) -> Self {
        let namespaces = owned.into_iter().map(|namespace| (namespace, Role::Owner)).collect();
        Self { holder: Holder::User, is_admin, namespaces, grants }
    }

    /// Those of a robot: in its namespace it is maintainer, elsewhere what it was given, and owner nowhere. Its token's
    /// scopes and the rights of who made it are bounds beside (see [`Bounded`](super::Bounded)).
    #[must_use]
    pub fn robot(namespace: Namespace, grants: Vec<Grant>) -> Self {
        let namespaces = vec![(namespace, MACHINE)];
        Self { namespaces, ..Self::workload(grants) }
    }

    /// Those of a workload, by the rules of the settings that its claims meet; owner nowhere.
    #[must_use]
    pub fn workload(mut grants: Vec<Grant>) -> Self {
        for grant in &mut grants {
            grant.role = grant.role.min(MACHINE);
        }
        Self { holder: Holder::Machine, is_admin: false, namespaces: Vec::new(), grants }
    }

    /// Tells whether it is an administrator.
    #[must_use]
    pub fn is_admin(&self) -> bool {
        self.is_admin
    }

    /// Tells whether it has signed in.
    #[must_use]
    pub fn is_signed_in(&self) -> bool {
        match self.holder {
            Holder::Anonymous => false,
            Holder::User | Holder::Machine => true,
        }
    }

    /// Returns the namespaces in which it has a role throughout, for queries that list.
    #[must_use]
    pub fn namespaces(&self) -> &[(Namespace, Role)] {
        &self.namespaces
    }

    /// Returns the other roles that it has, for queries that list.
    #[must_use]
    pub fn grants(&self) -> &[Grant] {
        &self.grants
    }

    /// Returns what it is in a repository of this registry, whether there is one or not.
    #[must_use]
    pub fn role(&self, name: &RepositoryName) -> Option<Role> {
        if self.is_admin {
            return Some(Role::Owner);
        }
        let namespaces = self.namespaces.iter().filter(|(namespace, _)| namespace.contains(name));
        let grants = self.grants.iter().filter(|grant| grant.pattern.matches(name));
        namespaces.map(|(_, role)| *role).chain(grants.map(|grant| grant.role)).max()
    }

    /// Tells whether it may learn of a repository of that visibility.
    #[must_use]
    pub fn may_know(&self, name: &RepositoryName, visibility: Visibility) -> bool {
        match visibility {
            Visibility::Public => true,
            Visibility::Internal if self.is_signed_in() => true,
            Visibility::Internal | Visibility::Private => self.role(name).is_some(),
        }
    }

    /// Decides about an act on a repository (DESIGN.md, "Accounts"). Who may neither read nor create it gets the same
    /// answer whether it is there or not.
    #[must_use]
    pub fn decide(&self, permission: Permission, target: &Target<'_>, rules: Rules) -> Decision {
        let name = target.name;
        let role = self.role(name);
        let may_see = match target.state {
            State::Foreign => return self.decide_on_foreign(permission, name, rules),
            State::Present(visibility) => self.may_know(name, visibility),
            State::Absent => role.is_some(),
        };
        let may = match permission {
            Permission::Pull => may_see,
            _ => role.is_some_and(|role| role.may(permission)),
        };
        let would_create = permission == Permission::Push && target.state == State::Absent;
        if may && would_create && !self.is_admin && rules.create == CreateRule::Admins {
            return Decision::Denied(format!(
                "cannot push to `{name}`: it is not there, and only administrators create repositories; ask one"
            ));
        }
        if may {
            return Decision::Allow;
        }
        if !self.is_signed_in() {
            return Decision::Challenge;
        }
        if !may_see {
            return Decision::Hidden;
        }
        let (act, needed) = (permission.act(), Role::needed(permission));
        let namespace = Namespace::of(name);
        Decision::Denied(format!(
            "cannot {act} `{name}`: that needs the role {needed} there; ask the owner of `{namespace}`"
        ))
    }

    fn decide_on_foreign(
        &self,
        permission: Permission,
        name: &RepositoryName,
        rules: Rules,
    ) -> Decision {
        match permission {
            Permission::Pull if self.is_signed_in() || rules.anonymous_foreign => Decision::Allow,
            _ if !self.is_signed_in() => Decision::Challenge,
            _ => Decision::Denied(names::not_ours(name, Namespace::of(name).as_str())),
        }
    }

    /// Tells whether it may do something that is about no repository.
    #[must_use]
    pub fn may(&self, act: ServerAct, rules: Rules) -> bool {
        let is_user = self.holder == Holder::User;
        match act {
            ServerAct::Admin | ServerAct::Metrics | ServerAct::Audit => self.is_admin,
            ServerAct::Tokens => is_user,
            ServerAct::Namespaces => {
                self.is_admin || (is_user && rules.create == CreateRule::Users)
            }
        }
    }

    /// Tells whether it may do that with every repository that a pattern matches, as far as that can be said of repositories
    /// that are not there yet. To pull is no more than each user may: what is not seen is refused when it is requested.
    #[must_use]
    pub fn cover(&self, permission: Permission, pattern: &Pattern) -> bool {
        let is_pull = permission == Permission::Pull && self.is_signed_in();
        let by_namespace = |(namespace, role): &(Namespace, Role)| {
            role.may(permission) && pattern.is_within(namespace)
        };
        let by_grant = |grant: &Grant| grant.role.may(permission) && grant.pattern.covers(pattern);
        is_pull
            || self.is_admin
            || self.namespaces.iter().any(by_namespace)
            || self.grants.iter().any(by_grant)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grant(role: Role, pattern: &str) -> Grant {
        Grant { role, pattern: pattern.parse().unwrap() }
    }

    fn role(rights: &Rights, name: &str) -> Option<Role> {
        rights.role(&name.parse().unwrap())
    }

    #[test]
    fn the_greatest_of_several_roles_counts() {
        let grants = vec![
            grant(Role::Writer, "acme/**"),
            grant(Role::Reader, "acme/app"),
            grant(Role::Maintainer, "*/x"),
        ];
        let anna = Rights::user(false, vec!["anna".parse().unwrap()], grants);
        for (name, expected) in [
            ("anna", Some(Role::Owner)),
            ("anna/a/b", Some(Role::Owner)),
            ("anna2/a", None),
            ("acme/app", Some(Role::Writer)),
            ("acme/x", Some(Role::Maintainer)),
            ("acme", None),
            ("other/x", Some(Role::Maintainer)),
            ("other/y", None),
        ] {
            assert_eq!(role(&anna, name), expected, "{name}");
        }
        assert_eq!(role(&Rights::user(true, vec![], vec![]), "any/thing"), Some(Role::Owner));
        assert_eq!(role(&Rights::anonymous(), "anna"), None);
    }

    #[test]
    fn a_machine_owns_nothing_and_makes_no_tokens() {
        let grants = || vec![grant(Role::Owner, "other/**")];
        let rules = Rules { create: CreateRule::Users, anonymous_foreign: false };
        for machine in
            [Rights::robot("acme".parse().unwrap(), grants()), Rights::workload(grants())]
        {
            assert_eq!(role(&machine, "other/x"), Some(Role::Maintainer));
            assert!(!machine.cover(Permission::Members, &"other/**".parse().unwrap()));
            for act in ServerAct::ALL {
                assert!(!machine.may(act, rules), "{act:?}");
            }
        }
        assert_eq!(
            role(&Rights::robot("acme".parse().unwrap(), vec![]), "acme/x"),
            Some(Role::Maintainer)
        );
        assert_eq!(role(&Rights::robot("acme".parse().unwrap(), vec![]), "acme2/x"), None);
    }

    #[test]
    fn acts_that_are_about_no_repository_have_their_holders() {
        let admin = Rights::user(true, vec![], vec![]);
        let user = Rights::user(false, vec![], vec![grant(Role::Owner, "**")]);
        let may = |rights: &Rights, create| {
            let rules = Rules { create, anonymous_foreign: true };
            ServerAct::ALL.map(|act| rights.may(act, rules))
        };
        assert_eq!(may(&admin, CreateRule::Admins), [true; 5]);
        // Administration, metrics, audit, tokens, namespaces.
        assert_eq!(may(&user, CreateRule::Users), [false, false, false, true, true]);
        assert_eq!(may(&user, CreateRule::Admins), [false, false, false, true, false]);
        assert_eq!(may(&Rights::anonymous(), CreateRule::Users), [false; 5]);
    }

    #[test]
    fn rights_cover_patterns_of_namespaces_and_of_grants() {
        let anna =
            Rights::user(false, vec!["anna".parse().unwrap()], vec![grant(Role::Writer, "acme/*")]);
        let cover = |permission, pattern: &str| anna.cover(permission, &pattern.parse().unwrap());
        for pattern in ["anna", "anna/**", "anna/*/x"] {
            assert!(Permission::ALL.into_iter().all(|it| cover(it, pattern)), "{pattern}");
        }
        assert!(cover(Permission::Push, "acme/app") && cover(Permission::Push, "acme/*"));
        assert!(!cover(Permission::Push, "acme/**") && !cover(Permission::Delete, "acme/app"));
        assert!(!cover(Permission::Push, "**") && !cover(Permission::Push, "*/**"));
        assert!(cover(Permission::Pull, "**"));
        assert!(!Rights::anonymous().cover(Permission::Pull, &"a".parse().unwrap()));
        assert!(
            Rights::user(true, vec![], vec![]).cover(Permission::Members, &"**".parse().unwrap())
        );
    }
}
