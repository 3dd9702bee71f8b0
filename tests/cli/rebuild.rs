//! `roadstead index rebuild`: the API answers as before, and what is not whole is dropped.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use roadstead::oci::{Algorithm, Digest};

use crate::cli::push;
use crate::common::{Server, embedded_only, http, run, succeed};

const DAMAGES: &str = "it changes files of the data folder";

/// Asks all that a client may ask of these names, and returns the answers.
fn answers(server: &Server, paths: &[String]) -> Vec<(String, u16, String, Vec<u8>)> {
    let ask = |path: &String| {
        let answer = http::get(&server.url(path));
        let kind =
            format!("{} {}", answer.header("content-type"), answer.header("docker-content-digest"));
        (path.clone(), answer.status, kind, answer.body)
    };
    paths.iter().map(ask).collect()
}

/// Rebuilds an index of which something is dropped or may be lost; returns what is said on standard
/// output and on standard error.
fn rebuild_with_loss(server: &Server) -> (String, String) {
    let rebuilt = run(&mut server.command(["index", "rebuild"]));
    assert_eq!(rebuilt.code, Some(1), "{rebuilt}");
    (rebuilt.stdout.trim_end().to_owned(), rebuilt.stderr)
}

#[test]
fn every_request_is_answered_as_before() {
    let mut server = Server::start();
    let image = push::image(&server, "team/app", "v1", "layer");
    push::image(&server, "team/app", "v2", "other");
    push::image(&server, "deep/er/than/that", "v1", "layer");
    let manifest = push::sha256(image.as_bytes());
    let index = format!(
        r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[{{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"{manifest}","size":{}}}]}}"#,
        image.len()
    );
    assert_eq!(push::manifest(&server, "team/app", "all", &index).status, 201);
    let referrer = image.replacen('{', &format!(r#"{{"artifactType":"application/x","annotations":{{"a":"b"}},"subject":{{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"{manifest}","size":{}}},"#, image.len()), 1);
    let referrer_digest = push::sha256(referrer.as_bytes());
    assert_eq!(
        push::manifest(&server, "team/app", &referrer_digest.to_string(), &referrer).status,
        201
    );
    let long_config = Digest::of(Algorithm::Sha512, b"{}");
    push::blob(&server, "team/long", &long_config, b"{}");
    push::blob(&server, "team/long", &push::sha256(b"layer"), b"layer");
    let long = push::image_text(&long_config, &push::sha256(b"layer"));
    let long_digest = Digest::of(Algorithm::Sha512, long.as_bytes());
    assert_eq!(push::manifest(&server, "team/long", &long_digest.to_string(), &long).status, 201);
    push::image(&server, "team/gone", "v1", "layer");
    assert_eq!(push::delete(&server, "/v2/team/gone/manifests/v1"), 202);

    let mut paths: Vec<String> =
        ["v1", "v2", "all", "none"].map(|tag| format!("/v2/team/app/manifests/{tag}")).into();
    for name in ["team/app", "team/long", "team/gone", "deep/er/than/that", "never/there"] {
        paths.push(format!("/v2/{name}/tags/list"));
        paths.push(format!("/v2/{name}/referrers/{manifest}"));
        paths.push(format!("/v2/{name}/manifests/{manifest}"));
        paths.push(format!("/v2/{name}/manifests/{long_digest}"));
        paths.push(format!("/v2/{name}/manifests/{}", push::sha256(long.as_bytes())));
        for bytes in [&b"{}"[..], b"layer", b"other"] {
            paths.push(format!("/v2/{name}/blobs/{}", push::sha256(bytes)));
            paths.push(format!("/v2/{name}/blobs/{}", Digest::of(Algorithm::Sha512, bytes)));
        }
    }
    paths.push("/v2/_catalog".to_owned());
    let before = answers(&server, &paths);
    assert!(before.iter().filter(|(_, status, ..)| *status == 200).count() > 20);
    let root = succeed(&mut server.command(["root"]));
    server.stop();
    server.lose_index();
    let rebuilt = run(&mut server.command(["index", "rebuild"]));
    assert!(rebuilt.succeeded() && !rebuilt.stdout.contains("dropped"), "{rebuilt}");
    assert_eq!(succeed(&mut server.command(["root"])), root);
    server.start_again();
    assert_eq!(answers(&server, &paths), before);
    let report = succeed(&mut server.command(["check"]));
    assert!(report.ends_with(": all is well"), "{report}");
}

#[test]
fn what_a_push_would_refuse_is_dropped_and_named() {
    let Some(()) = embedded_only(DAMAGES) else { return };
    let mut server = Server::start();
    let good = push::image(&server, "team/app", "good", "layer");
    let bad = push::image(&server, "team/app", "bad", "other");
    let bad_digest = push::sha256(bad.as_bytes());
    let index = format!(
        r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[{{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"{bad_digest}","size":{}}}]}}"#,
        bad.len()
    );
    assert_eq!(push::manifest(&server, "team/app", "index", &index).status, 201);
    server.stop();
    server.lose_index();
    let hex = push::sha256(b"other").hex();
    let data = server
        .data()
        .join("public/docker/registry/v2/blobs/sha256")
        .join(&hex[..2])
        .join(&hex)
        .join("data");
    fs::write(data, b"rotten").unwrap();
    let (rebuilt, _) = rebuild_with_loss(&server);
    for dropped in [
        format!("dropped blob sha256:{hex}: its bytes are {}", push::sha256(b"rotten")),
        format!("dropped blob sha256:{hex} of `team/app`: its content is missing"),
        format!("dropped manifest {bad_digest} of `team/app`: it references sha256:{hex}"),
        format!(
            "dropped manifest {} of `team/app`: it references {bad_digest}",
            push::sha256(index.as_bytes())
        ),
        "dropped tag `team/app:bad`: its manifest is missing".to_owned(),
        "dropped tag `team/app:index`: its manifest is missing".to_owned(),
    ] {
        assert!(rebuilt.contains(&dropped), "{dropped} is not in:\n{rebuilt}");
    }
    assert_eq!(rebuilt.matches("dropped").count(), 6, "{rebuilt}");
    server.start_again();
    let answer = http::get(&server.url("/v2/team/app/manifests/good"));
    assert_eq!((answer.status, answer.text()), (200, good));
    let tags = http::get(&server.url("/v2/team/app/tags/list")).json();
    assert_eq!(tags["tags"], serde_json::json!(["good"]));
    // Pushed again, it is whole again.
    push::image(&server, "team/app", "bad", "other");
    assert_eq!(push::manifest(&server, "team/app", "index", &index).status, 201);
    let report = run(&mut server.command(["check"]));
    assert!(report.succeeded(), "{report}");
}

