//! What was deleted comes back, and what is purged is withdrawn, for those who may do that and for nobody else.

use reqwest::Method;
use serde_json::{Value, json};

use super::management::{post, refused, run};
use super::removal::remove;
use super::team::{Sender, Team, user};
use crate::common::content::{OCI_INDEX, image, index, noise, sha256};
use crate::common::{http, succeed};

pub(super) fn undelete(name: &str, reference: &str) -> String {
    format!(
        "mutation {{ undelete(repository: \"{name}\", reference: \"{reference}\") {{ digest tags manifests }} }}"
    )
}

pub(super) fn purge(name: &str, digest: &str) -> String {
    format!(
        "mutation {{ purgeManifest(repository: \"{name}\", digest: \"{digest}\") {{ root withdrawn needed }} }}"
    )
}

/// Pushes the image `v1` of a repository; gives its digest.
fn push(team: &Team, name: &str) -> String {
    assert_eq!(team.push(name, &user("anna")), [201, 201], "{name}");
    digest_of(team, name)
}

fn digest_of(team: &Team, name: &str) -> String {
    let manifest = team.get(&format!("/v2/{name}/manifests/v1"), &user("anna"));
    assert_eq!(manifest.status, 200, "{name}");
    sha256(&manifest.body)
}

fn delete(team: &Team, name: &str, reference: &str) {
    let path = format!("/v2/{name}/manifests/{reference}");
    assert_eq!(team.send(Method::DELETE, &path, &user("anna"), Vec::new()).status, 202);
}

fn status(team: &Team, name: &str, reference: &str) -> u16 {
    team.get(&format!("/v2/{name}/manifests/{reference}"), &user("anna")).status
}

fn root(team: &Team) -> String {
    succeed(&mut team.server.command(["root"])).trim().to_owned()
}

#[test]
fn a_maintainer_puts_back_what_was_deleted() {
    let team = Team::start();
    let anna = user("anna");
    let digest = push(&team, "team/open");
    let before = root(&team);
    delete(&team, "team/open", "v1");
    delete(&team, "team/open", &digest);
    assert_ne!(root(&team), before);

    let by_tag = undelete("team/open", "v1");
    for (sender, query, code) in [
        (user("carl"), &by_tag, "DENIED"),
        (user("will"), &by_tag, "DENIED"),
        (user("rita"), &by_tag, "DENIED"),
        (Sender::Basic("anna".to_owned(), team.secrets.of_anna.clone()), &by_tag, "NOT_FOUND"),
        (anna.clone(), &undelete("team/open", "v2"), "NOT_FOUND"),
        (anna.clone(), &undelete("team/absent", "v1"), "NOT_FOUND"),
        (anna.clone(), &undelete("team/open", "no tag"), "INVALID"),
    ] {
        assert_eq!(refused(&team, &sender, query), code, "{sender:?} {query}");
    }
    let done = run(&team, &anna, &by_tag);
    assert_eq!(
        done["undelete"],
        json!({ "digest": digest, "tags": ["v1"], "manifests": [digest] })
    );
    assert_eq!(digest_of(&team, "team/open"), digest);
    assert_eq!(root(&team), before, "as if it had never gone");
    let path = format!("/v2/team/open/blobs/{}", sha256(b"config"));
    assert_eq!(team.get(&path, &anna).status, 200);

    // By digest, with the tags that went with it, but for one that names something else by now.
    delete(&team, "team/open", &digest);
    let done = run(&team, &anna, &undelete("team/open", &digest));
    assert_eq!(done["undelete"]["tags"], json!(["v1"]));
    delete(&team, "team/open", &digest);
    let other = image(b"config", &[b"config"]).to_string().into_bytes();
    let put = team.send(Method::PUT, "/v2/team/open/manifests/v1", &anna, other.clone());
    assert_eq!(put.status, 201, "{}", put.text());
    assert_eq!(refused(&team, &anna, &by_tag), "CONFLICT");
    let done = run(&team, &anna, &undelete("team/open", &digest));
    assert_eq!(done["undelete"]["tags"], json!([]));
    assert_eq!(digest_of(&team, "team/open"), sha256(&other));
    // What is there is there.
    let again = run(&team, &anna, &undelete("team/open", &digest));
    assert_eq!(again["undelete"], json!({ "digest": digest, "tags": [], "manifests": [] }));

    let query = "{ audit(repository: \"team/open\") { items { kind reference digest } } }";
    let log = run(&team, &user("root"), query);
    let events = log["audit"]["items"].as_array().expect("it is a list");
    for expected in [
        json!({ "kind": "delete", "reference": "v1", "digest": digest }),
        json!({ "kind": "delete", "reference": null, "digest": digest }),
        json!({ "kind": "push", "reference": "v1", "digest": digest }),
    ] {
        assert!(events.contains(&expected), "no {expected} in {log}");
    }
}

