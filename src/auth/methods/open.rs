//! All clients may do everything: for one machine, and for a network that is trusted as a whole.
//! Credentials are passed over, also such as no other method would take.

use std::net::IpAddr;

use async_trait::async_trait;

use super::super::{Act, AuthError, Authenticator, Identity};
use super::SetupError;
use crate::config::AuthSettings;

/// Makes the method.
#[expect(clippy::unnecessary_wraps, reason = "it is a row of the table, and others can fail")]
pub(super) fn open(_: &AuthSettings, _: &[u8; 32]) -> Result<Box<dyn Authenticator>, SetupError> {
    Ok(Box::new(Open))
}

struct Open;

#[async_trait]
impl Authenticator for Open {
    async fn identify(&self, _: Option<&str>, _: IpAddr) -> Result<Identity, AuthError> {
        Ok(Identity::default())
    }

    async fn decide(&self, _: &Identity, _: Act<'_>) -> Result<(), AuthError> {
        Ok(())
    }
}
