//! Bars: there for somebody who watches, and for nobody else.

use std::fs;
use std::process::Command;

use tempfile::TempDir;

use crate::cli::push;
use crate::common::{Server, on_terminal, roadstead, run};

/// Checks that the command shows a bar with each of the words, and takes it away before it prints.
fn assert_bar(command: Command, words: &[&str]) {
    let seen = on_terminal(command);
    for word in words {
        assert!(seen.contains(word), "`{word}` is not in {seen:?}");
    }
    let lines: Vec<&str> = seen.split_inclusive("\r\n").collect();
    // What clears a line stands before what is printed there.
    let printed = lines.first().and_then(|line| line.rsplit("\u{1b}[2K").next()).unwrap_or(&seen);
    for word in words {
        assert!(!printed.contains(word), "{seen:?}");
    }
    assert!(printed.ends_with("\r\n") && printed.len() > 10, "{seen:?}");
}

/// Checks that a command says not more than its result when nobody watches.
fn assert_no_bar(command: &mut Command) {
    let finished = run(command);
    assert!(finished.succeeded(), "{finished}");
    assert_eq!(finished.stderr, "", "{finished}");
    assert!(!finished.stdout.contains('\u{1b}'), "{finished}");
}

#[test]
fn what_takes_long_shows_how_far_it_is_on_a_terminal_only() {
    let mut server = Server::start();
    push::image(&server, "team/app", "v1", "layer");
    server.stop();
    for (words, command) in [
        (&["reading blobs", "comparing repositories", "computing the root"][..], &["check"][..]),
        (&["reading blobs", "checking repositories"], &["index", "rebuild"]),
        (&["computing the root"], &["root"]),
    ] {
        assert_bar(server.command(command), words);
        assert_no_bar(&mut server.command(command));
    }
}

#[test]
fn a_cid_shows_how_much_of_its_bytes_was_read() {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("file"), vec![0; 3 << 20]).unwrap();
    fs::write(folder.path().join(".hidden"), "does not count").unwrap();
    let command = || {
        let mut command = roadstead(["cid"]);
        command.arg(folder.path());
        command
    };
    assert_bar(command(), &["reading", "/3.00 MiB"]);
    assert_no_bar(&mut command());
}

#[test]
fn an_adoption_shows_how_many_blobs_are_taken_in() {
    let mut server = Server::start_embedded();
    push::image(&server, "team/app", "v1", "layer");
    server.stop();
    let home = TempDir::new().unwrap();
    let command = |data: &str| {
        let mut command = roadstead(["adopt"]);
        command.arg(server.data().join("public")).arg("--data").arg(home.path().join(data));
        command
    };
    assert_bar(command("seen"), &["taking in blobs", "computing the root"]);
    assert_no_bar(&mut command("unseen"));
}

#[test]
fn nothing_stands_beside_json() {
    let server = Server::start();
    let seen = on_terminal(server.command(["check", "--json"]));
    serde_json::from_str::<serde_json::Value>(&seen)
        .unwrap_or_else(|error| panic!("{error}: {seen:?}"));
}
