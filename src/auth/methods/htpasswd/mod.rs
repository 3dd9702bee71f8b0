//! Users and passwords in a file, as `htpasswd -B` writes it. Each user may do everything; other
//! callers may do nothing, but for pulls where `auth.htpasswd.anonymous_pull` says so.
//!
//! Clients sign in by what `GET /v2/` refuses them with. Without anonymous pulls that is `Basic`. With
//! them it cannot be: a docker daemon (and skopeo) sends credentials only if `/v2/` has required
//! them, so that must answer 401; but a daemon that gets `Basic` as challenge and has no credentials
//! gives up, though the pull itself would be allowed. So clients are sent for a token then
//! (`Bearer`), which an anonymous one gets as well. `Basic` is understood all the same.

mod file;
mod sign_ins;
mod tokens;
mod users;
mod verified;

use std::net::IpAddr;
use std::sync::Arc;

use async_trait::async_trait;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use secrecy::{ExposeSecret, SecretString};

use super::super::scope::needed;
use super::super::{
    Act, Action, AuthError, Authenticator, Challenge, Identity, Scopes, Token, TokenFault,
};
use super::SetupError;
use crate::config::AuthSettings;
use file::{Edition, PasswordFile};
use sign_ins::SignIns;
use tokens::Tokens;

/// Makes the method. The key signs tokens.
pub(super) fn open(
    settings: &AuthSettings,
    key: &[u8; 32],
) -> Result<Box<dyn Authenticator>, SetupError> {
    let path = &settings.htpasswd.file;
    let file = PasswordFile::open(path).map_err(|reason| SetupError {
        setting: "auth.htpasswd.file",
        file: path.clone(),
        reason,
    })?;
    Ok(Box::new(Htpasswd {
        file,
        tokens: settings.htpasswd.anonymous_pull.then(|| Tokens::new(key)),
        sign_ins: SignIns::new(settings.sign_ins),
    }))
}

struct Htpasswd {
    file: PasswordFile,
    /// Where anonymous clients may pull.
    tokens: Option<Tokens>,
    sign_ins: Arc<SignIns>,
}

/// What an `Authorization` header says.
enum Credentials {
    Password { user: String, password: SecretString },
    Token(String),
}

#[async_trait]
impl Authenticator for Htpasswd {
    async fn identify(
        &self,
        authorization: Option<&str>,
        client: IpAddr,
    ) -> Result<Identity, AuthError> {
        let Some(authorization) = authorization else { return Ok(Identity::default()) };
        let edition = self.file.current().await;
        match (credentials(authorization), &self.tokens) {
            // skopeo signs in with an empty name where `Basic` is required and it has no credentials.
            (Some(Credentials::Password { user, password }), _)
                if user.is_empty() && password.expose_secret().is_empty() =>
            {
                Ok(Identity::default())
            }
            (Some(Credentials::Password { user, password }), _) => {
                let is_right = self.check(&edition, client, &user, &password).await?;
                is_right.then(|| Identity::user(user)).ok_or_else(|| self.refusal(None))
            }
            (Some(Credentials::Token(token)), Some(tokens)) => {
                let fault = Some(TokenFault::Invalid);
                let challenge = Challenge::Token { scope: None, fault };
                let read = tokens.read(&token, &edition.users);
                read.ok_or(AuthError::Unauthorized(challenge))
            }
            _ => Err(self.refusal(None)),
        }
    }

    async fn decide(&self, identity: &Identity, act: Act<'_>) -> Result<(), AuthError> {
        let is_pull = matches!(act, Act::Ask | Act::Any(Action::Pull) | Act::On(Action::Pull, _));
        if identity.user.is_some() || (is_pull && self.tokens.is_some()) {
            return Ok(());
        }
        Err(self.refusal(needed(act)))
    }

    async fn token(
        &self,
        authorization: Option<&str>,
        client: IpAddr,
        scopes: Scopes,
    ) -> Result<Option<Token>, AuthError> {
        let Some(tokens) = &self.tokens else { return Ok(None) };
        // A token is no way to get the next one.
        if matches!(authorization.map(credentials), Some(Some(Credentials::Token(_)))) {
            return Err(self.refusal(None));
        }
        let mut identity = self.identify(authorization, client).await?;
        let scopes = if identity.user.is_some() { scopes } else { scopes.only_pulls() };
        identity.scopes = Some(Arc::new(scopes));
        Ok(tokens.issue(&identity, &self.file.current().await.users))
    }

