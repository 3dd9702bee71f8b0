//! Data folders: the embedded store with SQLite.

use std::fs;
use std::path::Path;

use serde_json::Value;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection};
use tempfile::TempDir;

use super::shared::{
    Facts, assert_goes_on, assert_landed, assert_pulls, assert_purged, assert_root, finish_upload,
    layer_of, noise_of, read, unhex,
};
use crate::common::content::{noise, sha256};
use crate::common::http;
use crate::common::repository::Repository;
use crate::common::{Server, embedded_only, free_address, roadstead, run};

/// Makes a data folder out of the text files, with that dump as its index.
fn data_folder(version: &str, dump: &str) -> TempDir {
    let folder = TempDir::new().expect("a temporary folder can be made");
    let files: Value = serde_json::from_str(&read(&format!("{version}/files.json")))
        .expect("the files are what was written");
    let files = files.as_object().expect("paths and what stands there");
    // What is linked to comes before its links only by chance.
    for is_link in [false, true] {
        for (path, what) in files {
            let destination = folder.path().join(path);
            fs::create_dir_all(destination.parent().expect("it is below the folder"))
                .expect("the files are what was written");
            let bytes = match what.as_object().and_then(|what| what.iter().next()) {
                Some((kind, Value::String(target))) if kind == "link" => {
                    if is_link {
                        fs::hard_link(folder.path().join(target), destination)
                            .expect("the files are what was written");
                    }
                    continue;
                }
                Some((kind, Value::String(text))) if kind == "text" => text.clone().into_bytes(),
                Some((kind, Value::String(text))) if kind == "hex" => unhex(text),
                Some((kind, Value::Array(parts))) if kind == "noise" => {
                    let [length, seed] = [0, 1]
                        .map(|at| parts[at].as_u64().expect("the files are what was written"));
                    noise(usize::try_from(length).expect("the files are what was written"), seed)
                }
                other => panic!("{path}: {other:?}"),
            };
            if !is_link {
                fs::write(destination, now_due(path, bytes))
                    .expect("the files are what was written");
            }
        }
    }
    load(&folder.path().join("index.sqlite"), &read(&format!("{version}/{dump}")));
    folder
}

/// What a name leads to stands in for a look-up for a day: until now, as the note of a name has it.
fn now_due(path: &str, bytes: Vec<u8>) -> Vec<u8> {
    if !path.starts_with("cache/roots/") {
        return bytes;
    }
    let mut note: Value = serde_json::from_slice(&bytes).expect("notes are JSON");
    assert!(note["due"].is_string(), "{note}");
    note["due"] = jiff::Timestamp::now().to_string().into();
    note.to_string().into_bytes()
}

/// Makes a database out of a dump. Of uploads it is said that they were continued now, since they expire.
fn load(path: &Path, dump: &str) {
    let options = SqliteConnectOptions::new().filename(path).create_if_missing(true);
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("the files are what was written")
        .block_on(async {
            let mut database: SqliteConnection = options.connect().await?;
            sqlx::raw_sql(AssertSqlSafe(dump.to_owned())).execute(&mut database).await?;
            let touch = "UPDATE uploads SET touched = unixepoch() * 1000";
            sqlx::raw_sql(touch).execute(&mut database).await?;
            database.close().await
        })
        .unwrap_or_else(|error| panic!("the dump of {}: {error}", path.display()));
}

/// A server on such a folder, whose names cannot be looked up and whose publishers are gone.
fn serve(data: &TempDir) -> Server {
    let nobody = free_address();
    Server::start_on_with(data.path(), move |command| {
        command.env("ROADSTEAD_DNSLINK__SERVERS", &nobody);
        command.env("ROADSTEAD_FEDERATION__GATEWAYS", format!("http://{nobody}"));
    })
}

#[test]
fn a_data_folder_of_version_0_opens_and_everything_in_it_goes_on() {
    opens_and_goes_on("v0");
}

