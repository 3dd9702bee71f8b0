//! Who acts, and what that caller may do.

use std::net::{IpAddr, Ipv4Addr};

use super::{AdministrationError, Result};
use crate::auth::accounts::{Bound, Bounded, Pattern, Permission, Rules, ServerAct};
use crate::auth::{Caller, CallerKind};
use crate::index::Actor;

/// A caller who acts, with the rights that it has now.
pub(super) struct Acting<'a> {
    pub(super) caller: &'a Caller,
    pub(super) rights: &'a Bounded,
    pub(super) actor: Actor,
    rules: Rules,
}

impl<'a> Acting<'a> {
    /// Reads who acts. A caller without rights has no account here.
    pub(super) fn new(caller: &'a Caller, rules: Rules) -> Result<Self> {
        let rights = caller.rights.as_deref().ok_or(AdministrationError::SignedOut)?;
        let actor = Actor { name: caller.subject().map(str::to_owned), address: caller.address };
        Ok(Self { caller, rights, actor, rules })
    }

    /// Returns the number of the user who acts; none of a robot, a workload and the operator.
    pub(super) fn user(&self) -> Option<i64> {
        match self.caller.kind {
            CallerKind::User { id, .. } => id,
            CallerKind::Anonymous | CallerKind::Robot { .. } | CallerKind::Workload { .. } => None,
        }
    }

    /// Returns the number of the account that acts.
    pub(super) fn principal(&self) -> Option<i64> {
        match self.caller.kind {
            CallerKind::Robot { id, .. } => Some(id),
            _ => self.user(),
        }
    }

    /// Returns the address that limits count by.
    pub(super) fn client(&self) -> IpAddr {
        self.caller.address.unwrap_or(Ipv4Addr::LOCALHOST.into())
    }

    /// Tells whether it has signed in by its password, and by no token.
    pub(super) fn is_by_password(&self) -> bool {
        self.rights.bounds().is_empty()
    }

    /// Tells whether no token is in the way of an act on what is its own.
    pub(super) fn has_scope(&self, act: ServerAct) -> bool {
        self.rights.bounds().iter().all(|bound| match bound {
            Bound::Scopes(scopes) => scopes.allow_act(act),
            Bound::Maker(_) => true,
        })
    }

    /// Returns its own namespaces after that name, in their order.
    pub(super) fn namespaces_after(&self, last: Option<&str>) -> Vec<&'a str> {
        let own = self.rights.rights().namespaces().iter().map(|(namespace, _)| namespace.as_str());
        let mut names: Vec<&str> =
            own.filter(|name| last.is_none_or(|last| *name > last)).collect();
        names.sort_unstable();
        names
    }

    pub(super) fn may(&self, act: ServerAct) -> bool {
        self.rights.may(act, self.rules)
    }

    /// Looks whether it may do something that is about no repository.
    pub(super) fn expect(&self, act: ServerAct, doing: &str) -> Result<()> {
        if self.may(act) {
            return Ok(());
        }
        if self.rights.rights().may(act, self.rules) {
            return Err(Self::lacks(act.as_str(), doing));
        }
        Err(AdministrationError::denied(match act {
            ServerAct::Tokens => format!("cannot {doing}: only users may; sign in as one"),
            _ => format!("cannot {doing}: only administrators may; ask one"),
        }))
    }

    /// Refuses an access token that is not good for something that its owner may do.
    pub(super) fn lacks(scope: &str, doing: &str) -> AdministrationError {
        AdministrationError::denied(format!(
            "cannot {doing}: the access token lacks the scope `{scope}`; use one that has it, or sign in with your password"
        ))
    }

    /// Tells whether it says who has which role in all repositories that a pattern matches.
    pub(super) fn owns(&self, pattern: &Pattern) -> bool {
        self.rights.cover(Permission::Members, pattern)
    }

    /// Tells whether it says who has which role in all of a namespace.
    pub(super) fn owns_namespace(&self, namespace: &str) -> bool {
        let all = [namespace.to_owned(), format!("{namespace}/**")];
        all.iter().all(|text| text.parse().is_ok_and(|pattern| self.owns(&pattern)))
    }
}
