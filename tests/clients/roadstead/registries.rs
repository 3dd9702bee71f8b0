//! Each command against each kind of registry.

use std::fs;

use bcrypt::Version;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{Roadstead, made, oci};
use crate::client::stock_tokens::Guarded;
use crate::clients::face::{Face, Guests, on_each_face};
use crate::clients::image::{Image, LAYERS};
use crate::clients::layout::Layout;
use crate::clients::registry::{Registry, Request};
use crate::clients::stock_registry::StockRegistry;
use crate::clients::target::{Target, User};
use crate::common::require;

on_each_face!(roadstead_pushes_pulls_copies_lists_and_deletes);

fn roadstead_pushes_pulls_copies_lists_and_deletes(face: Face) {
    let Some(busybox) = require("busybox") else { return };
    let registry = Registry::start_as(face);
    let client = Roadstead::of(registry.target());
    let layout = Image::new(&busybox).write_gzip_layout();
    goes_round(&client, registry.target(), &layout);
    let requests = registry.push_of("other/app");
    assert!(!requests.iter().any(Request::is_upload), "{requests:?}");

    let image = registry.reference("team/app:v1");
    let info = client.json(&["info", &image]);
    let is_public = face.guests != Guests::Strangers;
    for layer in info["layers"].as_array().expect("it is a list") {
        assert_eq!(layer["cid"].is_string(), is_public, "{info}");
    }
    let listed = client.json(&["list", "--registry", &registry.target().url("")]);
    let names: Vec<_> = listed.as_array().unwrap().iter().map(|it| &it["repository"]).collect();
    assert_eq!(names, ["other/app", "team/app"]);
    assert_eq!(listed[1]["tags"][0]["cid"].is_string(), is_public, "{listed}");
    for name in ["own", "shared", "pushed", "pulls"] {
        assert!(!listed[1]["tags"][0][name].is_null() && !info[name].is_null(), "{name}: {listed}");
    }
    client.say(&["delete", &image, "--yes"]);
    assert!(registry.find("team/app", "v1").is_none());
    assert!(registry.find("team/app", &layout.contents().manifest).is_none());
    assert!(registry.find("other/app", "v1").is_some());
}

/// Pushes an image, pulls it, copies it and lists it.
fn goes_round(client: &Roadstead, target: &Target, layout: &Layout) {
    let digest = &layout.contents().manifest;
    let (app, other) = (target.reference("team/app:v1"), target.reference("other/app"));
    let from = layout.transport();
    let pushed = client.json(&["push", &from, &app]);
    assert_eq!(pushed["digest"], json!(digest));
    assert_eq!(pushed["blobs"]["sent"], json!(LAYERS + 1), "{pushed}");
    assert_eq!(&client.say(&["push", "--quiet", &from, &app]), digest);
    let again = client.json(&["push", &from, &app]);
    assert_eq!(again["blobs"]["present"], json!(LAYERS + 1), "{again}");

    let folder = TempDir::new().expect("a temporary folder can be made");
    let pulled = folder.path().join("pulled");
    assert_eq!(&client.say(&["pull", "--quiet", &app, &oci(&pulled)]), digest);
    let (files, index) = made::contents(&pulled);
    assert_eq!(files.len(), LAYERS + 2, "{files:?}");
    assert_eq!(index["manifests"][0]["digest"], json!(digest));
    let by_digest = format!("{}@{digest}", target.reference("team/app"));
    client.say(&["pull", &by_digest, &oci(&folder.path().join("by-digest"))]);

    // The copy has the tag of the original.
    let copied = client.json(&["copy", &app, &other]);
    assert_eq!(copied["digest"], json!(digest));
    assert_eq!(copied["blobs"]["mounted"], json!(LAYERS + 1), "{copied}");
    assert_eq!(client.say(&["tags", &other]), "v1");
    let tags = client.json(&["tags", &other]);
    assert_eq!(tags, json!({ "repository": other, "tags": ["v1"] }));

    let size: u64 = layout_size(layout);
    let info = client.json(&["info", &app]);
    assert_eq!(info["digest"], json!(digest));
    assert_eq!(info["layers"].as_array().map(Vec::len), Some(LAYERS), "{info}");
    assert_eq!(info["size"], json!(size), "{info}");
    assert!(client.say(&["info", &app]).contains(&**digest));
    let listed = client.json(&["list", "team/*:v*", "--registry", &target.url("")]);
    assert_eq!(listed.as_array().map(Vec::len), Some(1), "{listed}");
    let tag: &Value = &listed[0]["tags"][0];
    assert_eq!((&tag["tag"], &tag["digest"]), (&json!("v1"), &json!(digest)), "{listed}");
    assert_eq!(tag["size"], json!(size), "{listed}");
}

