//! Rules of retention: which tags go, and which cannot be changed.

use std::process::Command;
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use crate::common::content::{OCI_MANIFEST, image, sha256};
use crate::common::repository::{Repository, assert_refused};
use crate::common::{Server, require, run, succeed};

fn start(rules: Value) -> Server {
    Server::start_with(move |command| configure(command, &rules))
}

fn configure(command: &mut Command, rules: &Value) {
    super::configure(command, "1s");
    command.env("ROADSTEAD_RETENTION", rules.to_string());
}

/// A command beside the server, by these rules.
fn retention(server: &Server, rules: &Value, arguments: &[&str]) -> String {
    let mut command = server.command(["retention"].iter().chain(arguments));
    configure(&mut command, rules);
    succeed(&mut command)
}

fn tags(repository: &Repository<'_>) -> Value {
    repository.get("tags/list").json()["tags"].clone()
}

/// Pushes an image whose layer is that word, and points a tag to it; returns its digest.
fn push(repository: &Repository<'_>, tag: &str, word: &str) -> String {
    let (config, layer) = (b"{}", word.as_bytes());
    for blob in [&config[..], layer] {
        repository.push_blob(blob);
    }
    sha256(&repository.push_manifest(tag, &image(config, &[layer])))
}

fn put(repository: &Repository<'_>, tag: &str, word: &str) -> crate::common::http::Response {
    let (config, layer) = (b"{}", word.as_bytes());
    for blob in [&config[..], layer] {
        repository.push_blob(blob);
    }
    let manifest = serde_json::to_vec(&image(config, &[layer])).expect("it is JSON");
    repository.put(tag, OCI_MANIFEST, &manifest)
}

/// The table of docs/CLEANING.md.
#[test]
fn who_may_move_delete_and_push_again() {
    let rules = json!([
        { "repositories": ["team/immutable", "team/both"], "immutable_tags": ["v*"] },
        { "repositories": ["team/protected", "team/both"], "protect": ["v*"] },
    ]);
    let server = start(rules);
    for (name, is_immutable, is_protected) in [
        ("team/free", false, false),
        ("team/immutable", true, false),
        ("team/protected", false, true),
        ("team/both", true, true),
    ] {
        let repository = Repository::of(&server, name);
        let expect = |response: &crate::common::http::Response, is_refused: bool, status: u16| {
            if is_refused {
                assert_refused(response, 403, "DENIED");
            } else {
                assert_eq!(response.status, status, "{name}: {response:?}");
            }
        };
        let first = push(&repository, "v1", "first");
        push(&repository, "other", "another");
        expect(&put(&repository, "v1", "first"), false, 201);
        expect(&put(&repository, "v1", "second"), is_immutable, 201);
        expect(&put(&repository, "other", "elsewhere"), false, 201);
        let current = repository.head("manifests/v1").header("docker-content-digest").to_owned();
        assert_eq!(current == first, is_immutable, "{name}");
        expect(&repository.delete(&format!("manifests/{current}")), is_protected, 202);
        if is_protected {
            assert_eq!(tags(&repository), json!(["other", "v1"]), "{name}");
            expect(&repository.delete("manifests/v1"), true, 0);
            // As regctl does it after that.
            expect(&put(&repository, "v1", "nothing"), true, 0);
            let still = repository.head("manifests/v1");
            assert_eq!(still.header("docker-content-digest"), current, "{name}");
        } else {
            assert_eq!(tags(&repository), json!(["other"]), "{name}");
            expect(&put(&repository, "v1", "third"), false, 201);
            expect(&repository.delete("manifests/v1"), false, 202);
        }
        expect(&repository.delete("manifests/other"), false, 202);
    }
}

#[test]
fn tags_of_referrers_can_always_be_added_to() {
    let server = start(json!([{ "repositories": ["**"], "immutable_tags": ["**"] }]));
    let repository = Repository::of(&server, "team/app");
    let digest = push(&repository, "v1", "first");
    for ending in ["", ".att", ".sig"] {
        let tag = format!("{}{ending}", digest.replace(':', "-"));
        for word in ["one", "two"] {
            assert_eq!(put(&repository, &tag, word).status, 201, "{tag}");
        }
    }
    assert_refused(&put(&repository, "v1", "second"), 403, "DENIED");
}

#[test]
fn regctl_moves_no_protected_tag_that_it_may_not_delete() {
    let Some(regctl) = require("regctl") else { return };
    let server = start(json!([{ "repositories": ["**"], "protect": ["v*"] }]));
    let repository = Repository::of(&server, "team/app");
    let digest = push(&repository, "v1", "first");
    let home = tempfile::TempDir::new().expect("a temporary folder can be made");
    let regctl = |words: &[&str]| {
        let mut command = Command::new(&regctl);
        command.env("HOME", home.path()).args(words);
        command
    };
    succeed(&mut regctl(&["registry", "set", "--tls", "disabled", server.address()]));
    let name = format!("{}/team/app:v1", server.address());
    let finished = run(&mut regctl(&["tag", "delete", &name]));
    assert_ne!(finished.code, Some(0), "{finished}");
    let head = repository.head("manifests/v1");
    assert_eq!(head.header("docker-content-digest"), digest);
}

