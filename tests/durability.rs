//! What is on the disk before a client is told so: the server's system calls, in their order.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use crate::common::{Process, Server, http, require};
use roadstead::oci::{Algorithm, Digest};

const CALLS: &str = "fsync,fdatasync,syncfs,link,linkat,rename,renameat,renameat2,write,writev,sendto,sendmsg,pwrite64";

/// Lets strace loose on a server, and waits until it sees all that the server does.
fn trace(server: &Server, what: &str) -> Option<Process> {
    let strace = require("strace")?;
    let log = log(server);
    let mut command = Command::new(strace);
    command.args(["-f", "-y", "-s", "200", "-e", what, "-p"]).arg(server.id().to_string());
    let mut tracer = Process::start(&mut command, &log);
    let tracing = std::fs::read_dir(format!("/proc/{}/task", server.id())).unwrap().count();
    tracer.wait_until(Duration::from_secs(30), || {
        let text = std::fs::read_to_string(&log).unwrap_or_default();
        text.matches(" attached").count() >= 1 && text.contains(&format!("with {tracing} threads"))
            || text.matches(" attached").count() >= tracing
    });
    Some(tracer)
}

fn log(server: &Server) -> PathBuf {
    server.data().join("../strace.log")
}

/// Runs requests against a server and returns its system calls, one a line, in their order.
fn calls(requests: impl FnOnce(&Server)) -> Option<Vec<String>> {
    let mut server = Server::start();
    let log = log(&server);
    let mut tracer = trace(&server, &format!("trace={CALLS}"))?;
    requests(&server);
    server.stop();
    tracer.wait_until(Duration::from_secs(30), || {
        std::fs::read_to_string(&log).unwrap_or_default().contains("+++ exited with 0 +++")
    });
    let text = std::fs::read_to_string(&log).unwrap();
    Some(text.lines().map(str::to_owned).collect())
}

/// Finds lines that have all the words of each step, each step after the one before.
fn assert_order(calls: &[String], steps: &[&[&str]]) {
    let mut rest = calls.iter();
    for step in steps {
        let found = rest.any(|call| step.iter().all(|word| call.contains(word)));
        assert!(found, "{step:?} is not in its place:\n{}", calls.join("\n"));
    }
}

#[test]
fn a_blob_is_on_the_disk_before_it_is_acknowledged() {
    let bytes = b"a layer".to_vec();
    let digest = Digest::of(Algorithm::Sha256, &bytes);
    let Some(calls) = calls(|server| {
        let url = server.url(&format!("/v2/team/app/blobs/uploads/?digest={digest}"));
        assert_eq!(http::send(|client| client.post(&url).body(bytes)).status, 201);
    }) else {
        return;
    };
    let hex = digest.hex();
    let folder = format!("content/sha256/{}>", &hex[..2]);
    assert_order(
        &calls,
        &[
            &["fsync(", "/tmp/uploads/"],
            &["link", "/proc/self/fd/", &hex],
            &["fsync(", &folder],
            &["sync(", "index.sqlite-wal"],
            &["HTTP/1.1 201 Created"],
        ],
    );
}

/// The system tells of what it could not write once; the next sync of the same bytes succeeds.
#[test]
fn bytes_that_could_not_be_synced_are_not_believed_later() {
    let bytes = b"a layer".to_vec();
    let digest = Digest::of(Algorithm::Sha256, &bytes);
    let server = Server::start();
    let begun = http::send(|client| client.post(server.url("/v2/team/app/blobs/uploads/")));
    let upload = server.url(begun.header("location"));
    let received = http::send(|client| client.patch(&upload).body(bytes.clone()));
    assert_eq!(received.status, 202, "{}", received.text());
    let finish = || http::send(|client| client.put(format!("{upload}?digest={digest}")));

    let Some(tracer) = trace(&server, "inject=fsync:error=EIO") else { return };
    let failed = finish();
    assert_eq!(failed.status, 500, "{}", failed.text());
    drop(tracer);
    let again = finish();
    assert_eq!(again.status, 404, "{}", again.text());
    let blob = server.url(&format!("/v2/team/app/blobs/{digest}"));
    assert_eq!(http::get(&blob).status, 404);

    let url = server.url(&format!("/v2/team/app/blobs/uploads/?digest={digest}"));
    assert_eq!(http::send(|client| client.post(&url).body(bytes.clone())).status, 201);
    assert_eq!(http::get(&blob).body, bytes);
}

#[test]
fn the_queue_is_on_the_disk_before_the_tree_changes_and_the_rows_before_the_answer() {
    let config = b"{}".to_vec();
    let digest = Digest::of(Algorithm::Sha256, &config);
    let manifest = format!(
        r#"{{"schemaVersion":2,"config":{{"mediaType":"application/json","digest":"{digest}","size":2}},"layers":[]}}"#
    );
    let Some(calls) = calls(|server| {
        let url = server.url(&format!("/v2/team/app/blobs/uploads/?digest={digest}"));
        assert_eq!(http::send(|client| client.post(&url).body(config)).status, 201);
        let url = server.url("/v2/team/app/manifests/v1");
        assert_eq!(http::send(|client| client.put(&url).body(manifest)).status, 201);
    }) else {
        return;
    };
    assert_order(
        &calls,
        &[
            &["HTTP/1.1 201 Created"],
            // The manifest is content, then an entry of the queue, then has edits that are final.
            &["fsync(", "/tmp/uploads/"],
            &["sync(", "index.sqlite-wal"],
            &["sync(", "index.sqlite-wal"],
            // Content stands in the tree before what leads to it.
            &["link", "/public/docker/registry/v2/blobs/sha256/", "/data"],
            &["rename", "/_layers/sha256/"],
            &["rename", "/_manifests/revisions/sha256/"],
            &["rename", "/_manifests/tags/v1/current/link"],
            &["sync(", "index.sqlite-wal"],
            &["HTTP/1.1 201 Created"],
            // Entries go from the queue only when the tree is on the disk; here at the end.
            &["syncfs("],
            &["sync(", "index.sqlite-wal"],
        ],
    );
}
