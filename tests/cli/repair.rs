//! `roadstead check --repair`: what a disk, a copy or a person has damaged is put back, and what cannot be is named and
//! comes with the next push.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use reqwest::Method;
use serde_json::Value;

use crate::cli::push;
use crate::common::content::{MIB, OCI_MANIFEST, image, noise, sha256};
use crate::common::process::Finished;
use crate::common::repository::Repository;
use crate::common::{Disk, Server, http, run, succeed};

fn tree(server: &Server) -> PathBuf {
    server.data().join("public/docker/registry/v2")
}

/// The file of content in the tree.
fn data_file(server: &Server, bytes: &[u8]) -> PathBuf {
    let hex = push::sha256(bytes).hex();
    tree(server).join("blobs/sha256").join(&hex[..2]).join(hex).join("data")
}

/// The file of content as it is stored.
fn content_file(server: &Server, bytes: &[u8]) -> PathBuf {
    let hex = push::sha256(bytes).hex();
    server.data().join("content/sha256").join(&hex[..2]).join(hex)
}

/// Puts another file there, leaving the one that was linked as it is.
fn replace(path: &Path, bytes: &[u8]) {
    fs::remove_file(path).unwrap();
    fs::write(path, bytes).unwrap();
}

/// Changes the last byte where it stands, in the content and in the tree alike.
fn flip(server: &Server, bytes: &[u8]) {
    let mut wrong = bytes.to_vec();
    *wrong.last_mut().unwrap() ^= 1;
    fs::write(data_file(server, bytes), wrong).unwrap();
}

/// Removes content from wherever it stands.
fn lose(server: &Server, bytes: &[u8]) {
    fs::remove_file(content_file(server, bytes)).unwrap();
    fs::remove_file(data_file(server, bytes)).unwrap();
}

fn check(server: &Server) -> Finished {
    run(&mut server.command(["check"]))
}

fn repair(server: &Server) -> Finished {
    run(&mut server.command(["check", "--repair"]))
}

fn assert_well(server: &Server) {
    let report = check(server);
    assert!(report.succeeded() && report.stdout.ends_with(": all is well\n"), "{report}");
}

/// A server with an image that has a referrer, and a second repository; its public root is computed.
fn images(server: &Server) -> String {
    let text = push::image(server, "team/app", "v1", "layer");
    let subject = push::sha256(text.as_bytes());
    let referrer = text.replacen(
        '{',
        &format!(
            r#"{{"artifactType":"application/x","subject":{{"mediaType":"{OCI_MANIFEST}","digest":"{subject}","size":{}}},"#,
            text.len()
        ),
        1,
    );
    let name = push::sha256(referrer.as_bytes()).to_string();
    assert_eq!(push::manifest(server, "team/app", &name, &referrer).status, 201);
    push::image(server, "team/other", "v1", "other");
    succeed(&mut server.command(["root"]));
    text
}

