//! `roadstead cid`: what `ipfs add -rnQ` says. The clients' tests compare it with a real Kubo.

use std::fs;

use tempfile::TempDir;

use crate::common::{roadstead, run, succeed};

#[test]
fn a_file_and_a_folder_have_the_cids_of_ipfs() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("hello");
    fs::write(&file, "hello world").unwrap();
    let cid = succeed(roadstead(["cid"]).arg(&file));
    assert_eq!(cid, "bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e");
    let with_file = succeed(roadstead(["cid"]).arg(folder.path()));
    fs::write(folder.path().join(".hidden"), "does not count").unwrap();
    assert_eq!(succeed(roadstead(["cid"]).arg(folder.path())), with_file);
    fs::write(folder.path().join("seen"), "counts").unwrap();
    assert_ne!(succeed(roadstead(["cid"]).arg(folder.path())), with_file);
}

#[test]
fn what_cannot_be_read_is_named() {
    let failed = run(&mut roadstead(["cid", "/never/there"]));
    assert_eq!(failed.code, Some(1), "{failed}");
    assert!(failed.stderr.contains("cannot read /never/there"), "{failed}");
}
