//! Gateways that are not as others: without archives, on this machine by a name, with redirects, with trees by another
//! hash.

use std::fs;
use std::process::Command;
use std::sync::{Arc, Mutex};

use cid::Cid;
use cid::multihash::Multihash;
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use crate::common::content::sha256;
use crate::common::http::{self, Response};
use crate::common::repository::{Pushed, Repository, assert_refused};
use crate::common::{KuboNode, Server, roadstead, run, succeed};
use crate::federation::answering::{Answer, Answering, Request};

/// A publisher with an image, and its root.
fn publisher() -> (Server, Pushed, String) {
    let server = Server::start();
    let pushed = Repository::of(&server, "team/app").push_image("v1", "layer");
    let root = succeed(&mut server.command(["root"])).trim().to_owned();
    (server, pushed, root)
}

/// A registry that asks these gateways and nothing else.
fn asking(gateways: &str) -> Server {
    let gateways = gateways.to_owned();
    Server::start_with(move |command| {
        command
            .env("ROADSTEAD_FEDERATION__GATEWAYS", &gateways)
            .env("ROADSTEAD_FEDERATION__KUBO__API", "none");
    })
}

fn assert_pulled(server: &Server, root: &str, pushed: &Pushed) {
    let foreign = Repository::of(server, &format!("{root}/team/app"));
    assert_eq!(foreign.get("tags/list").json()["tags"], serde_json::json!(["v1"]));
    for reference in ["v1", &pushed.digest] {
        assert_eq!(foreign.head(&format!("manifests/{reference}")).status, 200);
        assert_eq!(foreign.get(&format!("manifests/{reference}")).body, pushed.manifest);
    }
    for blob in [&pushed.layer, &pushed.config] {
        let path = format!("blobs/{}", sha256(blob));
        assert_eq!(foreign.head(&path).status, 200);
        assert_eq!(&foreign.get(&path).body, blob);
    }
    assert_eq!(foreign.get("manifests/v2").status, 404);
}

/// Answers as the publisher's gateway does.
fn pass_on(publisher: &str, request: &Request) -> Answer {
    let Response { status, headers, body, .. } = http::get(&format!("{publisher}{}", request.path));
    let kind = headers.get("content-type").and_then(|value| value.to_str().ok());
    let fields = format!("content-type: {}\r\n", kind.unwrap_or_default());
    Answer { status, fields, body }
}

fn refused(status: u16, fields: &str) -> Answer {
    Answer { status, fields: fields.to_owned(), body: b"<p>no".to_vec() }
}

#[test]
fn a_gateway_without_archives_is_read_block_by_block() {
    let (publisher, pushed, root) = publisher();
    for status in [400, 406, 415, 501] {
        let url = publisher.url("");
        let gateway = Answering::start_with(move |request| {
            if request.path.contains("format=car") {
                refused(status, "")
            } else {
                pass_on(&url, request)
            }
        });
        assert_pulled(&asking(&gateway.url()), &root, &pushed);
        let mut resolve = roadstead(["resolve", &root]);
        let output = succeed(resolve.env("ROADSTEAD_FEDERATION__GATEWAYS", gateway.url()));
        assert!(output.contains("team/app"), "{output}");
    }
}

#[test]
fn a_gateway_that_fails_is_not_tried_for_blocks_instead_of_an_archive() {
    let (publisher, _, root) = publisher();
    for status in [403, 404, 429, 500, 503] {
        let (url, raw) = (publisher.url(""), Arc::new(Mutex::new(0)));
        let count = Arc::clone(&raw);
        let gateway = Answering::start_with(move |request| {
            if request.path.contains("format=car") {
                return refused(status, "");
            }
            *count.lock().unwrap() += 1;
            pass_on(&url, request)
        });
        let server = asking(&gateway.url());
        let answer = Repository::of(&server, &format!("{root}/team/app")).get("manifests/v1");
        assert_eq!((answer.status, *raw.lock().unwrap()), (502, 0), "{status}");
    }
}

#[test]
fn a_node_is_called_by_the_name_localhost() {
    let Some(node) = KuboNode::start() else { return };
    let (publisher, pushed, root) = publisher();
    let folder = TempDir::new().unwrap();
    let archive = folder.path().join("root.car");
    let url = publisher.url(&format!("/ipfs/{root}?format=car"));
    fs::write(&archive, http::get(&url).body).unwrap();
    node.ipfs(["dag", "import", archive.to_str().unwrap()]);
    let named = node.gateway().replace("127.0.0.1", "localhost");
    // By that name it leads elsewhere.
    let redirect = http::try_send_by(
        |client| client.redirect(reqwest::redirect::Policy::none()),
        |client| client.get(format!("{named}/ipfs/{root}?format=raw")),
    );
    let redirect = redirect.unwrap();
    assert_eq!(redirect.status, 301, "{}", redirect.text());
    assert!(redirect.header("location").contains(".ipfs.localhost:"));
    assert_pulled(&asking(&named), &root, &pushed);
    let mut resolve = roadstead(["resolve", &root]);
    let output = succeed(resolve.env("ROADSTEAD_FEDERATION__GATEWAYS", &named));
    assert!(output.contains("team/app") && output.contains(&named), "{output}");
}