#[test]
fn what_another_copy_has_is_put_back_beside_a_server_and_without() {
    type Damage = fn(&Server, &str);
    let damages: &[(&str, Damage)] = &[
        // As after a copy without hard links, whose disk has changed one of the two.
        ("the public tree", |server, _| replace(&content_file(server, b"layer"), b"lager")),
        ("the public tree", |server, _| fs::remove_file(content_file(server, b"layer")).unwrap()),
        ("the public tree", |server, _| {
            let file = content_file(server, b"layer");
            fs::remove_file(&file).unwrap();
            symlink(&file, &file).unwrap();
        }),
        ("linked it", |server, _| replace(&data_file(server, b"layer"), b"lager")),
        ("linked it", |server, _| replace(&data_file(server, b"layer"), b"la")),
        ("linked it", |server, _| fs::remove_file(data_file(server, b"layer")).unwrap()),
        ("linked it", |server, _| {
            fs::remove_dir_all(data_file(server, b"layer").parent().unwrap()).unwrap();
        }),
        // The index has the bytes of manifests.
        ("the index", |server, text| flip(server, text.as_bytes())),
        ("the index", |server, text| {
            fs::write(data_file(server, text.as_bytes()), &text.as_bytes()[..9]).unwrap();
        }),
        ("the index", |server, text| lose(server, text.as_bytes())),
        ("names back", |server, _| {
            fs::remove_dir_all(tree(server).join("repositories/team/app/_manifests/tags")).unwrap();
        }),
        ("names back", |server, _| {
            fs::remove_dir_all(tree(server).join("repositories/team/app/_layers")).unwrap();
        }),
        ("names back", |server, _| {
            fs::remove_dir_all(tree(server).join("repositories/team/app/_manifests")).unwrap();
        }),
        ("name back", |server, _| {
            fs::remove_dir_all(tree(server).join("repositories/team/app/_referrers")).unwrap();
        }),
        ("names back", |server, _| {
            fs::remove_dir_all(tree(server).join("repositories/team/app")).unwrap();
        }),
        // As a loss of power leaves a file that was not synced.
        ("name back", |server, _| {
            let tag = tree(server).join("repositories/team/app/_manifests/tags/v1/current/link");
            fs::write(tag, b"").unwrap();
        }),
        ("name back", |server, text| {
            let hex = push::sha256(text.as_bytes()).hex();
            let links = tree(server).join("repositories/team/app/_manifests/revisions/sha256");
            fs::write(links.join(hex).join("link"), push::sha256(b"other").to_string()).unwrap();
        }),
    ];
    let mut server = Server::start_embedded();
    let text = images(&server);
    let root = succeed(&mut server.command(["root"]));
    assert_well(&server);
    let (beside, without): (Vec<_>, Vec<_>) =
        damages.iter().enumerate().partition(|(number, _)| number % 2 == 0);
    let first = without[0].0;
    for (number, (expected, damage)) in beside.into_iter().chain(without) {
        if number == first {
            server.stop();
        }
        damage(&server, &text);
        assert_eq!(check(&server).code, Some(1), "{number} {expected}");
        let report = repair(&server);
        assert!(report.succeeded(), "{number} {expected}: {report}");
        assert!(report.stdout.contains("mended "), "{number}: {report}");
        assert!(report.stdout.contains(expected), "{number} {expected}: {report}");
        assert!(report.stdout.ends_with(": all is well\n"), "{number}: {report}");
        assert_well(&server);
        let again = repair(&server);
        assert!(again.succeeded() && !again.stdout.contains("mended"), "{number}: {again}");
        assert_eq!(succeed(&mut server.command(["root"])), root, "{number} {expected}");
    }
    server.start_again();
    assert_eq!(http::get(&server.url("/v2/team/app/manifests/v1")).text(), text);
    let layer = format!("/v2/team/app/blobs/{}", push::sha256(b"layer"));
    assert_eq!(http::get(&server.url(&layer)).body, b"layer");
}