#[test]
fn a_dry_run_says_what_would_be_dropped_and_changes_nothing() {
    let Some(()) = embedded_only(DAMAGES) else { return };
    let mut server = Server::start();
    push::image(&server, "team/app", "good", "layer");
    push::image(&server, "team/app", "bad", "other");
    server.stop();
    let root = succeed(&mut server.command(["root"]));
    fs::write(content(&server, b"other"), b"rotten").unwrap();
    let rebuild_with = |server: &Server, more: &[&str]| {
        let mut command = server.command(["index", "rebuild"]);
        run(command.args(more))
    };
    for _ in 0..2 {
        let planned = rebuild_with(&server, &["--dry-run"]);
        assert_eq!(planned.code, Some(1), "{planned}");
        for expected in
            ["would drop tag `team/app:bad`", "1 repository, 1 manifest, 1 tag, 3 blobs"]
        {
            assert!(planned.stdout.contains(expected), "{planned}");
        }
        assert_eq!(succeed(&mut server.command(["root"])), root);
    }
    // The bytes were never lost: nothing was.
    fs::write(content(&server, b"other"), b"other").unwrap();
    let rebuilt = rebuild_with(&server, &[]);
    assert!(rebuilt.succeeded() && !rebuilt.stdout.contains("would"), "{rebuilt}");
    server.start_again();
    let report = succeed(&mut server.command(["check"]));
    assert!(report.ends_with(": all is well"), "{report}");
    let tags = http::get(&server.url("/v2/team/app/tags/list")).json();
    assert_eq!(tags["tags"], serde_json::json!(["bad", "good"]));
}

