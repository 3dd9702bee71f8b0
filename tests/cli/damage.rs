//! What disks, copies and people do to a data folder: what is touched fails with a reason, the rest is served, `check`
//! names it, and `index rebuild` mends what can be mended.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use sqlx::{Connection, SqliteConnection};

use crate::cli::push;
use crate::common::content::{OCI_MANIFEST, image, noise, sha256, sha512};
use crate::common::process::Finished;
use crate::common::repository::Repository;
use crate::common::sqlite::execute;
use crate::common::{Server, http, run, succeed};

fn tree(server: &Server) -> PathBuf {
    server.data().join("public/docker/registry/v2")
}

/// The file of a blob, which content and tree share.
fn data_file(server: &Server, bytes: &[u8]) -> PathBuf {
    let hex = push::sha256(bytes).hex();
    tree(server).join("blobs/sha256").join(&hex[..2]).join(hex).join("data")
}

fn index_file(server: &Server) -> PathBuf {
    server.data().join("index.sqlite")
}

fn get(server: &Server, path: &str) -> http::Response {
    http::get(&server.url(path))
}

fn blob_path(repository: &str, bytes: &[u8]) -> String {
    format!("/v2/{repository}/blobs/{}", push::sha256(bytes))
}

fn assert_pulled(server: &Server, repository: &str, manifest: &str, layer: &str) {
    let answer = get(server, &format!("/v2/{repository}/manifests/v1"));
    assert_eq!((answer.status, answer.text()), (200, manifest.to_owned()));
    let answer = get(server, &blob_path(repository, layer.as_bytes()));
    assert_eq!((answer.status, answer.text()), (200, layer.to_owned()));
}

fn assert_well(server: &Server) {
    let report = succeed(&mut server.command(["check"]));
    assert!(report.ends_with(": all is well"), "{report}");
}

/// Checks that something was found wrong, and returns what.
fn refused(server: &Server, arguments: &[&str]) -> Finished {
    let report = run(&mut server.command(arguments));
    assert_eq!(report.code, Some(1), "{report}");
    report
}

/// A server with two images, at rest.
fn two_images() -> (Server, [String; 2]) {
    let mut server = Server::start_embedded();
    let images = [("good", "layer"), ("hurt", "other")]
        .map(|(name, layer)| push::image(&server, name, "v1", layer));
    assert!(server.stop().success());
    succeed(&mut server.command(["root"]));
    (server, images)
}

#[test]
fn a_blob_that_is_not_what_it_was_is_named_and_dropped_and_may_be_pushed_again() {
    let truncated: fn(&Path) = |file| fs::write(file, b"oth").unwrap();
    let flipped: fn(&Path) = |file| fs::write(file, b"Other").unwrap();
    let emptied: fn(&Path) = |file| fs::write(file, b"").unwrap();
    for damage in [truncated, flipped, emptied] {
        let (mut server, [good, hurt]) = two_images();
        let file = data_file(&server, b"other");
        damage(&file);
        let bytes = fs::read(&file).unwrap();
        server.start_again();
        let touched = get(&server, &blob_path("hurt", b"other"));
        if bytes.len() == b"other".len() {
            // Whoever pulls compares the digest; here it was compared when it came.
            assert_eq!((touched.status, touched.body), (200, bytes.clone()));
        } else {
            let error = &touched.json()["errors"][0];
            assert_eq!((touched.status, &error["code"]), (500, &"UNKNOWN".into()));
            assert_eq!(error["message"], "the stored content is damaged: see the server's log");
            assert!(server.log().contains(&format!("{}", push::sha256(b"other"))));
        }
        assert_pulled(&server, "good", &good, "layer");
        assert_eq!(get(&server, "/v2/hurt/manifests/v1").text(), hurt);

        let named =
            format!("blob {}: its bytes are {}", push::sha256(b"other"), push::sha256(&bytes));
        let report = refused(&server, &["check"]);
        assert!(report.stdout.contains(&named), "{report}");
        // And the root, which is that of the tree as it was.
        assert!(report.stdout.ends_with(" 2 things are wrong\n"), "{report}");
        server.stop();
        let rebuilt = refused(&server, &["index", "rebuild"]).stdout;
        assert!(rebuilt.contains(&format!("dropped {named}")), "{rebuilt}");
        assert!(rebuilt.contains("dropped tag `hurt:v1`"), "{rebuilt}");
        assert_well(&server);
        server.start_again();
        assert_pulled(&server, "good", &good, "layer");
        for path in ["/v2/hurt/manifests/v1", &blob_path("hurt", b"other")] {
            assert_eq!(get(&server, path).status, 404);
        }
        push::image(&server, "hurt", "v1", "other");
        assert_pulled(&server, "hurt", &hurt, "other");
        assert_well(&server);
    }
}

