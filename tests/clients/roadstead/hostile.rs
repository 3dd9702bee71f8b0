//! Registries and layouts that mean harm.

use std::fs;
use std::os::unix::fs::symlink;

use serde_json::json;
use tempfile::TempDir;

use super::made::{Made, config, digest};
use super::{Roadstead, expect, oci};
use crate::client::fake::{Fake, answer, chunked};
use crate::clients::registry::Registry;
use crate::clients::target::Target;
use crate::common::content::{MIB, OCI_MANIFEST, image, noise, sha256};

/// A registry that has one image, whose layer it answers in its own way.
fn lying(layer: &'static [u8], answered: Vec<u8>) -> (Fake, String) {
    let manifest = image(b"{}", &[layer]).to_string().into_bytes();
    let name = sha256(layer).to_lowercase();
    let fake = Fake::start(move |head| {
        let target = head.split(' ').nth(1).unwrap_or_default();
        if target.contains("/manifests/") {
            let headers = format!("Content-Type: {OCI_MANIFEST}\r\n");
            return answer(200, &headers, &manifest);
        }
        if target.ends_with(&name) {
            return answered.clone();
        }
        answer(200, "", b"{}")
    });
    let image = format!("{}/app:v1", fake.url().replace("http://", ""));
    (fake, image)
}

#[test]
fn a_registry_that_lies_writes_nothing_under_a_name() {
    const LAYER: &[u8] = b"the bytes of the layer";
    let endless = noise(3 * MIB, 1);
    for (answered, text) in [
        (answer(200, "", b"the bytes of that layer"), "bytes"),
        (answer(200, "", b"the bytes of thE layer"), "do not have the digest"),
        (answer(200, "", b"short"), "bytes"),
        (chunked(200, "", b"short"), ""),
        (chunked(200, "", &endless), "longer"),
        (answer(404, "", b""), "404"),
        (answer(500, "", b""), "500"),
        (answer(200, "Content-Range: bytes 5-9/10\r\n", b"other"), "bytes"),
        (answer(429, "Retry-After: 3600\r\n", b""), "try again in 3600 s"),
    ] {
        let (_fake, image) = lying(LAYER, answered);
        let client = Roadstead::of(&Target::open("127.0.0.1:1"));
        let folder = TempDir::new().expect("a temporary folder can be made");
        let file = folder.path().join("app.tar");
        for to in [oci(folder.path()), format!("docker-archive:{}", file.display())] {
            expect(&client.run(&["pull", &image, &to]), 1, &[text]);
        }
        assert!(!folder.path().join("index.json").exists());
        assert!(!file.exists());
        let layer = folder.path().join("blobs").join(sha256(LAYER).replacen(':', "/", 1));
        assert!(!layer.exists(), "{text}");
        // Nor does a copy of it have a name.
        let registry = Registry::start();
        let copy = registry.reference("copy:v1");
        assert_eq!(client.run(&["copy", &image, &copy]).code, Some(1), "{text}");
        assert!(registry.find("copy", "v1").is_none());
    }
}

#[test]
fn manifests_that_cannot_be_true_are_refused() {
    let client = Roadstead::of(&Target::open("127.0.0.1:1"));
    let layer = json!({
        "mediaType": "application/octet-stream", "digest": sha256(b"layer"), "size": 5,
    });
    let with = |field: &str, value: serde_json::Value| {
        let mut layer = layer.clone();
        layer[field] = value;
        let mut manifest = image(b"{}", &[b"layer"]);
        manifest["layers"].as_array_mut().unwrap().push(layer);
        manifest.to_string().into_bytes()
    };
    for (manifest, text) in [
        (with("digest", json!("sha256:../../../../etc/passwd")), "digest"),
        (with("digest", json!("md5:d41d8cd98f00b204e9800998ecf8427e")), "digest"),
        (with("digest", json!(format!("sha256:{}/..", "a".repeat(61)))), "digest"),
        (with("size", json!(6)), "says that"),
        (with("size", json!(-1)), "not valid"),
        (vec![b' '; 5 * MIB], "longer than"),
        (b"{}".to_vec(), "schemaVersion"),
    ] {
        let fake = Fake::start(move |_| {
            answer(200, &format!("Content-Type: {OCI_MANIFEST}\r\n"), &manifest)
        });
        let image = format!("{}/app:v1", fake.url().replace("http://", ""));
        let folder = TempDir::new().expect("a temporary folder can be made");
        expect(&client.run(&["pull", &image, &oci(folder.path())]), 1, &[text]);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "{text}");
    }
}

