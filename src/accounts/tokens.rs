//! Access tokens: making, listing and revoking them.

use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use secrecy::SecretString;

use super::acting::Acting;
use super::users::no_account;
use super::{
    Administration, AdministrationError as Error, Page, PageRequest, Result, RobotRequest, now,
};
use crate::auth::Caller;
use crate::auth::accounts::{AccessToken, ServerAct, TokenId, TokenScopes};
use crate::index::{AccessToken as Row, Changed, NewAccessToken, PrincipalKind, TokenFilter};

/// The longest name of a token in characters.
const LONGEST_NAME: usize = 100;

/// A token to make.
#[derive(Debug, Clone, Copy)]
pub struct TokenRequest<'a> {
    /// What its owner calls it.
    pub name: &'a str,
    /// The robot that it is for; the caller, if none.
    pub robot: Option<RobotRequest<'a>>,
    /// What it is good for: `acme/*:pull,push`, or acts such as `metrics`.
    pub scopes: &'a [String],
    /// How long it is good; for good, if none.
    pub lifetime: Option<Duration>,
}

/// A token that was made.
pub struct MadeToken {
    /// What is known of it from now on.
    pub summary: TokenSummary,
    /// Its text, which is the password of its owner; it cannot be had again.
    pub secret: SecretString,
}

/// What is shown of a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenSummary {
    /// What it is found by.
    pub id: String,
    /// What its owner calls it.
    pub name: String,
    /// The name of who signs in with it.
    pub owner: String,
    /// What it is good for.
    pub scopes: Vec<String>,
    /// When it was made, in milliseconds since the Unix epoch.
    pub created: i64,
    /// When it ends.
    pub expires: Option<i64>,
    /// When it was last used, about.
    pub last_used: Option<i64>,
    /// Whether it is of no use any more.
    pub is_revoked: bool,
}

impl Administration {
    /// Makes a token of the caller, or of a robot in a namespace that it owns; never one that is wider than itself.
    ///
    /// # Errors
    /// Why not.
    pub async fn make_token(
        &self,
        caller: &Caller,
        request: TokenRequest<'_>,
    ) -> Result<MadeToken> {
        const DOING: &str = "make a token";

        let acting = self.acting(caller)?;
        let scopes = TokenScopes::read(request.scopes.iter().map(String::as_str))
            .map_err(|error| Error::invalid(DOING, error))?;
        if let Some(scope) = request.robot.and_then(|_| scopes.beyond_machines()) {
            return Err(Error::invalid(
                DOING,
                format!(
                    "a robot cannot use the scope `{scope}`: robots pull, push, delete and change visibility; leave it out, or \
                 make a token of your own"
                ),
            ));
        }
        let may_make = acting.rights.may_make(&scopes, self.rules);
        may_make.map_err(|error| Error::denied(error.to_string()))?;
        let maker = acting.user().ok_or_else(|| {
            Error::denied("cannot make a token: only users make tokens; sign in as one")
        })?;
        let name = label(request.name)?;
        let now = now();
        let expires = request.lifetime.map(|lifetime| ending(now, lifetime)).transpose()?;
        expect_to_end(expires, acting.rights.ends())?;
        let owner = match request.robot {
            Some(robot) => self.robot(&acting, robot, maker).await?,
            None => self.account(maker).await?,
        };
        let token = AccessToken::generate();
        let texts: Vec<String> = scopes.all().iter().map(ToString::to_string).collect();
        let (hash, joined) = (token.hash(), texts.join(" "));
        let row = NewAccessToken {
            id: token.id().as_str(),
            principal: owner.principal.id,
            hash: hash.as_bytes(),
            name,
            scopes: &joined,
            maker,
            expires,
        };
        match self.index.add_access_token(&row, &acting.actor, now).await? {
            Changed::Done => {}
            _ => {
                return Err(Error::Conflict(format!(
                    "cannot make a token of `{}`: it is disabled or was removed; enable it first",
                    owner.principal.name
                )));
            }
        }
        let summary = TokenSummary {
            id: token.id().to_string(),
            name: name.to_owned(),
            owner: owner.principal.name,
            scopes: texts,
            created: now,
            expires,
            last_used: None,
            is_revoked: false,
        };
        Ok(MadeToken { summary, secret: token.into_text() })
    }

    /// Lists tokens by their ids: those of an account, which is the caller or a robot in a namespace that it owns; without
    /// one, those that the caller made.
    ///
    /// # Errors
    /// Why not.
    pub async fn tokens(
        &self,
        caller: &Caller,
        owner: Option<&str>,
        page: PageRequest<'_>,
    ) -> Result<Page<TokenSummary>> {
        let acting = self.acting(caller)?;
        acting.expect(ServerAct::Tokens, "list tokens")?;
        let filter = match (owner, acting.user()) {
            (Some(owner), _) => self.tokens_of(&acting, owner).await?,
            (None, Some(user)) => TokenFilter::MadeBy(user),
            (None, None) => TokenFilter::All,
        };
        let rows = self.index.access_tokens(filter, page.after, page.read()).await?;
        let page = page.page(rows, |token| token.id.clone());
        let names = self.names_of(page.items.iter().map(|token| token.principal)).await?;
        Ok(page.map(|token| summary(token, &names)))
    }

