//! The keys that tokens are signed with: one from the start, the next one in time, and none once nothing counts any more
//! that it has signed.
//!
//! All processes share them. Each looks at them at its start and every hour; each step is a transaction that looks whether
//! another process has taken it, so it does not matter which one is first.

use std::time::Duration;

use secrecy::ExposeSecret;

use super::AppError;
use crate::auth::LONGEST_TOKEN;
use crate::auth::signed::{self, Algorithm, SigningKey};
use crate::config::Settings;
use crate::index::{Actor, Index, NewSigningKey};

/// How long a key is published before it signs, at most: others who verify our tokens have to fetch it first.
const AHEAD: Duration = Duration::from_hours(24);

/// Of how many parts of its age that is one.
const PARTS: u32 = 10;

/// How much later than the end of its last token a key is removed, for clocks that differ.
const MARGIN: Duration = Duration::from_hours(1);

/// Makes sure that there is a key to sign with.
///
/// # Errors
/// [`AppError::Accounts`] when none can be made; those of the index.
pub(super) async fn ensure(settings: &Settings, index: &Index, now: i64) -> Result<(), AppError> {
    let new = generate(algorithm(settings)?).await?;
    index.ensure_signing_key(&new, &Actor::default(), now).await?;
    Ok(())
}

/// Adds the next key if that is due, and removes those of which every token has ended.
///
/// # Errors
/// [`AppError::Accounts`] when no key can be made; those of the index.
pub(super) async fn rotate(settings: &Settings, index: &Index, now: i64) -> Result<(), AppError> {
    let algorithm = algorithm(settings)?;
    let age = settings.auth.accounts.key_rotation;
    let ahead = AHEAD.min(age / PARTS);
    let actor = Actor::default();
    let keys = index.signing_keys().await?;
    for key in keys.iter().filter(|key| key.retired.is_none()) {
        let kid = key.key.kid.as_str();
        let lived = now.saturating_sub(key.created);
        if key.key.algorithm == algorithm.name() {
            if lived >= millis(age.saturating_sub(ahead)) {
                let new = generate(algorithm).await?;
                let from = now.saturating_add(millis(ahead));
                let next = index.rotate_signing_key(kid, &new, from, &actor, now).await?;
                tracing::info!(key = kid, next = next.key.kid, "the next signing key is published");
            }
        } else if lived >= millis(age.saturating_mul(2)) {
            // A process whose settings still name that algorithm would have replaced it.
            let _ = index.retire_signing_key(kid, &actor, now).await?;
        }
    }
    let before = now.saturating_sub(millis(LONGEST_TOKEN + MARGIN));
    if keys.iter().any(|key| key.retired.is_some_and(|retired| retired < before)) {
        let count = index.remove_retired_keys(before, &actor, now).await?;
        tracing::info!(count, "removed retired signing keys");
    }
    Ok(())
}

fn algorithm(settings: &Settings) -> Result<Algorithm, AppError> {
    let named = settings.auth.accounts.token_algorithm.parse();
    named.map_err(|error| unusable(&error))
}

/// Makes a key pair, beside what else goes on: one of RS256 takes a while.
async fn generate(algorithm: Algorithm) -> Result<NewSigningKey, AppError> {
    let made = tokio::task::spawn_blocking(move || {
        let private_key = signed::generate(algorithm)?;
        let pair = SigningKey::from_pkcs8(algorithm, private_key.expose_secret())?;
        let kid = pair.id().to_owned();
        Ok::<_, signed::KeyError>(NewSigningKey {
            kid,
            algorithm: algorithm.to_string(),
            private_key,
        })
    });
    made.await.map_err(|error| unusable(&error))?.map_err(|error| unusable(&error))
}

fn unusable(error: &dyn std::error::Error) -> AppError {
    AppError::Accounts(error.to_string())
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
