//! Decides by the rights that a caller has in a repository.

use async_trait::async_trait;

use super::super::super::accounts::{Bounded, Rights, Rules, ServerAct, State, Target};
use super::super::super::{Act, Action, Caller, Decision, Policy};

/// Decides by the rights of the caller, as they were read at the beginning of the request.
pub(super) struct ByRights {
    pub(super) rules: Rules,
}

#[async_trait]
impl Policy for ByRights {
    async fn decide(&self, caller: &Caller, act: Act<'_>, state: State) -> Decision {
        let is_anonymous = caller.is_anonymous();
        let allow_if = |is_allowed| if is_allowed { Decision::Allow } else { Decision::Challenge };
        match act {
            // Any repository may be public.
            Act::Ask | Act::Any(Action::Pull) => Decision::Allow,
            // An anonymous client that has fetched a token has done what it was challenged to do.
            Act::SignIn => allow_if(!is_anonymous || caller.scopes.is_some()),
            Act::Any(Action::Push | Action::Delete | Action::Visibility | Action::Remove)
            | Act::List => allow_if(!is_anonymous),
            Act::Metrics => self.metrics(caller),
            Act::On(action, name) => {
                let target = Target { name, state };
                match &caller.rights {
                    Some(rights) => rights.decide(action.into(), &target, self.rules),
                    // One whose rights were not read has none.
                    None => Bounded::from(Rights::anonymous()).decide(
                        action.into(),
                        &target,
                        self.rules,
                    ),
                }
            }
        }
    }
}

impl ByRights {
    fn metrics(&self, caller: &Caller) -> Decision {
        match &caller.rights {
            Some(rights) if rights.may(ServerAct::Metrics, self.rules) => Decision::Allow,
            _ if caller.is_anonymous() => Decision::Challenge,
            _ => {
                let why = "cannot read the metrics: that needs an administrator, or a token of one with the scope \
                    `metrics`";
                Decision::Denied(why.to_owned())
            }
        }
    }
}