    /// Finds the names of accounts by their numbers; those that are gone have none.
    pub(super) async fn names_of(
        &self,
        ids: impl IntoIterator<Item = i64>,
    ) -> Result<HashMap<i64, String>> {
        let ids: BTreeSet<i64> = ids.into_iter().collect();
        let mut names = HashMap::new();
        for id in ids {
            if let Some(account) = self.index.principal_by_id(id).await? {
                names.insert(id, account.principal.name);
            }
        }
        Ok(names)
    }

    /// Revokes a token for good: of the caller, of a robot in a namespace that it owns, or that it made. By an access token
    /// none is revoked that is wider than it, but for itself.
    ///
    /// # Errors
    /// Why not.
    pub async fn revoke_token(&self, caller: &Caller, id: &str) -> Result<()> {
        const DOING: &str = "revoke the token";

        let acting = self.acting(caller)?;
        acting.expect(ServerAct::Tokens, DOING)?;
        let id: TokenId = id.parse().map_err(|_| {
            Error::invalid(DOING, "that is no id of a token; `roadstead token list` shows them")
        })?;
        let unknown =
            || Error::unknown(format!("there is no token `{id}`; see `roadstead token list`"));
        let found = self.index.access_token(id.as_str()).await?.ok_or_else(unknown)?;
        let is_own = acting
            .user()
            .is_some_and(|user| found.principal.id == user || found.token.maker == Some(user));
        let is_of_robot =
            || found.principal.namespace.as_deref().is_some_and(|it| acting.owns_namespace(it));
        if !is_own && !acting.may(ServerAct::Admin) && !is_of_robot() {
            return Err(unknown());
        }
        if !acting.is_by_password() {
            let scopes = TokenScopes::read(found.token.scopes.split(' '));
            let is_within = scopes.is_ok_and(|it| acting.rights.may_make(&it, self.rules).is_ok());
            if !is_within {
                return Err(Error::denied(
                    "cannot revoke the token: it may do more than the one that you use; sign in with your password",
                ));
            }
        }
        match self.index.revoke_access_token(id.as_str(), &acting.actor, now()).await? {
            Changed::Done | Changed::Unchanged => Ok(()),
            _ => Err(unknown()),
        }
    }

    /// Finds whose tokens are listed, if the caller may.
    async fn tokens_of(&self, acting: &Acting<'_>, owner: &str) -> Result<TokenFilter> {
        let found = self.index.principal(owner).await?.map(|account| account.principal);
        let found = found.filter(|it| {
            let is_of_robot = it.kind == PrincipalKind::Robot
                && it
                    .namespace
                    .as_deref()
                    .is_some_and(|namespace| acting.owns_namespace(namespace));
            acting.user() == Some(it.id) || acting.may(ServerAct::Admin) || is_of_robot
        });
        found.map(|it| TokenFilter::Of(it.id)).ok_or_else(|| no_account(owner))
    }
}

/// Refuses a token that outlives the one that makes it.
fn expect_to_end(expires: Option<i64>, ends: Option<SystemTime>) -> Result<()> {
    let Some(ends) = ends else { return Ok(()) };
    let since = ends.duration_since(UNIX_EPOCH).unwrap_or_default();
    let ends = i64::try_from(since.as_millis()).unwrap_or(i64::MAX);
    if expires.is_some_and(|expires| expires <= ends) {
        return Ok(());
    }
    Err(Error::denied(
        "cannot make a token that ends later than the one that makes it; have it expire sooner, or sign in with your \
         password",
    ))
}

/// Reads what a token is to be called.
fn label(name: &str) -> Result<&str> {
    let is_right = !name.is_empty()
        && name.chars().count() <= LONGEST_NAME
        && !name.chars().any(char::is_control)
        && !AccessToken::begins(name);
    if is_right {
        return Ok(name);
    }
    Err(Error::invalid(
        "make a token",
        "its name has 1 to 100 characters, no control characters, and does not begin with `rds_`",
    ))
}

fn ending(now: i64, lifetime: Duration) -> Result<i64> {
    let lifetime = i64::try_from(lifetime.as_millis()).unwrap_or(i64::MAX);
    if lifetime < 1000 {
        return Err(Error::invalid("make a token", "it would end at once; use at least 1s"));
    }
    // The greatest number is for tokens that never end.
    Ok(now.saturating_add(lifetime).min(i64::MAX - 1))
}

fn summary(token: Row, names: &HashMap<i64, String>) -> TokenSummary {
    TokenSummary {
        owner: names.get(&token.principal).cloned().unwrap_or_default(),
        id: token.id,
        name: token.name,
        scopes: token.scopes.split(' ').map(str::to_owned).collect(),
        created: token.created,
        expires: token.expires,
        last_used: token.last_used,
        is_revoked: token.is_revoked,
    }
}
