//! What only a Roadstead with accounts can do: putting back what was deleted, withdrawing it for good, telling its root.

use super::deletion::push;
use super::made::digest;
use super::{Roadstead, expect};
use crate::clients::face;
use crate::clients::registry::Registry;
use crate::common::http;

#[test]
fn a_deleted_index_comes_back_with_what_it_lists() {
    let registry = Registry::start_as(face::ACCOUNTS);
    let client = Roadstead::of(registry.target());
    let reference = |name: &str| registry.reference(&format!("team/{name}"));
    let [index, first, _, signature] = push(&client, reference);
    let app = reference("app:v1");
    client.say(&["delete", &reference("app:v1-copy"), "--yes"]);
    let removal = client.json(&["delete", &app, "--yes"]);
    assert_eq!(removal["manifests"].as_array().map(Vec::len), Some(3), "{removal}");
    assert_eq!(registry.tags("team/app"), ["arm"]);

    let back = client.json(&["undelete", &app]);
    assert_eq!(back["digest"], digest(&index));
    let manifests = back["manifests"].as_array().expect("it is a list");
    assert!(manifests.contains(&first["digest"]), "{back}");
    assert_eq!(registry.digest("team/app", "v1"), digest(&index));
    assert!(client.say(&["info", &app]).contains("amd64"));
    // A repetition, such as after an answer that was lost.
    client.say(&["undelete", &app]);
    let by_digest = reference(&format!("app@{}", digest(&signature)));
    let text = client.say(&["undelete", &by_digest]);
    assert!(text.contains("put back"), "{text}");
    assert_eq!(registry.referrers("team/app", digest(&first)).len(), 1);
    let absent = reference(&format!("app@sha256:{}", "0".repeat(64)));
    expect(&client.run(&["undelete", &absent]), 1, &["had no sha256:"]);
    expect(&client.run(&["undelete", &reference("app")]), 2, &["expected a tag"]);
}

#[test]
fn what_is_purged_is_served_under_no_root_and_does_not_come_back() {
    let registry = Registry::start_as(face::ACCOUNTS);
    let client = Roadstead::of(registry.target());
    let reference = |name: &str| registry.reference(&format!("team/{name}"));
    let [_, first, ..] = push(&client, reference);
    let host = registry.target().url("");
    let public = ["repository", "visibility", "team/app", "public", "--registry", &host];
    client.say(&public);
    let app = reference("app:v1");
    let copied = client.json(&["copy", &app, &reference("app:again")]);
    assert!(copied["root"].as_str().is_some_and(|it| it.starts_with("baf")), "{copied}");
    let info = client.json(&["info", &reference(&format!("app@{}", digest(&first)))]);
    let cid = info["cid"].as_str().expect("it is public").to_owned();
    let at_gateway =
        || http::get(&registry.target().url(&format!("/ipfs/{cid}?format=raw"))).status;
    assert_eq!(at_gateway(), 200);

    // Other tags need it.
    expect(&client.run(&["delete", &app, "--purge", "--yes"]), 1, &["other tags", "by its digest"]);
    let text = client.say(&["delete", &reference("app:*"), "--purge", "--dry-run"]);
    assert!(text.contains("would purge"), "{text}");
    assert_eq!(at_gateway(), 200);
    client.say(&["delete", &reference("app:*"), "--purge", "--yes"]);
    assert_eq!(at_gateway(), 404);
    assert!(registry.find("team/app", "arm").is_none());
    expect(&client.run(&["undelete", &app]), 1, &["had no v1"]);

    // Where there are no accounts, it says so.
    let open = Registry::start();
    let client = Roadstead::of(open.target());
    push(&client, |name| open.reference(name));
    let refused = client.run(&["delete", &open.reference("app:v1-copy"), "--purge", "--yes"]);
    assert_eq!(refused.code, Some(1), "{refused}");
    expect(&client.run(&["undelete", &open.reference("app:v1")]), 1, &["accounts"]);
}