/// Changes the last byte of a blob where it stands, which leaves its length.
fn flip_the_end(server: &Server, bytes: &[u8]) {
    let file = data_file(server, bytes);
    let mut found = fs::read(&file).unwrap();
    assert_eq!(found, bytes);
    *found.last_mut().unwrap() ^= 1;
    fs::write(&file, found).unwrap();
}

#[test]
fn wrong_bytes_of_the_right_length_give_way_to_the_same_content_pushed_again() {
    let server = Server::start_embedded();
    let repository = Repository::of(&server, "hurt");
    let layers = ["posted", "streamed", "other-name", "beside"].map(|word| {
        let mut bytes = noise(600 * 1024, 1);
        bytes.extend_from_slice(word.as_bytes());
        bytes
    });
    let [posted, streamed, other_name, beside] = &layers;
    let config = b"{}";
    for bytes in layers.iter().map(Vec::as_slice).chain([&config[..]]) {
        repository.push_blob(bytes);
    }
    let references: Vec<&[u8]> = layers.iter().map(Vec::as_slice).collect();
    let manifest = image(config, &references).to_string().into_bytes();
    assert_eq!(repository.put("v1", OCI_MANIFEST, &manifest).status, 201);
    for bytes in references.iter().copied().chain([&config[..], &manifest]) {
        flip_the_end(&server, bytes);
    }

    repository.push_blob(posted);
    repository.push_blob(config);
    let upload = repository.begin();
    assert_eq!(upload.stream(streamed).status, 202);
    assert_eq!(upload.finish(&sha256(streamed)).status, 201);
    repository.push_blob_as(other_name, &sha512(other_name));
    let upload = repository.begin();
    assert_eq!(upload.stream(b"what came before").status, 202);
    assert_eq!(upload.finish_with(&sha256(beside), beside).status, 201);
    for bytes in references.iter().copied().chain([&config[..]]) {
        let found = repository.get(&format!("blobs/{}", sha256(bytes)));
        assert!(found.status == 200 && found.body == bytes, "{}", sha256(bytes));
        assert_eq!(fs::read(data_file(&server, bytes)).unwrap(), bytes, "the tree has it as well");
    }
    assert_eq!(repository.put("v1", OCI_MANIFEST, &manifest).status, 201);
    assert_eq!(fs::read(data_file(&server, &manifest)).unwrap(), manifest);
    assert_well(&server);
    // What is sound stays the file that it was.
    let before = fs::metadata(data_file(&server, posted)).unwrap().ino();
    repository.push_blob(posted);
    assert_eq!(fs::metadata(data_file(&server, posted)).unwrap().ino(), before);
    assert_well(&server);
}

#[test]
fn a_file_that_is_gone_is_an_error_for_what_it_was_and_nothing_else() {
    let (mut server, [good, hurt]) = two_images();
    let digest = push::sha256(b"other");
    let content = server.data().join("content/sha256").join(&digest.hex()[..2]).join(digest.hex());
    fs::remove_file(content).unwrap();
    fs::remove_dir_all(data_file(&server, b"other").parent().unwrap()).unwrap();
    server.start_again();
    let touched = get(&server, &blob_path("hurt", b"other"));
    assert_eq!(touched.status, 500);
    assert!(touched.text().contains("the stored content is damaged"), "{}", touched.text());
    assert_pulled(&server, "good", &good, "layer");
    let report = refused(&server, &["check"]);
    assert!(report.stdout.contains(&digest.to_string()), "{report}");
    // Whoever has it brings it back.
    push::image(&server, "hurt", "v1", "other");
    assert_pulled(&server, "hurt", &hurt, "other");
    assert_well(&server);
}

