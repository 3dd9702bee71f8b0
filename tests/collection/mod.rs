//! Garbage collection: what goes, what stays, and what clients notice of it.

mod commands;
mod full_disk;
mod load;
mod pulls;
mod retention;

use std::env;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::common::{Server, succeed};

/// An image that was acknowledged.
pub(crate) struct Acknowledged {
    pub(crate) repository: String,
    pub(crate) tag: String,
    pub(crate) manifest: Vec<u8>,
    pub(crate) blobs: Vec<Vec<u8>>,
}

/// For how long clients push: so many seconds, longer in `scripts/soak`.
pub(crate) fn duration(seconds: u64) -> Duration {
    let longer = env::var("COLLECTION_SECONDS").ok().and_then(|text| text.parse().ok());
    Duration::from_secs(longer.unwrap_or(seconds))
}

/// Starts a server in which nothing stays for long that nothing names, and that collects only when it is told to.
fn start(grace: &'static str) -> Server {
    Server::start_with(move |command| configure(command, grace))
}

fn configure(command: &mut Command, grace: &str) {
    command
        .env("ROADSTEAD_GC__GRACE", grace)
        .env("ROADSTEAD_GC__INTERVAL", "0")
        .env("ROADSTEAD_GATEWAY__ROOT_GRACE", "1ms");
}

/// A command that collects: beside the server, whose settings count, or without one.
fn gc(server: &Server, arguments: &[&str]) -> Command {
    let mut command = server.command(["gc"].iter().chain(arguments));
    configure(&mut command, "1ms");
    command
}

/// Collects, and returns what that came to.
fn collect(server: &Server) -> Value {
    let mut command = gc(server, &["--now", "--json"]);
    serde_json::from_str(&succeed(&mut command)).expect("it is JSON")
}

/// Collects until there is nothing left to take.
fn collect_all(server: &Server) -> Value {
    let mut last = collect(server);
    for _ in 0..200 {
        let is_rest = |name: &str| last[name] == 0 || last[name]["count"] == 0;
        let kept = last["retained"].as_array().into_iter().flatten();
        // A mount that fails begins an upload, which its client may come back to.
        let is_left = kept.filter(|kept| kept["reason"] != "uploads").count() > 0;
        if !is_left && ["links", "blobs", "manifests", "leaks"].iter().all(|name| is_rest(name)) {
            return last;
        }
        std::thread::sleep(std::time::Duration::from_millis(100));
        last = collect(server);
    }
    panic!("there is always something left: {last}");
}