#[test]
fn a_data_folder_of_version_1_opens_and_everything_in_it_goes_on() {
    opens_and_goes_on("v1");
}

fn opens_and_goes_on(version: &str) {
    let Some(()) = embedded_only("it is the store's own folder") else { return };
    let facts = Facts::read(&format!("{version}/facts.json"));
    let data = data_folder(version, "index.sql");
    let mut server = serve(&data);

    assert_pulls(&server, &facts);
    let moved = Repository::of(&server, "team/hello").get("manifests/v2");
    assert!(moved.text().contains(&sha256(&layer_of("moved"))), "{}", moved.text());
    assert_landed(&server, &facts, facts.text("pending"), moved.header("docker-content-digest"));
    assert_root(&server, facts.text("root_after"));
    if version != "v0" {
        assert_purged(&server, &facts);
    }
    finish_upload(&server, &facts, &noise_of(&facts, "upload_noise"));

    // The root that was published is held, and the key says who serves it.
    let published = facts.text("root_before");
    assert_eq!(http::get(&server.url(&format!("/ipfs/{published}?format=raw"))).status, 200);
    let providers = http::get(&server.url(&format!("/routing/v1/providers/{published}"))).json();
    assert_eq!(providers["Providers"][0]["ID"], facts.text("peer"), "{providers}");

    assert_goes_on(&mut server, &facts);
}

#[test]
fn foreign_content_that_version_0_cached_is_served_without_its_source() {
    let Some(()) = embedded_only("it is the store's own folder") else { return };
    let facts = Facts::read("v0/facts.json");
    let data = data_folder("v0", "index.sql");
    let server = serve(&data);
    let layer = layer_of("foreign");
    for name in ["pub.test", facts.text("theirs")] {
        let theirs = Repository::of(&server, &format!("{name}/lib/foreign"));
        let manifest = theirs.get("manifests/v1");
        assert_eq!(manifest.status, 200, "{name}: {}", manifest.text());
        let by_digest = theirs.get(&format!("manifests/{}", sha256(&manifest.body)));
        assert_eq!(by_digest.body, manifest.body);
        assert_eq!(theirs.get(&format!("blobs/{}", sha256(&layer))).body, layer, "{name}");
        let other = Repository::of(&server, &format!("{name}/lib/other"));
        assert_ne!(other.get(&format!("blobs/{}", sha256(&layer))).status, 200, "{name}");
    }
}

#[test]
fn an_index_as_each_earlier_migration_left_it_is_migrated_and_served() {
    let Some(()) = embedded_only("it is the store's own folder") else { return };
    for (made, version) in [("v0", 1), ("v0", 2), ("v0", 3), ("v1", 4), ("v1", 5)] {
        let facts = Facts::read(&format!("{made}/facts.json"));
        let data = data_folder(made, &format!("index-after-{version}.sql"));
        let mut server = serve(&data);
        assert_pulls(&server, &facts);
        let fresh = Repository::of(&server, "team/hello").get("manifests/fresh");
        assert_eq!(sha256(&fresh.body), facts.text("fresh"));
        assert_root(&server, facts.text("root_fresh"));
        finish_upload(&server, &facts, &noise_of(&facts, "upload_noise"));
        assert_goes_on(&mut server, &facts);
    }
}

#[test]
fn a_dry_run_of_a_rebuild_leaves_an_index_of_an_earlier_version_as_it_is() {
    let Some(()) = embedded_only("it is the store's own folder") else { return };
    for dump in ["index-after-1.sql", "index-after-2.sql", "index-after-3.sql", "index.sql"] {
        let data = data_folder("v0", dump);
        let index = data.path().join("index.sqlite");
        let before = fs::read(&index).expect("it was loaded");
        let mut command = roadstead(["index", "rebuild", "--dry-run", "--data"]);
        let planned = run(command.arg(data.path()));
        assert!(planned.stdout.contains(" manifests, "), "{dump}: {planned}");
        assert!(fs::read(&index).expect("it is there") == before, "{dump} was changed");
    }
}
