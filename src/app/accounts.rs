//! Accounts of the index, as the sign-in method needs them; and what a registry with accounts needs before it serves.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use cid::multibase::Base;
use secrecy::{ExposeSecret, SecretString};

use super::{AppError, signing_keys};
use crate::accounts::Administration;
use crate::auth::accounts::{
    AccountName, Grant, Namespace, Rights, Rules, TokenHash, TokenId, TokenScopes,
};
use crate::auth::passwords::{Checks, NewPassword, PasswordHash};
use crate::auth::{
    Directory, PrincipalKind, Refusals, StoredKey, StoredPassword, StoredPrincipal, StoredToken,
    Unavailable,
};
use crate::config::Settings;
use crate::index::{
    self, AccountsState, Actor, FirstAdministrator, Index, IndexError, RoleGrant, SetupCode,
};

/// The name of the sign-in method.
const METHOD: &str = "accounts";

/// For how long an access token that has ended is still listed.
const LISTED: Duration = Duration::from_hours(30 * 24);

/// How many random bytes a setup code has.
const GENERATED: usize = 15;

/// Accounts of the index.
pub(super) struct IndexDirectory {
    index: Arc<Index>,
    /// The state that was seen last, and the number that stands for it. No number ever stands for two states.
    last: Mutex<(Option<AccountsState>, u64)>,
}

impl IndexDirectory {
    pub(super) fn new(index: Arc<Index>) -> Self {
        Self { index, last: Mutex::default() }
    }
}

#[async_trait]
impl Directory for IndexDirectory {
    async fn state(&self) -> Result<u64, Unavailable> {
        let state = self.index.states().await.map_err(|it| unavailable(&it))?.accounts;
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.0 != Some(state) {
            *last = (Some(state), last.1 + 1);
        }
        Ok(last.1)
    }

    async fn password(&self, name: &AccountName) -> Result<Option<StoredPassword>, Unavailable> {
        let found = self.index.principal(name.as_str()).await.map_err(|it| unavailable(&it))?;
        let Some(account) = found else { return Ok(None) };
        let is_user = account.principal.kind == index::PrincipalKind::User;
        let password = account.password.filter(|_| is_user && !account.principal.is_disabled);
        let Some(password) = password else { return Ok(None) };
        let (id, changes) = (account.principal.id, account.password_changes);
        let hash = password.expose_secret().parse();
        let hash = hash.map_err(|error| damaged("password", account.principal.name, error)).ok();
        Ok(hash.map(|hash| StoredPassword { id, changes, hash }))
    }

    async fn dearest_bcrypt(&self) -> Result<Option<u32>, Unavailable> {
        self.index.dearest_bcrypt().await.map_err(|it| unavailable(&it))
    }

    async fn principal(&self, id: i64) -> Result<Option<StoredPrincipal>, Unavailable> {
        let found = self.index.principal_by_id(id).await.map_err(|it| unavailable(&it))?;
        let rights = self.index.rights(id).await.map_err(|it| unavailable(&it))?;
        let (Some(account), Some(rights)) = (found, rights) else { return Ok(None) };
        let principal = account.principal;
        if principal.is_disabled || rights.is_disabled {
            return Ok(None);
        }
        let grants: Vec<Grant> = rights.grants.iter().filter_map(grant).collect();
        let (kind, rights) = match principal.kind {
            index::PrincipalKind::User => {
                let namespaces = rights.namespaces.iter();
                let owned = namespaces.filter_map(|name| name.parse().ok()).collect();
                (PrincipalKind::User, Rights::user(rights.is_admin, owned, grants))
            }
            index::PrincipalKind::Robot => {
                let namespace = principal.namespace.and_then(|name| name.parse::<Namespace>().ok());
                let Some(namespace) = namespace else { return Ok(None) };
                let kind = PrincipalKind::Robot { maker: principal.maker };
                (kind, Rights::robot(namespace, grants))
            }
        };
        let (name, password_changes) = (principal.name, account.password_changes);
        Ok(Some(StoredPrincipal { id, name, kind, rights, password_changes }))
    }

