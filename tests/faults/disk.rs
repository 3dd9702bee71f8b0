//! A disk that is full.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::Path;

use tempfile::TempDir;

use crate::common::content::{MIB, OCI_MANIFEST, image, noise, sha256};
use crate::common::http;
use crate::common::repository::{Repository, Upload, assert_refused};
use crate::common::{Disk, Server, embedded_only, roadstead, run, succeed};
use crate::faults::assert_whole;

/// Pushes blobs of that size until there is no more room; every refusal says so.
fn fill(repository: &Repository<'_>, size: usize, seed: u64) -> u64 {
    for number in seed.. {
        let content = noise(size, number);
        let rest = format!("blobs/uploads/?digest={}", sha256(&content));
        let response = repository.send(reqwest::Method::POST, &rest, |it| it.body(content));
        if response.status != 201 {
            assert_refused(&response, 507, "UNAVAILABLE");
            return number;
        }
    }
    unreachable!("every disk is full at some time")
}

#[test]
fn a_full_disk_refuses_pushes_loses_nothing_and_goes_on_when_there_is_room() {
    let Some(()) = embedded_only("the disk is the data folder's") else { return };
    let Some(disk) = Disk::mount("32m") else { return };
    let server = Server::start_on(&disk.path().join("data"));
    let repository = Repository::of(&server, "team/app");
    let before = repository.push_image("before", "word");
    let (config, layer) = (repository.push_blob(b"{}"), repository.push_blob(b"waiting"));

    let mut seed = 1;
    for size in [3 * MIB, 100_000, 1000] {
        seed = fill(&repository, size, seed) + 1;
    }
    let waiting = image(b"{}", &[b"waiting"]).to_string().into_bytes();
    let refused = repository.put("waiting", OCI_MANIFEST, &waiting);
    assert_refused(&refused, 507, "UNAVAILABLE");
    assert_eq!(repository.get("manifests/before").body, before.manifest, "pulls go on");
    assert_eq!(repository.get(&format!("blobs/{}", sha256(&before.layer))).body, before.layer);
    assert_eq!((config, layer), (sha256(b"{}"), sha256(b"waiting")));

    disk.grow("64m");
    let after = repository.push_image("after", "other word");
    assert_eq!(repository.put("waiting", OCI_MANIFEST, &waiting).status, 201);
    assert_eq!(repository.get("manifests/waiting").body, waiting);
    assert_eq!(repository.get("manifests/after").body, after.manifest);
    assert_whole(&server);
    drop(server);
}

/// Takes all room that is left on a disk, to the last byte.
fn take_the_rest(disk: &Disk) {
    let path = disk.path().join("something-else");
    let mut file = File::options().create(true).append(true).open(path).expect("it has a name");
    for size in [MIB, 4096, 1] {
        while file.write_all(&vec![0; size]).is_ok() {}
    }
}

