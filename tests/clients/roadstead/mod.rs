//! The commands for images, against Roadstead and the stock registry: what is pushed comes back byte for byte.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

mod archives;
mod breaks;
mod completion;
mod daemon;
mod deletion;
mod errors;
mod helper;
mod hostile;
mod kinds;
mod made;
mod moving;
mod registries;
mod undeletion;
mod unusual;

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::cli::registries::with_password;
use crate::clients::home::Home;
use crate::clients::target::Target;
use crate::common::{Finished, roadstead, run, succeed};

/// The commands of a user, who has signed in where the registry wants that.
pub(crate) struct Roadstead {
    program: PathBuf,
    pub(crate) home: Home,
}

impl Roadstead {
    pub(crate) fn of(target: &Target) -> Self {
        let program = roadstead([""; 0]).get_program().into();
        let client = Self { program, home: Home::trusting(target) };
        if let Some(user) = target.user() {
            let mut login = client.command(&["login", &target.url("")]);
            login.args(["-u", user.name, "--password-stdin"]);
            let mut login = with_password(user.password, &login);
            succeed(login.current_dir(client.home.path()));
        }
        client
    }

    /// Runs a command that must succeed; gives what it printed.
    pub(crate) fn say(&self, words: &[&str]) -> String {
        succeed(&mut self.command(words))
    }

    /// The same of a command that prints JSON.
    pub(crate) fn json(&self, words: &[&str]) -> Value {
        let text = succeed(self.command(words).arg("--json"));
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
    }

    /// Runs a command.
    pub(crate) fn run(&self, words: &[&str]) -> Finished {
        run(&mut self.command(words))
    }

    pub(crate) fn command(&self, words: &[&str]) -> Command {
        let mut command = self.home.command(&self.program);
        command.args(words);
        command
    }
}

/// `oci:<folder>`.
fn oci(folder: &Path) -> String {
    format!("oci:{}", folder.display())
}

/// Panics unless the command failed by that exit code and said each of these.
fn expect(finished: &Finished, code: i32, texts: &[&str]) {
    assert_eq!(finished.code, Some(code), "{finished}");
    for text in texts {
        assert!(finished.stderr.contains(text), "no {text:?} in {finished}");
    }
}