/// What a Roadstead says of an image that others do not.
const ONLY_ROADSTEAD: [&str; 5] = ["own", "shared", "pushed", "pulls", "lastPulled"];

fn layout_size(layout: &Layout) -> u64 {
    let blobs = fs::read_dir(layout.path().join("blobs/sha256")).expect("it can be read");
    blobs.map(|blob| blob.and_then(|it| it.metadata()).expect("it can be read").len()).sum()
}

#[test]
fn the_stock_registry_is_used_with_its_password_file() {
    let (Some(program), Some(busybox)) = (require("registry"), require("busybox")) else { return };
    let folder = TempDir::new().expect("a temporary folder can be made");
    let hash = bcrypt::hash_with_result("sesame", 4).expect("4 is a cost");
    let file = folder.path().join("htpasswd");
    fs::write(&file, format!("anna:{}\n", hash.format_for_version(Version::TwoY))).unwrap();
    let auth = json!({ "htpasswd": { "realm": "stock", "path": file } });
    let data = folder.path().join("data");
    let stock = StockRegistry::start_with(&program, &data, false, Some(auth));
    stock_goes_round(&stock, &busybox);
}

#[test]
fn the_stock_registry_is_used_with_a_token_service() {
    let (Some(guarded), Some(busybox)) = (Guarded::start(), require("busybox")) else { return };
    // Its service lists nothing in the catalog for anna, so that is left to the other one.
    let stock = &guarded.stock;
    let target = Target::open(stock.address()).of_user(Some(ANNA));
    let client = Roadstead::of(&target);
    let layout = Image::new(&busybox).write_gzip_layout();
    let (app, other) = (target.reference("team/app:v1"), target.reference("other/app:v1"));
    client.say(&["push", &layout.transport(), &app]);
    let copied = client.json(&["copy", &app, &other]);
    assert_eq!(copied["blobs"]["mounted"], json!(LAYERS + 1), "{copied}");
    let folder = TempDir::new().expect("a temporary folder can be made");
    client.say(&["pull", &other, &oci(folder.path())]);
    assert_eq!(made::contents(folder.path()).0.len(), LAYERS + 2);
    client.say(&["delete", &other, "--yes"]);
    assert_ne!(client.run(&["info", &other]).code, Some(0));
}

const ANNA: User = User { name: "anna", password: "sesame" };

fn stock_goes_round(stock: &StockRegistry, busybox: &std::path::Path) {
    let target = Target::open(stock.address()).of_user(Some(ANNA));
    let client = Roadstead::of(&target);
    let layout = Image::new(busybox).write_gzip_layout();
    goes_round(&client, &target, &layout);
    let image = target.reference("team/app:v1");
    let info = client.json(&["info", &image]);
    assert_eq!((&info["cid"], &info["layers"][0]["cid"]), (&Value::Null, &Value::Null));
    let listed = client.json(&["list", "team/app", "--registry", &target.url("")]);
    for name in ONLY_ROADSTEAD {
        assert!(info[name].is_null() && listed[0]["tags"][0][name].is_null(), "{name}: {listed}");
    }
    client.say(&["delete", &image, "--yes"]);
    assert_ne!(client.run(&["info", &image]).code, Some(0));
    assert_eq!(client.say(&["tags", &target.reference("other/app")]), "v1");
}

/// Between a registry of ours and the stock one, in both directions.
#[test]
fn an_image_is_copied_from_one_registry_to_another() {
    let (Some(program), Some(busybox)) = (require("registry"), require("busybox")) else { return };
    let folder = TempDir::new().expect("a temporary folder can be made");
    let stock = StockRegistry::start(&program, folder.path(), false);
    let registry = Registry::start();
    let client = Roadstead::of(registry.target());
    let layout = Image::write_index(&busybox, &["amd64", "arm64"]);
    let (first, second) = (
        registry.reference("team/app:v1"),
        Target::open(stock.address()).reference("copies/app:v2"),
    );
    let digest = client.say(&["push", "--quiet", &layout.transport(), &first]);
    assert_eq!(digest, layout.contents().manifest);
    assert_eq!(client.say(&["copy", "--insecure", "--quiet", &first, &second]), digest);
    let back = registry.reference("back/app");
    assert_eq!(client.say(&["copy", "--quiet", &second, &back]), digest);
    assert_eq!(registry.tags("back/app"), ["v2"]);
    // One platform is an image of its own, with the digest that it has in the index.
    let one = registry.reference("one/app:v1");
    let platform = ["copy", "--quiet", "--platform", "linux/arm64", &second, &one];
    assert_eq!(client.say(&platform), layout.manifests()[1]);
    let info = client.json(&["info", &format!("{back}:v2"), "--platform", "linux/arm64"]);
    assert_eq!(info["platforms"][1]["digest"], json!(layout.manifests()[1]));
    assert_eq!(info["platform"], json!("linux/arm64"), "{info}");
}
