//! A terminal for commands that show more to somebody who watches.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::process::{Command, ExitStatus, Stdio};
use std::thread;
use std::time::Duration;

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use super::process::{LIMIT, wait_within};

/// Runs a command with both outputs on a terminal of 100 columns, and returns what was to be seen there.
/// It must succeed.
pub(crate) fn on_terminal(mut command: Command) -> String {
    command.stdin(Stdio::null());
    asked_on_terminal(command, &[])
}

/// The same of a command that asks: each answer is typed once its question is seen.
pub(crate) fn asked_on_terminal(mut command: Command, answers: &[(&str, &str)]) -> String {
    let (ours, theirs) = open();
    if !answers.is_empty() {
        command.stdin(theirs.try_clone().expect("a file can be cloned"));
    }
    let (status, seen) = watch(command, (ours, theirs), answers);
    assert!(status.success(), "{status:?}: {seen}");
    seen
}

/// The same with its input on the terminal in any case; and it must fail.
pub(crate) fn refused_on_terminal(mut command: Command, answers: &[(&str, &str)]) -> String {
    let (ours, theirs) = open();
    command.stdin(theirs.try_clone().expect("a file can be cloned"));
    let (status, seen) = watch(command, (ours, theirs), answers);
    assert!(!status.success(), "{seen}");
    seen
}

/// Runs a command with both outputs on a terminal, types the answers, and returns how it ended and what was to be seen.
fn watch(
    mut command: Command,
    (mut ours, theirs): (File, File),
    answers: &[(&str, &str)],
) -> (ExitStatus, String) {
    let other = theirs.try_clone().expect("a file can be cloned");
    command.stdout(other).stderr(theirs).env("TERM", "xterm");
    let mut child = command.spawn().expect("the command can be started");
    // Reading ends when nobody has the other side any more.
    drop(command);
    let answers: Vec<(String, String)> =
        answers.iter().map(|(question, it)| ((*question).to_owned(), (*it).to_owned())).collect();
    let reader = thread::spawn(move || {
        let (mut seen, mut buffer) = (Vec::new(), [0; 4096]);
        let mut answers = answers.into_iter().peekable();
        // A terminal that nobody has any more fails instead of ending.
        while let Ok(size @ 1..) = ours.read(&mut buffer) {
            seen.extend_from_slice(&buffer[..size]);
            let text = String::from_utf8_lossy(&seen).into_owned();
            if let Some((_, answer)) = answers.next_if(|(question, _)| text.contains(question)) {
                // The command may still be changing what the terminal shows.
                thread::sleep(Duration::from_millis(200));
                ours.write_all(answer.as_bytes()).expect("a terminal can be written to");
            }
        }
        String::from_utf8_lossy(&seen).into_owned()
    });
    let status = wait_within(&mut child, LIMIT);
    if status.is_none() {
        child.kill().expect("a child of ours can be killed");
        child.wait().expect("a child of ours can be waited for");
    }
    let seen = reader.join().expect("the reader does not panic");
    let Some(status) = status else { panic!("it does not end: {seen}") };
    (status, seen)
}

/// Opens both sides of a terminal: the one to watch, and the one to write to.
fn open() -> (File, File) {
    let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("the system has terminals");
    grantpt(&ours).and_then(|()| unlockpt(&ours)).expect("a terminal of ours can be used");
    let name = ptsname(&ours, Vec::new()).expect("a terminal has a name");
    let path = OsStr::from_bytes(name.to_bytes());
    let theirs = File::options().read(true).write(true).open(path);
    let theirs = theirs.expect("a terminal of ours can be opened");
    let size = Winsize { ws_row: 24, ws_col: 100, ws_xpixel: 0, ws_ypixel: 0 };
    tcsetwinsize(&theirs, size).expect("a terminal has a size");
    (ours.into(), theirs)
}