    async fn access_token(&self, id: &TokenId) -> Result<Option<StoredToken>, Unavailable> {
        let found = self.index.access_token(id.as_str()).await.map_err(|it| unavailable(&it))?;
        let Some(token) = found.map(|found| found.token).filter(|token| !token.is_revoked) else {
            return Ok(None);
        };
        let scopes = TokenScopes::read(token.scopes.split_whitespace());
        let scopes = scopes.map_err(|error| damaged("access token", id, error)).ok();
        let (Some(hash), Some(scopes)) = (TokenHash::read(&token.hash), scopes) else {
            return Ok(None);
        };
        let expires = token.expires.map(time);
        let (principal, maker) = (token.principal, token.maker);
        Ok(Some(StoredToken { hash, principal, maker, scopes, expires }))
    }

    async fn signing_keys(&self) -> Result<Vec<StoredKey>, Unavailable> {
        let keys = self.index.signing_keys().await.map_err(|it| unavailable(&it))?;
        let read = |key: index::SigningKey| {
            let algorithm = key.key.algorithm.parse();
            let algorithm =
                algorithm.map_err(|error| damaged("signing key", &key.key.kid, error)).ok()?;
            let retired = key.retired.map(time);
            Some(StoredKey { algorithm, private_key: key.key.private_key, retired })
        };
        Ok(keys.into_iter().filter_map(read).collect())
    }

    async fn rehash(&self, id: i64, old: &PasswordHash, new: &PasswordHash) {
        let [old, new] = [old, new].map(|hash| SecretString::from(hash.as_str()));
        if let Err(error) = self.index.rehash_password(id, &old, &new).await {
            tracing::warn!(%error, "failed to store a password by another hash");
        }
    }

    async fn note_use(&self, id: &TokenId) {
        if let Err(error) = self.index.note_token_use(id.as_str(), now()).await {
            tracing::warn!(%error, "failed to note the use of an access token");
        }
    }
}

/// Tells whether clients sign in by accounts.
pub(super) fn are_used(settings: &Settings) -> bool {
    settings.auth.method == METHOD
}

/// Returns what administers accounts; none where clients sign in otherwise. It hashes passwords by what checks them.
pub(super) fn administration(
    settings: &Settings,
    index: &Arc<Index>,
    checks: &Arc<Checks>,
    refusals: &Arc<Refusals>,
) -> Option<Arc<Administration>> {
    if !are_used(settings) {
        return None;
    }
    let create = settings.auth.accounts.create;
    let rules = Rules::read(create, settings.federation.anonymous.is_some());
    let administration = Administration::new(Arc::clone(index), Arc::clone(checks), rules);
    Some(Arc::new(administration.noting(refusals)))
}

/// Makes what a registry with accounts needs before it serves: a key that tokens are signed with, and a first
/// administrator, or a code by which one can be made. Does nothing where clients sign in otherwise.
///
/// # Errors
/// [`AppError::Accounts`] when the settings name no administrator that can be; those of the index.
pub(super) async fn prepare(settings: &Settings, index: &Index) -> Result<Option<Setup>, AppError> {
    if !are_used(settings) {
        return Ok(None);
    }
    signing_keys::ensure(settings, index, now()).await?;
    ensure_administrator(settings, index).await
}

/// Removes access tokens that have ended a while ago. Returns how many went.
///
/// # Errors
/// Those of the index.
pub(super) async fn prune_access_tokens(index: &Index, now: i64) -> Result<u64, AppError> {
    let listed = i64::try_from(LISTED.as_millis()).unwrap_or(i64::MAX);
    Ok(index.prune_access_tokens(now.saturating_sub(listed)).await?)
}

async fn ensure_administrator(
    settings: &Settings,
    index: &Index,
) -> Result<Option<Setup>, AppError> {
    let settings = &settings.auth.accounts;
    let name: AccountName = settings
        .admin
        .parse()
        .map_err(|error| AppError::Accounts(format!("auth.accounts.admin: {error}")))?;
    let is_set = !settings.admin_password.expose_secret().is_empty();
    if index.has_users().await? {
        if is_set {
            tracing::info!("auth.accounts.admin_password is not used: there are users already");
        }
        return Ok(None);
    }
    if !is_set {
        return offer_setup(name, index).await;
    }
    let password = NewPassword::new(settings.admin_password.clone())
        .map_err(|error| AppError::Accounts(format!("auth.accounts.admin_password: {error}")))?;
    let hash = hashed(password).await?;
    let actor = Actor::default();
    match index.add_first_administrator(name.as_str(), &hash, &actor, now()).await? {
        FirstAdministrator::Made(_) => {
            tracing::info!(user = %name, "added the first administrator");
        }
        // Another process has been faster.
        FirstAdministrator::Exists => {}
        FirstAdministrator::Taken => {
            let why = format!("auth.accounts.admin: the name `{name}` is taken; use another one");
            return Err(AppError::Accounts(why));
        }
    }
    Ok(None)
}