    async fn refresh(&self) {
        self.file.current().await;
    }

    fn challenge(&self, act: Act<'_>) -> Option<Challenge> {
        Some(match self.tokens {
            Some(_) => Challenge::Token { scope: needed(act), fault: None },
            None => Challenge::Basic,
        })
    }
}

impl Htpasswd {
    fn refusal(&self, scope: Option<String>) -> AuthError {
        let challenge = match self.tokens {
            Some(_) => Challenge::Token { scope, fault: None },
            None => Challenge::Basic,
        };
        AuthError::Unauthorized(challenge)
    }

    /// Tells whether a password is right; it takes as long for a user that there is not.
    async fn check(
        &self,
        edition: &Arc<Edition>,
        client: IpAddr,
        user: &str,
        password: &SecretString,
    ) -> Result<bool, AuthError> {
        let proof = edition.verified.proof(user, password);
        if edition.verified.has(&proof) {
            return Ok(true);
        }
        // A machine that goes on sending an old password has guessed once.
        if edition.verified.is_wrong(client, &proof) {
            return Ok(false);
        }
        let attempt = self.sign_ins.begin(client, user).await;
        // A push sends several requests at once: the first one has found out for the others.
        if edition.verified.has(&proof) {
            return Ok(true);
        }
        if edition.verified.is_wrong(client, &proof) {
            return Ok(false);
        }
        let attempt = attempt?;
        let known = edition.users.hash(user);
        let hash = known.unwrap_or(edition.users.unknown_user_hash()).to_owned();
        let (is_known, user, password) = (known.is_some(), user.to_owned(), password.clone());
        let edition = Arc::clone(edition);
        // It counts also when the client is gone before the end.
        let checked = tokio::task::spawn_blocking(move || {
            let is_right = bcrypt::verify(password.expose_secret(), &hash).unwrap_or(false);
            let is_right = is_right && is_known;
            if is_right {
                edition.verified.remember(proof);
            } else {
                edition.verified.remember_wrong(client, proof);
            }
            // Last: the next of this client goes on then, and finds what this one has found out.
            attempt.end(&user, is_right);
            is_right
        });
        Ok(checked.await.unwrap_or(false))
    }
}

/// Reads an `Authorization` header (RFC 7617, RFC 6750).
fn credentials(authorization: &str) -> Option<Credentials> {
    let (scheme, rest) = authorization.split_once(' ')?;
    let rest = rest.trim();
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(Credentials::Token(rest.to_owned()));
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let text = String::from_utf8(BASE64_STANDARD.decode(rest).ok()?).ok()?;
    let (user, password) = text.split_once(':')?;
    Some(Credentials::Password { user: user.to_owned(), password: password.into() })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::oci::hostile;

    proptest! {
        #[test]
        fn whatever_is_not_well_formed_is_no_credentials(
            header in hostile::texts("(Basic|basic|Bearer|BEARER) +([A-Za-z0-9+/]{4}){1,6}([A-Za-z0-9]{3}=)?"),
        ) {
            let (scheme, rest) = header.split_once(' ').unwrap_or_default();
            match credentials(&header) {
                Some(Credentials::Password { user, password }) => {
                    prop_assert!(scheme.eq_ignore_ascii_case("basic"));
                    prop_assert!(!user.contains(':'));
                    let again = BASE64_STANDARD.encode(format!("{user}:{}", password.expose_secret()));
                    prop_assert_eq!(again, rest.trim());
                }
                Some(Credentials::Token(token)) => {
                    prop_assert!(scheme.eq_ignore_ascii_case("bearer"));
                    prop_assert_eq!(token, rest.trim());
                }
                None => prop_assert!(!scheme.eq_ignore_ascii_case("bearer")),
            }
        }

        #[test]
        fn every_user_and_password_arrive_as_they_were_sent(
            user in "[^:]{0,20}", password in any::<String>(),
        ) {
            let header = format!("Basic {}", BASE64_STANDARD.encode(format!("{user}:{password}")));
            let Some(Credentials::Password { user: found, password: secret }) = credentials(&header) else {
                return Err(TestCaseError::fail(header));
            };
            prop_assert_eq!((found, secret.expose_secret()), (user, password.as_str()));
        }
    }
}
