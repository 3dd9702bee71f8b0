//! Names of repositories: which there are, which are somebody else's.

use serde_json::json;

use crate::common::connection::ask;
use crate::common::content::{NOBODYS, OCI_MANIFEST, image, sha256};
use crate::common::repository::{Repository, assert_refused};
use crate::common::{Server, http};

const CID: &str = "bafybeiczsscdsbs7ffqz55asqdf3smv6klcw3gofszvwlyarci47bgf354";
const KEY: &str = "k51qzi5uqu5dlvj2baxnqndepeb86cbk3ng7n3i46uzyxzyqj2xjonzllnv0v8";

/// A push, a pull and the lists of an image work under that name, next to its neighbours.
fn assert_works(server: &Server, name: &str) {
    let repository = Repository::of(server, name);
    let pushed = repository.push_image("v1", name);
    for reference in ["v1", &pushed.digest] {
        let pulled = repository.get(&format!("manifests/{reference}"));
        assert!(pulled.body == pushed.manifest, "{name}: {}", pulled.text());
    }
    let upload = repository.begin();
    assert_eq!(upload.stream(name.as_bytes()).status, 202, "{name}");
    assert_eq!(upload.status().status, 204, "{name}");
    assert_eq!(upload.finish(&sha256(name.as_bytes())).status, 201, "{name}");
    let list = repository.get("tags/list").json();
    assert_eq!(list, json!({ "name": name, "tags": ["v1"] }));
    let referrers = repository.get(&format!("referrers/{}", pushed.digest));
    assert_eq!(referrers.status, 200, "{name}");
}

#[test]
fn a_domain_in_another_spelling_is_refused_with_the_one_that_works() {
    let server = Server::start();
    let right = "xn--bcher-kva.example/team/app";
    for written in ["b%C3%BCcher.example/team/app", "B%C3%9Ccher.Example./team/app"] {
        for rest in ["manifests/v1", "tags/list", "blobs/uploads/"] {
            let url = server.url(&format!("/v2/{written}/{rest}"));
            let answer = match rest {
                "blobs/uploads/" => http::send(|client| client.post(&url)),
                _ => http::get(&url),
            };
            assert_refused(&answer, 400, "NAME_INVALID");
            assert!(answer.text().contains(right), "{}", answer.text());
        }
        let head =
            http::send(|client| client.head(server.url(&format!("/v2/{written}/manifests/v1"))));
        assert_eq!(head.status, 400);
    }
    let other = http::get(&server.url("/v2/b%C3%BCcher/app/manifests/v1"));
    assert_refused(&other, 400, "NAME_INVALID");
    assert!(!other.text().contains("xn--"), "{}", other.text());
}

#[test]
fn names_that_look_like_paths_of_the_api_are_names() {
    let server = Server::start();
    let names = [
        "v2",
        "tags/list",
        "tags",
        "list",
        "a/blobs/uploads/b",
        "a/blobs/uploads",
        "a/blobs",
        "blobs/uploads",
        "a/manifests/b",
        "a/manifests",
        "manifests/latest",
        "a/referrers/b",
        "a/tags/list",
        "v2/v2",
        "uploads/uploads/uploads",
    ];
    for name in names {
        assert_works(&server, name);
    }
    let mut expected = names;
    expected.sort_unstable();
    let catalog = http::get(&server.url("/v2/_catalog")).json();
    assert_eq!(catalog, json!({ "repositories": expected }));
}

#[test]
fn names_have_up_to_255_characters_of_any_depth() {
    let server = Server::start();
    let deep = format!("{}a", "a/".repeat(127));
    for name in [&"a".repeat(255), &deep, "e_f/a--b__c.d", "0", "my.app"] {
        assert_works(&server, name);
    }
    let response = Repository::of(&server, &"a".repeat(256)).get("tags/list");
    assert_refused(&response, 400, "NAME_INVALID");
}

#[test]
fn a_malformed_name_is_refused_on_every_path() {
    let server = Server::start();
    for name in ["A", "a_", "-a", "a..b", "a___b", "_a", "a.", "a/B", "a/_b/c", "a:b", "a/.b", "ä"]
    {
        let repository = Repository::of(&server, name);
        for response in [
            repository.get("tags/list"),
            repository.get("manifests/v1"),
            repository.get(&format!("blobs/{NOBODYS}")),
            repository.get(&format!("referrers/{NOBODYS}")),
            repository.post("blobs/uploads/"),
            repository.put("v1", OCI_MANIFEST, b"{}"),
            repository.delete("manifests/v1"),
            repository.delete(&format!("blobs/{NOBODYS}")),
        ] {
            assert_refused(&response, 400, "NAME_INVALID");
        }
    }
}

