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
    let hosts: Vec<String> = connections.iter().map(|it| it.client.host()).collect();
    let position = meant(&error.context, &hosts).unwrap_or_default();
    let Some(connection) = connections.get(position) else { return error.into() };
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

/// Returns which of these hosts a failure is about: the last one that its text names, since `cannot get a token from
/// auth.example for registry.example` is about the registry.
fn meant(context: &str, hosts: &[String]) -> Option<usize> {
    let mut words = context.split_whitespace().rev();
    words.find_map(|word| {
        let named = word.split(['/', '@']).next().unwrap_or_default();
        hosts.iter().position(|host| host == named)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_compared_whole() {
        let hosts = ["127.0.0.1:50", "127.0.0.1:5000", "a.example"].map(str::to_owned);
        for (context, position) in [
            ("cannot fetch manifest 127.0.0.1:5000/team/app:v1", Some(1)),
            ("cannot find blob 127.0.0.1:50/team/app@sha256:1", Some(0)),
            ("cannot list the repositories of a.example", Some(2)),
            ("cannot get a token from 127.0.0.1 for a.example", Some(2)),
            ("cannot get a token from 127.0.0.1:50 for 127.0.0.1:5000", Some(1)),
            ("cannot fetch manifest data.example/a.example/app:v1", None),
        ] {
            assert_eq!(meant(context, &hosts), position, "{context}");
        }
    }
}
