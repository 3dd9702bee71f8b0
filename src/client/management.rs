//! A registry's management API over GraphQL, where it has one.

use reqwest::Method;
use serde_json::{Value, json};

use super::connection::Client;
use super::content::Content;
use super::error::Result;
use super::token::Scope;

impl Client {
    /// Carries out a GraphQL request at a path of the registry, and returns the answer: an object with `data`, `errors` or
    /// both. It signs in by name and password, as the registry's challenge demands.
    ///
    /// ```no_run
    /// # // It needs a registry.
    /// use roadstead::client::Client;
    /// use serde_json::json;
    ///
    /// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// let client = Client::new("https://registry.example")?;
    /// let answer = client.graphql("/graphql", "{ viewer { name } }", json!({})).await?;
    /// println!("{}", answer["data"]);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Unauthorized`](super::ClientErrorKind::Unauthorized) if the credentials are missing or wrong,
    /// [`NotFound`](super::ClientErrorKind::NotFound) if there is no such API.
    pub async fn graphql(&self, path: &str, query: &str, variables: Value) -> Result<Value> {
        let context = format!("cannot administer the registry {}", self.host());
        let body = json!({ "query": query, "variables": variables });
        self.post_json(path, &body, context).await
    }

    /// Sends JSON to that path, and returns the JSON that is answered. `context` is how an error begins.
    ///
    /// # Errors
    /// As [`Client::graphql`].
    pub(crate) async fn post_json(
        &self,
        path: &str,
        body: &Value,
        context: String,
    ) -> Result<Value> {
        let body = Content::from(body.to_string().into_bytes());
        let request = self.request(Method::POST, self.url(path, &[]), Scope::default(), context);
        let request = request.typed("application/json", body.part(0..body.size()));
        request.expect(&[200, 201]).await?.json(self.shared.limits.page).await
    }
}
