//! `roadstead index rebuild`: the API answers as before, and what is not whole is dropped.

use std::fs;

use roadstead::oci::{Algorithm, Digest};

use crate::common::{Server, http, run, succeed};
use crate::push;

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

fn forget_index(server: &Server) {
    for file in ["index.sqlite", "index.sqlite-wal", "index.sqlite-shm"] {
        let _ = fs::remove_file(server.data().join(file));
    }
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
    forget_index(&server);
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
    forget_index(&server);
    let hex = push::sha256(b"other").hex();
    let data = server
        .data()
        .join("public/docker/registry/v2/blobs/sha256")
        .join(&hex[..2])
        .join(&hex)
        .join("data");
    fs::write(data, b"rotten").unwrap();
    let rebuilt = succeed(&mut server.command(["index", "rebuild"]));
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
fn a_tree_without_its_content_folder_is_enough() {
    let mut server = Server::start();
    let image = push::image(&server, "team/app", "v1", "layer");
    server.stop();
    forget_index(&server);
    fs::remove_dir_all(server.data().join("content")).unwrap();
    succeed(&mut server.command(["index", "rebuild"]));
    server.start_again();
    assert_eq!(http::get(&server.url("/v2/team/app/manifests/v1")).text(), image);
    let layer = push::sha256(b"layer");
    assert_eq!(http::get(&server.url(&format!("/v2/team/app/blobs/{layer}"))).text(), "layer");
    assert!(run(&mut server.command(["check"])).succeeded());
}
