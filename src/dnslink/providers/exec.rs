//! `exec`: a program of the operator, for every other way to write records.
//!
//! It is started without a shell, in a group of its own, with the change as JSON on its standard input and as
//! variables of its environment, and without the settings of this process, some of which are secrets. Its exit
//! codes are documented in docs/PUBLISHING.md.

use std::io;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use rustix::process::{Pid, Signal, kill_process_group};
use serde::Serialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStderr, Command};
use tokio::time::timeout;

use super::super::{Change, Provider, PublishError, PublishErrorKind};
use crate::config::{ExecSettings, PublishSettings};

/// The exit code of a program that found a foreign link.
const CONFLICT: i32 = 3;
/// The exit code of a program whose key or token is not accepted.
const REFUSED: i32 = 4;

/// How much of the output of a program is retained: the end of it.
const MAX_STDERR: usize = 8 * 1024;

/// How many of `ours` are in the environment, the newest: one variable has to stay below 128 KiB.
const OURS: usize = 100;

/// How long its output is waited for after it has ended, since its children may go on.
const DRAIN_TIME: Duration = Duration::from_secs(1);

struct Exec(ExecSettings);

/// Makes the provider.
#[expect(clippy::unnecessary_wraps, reason = "the table has one form for all")]
pub(super) fn open(settings: &PublishSettings) -> Result<Arc<dyn Provider>, PublishError> {
    Ok(Arc::new(Exec(settings.exec.clone())))
}

/// The standard input of the program, as JSON.
#[derive(Serialize)]
struct ChangeInput<'a> {
    domain: &'a str,
    name: &'a str,
    #[serde(rename = "wanted")]
    expected: &'a [String],
    ours: &'a [String],
    ttl: u64,
    force: bool,
}

#[async_trait]
impl Provider for Exec {
    async fn write(&self, change: &Change) -> Result<(), PublishError> {
        let Some((program, arguments)) = self.0.command.split_first() else {
            return Err(PublishError::new(PublishErrorKind::Failed, "no program to run"));
        };
        let failed = |error: io::Error| {
            let context = format!("cannot run {program}");
            PublishError::wrap(PublishErrorKind::Failed, context, error)
        };
        let mut command = Command::new(program);
        command.args(arguments);
        let text = set_input(change, &mut command)?;
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).process_group(0);
        let mut group = Group(command.spawn().map_err(failed)?);
        let Ok(ended) = timeout(self.0.timeout, group.run(&text)).await else {
            let context = format!("{program} took longer than {} s", self.0.timeout.as_secs());
            return Err(PublishError::new(PublishErrorKind::Unavailable, context));
        };
        let (status, output) = ended.map_err(failed)?;
        outcome(program, status, &output)
    }

    async fn check(&self, _: &Change) -> Result<(), PublishError> {
        // Only the program knows, and it has no mode that changes nothing.
        Ok(())
    }

    fn compares(&self) -> bool {
        false
    }
}

/// Puts the change into the environment, and returns it as JSON.
fn set_input(change: &Change, command: &mut Command) -> Result<Vec<u8>, PublishError> {
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("ROADSTEAD_") {
            command.env_remove(name);
        }
    }
    let (name, ttl) = (change.name(), change.ttl.as_secs());
    let newest = &change.ours[change.ours.len().saturating_sub(OURS)..];
    command
        .env("ROADSTEAD_PUBLISH_DOMAIN", change.domain.as_str())
        .env("ROADSTEAD_PUBLISH_NAME", &name)
        .env("ROADSTEAD_PUBLISH_WANTED", change.expected.join("\n"))
        .env("ROADSTEAD_PUBLISH_OURS", newest.join("\n"))
        .env("ROADSTEAD_PUBLISH_TTL", ttl.to_string())
        .env("ROADSTEAD_PUBLISH_FORCE", if change.force { "1" } else { "0" });
    let input = ChangeInput {
        domain: change.domain.as_str(),
        name: &name,
        expected: &change.expected,
        ours: &change.ours,
        ttl,
        force: change.force,
    };
    serde_json::to_vec(&input).map_err(|error| {
        PublishError::wrap(PublishErrorKind::Failed, "cannot encode the change", error)
    })
}

fn outcome(program: &str, status: ExitStatus, output: &str) -> Result<(), PublishError> {
    if status.success() {
        return Ok(());
    }
    let kind = match status.code() {
        Some(CONFLICT) => PublishErrorKind::Conflict,
        Some(REFUSED) => PublishErrorKind::Refused,
        _ => PublishErrorKind::Failed,
    };
    let last = output.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("no output");
    Err(PublishError::new(kind, format!("{program} ended with {status}: {}", last.trim())))
}

/// A program and all that it starts. Dropped before it has ended, all of them are killed.
struct Group(Child);

impl Group {
    /// Runs it to its end; returns its exit status, and the end of its output.
    async fn run(&mut self, text: &[u8]) -> io::Result<(ExitStatus, String)> {
        let (stdin, stderr) = (self.0.stdin.take(), self.0.stderr.take());
        let writing = async {
            if let Some(mut stdin) = stdin {
                // It need not read it.
                let _ = stdin.write_all(text).await;
            }
        };
        let mut output = Vec::new();
        let status = {
            let mut reading = std::pin::pin!(read_stderr(stderr, &mut output));
            let ended = async { tokio::join!(writing, self.0.wait()).1 };
            let mut ended = std::pin::pin!(ended);
            tokio::select! {
                status = &mut ended => {
                    let _: Result<(), _> = timeout(DRAIN_TIME, reading).await;
                    status?
                }
                () = &mut reading => ended.await?,
            }
        };
        Ok((status, String::from_utf8_lossy(&output).into_owned()))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // Not reaped yet, so its id is still valid, and that of its group.
        if let Some(id) = self.0.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw)
        {
            let _ = kill_process_group(id, Signal::KILL);
        }
    }
}

/// Reads to the end, and retains the last bytes.
async fn read_stderr(stderr: Option<ChildStderr>, output: &mut Vec<u8>) {
    let Some(mut stderr) = stderr else { return };
    let mut piece = [0; 1024];
    while let Ok(length @ 1..) = stderr.read(&mut piece).await {
        output.extend_from_slice(&piece[..length]);
        if output.len() > MAX_STDERR {
            output.drain(..output.len() - MAX_STDERR);
        }
    }
}
