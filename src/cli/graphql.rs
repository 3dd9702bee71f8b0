//! What the management API of a registry answers, for all commands that use it.

use serde_json::Value;

/// Where the management API is.
pub(super) const PATH: &str = "/graphql";

/// Why a request was refused.
pub(super) struct Refusal {
    /// The code for programs.
    pub(super) code: String,
    /// What the registry says.
    pub(super) message: String,
}

/// Returns the data of an answer, or why the request was refused.
pub(super) fn data(mut answer: Value) -> Result<Value, Refusal> {
    let errors = answer["errors"].as_array().into_iter().flatten();
    let messages: Vec<&str> = errors.filter_map(|error| error["message"].as_str()).collect();
    if messages.is_empty() {
        return Ok(answer["data"].take());
    }
    let code = answer["errors"][0]["extensions"]["code"].as_str().unwrap_or_default().to_owned();
    Err(Refusal { code, message: messages.join("\n") })
}
