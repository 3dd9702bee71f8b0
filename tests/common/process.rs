//! Commands with a time limit, and processes that end with their guard.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};

/// The limit of [`run`]: far more than any command of the tests needs, far less than CI's patience.
pub(super) const LIMIT: Duration = Duration::from_mins(3);

/// How long a process may take to end after SIGTERM before it is killed.
const GRACE: Duration = Duration::from_secs(90);

/// How much of a log is shown when a test fails.
const LAST_LINES: usize = 40;

const PAUSE: Duration = Duration::from_millis(10);

/// A command that came to its end, with all it said.
#[derive(Debug)]
pub(crate) struct Finished {
    /// The command as it was typed, for messages.
    pub(crate) command: String,
    /// The exit code; none when a signal ended it.
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Finished {
    pub(crate) fn succeeded(&self) -> bool {
        self.code == Some(0)
    }
}

impl fmt::Display for Finished {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { command, code, stdout, stderr } = self;
        write!(formatter, "{command}\nexit code: {code:?}\nstdout:\n{stdout}\nstderr:\n{stderr}")
    }
}

/// Runs a command to its end; panics when that takes more than three minutes.
pub(crate) fn run(command: &mut Command) -> Finished {
    run_within(LIMIT, command)
}

/// Runs a command to its end; past the limit it is killed, and the test fails with what it had said.
pub(crate) fn run_within(limit: Duration, command: &mut Command) -> Finished {
    let typed = typed(command);
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("cannot start `{typed}`: {error}"));
    let stdout = collect(child.stdout.take().expect("stdout was piped above"));
    let stderr = collect(child.stderr.take().expect("stderr was piped above"));
    let status = wait_within(&mut child, limit);
    if status.is_none() {
        child.kill().expect("a child of ours can be killed");
        child.wait().expect("a child of ours can be waited for");
    }
    let finished = Finished {
        command: typed,
        code: status.and_then(|status| status.code()),
        stdout: stdout.join().expect("the reader does not panic"),
        stderr: stderr.join().expect("the reader does not panic"),
    };
    assert!(status.is_some(), "took more than {limit:?}: {finished}");
    finished
}

/// Runs a command that must succeed; gives its standard output without the last newline.
pub(crate) fn succeed(command: &mut Command) -> String {
    let finished = run(command);
    assert!(finished.succeeded(), "failed: {finished}");
    finished.stdout.trim_end_matches('\n').to_owned()
}

/// A process in the background, ended by its id when this is dropped: SIGTERM, and SIGKILL when that
/// does not help. What it says goes to a log file.
pub(crate) struct Process {
    command: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts the command with both outputs appended to `log`.
    pub(crate) fn start(command: &mut Command, log: &Path) -> Self {
        let typed = typed(command);
        let out =
            File::options().create(true).append(true).open(log).expect("the log can be opened");
        let err = out.try_clone().expect("a file can be cloned");
        let child = command
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(err)
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start `{typed}`: {error}"));
        Self { command: typed, child, log: log.to_owned() }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it has said so far.
    pub(crate) fn log(&self) -> String {
        let bytes = std::fs::read(&self.log).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// How it ended, or none while it runs.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("a child of ours can be asked")
    }

    /// Waits until it has ended by itself; panics when that takes more than the limit of [`run`].
    pub(crate) fn wait(&mut self) -> ExitStatus {
        let start = Instant::now();
        loop {
            if let Some(status) = self.ended() {
                return status;
            }
            assert!(start.elapsed() < LIMIT, "`{}` goes on", self.command);
            thread::sleep(PAUSE);
        }
    }

    /// Waits until `ready` says so; panics when the process ends before that, or at the limit.
    pub(crate) fn wait_until(&mut self, limit: Duration, mut ready: impl FnMut() -> bool) {
        let start = Instant::now();
        while !ready() {
            if let Some(status) = self.ended() {
                panic!("`{}` ended early ({status})", self.command);
            }
            let waited = start.elapsed();
            assert!(waited < limit, "`{}` is not ready after {limit:?}", self.command);
            thread::sleep(PAUSE);
        }
    }

    /// Sends SIGTERM and waits; panics when it does not end within 90 seconds.
    pub(crate) fn stop(&mut self) -> ExitStatus {
        self.terminate().unwrap_or_else(|| {
            self.kill();
            panic!("`{}` did not end on SIGTERM", self.command)
        })
    }

    /// Sends SIGINT and waits; panics when it does not end within 90 seconds.
    pub(crate) fn interrupt(&mut self) -> ExitStatus {
        self.end_by(Signal::INT).unwrap_or_else(|| {
            self.kill();
            panic!("`{}` did not end on SIGINT", self.command)
        })
    }

    /// Ends it as `kill -9` does; does nothing when it has ended.
    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("a child of ours can be killed");
        self.child.wait().expect("a child of ours can be waited for");
    }

    /// Sends it a signal; it must still run.
    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("a child can be signalled");
    }

    /// Has it stand still; returns when none of its threads does anything any more.
    pub(crate) fn pause(&self) {
        self.signal(Signal::STOP);
        let process = WaitId::Pid(Pid::from_child(&self.child));
        let stopped = waitid(process, WaitIdOptions::STOPPED | WaitIdOptions::NOWAIT);
        assert!(stopped.expect("a child of ours can be waited for").is_some());
    }

    fn terminate(&mut self) -> Option<ExitStatus> {
        self.end_by(Signal::TERM)
    }

    fn end_by(&mut self, signal: Signal) -> Option<ExitStatus> {
        if let Some(status) = self.ended() {
            return Some(status);
        }
        // Not yet waited for, so the id is still this child's and nobody else's.
        kill_process(Pid::from_child(&self.child), signal).expect("a child can be signalled");
        wait_within(&mut self.child, GRACE)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if thread::panicking() {
            let log = self.log();
            let lines: Vec<&str> = log.lines().collect();
            let last = &lines[lines.len().saturating_sub(LAST_LINES)..];
            eprintln!("--- the last lines of `{}`:\n{}", self.command, last.join("\n"));
        }
        if self.terminate().is_none() {
            self.kill();
        }
    }
}

fn typed(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

/// Reads a pipe to its end beside the command, which would stop at a full one.
fn collect(mut pipe: impl Read + Send + 'static) -> JoinHandle<String> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        // A pipe that breaks ends the text; the exit code tells what happened.
        let _ = pipe.read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

pub(super) fn wait_within(child: &mut Child, limit: Duration) -> Option<ExitStatus> {
    let start = Instant::now();
    loop {
        let status = child.try_wait().expect("a child of ours can be asked");
        if status.is_some() || start.elapsed() > limit {
            return status;
        }
        thread::sleep(PAUSE);
    }
}
