//! A thousand pulls at once, by clients that take their time.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::time::Duration;

use rustix::net::sockopt::set_socket_recv_buffer_size;

use crate::common::Server;
use crate::common::content::{MIB, noise, sha256};
use crate::common::repository::{Repository, wait};
use crate::faults::crowd::raise_limit;
use crate::faults::rude::connections;

/// How many there are.
const PULLS: usize = 1000;

/// The size of the blob that each of them pulls: 64 GB in all.
const SIZE: usize = 64 * MIB;

/// How much a client takes at a time, and how often before the memory is looked at.
const TAKEN: usize = 48 * 1024;
const TIMES: usize = 12;

/// What the server may use beside the transfers, in KiB.
const REST: u64 = 64 * 1024;

/// What each transfer may cost, in KiB: the connection's own buffer and the pieces that are read for it, which are small while
/// there are so many, with as much again for what an allocator does not give back. Not the 64 MiB of the blob.
const EACH: u64 = 160;

fn connect(server: &Server, path: &str) -> TcpStream {
    let mut stream = TcpStream::connect(server.address()).expect("the server listens");
    set_socket_recv_buffer_size(&stream, 32 * 1024).expect("a socket's buffer can be small");
    stream.set_read_timeout(Some(Duration::from_mins(1))).expect("it is not zero");
    let head = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).expect("the server reads");
    stream
}

/// Reads the head of an answer.
fn head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).expect("the server answers");
        head.push(byte[0]);
    }
    String::from_utf8(head).expect("a head is ASCII here")
}

/// The most memory that the server has used so far, in KiB.
fn peak(server: &Server) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", server.id())).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("Linux tells");
    line.trim().trim_end_matches(" kB").parse().expect("it is a number")
}

/// How often the server has the blob's file open.
fn open_files(server: &Server, hex: &str) -> usize {
    let folder = fs::read_dir(format!("/proc/{}/fd", server.id())).expect("it runs");
    let links = folder.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
    links.filter(|link: &PathBuf| link.ends_with(hex)).count()
}

#[test]
fn a_thousand_slow_pulls_at_once_are_served_in_bounded_memory() {
    raise_limit();
    let server = Server::start();
    let repository = Repository::of(&server, "team/app");
    let content = noise(SIZE, 7);
    let digest = repository.push_blob(&content);
    let hex = digest.trim_start_matches("sha256:");

    let path = repository.path(&format!("blobs/{digest}"));
    let mut pulls: Vec<TcpStream> = (0..PULLS).map(|_| connect(&server, &path)).collect();
    for pull in &mut pulls {
        let head = head(pull);
        let log = server.log();
        let why = log.lines().find(|line| line.contains("\"cause") || line.contains("\"WARN\""));
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}{why:?}");
    }
    let mut taken = vec![0; TAKEN];
    for time in 0..TIMES {
        for pull in &mut pulls {
            pull.read_exact(&mut taken).expect("the pull goes on");
            assert!(taken == content[time * TAKEN..][..TAKEN], "other bytes came");
        }
    }
    if server.pair().is_none() {
        assert!(open_files(&server, hex) > PULLS / 2, "they are under way at the same time");
    }
    let peak = peak(&server);
    assert!(peak <= REST + PULLS as u64 * EACH, "{peak} KiB of memory");

    // One of them to its end, among all others.
    let mut rest = Vec::new();
    let mut last = pulls.pop().expect("there are many");
    last.read_to_end(&mut rest).expect("the pull goes on");
    assert!(rest == content[TIMES * TAKEN..]);
    assert_eq!(
        sha256(&repository.get(&format!("blobs/{digest}")).body),
        digest,
        "new ones come through"
    );
    drop((pulls, last));
    wait(|| open_files(&server, hex) == 0, "files of those who are gone stay open");
    wait(|| connections(&server) == 0, "connections of those who are gone stay open");
}