#[test]
fn a_link_that_is_gone_is_named_and_the_index_made_to_agree() {
    let layer = push::sha256(b"other").hex();
    for (link, named) in [
        (format!("_layers/sha256/{layer}"), "it references sha256:"),
        (
            "_manifests/tags/v1/current".to_owned(),
            "the tag points to another manifest in the index",
        ),
        ("_manifests/tags/v1".to_owned(), "in the index, but not in the tree"),
        ("_manifests/revisions".to_owned(), "the tag points to a missing manifest"),
    ] {
        let (mut server, [good, hurt]) = two_images();
        fs::remove_dir_all(tree(&server).join("repositories/hurt").join(&link)).unwrap();
        server.start_again();
        assert_pulled(&server, "good", &good, "layer");
        assert_pulled(&server, "hurt", &hurt, "other");
        let report = refused(&server, &["check"]);
        assert!(report.stdout.contains("hurt"), "{link}: {report}");
        assert!(report.stdout.contains(named), "{link}: {report}");
        assert!(!report.stdout.contains("good"), "{link}: {report}");
        server.stop();
        // What has no link any more is not known to have been there.
        let rebuilt = run(&mut server.command(["index", "rebuild"]));
        let is_loss = rebuilt.stdout.contains("dropped ");
        assert_eq!(rebuilt.code, Some(i32::from(is_loss)), "{link}: {rebuilt}");
        assert_well(&server);
        server.start_again();
        assert_pulled(&server, "good", &good, "layer");
        assert_eq!(get(&server, "/v2/hurt/manifests/v1").status, 404, "{link}");
        push::image(&server, "hurt", "v1", "other");
        assert_pulled(&server, "hurt", &hurt, "other");
        assert_well(&server);
    }
}

#[test]
fn an_index_that_is_damaged_is_named_set_aside_and_made_anew() {
    let torn: fn(&Path) = |file| {
        let bytes = fs::read(file).unwrap();
        fs::write(file, &bytes[..bytes.len() / 2]).unwrap();
    };
    let spoilt: fn(&Path) = |file| {
        let mut bytes = fs::read(file).unwrap();
        let middle = bytes.len() / 4..bytes.len() * 3 / 4;
        bytes[middle].fill(0x5a);
        fs::write(file, bytes).unwrap();
    };
    let replaced: fn(&Path) = |file| fs::write(file, "this is no database\n".repeat(999)).unwrap();
    for damage in [torn, spoilt, replaced] {
        let (mut server, [good, hurt]) = two_images();
        let file = index_file(&server);
        execute(&file, "PRAGMA user_version = 0");
        damage(&file);
        let damaged = fs::read(&file).unwrap();
        let report = refused(&server, &["check"]);
        let named = "the index is damaged; run `roadstead index rebuild`";
        assert!(report.stderr.contains(named), "{report}");

        let rebuilt = run(&mut server.command(["index", "rebuild"]));
        let aside = file.with_file_name("index.sqlite.damaged-1");
        let expected = format!("the index is damaged: renamed it to {}\n", aside.display());
        assert!(rebuilt.stderr.contains(&expected), "{rebuilt}");
        let is_lost = rebuilt.stderr.contains("may have lost queued changes");
        assert_eq!(rebuilt.code, Some(i32::from(is_lost)), "{rebuilt}");
        assert_eq!(rebuilt.stdout, "2 repositories, 2 manifests, 2 tags, 5 blobs\n", "{rebuilt}");
        assert_eq!(fs::read(&aside).unwrap().len(), damaged.len());
        assert_well(&server);
        server.start_again();
        assert_pulled(&server, "good", &good, "layer");
        assert_pulled(&server, "hurt", &hurt, "other");
    }
}

/// Fills the first page of a table of the index with nonsense.
fn spoil_table(file: &Path, table: &str) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (page, size): (i64, i64) = runtime.block_on(async {
        let url = format!("sqlite:{}", file.display());
        let mut connection = SqliteConnection::connect(&url).await.unwrap();
        let query = "SELECT rootpage, (SELECT page_size FROM pragma_page_size) \
                     FROM sqlite_schema WHERE name = $1";
        let found = sqlx::query_as(query).bind(table).fetch_one(&mut connection).await.unwrap();
        connection.close().await.unwrap();
        found
    });
    let mut bytes = fs::read(file).unwrap();
    let [page, size] = [page, size].map(|number| usize::try_from(number).unwrap());
    bytes[(page - 1) * size..page * size].fill(0x5a);
    fs::write(file, bytes).unwrap();
}

