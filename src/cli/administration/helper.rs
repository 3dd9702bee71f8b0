//! Credential helpers: programs that keep credentials for docker (`docker-credential-NAME`).

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read, Write};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::json;

use crate::client::Credentials;

/// What a helper says of a registry that it knows nothing of.
const ABSENT: &str = "credentials not found";

/// How long a helper may take: some have their user type a passphrase.
const LIMIT: Duration = Duration::from_mins(2);

/// How long the rest of an answer may take once the helper has ended: a process that it started may have its output open.
const REST: Duration = Duration::from_secs(1);

/// The longest answer that is read.
const LONGEST: u64 = 1 << 20;

/// A credential helper.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Helper(String);

impl Helper {
    /// Takes the name that docker's settings have.
    pub(super) fn new(name: &str) -> anyhow::Result<Self> {
        let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        if name.is_empty() || !name.bytes().all(is_part) {
            bail!(
                "cannot use the credential helper {name:?}: its name is malformed; correct docker's config.json"
            );
        }
        Ok(Self(format!("docker-credential-{name}")))
    }

    /// Returns the credentials of a registry, if it has some.
    pub(super) fn get(&self, registry: &str) -> anyhow::Result<Option<Credentials>> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Found {
            username: String,
            secret: String,
        }

        let Some(answer) = self.run("get", registry)? else { return Ok(None) };
        let found: Found = serde_json::from_slice(answer.expose_secret().as_bytes())
            .with_context(|| format!("cannot read what `{}` answers", self.0))?;
        Ok(Some(Credentials { user: found.username, password: found.secret.into() }))
    }

    /// Has it keep the credentials of a registry.
    pub(super) fn store(&self, registry: &str, credentials: &Credentials) -> anyhow::Result<()> {
        let Credentials { user, password } = credentials;
        let entry =
            json!({ "ServerURL": registry, "Username": user, "Secret": password.expose_secret() });
        self.run("store", &entry.to_string()).map(drop)
    }

    /// Has it forget the credentials of a registry, if it has some.
    pub(super) fn erase(&self, registry: &str) -> anyhow::Result<()> {
        self.run("erase", registry).map(drop)
    }

    /// Lists the registries of which it has credentials.
    pub(super) fn list(&self) -> anyhow::Result<Vec<String>> {
        let Some(answer) = self.run("list", "")? else { return Ok(Vec::new()) };
        let found: BTreeMap<String, String> = serde_json::from_str(answer.expose_secret())
            .with_context(|| format!("cannot read what `{}` answers", self.0))?;
        Ok(found.into_keys().collect())
    }

    /// Runs it. Nothing is returned where it knows nothing of the registry.
    fn run(&self, act: &str, input: &str) -> anyhow::Result<Option<SecretString>> {
        let failed = || format!("cannot {act} credentials by `{}`", self.0);
        let mut command = Command::new(&self.0);
        command.arg(act).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().with_context(failed)?;
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
        let input = SecretString::from(input);
        // Beside the process, which would stop at a full pipe, and may not read. What it writes to standard error is shown as
        // it comes.
        let writer = thread::spawn(move || match stdin {
            Some(mut stdin) => stdin.write_all(input.expose_secret().as_bytes()),
            None => Ok(()),
        });
        let (sender, receiver) = mpsc::channel();
        thread::spawn(move || {
            let mut text = String::new();
            let read = stdout.map(|it| it.take(LONGEST).read_to_string(&mut text)).transpose();
            // Nobody waits for what comes too late.
            let _ = sender.send(read.map(|_| text));
        });
        let Some(status) = wait(&mut child).with_context(failed)? else {
            bail!("{}: it does not answer for {} s", failed(), LIMIT.as_secs());
        };
        let text = receiver.recv_timeout(REST);
        let text = text.context("its output stays open").with_context(failed)?;
        let text = text.with_context(failed)?;
        if status.success() {
            // One that has answered need not have read all.
            if writer.is_finished()
                && let Ok(Err(error)) = writer.join()
                && error.kind() != ErrorKind::BrokenPipe
            {
                return Err(error).with_context(failed);
            }
            return Ok(Some(text.into()));
        }
        // Helpers write why to standard output.
        if text.contains(ABSENT) {
            return Ok(None);
        }
        bail!("{}: {}", failed(), text.trim());
    }
}

/// Waits until a process has ended; ends it where it takes too long, and returns nothing then.
fn wait(child: &mut Child) -> std::io::Result<Option<ExitStatus>> {
    let begun = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if begun.elapsed() > LIMIT {
            child.kill()?;
            child.wait()?;
            return Ok(None);
        }
        thread::sleep(Duration::from_millis(5));
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    /// Writes a program. Not this process does it: another test that starts one would have the file open as well.
    fn write(path: &Path, script: &str) {
        let mut shell = Command::new("sh");
        shell.args(["-c", "printf '%s\\n' '#!/bin/sh' \"$1\" >\"$0\" && chmod 755 \"$0\""]);
        assert!(shell.arg(path).arg(script).status().unwrap().success());
    }

    /// A program that ends, while one that it has started does not.
    #[test]
    fn a_helper_whose_output_stays_open_is_not_waited_for() {
        let folder = tempfile::TempDir::new().unwrap();
        let path = folder.path().join("helper");
        write(&path, "sleep 5 &\necho done");
        let helper = Helper(path.display().to_string());
        let error = format!("{:#}", helper.run("get", &"x".repeat(1 << 20)).unwrap_err());
        assert!(error.contains("its output stays open"), "{error}");
        // One that reads nothing of what is more than a pipe takes.
        write(&path, "echo done");
        let answer = helper.run("store", &"x".repeat(1 << 20)).unwrap().unwrap();
        assert_eq!(answer.expose_secret(), "done\n");
    }
}