#[test]
fn a_dry_run_needs_no_index_and_makes_none() {
    let Some(()) = embedded_only(DAMAGES) else { return };
    let mut server = Server::start();
    push::image(&server, "team/app", "v1", "layer");
    server.stop();
    server.lose_index();
    let planned = succeed(&mut server.command(["index", "rebuild", "--dry-run"]));
    assert!(planned.contains("1 repository, 1 manifest, 1 tag, 3 blobs"), "{planned}");
    assert!(!server.data().join("index.sqlite").exists());
    succeed(&mut server.command(["index", "rebuild"]));
    server.start_again();
    assert_eq!(http::get(&server.url("/v2/team/app/manifests/v1")).status, 200);
}

#[test]
fn blobs_that_no_manifest_names_are_forgotten() {
    let mut server = Server::start();
    let image = push::image(&server, "team/app", "v1", "layer");
    push::image(&server, "team/app", "v2", "other");
    let digest = push::sha256(image.as_bytes());
    assert_eq!(push::delete(&server, &format!("/v2/team/app/manifests/{digest}")), 202);
    let layer = format!("/v2/team/app/blobs/{}", push::sha256(b"layer"));
    assert_eq!(http::get(&server.url(&layer)).status, 200);
    let root = succeed(&mut server.command(["root"]));
    server.stop();
    succeed(&mut server.command(["index", "rebuild"]));
    server.start_again();
    assert_eq!(http::get(&server.url(&layer)).status, 404);
    assert_eq!(succeed(&mut server.command(["root"])), root);
    push::image(&server, "team/app", "v1", "layer");
    let report = run(&mut server.command(["check"]));
    assert!(report.succeeded(), "{report}");
}

#[test]
fn a_tree_without_its_content_folder_is_enough() {
    let Some(()) = embedded_only(DAMAGES) else { return };
    let mut server = Server::start();
    let image = push::image(&server, "team/app", "v1", "layer");
    server.stop();
    server.lose_index();
    fs::remove_dir_all(server.data().join("content")).unwrap();
    succeed(&mut server.command(["index", "rebuild"]));
    server.start_again();
    assert_eq!(http::get(&server.url("/v2/team/app/manifests/v1")).text(), image);
    let layer = push::sha256(b"layer");
    assert_eq!(http::get(&server.url(&format!("/v2/team/app/blobs/{layer}"))).text(), "layer");
    assert!(run(&mut server.command(["check"])).succeeded());
}

fn tree(server: &Server) -> PathBuf {
    server.data().join("public/docker/registry/v2")
}

fn content(server: &Server, bytes: &[u8]) -> PathBuf {
    let hex = push::sha256(bytes).hex();
    server.data().join("content/sha256").join(&hex[..2]).join(hex)
}

/// The directory of a blob in the tree.
fn blob_folder(server: &Server, bytes: &[u8]) -> PathBuf {
    let hex = push::sha256(bytes).hex();
    tree(server).join("blobs/sha256").join(&hex[..2]).join(hex)
}

fn assert_pulled(server: &Server, repository: &str, reference: &str, manifest: &str) {
    let answer = http::get(&server.url(&format!("/v2/{repository}/manifests/{reference}")));
    assert_eq!((answer.status, answer.text()), (200, manifest.to_owned()));
}

fn assert_well(server: &Server) {
    let report = succeed(&mut server.command(["check"]));
    assert!(report.ends_with(": all is well"), "{report}");
}

#[test]
fn a_push_that_was_acknowledged_is_there_also_where_the_tree_lost_it() {
    let Some(()) = embedded_only(DAMAGES) else { return };
    let mut server = Server::start();
    push::image(&server, "team/old", "v1", "layer");
    let root = succeed(&mut server.command(["root"]));
    let image = push::image(&server, "team/app", "v1", "other");
    assert_eq!(push::delete(&server, "/v2/team/old/manifests/v1"), 202);
    server.kill();
    // As after a loss of power: the queue was on the disk, the tree was not yet.
    fs::remove_dir_all(tree(&server).join("repositories/team/app")).unwrap();
    fs::remove_dir_all(blob_folder(&server, b"other")).unwrap();
    let rebuilt = succeed(&mut server.command(["index", "rebuild"]));
    assert_eq!(rebuilt, "2 repositories, 2 manifests, 1 tag, 5 blobs");
    server.start_again();
    assert_pulled(&server, "team/app", "v1", &image);
    assert_eq!(http::get(&server.url("/v2/team/old/manifests/v1")).status, 404);
    assert_ne!(succeed(&mut server.command(["root"])), root);
    assert_well(&server);
}

