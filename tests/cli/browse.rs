//! `list`, `info` and `usage` at a Roadstead: sizes, times, pulls.

use serde_json::{Value, json};
use tempfile::TempDir;

use super::registries::of_user;
use crate::common::content::image;
use crate::common::repository::{Repository, wait};
use crate::common::{Server, succeed};

fn say(folder: &TempDir, words: &[&str]) -> Value {
    let mut command = of_user(folder.path(), words.iter().copied());
    let text = succeed(command.arg("--json"));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

#[test]
fn an_image_is_listed_with_its_sizes_and_pulls_and_listing_it_is_no_pull() {
    let server = Server::start();
    let host = server.address();
    let folder = TempDir::new().unwrap();
    let repository = Repository::of(&server, "browse/app");
    let config = br#"{"created":"2026-01-02T03:04:05Z","os":"linux","architecture":"amd64"}"#;
    let [base, own] = [&b"the base of both"[..], b"the layer of one"];
    let mut sizes = Vec::new();
    for (tag, layers) in [("v1", &[base, own][..]), ("v2", &[base][..])] {
        for blob in layers.iter().copied().chain([&config[..]]) {
            repository.push_blob(blob);
        }
        let manifest = repository.push_manifest(tag, &image(config, layers));
        let layers: usize = layers.iter().map(|it| it.len()).sum();
        sizes.push(manifest.len() + layers + config.len());
    }
    repository.push_blob(b"nobody names it");
    assert_eq!(repository.get("manifests/v1").status, 200);
    let list = || say(&folder, &["list", "browse/*", "--registry", host]);
    let pulls = || list()[0]["tags"][0]["pulls"].clone();
    wait(|| pulls() == 1, "the pull is not counted");
    let listed = list();
    let [one, two] = [0, 1].map(|at| listed[0]["tags"][at].clone());
    let shared = base.len() + config.len();
    for (tag, name, size) in [(&one, "v1", sizes[0]), (&two, "v2", sizes[1])] {
        assert_eq!((&tag["tag"], &tag["size"]), (&json!(name), &json!(size)), "{listed}");
        assert_eq!((&tag["shared"], &tag["own"]), (&json!(shared), &json!(size - shared)));
        assert_eq!(tag["created"], "2026-01-02T03:04:05Z", "{listed}");
        assert!(tag["pushed"].is_string() && tag["cid"].is_string(), "{listed}");
    }
    assert!(one["lastPulled"].is_string() && two["lastPulled"].is_null(), "{listed}");
    assert_eq!((&one["pulls"], &two["pulls"]), (&json!(1), &json!(0)), "it was listed before");
    let table = succeed(&mut of_user(folder.path(), ["list", "--registry", host]));
    assert!(table.contains("SHARED") && table.contains("PULLS"), "{table}");
    let info = say(&folder, &["info", &format!("{host}/browse/app:v2"), "--insecure"]);
    assert_eq!((&info["size"], &info["shared"]), (&json!(sizes[1]), &json!(shared)), "{info}");
    assert!(info["pushed"].is_string() && info["pulls"].is_u64(), "{info}");

    let usage = say(&folder, &["usage", "--registry", host]);
    let bytes = sizes[0] + sizes[1] - shared;
    let namespace = &usage["namespaces"][0];
    assert_eq!((&namespace["namespace"], &namespace["bytes"]), (&json!("browse"), &json!(bytes)));
    let found = &usage["repositories"][0];
    assert_eq!((&found["repository"], &found["bytes"]), (&json!("browse/app"), &json!(bytes)));
    assert_eq!((&found["unreferenced"], &found["tags"]), (&json!(15), &json!(2)), "{usage}");
    assert_eq!(usage["collectable"], Value::Null, "nobody is an administrator here");
    let text = succeed(&mut of_user(folder.path(), ["usage", "--registry", host]));
    assert!(text.contains("browse/app") && text.contains(&bytes.to_string()), "{text}");
}
