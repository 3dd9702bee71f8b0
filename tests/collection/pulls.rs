//! Pulls: what counts, what is noted when, and the tags that stay because they were pulled.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use sqlx::{Connection, SqliteConnection};

use crate::common::content::{OCI_INDEX, OCI_MANIFEST, image, sha256};
use crate::common::http;
use crate::common::repository::{Repository, wait};
use crate::common::sqlite::execute;
use crate::common::{Server, succeed};

fn start(folder: &Path) -> Server {
    let data = folder.join("data");
    Server::start_on_with(&data, configure)
}

fn configure(command: &mut Command) {
    let rules = json!([{ "repositories": ["team/*"], "keep_pulled_within": "1h" }]);
    super::configure(command, "1s");
    command.env("ROADSTEAD_RETENTION", rules.to_string());
}

fn retention(server: &Server, arguments: &[&str]) -> String {
    let mut command = server.command(["retention"].iter().chain(arguments));
    configure(&mut command);
    succeed(&mut command)
}

/// Pushes an image whose layer is that word; returns its digest.
fn push(repository: &Repository<'_>, tag: &str, word: &str) -> (String, usize) {
    let (config, layer) = (b"{}", word.as_bytes());
    for blob in [&config[..], layer] {
        repository.push_blob(blob);
    }
    let manifest = repository.push_manifest(tag, &image(config, &[layer]));
    (sha256(&manifest), manifest.len())
}

/// Gets a manifest as a client of that address, as a proxy that is trusted says it.
fn get(server: &Server, path: &str, address: &str) {
    let response = http::send(|client| {
        client.get(server.url(&format!("/v2/{path}"))).header("x-forwarded-for", address)
    });
    assert_eq!(response.status, 200, "{path}");
}

/// What the index says of a manifest of that repository: how often it was pulled, and whether it was used of late.
fn noted(server: &Server, repository: &str, digest: &str) -> (i64, bool) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let url = format!("sqlite:{}", server.data().join("index.sqlite").display());
    let read = async {
        let mut connection = SqliteConnection::connect(&url).await?;
        let row = sqlx::query_as(
            "SELECT m.pulls, COALESCE(m.last_pulled > unixepoch() * 1000 - 3600000, 0) \
             FROM repositories r JOIN repository_manifests m ON m.repository = r.id WHERE r.name = $1 AND m.canonical = $2",
        );
        let row: (i64, bool) = row.bind(repository).bind(digest).fetch_one(&mut connection).await?;
        connection.close().await?;
        Ok::<_, sqlx::Error>(row)
    };
    runtime.expect("a runtime can be made").block_on(read).expect("the index can be read")
}

#[test]
fn a_client_counts_once_an_hour_and_a_look_by_tag_only_moves_the_time() {
    let folder = tempfile::TempDir::new().expect("a temporary folder can be made");
    let mut server = start(folder.path());
    let repository = Repository::of(&server, "team/app");
    let [one, two, three] = ["one", "two", "three"].map(|tag| push(&repository, tag, tag).0);
    for address in ["192.0.2.1", "192.0.2.1", "192.0.2.2", "2001:db8::1", "2001:db8::2"] {
        get(&server, "team/app/manifests/one", address);
        get(&server, &format!("team/app/manifests/{one}"), address);
    }
    assert_eq!(repository.head("manifests/two").status, 200);
    assert_eq!(repository.head(&format!("manifests/{three}")).status, 200);
    assert_eq!(repository.get("manifests/absent").status, 404);
    // It is written by itself a little later.
    let is_noted = || noted(&server, "team/app", &one).0 == 3;
    wait(is_noted, "the pulls are not written");
    let is_noted = || noted(&server, "team/app", &two) == (0, true);
    wait(is_noted, "the look is not written");
    assert_eq!(noted(&server, "team/app", &three), (0, false));
    // Nothing is lost by a stop, and what was counted before it is counted no more by this process alone.
    get(&server, "team/app/manifests/one", "192.0.2.1");
    get(&server, "team/app/manifests/one", "192.0.2.3");
    get(&server, "team/app/manifests/three", "192.0.2.3");
    assert!(server.stop().success());
    assert_eq!(noted(&server, "team/app", &one).0, 4);
    assert_eq!(noted(&server, "team/app", &three), (1, true));
}

#[test]
fn what_was_pulled_stays_and_what_was_not_goes() {
    let folder = tempfile::TempDir::new().expect("a temporary folder can be made");
    let mut server = start(folder.path());
    let repository = Repository::of(&server, "team/app");
    for tag in ["by-tag", "by-head", "by-digest", "head-of-digest", "never"] {
        push(&repository, tag, tag);
    }
    let (child, size) = push(&repository, "child", "child");
    let listed = json!({
        "schemaVersion": 2,
        "mediaType": OCI_INDEX,
        "manifests": [{ "mediaType": OCI_MANIFEST, "digest": child, "size": size }],
    });
    repository.push_manifest("images", &listed);
    let dry = retention(&server, &["--dry-run"]);
    assert!(dry.contains("stays  team/app:never  "), "{dry}");
    // Two hours later nobody knows of any pull, since none was noted before.
    let age = "UPDATE tags SET updated = updated - 7200000";
    server.stop();
    execute(&server.data().join("index.sqlite"), age);
    server.start_again();
    let why = "nobody knows whether it was pulled within 1h (rule 1)";
    let dry = retention(&server, &["--dry-run"]);
    assert_eq!(dry.matches(why).count(), 7, "{dry}");
    server.stop();
    execute(&server.data().join("index.sqlite"), "UPDATE pull_notes SET since = since - 7200000");
    server.start_again();
    let dry = retention(&server, &["--dry-run"]);
    assert_eq!(dry.matches("not pulled within 1h (rule 1)").count(), 7, "{dry}");
    let repository = Repository::of(&server, "team/app");
    let digest = |tag: &str| sha256(tag_bytes(tag).to_string().as_bytes());
    assert_eq!(repository.get("manifests/by-tag").status, 200);
    assert_eq!(repository.head("manifests/by-head").status, 200);
    let [pulled, looked_at] = ["by-digest", "head-of-digest"].map(digest);
    assert_eq!(repository.get(&format!("manifests/{pulled}")).status, 200);
    assert_eq!(repository.head(&format!("manifests/{looked_at}")).status, 200);
    assert_eq!(repository.get(&format!("manifests/{child}")).status, 200);
    // The server writes what it has noted before it applies the rules.
    retention(&server, &[]);
    let tags = repository.get("tags/list").json()["tags"].clone();
    assert_eq!(tags, json!(["by-digest", "by-head", "by-tag", "child", "images"]));
    let dry = retention(&server, &["--dry-run"]);
    assert_eq!(dry.matches("pulled within 1h (rule 1)").count(), 5, "{dry}");
}

/// The manifest that [`push`] makes for a word.
fn tag_bytes(word: &str) -> Value {
    image(b"{}", &[word.as_bytes()])
}
