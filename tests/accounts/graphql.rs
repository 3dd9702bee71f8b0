//! Requests to the management API.

use serde_json::{Value, json};

use super::team::Sender;
use crate::common::Server;
use crate::common::http::{self, Response};

/// Sends a request, where the server may be gone.
pub(super) fn try_post(
    url: &str,
    sender: &Sender,
    query: &str,
) -> Result<Response, reqwest::Error> {
    http::try_send(|client| {
        let request = client.post(url).json(&json!({ "query": query }));
        match sender {
            Sender::Nobody => request,
            Sender::Basic(user, password) => request.basic_auth(user, Some(password)),
            Sender::Bearer(token) => request.bearer_auth(token),
        }
    })
}

/// Carries out a request that succeeds, and returns its data.
pub(super) fn run(server: &Server, sender: &Sender, query: &str) -> Value {
    let answer = try_post(&server.url("/graphql"), sender, query);
    let answer = answer.unwrap_or_else(|error| panic!("no answer: {error}"));
    assert_eq!(answer.status, 200, "{}", answer.text());
    let mut answer = answer.json();
    assert!(answer.get("errors").is_none(), "{query}: {answer}");
    answer["data"].take()
}
