//! Administration on a real index.

mod audit;
mod grants;
mod namespaces;
mod tokens;
mod users;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use secrecy::{ExposeSecret, SecretString};
use tempfile::TempDir;

use super::*;
use crate::auth::accounts::{Bound, CreateRule, Grant, TokenScopes};
use crate::auth::passwords::Bounds;
use crate::index::{self, Actor, FirstAdministrator, Principal, PrincipalKind};

const RULES: Rules = Rules { create: CreateRule::Users, anonymous_foreign: false };
const FIRST: PageRequest<'static> = PageRequest { after: None, limit: 50 };

/// A registry's accounts: the administrator `root`, and the users `anna` and `ben`.
struct Home {
    administration: Administration,
    index: Arc<Index>,
    _folder: TempDir,
}

impl Home {
    async fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let url = format!("sqlite:{}", folder.path().join("index.sqlite").display());
        let index = index::open(&url).await.unwrap();
        let checks = Arc::new(Checks::new(Bounds::wide()));
        let administration = Administration::new(Arc::clone(&index), checks, RULES);
        let (hash, nobody) = ("hash".into(), Actor::default());
        let first = index.add_first_administrator("root", &hash, &nobody, 1).await;
        assert!(matches!(first, Ok(FirstAdministrator::Made(_))));
        let home = Self { administration, index, _folder: folder };
        let root = home.caller("root").await;
        for name in ["anna", "ben"] {
            let request = UserRequest { name, password: None, is_admin: false };
            home.administration.add_user(&root, request).await.unwrap();
        }
        home
    }

    /// Returns a user or a robot that has signed in, with the rights that it has now.
    async fn caller(&self, name: &str) -> Caller {
        let principal = self.index.principal(name).await.unwrap().unwrap().principal;
        let rights = Bounded::from(self.rights(&principal).await);
        let Principal { id, kind, .. } = principal;
        let name = name.to_owned();
        let kind = match kind {
            PrincipalKind::User => CallerKind::User { name, id: Some(id) },
            PrincipalKind::Robot => CallerKind::Robot { name, id },
        };
        Caller { rights: Some(Arc::new(rights)), ..kind.into() }
    }

    /// Returns the same by a token.
    async fn by_token(&self, name: &str, scopes: &[&str]) -> Caller {
        let caller = self.caller(name).await;
        let scopes = TokenScopes::read(scopes.iter().copied()).unwrap();
        let bounded = caller.rights.as_deref().unwrap().clone().within(Bound::Scopes(scopes));
        Caller { rights: Some(Arc::new(bounded)), ..caller }
    }

    async fn rights(&self, principal: &Principal) -> Rights {
        let row = self.index.rights(principal.id).await.unwrap().unwrap();
        let grants = row.grants.iter().map(|grant| Grant {
            role: grant.role.parse().unwrap(),
            pattern: grant.pattern.parse().unwrap(),
        });
        let grants = grants.collect();
        if let Some(namespace) = &principal.namespace {
            return Rights::robot(namespace.parse().unwrap(), grants);
        }
        let owned = row.namespaces.iter().map(|name| name.parse().unwrap()).collect();
        Rights::user(row.is_admin, owned, grants)
    }

    async fn kinds_of_events(&self) -> Vec<String> {
        let events = self.index.events_after(0, 1000).await.unwrap();
        events.into_iter().map(|event| event.change.kind.into_owned()).collect()
    }
}

fn token<'a>(name: &'a str, scopes: &'a [String]) -> TokenRequest<'a> {
    TokenRequest { name, robot: None, scopes, lifetime: None }
}

fn texts(scopes: &[&str]) -> Vec<String> {
    scopes.iter().map(|&scope| scope.to_owned()).collect()
}

fn is_denied<T>(result: &Result<T>) -> bool {
    matches!(result, Err(AdministrationError::Denied(_)))
}

fn is_unknown<T>(result: &Result<T>) -> bool {
    matches!(result, Err(AdministrationError::Unknown(_)))
}