#[test]
fn names_below_localhost_are_this_machine_and_other_redirects_are_reported() {
    let (publisher, pushed, root) = publisher();
    let url = publisher.url("");
    // As a node does that is asked by the name of one of its gateways.
    let gateway = Answering::start_with(move |request| {
        if request.host.ends_with(".localhost") || request.host.contains(".ipfs.gateway.localhost:")
        {
            return pass_on(&url, request);
        }
        let port = request.host.rsplit_once(':').unwrap().1;
        let location = format!("http://root.ipfs.gateway.localhost:{port}{}", request.path);
        refused(301, &format!("location: {location}\r\n"))
    });
    let named = gateway.url().replace("127.0.0.1", "gateway.localhost");
    assert_pulled(&asking(&named), &root, &pushed);

    let gateway = Answering::start_with(|request| {
        let location = format!("http://nowhere.invalid{}", request.path);
        refused(301, &format!("location: {location}\r\n"))
    });
    let server = asking(&gateway.url());
    let answer = Repository::of(&server, &format!("{root}/team/app")).get("manifests/v1");
    assert_refused(&answer, 502, "UNAVAILABLE");
    assert!(answer.text().contains("http://nowhere.invalid"), "{}", answer.text());
}

#[test]
fn a_tree_by_another_hash_is_reported_as_that() {
    let Some(node) = KuboNode::start() else { return };
    let publisher = Server::start_embedded();
    Repository::of(&publisher, "team/app").push_image("v1", "layer");
    let folder = publisher.public();
    for hash in ["blake3", "blake2b-256", "sha2-512", "sha3-256"] {
        let option = format!("--hash={hash}");
        let root = node.ipfs(["add", "-rQ", &option, folder.to_str().unwrap()]).trim().to_owned();
        let gateway = node.gateway();
        let expected = format!("blocks hashed with {hash} are not supported");
        let answers = [asking(&gateway), over_node(&node)].map(|server| {
            let foreign = Repository::of(&server, &format!("{root}/team/app"));
            [foreign.get("manifests/v1"), foreign.get("tags/list")]
        });
        for answer in answers.iter().flatten() {
            assert_refused(answer, 502, "UNAVAILABLE");
            assert!(answer.text().contains(&expected), "{}", answer.text());
        }
        let mut resolve = roadstead(["resolve", &root]);
        let resolved = run(resolve.env("ROADSTEAD_FEDERATION__GATEWAYS", &gateway));
        assert!(format!("{resolved}").contains(&expected), "{resolved}");
        let data = TempDir::new().unwrap();
        let mut restore = roadstead(["restore", "--from", &root, "--data"]);
        restore.arg(data.path().join("data")).env("ROADSTEAD_FEDERATION__GATEWAYS", &gateway);
        let restored = run(&mut restore);
        assert_eq!(restored.code, Some(1), "{restored}");
        assert!(restored.stderr.contains(&expected), "{restored}");
    }
}

#[test]
fn an_unreadable_root_is_reported_as_that() {
    // A map of dag-cbor, and a directory with a link that holds a file of 80 bytes itself, as `--inline` makes it.
    let bytes = [&[1, 0x55, 0, 80][..], &[7; 80]].concat();
    let link = [&[0x0a, 84][..], &bytes, b"\x12\x06docker\x18\x50"].concat();
    let directory = [&[0x12, 96][..], &link, b"\x0a\x02\x08\x01"].concat();
    let hashed = |codec: u64, bytes: &[u8]| {
        let hash = Multihash::wrap(0x12, &Sha256::digest(bytes)).unwrap();
        Cid::new_v1(codec, hash)
    };
    for (codec, block, expected) in [
        (0x71, vec![0xa0], "codec 0x71"),
        (0x70, directory, "unsupported link that holds its content itself"),
    ] {
        let root = hashed(codec, &block);
        let gateway = Answering::start_with(move |request| {
            if request.path.contains("format=car") {
                return refused(406, "");
            }
            Answer { status: 200, fields: String::new(), body: block.clone() }
        });
        let server = asking(&gateway.url());
        let foreign = Repository::of(&server, &format!("{root}/team/app"));
        let digest = sha256(b"layer");
        for rest in ["manifests/v1", "tags/list", &format!("blobs/{digest}")] {
            let answer = foreign.get(rest);
            assert_refused(&answer, 502, "UNAVAILABLE");
            assert!(answer.text().contains(expected), "{}", answer.text());
        }
        assert_eq!(foreign.head(&format!("blobs/{digest}")).status, 502);
        let mut resolve = roadstead(["resolve", &root.to_string()]);
        let resolved = run(resolve.env("ROADSTEAD_FEDERATION__GATEWAYS", gateway.url()));
        assert!(format!("{resolved}").contains(expected), "{resolved}");
    }
}

/// A registry that asks a node and nothing else.
fn over_node(node: &KuboNode) -> Server {
    let api = node.api();
    Server::start_with(move |command: &mut Command| {
        command.env("ROADSTEAD_FEDERATION__KUBO__API", &api);
    })
}
