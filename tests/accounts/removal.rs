//! Repositories that are removed or withdrawn: what is left of them for clients and for the gateway.

use cid::Cid;
use reqwest::Method;
use serde_json::json;

use super::management::{refused, run};
use super::team::{Sender, Team, user};
use crate::common::connection::Connection;
use crate::common::content::{image, noise, sha256};
use crate::common::{http, succeed};

pub(super) fn remove(name: &str) -> String {
    format!("mutation {{ removeRepository(name: \"{name}\") }}")
}

fn root(team: &Team) -> Cid {
    let root = succeed(&mut team.server.command(["root"]));
    root.trim().parse().expect("it is a CID")
}

#[test]
fn an_owner_removes_a_repository_with_all_that_it_has() {
    let team = Team::start();
    for name in ["team/secret", "team/open", "team/inner"] {
        assert_eq!(team.push(name, &user("anna")), [201, 201], "{name}");
    }
    let of_anna = Sender::Basic("anna".to_owned(), team.secrets.of_anna.clone());
    for (sender, name, code) in [
        (user("carl"), "team/secret", "NOT_FOUND"),
        (user("carl"), "team/absent", "NOT_FOUND"),
        (user("carl"), "team/open", "DENIED"),
        (user("will"), "team/secret", "DENIED"),
        (of_anna, "team/secret", "NOT_FOUND"),
        (user("anna"), "team/absent", "NOT_FOUND"),
        (user("anna"), "Team/Secret", "INVALID"),
        (user("anna"), "example.com/app", "DENIED"),
    ] {
        assert_eq!(refused(&team, &sender, &remove(name)), code, "{sender:?} {name}");
    }
    let pull = |name: &str| team.get(&format!("/v2/{name}/manifests/v1"), &user("anna")).status;
    let blob = format!("blobs/{}", sha256(b"config"));
    for name in ["team/secret", "team/open"] {
        assert_eq!(pull(name), 200);
        run(&team, &user("anna"), &remove(name));
        assert_eq!(pull(name), 404, "{name}");
        assert_eq!(team.get(&format!("/v2/{name}/{blob}"), &user("anna")).status, 404);
        assert_eq!(team.get(&format!("/v2/{name}/tags/list"), &user("anna")).status, 404);
        assert_eq!(refused(&team, &user("anna"), &remove(name)), "NOT_FOUND", "again");
    }
    assert_eq!(pull("team/inner"), 200, "which has the same content");
    let catalog = team.get("/v2/_catalog", &user("anna")).json();
    assert_eq!(catalog["repositories"], json!(["team/inner"]));
    let query = "{ audit(repository: \"team/open\") { items { kind user detail } } }";
    let log = run(&team, &user("root"), query);
    let events = log["audit"]["items"].as_array().expect("it is a list").iter();
    let deleted: Vec<_> = events.filter(|event| event["kind"] == "delete").collect();
    let expected = json!({ "kind": "delete", "user": "anna", "detail": "the repository" });
    assert_eq!(deleted, [&expected], "{log}");
    // A later one of that name is a new one: private, without what the other had.
    let manifest = image(b"config", &[]).to_string().into_bytes();
    let put = team.send(Method::PUT, "/v2/team/open/manifests/v1", &user("anna"), manifest);
    assert_eq!(put.status, 400, "{}", put.text());
    assert_eq!(team.push("team/open", &user("anna")), [201, 201]);
    assert_eq!(team.get("/v2/team/open/manifests/v1", &Sender::Nobody).status, 401);
    succeed(&mut team.server.command(["root"]));
}

#[test]
fn an_upload_under_way_does_not_bring_a_removed_repository_back() {
    let team = Team::start();
    let anna = user("anna");
    assert_eq!(team.push("team/secret", &anna), [201, 201]);
    let uploads = "/v2/team/secret/blobs/uploads/";
    let begun = team.send(Method::POST, uploads, &anna, Vec::new());
    let below = |location: &str| location.trim_start_matches(&team.server.url("")).to_owned();
    let path = below(begun.header("location"));
    let appended = team.send(Method::PATCH, &path, &anna, b"layer".to_vec());
    assert_eq!(appended.status, 202);
    run(&team, &anna, &remove("team/secret"));
    let path = below(appended.header("location"));
    let sign = if path.contains('?') { '&' } else { '?' };
    let end = format!("{path}{sign}digest={}", sha256(b"layer"));
    let ended = team.send(Method::PUT, &end, &anna, Vec::new());
    assert_eq!(ended.status, 404, "{}", ended.text());
    assert_eq!(team.get("/v2/team/secret/tags/list", &anna).status, 404);
    let report = succeed(&mut team.server.command(["check", "--json"]));
    let report: serde_json::Value = serde_json::from_str(&report).expect("it is JSON");
    assert_eq!(report["orphans"], 2, "what the repository had, and no upload: {report}");
}

#[test]
fn a_removed_repository_is_in_no_root_and_the_tree_stays_sound() {
    let mut team = Team::start();
    let empty = root(&team);
    assert_eq!(team.push("team/open", &user("anna")), [201, 201]);
    let before = root(&team);
    assert_ne!(before, empty);
    run(&team, &user("anna"), &remove("team/open"));
    assert_eq!(root(&team), empty, "as if it had never been there");
    let path = format!("/ipfs/{before}/docker/registry/v2/repositories/team/open?format=car");
    assert_eq!(http::get(&team.server.url(&path)).status, 404);
    team.server.stop();
    succeed(&mut team.server.command(["check"]));
}