#[test]
fn a_refused_deletion_is_known_to_the_other_processes() {
    let rules = json!([{ "repositories": ["**"], "protect": ["v*"] }]);
    let mut server = start(rules.clone());
    let repository = Repository::of(&server, "team/app");
    for tag in ["v1", "v2"] {
        push(&repository, tag, "first");
    }
    assert_refused(&repository.delete("manifests/v1"), 403, "DENIED");
    let other = server.start_beside(move |command| configure(command, &rules));
    if other.is_none() {
        // The next process of the folder.
        server.stop();
        server.start_again();
    }
    let repository = Repository::of(other.as_ref().unwrap_or(&server), "team/app");
    assert_refused(&put(&repository, "v1", "nothing"), 403, "DENIED");
    assert_eq!(put(&repository, "v2", "second").status, 201, "nobody wanted to delete it");
}

#[test]
fn what_goes_by_the_rules_is_said_before_and_then_goes() {
    let rules = json!([
        { "repositories": ["team/*"], "tags": ["n*"], "keep_last": 2, "delete_untagged_after": "1s" },
        { "repositories": ["**"], "protect": ["n1"] },
        { "repositories": ["versions/*"], "keep_last": 1, "keep_last_by": "version" },
    ]);
    let server = start(rules.clone());
    let versions = Repository::of(&server, "versions/app");
    for tag in ["v1.10.0", "v1.9.0", "latest"] {
        push(&versions, tag, tag);
    }
    let [ours, others] = ["team/app", "other/app"].map(|name| Repository::of(&server, name));
    for repository in [&ours, &others] {
        for tag in ["n1", "n2", "n3", "n4", "n5", "v1"] {
            push(repository, tag, tag);
            // Each moves at a later time than the one before it.
            std::thread::sleep(Duration::from_millis(5));
        }
    }
    // One refers to what stays, the other to what goes.
    let [kept, gone] = ["n5", "n2"].map(|tag| {
        let head = ours.head(&format!("manifests/{tag}"));
        let subject = head.header("docker-content-digest").to_owned();
        let mut referrer = image(b"{}", &[tag.as_bytes()]);
        referrer["subject"] =
            json!({ "mediaType": OCI_MANIFEST, "digest": subject, "size": head.header("content-length").parse::<u64>().unwrap() });
        sha256(&ours.push_untagged(&referrer))
    });
    let mut command = server.command(["retention", "--dry-run"]);
    configure(&mut command, &rules);
    let dry = succeed(command.env("ROADSTEAD_GC__GRACE", "1h"));
    assert!(dry.contains("stays  team/app:n2  younger than `gc.grace`"), "{dry}");
    std::thread::sleep(Duration::from_millis(1100));
    let dry = retention(&server, &rules, &["--dry-run"]);
    for line in [
        "stays  team/app:n1  protected (rule 2)",
        "goes   team/app:n2  3 moved after it, 2 stay (rule 1)",
        "goes   team/app:n3  2 moved after it, 2 stay (rule 1)",
        "stays  team/app:n4  among the last 2 (rule 1)",
        "stays  team/app:v1  no rule that deletes names it",
        "stays  other/app:n2  no rule deletes tags of this repository",
        "stays  versions/app:v1.10.0  among the highest 1 (rule 3)",
        "goes   versions/app:v1.9.0  1 higher versions, 1 stay (rule 3)",
        "stays  versions/app:latest  no rule that deletes names it",
    ] {
        assert!(dry.lines().any(|other| other == line), "{line}: {dry}");
    }
    assert_eq!(
        tags(&ours),
        json!(["n1", "n2", "n3", "n4", "n5", "v1"]),
        "a dry run changes nothing"
    );
    let done: Value = serde_json::from_str(&retention(&server, &rules, &["--json"])).unwrap();
    assert_eq!(done["tags"], 3, "{done}");
    assert_eq!(tags(&versions), json!(["latest", "v1.10.0"]));
    assert_eq!(tags(&ours), json!(["n1", "n4", "n5", "v1"]));
    assert_eq!(tags(&others), json!(["n1", "n2", "n3", "n4", "n5", "v1"]));
    // The manifests of the tags that went go once nothing has named them for long enough, their referrers after them.
    let is_there = |digest: &str| {
        ours.send(Method::HEAD, &format!("manifests/{digest}"), |request| request).status == 200
    };
    for _ in 0..2 {
        std::thread::sleep(Duration::from_millis(1100));
        retention(&server, &rules, &[]);
    }
    assert!(is_there(&kept), "its subject has a tag");
    assert!(!is_there(&gone), "its subject went");
    let report: Value =
        serde_json::from_str(&succeed(&mut server.command(["check", "--json"]))).unwrap();
    assert_eq!(report["findings"], json!([]));
}

#[test]
fn after_a_rebuild_nobody_knows_when_tags_moved() {
    let rules = json!([{ "repositories": ["**"], "keep_last": 1 }]);
    let mut server = start(rules.clone());
    let repository = Repository::of(&server, "team/app");
    for tag in ["a", "b", "c"] {
        push(&repository, tag, tag);
    }
    server.stop();
    succeed(&mut server.command(["index", "rebuild"]));
    server.start_again();
    std::thread::sleep(Duration::from_millis(1100));
    let dry = retention(&server, &rules, &["--dry-run"]);
    assert_eq!(dry.matches("nobody knows when it moved (rule 1)").count(), 3, "{dry}");
    retention(&server, &rules, &[]);
    assert_eq!(tags(&Repository::of(&server, "team/app")), json!(["a", "b", "c"]));
}
