//! What `docker push` and `docker pull` ask of a registry, without a daemon: that the pages name the right
//! place and user is seen by it. tests/clients/docker.rs has the real one.

use roadstead::oci::{Algorithm, Digest};
use serde_json::json;

use crate::common::http::{self, Response};

/// A name and a password.
pub(crate) type User = Option<(String, String)>;

/// Pushes an image of one layer, which no other reference has.
pub(crate) fn push(reference: &str, user: &User) {
    let (host, name, tag) = split(reference);
    let blob = |bytes: &[u8]| {
        let digest = Digest::of(Algorithm::Sha256, bytes).to_string();
        let path = format!("/v2/{name}/blobs/uploads/?digest={digest}");
        let pushed = ask("POST", host, &path, user, bytes);
        assert_eq!(pushed.status, 201, "{reference}: {}", pushed.text());
        json!({ "mediaType": "text/plain", "digest": digest, "size": bytes.len() })
    };
    let media_type = "application/vnd.oci.image.manifest.v1+json";
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": media_type,
        "config": blob(b"{}"),
        "layers": [blob(reference.as_bytes())],
    });
    let path = format!("/v2/{name}/manifests/{tag}");
    let pushed = ask("PUT", host, &path, user, manifest.to_string().as_bytes());
    assert_eq!(pushed.status, 201, "{reference}: {}", pushed.text());
}

/// Pulls what was pushed.
pub(crate) fn pull(reference: &str, user: &User) {
    let (host, name, tag) = split(reference);
    let manifest = ask("GET", host, &format!("/v2/{name}/manifests/{tag}"), user, b"");
    assert_eq!(manifest.status, 200, "{reference}: {}", manifest.text());
    let digest = manifest.json()["layers"][0]["digest"].as_str().unwrap().to_owned();
    let layer = ask("GET", host, &format!("/v2/{name}/blobs/{digest}"), user, b"");
    assert_eq!((layer.status, layer.text()), (200, reference.to_owned()));
}

/// Sees whether somebody may sign in, and that nobody may by another password.
pub(crate) fn login(host: &str, user: &User) {
    assert_eq!(ask("GET", host, "/v2/", user, b"").status, 200);
    let stranger = Some(("stranger".to_owned(), "guess".to_owned()));
    assert_eq!(ask("GET", host, "/v2/", &stranger, b"").status, 401);
}

fn split(reference: &str) -> (&str, &str, &str) {
    let (host, rest) = reference.split_once('/').unwrap();
    let (name, tag) = rest.rsplit_once(':').unwrap();
    (host, name, tag)
}

/// Asks with TLS, or without where that is not spoken, as docker does on loopback.
fn ask(method: &str, host: &str, path: &str, user: &User, body: &[u8]) -> Response {
    let ask = |scheme: &str| {
        http::try_send(|client| {
            let method = method.parse().unwrap();
            let request = client.request(method, format!("{scheme}://{host}{path}"));
            match user {
                Some((name, password)) => request.basic_auth(name, Some(password)),
                None => request,
            }
            .body(body.to_vec())
        })
    };
    ask("https").or_else(|_| ask("http")).unwrap()
}
