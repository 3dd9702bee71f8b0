//! Memory does not grow with what was ever pushed.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use reqwest::header::CONTENT_TYPE;
use reqwest::{Client, RequestBuilder};

use crate::common::content::{NOBODYS, OCI_MANIFEST, image, sha256};
use crate::common::http;
use crate::common::repository::Repository;
use crate::common::{Server, embedded_only};

/// How many repositories are pushed to.
const REPOSITORIES: usize = 1200;

/// By how many clients.
const CLIENTS: usize = 8;

/// How many bytes the process may take more than before: far more than it does. What it took for each repository that
/// was folded was fifty times a push.
const BOUND: u64 = 40 << 20;

const CONFIG: &[u8] = b"{}";
const LAYER: &[u8] = b"layer";

/// How much memory of a process is its own.
fn memory(id: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{id}/status")).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
    let kib = line.expect("Linux tells").trim().trim_end_matches(" kB");
    kib.parse::<u64>().expect("it is a number") * 1024
}

async fn send(request: RequestBuilder) {
    let response = request.send().await.expect("it answers");
    assert_eq!(response.status(), 201);
    response.bytes().await.expect("it answers to the end");
}

/// Mounts one image into a repository, and pushes its manifest.
async fn push(client: &Client, url: &str, number: usize) {
    let name = format!("{url}/v2/team{}/app{number}", number % 10);
    for digest in [sha256(CONFIG), sha256(LAYER)] {
        let mount = format!("{name}/blobs/uploads/?mount={digest}&from=source");
        send(client.post(mount)).await;
    }
    let manifest = image(CONFIG, &[LAYER]).to_string();
    let put = client.put(format!("{name}/manifests/v1"));
    send(put.header(CONTENT_TYPE, OCI_MANIFEST).body(manifest)).await;
}

fn push_everywhere(url: &str) {
    let (client, next) = (Client::builder().no_proxy().build(), AtomicUsize::new(0));
    let (client, next) = (client.expect("a client can be made"), Arc::new(next));
    let runtime = tokio::runtime::Runtime::new().expect("it needs nothing from outside");
    runtime.block_on(async {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|_| {
                let (client, next, url) = (client.clone(), Arc::clone(&next), url.to_owned());
                tokio::spawn(async move {
                    loop {
                        let number = next.fetch_add(1, Ordering::Relaxed);
                        if number >= REPOSITORIES {
                            return;
                        }
                        push(&client, &url, number).await;
                    }
                })
            })
            .collect();
        for client in clients {
            client.await.expect("every push is answered");
        }
    });
}

#[test]
fn memory_does_not_grow_with_how_many_repositories_there_are() {
    let Some(()) = embedded_only("what is folded is the same over Kubo, where pushes take long")
    else {
        return;
    };
    let server = Server::start();
    let source = Repository::of(&server, "source");
    source.push_blob(CONFIG);
    source.push_blob(LAYER);
    source.push_manifest("v1", &image(CONFIG, &[LAYER]));
    // A block that nobody has makes the registry fold what it has.
    let fold = || {
        let cid = "bafkreibm6jg3ux5qumhcn2b3flc3tyu6dmlb4xa7u5bf44yegnrjhc4yeq";
        assert_eq!(http::get(&server.url(&format!("/ipfs/{cid}?format=raw"))).status, 404);
        assert_eq!(source.get(&format!("manifests/{NOBODYS}")).status, 404);
    };
    fold();
    let before = memory(server.id());

    push_everywhere(&server.url(""));
    fold();
    let grown = memory(server.id()).saturating_sub(before);
    assert!(grown < BOUND, "{grown} bytes more for {REPOSITORIES} repositories");

    let page = http::get(&server.url("/v2/_catalog?n=5&last=team5")).json();
    assert_eq!(page["repositories"].as_array().map(Vec::len), Some(5), "{page}");
}
