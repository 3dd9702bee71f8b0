//! A node that is gone, comes back, stands still, or lacks what it should have.

use std::thread;
use std::time::{Duration, Instant};

use reqwest::Method;

use crate::common::content::{MIB, OCI_MANIFEST, image, noise, sha256};
use crate::common::http::{self, Response};
use crate::common::repository::{Repository, Upload, assert_refused, wait};
use crate::common::{KuboNode, run};
use crate::kubo::proxy::Proxy;
use crate::kubo::registry::{MFS_ROOT, Registry};

/// Checks that a client is told to come again.
fn assert_unavailable(response: &Response) {
    assert_refused(response, 503, "UNAVAILABLE");
    assert!(!response.header("retry-after").is_empty());
}

fn push(repository: &Repository<'_>, bytes: &[u8]) -> Response {
    let rest = format!("blobs/uploads/?digest={}", sha256(bytes));
    repository.send(Method::POST, &rest, |request| request.body(bytes.to_vec()))
}

/// An image of which all is pushed but the manifest.
fn prepare(repository: &Repository<'_>, word: &str) -> Vec<u8> {
    let config = format!("{{\"{word}\":1}}").into_bytes();
    repository.push_blob(&config);
    repository.push_blob(word.as_bytes());
    image(&config, &[word.as_bytes()]).to_string().into_bytes()
}

#[test]
fn a_node_that_is_gone_is_reported_and_waiting_work_is_done_when_it_is_back() {
    let Some(mut node) = KuboNode::start() else { return };
    let registry = Registry::start(&node);
    let repository = registry.repository("team/app");
    for way in ["stopped", "killed"] {
        let before = repository.push_image(way, &format!("{way} layer"));
        repository.push_image("waiting", "any");
        let image = prepare(&repository, &format!("{way} image"));
        let begun = repository.begin();
        assert_eq!(begun.stream(&noise(3 * MIB, 1)).status, 202);
        if way == "stopped" {
            node.stop();
        } else {
            node.kill();
        }

        assert_unavailable(&push(&repository, b"anything"));
        assert_unavailable(&repository.put("image", OCI_MANIFEST, &image));
        assert_unavailable(&repository.delete("manifests/waiting"));
        assert_unavailable(&repository.get(&format!("blobs/{}", sha256(&before.layer))));
        assert_unavailable(&begun.chunk(3 * MIB, &noise(3 * MIB, 2)));
        let ready = || http::get(&registry.server.url("/readyz")).status;
        wait(|| ready() == 503, "it is not told");
        assert_eq!(http::get(&registry.server.url("/healthz")).status, 200);

        node.start_again();
        wait(|| ready() == 200, "it is not ready again");
        assert_eq!(repository.get(&format!("manifests/{way}")).body, before.manifest);
        assert_eq!(repository.get(&format!("blobs/{}", sha256(&before.layer))).body, before.layer);
        wait_until_deleted(&repository);
        assert_eq!(repository.put("image", OCI_MANIFEST, &image).status, 201);
        let whole = [noise(3 * MIB, 1), noise(3 * MIB, 2)].concat();
        let rest = Upload::at(&registry.server, &begun.location);
        let offset = received(&rest.status());
        assert_eq!(offset, 3 * MIB, "what was acknowledged is there");
        assert_eq!(rest.chunk(offset, &whole[offset..]).status, 202);
        assert_eq!(rest.finish(&sha256(&whole)).status, 201);
        let pulled = repository.get(&format!("blobs/{}", sha256(&whole)));
        assert!(pulled.body == whole, "it is another");
    }
    registry.assert_whole(&node);
}

/// How far an upload has come.
fn received(status: &Response) -> usize {
    assert_eq!(status.status, 204, "{}", status.text());
    let (_, last) = status.header("range").rsplit_once('-').unwrap();
    last.parse::<usize>().unwrap() + 1
}

/// Waits until the registry has done, by itself, what it could not do before.
fn wait_until_deleted(repository: &Repository<'_>) {
    let begun = Instant::now();
    while repository.get("manifests/waiting").status != 404 {
        assert!(begun.elapsed() < Duration::from_mins(2), "what was waiting is not done");
        thread::sleep(Duration::from_millis(200));
    }
}

#[test]
fn a_node_that_stands_still_for_a_moment_only_costs_that_moment() {
    let Some(node) = KuboNode::start() else { return };
    let registry = Registry::start(&node);
    let repository = registry.repository("team/app");
    for moment in [0, 5, 20, 60, 150] {
        let layer = noise(20 * MIB, moment);
        let pushed = thread::scope(|scope| {
            let pushing = scope.spawn(|| push(&repository, &layer));
            thread::sleep(Duration::from_millis(moment));
            node.pause();
            thread::sleep(Duration::from_secs(1));
            node.resume();
            pushing.join().unwrap()
        });
        assert_eq!(pushed.status, 201, "{}", pushed.text());
        let path = format!("blobs/{}", sha256(&layer));
        let pulled = thread::scope(|scope| {
            let pulling = scope.spawn(|| repository.get(&path));
            thread::sleep(Duration::from_millis(moment));
            node.pause();
            thread::sleep(Duration::from_secs(1));
            node.resume();
            pulling.join().unwrap()
        });
        assert!(pulled.body == layer, "{}", pulled.status);
    }
}

