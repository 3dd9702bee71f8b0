//! All kinds of images: nested, of many layers, compressed in other ways, foreign, artifacts.

use serde_json::json;
use tempfile::TempDir;

use super::made::{Made, config, contents, digest};
use super::{Roadstead, expect, oci};
use crate::clients::registry::Registry;
use crate::clients::stock_registry::StockRegistry;
use crate::clients::target::Target;
use crate::common::content::{OCI_CONFIG, OCI_MANIFEST, noise, sha256};
use crate::common::{is_over_kubo, require};

const ZSTD: &str = "application/vnd.oci.image.layer.v1.tar+zstd";
const FOREIGN: &str = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip";

/// Pushes a layout to Roadstead, pulls it, and compares all that is in it.
fn comes_back(layout: &Made, root: &str) {
    let registry = Registry::start();
    let client = Roadstead::of(registry.target());
    let app = registry.reference("team/app:v1");
    assert_eq!(client.say(&["push", "--quiet", &oci(layout.path()), &app]), root);
    let folder = TempDir::new().expect("a temporary folder can be made");
    assert_eq!(client.say(&["pull", "--quiet", &app, &oci(folder.path())]), root);
    assert_eq!(contents(folder.path()).0, contents(layout.path()).0);
    client.json(&["info", &app]);
    client.json(&["list", "--registry", registry.target().address()]);
}

#[test]
fn an_index_of_indexes_is_pushed_with_all_that_it_has() {
    let made = Made::new();
    let images = ["amd64", "arm64", "s390x"].map(|it| made.image_of(&config(it), &[it.as_bytes()]));
    let inner = made.index(&images[..2]);
    // A diamond: one image by two ways.
    let root = made.index(&[inner, images[1].clone(), images[2].clone()]);
    let layout = made.finish(std::slice::from_ref(&root));
    comes_back(&layout, digest(&root));
}

#[test]
fn an_image_of_fifty_layers_and_zstd_is_pushed() {
    let made = Made::new();
    let layers: Vec<_> = (0..50).map(|number| made.add(ZSTD, &noise(3000, 100 + number))).collect();
    let root = made.image(&config("amd64"), &layers);
    let layout = made.finish(std::slice::from_ref(&root));
    comes_back(&layout, digest(&root));
}

#[test]
fn digests_may_be_sha512() {
    let made = Made::new();
    let layers = [made.add_sha512(ZSTD, &noise(70_000, 5)), made.add(ZSTD, b"other")];
    let root = made.image(&config("amd64"), &layers);
    let layout = made.finish(std::slice::from_ref(&root));
    comes_back(&layout, digest(&root));
}

#[test]
fn layers_that_are_not_distributed_are_left_out() {
    let made = Made::new();
    let own = made.add(ZSTD, b"own");
    let foreign = json!({
        "mediaType": FOREIGN, "digest": sha256(b"elsewhere"), "size": 9,
        "urls": ["http://127.0.0.1:1/layer"],
    });
    let root = made.image(&config("amd64"), &[foreign, own]);
    let layout = made.finish(std::slice::from_ref(&root));
    let registry = Registry::start();
    let client = Roadstead::of(registry.target());
    let app = registry.reference("team/app:v1");
    let pushed = client.json(&["push", &oci(layout.path()), &app]);
    assert_eq!(pushed["blobs"]["leftOut"], json!(1), "{pushed}");
    assert_eq!(pushed["digest"], json!(digest(&root)));
    let folder = TempDir::new().expect("a temporary folder can be made");
    client.say(&["pull", &app, &oci(folder.path())]);
    assert_eq!(contents(folder.path()).0, contents(layout.path()).0);
    let file = format!("docker-archive:{}", folder.path().join("app.tar").display());
    expect(&client.run(&["pull", &app, &file]), 1, &["layer sha256:", "is elsewhere"]);
}