#[test]
fn a_change_that_cannot_be_repeated_is_named_and_those_after_it_are_not_lost() {
    let Some(()) = embedded_only(DAMAGES) else { return };
    let mut server = Server::start();
    let lost = push::image(&server, "team/lost", "v1", "gone");
    let image = push::image(&server, "team/app", "v1", "layer");
    server.kill();
    fs::remove_dir_all(server.data().join("public/docker")).unwrap();
    fs::remove_file(content(&server, b"gone")).unwrap();
    let (rebuilt, report) = rebuild_with_loss(&server);
    let push = format!(
        "may have lost the push of {} to `team/lost` as v1: ",
        push::sha256(lost.as_bytes())
    );
    assert!(report.starts_with(&push), "{report}");
    assert!(rebuilt.ends_with("\n1 repository, 1 manifest, 1 tag, 3 blobs"), "{rebuilt}");
    server.start_again();
    assert_pulled(&server, "team/app", "v1", &image);
    assert_eq!(http::get(&server.url("/v2/team/lost/manifests/v1")).status, 404);
    assert_well(&server);
}

#[test]
fn what_is_dropped_is_still_in_the_tree_when_the_index_could_not_be_replaced() {
    let Some(()) = embedded_only(DAMAGES) else { return };
    let mut server = Server::start();
    push::image(&server, "team/app", "v1", "layer");
    push::image(&server, "team/bad", "v1", "other");
    server.stop();
    succeed(&mut server.command(["root"]));
    fs::write(blob_folder(&server, b"other").join("data"), b"rotten").unwrap();
    // A link that leads to itself cannot be read, so there is no root to put into the index.
    let obstacle = tree(&server).join("obstacle");
    std::os::unix::fs::symlink(&obstacle, &obstacle).unwrap();
    let failed = run(&mut server.command(["index", "rebuild"]));
    assert_eq!(failed.code, Some(1), "{failed}");
    assert!(blob_folder(&server, b"other").join("data").exists());
    assert!(tree(&server).join("repositories/team/bad/_manifests/tags/v1").exists());
    fs::remove_file(&obstacle).unwrap();
    let (rebuilt, _) = rebuild_with_loss(&server);
    assert!(rebuilt.contains("dropped tag `team/bad:v1`"), "{rebuilt}");
    assert!(!tree(&server).join("repositories/team/bad").join("_manifests").exists());
    assert_well(&server);
}

#[test]
fn a_copy_without_hard_links_is_made_sound() {
    fn copy(from: &Path, to: &Path) {
        fs::create_dir_all(to).unwrap();
        for entry in fs::read_dir(from).unwrap() {
            let (from, to) = (entry.as_ref().unwrap().path(), to.join(entry.unwrap().file_name()));
            if from.is_dir() {
                copy(&from, &to);
            } else {
                fs::copy(&from, &to).unwrap();
            }
        }
    }
    let Some(()) = embedded_only(DAMAGES) else { return };
    let mut server = Server::start();
    let image = push::image(&server, "team/app", "v1", "layer");
    server.stop();
    let root = succeed(&mut server.command(["root"]));
    let moved = server.data().with_file_name("moved");
    fs::rename(server.data(), &moved).unwrap();
    copy(&moved, &server.data());
    // And what stands in the copy's content is not taken on trust.
    fs::write(content(&server, b"layer"), b"l").unwrap();
    let report = run(&mut server.command(["check"]));
    assert!(report.stdout.contains("not a hard link to the content of that digest"), "{report}");
    succeed(&mut server.command(["index", "rebuild"]));
    assert_eq!(succeed(&mut server.command(["root"])), root);
    assert_well(&server);
    server.start_again();
    assert_pulled(&server, "team/app", "v1", &image);
    let layer = push::sha256(b"layer");
    assert_eq!(http::get(&server.url(&format!("/v2/team/app/blobs/{layer}"))).text(), "layer");
}

