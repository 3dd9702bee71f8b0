//! Rights within bounds: what a token may do is never more than its scopes, its owner and its maker may do now.

use std::time::SystemTime;

use thiserror::Error;

use super::super::Decision;
use super::{
    CreateRule, Pattern, Permission, Rights, Rules, Scope, ServerAct, State, Target, TokenScopes,
};
use crate::oci::{RepositoryName, Visibility};

/// What rights are bounded by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Bound {
    /// The scopes of the token that is used.
    Scopes(TokenScopes),
    /// The rights that its maker has now.
    Maker(Rights),
}

/// The rights of a caller, within all bounds of the token that it uses; without a token there are none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bounded {
    rights: Rights,
    bounds: Vec<Bound>,
    ends: Option<SystemTime>,
}

/// Why a caller may not make a token.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TooWide {
    /// It makes none: it is a robot, a workload or anonymous, or its own token is not good for that.
    #[error(
        "cannot make a token: robots make none, and a token only with the scope `tokens` or `admin`; sign in as a user"
    )]
    Tokens,
    /// One of the scopes is more than it may do itself.
    #[error(
        "cannot make a token with the scope `{0}`: it is more than you, or the access token that you use, may do; leave it out, sign in with your \
         password, or ask who may"
    )]
    Scope(Scope),
}

impl From<Rights> for Bounded {
    fn from(rights: Rights) -> Self {
        Self { rights, bounds: Vec::new(), ends: None }
    }
}

impl Bounded {
    /// Adds a bound.
    #[must_use]
    pub fn within(mut self, bound: Bound) -> Self {
        self.bounds.push(bound);
        self
    }

    /// Bounds the time: the token that is used ends then.
    #[must_use]
    pub fn ending(self, ends: SystemTime) -> Self {
        Self { ends: Some(self.ends.map_or(ends, |before| before.min(ends))), ..self }
    }

    /// Returns when the token that is used ends, if ever.
    #[must_use]
    pub fn ends(&self) -> Option<SystemTime> {
        self.ends
    }

    /// Returns the rights without their bounds.
    #[must_use]
    pub fn rights(&self) -> &Rights {
        &self.rights
    }

    /// Returns the bounds.
    #[must_use]
    pub fn bounds(&self) -> &[Bound] {
        &self.bounds
    }

    /// Decides about an act on a repository. A token learns of no repository of which its owner, its maker or its scopes
    /// know nothing: that is hidden, whatever the others may do.
    #[must_use]
    pub fn decide(&self, permission: Permission, target: &Target<'_>, rules: Rules) -> Decision {
        let mut answer = self.rights.decide(permission, target, rules);
        let mut is_lacking = false;
        for bound in &self.bounds {
            match bound {
                Bound::Scopes(scopes) if !scopes.reach(target.name) => return Decision::Hidden,
                Bound::Scopes(scopes) => is_lacking |= !scopes.allow(permission, target.name),
                Bound::Maker(rights) => match rights.decide(permission, target, rules) {
                    Decision::Hidden | Decision::Challenge => return Decision::Hidden,
                    refusal @ Decision::Denied(_) if answer == Decision::Allow => answer = refusal,
                    Decision::Allow | Decision::Denied(_) => {}
                },
            }
        }
        match answer {
            Decision::Allow if is_lacking => Decision::Challenge,
            answer => answer,
        }
    }

    /// Tells whether the caller may pull from a repository that is there.
    #[must_use]
    pub fn may_pull(&self, name: &RepositoryName, visibility: Visibility) -> bool {
        // No rule of the operator is about that.
        let rules = Rules { create: CreateRule::Admins, anonymous_foreign: false };
        let target = Target { name, state: State::Present(visibility) };
        self.decide(Permission::Pull, &target, rules) == Decision::Allow
    }

    /// Tells whether the caller may learn of a repository of that visibility, so that it need not be as if absent.
    #[must_use]
    pub fn may_know(&self, name: &RepositoryName, visibility: Visibility) -> bool {
        let allows = |bound: &Bound| match bound {
            Bound::Scopes(scopes) => scopes.reach(name),
            Bound::Maker(rights) => rights.may_know(name, visibility),
        };
        self.rights.may_know(name, visibility) && self.bounds.iter().all(allows)
    }

    /// Tells whether the caller may do something that is about no repository.
    #[must_use]
    pub fn may(&self, act: ServerAct, rules: Rules) -> bool {
        let allows = |bound: &Bound| match bound {
            Bound::Scopes(scopes) => scopes.allow_act(act),
            Bound::Maker(rights) => rights.may(act, rules),
        };
        self.rights.may(act, rules) && self.bounds.iter().all(allows)
    }