#[test]
fn an_index_of_indexes_comes_back_after_what_it_lists() {
    let team = Team::start();
    let anna = user("anna");
    let image = push(&team, "team/open");
    let bytes = team.get("/v2/team/open/manifests/v1", &anna).body;
    let inner = index(&[&bytes]).to_string().into_bytes();
    let mut outer = index(&[&inner, &bytes]);
    outer["manifests"][0]["mediaType"] = json!(OCI_INDEX);
    let outer = outer.to_string().into_bytes();
    for (reference, bytes) in [(&*sha256(&inner), &inner), ("all", &outer)] {
        let Sender::Basic(name, password) = &anna else { panic!("anna has a password") };
        let url = team.server.url(&format!("/v2/team/open/manifests/{reference}"));
        let put = http::send(|client| {
            let request = client.put(url).header("Content-Type", OCI_INDEX).body(bytes.clone());
            request.basic_auth(name, Some(password))
        });
        assert_eq!(put.status, 201, "{}", put.text());
    }
    let deleted = [sha256(&outer), sha256(&inner), image];
    for digest in &deleted {
        delete(&team, "team/open", digest);
    }
    let done = run(&team, &anna, &undelete("team/open", "all"));
    let manifests = json!([deleted[2], deleted[1], deleted[0]]);
    assert_eq!(done["undelete"]["manifests"], manifests);
    let again = run(&team, &anna, &undelete("team/open", "all"));
    assert_eq!(again["undelete"]["manifests"], json!([]), "it names that already");
}

#[test]
fn nothing_comes_back_that_the_repository_did_not_have_or_that_was_purged() {
    let mut team = Team::start();
    let anna = user("anna");
    push(&team, "team/secret");
    let secret = image(b"config", &[b"config"]).to_string().into_bytes();
    let put = team.send(Method::PUT, "/v2/team/secret/manifests/v1", &anna, secret.clone());
    assert_eq!(put.status, 201, "{}", put.text());
    let digest = sha256(&secret);
    delete(&team, "team/secret", &digest);
    // The bytes are stored, but that of a stranger's repository tells nothing.
    assert_eq!(team.push("carl/app", &user("carl")), [201, 201]);
    let unknown = format!("sha256:{}", "0".repeat(64));
    for make in [undelete, purge] {
        let hidden = refused(&team, &user("carl"), &make("carl/app", &digest));
        assert_eq!(hidden, "NOT_FOUND");
        assert_eq!(refused(&team, &user("carl"), &make("carl/app", &unknown)), hidden);
    }
    // A repository that was removed and made again is another one.
    run(&team, &anna, &remove("team/secret"));
    assert_eq!(refused(&team, &anna, &undelete("team/secret", &digest)), "NOT_FOUND");
    let made_again = image(b"config", &[b"config"]).to_string().into_bytes();
    let blob = format!("/v2/team/secret/blobs/uploads/?digest={}", sha256(b"config"));
    assert_eq!(team.send(Method::POST, &blob, &anna, b"config".to_vec()).status, 201);
    let put = team.send(Method::PUT, "/v2/team/secret/manifests/v2", &anna, made_again.clone());
    assert_eq!(put.status, 201, "{}", put.text());
    assert_eq!(refused(&team, &anna, &undelete("team/secret", &digest)), "NOT_FOUND");
    assert_eq!(refused(&team, &anna, &undelete("team/secret", "v1")), "NOT_FOUND");

    // What was purged stays away, by whatever name.
    let digest = push(&team, "team/open");
    delete(&team, "team/open", "v1");
    let purged = run(&team, &anna, &purge("team/open", &digest));
    assert!(purged["purgeManifest"]["root"].as_str().is_some_and(|it| it.starts_with("baf")));
    for reference in ["v1", &*digest] {
        assert_eq!(refused(&team, &anna, &undelete("team/open", reference)), "NOT_FOUND");
    }
    // Of what is not public, nothing is told of who else needs it.
    let digest = sha256(&made_again);
    let purged = run(&team, &anna, &purge("team/secret", &digest));
    assert_eq!(purged["purgeManifest"]["withdrawn"], json!([]));
    assert_eq!(purged["purgeManifest"]["needed"], json!([]));
    assert_eq!(status(&team, "team/secret", "v2"), 404);
    team.server.stop();
    succeed(&mut team.server.command(["check"]));
}

