//! What goes when a tag is deleted, and what stays.

use serde_json::{Value, json};

use super::made::{Made, config, digest};
use super::{Roadstead, expect, oci};
use crate::clients::registry::Registry;
use crate::clients::stock_registry::StockRegistry;
use crate::clients::target::Target;
use crate::common::content::OCI_MANIFEST;
use crate::common::require;
use tempfile::TempDir;

fn texts(list: &Value) -> Vec<&str> {
    list.as_array().expect("it is a list").iter().map(|it| it.as_str().expect("a text")).collect()
}

fn manifests(removal: &Value) -> Vec<(&str, &str)> {
    let list = removal["manifests"].as_array().expect("it is a list").iter();
    list.map(|it| (it["kind"].as_str().unwrap(), digest(it))).collect()
}

/// Pushes an index of two images, of which the second has a tag of its own, and a signature of the first.
pub(super) fn push(client: &Roadstead, reference: impl Fn(&str) -> String) -> [Value; 4] {
    let made = Made::new();
    let [first, second] = ["amd64", "arm64"].map(|it| made.image_of(&config(it), &[it.as_bytes()]));
    let index = made.index(&[first.clone(), second.clone()]);
    let empty = made.add("application/vnd.oci.empty.v1+json", b"{}");
    let subject = json!({
        "mediaType": OCI_MANIFEST, "digest": first["digest"], "size": first["size"],
    });
    let signature = made.manifest(&json!({
        "schemaVersion": 2, "mediaType": OCI_MANIFEST, "artifactType": "application/x.note",
        "config": empty, "layers": [empty], "subject": subject,
    }));
    let layout = made.finish(&[index.clone(), signature.clone(), second.clone()]);
    let push = |image: &Value, name: &str| {
        let from = format!("{}@{}", oci(layout.path()), digest(image));
        client.say(&["push", "--referrers", &from, &reference(name)]);
    };
    push(&index, "app:v1");
    push(&index, "app:v1-copy");
    push(&second, "app:arm");
    [index, first, second, signature]
}

#[test]
fn a_manifest_goes_with_the_last_tag_that_needs_it() {
    let registry = Registry::start();
    let client = Roadstead::of(registry.target());
    deletes(&client, |name| registry.reference(name));
    assert_eq!(registry.tags("app"), ["arm"]);
}

#[test]
fn the_same_at_the_stock_registry() {
    let Some(program) = require("registry") else { return };
    let folder = TempDir::new().expect("a temporary folder can be made");
    let stock = StockRegistry::start(&program, folder.path(), false);
    let target = Target::open(stock.address());
    let client = Roadstead::of(&target);
    deletes(&client, |name| target.reference(name));
    // The list of referrers went, too.
    assert_eq!(client.say(&["tags", &target.reference("app")]), "arm");
}

fn deletes(client: &Roadstead, reference: impl Fn(&str) -> String) {
    let [index, first, second, signature] = push(client, &reference);
    let app = reference("app:v1");
    // Another tag has the same manifest.
    let removal = client.json(&["delete", &reference("app:v1-copy"), "--yes"]);
    assert_eq!(texts(&removal["tags"]), ["v1-copy"], "{removal}");
    assert!(manifests(&removal).is_empty(), "{removal}");
    client.say(&["info", &app]);

    let before = client.say(&["tags", &app[..app.len() - 3]]);
    let removal = client.json(&["delete", &app, "--dry-run"]);
    assert_eq!(removal["dryRun"], json!(true));
    let found = manifests(&removal);
    let (own, referrers) = found.split_at(2);
    assert_eq!(own, [("image", digest(&index)), ("child", digest(&first))], "{removal}");
    assert!(referrers.contains(&("referrer", digest(&signature))), "{removal}");
    // On a registry without referrers the list of them is one more.
    assert!(referrers.iter().all(|(kind, _)| *kind == "referrer"), "{removal}");
    assert_eq!(client.say(&["tags", &app[..app.len() - 3]]), before, "nothing was deleted");

    // The image that has a tag cannot go by its digest while the index lists it, and the other one neither.
    let by_digest = format!("{}@{}", reference("app"), digest(&first));
    expect(&client.run(&["delete", &by_digest, "--yes"]), 1, &["lists it"]);

    let text = client.say(&["delete", &app, "--yes"]);
    assert!(text.contains(&format!("deleted image {}@{}", reference("app"), digest(&index))));
    for gone in [&index, &first, &signature] {
        let image = format!("{}@{}", reference("app"), digest(gone));
        assert_eq!(client.run(&["info", &image]).code, Some(1), "{gone}");
    }
    let info = client.json(&["info", &reference("app:arm")]);
    assert_eq!(info["digest"], second["digest"]);
    expect(&client.run(&["delete", &app, "--yes"]), 1, &["nothing to delete"]);
}

#[test]
fn tags_are_deleted_by_a_pattern_and_alone() {
    let registry = Registry::start();
    let client = Roadstead::of(registry.target());
    let made = Made::new();
    let root = made.image_of(&config("amd64"), &[b"layer"]);
    let layout = made.finish(std::slice::from_ref(&root));
    for tag in ["pr-1", "pr-2", "v1"] {
        client.say(&["push", &oci(layout.path()), &registry.reference(&format!("app:{tag}"))]);
    }
    let pattern = registry.reference("app:pr-*");
    // Without a terminal nobody can be asked.
    expect(&client.run(&["delete", &pattern]), 1, &["--yes"]);
    expect(&client.run(&["delete", &registry.reference("app")]), 2, &["expected a tag"]);
    let removal = client.json(&["delete", &pattern, "--yes"]);
    assert_eq!(texts(&removal["tags"]), ["pr-1", "pr-2"]);
    assert_eq!(registry.tags("app"), ["v1"]);
    let removal = client.json(&["delete", &registry.reference("app:v1"), "--yes", "--tag-only"]);
    assert!(manifests(&removal).is_empty(), "{removal}");
    assert!(registry.find("app", digest(&root)).is_some());
    let by_digest = format!("{}@{}", registry.reference("app"), digest(&root));
    client.say(&["delete", &by_digest, "--yes"]);
    assert!(registry.find("app", digest(&root)).is_none());
}

#[test]
fn indexes_that_share_an_image_go_by_one_pattern() {
    let registry = Registry::start();
    let client = Roadstead::of(registry.target());
    let made = Made::new();
    let [first, shared, last] =
        ["amd64", "arm64", "riscv64"].map(|it| made.image_of(&config(it), &[it.as_bytes()]));
    let indexes = [made.index(&[first, shared.clone()]), made.index(&[shared.clone(), last])];
    let layout = made.finish(&indexes);
    for (index, tag) in indexes.iter().zip(["pr-1", "pr-2"]) {
        let from = format!("{}@{}", oci(layout.path()), digest(index));
        client.say(&["push", &from, &registry.reference(&format!("app:{tag}"))]);
    }
    let removal = client.json(&["delete", &registry.reference("app:pr-*"), "--yes"]);
    let listed: Vec<&str> = manifests(&removal).into_iter().map(|(_, digest)| digest).collect();
    assert_eq!(listed.len(), 5, "{removal}");
    let position = |value: &Value| listed.iter().position(|it| *it == digest(value));
    assert!(position(&shared) > position(&indexes[1]), "{removal}");
    for value in indexes.iter().chain([&shared]) {
        assert!(registry.find("app", digest(value)).is_none(), "{removal}");
    }
}
