//! What only a Roadstead can do with images, over its management API.

use anyhow::{anyhow, bail};
use serde_json::Value;

use super::advice::registry;
use crate::cli::connection::Connection;
use crate::client::ClientErrorKind;

/// Where the management API is.
const PATH: &str = "/graphql";

/// Carries out a request, and returns its data. `doing` says what it is for: `purge`.
pub(super) async fn manage(
    connection: &Connection,
    doing: &str,
    query: &str,
    variables: Value,
) -> anyhow::Result<Value> {
    let answer = connection.client.graphql(PATH, query, variables).await;
    let mut answer = answer.map_err(|error| match error.kind {
        ClientErrorKind::NotFound => anyhow!(
            "cannot {doing} at {}: it is no Roadstead with accounts, or an older one",
            connection.host
        ),
        _ => registry(error, &[connection]),
    })?;
    let errors = answer["errors"].as_array().into_iter().flatten();
    let messages: Vec<&str> = errors.filter_map(|error| error["message"].as_str()).collect();
    if !messages.is_empty() {
        bail!("cannot {doing}: {}", messages.join("\n"));
    }
    Ok(answer["data"].take())
}

/// Returns the public root of a Roadstead with accounts, as far as it tells.
pub(super) async fn root(connection: &Connection) -> Option<String> {
    let data = manage(connection, "find the root", "{ root }", Value::Null).await.ok()?;
    data["root"].as_str().map(str::to_owned)
}
