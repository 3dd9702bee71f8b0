//! All clients may do everything: for one machine, and for a network that is trusted as a whole.
//! Credentials are passed over, also such as no other method would take.

use std::net::IpAddr;

use async_trait::async_trait;

use super::super::policy::Open;
use super::super::{
    AccessControl, Act, AuthError, Caller, Challenge, Credentials, IdentityProvider, TokenIssuer,
    TokenService,
};
use super::{AuthContext, SetupError};
use crate::config::AuthSettings;

/// Makes the method.
#[expect(clippy::unnecessary_wraps, reason = "it is a row of the table, and others can fail")]
pub(super) fn open(_: &AuthSettings, _: &AuthContext<'_>) -> Result<AccessControl, SetupError> {
    Ok(access_control())
}

/// The same without settings.
pub(crate) fn access_control() -> AccessControl {
    AccessControl { provider: Box::new(Anonymous), policy: Box::new(Open) }
}

/// Takes every caller for an anonymous client.
struct Anonymous;

#[async_trait]
impl IdentityProvider for Anonymous {
    async fn identify(&self, _: &Credentials, _: IpAddr) -> Result<Caller, AuthError> {
        Ok(Caller::anonymous())
    }

    async fn refresh(&self) {}

    fn challenge(&self, _: Act<'_>) -> Option<Challenge> {
        None
    }

    fn issuer(&self) -> Option<&dyn TokenIssuer> {
        None
    }

    fn token_service(&self) -> Option<&TokenService> {
        None
    }
}