/// A layout of an image with a signature and a signature of that.
fn signed() -> (Made, [String; 3]) {
    let made = Made::new();
    let image = made.image_of(&config("amd64"), &[b"layer"]);
    let empty = made.add("application/vnd.oci.empty.v1+json", b"{}");
    let refer = |subject: &serde_json::Value, note: &str| {
        let layer = made.add("text/plain", note.as_bytes());
        let subject = json!({
            "mediaType": OCI_MANIFEST, "digest": subject["digest"], "size": subject["size"],
        });
        made.manifest(&json!({
            "schemaVersion": 2, "mediaType": OCI_MANIFEST, "artifactType": "application/x.note",
            "config": empty, "layers": [layer], "subject": subject, "annotations": { "by": note },
        }))
    };
    let signature = refer(&image, "anna");
    let second = refer(&signature, "ben");
    let digests = [&image, &signature, &second].map(|it| digest(it).to_owned());
    (made.finish(&[signature, second, image]), digests)
}

#[test]
fn what_refers_to_an_image_is_copied_when_it_is_asked_for() {
    let (layout, [image, signature, second]) = signed();
    let Some(program) = require("registry") else { return };
    let folder = TempDir::new().expect("a temporary folder can be made");
    let stock = StockRegistry::start(&program, folder.path(), false);
    let registry = Registry::start();
    let client = Roadstead::of(registry.target());
    let (plain, app) = (registry.reference("team/plain:v1"), registry.reference("team/app:v1"));
    let from = oci(layout.path());
    // The image is the only one that refers to nothing.
    assert_eq!(client.say(&["push", "--quiet", &from, &plain]), image);
    assert!(registry.referrers("team/plain", &image).is_empty());
    assert_eq!(client.say(&["push", "--quiet", "--referrers", &from, &app]), image);
    assert_eq!(registry.referrers("team/app", &image)[0].descriptor.digest.to_string(), signature);

    // The stock registry lists no referrers, so the client does.
    let there = Target::open(stock.address()).reference("copies/app:v1");
    client.say(&["copy", "--referrers", &app, &there]);
    let info = client.json(&["info", &there]);
    let referrer = &info["referrers"][0];
    assert_eq!(referrer["digest"], json!(signature), "{info}");
    assert_eq!(referrer["annotations"], json!({ "by": "anna" }));
    let back = registry.reference("team/back:v1");
    client.say(&["copy", "--referrers", &there, &back]);
    assert_eq!(
        registry.referrers("team/back", &signature)[0].descriptor.digest.to_string(),
        second
    );

    let folder = TempDir::new().expect("a temporary folder can be made");
    client.say(&["pull", "--referrers", &back, &oci(folder.path())]);
    assert_eq!(contents(folder.path()).0, contents(layout.path()).0);
    // What was pulled so is pushed so.
    let again = registry.reference("team/again:v1");
    assert_eq!(client.say(&["push", "--quiet", "--referrers", &oci(folder.path()), &again]), image);
    assert_eq!(registry.referrers("team/again", &image).len(), 1);
}

#[test]
fn an_image_of_a_layout_is_chosen_by_its_name() {
    let made = Made::new();
    let mut images = ["one", "two"].map(|name| made.image_of(&config("amd64"), &[name.as_bytes()]));
    for (image, name) in images.iter_mut().zip(["v1", "registry.example/app:v2"]) {
        image["annotations"] = json!({ "org.opencontainers.image.ref.name": name });
    }
    let layout = made.finish(&images);
    let registry = Registry::start();
    let client = Roadstead::of(registry.target());
    let from = oci(layout.path());
    let push =
        |from: &str, name: &str| client.run(&["push", "--quiet", from, &registry.reference(name)]);
    expect(&push(&from, "app:other"), 1, &["several images", "v1"]);
    for (from, name, image) in [
        (format!("{from}:v1"), "app:a", &images[0]),
        (format!("{from}:v2"), "app:b", &images[1]),
        (format!("{from}:registry.example/app:v2"), "app:c", &images[1]),
        (format!("{from}@{}", digest(&images[0])), "app:d", &images[0]),
        // The tag that it is to have.
        (from.clone(), "app:v2", &images[1]),
    ] {
        let pushed = push(&from, name);
        assert_eq!(pushed.stdout.trim(), digest(image), "{pushed}");
    }
    expect(&push(&format!("{from}:v3"), "app:e"), 1, &["cannot find v3"]);
    expect(&push("oci:/no/such/folder", "app:e"), 1, &["cannot read"]);
}

