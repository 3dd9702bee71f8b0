//! `roadstead check`: each thing that can be wrong is named, and only that.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{Mode, OFlags};

use crate::cli::push;
use crate::common::process::{Finished, Process};
use crate::common::{Server, embedded_only, http, is_over_kubo, run, succeed};

const DAMAGES: &str = "it changes files of the data folder";

fn tree(server: &Server) -> PathBuf {
    server.data().join("public/docker/registry/v2")
}

fn data_file(server: &Server, bytes: &[u8]) -> PathBuf {
    let hex = push::sha256(bytes).hex();
    tree(server).join("blobs/sha256").join(&hex[..2]).join(hex).join("data")
}

fn content_file(server: &Server, hex: &str) -> PathBuf {
    server.data().join("content/sha256").join(&hex[..2]).join(hex)
}

/// Puts another file there, leaving the one that was linked as it is.
fn replace(path: &Path, bytes: &[u8]) {
    fs::remove_file(path).unwrap();
    fs::write(path, bytes).unwrap();
}

fn check(server: &Server) -> Finished {
    run(&mut server.command(["check"]))
}

#[test]
fn a_sound_store_is_said_to_be_beside_a_server_and_without() {
    let mut server = Server::start();
    push::image(&server, "team/app", "v1", "layer");
    let beside = succeed(&mut server.command(["check"]));
    assert!(beside.starts_with("1 repository, 1 tag, 3 blobs, "), "{beside}");
    assert!(beside.ends_with(": all is well"), "{beside}");
    server.stop();
    assert_eq!(succeed(&mut server.command(["check"])), beside);
    let json: serde_json::Value =
        serde_json::from_str(&succeed(&mut server.command(["check", "--json"]))).unwrap();
    assert_eq!(json["findings"], serde_json::json!([]));
    assert_eq!(json["root"], succeed(&mut server.command(["root"])));
}

#[test]
fn each_fault_is_named() {
    type Fault = fn(&Server, &str);
    let Some(()) = embedded_only(DAMAGES) else { return };
    let faults: &[(&str, Fault)] = &[
        ("its bytes are sha256:", |server, _| {
            // Through the link, so that content and tree are damaged alike.
            fs::write(data_file(server, b"layer"), b"lager").unwrap();
        }),
        ("not a hard link to the content of that digest", |server, _| {
            replace(&data_file(server, b"layer"), b"lager");
        }),
        ("which is missing", |server, _| {
            fs::remove_dir_all(data_file(server, b"layer").parent().unwrap()).unwrap();
        }),
        ("the content of that digest is missing", |server, _| {
            fs::remove_file(content_file(server, &push::sha256(b"layer").hex())).unwrap();
        }),
        ("it references sha256:", |server, _| {
            let hex = push::sha256(b"layer").hex();
            fs::remove_dir_all(tree(server).join("repositories/team/app/_layers/sha256").join(hex))
                .unwrap();
        }),
        ("in the index, but its content is missing", |server, _| {
            let stray = push::sha256(b"in no manifest");
            fs::remove_file(content_file(server, &stray.hex())).unwrap();
        }),
        ("cannot read it: ", |server, _| {
            let file = content_file(server, &push::sha256(b"layer").hex());
            fs::remove_file(&file).unwrap();
            symlink(&file, &file).unwrap();
        }),
        ("/_manifests/tags/v1/current/link: cannot read it: ", |server, _| {
            let tag = tree(server).join("repositories/team/app/_manifests/tags/v1/current/link");
            fs::remove_file(&tag).unwrap();
            symlink(&tag, &tag).unwrap();
        }),
        ("the link has no digest", |server, _| {
            let link = tree(server).join("repositories/team/app/_manifests/tags/v1/index/sha256");
            let link = fs::read_dir(link).unwrap().next().unwrap().unwrap().path().join("link");
            let revision = link.display().to_string().replace("tags/v1/index", "revisions");
            replace(Path::new(&revision), b"nonsense");
        }),
        ("the tag points to another manifest in the index", |server, text| {
            let tags = tree(server).join("repositories/team/app/_manifests/tags");
            let copied = tags.join("v2/current");
            fs::create_dir_all(&copied).unwrap();
            fs::write(copied.join("link"), push::sha256(text.as_bytes()).to_string()).unwrap();
        }),
        ("in the index, but not in the tree", |server, _| {
            fs::remove_dir_all(tree(server).join("repositories/team/app/_manifests/tags/v1"))
                .unwrap();
        }),
        (" as in the index", |server, _| {
            fs::write(tree(server).join("stray"), b"does not belong here").unwrap();
        }),
    ];
    for (expected, fault) in faults {
        let mut server = Server::start();
        let text = push::image(&server, "team/app", "v1", "layer");
        let stray = push::sha256(b"in no manifest");
        push::blob(&server, "team/app", &stray, b"in no manifest");
        // Folded, so that a start does not mend it again.
        server.stop();
        succeed(&mut server.command(["root"]));
        fault(&server, &text);
        let report = check(&server);
        assert_eq!(report.code, Some(1), "{expected}: {report}");
        assert!(report.stdout.contains(expected), "{expected}: {report}");
        assert!(report.stdout.contains(" wrong\n"), "{report}");
    }
}

