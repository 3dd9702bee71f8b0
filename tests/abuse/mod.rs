//! Clients that mean harm: what they send is refused or bounded, and a good client does not notice.

mod browsers;
mod forwarded;
mod heads;
mod http1;
mod http2;
mod log;
mod manifests;
mod metrics;
mod peer;
mod signing_in;
mod slow_readers;
mod zones;

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::common::Server;

/// Has a server know anna, whose password is `secret`.
fn with_anna(command: &mut Command) {
    let folder = command.get_current_dir().unwrap_or(Path::new(".")).to_owned();
    let file = folder.join("htpasswd");
    let hash = bcrypt::hash("secret", 4).expect("4 is a cost");
    fs::write(&file, format!("anna:{hash}\n")).expect("the folder is there");
    command.env("ROADSTEAD_AUTH__METHOD", "htpasswd").env("ROADSTEAD_AUTH__HTPASSWD__FILE", file);
}

/// How many files and connections a server has open.
fn descriptors(server: &Server) -> usize {
    fs::read_dir(format!("/proc/{}/fd", server.id())).expect("it runs").count()
}

/// How many bytes of memory a server has.
fn memory(server: &Server) -> usize {
    let status = fs::read_to_string(format!("/proc/{}/status", server.id())).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("it has memory");
    let kib = line.trim().trim_end_matches(" kB").parse::<usize>().expect("it is a number");
    kib * 1024
}

/// What a metric says, of the series that begins so.
fn metric(server: &Server, series: &str) -> u64 {
    let text = crate::common::http::get(&server.url("/metrics")).text();
    let value = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    value.map_or(0, |value| value.parse().expect("it is a number"))
}
