use std::net::IpAddr;
use std::sync::Arc;

use async_trait::async_trait;

use super::super::accounts::State;
use super::super::{
    AccessControl, Act, AuthError, Caller, Challenge, Credentials, Decision, IdentityProvider,
    Meant, Names, Policy, PullGrant, Scopes, TokenFault, TokenIssuer, TokenService, scope,
};
use super::Authority;
use crate::oci::{RepositoryName, RepositoryRecord, Visibility};

/// Says who every caller is.
struct Known(Caller, Option<Challenge>);

#[async_trait]
impl IdentityProvider for Known {
    async fn identify(&self, _: &Credentials, _: IpAddr) -> Result<Caller, AuthError> {
        Ok(self.0.clone())
    }

    async fn refresh(&self) {}

    fn challenge(&self, act: Act<'_>) -> Option<Challenge> {
        self.1.clone().map(|challenge| match challenge {
            Challenge::Token { fault, .. } => Challenge::Token { scope: scope::needed(act), fault },
            Challenge::Basic => Challenge::Basic,
        })
    }

    fn issuer(&self) -> Option<&dyn TokenIssuer> {
        None
    }

    fn token_service(&self) -> Option<&TokenService> {
        None
    }
}

/// Decides the same about every act on a repository.
struct Always(Decision);

#[async_trait]
impl Policy for Always {
    async fn decide(&self, _: &Caller, act: Act<'_>, _: State) -> Decision {
        if matches!(act, Act::On(..)) { self.0.clone() } else { Decision::Allow }
    }
}

const TOKEN: Challenge = Challenge::Token { scope: None, fault: None };

async fn pulled(
    caller: Caller,
    challenge: Option<Challenge>,
    decision: Decision,
) -> Result<PullGrant, AuthError> {
    let provider = Box::new(Known(caller.clone(), challenge));
    let access = AccessControl { provider, policy: Box::new(Always(decision)) };
    let authority = Authority::new(access, Names::default());
    let address = IpAddr::from([127, 0, 0, 1]);
    assert_eq!(authority.identify(&Credentials::None, address).await, Ok(caller.clone()));
    authority.pull(&caller, "team/app".parse::<RepositoryName>().unwrap()).await
}

fn unauthorized(fault: Option<TokenFault>) -> AuthError {
    let scope = Some("repository:team/app:pull".to_owned());
    AuthError::Unauthorized(Challenge::Token { scope, fault })
}

#[tokio::test]
async fn each_decision_has_its_answer() {
    let lacking = unauthorized(Some(TokenFault::InsufficientScope));
    let anna = Caller::user("anna");
    let with =
        |scope: &str| Caller { scopes: Some(Arc::new(Scopes::requested([scope]))), ..anna.clone() };
    let (right, wrong) = (with("repository:team/app:pull"), with("repository:team/other:pull"));
    for (caller, decision, expected) in [
        (&anna, Decision::Allow, None),
        (&right, Decision::Allow, None),
        (&wrong, Decision::Allow, Some(lacking.clone())),
        (&Caller::anonymous(), Decision::Challenge, Some(unauthorized(None))),
        // By an access token in the place of a password.
        (&anna, Decision::Challenge, Some(lacking.clone())),
        (&right, Decision::Challenge, Some(lacking.clone())),
        (&Caller::anonymous(), Decision::Hidden, Some(lacking.clone())),
        (&anna, Decision::Hidden, Some(lacking.clone())),
        (&right, Decision::Hidden, Some(lacking.clone())),
        (&right, Decision::Denied("no".into()), Some(AuthError::Denied("no".into()))),
    ] {
        let answer = pulled(caller.clone(), Some(TOKEN), decision.clone()).await;
        assert_eq!(answer.err(), expected, "{caller:?} {decision:?}");
    }
}

#[tokio::test]
async fn a_client_is_never_sent_to_sign_in_where_there_are_no_users() {
    for decision in [Decision::Challenge, Decision::Hidden] {
        let anonymous = Caller::anonymous();
        let answer = pulled(anonymous.clone(), Some(Challenge::Basic), decision.clone()).await;
        assert_eq!(answer.err(), Some(AuthError::Unauthorized(Challenge::Basic)));
        let answer = pulled(anonymous, None, decision).await;
        assert!(matches!(answer, Err(AuthError::Denied(_))), "{answer:?}");
    }
}

#[tokio::test]
async fn a_grant_names_its_caller() {
    let anna = Caller::user("anna");
    let provider = Box::new(Known(anna.clone(), None));
    let access = AccessControl { provider, policy: Box::new(Always(Decision::Allow)) };
    let authority = Authority::new(access, Names::default());
    let name = || "team/app".parse::<RepositoryName>().unwrap();
    assert_eq!(authority.pull(&anna, name()).await.unwrap().caller(), &anna);
    assert_eq!(authority.push(&anna, name()).await.unwrap().caller(), &anna);
    assert_eq!(authority.delete(&anna, name()).await.unwrap().caller(), &anna);
    assert_eq!(authority.catalog(&anna).await.unwrap().caller(), &anna);
}

#[tokio::test]
async fn a_grant_carries_the_record_of_a_repository_of_this_registry() {
    let anna = Caller::user("anna");
    let provider = Box::new(Known(anna.clone(), None));
    let access = AccessControl { provider, policy: Box::new(Always(Decision::Allow)) };
    let names = Names { federates: true, ..Names::default() };
    let authority = Authority::new(access, names);
    let name = || "team/app".parse::<RepositoryName>().unwrap();
    let visibility = Visibility::Private;
    let (tree, as_of) = (visibility.tree(), None);
    let record = RepositoryRecord { id: 1, name: name(), visibility, tree, created: 1, as_of };
    let record = Some(record);
    let own = || Meant { record: record.clone(), ..name().into() };
    assert_eq!(authority.pull(&anna, own()).await.unwrap().record(), record.as_ref());
    assert_eq!(authority.push(&anna, own()).await.unwrap().record(), record.as_ref());
    assert_eq!(authority.delete(&anna, own()).await.unwrap().record(), record.as_ref());
    assert_eq!(authority.pull(&anna, name()).await.unwrap().record(), None);

    // On behalf of another registry, none is looked up before it is known which one answers.
    let foreign = authority.names().meant(name(), None, Some("far.example")).unwrap();
    assert_eq!(authority.names().local(&foreign), None);
    let grant = authority.pull(&anna, foreign).await.unwrap();
    assert_eq!((grant.record(), grant.own().unwrap().record()), (None, None));
    let foreign = "far.example/team/app".parse::<RepositoryName>().unwrap().into();
    assert_eq!(authority.names().local(&foreign), None);
}