#[test]
fn the_root_that_is_computed_is_of_what_the_tree_has() {
    let Some(()) = embedded_only(DAMAGES) else { return };
    let mut server = Server::start();
    push::image(&server, "team/app", "v1", "layer");
    server.stop();
    succeed(&mut server.command(["root"]));
    for (bytes, is_other_root) in [(b"layer", false), (b"lager", true)] {
        replace(&data_file(&server, b"layer"), bytes);
        let report = check(&server);
        assert!(report.stdout.contains("not a hard link to the content"), "{report}");
        assert_eq!(report.stdout.contains("the public root: it is "), is_other_root, "{report}");
    }
}

#[test]
fn content_of_no_repository_is_counted_and_no_damage() {
    let Some(()) = embedded_only(DAMAGES) else { return };
    let mut server = Server::start();
    push::image(&server, "team/app", "v1", "layer");
    server.stop();
    for (bytes, expected) in [
        ("first", "1 blob (5 bytes) in no repository\n"),
        ("second", "2 blobs (11 bytes) in no repository\n"),
    ] {
        let hex = push::sha256(bytes.as_bytes()).hex();
        fs::write(content_file(&server, &hex), bytes).unwrap();
        let report = succeed(&mut server.command(["check"]));
        assert!(report.starts_with(expected), "{report}");
        assert!(report.ends_with(": all is well"), "{report}");
    }
    let json: serde_json::Value =
        serde_json::from_str(&succeed(&mut server.command(["check", "--json"]))).unwrap();
    assert_eq!((&json["orphans"], &json["orphan_bytes"]), (&2.into(), &11.into()));
}

