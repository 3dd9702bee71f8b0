//! Ctrl-C while a command takes long: what is unfinished goes, and the command says how to go on.

use std::fs::File;
use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::common::roadstead;

/// Starts a command that reads from a pipe; it waits, since nothing is ever written there.
fn start(command: &mut Command) -> Child {
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Sends SIGINT until the command has ended; returns its exit code and what it wrote to standard error.
fn interrupt(mut child: Child) -> (Option<i32>, String) {
    let begun = Instant::now();
    let pid = Pid::from_child(&child);
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        assert!(begun.elapsed() < Duration::from_mins(1), "it does not end");
        let _ = kill_process(pid, Signal::INT);
        std::thread::sleep(Duration::from_millis(50));
    };
    let mut text = String::new();
    child.stderr.take().unwrap().read_to_string(&mut text).unwrap();
    (status.code(), text)
}

/// Waits until the process has a handler for SIGINT.
fn wait_for_handler(child: &Child) {
    let begun = Instant::now();
    let file = format!("/proc/{}/status", child.id());
    loop {
        let mut text = String::new();
        File::open(&file).unwrap().read_to_string(&mut text).unwrap();
        let caught = text.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap();
        let caught = u64::from_str_radix(caught.trim(), 16).unwrap();
        if caught & (1 << (Signal::INT.as_raw() - 1)) != 0 {
            return;
        }
        assert!(begun.elapsed() < Duration::from_mins(1), "there is no handler");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn an_import_that_is_interrupted_says_how_to_go_on() {
    let folder = TempDir::new().unwrap();
    let data = folder.path().join("copy");
    let child = start(roadstead(["import", "-", "--data"]).arg(&data));
    wait_for_handler(&child);
    let (code, text) = interrupt(child);
    assert_eq!(code, Some(130), "{text}");
    assert!(
        text.contains("interrupted: ") && text.contains("run the same command again"),
        "{text}"
    );
}