    /// Tells whether the caller may do that with every repository that a pattern matches (see [`Rights::cover`]).
    #[must_use]
    pub fn cover(&self, permission: Permission, pattern: &Pattern) -> bool {
        let covers = |bound: &Bound| match bound {
            Bound::Scopes(scopes) => scopes.cover(permission, pattern),
            Bound::Maker(rights) => rights.cover(permission, pattern),
        };
        self.rights.cover(permission, pattern) && self.bounds.iter().all(covers)
    }

    /// Looks whether the caller may make or edit a token with these scopes: never one that is wider than itself.
    ///
    /// # Errors
    /// Which scope is too wide, if it may make tokens at all.
    pub fn may_make(&self, scopes: &TokenScopes, rules: Rules) -> Result<(), TooWide> {
        if !self.may(ServerAct::Tokens, rules) {
            return Err(TooWide::Tokens);
        }
        let is_within = |scope: &&Scope| match scope {
            Scope::Server(act) => self.may(*act, rules),
            Scope::On(pattern, permissions) => {
                permissions.iter().all(|permission| self.cover(*permission, pattern))
            }
        };
        match scopes.all().iter().find(|scope| !is_within(scope)) {
            Some(scope) => Err(TooWide::Scope(scope.clone())),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Grant, Role};
    use super::*;

    const RULES: Rules = Rules { create: CreateRule::Users, anonymous_foreign: false };

    fn scopes(texts: &[&str]) -> TokenScopes {
        TokenScopes::read(texts.iter().copied()).unwrap()
    }

    fn user(role: Role, pattern: &str) -> Rights {
        Rights::user(false, vec![], vec![Grant { role, pattern: pattern.parse().unwrap() }])
    }

    fn robot() -> Rights {
        Rights::robot("acme".parse().unwrap(), vec![])
    }

    /// Answers to pull, push and delete for a public, an internal, a private and an absent repository.
    fn answers(bounded: &Bounded) -> [String; 4] {
        let name = "acme/app".parse().unwrap();
        let present =
            [Visibility::Public, Visibility::Internal, Visibility::Private].map(State::Present);
        let [public, internal, private] = present;
        [public, internal, private, State::Absent].map(|state| {
            let decide =
                |permission| bounded.decide(permission, &Target { name: &name, state }, RULES);
            let letter = |permission| match decide(permission) {
                Decision::Allow => 'A',
                Decision::Challenge => 'C',
                Decision::Hidden => 'H',
                Decision::Denied(_) => 'D',
            };
            [Permission::Pull, Permission::Push, Permission::Delete]
                .map(letter)
                .into_iter()
                .collect()
        })
    }

    #[test]
    fn a_token_never_does_more_than_its_scopes() {
        let admin = || Rights::user(true, vec![], vec![]);
        for (texts, expected) in [
            (&["acme/*:pull"][..], ["ACC"; 4]),
            (&["acme/*:pull,push"], ["AAC"; 4]),
            (&["acme/*:push"], ["CAC"; 4]),
            (&["acme/*:delete"], ["CCA"; 4]),
            (&["acme/*:pull", "acme/app:delete"], ["ACA"; 4]),
            (&["acme/**:pull,push,delete"], ["AAA"; 4]),
            (&["acme:pull,push,delete"], ["HHH"; 4]),
            (&["acme/*/x:pull", "other/**:push"], ["HHH"; 4]),
            (&["metrics"], ["HHH"; 4]),
            (&["admin"], ["CCC"; 4]),
        ] {
            let token = Bounded::from(admin()).within(Bound::Scopes(scopes(texts)));
            assert_eq!(answers(&token), expected, "{texts:?}");
            let made = Bounded::from(robot())
                .within(Bound::Maker(admin()))
                .within(Bound::Scopes(scopes(texts)));
            assert_eq!(answers(&made), expected, "{texts:?}");
        }
    }

    #[test]
    fn a_robot_never_does_more_than_its_maker_may_now() {
        let all = || Bound::Scopes(scopes(&["**:pull,push,delete"]));
        for (maker, expected) in [
            (user(Role::Owner, "acme/**"), ["AAA", "AAA", "AAA", "AAA"]),
            (user(Role::Writer, "acme/**"), ["AAD", "AAD", "AAD", "AAD"]),
            (user(Role::Reader, "acme/**"), ["ADD", "ADD", "ADD", "ADD"]),
            (user(Role::Owner, "other/**"), ["ADD", "ADD", "HHH", "HHH"]),
            // One who is no more.
            (Rights::anonymous(), ["AHH", "HHH", "HHH", "HHH"]),
        ] {
            let token = Bounded::from(robot()).within(Bound::Maker(maker.clone())).within(all());
            assert_eq!(answers(&token), expected, "{maker:?}");
            let token = Bounded::from(robot()).within(all()).within(Bound::Maker(maker));
            assert_eq!(answers(&token), expected, "the order is the same to it");
        }
    }

    #[test]
    fn a_token_never_does_more_than_its_owner_and_hides_what_he_does_not_see() {
        let token =
            |rights| Bounded::from(rights).within(Bound::Scopes(scopes(&["**:pull,push,delete"])));
        assert_eq!(answers(&token(user(Role::Reader, "acme/*"))), ["ADD"; 4]);
        assert_eq!(answers(&token(user(Role::Owner, "other/*"))), ["ADD", "ADD", "HHH", "HHH"]);
        assert_eq!(answers(&token(user(Role::Writer, "acme/*"))), ["AAD"; 4]);
        // With scopes of another repository, nothing says whether this one is there.
        let narrow = Bounded::from(user(Role::Reader, "acme/*"))
            .within(Bound::Scopes(scopes(&["other/**:pull"])));
        assert_eq!(answers(&narrow), ["HHH"; 4]);
    }

    #[test]
    fn nobody_makes_a_token_that_is_wider_than_itself() {
        let admin = || Bounded::from(Rights::user(true, vec![], vec![]));
        let anna = || {
            Bounded::from(Rights::user(
                false,
                vec!["anna".parse().unwrap()],
                vec![Grant { role: Role::Writer, pattern: "acme/*".parse().unwrap() }],
            ))
        };
        let token = |bounded: Bounded, texts: &[&str]| bounded.within(Bound::Scopes(scopes(texts)));
        for (caller, texts, too_wide) in [
            (admin(), &["admin", "metrics", "**:pull,push,delete,members"][..], None),
            (
                anna(),
                &["anna/**:pull,push,delete,members", "anna:push", "acme/app:pull,push", "tokens"],
                None,
            ),
            (anna(), &["**:pull"], None),
            (anna(), &["acme/app:push", "acme/app:delete"], Some("acme/app:delete")),
            (anna(), &["acme/**:push"], Some("acme/**:push")),
            (anna(), &["**:pull,push"], Some("**:pull,push")),
            (anna(), &["admin"], Some("admin")),
            (anna(), &["metrics"], Some("metrics")),
            (token(anna(), &["tokens", "anna/*:pull"]), &["anna/x:pull"], None),
            (token(anna(), &["tokens", "anna/*:pull"]), &["anna/x:push"], Some("anna/x:push")),
            (token(anna(), &["tokens", "anna/*:pull"]), &["**:pull"], Some("**:pull")),
            (token(anna(), &["tokens", "anna/*:pull"]), &["namespaces"], Some("namespaces")),
            (token(admin(), &["admin"]), &["metrics"], None),
            (token(admin(), &["admin"]), &["a:pull"], Some("a:pull")),
            (
                token(admin(), &["admin"]).within(Bound::Maker(anna().rights)),
                &["metrics"],
                Some("metrics"),
            ),
        ] {
            let expected = match too_wide {
                Some(scope) => Err(TooWide::Scope(scope.parse().unwrap())),
                None => Ok(()),
            };
            assert_eq!(caller.may_make(&scopes(texts), RULES), expected, "{texts:?}");
        }
        let robot = Bounded::from(robot()).within(Bound::Scopes(scopes(&[
            "admin",
            "tokens",
            "acme/**:pull",
        ])));
        for caller in [robot, Bounded::from(Rights::anonymous()), token(anna(), &["anna/**:pull"])]
        {
            assert_eq!(caller.may_make(&scopes(&["anna/x:pull"]), RULES), Err(TooWide::Tokens));
        }
    }

    #[test]
    fn acts_without_a_repository_are_bounded_too() {
        let admin = || Rights::user(true, vec![], vec![]);
        let metrics = Bounded::from(admin()).within(Bound::Scopes(scopes(&["metrics"])));
        assert_eq!(
            ServerAct::ALL.map(|act| metrics.may(act, RULES)),
            [false, true, false, false, false]
        );
        let demoted = metrics.within(Bound::Maker(user(Role::Owner, "**")));
        assert!(!demoted.may(ServerAct::Metrics, RULES));
    }
}
