//! The root that the registry tells is the CID that Kubo's `ipfs add -r` gives its folder.

use tempfile::TempDir;

use crate::clients::image::Image;
use crate::clients::skopeo::Skopeo;
use crate::clients::target::Target;
use crate::common::{Ipfs, Server, http, require, roadstead, succeed};

/// The root that the registry tells beside the running server, after Kubo and `roadstead cid` agreed.
fn agreed_root(server: &Server, ipfs: &Ipfs) -> String {
    // First the root: it waits for what is under way, so the folder is at rest after it.
    let root = succeed(&mut server.command(["root"]));
    let public = server.public();
    assert_eq!(root, ipfs.cid(&public, &[]), "`roadstead root`, then `ipfs add -rnQ`");
    assert_eq!(root, succeed(roadstead(["cid"]).arg(&public)), "`root`, then `roadstead cid`");
    root
}

#[test]
fn the_root_is_the_cid_that_ipfs_gives_the_public_folder() {
    let (Some(ipfs), Some(busybox)) = (Ipfs::find(), require("busybox")) else { return };
    let server = Server::start();
    let Some(skopeo) = Skopeo::find(&Target::of(&server)) else { return };
    let empty = TempDir::new().expect("a temporary folder can be made");
    assert_eq!(succeed(&mut server.command(["root"])), ipfs.cid(empty.path(), &[]));
    let image = Image::new(&busybox).write_layout();
    let app = format!("{}/team/app", server.address());

    skopeo.push(&image, &format!("{app}:v1"));
    let one_tag = agreed_root(&server, &ipfs);

    skopeo.push(&image, &format!("{app}:v2"));
    let two_tags = agreed_root(&server, &ipfs);
    assert_ne!(two_tags, one_tag);

    let url = server.url("/v2/team/app/manifests/v2");
    assert_eq!(http::send(|client| client.delete(&url)).status, 202);
    // The root depends on what is there, not on how it came to be.
    assert_eq!(agreed_root(&server, &ipfs), one_tag);

    skopeo.push(&Image::new(&busybox).write_layout(), &format!("{app}:v1"));
    let moved = agreed_root(&server, &ipfs);
    assert_ne!(moved, one_tag);

    skopeo.delete(&format!("{app}:v1"));
    assert_ne!(agreed_root(&server, &ipfs), moved);
}

#[test]
fn the_root_outlives_a_restart() {
    let (Some(ipfs), Some(busybox)) = (Ipfs::find(), require("busybox")) else { return };
    let mut server = Server::start();
    let Some(skopeo) = Skopeo::find(&Target::of(&server)) else { return };
    let image = Image::new(&busybox).write_layout();
    skopeo.push(&image, &format!("{}/team/app:v1", server.address()));
    let root = agreed_root(&server, &ipfs);

    assert!(server.stop().success());
    server.start_again();
    assert_eq!(agreed_root(&server, &ipfs), root);

    server.kill();
    server.start_again();
    assert_eq!(agreed_root(&server, &ipfs), root);
}