#[test]
fn what_was_acknowledged_outlives_an_index_that_is_damaged() {
    let (mut server, [good, hurt]) = two_images();
    server.start_again();
    let late = push::image(&server, "late", "v1", "last");
    assert_eq!(push::delete(&server, "/v2/hurt/manifests/v1"), 202);
    server.kill();
    // As after a loss of power: the queue was on the disk, the tree was not yet.
    fs::remove_dir_all(tree(&server).join("repositories/late")).unwrap();
    execute(&index_file(&server), "PRAGMA user_version = 0");
    spoil_table(&index_file(&server), "tags");
    let report = refused(&server, &["check"]);
    assert!(report.stderr.contains("the index is damaged"), "{report}");

    let rebuilt = run(&mut server.command(["index", "rebuild"]));
    assert!(rebuilt.stderr.contains("the index is damaged: renamed it to"), "{rebuilt}");
    assert_well(&server);
    server.start_again();
    assert_pulled(&server, "good", &good, "layer");
    assert_pulled(&server, "late", &late, "last");
    assert_eq!(get(&server, "/v2/hurt/manifests/v1").status, 404, "its tag was deleted");
    let by_digest = format!("/v2/hurt/manifests/{}", push::sha256(hurt.as_bytes()));
    assert_eq!(get(&server, &by_digest).text(), hurt);
}

#[test]
fn a_server_does_not_begin_on_what_is_no_index_and_says_why() {
    let (server, _) = two_images();
    let file = index_file(&server);
    let rebuild = "`roadstead index rebuild`";
    for (text, why) in [
        ("this is no database\n".repeat(999), "the index is damaged"),
        (String::new(), "holds images, but the index is empty"),
    ] {
        for beside in ["index.sqlite-wal", "index.sqlite-shm"] {
            let _ = fs::remove_file(server.data().join(beside));
        }
        fs::write(&file, text).unwrap();
        let report = refused(&server, &["serve", "--listen", "127.0.0.1:0"]);
        assert!(report.stderr.contains(why) && report.stderr.contains(rebuild), "{report}");
    }
}

#[test]
fn a_log_of_the_index_that_is_cut_loses_no_image() {
    let mut server = Server::start_embedded();
    for number in 0..20 {
        push::image(&server, "team/app", &format!("v{number}"), &format!("layer {number}"));
    }
    let tags = get(&server, "/v2/team/app/tags/list").json();
    server.kill();
    let log = server.data().join("index.sqlite-wal");
    let bytes = fs::read(&log).unwrap();
    assert!(bytes.len() > 100_000, "what was pushed last stands in it");
    fs::write(&log, &bytes[..10_000]).unwrap();
    let _ = fs::remove_file(server.data().join("index.sqlite-shm"));

    let report = refused(&server, &["check"]);
    assert!(report.stdout.contains("the tag points to another manifest in the index"), "{report}");
    succeed(&mut server.command(["index", "rebuild"]));
    assert_well(&server);
    server.start_again();
    assert_eq!(get(&server, "/v2/team/app/tags/list").json(), tags);
}

#[test]
fn a_data_folder_of_a_newer_version_is_left_as_it_is() {
    let (mut server, [good, hurt]) = two_images();
    let file = index_file(&server);
    execute(&file, "UPDATE _sqlx_migrations SET version = version + 1000");
    let bytes = fs::read(&file).unwrap();
    for arguments in
        [&["serve", "--listen", "127.0.0.1:0"][..], &["check"], &["root"], &["index", "rebuild"]]
    {
        let report = refused(&server, arguments);
        assert!(report.stderr.contains("the index was written by a newer version"), "{report}");
        assert!(
            report.stderr.contains("its schema is version 1001, this program knows up to 13"),
            "{report}"
        );
    }
    assert!(fs::read(&file).unwrap() == bytes, "it is as it was");
    execute(&file, "UPDATE _sqlx_migrations SET version = version - 1000");
    server.start_again();
    assert_pulled(&server, "good", &good, "layer");
    assert_pulled(&server, "hurt", &hurt, "other");
    assert_well(&server);
}
