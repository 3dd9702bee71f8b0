//! What is wrong with a folder is named, and left out.

use std::fs;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::source::{Source, adopt, assert_well, blob, command, index_of, say};
use crate::cli::push;
use crate::common::{Server, http, run};

/// A folder of which only one image is whole.
struct Faulty {
    source: Source,
    /// Manifests, as they were pushed.
    good: String,
    rotten: String,
    missing: String,
    /// The root of the whole image alone.
    root: String,
}

const SCHEMA1: &[u8] = br#"{"schemaVersion":1,"name":"team/app","fsLayers":[]}"#;

impl Faulty {
    fn new() -> Self {
        let (mut good, mut rotten, mut missing) = (String::new(), String::new(), String::new());
        let expected = Source::of(|server| {
            push::image(server, "team/app", "good", "layer");
        });
        let source = Source::of(|server| {
            good = push::image(server, "team/app", "good", "layer");
            rotten = push::image(server, "team/app", "rotten", "rotten");
            missing = push::image(server, "team/app", "missing", "missing");
            let index = index_of(&rotten);
            assert_eq!(push::manifest(server, "team/app", "index", &index).status, 201);
        });
        fs::write(source.blob(b"rotten"), b"changed").unwrap();
        fs::remove_file(source.blob(b"missing")).unwrap();
        source.link_manifest("team/app", SCHEMA1);
        source.link_layer("team/app", b"stray");
        source.link_layer("example.com/copy", b"foreign");
        source.link_layer("Not/A/Name", b"nobody's");
        source.write(&blob(b"unreferenced"), b"unreferenced");
        source.write("repositories/team/app/_uploads/1234/data", b"half");
        source.write("repositories/team/new/_uploads/5678/startedat", b"now");
        let tags = "repositories/team/app/_manifests/tags";
        source.write(&format!("{tags}/broken/current/link"), b"sha256:abc");
        let gone = push::sha256(b"gone").to_string();
        source.write(&format!("{tags}/gone/current/link"), gone.as_bytes());
        // What the stock registry leaves of a manifest that was deleted is no fault.
        let deleted = push::sha256(b"deleted").hex();
        let deleted = format!("repositories/team/app/_manifests/revisions/sha256/{deleted}");
        fs::create_dir_all(source.path_of(&deleted)).unwrap();
        Self { source, good, rotten, missing, root: expected.root }
    }
}

#[test]
fn what_cannot_be_taken_is_named_and_the_rest_is_taken() {
    let Faulty { source, good, rotten, missing, root } = Faulty::new();
    let home = TempDir::new_in(source.server.data()).unwrap();
    let data = home.path().join("data");
    let adopted = adopt(&source, &data);
    assert_eq!(adopted.code, Some(1), "{adopted}");
    let digest = |text: &[u8]| push::sha256(text).to_string();
    let base = "docker/registry/v2";
    let mut lines = vec![
        format!(
            "left out blob {} of `team/app`: its bytes are {}",
            digest(b"rotten"),
            digest(b"changed")
        ),
        format!("left out blob {} of `team/app`: its content is missing", digest(b"missing")),
        format!(
            "left out manifest {} of `team/app`: the manifest's schemaVersion is not 2",
            digest(SCHEMA1)
        ),
        "left out tag `team/app:broken`: its link is missing or unreadable".to_owned(),
        format!(
            "left out tag `team/app:gone`: manifest {} is missing, or was left out",
            digest(b"gone")
        ),
        "left out repository `example.com/copy`: names that begin with `example.com` belong to other registries; list it in \
         server.local_namespaces to accept it"
            .to_owned(),
        format!("left out {base}/repositories/Not/A/Name: not part of a registry"),
        "left out upload 1234 of `team/app`: the upload was not finished".to_owned(),
        "left out upload 5678 of `team/new`: the upload was not finished".to_owned(),
    ];
    for (text, name) in [(&rotten, &b"rotten"[..]), (&missing, b"missing")] {
        let (manifest, layer) = (digest(text.as_bytes()), digest(name));
        lines.push(format!(
            "left out manifest {manifest} of `team/app`: it references {layer}, missing in the repository"
        ));
    }
    let index = index_of(&rotten);
    lines.push(format!(
        "left out manifest {} of `team/app`: it references {}, missing in the repository",
        digest(index.as_bytes()),
        digest(rotten.as_bytes())
    ));
    for (tag, text) in [("rotten", &rotten), ("missing", &missing), ("index", &index)] {
        let manifest = digest(text.as_bytes());
        lines.push(format!(
            "left out tag `team/app:{tag}`: manifest {manifest} is missing, or was left out"
        ));
    }
    for unreferenced in [&b"unreferenced"[..], b"foreign", b"nobody's"] {
        let digest = digest(unreferenced);
        lines.push(format!("left out blob {digest}: no adopted repository references it"));
    }
    for line in &lines {
        assert!(adopted.stdout.contains(&format!("{line}\n")), "{line} is not in:\n{adopted}");
    }
    assert_eq!(adopted.stdout.matches("left out ").count(), lines.len(), "{adopted}");
    assert!(adopted.stdout.contains("1 repository, 1 manifest, 1 tag, "), "{adopted}");
    assert!(adopted.stdout.ends_with(&format!("; {} left out\n", lines.len())), "{adopted}");

    assert_eq!(say(&data, &["root"]), root);
    assert_well(&data);
    let server = Server::start_on(&data);
    assert_eq!(http::get(&server.url("/v2/team/app/manifests/good")).text(), good);
    let tags = http::get(&server.url("/v2/team/app/tags/list")).json();
    assert_eq!(tags["tags"], json!(["good"]));
    let stray = http::get(&server.url(&format!("/v2/team/app/blobs/{}", digest(b"stray"))));
    assert_eq!(stray.text(), "stray");
    for (name, bytes) in [("team/app", &b"rotten"[..]), ("example.com/copy", b"foreign")] {
        let path = format!("/v2/{name}/blobs/{}", digest(bytes));
        assert_eq!(http::get(&server.url(&path)).status, 404);
    }
}

#[test]
fn json_lists_what_was_left_out_and_local_namespaces_are_accepted() {
    let Faulty { source, root, .. } = Faulty::new();
    let data = TempDir::new_in(source.server.data()).unwrap();
    let mut json = command(&source.folder(), data.path());
    let json = run(json.arg("--json").env("ROADSTEAD_SERVER__LOCAL_NAMESPACES", "example.com"));
    assert_eq!(json.code, Some(1), "{json}");
    let report: Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!(report["root"], root);
    let counts = ["repositories", "manifests", "tags", "blobs", "linked"];
    assert_eq!(counts.map(|count| report[count].as_u64()), [2, 1, 1, 9, 9].map(Some), "{report}");
    let left_out = report["left_out"].as_array().unwrap();
    let of = |kind: &str| left_out.iter().filter(|it| it["kind"] == kind).count();
    let kinds = ["upload", "blob", "layer", "manifest", "tag", "repository", "place"];
    assert_eq!(kinds.map(of), [2, 2, 2, 4, 5, 0, 1], "{report}");
    let why = "the upload was not finished";
    let upload = json!({ "kind": "upload", "about": "upload 1234 of `team/app`", "why": why });
    assert!(left_out.contains(&upload), "{report}");
}