#[test]
fn what_is_nowhere_else_is_named_and_comes_with_the_next_push() {
    type Damage = fn(&Server);
    let damages: [Damage; 4] = [
        |server| flip(server, b"layer"),
        |server| fs::write(data_file(server, b"layer"), b"la").unwrap(),
        |server| lose(server, b"layer"),
        |server| {
            fs::remove_file(content_file(server, b"layer")).unwrap();
            replace(&data_file(server, b"layer"), b"lager");
        },
    ];
    let mut server = Server::start_embedded();
    let text = images(&server);
    let root = succeed(&mut server.command(["root"]));
    let digest = push::sha256(b"layer").to_string();
    let repository = |server: &Server| -> (u16, u16, u16) {
        let of = Repository::of(server, "team/app");
        let mount = format!("blobs/uploads/?mount={digest}&from=team/app");
        let mounted = Repository::of(server, "team/new").post(&mount).status;
        (of.head(&format!("blobs/{digest}")).status, of.get("manifests/v1").status, mounted)
    };
    for (number, damage) in damages.iter().enumerate() {
        assert_eq!(repository(&server).0, 200);
        damage(&server);
        let report = run(&mut server.command(["check", "--repair", "--json"]));
        assert_eq!(report.code, Some(1), "{number}: {report}");
        let json: Value = serde_json::from_str(&report.stdout).unwrap();
        assert_eq!(json["mended"], serde_json::json!([]), "{number}: {report}");
        let left = json["findings"].as_array().unwrap();
        let named = format!("blob {digest}");
        let finding = left.iter().find(|finding| finding["about"] == named.as_str());
        let why = finding.unwrap_or_else(|| panic!("{number}: {report}"))["what"].as_str().unwrap();
        assert!(why.contains("the next push brings it"), "{number}: {why}");
        assert!(why.contains("federation.gateways"), "{number}: {why}");
        // A client that asks before it uploads learns that it has to, and nobody is given the wrong bytes.
        assert_eq!(repository(&server), (404, 200, 202), "{number}");
        let read = http::get(&server.url(&format!("/v2/team/app/blobs/{digest}")));
        assert_eq!(read.status, 404, "{number}");
        server.stop();
        server.start_again();
        assert_eq!(repository(&server), (404, 200, 202), "{number}: after a start");
        // A manifest that names it is refused until it is there.
        let again = push::manifest(&server, "team/app", "v2", &text);
        assert_eq!(again.status, 400, "{number}: {}", again.text());

        // All that a client sends who asks what is there.
        push::blob(&server, "team/app", &push::sha256(b"layer"), b"layer");
        assert_eq!(repository(&server), (200, 200, 201), "{number}");
        let read = http::get(&server.url(&format!("/v2/team/app/blobs/{digest}")));
        assert_eq!(read.body, b"layer", "{number}");
        assert_eq!(fs::read(data_file(&server, b"layer")).unwrap(), b"layer", "{number}");
        assert_well(&server);
        assert_eq!(push::delete(&server, &format!("/v2/team/new/blobs/{digest}")), 202);
        assert_eq!(succeed(&mut server.command(["root"])), root, "{number}");
    }
}

#[test]
fn an_image_whose_layer_is_lost_goes_whole() {
    let server = Server::start_embedded();
    images(&server);
    let before = succeed(&mut server.command(["root"]));
    for blob in [&b"gone"[..], b"config"] {
        push::blob(&server, "team/lost", &push::sha256(blob), blob);
    }
    let text = image(b"config", &[b"gone"]).to_string();
    assert_eq!(push::manifest(&server, "team/lost", "v1", &text).status, 201);
    flip(&server, b"gone");
    assert_eq!(repair(&server).code, Some(1));
    let path = format!("/v2/team/lost/manifests/{}", sha256(text.as_bytes()));
    assert_eq!(push::delete(&server, &path), 202);
    assert_eq!(succeed(&mut server.command(["root"])), before, "as if it had never been there");
}

#[test]
fn bytes_that_an_operator_has_put_back_are_seen_again() {
    let server = Server::start_embedded();
    images(&server);
    flip(&server, b"layer");
    assert_eq!(repair(&server).code, Some(1));
    fs::write(data_file(&server, b"layer"), b"layer").unwrap();
    let named = check(&server);
    assert_eq!(named.code, Some(1), "{named}");
    assert!(named.stdout.contains("check --repair"), "{named}");
    let report = repair(&server);
    assert!(report.succeeded() && report.stdout.contains("there again"), "{report}");
    let path = format!("/v2/team/app/blobs/{}", push::sha256(b"layer"));
    assert_eq!(http::get(&server.url(&path)).body, b"layer");
    assert_well(&server);
}

