//! What only a Roadstead can do with images, over its management API.

use anyhow::anyhow;
use serde_json::Value;

use super::advice::registry;
use crate::cli::connection::Connection;
use crate::cli::graphql;
use crate::client::ClientErrorKind;

/// Carries out a request, and returns its data. `doing` says what it is for: `purge`.
pub(super) async fn manage(
    connection: &Connection,
    doing: &str,
    query: &str,
    variables: Value,
) -> anyhow::Result<Value> {
    let answer = connection.client.graphql(graphql::PATH, query, variables).await;
    let answer = answer.map_err(|error| match error.kind {
        ClientErrorKind::NotFound => anyhow!(
            "cannot {doing} at {}: it is no Roadstead with accounts, or an older one",
            connection.host
        ),
        _ => registry(error, &[connection]),
    })?;
    graphql::data(answer).map_err(|refusal| anyhow!("cannot {doing}: {}", refusal.message))
}

/// Returns the public root of a Roadstead with accounts, as far as it tells.
pub(super) async fn root(connection: &Connection) -> Option<String> {
    let data = manage(connection, "find the root", "{ root }", Value::Null).await.ok()?;
    data["root"].as_str().map(str::to_owned)
}
