//! Kubo as a judge of CIDs.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::process::succeed;
use super::tools::require;

/// A Kubo that has a repository of its own, but no daemon and no network.
pub(crate) struct Ipfs {
    program: PathBuf,
    repository: TempDir,
}

impl Ipfs {
    /// Skips or fails as [`require`] does.
    pub(crate) fn find() -> Option<Self> {
        let program = require("ipfs")?;
        let repository = TempDir::new().expect("a temporary folder can be made");
        let ipfs = Self { program, repository };
        succeed(ipfs.command("init").arg("--profile=unixfs-v1-2025"));
        Some(ipfs)
    }

    /// The CID that `ipfs add -rnQ` gives a file or a folder, and with `--hidden` also what begins with a
    /// dot.
    pub(crate) fn cid(&self, path: &Path, options: &[&str]) -> String {
        succeed(self.command("add").arg("-rnQ").args(options).arg(path))
    }

    fn command(&self, subcommand: &str) -> Command {
        let mut command = Command::new(&self.program);
        command
            .arg(subcommand)
            .env("IPFS_PATH", self.repository.path())
            .env("IPFS_TELEMETRY", "off");
        command
    }
}
