//! `roadstead root`: the public root.

use tempfile::TempDir;

use crate::cli::push;
use crate::common::{Server, http, roadstead, run, succeed};

/// What `ipfs add -r` gives an empty folder.
const EMPTY: &str = "bafybeiczsscdsbs7ffqz55asqdf3smv6klcw3gofszvwlyarci47bgf354";

#[test]
fn the_root_is_printed_and_nothing_else() {
    let mut server = Server::start();
    assert_eq!(succeed(&mut server.command(["root"])), EMPTY);
    push::image(&server, "team/app", "v1", "layer");
    let root = succeed(&mut server.command(["root"]));
    assert_ne!(root, EMPTY);
    server.stop();
    assert_eq!(succeed(&mut server.command(["root"])), root, "the same without a server");
    assert_eq!(succeed(roadstead(["cid"]).arg(server.public())), root);
}

#[test]
fn a_root_that_was_printed_is_served_also_after_the_next_push() {
    let server = Server::start();
    push::image(&server, "team/app", "v1", "layer");
    let root = succeed(&mut server.command(["root"]));
    push::image(&server, "team/app", "v2", "other");
    assert_ne!(succeed(&mut server.command(["root"])), root);
    let earlier = http::get(&server.url(&format!("/ipfs/{root}?format=raw")));
    assert_eq!(earlier.status, 200, "{}", earlier.text());
}

#[test]
fn a_root_is_a_function_of_what_is_in_it() {
    let roots = [["one", "two"], ["two", "one"]].map(|tags| {
        let server = Server::start();
        for tag in tags {
            push::image(&server, "team/app", tag, &format!("{tag}!!"));
        }
        // A tag that was moved and moved back, and one that went, leave no trace.
        push::image(&server, "team/app", "moved", "one!!");
        push::image(&server, "team/app", "moved", "two!!");
        push::image(&server, "team/app", "gone", "one!!");
        assert_eq!(push::delete(&server, "/v2/team/app/manifests/gone"), 202);
        succeed(&mut server.command(["root"]))
    });
    assert_eq!(roots[0], roots[1]);
}

#[test]
fn what_is_deleted_leaves_no_directory() {
    let server = Server::start();
    let text = push::image(&server, "team/app", "v1", "layer");
    let manifest = push::sha256(text.as_bytes());
    assert_eq!(push::delete(&server, &format!("/v2/team/app/manifests/{manifest}")), 202);
    for bytes in [&b"{}"[..], b"layer"] {
        assert_eq!(
            push::delete(&server, &format!("/v2/team/app/blobs/{}", push::sha256(bytes))),
            202
        );
    }
    let repositories = server.public().join("docker/registry/v2/repositories");
    assert!(!repositories.exists(), "the name would leak");
    assert_eq!(
        succeed(&mut server.command(["root"])),
        succeed(roadstead(["cid"]).arg(server.public()))
    );
    assert_eq!(http::get(&server.url("/v2/team/app/tags/list")).status, 404);
}

#[test]
fn without_a_registry_there_is_no_root() {
    let folder = TempDir::new().unwrap();
    for command in ["root", "check"] {
        let failed = run(roadstead([command]).current_dir(folder.path()));
        assert_eq!(failed.code, Some(1), "{failed}");
        assert!(failed.stderr.contains("no registry in ./data"), "{failed}");
    }
    let mut status = roadstead(["status"]);
    status.current_dir(folder.path()).env("ROADSTEAD_STORAGE__DRIVER", "kubo");
    let failed = run(&mut status);
    assert_eq!(failed.code, Some(1), "{failed}");
    assert!(failed.stderr.contains("no registry in ./data"), "{failed}");
    assert!(std::fs::read_dir(folder.path()).unwrap().next().is_none(), "nothing was made");
}

#[test]
fn a_tree_without_its_index_is_said_to_need_a_rebuild() {
    let folder = TempDir::new().unwrap();
    std::fs::create_dir_all(folder.path().join("data/public")).unwrap();
    let failed = run(roadstead(["status"]).current_dir(folder.path()));
    assert_eq!(failed.code, Some(1), "{failed}");
    assert!(failed.stderr.contains("roadstead index rebuild"), "{failed}");
}