#[test]
fn an_artifact_manifest_that_does_not_say_its_type_stays() {
    let mut server = Server::start();
    let text = push::artifact(&server, "team/app", "v1");
    let kind = |server: &Server| {
        let answer = http::get(&server.url("/v2/team/app/manifests/v1"));
        (answer.status, answer.header("content-type").to_owned(), answer.text())
    };
    let before = kind(&server);
    assert_eq!(before, (200, push::ARTIFACT.to_owned(), text));
    server.stop();
    server.lose_index();
    let rebuilt = succeed(&mut server.command(["index", "rebuild"]));
    assert_eq!(rebuilt, "1 repository, 1 manifest, 1 tag, 2 blobs");
    server.start_again();
    assert_eq!(kind(&server), before);
}

#[test]
fn an_empty_directory_of_a_blob_goes_and_is_named() {
    let Some(()) = embedded_only(DAMAGES) else { return };
    let mut server = Server::start();
    let image = push::image(&server, "team/app", "v1", "layer");
    push::image(&server, "team/bad", "v1", "other");
    server.stop();
    succeed(&mut server.command(["root"]));
    fs::remove_file(blob_folder(&server, b"other").join("data")).unwrap();
    fs::remove_file(content(&server, b"other")).unwrap();
    let (rebuilt, _) = rebuild_with_loss(&server);
    let dropped = format!("dropped blob {}: its content is missing\n", push::sha256(b"other"));
    assert!(rebuilt.contains(&dropped), "{rebuilt}");
    assert!(!blob_folder(&server, b"other").exists());
    assert_well(&server);
    server.start_again();
    assert_pulled(&server, "team/app", "v1", &image);
}

#[test]
fn what_has_no_name_of_a_registry_is_named_and_stays() {
    let Some(()) = embedded_only(DAMAGES) else { return };
    let mut server = Server::start();
    let image = push::image(&server, "team/app", "v1", "layer");
    server.stop();
    server.lose_index();
    let tags = tree(&server).join("repositories/team/app/_manifests/tags");
    for folder in [
        tags.join("not a tag/current"),
        tree(&server).join("repositories/Team/App/_manifests/tags/v1/current"),
        tree(&server).join("blobs/sha256/ab/cd"),
    ] {
        fs::create_dir_all(&folder).unwrap();
        fs::copy(tags.join("v1/current/link"), folder.join("link")).unwrap();
    }
    let rebuilt = succeed(&mut server.command(["index", "rebuild"]));
    for stray in [
        "repositories/team/app/_manifests/tags/not a tag",
        "repositories/Team/App",
        "blobs/sha256/ab/cd",
    ] {
        let skipped = format!("skipped public/docker/registry/v2/{stray}: ");
        assert!(rebuilt.contains(&skipped), "{rebuilt}");
        assert!(tree(&server).join(stray).exists());
    }
    assert_eq!(rebuilt.matches("left in place\n").count(), 3, "{rebuilt}");
    assert_well(&server);
    server.start_again();
    assert_pulled(&server, "team/app", "v1", &image);
}

#[test]
fn what_the_tree_lost_and_the_index_has_is_restored() {
    let Some(()) = embedded_only(DAMAGES) else { return };
    let mut server = Server::start();
    let images = ["emptied", "changed", "removed"]
        .map(|layer| (layer, push::image(&server, "team/app", layer, layer)));
    server.stop();
    let root = succeed(&mut server.command(["root"]));
    let data = |layer: &str| blob_folder(&server, layer.as_bytes()).join("data");
    fs::remove_file(data("emptied")).unwrap();
    fs::remove_file(data("changed")).unwrap();
    fs::write(data("changed"), b"CHANGED").unwrap();
    fs::remove_dir_all(blob_folder(&server, b"removed")).unwrap();
    let rebuilt = succeed(&mut server.command(["index", "rebuild"]));
    assert_eq!(rebuilt, "1 repository, 3 manifests, 3 tags, 7 blobs");
    assert_eq!(succeed(&mut server.command(["root"])), root);
    assert_well(&server);
    server.start_again();
    for (layer, image) in images {
        assert_pulled(&server, "team/app", layer, &image);
        let blob = format!("/v2/team/app/blobs/{}", push::sha256(layer.as_bytes()));
        assert_eq!(http::get(&server.url(&blob)).text(), layer);
    }
}

