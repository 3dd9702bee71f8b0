//! Commands that a running server carries out: they reach it by a socket in its data folder.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tempfile::TempDir;

use crate::common::content::sha256;
use crate::common::repository::Repository;
use crate::common::{Server, run, succeed};

const SOCKET: &str = "command.sock";

/// Begins to purge something that is not there.
fn begin_purge(server: &Server) -> Child {
    let mut command = server.command(["purge"]);
    command.arg(format!("team/app@{}", sha256(b"never pushed")));
    command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
}

fn end(child: Child) -> (Option<i32>, String) {
    let output = child.wait_with_output().unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn the_socket_is_its_users_alone_and_one_of_a_killed_server_is_replaced() {
    let mut server = Server::start();
    let socket = server.data().join(SOCKET);
    let assert_served = |server: &Server| {
        let upload = Repository::of(server, "team/app").begin();
        assert_eq!(upload.stream(b"first").status, 202);
        let cleared = succeed(&mut server.command(["uploads", "clear"]));
        assert!(cleared.starts_with("1 upload, "), "{cleared}");
        assert_eq!(upload.stream(b"more").status, 404);
        let file = fs::symlink_metadata(server.data().join(SOCKET)).unwrap();
        assert!(file.file_type().is_socket());
        assert_eq!(file.mode() & 0o7777, 0o600);
    };
    assert_served(&server);
    server.kill();
    assert!(socket.exists(), "it is left");
    server.start_again();
    assert_served(&server);
    server.stop();
    assert!(!socket.exists(), "a server that stops takes it away");
}

#[test]
fn a_server_in_a_folder_with_a_long_path_takes_commands() {
    let above = TempDir::new().unwrap();
    let data = above.path().join("a-long-name-".repeat(15));
    let server = Server::start_on(&data);
    let manifest = Repository::of(&server, "team/app").push_image("v1", "word").manifest;
    let mut purge = server.command(["purge"]);
    let purged = run(purge.arg(format!("team/app@{}", sha256(&manifest))));
    assert!(purged.succeeded(), "{purged}");
}

#[test]
fn clients_that_stall_on_the_socket_hold_neither_the_server_nor_other_commands() {
    let server = Server::start();
    let stalled: Vec<UnixStream> =
        (0..20).map(|_| UnixStream::connect(server.data().join(SOCKET)).unwrap()).collect();
    Repository::of(&server, "team/app").push_image("v1", "word");
    let cleared = succeed(&mut server.command(["uploads", "clear"]));
    assert!(cleared.starts_with("0 uploads, "), "{cleared}");
    let purged = end(begin_purge(&server));
    assert_eq!(purged.0, Some(1), "{purged:?}");
    assert!(purged.1.contains("no content with that digest"), "{purged:?}");
    drop(stalled);
}

#[test]
fn a_server_that_ends_in_the_middle_of_a_command_is_reported() {
    let mut server = Server::start();
    server.stop();
    let lock = File::open(server.data().join("lock")).unwrap();
    lock.lock().unwrap();
    let listener = UnixListener::bind(server.data().join(SOCKET)).unwrap();
    let child = begin_purge(&server);
    let (stream, _) = listener.accept().unwrap();
    let mut command = String::new();
    BufReader::new(&stream).read_line(&mut command).unwrap();
    assert!(command.contains("purge") && command.ends_with('\n'), "{command}");
    drop(stream);
    let (code, text) = end(child);
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("ended before it answered"), "{text}");
}

#[test]
fn a_command_ends_when_the_server_is_killed() {
    let mut server = Server::start();
    // It takes no command any more, and its socket still takes connections.
    server.signal(Signal::STOP);
    let begun = Instant::now();
    let child = begin_purge(&server);
    // Long enough to connect in most runs; the outcome is the same where it was not.
    std::thread::sleep(Duration::from_secs(1));
    server.kill();
    let (code, text) = end(child);
    assert_eq!(code, Some(1), "{text}");
    assert!(begun.elapsed() < Duration::from_mins(1), "it waits for what does not come");
}

#[test]
fn a_command_says_that_nothing_takes_it() {
    let mut server = Server::start();
    server.stop();
    // As a server of an earlier version, or another command, has the folder.
    let lock = File::open(server.data().join("lock")).unwrap();
    lock.lock().unwrap();
    let (code, text) = end(begin_purge(&server));
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("another version"), "{text}");
}
