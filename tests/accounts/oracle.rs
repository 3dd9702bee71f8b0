//! Two registries that differ only in what is hidden: to who may not see it, every answer is the same.

use reqwest::Method;
use serde_json::json;

use super::team::{Sender, Team, send, user};
use super::undeletion::{purge, undelete};
use crate::common::content::{image, sha256};
use crate::common::http::{self, Response};
use crate::common::succeed;

/// What hidden repositories have.
const SECRET: &[u8] = b"of a hidden repository";

/// An answer without what differs in each registry, and from one request to the next.
fn comparable(team: &Team, answer: &Response) -> String {
    let address = team.server.address();
    let mut lines = vec![answer.status.to_string()];
    for (name, value) in &answer.headers {
        let value = String::from_utf8_lossy(value.as_bytes()).replace(address, "ADDRESS");
        match name.as_str() {
            "date" | "last-modified" | "docker-upload-uuid" => lines.push(name.to_string()),
            "location" => {
                let path = value.split("/uploads/").next().unwrap_or_default();
                lines.push(format!("location: {path}"));
            }
            _ => lines.push(format!("{name}: {value}")),
        }
    }
    lines.sort();
    let mut body = answer.text().replace(address, "ADDRESS");
    // A token differs each time; what it is good for does not.
    if answer.status == 200 && body.contains("\"access_token\"") {
        body = super::team::claims(answer)["access"].to_string();
        lines.retain(|line| !line.starts_with("content-length"));
    }
    format!("{}\n{body}", lines.join("\n"))
}

fn with_header(
    team: &Team,
    method: &Method,
    path: &str,
    sender: &Sender,
    (name, value): (&'static str, &str),
) -> Response {
    http::send(|client| {
        let request = client.request(method.clone(), team.server.url(path)).header(name, value);
        match sender {
            Sender::Nobody => request,
            Sender::Basic(user, password) => request.basic_auth(user, Some(password)),
            Sender::Bearer(token) => request.bearer_auth(token),
        }
    })
}

/// What it may ask the management API.
fn queries(digest: &str) -> Vec<String> {
    vec![
        "{ repositories(first: 1) { items { name visibility } next } }".to_owned(),
        "{ repositories { items { name visibility } next } }".to_owned(),
        "{ namespaces { items { name } next } }".to_owned(),
        "{ grants { items { holder role pattern } next } }".to_owned(),
        "{ quotas { items { namespace usedBytes } next } }".to_owned(),
        "{ usage { items { namespace bytes unreferenced repositories tags } next } }".to_owned(),
        // Of fields beside each other those come first that are found first.
        "{ repositories { items { contents { tags manifests bytes unreferenced } } } }".to_owned(),
        "{ images(repository: \"team/secret\") { items { size { bytes shared } } } }".to_owned(),
        "{ images(repository: \"hidden\") { items { digest } } }".to_owned(),
        "{ images(repository: \"team/open\") { items { size { bytes own shared } } } }".to_owned(),
        "{ image(repository: \"team/secret\", reference: \"v1\") { size { bytes } } }".to_owned(),
        "{ image(repository: \"team/secret\", reference: \"-no tag\") { digest } }".to_owned(),
        "{ tokens { items { id name } next } }".to_owned(),
        "{ robots { items { name } next } }".to_owned(),
        "{ audit { items { kind user repository } next } }".to_owned(),
        "mutation { setVisibility(name: \"team/secret\", visibility: PUBLIC) { name } }".to_owned(),
        "mutation { removeRepository(name: \"team/secret\") }".to_owned(),
        "mutation { removeRepository(name: \"hidden\") }".to_owned(),
        "mutation { undelete(repository: \"team/secret\", reference: \"v1\") { digest } }"
            .to_owned(),
        "mutation { undelete(repository: \"hidden\", reference: \"v1\") { digest } }".to_owned(),
        purge("team/secret", digest),
        purge("hidden", digest),
        purge("carl/app", digest),
        undelete("carl/app", digest),
        "mutation { addNamespace(name: \"hidden\") { name } }".to_owned(),
        "mutation { addNamespace(name: \"team\") { name } }".to_owned(),
    ]
}

/// Everything that a stranger may request, by this sender.
fn answers(team: &Team, sender: &Sender) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut note = |what: String, answer: &Response| found.push((what, comparable(team, answer)));
    let manifest = image(SECRET, &[]).to_string().into_bytes();
    let (blob, digest) = (sha256(SECRET), sha256(&manifest));
    let repositories =
        ["team/secret", "team/hidden", "team/absent", "hidden", "absent", "a", "team"];
    for name in repositories {
        for (method, rest) in [
            (Method::GET, "manifests/v1".to_owned()),
            (Method::HEAD, "manifests/v1".to_owned()),
            (Method::GET, format!("manifests/{digest}")),
            (Method::GET, format!("blobs/{blob}")),
            (Method::HEAD, format!("blobs/{blob}")),
            (Method::GET, "tags/list".to_owned()),
            (Method::GET, "tags/list?n=0".to_owned()),
            (Method::GET, "tags/list?n=1".to_owned()),
            (Method::GET, format!("referrers/{digest}")),
            (Method::POST, "blobs/uploads/".to_owned()),
            (Method::POST, format!("blobs/uploads/?mount={blob}&from=team/open")),
            (Method::PUT, "manifests/v1".to_owned()),
            (Method::DELETE, "manifests/v1".to_owned()),
            (Method::DELETE, format!("blobs/{blob}")),
            (Method::OPTIONS, "manifests/v1".to_owned()),
            (Method::GET, "manifests/-not-a-tag".to_owned()),
            (Method::GET, "blobs/not-a-digest".to_owned()),
        ] {
            let path = format!("/v2/{name}/{rest}");
            let answer = send(&team.server, method.clone(), &path, sender, Vec::new());
            note(format!("{method} {path}"), &answer);
        }
        for header in [
            ("If-None-Match", &*format!("\"{blob}\"")),
            ("If-None-Match", "*"),
            ("Range", "bytes=0-3"),
            ("Origin", "https://page.example"),
        ] {
            let path = format!("/v2/{name}/blobs/{blob}");
            let answer = with_header(team, &Method::GET, &path, sender, header);
            note(format!("GET {path} {header:?}"), &answer);
        }
        let scope = format!("repository:{name}:pull,push,delete");
        note(format!("token for {scope}"), &team.token(sender, &[&scope, "registry:catalog:*"]));
    }
    // A mount that names a hidden source, or none, into what the sender may write to.
    for from in ["", "&from=team/secret", "&from=team/absent", "&from=hidden"] {
        let path = format!("/v2/carl/app/blobs/uploads/?mount={blob}{from}");
        let answer = send(&team.server, Method::POST, &path, sender, Vec::new());
        note(format!("POST {path}"), &answer);
    }
    for path in ["", "?n=0", "?n=1", "?n=2", "?n=1000", "?n=1&last=team/inner", "?n=1&last=team/o"]
    {
        let path = format!("/v2/_catalog{path}");
        note(format!("GET {path}"), &team.get(&path, sender));
    }
    for query in queries(&digest) {
        let Sender::Basic(name, password) = sender else { continue };
        let answer = http::send(|client| {
            let request = client.post(team.server.url("/graphql")).json(&json!({ "query": query }));
            request.basic_auth(name, Some(password))
        });
        note(query, &answer);
    }
    let root = succeed(&mut team.server.command(["root"])).trim().to_owned();
    let hidden = roadstead::oci::CanonicalDigest::of(SECRET);
    let hash = multihash::Multihash::wrap(0x12, &hidden.0).expect("32 bytes fit");
    let hidden = cid::Cid::new_v1(0x55, hash);
    for path in [
        "/healthz".to_owned(),
        "/readyz".to_owned(),
        "/metrics".to_owned(),
        "/setup".to_owned(),
        "/v2/".to_owned(),
        format!("/ipfs/{root}?format=car"),
        format!("/ipfs/{hidden}?format=raw"),
        format!("/routing/v1/providers/{hidden}"),
    ] {
        note(format!("GET {path}"), &team.get(&path, sender));
    }
    found
}