#[test]
fn a_maintainer_purges_what_only_the_own_repository_needs() {
    let team = Team::start();
    let anna = user("anna");
    let digest = push(&team, "team/open");
    let manifest = team.get("/v2/team/open/manifests/v1", &anna);
    let path = format!("{}?format=raw", manifest.header("x-ipfs-path"));
    let at_gateway = || http::get(&team.server.url(&path)).status;
    assert_eq!(at_gateway(), 200);
    for (sender, query, code) in [
        (user("carl"), purge("team/open", &digest), "DENIED"),
        (user("will"), purge("team/open", &digest), "DENIED"),
        (user("carl"), purge("team/secret", &digest), "NOT_FOUND"),
        (anna.clone(), purge("team/open", &format!("sha256:{}", "0".repeat(64))), "NOT_FOUND"),
        (anna.clone(), purge("team/open", "v1"), "INVALID"),
    ] {
        assert_eq!(refused(&team, &sender, &query), code, "{sender:?} {query}");
    }
    let purged = run(&team, &anna, &purge("team/open", &digest));
    let withdrawn: Vec<Value> = purged["purgeManifest"]["withdrawn"].as_array().unwrap().clone();
    assert!(withdrawn.contains(&json!(digest)), "{purged}");
    assert_eq!(status(&team, "team/open", "v1"), 404);
    assert_eq!(at_gateway(), 404);
    let manifest = format!("/v2/team/open/manifests/{digest}");
    assert_eq!(team.get(&manifest, &anna).status, 404);
    assert_eq!(refused(&team, &anna, &purge("team/open", &digest)), "NOT_FOUND", "all is gone");
}

/// Deletions, collections and returns, one beside the other: what came back is whole.
#[test]
fn what_comes_back_beside_collections_is_whole() {
    let mut team = Team::start_with(|command| {
        command.env("ROADSTEAD_GC__GRACE", "0s").env("ROADSTEAD_GC__INTERVAL", "0");
    });
    let anna = user("anna");
    for round in 0..12_u64 {
        let layer = noise(2000, 900 + round);
        for bytes in [&layer[..], b"config"] {
            let path = format!("/v2/team/open/blobs/uploads/?digest={}", sha256(bytes));
            assert_eq!(team.send(Method::POST, &path, &anna, bytes.to_vec()).status, 201);
        }
        let manifest = image(b"config", &[&layer]).to_string().into_bytes();
        let put = team.send(Method::PUT, "/v2/team/open/manifests/v1", &anna, manifest.clone());
        if put.status != 201 {
            // The grace is over at once, so a collection may take a blob before the manifest is there.
            continue;
        }
        let digest = sha256(&manifest);
        delete(&team, "team/open", &digest);
        let outcome = std::thread::scope(|scope| {
            let collection = scope.spawn(|| {
                succeed(&mut team.server.command(["gc", "--now"]));
            });
            let answer = post(&team, &anna, &undelete("team/open", "v1"), &json!({}));
            collection.join().expect("it ends");
            answer.json()
        });
        if outcome.get("errors").is_none() {
            assert_eq!(digest_of(&team, "team/open"), digest);
            let blob = format!("/v2/team/open/blobs/{}", sha256(&layer));
            assert_eq!(team.get(&blob, &anna).body, layer, "{round}");
            delete(&team, "team/open", &digest);
        } else {
            assert_eq!(outcome["errors"][0]["extensions"]["code"], "NOT_FOUND", "{outcome}");
            assert_eq!(status(&team, "team/open", "v1"), 404);
        }
        succeed(&mut team.server.command(["gc", "--now"]));
        let late = refused(&team, &anna, &undelete("team/open", "v1"));
        assert_eq!(late, "NOT_FOUND", "it was collected");
    }
    team.server.stop();
    succeed(&mut team.server.command(["check"]));
}
