//! `roadstead check`: each thing that can be wrong is named, and only that.

use std::fs;
use std::path::{Path, PathBuf};

use crate::common::process::Finished;
use crate::common::{Server, run, succeed};
use crate::push;

fn tree(server: &Server) -> PathBuf {
    server.data().join("public/docker/registry/v2")
}

fn data_file(server: &Server, bytes: &[u8]) -> PathBuf {
    let hex = push::sha256(bytes).hex();
    tree(server).join("blobs/sha256").join(&hex[..2]).join(hex).join("data")
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
    assert!(beside.starts_with("1 repositories, 1 tags, 3 blobs, "), "{beside}");
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
    let faults: &[(&str, Fault)] = &[
        ("its bytes are sha256:", |server, _| {
            // Through the link, so that content and tree are damaged alike.
            fs::write(data_file(server, b"layer"), b"lager").unwrap();
        }),
        ("it is not the content of that digest", |server, _| {
            replace(&data_file(server, b"layer"), b"lager");
        }),
        ("which is not there", |server, _| {
            fs::remove_dir_all(data_file(server, b"layer").parent().unwrap()).unwrap();
        }),
        ("the content of that digest is missing", |server, _| {
            let hex = push::sha256(b"layer").hex();
            fs::remove_file(server.data().join("content/sha256").join(&hex[..2]).join(hex))
                .unwrap();
        }),
        ("it references sha256:", |server, _| {
            let hex = push::sha256(b"layer").hex();
            fs::remove_dir_all(tree(server).join("repositories/team/app/_layers/sha256").join(hex))
                .unwrap();
        }),
        ("it holds no digest", |server, _| {
            let link = tree(server).join("repositories/team/app/_manifests/tags/v1/index/sha256");
            let link = fs::read_dir(link).unwrap().next().unwrap().unwrap().path().join("link");
            let revision = link.display().to_string().replace("tags/v1/index", "revisions");
            replace(Path::new(&revision), b"nonsense");
        }),
        ("the index says that the tag points elsewhere", |server, text| {
            let tags = tree(server).join("repositories/team/app/_manifests/tags");
            let copied = tags.join("v2/current");
            fs::create_dir_all(&copied).unwrap();
            fs::write(copied.join("link"), push::sha256(text.as_bytes()).to_string()).unwrap();
        }),
        ("the index has it, the tree does not", |server, _| {
            fs::remove_dir_all(tree(server).join("repositories/team/app/_manifests/tags/v1"))
                .unwrap();
        }),
        ("the index says baf", |server, _| {
            fs::write(tree(server).join("stray"), b"does not belong here").unwrap();
        }),
    ];
    for (expected, fault) in faults {
        let mut server = Server::start();
        let text = push::image(&server, "team/app", "v1", "layer");
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