#[test]
fn what_deletions_leave_is_counted() {
    let server = Server::start();
    let text = push::image(&server, "team/app", "v1", "layer");
    let other = push::image(&server, "team/app", "v2", "other");
    let digest = push::sha256(text.as_bytes());
    let index = format!(
        r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[{{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"{}","size":{}}}]}}"#,
        push::sha256(other.as_bytes()),
        other.len()
    );
    assert_eq!(push::manifest(&server, "team/app", "all", &index).status, 201);
    let referrer = text.replacen('{', &format!(r#"{{"artifactType":"application/x","subject":{{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"{}","size":{}}},"#, push::sha256(index.as_bytes()), index.len()), 1);
    let of_referrer = push::sha256(referrer.as_bytes()).to_string();
    assert_eq!(push::manifest(&server, "team/app", &of_referrer, &referrer).status, 201);
    let report = || -> serde_json::Value {
        serde_json::from_str(&succeed(&mut server.command(["check", "--json"]))).unwrap()
    };
    let delete = |path: String| {
        assert_eq!(push::delete(&server, &format!("/v2/team/app/{path}")), 202);
    };
    let counts = |report: &serde_json::Value| {
        ["untagged", "unreferenced", "unreferenced_bytes", "orphans", "orphan_bytes", "leftovers"]
            .map(|name| report[name].as_u64().unwrap())
    };
    assert_eq!(counts(&report()), [0; 6]);

    // The index names one of them, and the referrer has its subject.
    delete("manifests/v2".to_owned());
    assert_eq!(counts(&report()), [0; 6]);
    delete("manifests/v1".to_owned());
    let untagged = report();
    assert_eq!(counts(&untagged), [1, 0, 0, 0, 0, 0]);
    let named = serde_json::json!([format!("team/app@{digest}")]);
    assert_eq!(untagged["untagged_manifests"], named);
    let output = succeed(&mut server.command(["check"]));
    assert!(output.starts_with("1 manifest without a tag"), "{output}");

    // The referrer names the same blobs. Over Kubo, manifests are stored in the tree only.
    delete(format!("manifests/{digest}"));
    let left = |manifests: &[&str]| {
        let left: &[&str] = if is_over_kubo() { &[] } else { manifests };
        (left.len() as u64, left.iter().map(|text| text.len() as u64).sum::<u64>())
    };
    let (count, bytes) = left(&[&text]);
    assert_eq!(counts(&report()), [0, count, bytes, count, bytes, 0]);
    delete(format!("manifests/{of_referrer}"));
    let (count, bytes) = left(&[&text, &referrer]);
    assert_eq!(counts(&report()), [0, count + 1, bytes + 5, count, bytes, 0]);
    delete(format!("blobs/{}", push::sha256(b"layer")));
    assert_eq!(counts(&report()), [0, count + 1, bytes + 5, count + 1, bytes + 5, 0]);
}

#[test]
fn a_truncated_file_is_healed_by_pushing_it_again() {
    let Some(()) = embedded_only(DAMAGES) else { return };
    let mut server = Server::start();
    let text = push::image(&server, "team/app", "v1", "layer");
    server.stop();
    succeed(&mut server.command(["root"]));
    for bytes in [&b"layer"[..], text.as_bytes()] {
        // Through the link, so that content and tree are damaged alike.
        fs::write(data_file(&server, bytes), &bytes[..3]).unwrap();
    }
    assert_eq!(check(&server).code, Some(1));
    server.start_again();
    push::image(&server, "team/app", "v1", "layer");
    let report = check(&server);
    assert!(report.succeeded(), "{report}");
    assert_eq!(fs::read(data_file(&server, b"layer")).unwrap(), b"layer");
}

#[test]
fn an_artifact_manifest_is_read_as_it_was_pushed() {
    let server = Server::start();
    push::artifact(&server, "team/app", "v1");
    // Not even its fields tell what this one is.
    let url = server.url("/v2/team/app/manifests/bare");
    let bare =
        http::send(|client| client.put(&url).header("content-type", push::ARTIFACT).body("{}"));
    assert_eq!(bare.status, 201, "{}", bare.text());
    let report = check(&server);
    assert!(report.succeeded(), "{report}");
}

#[test]
fn what_is_pushed_while_the_content_is_read_is_not_missing() {
    let Some(()) = embedded_only(DAMAGES) else { return };
    let server = Server::start();
    push::image(&server, "team/app", "v1", "layer");
    // A check that has listed the content stands at either pipe until somebody writes to it.
    let empty = push::sha256(b"").hex();
    let fake = push::sha256(b"an empty file is not this").hex();
    let mut pipes = [&empty, &fake].map(|hex| content_file(&server, hex)).to_vec();
    for pipe in &pipes {
        rustix::fs::mkfifoat(rustix::fs::CWD, pipe, Mode::RUSR | Mode::WUSR).unwrap();
    }
    let log = server.data().with_file_name("check.log");
    let mut process = Process::start(&mut server.command(["check"]), &log);
    let limit = Duration::from_mins(1);
    let let_go = |pipe: &PathBuf| {
        rustix::fs::open(pipe, OFlags::WRONLY | OFlags::NONBLOCK, Mode::empty()).is_ok()
    };
    let mut first = None;
    process.wait_until(limit, || {
        first = pipes.iter().position(let_go);
        first.is_some()
    });
    pipes.remove(first.unwrap());
    push::image(&server, "team/app", "v2", "pushed meanwhile");
    push::image(&server, "team/new", "v1", "pushed meanwhile too");
    process.wait_until(limit, || let_go(&pipes[0]));
    let start = std::time::Instant::now();
    while process.ended().is_none() {
        assert!(start.elapsed() < limit, "the check does not end: {}", process.log());
        std::thread::sleep(Duration::from_millis(10));
    }
    let report = process.log();
    let findings: Vec<&str> = report.lines().filter(|line| line.starts_with("public/")).collect();
    assert!(findings.is_empty(), "{report}");
    assert!(report.contains(&format!("blob sha256:{fake}: its bytes are sha256:{empty}\n")));
    assert!(report.ends_with(": 1 thing is wrong\n"), "{report}");
}