#[test]
fn a_stray_file_of_no_image_is_removed_and_one_of_another_index_left() {
    let mut server = Server::start_embedded();
    images(&server);
    let stray = content_file(&server, b"what nobody has pushed");
    fs::write(&stray, b"something else").unwrap();
    let report = repair(&server);
    assert!(report.succeeded() && report.stdout.contains("removed it"), "{report}");
    assert!(!stray.exists());
    // The tree knows of more than the index, which may be the older one of the two.
    server.stop();
    let tags = tree(&server).join("repositories/team/app/_manifests/tags");
    let copied = tags.join("v2/current");
    fs::create_dir_all(&copied).unwrap();
    fs::copy(tags.join("v1/current/link"), copied.join("link")).unwrap();
    fs::remove_dir_all(tags.join("v1")).unwrap();
    let report = repair(&server);
    assert_eq!(report.code, Some(1), "{report}");
    assert!(report.stdout.contains("roadstead index rebuild"), "{report}");
    assert!(copied.join("link").exists() && !tags.join("v1").exists());
}

/// Answers every request of a gateway in that way, for as long as the test runs.
fn gateway(answer: fn(&mut TcpStream)) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { continue };
            thread::spawn(move || {
                let mut head = [0; 4096];
                let _ = stream.read(&mut head);
                answer(&mut stream);
            });
        }
    });
    url
}

/// A gateway that answers with other bytes.
fn lies(stream: &mut TcpStream) {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/vnd.ipld.raw\r\nconnection: close\r\n";
    let _ = stream.write_all(format!("{head}content-length: 5\r\n\r\nlager").as_bytes());
}

/// A gateway whose answer has no end.
fn floods(stream: &mut TcpStream) {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/vnd.ipld.car; version=1; order=dfs; dups=y\r\n\r\n";
    let _ = stream.write_all(head.as_bytes());
    let piece = vec![7; 64 * 1024];
    // As long as anybody reads.
    while stream.write_all(&piece).is_ok() {}
}

/// A gateway that never answers.
fn hangs(stream: &mut TcpStream) {
    let _ = stream.read(&mut [0; 16]);
    thread::sleep(Duration::from_mins(2));
}

#[test]
fn what_a_source_has_is_fetched_and_what_lies_floods_or_hangs_is_not_believed() {
    let source = Server::start_embedded();
    let layer = noise(3 * MIB + 17, 4711);
    let push_to = |server: &Server| {
        let repository = Repository::of(server, "team/app");
        repository.push_blob(&layer);
        repository.push_blob(b"{}");
        let manifest = image(b"{}", &[&layer]).to_string().into_bytes();
        assert_eq!(repository.put("v1", OCI_MANIFEST, &manifest).status, 201);
        succeed(&mut server.command(["root"]))
    };
    let hostile = [gateway(lies), gateway(floods), gateway(hangs)].join(",");
    let gateways = format!("{hostile},{}", source.url(""));
    let gateways = gateways.trim_end_matches('/').to_owned();
    let only_hostile = hostile.clone();
    let folder = tempfile::TempDir::new().unwrap();
    let mut server = Server::start_on_with(&folder.path().join("data"), move |command| {
        command.env("ROADSTEAD_FEDERATION__GATEWAYS", &only_hostile);
    });
    let root = push_to(&server);
    assert_eq!(push_to(&source), root);

    // None of these has it.
    flip(&server, &layer);
    let report = repair(&server);
    assert_eq!(report.code, Some(1), "{report}");
    assert!(report.stdout.contains("no source has it"), "{report}");
    let path = format!("/v2/team/app/blobs/{}", sha256(&layer));
    assert_eq!(http::get(&server.url(&path)).status, 404);
    assert!(fs::read_dir(server.data().join("tmp/uploads")).unwrap().next().is_none());
    server.stop();
    let mut command = server.command(["check", "--repair"]);
    let report = run(command.env("ROADSTEAD_FEDERATION__GATEWAYS", &gateways));
    assert!(report.succeeded() && report.stdout.contains("from a source"), "{report}");
    server.start_again();
    assert!(http::get(&server.url(&path)).body == layer);
    assert_eq!(fs::read(data_file(&server, &layer)).unwrap(), layer, "the tree has it as well");
    assert_well(&server);
}