#[test]
fn a_full_disk_does_not_keep_a_registry_from_starting() {
    let Some(()) = embedded_only("the disk is the data folder's") else { return };
    let Some(disk) = Disk::mount("24m") else { return };
    let mut server = Server::start_on(&disk.path().join("data"));
    let before = Repository::of(&server, "team/app").push_image("before", "word");
    let upload = Repository::of(&server, "team/big").begin();
    assert_eq!(upload.stream(&noise(5 * MIB, 1)).status, 202);
    let location = upload.location;
    let root = succeed(&mut server.command(["root"]));
    let home = TempDir::new().expect("a temporary folder can be made");

    for is_killed in [true, false] {
        take_the_rest(&disk);
        if is_killed {
            server.kill();
        } else {
            server.stop();
        }
        take_the_rest(&disk);
        let archive = home.path().join(format!("{is_killed}-apart.car"));
        let checked = run(&mut server.command(["check"]));
        assert!(checked.succeeded(), "{checked}");
        let exported = run(server.command(["export"]).arg(&archive));
        assert!(exported.succeeded() && exported.stdout.contains(&root), "{exported}");

        take_the_rest(&disk);
        server.start_again();
        let repository = Repository::of(&server, "team/app");
        assert_eq!(repository.get("manifests/before").body, before.manifest, "pulls go on");
        assert_eq!(repository.get(&format!("blobs/{}", sha256(&before.layer))).body, before.layer);
        let pushed = repository.put("after", OCI_MANIFEST, &before.manifest);
        assert_refused(&pushed, 507, "UNAVAILABLE");
        assert_eq!(http::get(&server.url("/readyz")).status, 200, "pulls are served");
        assert_eq!(succeed(&mut server.command(["root"])), root);
    }

    // What is taken away makes room for all else; the server begins to write when it starts again.
    let listed = succeed(&mut server.command(["uploads", "list", "--json"]));
    let listed: serde_json::Value = serde_json::from_str(&listed).expect("it is JSON");
    assert_eq!(listed[0]["repository"], "team/big", "{listed}");
    assert_eq!(listed[0]["bytes"], 5 * MIB, "{listed}");
    server.stop();
    let id = listed[0]["id"].as_str().expect("it is text").to_owned();
    let young = succeed(&mut server.command(["uploads", "clear", "--older-than", "1d", &id]));
    assert!(young.starts_with("0 uploads"), "{young}");
    let cleared = succeed(&mut server.command(["uploads", "clear", &id]));
    assert!(cleared.starts_with("1 upload, "), "{cleared}");
    let unknown = run(&mut server.command(["uploads", "clear", "no-such-upload"]));
    assert_eq!(unknown.code, Some(1), "{unknown}");

    server.start_again();
    assert_eq!(Upload::at(&server, &location).stream(b"more").status, 404);
    let after = Repository::of(&server, "team/app").push_image("after", "other word");
    assert_eq!(Repository::of(&server, "team/app").get("manifests/after").body, after.manifest);
    assert_whole(&server);
    drop(server);
}

#[test]
fn uploads_are_cleared_beside_a_server_that_goes_on() {
    let server = Server::start();
    let repository = Repository::of(&server, "team/app");
    let uploads = [b"first", b"other"].map(|bytes| {
        let upload = repository.begin();
        assert_eq!(upload.stream(bytes).status, 202);
        upload.location
    });
    let cleared = succeed(&mut server.command(["uploads", "clear"]));
    assert!(cleared.starts_with("2 uploads, 10 bytes"), "{cleared}");
    // Nothing of them is left, before any client comes back.
    let listed = succeed(&mut server.command(["uploads", "list"]));
    assert_eq!(listed.trim(), "0 uploads, 0 bytes");
    let metrics = http::get(&server.url("/metrics")).text();
    assert!(metrics.lines().any(|line| line == "roadstead_uploads 0"), "{metrics}");
    for location in uploads {
        let upload = Upload::at(&server, &location);
        assert_eq!(upload.stream(b"more").status, 404);
    }
    assert_eq!(repository.begin().stream(b"new").status, 202);
    assert_whole(&server);
}

#[test]
fn a_request_to_clear_an_upload_is_not_carried_out_once_nothing_waits_for_it() {
    let server = Server::start();
    let upload = Repository::of(&server, "team/app").begin();
    assert_eq!(upload.stream(b"first").status, 202);
    let listed = succeed(&mut server.command(["uploads", "list", "--json"]));
    let listed: serde_json::Value = serde_json::from_str(&listed).expect("it is JSON");
    let request = serde_json::json!({ "clear_upload": { "id": listed[0]["id"] } }).to_string();
    // The command was ended before it had sent the end of the line.
    let mut stream = UnixStream::connect(server.data().join("command.sock")).expect("it is there");
    stream.write_all(request.as_bytes()).expect("it is read");
    stream.shutdown(Shutdown::Write).expect("it is open");
    let read = stream.read_to_end(&mut Vec::new()).expect("the server closes it");
    assert_eq!(read, 0, "it is answered");
    // As files, commands of an earlier version sent them.
    let sent = serde_json::json!({ "secs_since_epoch": 1_700_000_000, "nanos_since_epoch": 0 });
    let file = serde_json::json!({ "id": listed[0]["id"], "sent": sent }).to_string();
    fs::write(server.data().join("clear-of-a-command"), file).expect("there is room");
    assert_eq!(upload.stream(b"more").status, 202);
    stream = UnixStream::connect(server.data().join("command.sock")).expect("it is there");
    stream.write_all(format!("{request}\n").as_bytes()).expect("it is read");
    stream.read_to_end(&mut Vec::new()).expect("the server closes it");
    assert_eq!(upload.stream(b"more").status, 404, "a whole one is carried out");
}

