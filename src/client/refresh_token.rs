//! Refresh tokens, which stand in the place of a password for a while.

use std::time::Duration;

use reqwest::Method;
use secrecy::SecretString;

use super::challenge::Challenge;
use super::connection::Client;
use super::error::Result;
use super::token::Scope;

impl Client {
    /// Gets a refresh token for the client's password, which is good for that long at a Roadstead, and as long as the token
    /// service likes at others; none where the registry's users have no such tokens.
    ///
    /// # Errors
    /// As [`Client::ping`].
    pub(crate) async fn refresh_token(&self, lifetime: Duration) -> Result<Option<SecretString>> {
        let context = format!("cannot reach the registry {}", self.host());
        let request = self.request(Method::GET, self.url("/v2/", &[]), Scope::default(), context);
        let answer = request.send_unsigned().await?;
        if answer.status() != 401 || answer.is_foreign() {
            return Ok(None);
        }
        let challenges = Challenge::of(answer.headers());
        self.shared.authorizer.refresh_token(&challenges, lifetime).await
    }
}