/// The registry has another server take the bytes: that one gets them, but no credentials.
#[test]
fn an_upload_that_leads_elsewhere_takes_no_credentials_along() {
    let elsewhere = Fake::start(|_| answer(201, "", b""));
    let other = elsewhere.url();
    let registry = Fake::start(move |head| {
        if head.starts_with("head ") || head.starts_with("get ") && !head.starts_with("get /v2/ ") {
            return answer(404, "", b"");
        }
        if head.starts_with("post ") {
            if !head.contains("authorization: basic") {
                return answer(401, "WWW-Authenticate: Basic realm=\"x\"\r\n", b"");
            }
            return answer(202, &format!("Location: {other}/upload?signed=1\r\n"), b"");
        }
        answer(if head.starts_with("put ") { 201 } else { 200 }, "", b"")
    });
    let host = registry.url().replace("http://", "");
    let client = Roadstead::of(&Target::open(&host));
    client.home.write(
        "auth.json",
        format!(r#"{{"auths": {{"{host}": {{"auth": "YW5uYTpzZXNhbWU="}}}}}}"#),
    );
    let made = Made::new();
    let root = made.image_of(&config("amd64"), &[b"layer"]);
    let layout = made.finish(&[root]);
    client.say(&["push", &oci(layout.path()), &format!("{host}/app:v1")]);
    let requests = elsewhere.requests();
    assert_eq!(requests.len(), 2, "{requests:?}");
    assert!(!requests.iter().any(|head| head.contains("authorization")), "{requests:?}");
}

#[test]
fn a_layout_leads_to_no_other_file() {
    let registry = Registry::start();
    let client = Roadstead::of(registry.target());
    let outside = TempDir::new().expect("a temporary folder can be made");
    let secret = outside.path().join("secret");
    fs::write(&secret, "secret").unwrap();
    let app = registry.reference("app:v1");

    // A link to a file with other bytes; one to the right bytes is as good as a file.
    for (content, code) in [("secret", 1), ("layers", 0)] {
        fs::write(&secret, content).unwrap();
        let made = Made::new();
        let root = made.image_of(&config("amd64"), &[b"layers"]);
        let blob = made.path().join("blobs").join(sha256(b"layers").replacen(':', "/", 1));
        fs::remove_file(&blob).unwrap();
        symlink(&secret, &blob).unwrap();
        let layout = made.finish(&[root]);
        let pushed = client.run(&["push", &oci(layout.path()), &app]);
        assert_eq!(pushed.code, Some(code), "{pushed}");
        let found = registry.find("app", "v1");
        assert_eq!(found.is_some(), code == 0);
    }
    // Names that are paths.
    let made = Made::new();
    let mut root = made.image_of(&config("amd64"), &[b"layer"]);
    root["digest"] = json!("sha256:../../secret");
    let layout = made.finish(&[root]);
    expect(&client.run(&["push", &oci(layout.path()), &app]), 1, &["is not a digest"]);
    // What is no file, and what is too large.
    let made = Made::new();
    let root = made.image_of(&config("amd64"), &[b"layer"]);
    let large = json!({ "mediaType": OCI_MANIFEST, "digest": digest(&root), "size": 100 << 20 });
    let layout = made.finish(&[large]);
    expect(&client.run(&["push", &oci(layout.path()), &app]), 1, &["104857600 bytes"]);
    let index = layout.path().join("index.json");
    fs::remove_file(&index).unwrap();
    fs::create_dir(&index).unwrap();
    expect(&client.run(&["push", &oci(layout.path()), &app]), 1, &["it is no file"]);
}

/// A pull writes to the layout alone, whatever stands there.
#[test]
fn a_pull_follows_no_link_out_of_its_layout() {
    let registry = Registry::start();
    let client = Roadstead::of(registry.target());
    let made = Made::new();
    let root = made.image_of(&config("amd64"), &[b"layer"]);
    let layout = made.finish(&[root]);
    let app = registry.reference("app:v1");
    client.say(&["push", &oci(layout.path()), &app]);
    let folder = TempDir::new().expect("a temporary folder can be made");
    let victim = folder.path().join("victim");
    fs::write(&victim, "mine").unwrap();
    let to = folder.path().join("to");
    fs::create_dir_all(to.join("blobs/sha256")).unwrap();
    fs::create_dir_all(to.join(".parts")).unwrap();
    let layer = sha256(b"layer");
    symlink(&victim, to.join("blobs").join(layer.replacen(':', "/", 1))).unwrap();
    symlink(&victim, to.join("index.json")).unwrap();
    fs::write(&victim, "{}").unwrap();
    client.say(&["pull", &app, &oci(&to)]);
    assert_eq!(fs::read_to_string(&victim).unwrap(), "{}");
    symlink(&victim, to.join(".parts").join("link")).ok();
    let other = folder.path().join("other");
    fs::create_dir_all(other.join(".parts")).unwrap();
    symlink(&victim, other.join(".parts").join(layer.replacen(':', "-", 1))).unwrap();
    assert_eq!(client.run(&["pull", &app, &oci(&other)]).code, Some(1));
    assert_eq!(fs::read_to_string(&victim).unwrap(), "{}");
}