#[test]
fn several_platforms_without_an_index_are_pushed_as_one() {
    let made = Made::new();
    let images = ["amd64", "arm64"].map(|architecture| {
        let mut image = made.image_of(&config(architecture), &[architecture.as_bytes()]);
        image["platform"] = json!({ "os": "linux", "architecture": architecture });
        image
    });
    let layout = made.finish(&images);
    let registry = Registry::start();
    let client = Roadstead::of(registry.target());
    let app = registry.reference("app:v1");
    let pushed = client.say(&["push", "--quiet", &oci(layout.path()), &app]);
    let index = std::fs::read(layout.path().join("index.json")).expect("it was written");
    assert_eq!(pushed, sha256(&index));
    let (one, folder) = (registry.reference("app:arm"), TempDir::new().unwrap());
    let push = ["push", "--quiet", "--platform", "linux/arm64", &oci(layout.path()), &one];
    assert_eq!(client.say(&push), digest(&images[1]));
    let pull = ["pull", "--quiet", "--platform", "linux/amd64", &app, &oci(folder.path())];
    assert_eq!(client.say(&pull), digest(&images[0]));
    let absent = client.run(&["pull", "--platform", "linux/s390x", &app, &oci(folder.path())]);
    expect(&absent, 1, &["linux/s390x", "linux/amd64, linux/arm64"]);
}

/// A layout that is pulled into again has both images, and one of each name.
#[test]
fn a_layout_has_what_was_pulled_into_it() {
    let made = Made::new();
    let images = ["one", "two"].map(|name| made.image_of(&config("amd64"), &[name.as_bytes()]));
    let layout = made.finish(&images);
    let registry = Registry::start();
    let client = Roadstead::of(registry.target());
    for (image, tag) in images.iter().zip(["v1", "v2"]) {
        let from = format!("{}@{}", oci(layout.path()), digest(image));
        client.say(&["push", &from, &registry.reference(&format!("app:{tag}"))]);
    }
    let folder = TempDir::new().expect("a temporary folder can be made");
    let to = oci(folder.path());
    std::thread::scope(|scope| {
        for tag in ["v1", "v2", "v1", "v2"] {
            let (client, registry, to) = (&client, &registry, &to);
            scope.spawn(move || {
                client.say(&["pull", &registry.reference(&format!("app:{tag}")), to]);
            });
        }
    });
    let (files, index) = contents(folder.path());
    assert_eq!(files, contents(layout.path()).0);
    assert_eq!(index["manifests"].as_array().map(Vec::len), Some(2), "{index}");
    assert!(!folder.path().join(".parts").exists(), "nothing is left over");
    // The tag moves.
    client.say(&["copy", &registry.reference("app:v2"), &registry.reference("app:v1")]);
    client.say(&["pull", &registry.reference("app:v1"), &to]);
    let (_, index) = contents(folder.path());
    let digests: Vec<_> =
        index["manifests"].as_array().unwrap().iter().map(|it| &it["digest"]).collect();
    assert_eq!(digests, [&images[1]["digest"], &images[1]["digest"]], "{index}");
}

#[test]
fn the_cids_of_an_image_are_shown() {
    if is_over_kubo() {
        return;
    }
    let made = Made::new();
    let root = made.image_of(&config("amd64"), &[b"layer"]);
    let layout = made.finish(std::slice::from_ref(&root));
    let registry = Registry::start();
    let client = Roadstead::of(registry.target());
    client.say(&["push", &oci(layout.path()), &registry.reference("team/app:v1")]);
    let info = client.json(&["info", &registry.reference("team/app:v1")]);
    let fetch = info["ipfs"][0].as_str().expect("it is there");
    assert!(fetch.starts_with("ipfs cat baf"), "{info}");
    assert_eq!(info["config"]["mediaType"], json!(OCI_CONFIG));
}