#[test]
fn below_an_earlier_root_what_was_withdrawn_is_refused_and_no_fault() {
    let team = Team::start();
    assert_eq!(team.push("team/open", &user("anna")), [201, 201]);
    // With other content: what another public repository has, too, is served on.
    let blob = format!("/v2/shop/app/blobs/uploads/?digest={}", sha256(b"other"));
    let pushed = team.send(Method::POST, &blob, &user("root"), b"other".to_vec());
    assert_eq!(pushed.status, 201);
    let manifest = image(b"other", &[]).to_string().into_bytes();
    let put = team.send(Method::PUT, "/v2/shop/app/manifests/v1", &user("root"), manifest);
    assert_eq!(put.status, 201);
    run(
        &team,
        &user("root"),
        "mutation { setVisibility(name: \"shop/app\", visibility: PUBLIC) { name } }",
    );
    let before = root(&team);
    let repositories = format!("/ipfs/{before}/docker/registry/v2/repositories");
    let car = |path: &str| http::get(&team.server.url(&format!("{path}?format=car")));
    for path in [&format!("{repositories}/team/open"), &repositories, &format!("/ipfs/{before}")] {
        assert_eq!(car(path).status, 200, "{path}");
    }
    run(
        &team,
        &user("anna"),
        "mutation { setVisibility(name: \"team/open\", visibility: PRIVATE) { name } }",
    );
    for path in [
        format!("{repositories}/team/open"),
        format!("{repositories}/team/open/_manifests"),
        // The whole, too: an archive that ends early would look like a fault of the network.
        repositories.clone(),
        format!("/ipfs/{before}"),
    ] {
        let answer = car(&path);
        assert_eq!(answer.status, 404, "{path}: {}", answer.text());
        assert!(answer.text().contains("public"), "{}", answer.text());
    }
    assert_eq!(car(&format!("{repositories}/shop/app")).status, 200, "the rest is served on");
    assert!(!team.server.log().contains("internal error"), "{}", team.server.log());
}

/// Reads an answer until its connection ends, and returns whether that was the end of the answer.
fn read_to_the_end(connection: &mut Connection) -> (Vec<u8>, bool) {
    let (mut bytes, mut buffer) = (Vec::new(), vec![0; 1 << 16]);
    loop {
        let length = connection.read_until_cut(&mut buffer);
        if length == 0 {
            break;
        }
        bytes.extend_from_slice(&buffer[..length]);
        if bytes.ends_with(b"\r\n0\r\n\r\n") {
            return (bytes, true);
        }
    }
    (bytes, false)
}

#[test]
fn an_archive_ends_at_what_was_withdrawn_wherever_that_is_in_it() {
    // Far behind what is looked at before an answer begins, and more than a connection holds.
    const LARGE: usize = 24 << 20;

    let team = Team::start();
    let large = noise(LARGE, 3);
    let first = sha256(&large);
    // In the tree it and its manifest come after the other one.
    let is_later = |secret: &Vec<u8>| {
        let manifest = image(secret, &[]).to_string().into_bytes();
        sha256(secret) > first && sha256(&manifest) > first
    };
    let secret = (100..1000).map(|seed| noise(5000, seed)).find(is_later).expect("many are");
    for (name, blob) in [("shop/app", &large), ("team/open", &secret)] {
        let root = user("root");
        let path = format!("/v2/{name}/blobs/uploads/?digest={}", sha256(blob));
        assert_eq!(team.send(Method::POST, &path, &root, blob.clone()).status, 201, "{name}");
        let manifest = image(blob, &[]).to_string().into_bytes();
        let path = format!("/v2/{name}/manifests/v1");
        assert_eq!(team.send(Method::PUT, &path, &root, manifest).status, 201, "{name}");
    }
    let show = |name: &str, visibility: &str| {
        let query = format!(
            "mutation {{ setVisibility(name: \"{name}\", visibility: {visibility}) {{ name }} }}"
        );
        run(&team, &user("root"), &query);
    };
    show("shop/app", "PUBLIC");
    let path = format!("/ipfs/{}?format=car", root(&team));
    let archive = |change: &dyn Fn()| {
        let mut connection = Connection::open(&team.server);
        connection.ask("GET", &path, &[("Connection", "close")]);
        // It has begun.
        let mut begin = vec![0; 1 << 16];
        let length = connection.read_some(&mut begin);
        change();
        let (rest, is_whole) = read_to_the_end(&mut connection);
        ([&begin[..length], &rest].concat(), is_whole)
    };
    let has = |archive: &[u8], bytes: &[u8]| archive.windows(bytes.len()).any(|it| it == bytes);
    let probe = &secret[1000..1032];
    let (whole, is_whole) = archive(&|| {});
    assert!(is_whole && whole.len() > LARGE && has(&whole, probe), "it is the root as it is");

    // Withdrawn while it is sent, and before it is requested.
    for change in [&(|| show("team/open", "PRIVATE")) as &dyn Fn(), &|| {}] {
        let (cut, is_whole) = archive(change);
        let head = String::from_utf8_lossy(&cut[..cut.len().min(200)]).into_owned();
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        assert!(!is_whole, "it was not cut");
        assert!(cut.len() > 1 << 20, "{}", cut.len());
        assert!(!has(&cut, probe), "it has what was withdrawn");
    }
    assert!(team.server.log().contains("ended an archive at a withdrawn block"));
}