#[test]
fn uploads_are_cleared_beside_a_command_that_does_not_clear_any() {
    let Some(()) = embedded_only("their bytes are in the data folder") else { return };
    let mut server = Server::start();
    let repository = Repository::of(&server, "team/app");
    for _ in 0..20 {
        assert_eq!(repository.begin().stream(b"first").status, 202);
    }
    server.stop();
    let lock = File::open(server.data().join("lock")).expect("the server has made it");
    lock.lock().expect("the server has ended");
    // The answer to one request is waited for; that of each would take longer than any command may.
    let cleared = succeed(&mut server.command(["uploads", "clear"]));
    assert!(cleared.starts_with("20 uploads, "), "{cleared}");
    let names = fs::read_dir(server.data()).expect("it is there");
    let mut names = names.map(|entry| entry.expect("it can be read").file_name());
    assert!(names.all(|name| !name.to_string_lossy().starts_with("command")));
}

#[test]
fn a_full_disk_ends_an_adoption_that_goes_on_when_there_is_room() {
    let Some(()) = embedded_only("it adopts a folder") else { return };
    let Some(disk) = Disk::mount("8m") else { return };
    let mut source = Server::start();
    let repository = Repository::of(&source, "team/app");
    let config = repository.push_blob(b"{}");
    assert_eq!(config, sha256(b"{}"));
    for seed in 0..4 {
        let layer = noise(3 * MIB, seed);
        repository.push_blob(&layer);
        let image = image(b"{}", &[&layer]).to_string().into_bytes();
        assert_eq!(repository.put(&format!("v{seed}"), OCI_MANIFEST, &image).status, 201);
    }
    let root = succeed(&mut source.command(["root"]));
    source.stop();
    let data = disk.path().join("data");
    let adopt =
        || run(roadstead(["adopt"]).arg(source.data().join("public")).arg("--data").arg(&data));

    let full = adopt();
    assert_eq!(full.code, Some(1), "{full}");
    assert!(full.stderr.contains("the storage is full: "), "{full}");
    assert_eq!(adopt().code, Some(1), "there is still no room");

    disk.grow("64m");
    let adopted = adopt();
    assert!(adopted.succeeded(), "{adopted}");
    let server = Server::start_on(&data);
    assert_eq!(succeed(&mut server.command(["root"])), root);
    assert_whole(&server);
    drop(server);
}

#[test]
fn a_full_disk_ends_a_restoration_and_an_import_that_go_on_when_there_is_room() {
    let Some(()) = embedded_only("the disk is the data folder's") else { return };
    let Some(disk) = Disk::mount("8m") else { return };
    let source = Server::start();
    let repository = Repository::of(&source, "team/app");
    repository.push_blob(b"{}");
    for seed in 0..4 {
        let layer = noise(3 * MIB, seed);
        repository.push_blob(&layer);
        let image = image(b"{}", &[&layer]).to_string().into_bytes();
        assert_eq!(repository.put(&format!("v{seed}"), OCI_MANIFEST, &image).status, 201);
    }
    let home = TempDir::new().expect("a temporary folder can be made");
    let archive = home.path().join("registry.car");
    let root = succeed(&mut source.command(["export", archive.to_str().expect("it is text")]));
    let restore = |data: &Path| {
        let mut command = roadstead(["restore", "--from", &root, "--data"]);
        run(command.arg(data).env("ROADSTEAD_FEDERATION__GATEWAYS", source.url("")))
    };
    let import = |data: &Path| run(roadstead(["import", "--data"]).arg(data).arg(&archive));
    for is_restored in [true, false] {
        let fill = |data: &Path| if is_restored { restore(data) } else { import(data) };
        let data = disk.path().join("data");
        let refused = fill(&data);
        assert_eq!(refused.code, Some(1), "{refused}");
        assert!(refused.stderr.contains("run the same command again to continue"), "{refused}");
        assert!(refused.stderr.contains("the storage is full: "), "{refused}");
        assert_eq!(fill(&data).code, Some(1), "there is still no room");
        disk.grow("64m");
        let filled = fill(&data);
        assert!(filled.succeeded(), "{filled}");
        let server = Server::start_on(&data);
        assert_eq!(succeed(&mut server.command(["root"])), root);
        assert_whole(&server);
        drop(server);
        std::fs::remove_dir_all(&data).expect("it is ours");
        disk.grow("8m");
    }
}
