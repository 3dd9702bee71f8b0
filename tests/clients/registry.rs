//! A registry for one test, with what the test wants to know of it.

use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::common::{Server, http};
use crate::target::Target;

/// How long a line of the log may come after the answer that it is about.
const PATIENCE: Duration = Duration::from_secs(5);

/// Media types of all manifests that the tests push.
pub(crate) const MANIFESTS: &str = "application/vnd.oci.image.manifest.v1+json,\
    application/vnd.oci.image.index.v1+json,\
    application/vnd.docker.distribution.manifest.v2+json,\
    application/vnd.docker.distribution.manifest.list.v2+json";

/// A registry of the test's own.
pub(crate) struct Registry {
    server: Server,
    target: Target,
}

/// A request that the registry answered.
#[derive(Debug)]
pub(crate) struct Request {
    /// Its method and path: `GET /v2/`.
    pub(crate) line: String,
    pub(crate) status: u64,
    pub(crate) received: u64,
}

impl Registry {
    pub(crate) fn start() -> Self {
        let server = Server::start();
        let target = Target::of(&server);
        Self { server, target }
    }

    /// What its clients have to be told.
    pub(crate) fn target(&self) -> &Target {
        &self.target
    }

    /// As [`Target::reference`].
    pub(crate) fn reference(&self, name: &str) -> String {
        self.target.reference(name)
    }

    /// What the registry answers for `/v2/<repository>/manifests/<reference>`.
    pub(crate) fn manifest(&self, repository: &str, reference: &str) -> http::Response {
        let url = self.target.url(&format!("/v2/{repository}/manifests/{reference}"));
        http::send(|client| client.get(&url).header("Accept", MANIFESTS))
    }

    /// The digest of the manifest that `reference` names; panics when there is none.
    pub(crate) fn digest(&self, repository: &str, reference: &str) -> String {
        let response = self.manifest(repository, reference);
        assert_eq!(response.status, 200, "{repository}, {reference}: {}", response.text());
        response.header("Docker-Content-Digest").to_owned()
    }

    /// The digest of the config of an image, by which clients know the image in their stores.
    pub(crate) fn config(&self, repository: &str, reference: &str) -> String {
        let manifest = self.manifest(repository, reference).json();
        manifest["config"]["digest"].as_str().expect("an image has a config").to_owned()
    }

    /// The names of all repositories.
    pub(crate) fn repositories(&self) -> Vec<String> {
        strings(&http::get(&self.target.url("/v2/_catalog")).json()["repositories"])
    }

    /// The tags of a repository.
    pub(crate) fn tags(&self, repository: &str) -> Vec<String> {
        let answer = http::get(&self.target.url(&format!("/v2/{repository}/tags/list"))).json();
        strings(&answer["tags"])
    }

    /// The descriptors of what refers to the manifest.
    pub(crate) fn referrers(&self, repository: &str, digest: &str) -> Vec<Value> {
        let url = self.target.url(&format!("/v2/{repository}/referrers/{digest}"));
        let answer = http::get(&url).json();
        answer["manifests"].as_array().expect("an index has manifests").clone()
    }

    /// What was asked about a repository, once the push of a manifest to it was logged.
    pub(crate) fn push_of(&self, repository: &str) -> Vec<Request> {
        let manifests = format!("PUT /v2/{repository}/manifests/");
        let begun = Instant::now();
        loop {
            let requests = self.requests(repository);
            if requests.iter().any(|request| request.line.starts_with(&manifests)) {
                return requests;
            }
            let waited = begun.elapsed();
            assert!(waited < PATIENCE, "nothing was pushed to {repository}: {requests:?}");
            thread::sleep(Duration::from_millis(10));
        }
    }

    fn requests(&self, repository: &str) -> Vec<Request> {
        let lines = self.server.log();
        lines
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .filter(|line: &Value| {
                line.get("duration_ms").is_some() && line["repository"] == json!(repository)
            })
            .map(|line| Request {
                line: line["message"].as_str().expect("a line has a message").to_owned(),
                status: line["status"].as_u64().unwrap_or_default(),
                received: line["received_bytes"].as_u64().expect("a line has a size"),
            })
            .collect()
    }
}

impl Request {
    /// Whether it brought a part of a blob.
    pub(crate) fn is_upload(&self) -> bool {
        self.line.contains("/blobs/uploads/") && self.received > 0
    }

    /// Whether it made a blob of another repository one of this.
    pub(crate) fn is_mount(&self) -> bool {
        self.line.starts_with("POST ") && self.status == 201 && self.received == 0
    }
}

fn strings(list: &Value) -> Vec<String> {
    let items = list.as_array().unwrap_or_else(|| panic!("not a list: {list}"));
    items.iter().map(|item| item.as_str().expect("a word").to_owned()).collect()
}