#[test]
fn two_registries_that_differ_in_what_is_hidden_answer_the_same() {
    let [with, without] = [true, false].map(|is_hidden| {
        let team = Team::start();
        let root = user("root");
        assert_eq!(team.push("team/open", &root), [201, 201]);
        assert_eq!(team.push("team/inner", &root), [201, 201]);
        // A namespace is no secret; what is in it is.
        let namespace = |name: &str| {
            let query = format!("mutation {{ addNamespace(name: \"{name}\") {{ name }} }}");
            super::management::run(&team, &root, &query);
        };
        namespace("hidden");
        if is_hidden {
            for name in ["team/secret", "team/hidden", "hidden"] {
                let path = format!("/v2/{name}/blobs/uploads/?digest={}", sha256(SECRET));
                let pushed = team.send(Method::POST, &path, &root, SECRET.to_vec());
                assert_eq!(pushed.status, 201, "{}", pushed.text());
                for tag in ["v1", "v2"] {
                    let manifest = image(SECRET, &[]).to_string().into_bytes();
                    let path = format!("/v2/{name}/manifests/{tag}");
                    assert_eq!(team.send(Method::PUT, &path, &root, manifest).status, 201);
                }
            }
        }
        team
    });
    for name in ["", "carl"] {
        let sender = if name.is_empty() { Sender::Nobody } else { user(name) };
        let (one, other) = (answers(&with, &sender), answers(&without, &sender));
        assert_eq!(one.len(), other.len());
        for ((what, one), (_, other)) in one.into_iter().zip(other) {
            assert_eq!(one, other, "{name}: {what}");
        }
    }
    // It is a test of what it says: who may see it is answered otherwise.
    let pull = |team: &Team| team.get("/v2/team/secret/manifests/v1", &user("anna")).status;
    assert_eq!((pull(&with), pull(&without)), (200, 404));
}