#[test]
fn an_empty_tree_does_not_take_the_rest_with_it() {
    let Some(()) = embedded_only(DAMAGES) else { return };
    let mut server = Server::start();
    let image = push::image(&server, "team/app", "v1", "layer");
    server.stop();
    let root = succeed(&mut server.command(["root"]));
    let public = server.data().join("public");
    let away = server.data().join("away");
    fs::rename(&public, &away).unwrap();
    fs::create_dir(&public).unwrap();
    let refused = run(&mut server.command(["index", "rebuild"]));
    assert_eq!(refused.code, Some(1), "{refused}");
    assert!(refused.stderr.contains("restore the tree, or remove the index"), "{refused}");
    assert_eq!(fs::read(content(&server, b"layer")).unwrap(), b"layer");
    // Without an index nobody knows what there was, but no bytes go, unless they are not what they
    // are named.
    server.lose_index();
    fs::remove_file(content(&server, b"{}")).unwrap();
    fs::write(content(&server, b"{}"), b"[]").unwrap();
    let rebuilt = succeed(&mut server.command(["index", "rebuild"]));
    let bytes = image.len() + "layer".len();
    let retained =
        format!("retained 2 blobs ({bytes} bytes) that nothing in the tree references\n");
    assert_eq!(rebuilt, retained + "0 repositories, 0 manifests, 0 tags, 0 blobs");
    assert_eq!(fs::read(content(&server, b"layer")).unwrap(), b"layer");
    assert!(!content(&server, b"{}").exists());
    fs::remove_dir_all(&public).unwrap();
    fs::rename(&away, &public).unwrap();
    succeed(&mut server.command(["index", "rebuild"]));
    assert_eq!(succeed(&mut server.command(["root"])), root);
    assert_well(&server);
    server.start_again();
    assert_pulled(&server, "team/app", "v1", &image);
}

#[test]
fn what_may_be_lost_is_reported_also_when_the_rebuild_fails_then() {
    let Some(()) = embedded_only(DAMAGES) else { return };
    let mut server = Server::start();
    push::image(&server, "team/lost", "v1", "gone");
    push::image(&server, "team/app", "v1", "layer");
    server.kill();
    fs::remove_dir_all(server.data().join("public/docker")).unwrap();
    fs::remove_file(content(&server, b"gone")).unwrap();
    let obstacle = tree(&server).join("obstacle");
    fs::create_dir_all(tree(&server)).unwrap();
    std::os::unix::fs::symlink(&obstacle, &obstacle).unwrap();
    // What an earlier process left half-written.
    let left = server.data().join("tmp/files/left");
    fs::write(&left, b"half").unwrap();
    let (rebuilt, report) = rebuild_with_loss(&server);
    assert_eq!(rebuilt, "");
    assert!(
        report.starts_with("may have lost the push of ") && report.contains("error: "),
        "{report}"
    );
    assert!(!left.exists());
}

/// How many manifests there are at first, and how many times as many then.
const MANIFESTS: usize = 150;
const TIMES: usize = 5;

#[test]
fn the_time_follows_the_number_of_manifests() {
    let Some(()) = embedded_only("what is measured is the registry's own") else { return };
    let mut server = Server::start();
    let config = push::sha256(b"{}");
    push::blob(&server, "team/app", &config, b"{}");
    let mut pushed = 0;
    let mut took = Vec::new();
    for count in [MANIFESTS, MANIFESTS * TIMES] {
        for number in pushed..count {
            let text = push::image_text(&config, &config).replacen(
                '{',
                &format!(r#"{{"annotations":{{"n":"{number}"}},"#),
                1,
            );
            let digest = push::sha256(text.as_bytes()).to_string();
            assert_eq!(push::manifest(&server, "team/app", &digest, &text).status, 201);
        }
        pushed = count;
        server.stop();
        // The least of three has the least of what else the machine does.
        let times = (0..3).map(|_| {
            let begun = Instant::now();
            let rebuilt = succeed(&mut server.command(["index", "rebuild"]));
            assert!(rebuilt.contains(&format!("{count} manifests")), "{rebuilt}");
            begun.elapsed()
        });
        took.push(times.min().expect("there are three"));
        server.start_again();
    }
    // In the square of the number it would be 25 times as long.
    assert!(took[1] < took[0] * 12, "{took:?}");
}