#[test]
fn a_path_that_climbs_is_refused() {
    let server = Server::start();
    Repository::of(&server, "team/app").push_image("v1", "word");
    for name in [
        "team/../team/app",
        "team/%2e%2e/team/app",
        "%2e%2e/%2e%2e/etc",
        "..%2f..%2fetc",
        "team%2fapp",
        "team/.%2e/app",
        "./team/app",
        "team/app%00",
        "%00",
        "team//app",
        "/team/app",
        "team/app/",
        "team/app%20",
        "team/app%2F",
        "team\\app",
        "team/%ff",
        "team/app%25",
        "%252e%252e/app",
    ] {
        let answer = ask(&server, "GET", &format!("/v2/{name}/manifests/v1"), &[]);
        assert_eq!((answer.status, answer.code().as_str()), (400, "NAME_INVALID"), "{name}");
        let answer = ask(&server, "POST", &format!("/v2/{name}/blobs/uploads/"), &[]);
        assert_eq!((answer.status, answer.code().as_str()), (400, "NAME_INVALID"), "{name}");
    }
    for (reference, method, status, code) in [
        ("%2e%2e", "GET", 404, "MANIFEST_UNKNOWN"),
        ("%2e%2e", "PUT", 400, "TAG_INVALID"),
        ("..", "GET", 404, "MANIFEST_UNKNOWN"),
        ("..", "PUT", 400, "TAG_INVALID"),
        ("v1%00", "PUT", 400, "TAG_INVALID"),
        ("v1%2f..", "PUT", 400, "TAG_INVALID"),
        ("sha256:%2e%2e", "GET", 400, "DIGEST_INVALID"),
    ] {
        let target = format!("/v2/team/app/manifests/{reference}");
        let answer = ask(&server, method, &target, &[("Content-Length", "0")]);
        assert_eq!((answer.status, answer.code().as_str()), (status, code), "{method} {reference}");
    }
    // What a client would tidy up is no path of the API.
    for target in ["//v2/", "/v2//", "/v2/../v2/", "/%76%32/x", "/v2/team/app/tags//list"] {
        assert_eq!(ask(&server, "GET", target, &[]).status, 404, "{target}");
    }
}

#[test]
fn an_encoded_letter_is_the_letter() {
    let server = Server::start();
    let pushed = Repository::of(&server, "team/app").push_image("v1", "word");
    let answer = ask(&server, "GET", "/v2/t%65am/app/manifests/%76%31", &[]);
    assert!(answer.body == pushed.manifest, "{}", answer.text());
}

#[test]
fn a_name_under_somebodys_root_cannot_be_pushed_to_or_deleted_from() {
    // What is read there is asked of others, in tests/federation.
    let server = Server::start_with(|command| {
        command.env("ROADSTEAD_FEDERATION__ENABLED", "false");
    });
    for first in ["example.com", "docker.io", "localhost.localdomain", "1.2", CID, KEY] {
        let repository = Repository::of(&server, &format!("{first}/app"));
        for response in [
            repository.post("blobs/uploads/"),
            repository.post(&format!("blobs/uploads/?mount={NOBODYS}&from=a")),
            repository.put("v1", OCI_MANIFEST, image(b"config", &[]).to_string().as_bytes()),
            repository.delete("manifests/v1"),
            repository.delete(&format!("blobs/{NOBODYS}")),
        ] {
            assert_refused(&response, 403, "DENIED");
            let text = response.text();
            assert!(text.contains(first) && text.contains("local_namespaces"), "{text}");
        }
        assert_refused(&repository.get("manifests/v1"), 404, "MANIFEST_UNKNOWN");
    }
}

#[test]
fn a_name_that_only_resembles_a_root_is_local() {
    let server = Server::start();
    let cut = &CID[..20];
    for name in ["my.app", "localhost/app", &format!("{cut}/app"), &format!("app/{CID}"), "a/b.c/d"]
    {
        assert_works(&server, name);
    }
    assert_works(&server, CID);
    assert_works(&server, KEY);
}

#[test]
fn a_namespace_may_be_declared_local() {
    let server = Server::start_with(|command| {
        command.env("ROADSTEAD_SERVER__LOCAL_NAMESPACES", "docker.io,ghcr.io");
    });
    assert_works(&server, "docker.io/library/alpine");
    assert_works(&server, "ghcr.io/app");
    let response = Repository::of(&server, "quay.io/app").post("blobs/uploads/");
    assert_refused(&response, 403, "DENIED");
}
