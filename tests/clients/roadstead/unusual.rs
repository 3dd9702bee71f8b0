//! Registries that answer what others do not: what moves meanwhile, what cannot be read, what may not be read.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};

use super::made::{Made, config};
use super::{Roadstead, expect, oci};
use crate::client::fake::{Fake, answer};
use crate::clients::target::Target;
use crate::common::content::{OCI_INDEX, OCI_LAYER, OCI_MANIFEST, image, sha256};
use crate::common::terminal::refused_on_terminal;

/// What the repository `app` of a registry has.
#[derive(Default)]
struct App {
    /// What tags name.
    tags: BTreeMap<&'static str, String>,
    /// What `v1` names once it was looked up so many times.
    moved: Option<(usize, String)>,
    /// Manifests by digest, with their types.
    manifests: BTreeMap<String, (&'static str, Vec<u8>)>,
    /// What is not deleted.
    fixed: Option<String>,
}

impl App {
    fn add(&mut self, media_type: &'static str, manifest: &Value) -> String {
        let bytes = manifest.to_string().into_bytes();
        let digest = sha256(&bytes);
        self.manifests.insert(digest.clone(), (media_type, bytes));
        digest
    }

    fn start(self) -> (Fake, String) {
        let lookups = AtomicUsize::new(0);
        let fake = Fake::start(move |head| {
            let mut words = head.split(' ');
            let (method, path) = (words.next().unwrap_or_default(), words.next());
            let path = path.unwrap_or_default();
            let Some(name) = path.strip_prefix("/v2/app/manifests/") else {
                let tags: Vec<_> = self.tags.keys().collect();
                let body = json!({ "name": "app", "tags": tags }).to_string();
                let is_known = path == "/v2/" || path.starts_with("/v2/app/tags/list");
                return answer(if is_known { 200 } else { 404 }, "", body.as_bytes());
            };
            if method == "delete" {
                let is_fixed = self.fixed.as_deref() == Some(name);
                return answer(if is_fixed { 403 } else { 202 }, "", b"");
            }
            let mut digest = self.tags.get(name).map_or(name, String::as_str);
            if digest == "broken" {
                return answer(500, "", b"");
            }
            if let Some((after, other)) = self.moved.as_ref().filter(|_| name == "v1")
                && lookups.fetch_add(1, Ordering::Relaxed) >= *after
            {
                digest = other;
            }
            let Some((media_type, bytes)) = self.manifests.get(digest) else {
                return answer(404, "", b"");
            };
            let headers =
                format!("Content-Type: {media_type}\r\nDocker-Content-Digest: {digest}\r\n");
            let mut answered = answer(200, &headers, bytes);
            if method == "head" {
                answered.truncate(answered.len() - bytes.len());
            }
            answered
        });
        let name = format!("{}/app", fake.url().replace("http://", ""));
        (fake, name)
    }
}

fn client() -> Roadstead {
    Roadstead::of(&Target::open("127.0.0.1:1"))
}

fn deletions(fake: &Fake) -> usize {
    fake.requests().iter().filter(|head| head.starts_with("delete ")).count()
}

#[test]
fn a_tag_that_moves_before_it_is_deleted_stays() {
    // Before its deletion, and while the question stands there.
    for is_asked in [false, true] {
        let mut app = App::default();
        let [old, new] = ["old", "new"].map(|it| app.add(OCI_MANIFEST, &image(it.as_bytes(), &[])));
        app.tags = [("v1", old)].into();
        app.moved = Some((1, new.clone()));
        let (fake, name) = app.start();
        let (client, image) = (client(), format!("{name}:v1"));
        if is_asked {
            let answers = [("Type yes", "yes\r")];
            let seen = refused_on_terminal(client.command(&["delete", &image]), &answers);
            assert!(seen.contains("has changed since it was listed"), "{seen}");
        } else {
            expect(&client.run(&["delete", &image, "--yes"]), 1, &["tag v1 names", &new]);
        }
        assert_eq!(deletions(&fake), 0);
    }
}

#[test]
fn a_deletion_that_fails_in_the_middle_says_what_is_left() {
    let mut app = App::default();
    let child = app.add(OCI_MANIFEST, &image(b"child", &[]));
    let manifests = [json!({ "mediaType": OCI_MANIFEST, "digest": child, "size": 2 })];
    let list = json!({ "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": manifests });
    let root = app.add(OCI_INDEX, &list);
    app.tags = [("v1", root.clone())].into();
    app.fixed = Some(child.clone());
    let (_fake, name) = app.start();
    let failed = client().run(&["delete", &format!("{name}:v1"), "--yes"]);
    expect(&failed, 1, &["left are", &child, "403"]);
    assert!(!failed.stderr.contains(&root), "{failed}");
}

#[test]
fn odd_tags_and_lists_keep_no_other_tag_from_being_deleted() {
    let mut app = App::default();
    let odd = app.add(OCI_INDEX, &json!(["odd"]));
    let shared = app.add(OCI_MANIFEST, &image(b"shared", &[]));
    // What cannot be read whole still needs what it lists.
    let strange = json!({ "manifests": [{ "digest": "md5:1" }, { "digest": shared }] });
    let strange = app.add(OCI_INDEX, &strange);
    let own = app.add(OCI_MANIFEST, &image(b"own", &[]));
    let entry = |media_type: &str, digest: &str| json!({ "mediaType": media_type, "digest": digest, "size": 2 });
    let list = json!({
        "schemaVersion": 2, "mediaType": OCI_INDEX,
        "manifests": [
            entry(OCI_MANIFEST, &own), entry(OCI_MANIFEST, &shared),
            entry(OCI_MANIFEST, &sha256(b"absent")), entry(OCI_LAYER, &sha256(b"layer")),
        ],
    });
    let root = app.add(OCI_INDEX, &list);
    app.tags = [("odd", odd), ("strange", strange), ("v1", root.clone())].into();
    let (_fake, name) = app.start();
    let removal = client().json(&["delete", &format!("{name}:v1"), "--yes"]);
    let expected = json!([
        { "digest": root, "kind": "image" }, { "digest": own, "kind": "child" },
    ]);
    assert_eq!(removal["manifests"], expected, "{removal}");
}

#[test]
fn a_tag_that_the_registry_fails_to_read_keeps_no_other_from_being_deleted() {
    let mut app = App::default();
    let own = app.add(OCI_MANIFEST, &image(b"own", &[]));
    app.tags = [("v1", own.clone()), ("broken", "broken".to_owned())].into();
    let (fake, name) = app.start();
    let delete = |reference: &str| {
        let image = format!("{name}{reference}");
        client().json(&["delete", &image, "--yes"])
    };
    // Nobody knows whether the broken one needs the manifest.
    let removal = delete(":v1");
    assert_eq!((&removal["tags"], &removal["manifests"]), (&json!(["v1"]), &json!([])));
    let seen = client().run(&["delete", &format!("{name}:v1"), "--dry-run"]);
    assert!(seen.stderr.contains("broken"), "{seen}");
    // By its digest it goes, and the broken one by its name.
    let removal = delete(&format!("@{own}"));
    assert_eq!(removal["manifests"], json!([{ "digest": own, "kind": "image" }]));
    assert_eq!(delete(":broken")["tags"], json!(["broken"]));
    assert_eq!(deletions(&fake), 4, "v1, v1 and its manifest, broken");
}

#[test]
fn what_cannot_be_read_does_not_end_a_list() {
    let fake = Fake::start(|head| {
        let path = head.split(' ').nth(1).unwrap_or_default();
        let headers = format!("Content-Type: {OCI_MANIFEST}\r\n");
        match path.split('?').next().unwrap_or_default() {
            "/v2/" => answer(200, "", b"{}"),
            "/v2/_catalog" => answer(200, "", br#"{"repositories":["closed","odd"]}"#),
            "/v2/odd/tags/list" => answer(200, "", br#"{"name":"odd","tags":["v1"]}"#),
            "/v2/odd/manifests/v1" => answer(200, &headers, b"{}"),
            _ => answer(403, "", b""),
        }
    });
    let (client, host) = (client(), fake.url().replace("http://", ""));
    let listed = client.json(&["list", "--registry", &host]);
    assert_eq!(listed[0], json!({ "repository": "closed", "tags": null }), "{listed}");
    let tag = &listed[1]["tags"][0];
    assert_eq!(
        (&tag["tag"], &tag["digest"], &tag["size"]),
        (&json!("v1"), &Value::Null, &Value::Null)
    );
    let text = client.say(&["list", "--registry", &host]);
    assert!(text.contains("closed") && text.contains("v1"), "{text}");
    // What was named is to be read.
    expect(&client.run(&["list", "closed", "--registry", &host]), 1, &["403"]);
}

/// Who may push may not read, and the CID is not worth a failure.
#[test]
fn an_image_is_pushed_where_nothing_can_be_read() {
    let fake = Fake::start(|head| match head.split(' ').next().unwrap_or_default() {
        "get" if head.starts_with("get /v2/ ") => answer(200, "", b"{}"),
        "get" => answer(429, "Retry-After: 3600\r\n", b""),
        "head" => answer(401, "", b""),
        "post" => answer(202, "Location: /v2/app/blobs/uploads/1\r\n", b""),
        _ => answer(201, "", b""),
    });
    let made = Made::new();
    let inner = made.image_of(&config("amd64"), &[b"layer"]);
    let root = made.index(&[inner]);
    let layout = made.finish(&[root]);
    let image = format!("{}/app:v1", fake.url().replace("http://", ""));
    let pushed = client().json(&["push", &oci(layout.path()), &image]);
    assert_eq!((&pushed["cid"], &pushed["blobs"]["sent"]), (&Value::Null, &json!(2)), "{pushed}");
}
