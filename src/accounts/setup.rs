//! The first administrator, made by the code that the server has printed.

use std::net::IpAddr;

use secrecy::{ExposeSecret, SecretString};
use thiserror::Error;

use super::{Administration, now};
use crate::auth::AuthError;
use crate::auth::passwords::{NewPassword, PasswordRuleError, SignIn, Stored};
use crate::index::{Actor, FirstAdministrator, IndexError};

/// Why no first administrator was made.
#[derive(Debug, Error)]
pub enum SetupError {
    /// There are users, or no code was printed.
    #[error("there is nothing to set up: this registry has users, or gets them otherwise; sign in")]
    Done,
    /// The code is another one.
    #[error("the code is wrong: use the one that the server printed when it was started last")]
    Wrong,
    /// The name of the administrator became another account's.
    #[error("the name `{0}` is taken; set another one as auth.accounts.admin and restart")]
    Taken(String),
    /// The password cannot be used.
    #[error(transparent)]
    Password(#[from] PasswordRuleError),
    /// Too many codes or passwords wait to be checked, or the client sent too many wrong ones.
    #[error(transparent)]
    Busy(#[from] AuthError),
    /// The index failed.
    #[error("the index failed")]
    Index(#[from] IndexError),
}

impl Administration {
    /// Tells whether the registry waits for its first administrator.
    ///
    /// # Errors
    /// Those of the index.
    pub async fn needs_setup(&self) -> Result<bool, SetupError> {
        Ok(self.index.setup_code().await?.is_some())
    }

    /// Makes the first administrator with that password, and returns the name. The code is good once. Wrong ones are counted as
    /// wrong passwords are: a client that sends many has to pause.
    ///
    /// # Errors
    /// Why not.
    pub async fn set_up(
        &self,
        client: IpAddr,
        code: &SecretString,
        password: SecretString,
    ) -> Result<String, SetupError> {
        let Some(stored) = self.index.setup_code().await? else { return Err(SetupError::Done) };
        let password = NewPassword::new(password)?;
        let code: SecretString = code.expose_secret().trim().to_ascii_lowercase().into();
        // This is no account's name, so wrong codes count for this client alone, and never for a user.
        let user = format!("setup:{client}");
        let sign_in = SignIn { client, user: &user, password: &code };
        let Ok(hash) = stored.hash.expose_secret().parse() else { return Err(SetupError::Wrong) };
        let checked = self.checks.check(&self.setup_codes, sign_in, Stored::Known(hash)).await?;
        if !checked.is_right() {
            tracing::warn!(%client, "refused a setup code");
            return Err(SetupError::Wrong);
        }
        let hash = self.checks.hash(client, &user, password).await?;
        let actor = Actor { name: None, address: Some(client) };
        let (name, hash) = (stored.name, hash.as_str().into());
        match self.index.add_first_administrator(&name, &hash, &actor, now()).await? {
            FirstAdministrator::Made(_) => {
                tracing::info!(user = name, %client, "added the first administrator");
                Ok(name)
            }
            FirstAdministrator::Exists => Err(SetupError::Done),
            FirstAdministrator::Taken => Err(SetupError::Taken(name)),
        }
    }
}
