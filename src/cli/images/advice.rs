//! What to do about a failure.

use anyhow::anyhow;

use crate::cli::connection::Connection;
use crate::client::{ClientError, ClientErrorKind};
use crate::images::ImageError;

/// Makes a message of a failure that says what to do.
pub(super) fn advised(error: ImageError, connections: &[&Connection]) -> anyhow::Error {
    match error {
        ImageError::Registry(error) => registry(error, connections),
        error => error.into(),
    }
}

/// Makes a message of the failure of a registry.
pub(super) fn registry(error: ClientError, connections: &[&Connection]) -> anyhow::Error {
    if error.kind != ClientErrorKind::Unauthorized {
        return error.into();
    }
    let is_meant = |it: &&&Connection| error.context.contains(&it.client.host());
    let Some(connection) = connections.iter().find(is_meant).or(connections.first()) else {
        return error.into();
    };
    let host = &connection.host;
    let advice = if connection.is_signed_in {
        format!(
            "{host} answers 401: there is no such repository, or the credentials are not good for it; \
             to sign in anew run roadstead login {host}"
        )
    } else {
        format!("{host} answers 401: run roadstead login {host}")
    };
    anyhow!(error).context(advice)
}