#[test]
fn a_node_that_hangs_for_long_is_reported() {
    let Some(node) = KuboNode::start() else { return };
    let registry = Registry::start(&node);
    let repository = registry.repository("team/app");
    let before = repository.push_image("before", "before");
    repository.push_image("waiting", "any");
    let image = prepare(&repository, "image");
    node.pause();
    let requests: [&(dyn Fn() -> Response + Sync); 5] = [
        &|| push(&repository, b"anything"),
        &|| push(&repository, &noise(3 * MIB, 3)),
        &|| repository.put("image", OCI_MANIFEST, &image),
        &|| repository.delete("manifests/waiting"),
        &|| repository.get(&format!("blobs/{}", sha256(&before.layer))),
    ];
    thread::scope(|scope| {
        let asking: Vec<_> = requests.iter().map(|ask| scope.spawn(ask)).collect();
        for answer in asking {
            assert_unavailable(&answer.join().unwrap());
        }
    });
    node.resume();
    assert_eq!(repository.get(&format!("blobs/{}", sha256(&before.layer))).body, before.layer);
    wait_until_deleted(&repository);
    assert_eq!(repository.put("image", OCI_MANIFEST, &image).status, 201);
    registry.assert_whole(&node);
}

/// Takes a block away behind the registry's back.
fn lose(node: &KuboNode, cid: &str) {
    let lost = node.rpc("block/rm", &[("arg", cid), ("force", "true")]);
    assert_eq!(lost.status, 200, "{}", lost.text());
    assert!(lost.json()["Error"].as_str().unwrap_or_default().is_empty(), "{}", lost.text());
}

#[test]
fn a_missing_block_ends_a_pull_at_once_and_never_looks_whole() {
    let Some(node) = KuboNode::start() else { return };
    let registry = Registry::start(&node);
    let repository = registry.repository("team/app");
    for lost in [None, Some(0), Some(2), Some(4)] {
        let seed = lost.map_or(9, |index| index + 10);
        let layer = noise(4 * MIB + 700_000, seed);
        let digest = repository.push_blob(&layer);
        let hex = digest.trim_start_matches("sha256:");
        let path = format!("{MFS_ROOT}/content/{}/{hex}", &hex[..2]);
        let root = node.ipfs(["files", "stat", "--hash", &path]);
        let cid = match lost {
            None => root,
            Some(index) => {
                let links = node.ipfs(["refs", &root]);
                let link = links.lines().nth(usize::try_from(index).unwrap());
                link.unwrap().to_owned()
            }
        };
        lose(&node, &cid);
        let url = registry.server.url(&repository.path(&format!("blobs/{digest}")));
        // Refused, or cut off; the root alone need not be asked for.
        match http::try_send(|client| client.get(&url)) {
            Ok(answer) if answer.status == 200 => {
                assert!(lost.is_none() && answer.body == layer, "{lost:?}: it looks whole");
            }
            Ok(answer) => assert_refused(&answer, 500, "UNKNOWN"),
            Err(_) => {}
        }
    }
    let report = run(&mut registry.command(["check"]));
    assert_eq!(report.code, Some(1), "{report}");
}

#[test]
fn pulls_ask_the_gateway_alone() {
    let Some(node) = KuboNode::start() else { return };
    let proxy = Proxy::before(&node.api());
    let more = [("STORAGE__KUBO__API", &*proxy.url()), ("STORAGE__KUBO__CLEAN_INTERVAL", "1h")];
    let registry = Registry::start_with(&node, &more);
    let repository = registry.repository("team/app");
    let image = repository.push_image("v1", "layer");
    let layer = noise(3 * MIB, 1);
    let digest = repository.push_blob(&layer);
    assert!(proxy.take().iter().any(|command| command == "files/cp"));
    for reference in ["v1", &image.digest] {
        assert_eq!(repository.head(&format!("manifests/{reference}")).status, 200);
        assert_eq!(repository.get(&format!("manifests/{reference}")).body, image.manifest);
    }
    assert_eq!(repository.head(&format!("blobs/{digest}")).status, 200);
    assert!(repository.get(&format!("blobs/{digest}")).body == layer);
    let part = repository
        .send(Method::GET, &format!("blobs/{digest}"), |it| it.header("Range", "bytes=7-1048580"));
    assert!(part.body == layer[7..=1_048_580], "{}", part.status);
    assert_eq!(repository.get("tags/list").status, 200);
    assert_eq!(repository.get(&format!("referrers/{}", image.digest)).status, 200);
    assert_eq!(http::get(&registry.server.url("/v2/_catalog")).status, 200);
    assert_eq!(proxy.take(), [""; 0]);
}
