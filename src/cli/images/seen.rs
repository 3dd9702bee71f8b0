//! What a Roadstead says of its images over its management API: more than other registries do, and without a pull.

use serde::Deserialize;
use serde_json::{Value, json};

use crate::cli::graphql;
use crate::client::Client;
use crate::oci::{Digest, Reference, RepositoryName, Tag};

/// How many images are requested at a time.
const AT_ONCE: u32 = 200;

/// How many pages are read at most.
const MOST_PAGES: usize = 1000;

const FIELDS: &str =
    "tag digest mediaType cid pushed pulls lastPulled config size { bytes own shared }";

/// An image.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct SeenImage {
    pub(super) tag: Option<String>,
    digest: String,
    media_type: String,
    cid: Option<String>,
    pushed: Option<String>,
    pulls: u64,
    last_pulled: Option<String>,
    config: Option<String>,
    size: Size,
}

/// In bytes.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct Size {
    bytes: u64,
    own: u64,
    shared: u64,
}

impl SeenImage {
    /// Returns its tag, if that is one.
    pub(super) fn tag(&self) -> Option<Tag> {
        self.tag.as_deref().and_then(|tag| tag.parse().ok())
    }

    /// Returns the digest of its config.
    pub(super) fn config(&self) -> Option<Digest> {
        self.config.as_deref().and_then(|config| config.parse().ok())
    }

    /// Returns it as JSON; `created` is the time that its config says.
    pub(super) fn described(&self, created: Option<&str>) -> Value {
        json!({
            "tag": self.tag,
            "digest": self.digest,
            "mediaType": self.media_type,
            "size": self.size.bytes,
            "own": self.size.own,
            "shared": self.size.shared,
            "cid": self.cid,
            "created": created,
            "pushed": self.pushed,
            "pulls": self.pulls,
            "lastPulled": self.last_pulled,
        })
    }

    /// Adds to the description of an image what only the registry knows.
    pub(super) fn add_to(&self, described: &mut Value) {
        let more = self.described(None);
        for name in ["own", "shared", "pushed", "pulls", "lastPulled"] {
            described[name] = more[name].clone();
        }
    }
}

/// Adds to the description of an image that the registry does not say these things.
pub(super) fn add_nothing_to(described: &mut Value) {
    for name in ["own", "shared", "pushed", "pulls", "lastPulled"] {
        described[name] = Value::Null;
    }
}

/// Lists the images of a repository by their tags; nothing where the registry has no such API, or not for this user. What
/// is answered may come from any registry.
pub(super) async fn images(client: &Client, repository: &RepositoryName) -> Option<Vec<SeenImage>> {
    let query = format!(
        "query($repository: String!, $after: String, $first: Int) {{ \
         images(repository: $repository, after: $after, first: $first) {{ items {{ {FIELDS} }} next }} }}"
    );
    let mut found = Vec::new();
    let mut after = Value::Null;
    for _ in 0..MOST_PAGES {
        let variables =
            json!({ "repository": repository.as_str(), "after": after, "first": AT_ONCE });
        let mut page = request(client, &query, variables).await?["images"].take();
        let items: Vec<SeenImage> = serde_json::from_value(page["items"].take()).ok()?;
        let is_end = page["next"].is_null() || items.is_empty();
        found.extend(items);
        if is_end {
            return Some(found);
        }
        after = page["next"].take();
    }
    None
}

/// Finds an image; nothing as for [`images`].
pub(super) async fn image(
    client: &Client,
    repository: &RepositoryName,
    reference: &Reference,
) -> Option<SeenImage> {
    let query = format!(
        "query($repository: String!, $reference: String!) {{ \
         image(repository: $repository, reference: $reference) {{ {FIELDS} }} }}"
    );
    let variables =
        json!({ "repository": repository.as_str(), "reference": reference.to_string() });
    let image = request(client, &query, variables).await?["image"].take();
    serde_json::from_value(image).ok()
}

/// Carries out a request; returns its data.
async fn request(client: &Client, query: &str, variables: Value) -> Option<Value> {
    let answer = client.graphql(graphql::PATH, query, variables).await.ok()?;
    graphql::data(answer).ok().filter(Value::is_object)
}