async fn hashed(password: NewPassword) -> Result<SecretString, AppError> {
    let hash = tokio::task::spawn_blocking(move || PasswordHash::new(&password)).await;
    let hash = hash.map_err(|error| AppError::Accounts(error.to_string()))?;
    Ok(hash.as_str().into())
}

/// Makes a code by which the first administrator can be made. It takes the place of one that was not used.
async fn offer_setup(name: AccountName, index: &Index) -> Result<Option<Setup>, AppError> {
    let text = generate_code();
    let password = NewPassword::new(text.clone());
    let password = password.map_err(|error| AppError::Accounts(error.to_string()))?;
    let code = SetupCode { name: name.to_string(), hash: hashed(password).await? };
    // Else another process has been faster.
    let is_stored = index.set_setup_code(&code, now()).await?;
    Ok(is_stored.then_some(Setup { name, code: text }))
}

/// A code by which the first administrator can be made.
pub(super) struct Setup {
    name: AccountName,
    code: SecretString,
}

impl Setup {
    /// Prints it once, if there is one, on the standard error output. It is in no log line.
    pub(super) fn print(setup: Option<&Self>, settings: &Settings, address: SocketAddr) {
        let Some(Self { name, code }) = setup else { return };
        let scheme = if settings.server.tls.is_some() { "https" } else { "http" };
        let address = reachable(address);
        let external = settings.server.external_url.as_ref().map(ToString::to_string);
        let url = external.unwrap_or_else(|| format!("{scheme}://{address}"));
        let host = url.strip_prefix("http://").unwrap_or(&url);
        let code = code.expose_secret();
        tracing::warn!(user = %name, "there is no user yet: a setup code is printed once");
        eprintln!(
            "There is no user yet. The administrator `{name}` is made at {url}/setup with the code `{code}`, or by\n  \
             roadstead setup {host} --code {code} --password-stdin\n\
             The code is good once, until the next start."
        );
    }
}

/// Returns an address that a client on this machine connects to: to an unspecified one such as 0.0.0.0 none does.
fn reachable(address: SocketAddr) -> SocketAddr {
    match address.ip() {
        ip if !ip.is_unspecified() => address,
        IpAddr::V4(_) => (Ipv4Addr::LOCALHOST, address.port()).into(),
        IpAddr::V6(_) => (Ipv6Addr::LOCALHOST, address.port()).into(),
    }
}

/// Makes a random code.
fn generate_code() -> SecretString {
    let mut bytes = [0; GENERATED];
    aws_lc_rs::rand::fill(&mut bytes).expect("the system has random numbers");
    Base::Base32Lower.encode(bytes).into()
}

fn unavailable(error: &IndexError) -> Unavailable {
    tracing::error!(%error, "failed to read accounts");
    Unavailable
}

/// Says that something stored cannot be read, which is as good as absent.
fn damaged(what: &str, name: impl std::fmt::Display, error: impl std::fmt::Display) {
    tracing::error!(%name, %error, "failed to read a stored {what}");
}

fn grant(grant: &RoleGrant) -> Option<Grant> {
    let (Ok(role), Ok(pattern)) = (grant.role.parse(), grant.pattern.parse()) else {
        tracing::error!(role = grant.role, pattern = grant.pattern, "failed to read a grant");
        return None;
    };
    Some(Grant { role, pattern })
}

pub(super) fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// Reads a time of the index; one that is before all times has passed.
fn time(millis: i64) -> SystemTime {
    let since = Duration::from_millis(u64::try_from(millis).unwrap_or_default());
    // What no clock can show does not end.
    UNIX_EPOCH
        .checked_add(since)
        .unwrap_or_else(|| UNIX_EPOCH + Duration::from_secs(u32::MAX.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_setup_page_is_at_an_address_that_a_browser_reaches() {
        for (listens, shown) in [
            ("0.0.0.0:5000", "127.0.0.1:5000"),
            ("[::]:5000", "[::1]:5000"),
            ("192.0.2.1:80", "192.0.2.1:80"),
            ("[2001:db8::1]:80", "[2001:db8::1]:80"),
            ("127.0.0.1:5000", "127.0.0.1:5000"),
        ] {
            assert_eq!(reachable(listens.parse().unwrap()).to_string(), shown);
        }
    }
}