#[test]
fn repairs_beside_pushes_and_collections_take_nothing_that_was_acknowledged() {
    let data = tempfile::TempDir::new().unwrap();
    let server = Server::start_on_with(&data.path().join("data"), |command| {
        command.env("ROADSTEAD_GC__GRACE", "1ms").env("ROADSTEAD_GC__INTERVAL", "0");
    });
    push::image(&server, "team/base", "v1", "common");
    let is_over = std::sync::atomic::AtomicBool::new(false);
    let pushed = thread::scope(|scope| {
        let pushing = scope.spawn(|| {
            let mut pushed = Vec::new();
            for number in 0..40 {
                let (name, layer) = (format!("team/n{}", number % 4), format!("layer {number}"));
                let repository = Repository::of(&server, &name);
                let (config, digest) = (push::sha256(b"{}"), push::sha256(layer.as_bytes()));
                let text = push::image_text(&config, &digest);
                // A collection may take a blob before its manifest comes: then all is sent again.
                for _ in 0..20 {
                    for bytes in [&b"{}"[..], layer.as_bytes()] {
                        let rest = format!("blobs/uploads/?digest={}", sha256(bytes));
                        let body = bytes.to_vec();
                        repository.send(Method::POST, &rest, |it| it.body(body));
                    }
                    let tag = format!("v{number}");
                    if push::manifest(&server, &name, &tag, &text).status == 201 {
                        pushed.push((name.clone(), tag, text.clone(), layer.clone()));
                        break;
                    }
                }
            }
            is_over.store(true, std::sync::atomic::Ordering::Relaxed);
            pushed
        });
        let collecting = scope.spawn(|| {
            while !is_over.load(std::sync::atomic::Ordering::Relaxed) {
                succeed(&mut server.command(["gc", "--now"]));
            }
        });
        let mut repairs = 0;
        while !is_over.load(std::sync::atomic::Ordering::Relaxed) {
            replace(&content_file(&server, b"common"), b"commas");
            let report = repair(&server);
            assert!(report.stdout.contains("mended "), "{report}");
            repairs += 1;
        }
        assert!(repairs > 0);
        collecting.join().unwrap();
        pushing.join().unwrap()
    });
    assert!(pushed.len() >= 30, "{}", pushed.len());
    for (name, tag, text, layer) in &pushed {
        let repository = Repository::of(&server, name);
        assert_eq!(repository.get(&format!("manifests/{tag}")).text(), *text);
        let blob = repository.get(&format!("blobs/{}", sha256(layer.as_bytes())));
        assert_eq!(blob.text(), *layer);
    }
    let report = repair(&server);
    assert!(report.succeeded(), "{report}");
    assert_well(&server);
}

#[test]
fn a_full_disk_is_said_and_what_was_damaged_is_mended_once_there_is_space() {
    let Some(disk) = Disk::mount("32m") else { return };
    let data = disk.path().join("data");
    let server = Server::start_on(&data);
    let text = images(&server);
    lose(&server, text.as_bytes());
    let ballast = disk.path().join("ballast");
    let mut file = fs::File::create(&ballast).unwrap();
    let piece = vec![1; 64 * 1024];
    for length in [piece.len(), 4096] {
        while file.write_all(&piece[..length]).is_ok() {}
    }
    let report = repair(&server);
    assert_eq!(report.code, Some(1), "{report}");
    assert!(format!("{report}").contains("no space"), "{report}");
    assert!(!report.stdout.contains("mended "), "{report}");
    drop(file);
    fs::remove_file(ballast).unwrap();
    let report = repair(&server);
    assert!(report.succeeded() && report.stdout.contains("the index"), "{report}");
    assert_well(&server);
    drop(server);
}
