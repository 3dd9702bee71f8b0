//! Tools from outside. `scripts/test` installs them all; a plain `cargo test` runs what the machine has.

use std::env;
use std::io::{self, Write};
use std::path::PathBuf;

/// The environment variables by which `scripts/test` names the tools that it built itself.
const BUILT: [(&str, &str); 13] = [
    ("ipfs", "ROADSTEAD_TEST_IPFS"),
    ("registry", "ROADSTEAD_TEST_REGISTRY"),
    ("crane", "ROADSTEAD_TEST_CRANE"),
    ("regctl", "ROADSTEAD_TEST_REGCTL"),
    ("helm", "ROADSTEAD_TEST_HELM"),
    ("cosign", "ROADSTEAD_TEST_COSIGN"),
    // Beside those that Debian has.
    ("newest podman", "ROADSTEAD_TEST_PODMAN"),
    ("newest containerd", "ROADSTEAD_TEST_CONTAINERD"),
    ("newest ctr", "ROADSTEAD_TEST_CTR"),
    // A Python that has the module.
    ("oras-python", "ROADSTEAD_TEST_ORAS_PYTHON"),
    // The modules of npm and of Python.
    ("oidc-provider", "ROADSTEAD_TEST_OIDC_PROVIDER"),
    ("pyjwt-python", "ROADSTEAD_TEST_PYJWT_PYTHON"),
    ("ipfs-car", "ROADSTEAD_TEST_IPFS_CAR"),
];

/// Finds a tool: `let Some(skopeo) = require("skopeo") else { return };`.
///
/// A missing one skips the test with a line on standard error, or fails it under `TEST_REQUIRE_ALL=1`.
pub(crate) fn require(tool: &str) -> Option<PathBuf> {
    let found = find(tool);
    if found.is_none() {
        skip(&format!("`{tool}` is missing"));
    }
    found
}

/// Whether a tool is there, for suites that say at the beginning which of their cases can run.
pub(crate) fn has(tool: &str) -> bool {
    find(tool).is_some()
}

/// Whether the test runs as root, which dockerd needs; skips or fails as [`require`] does.
pub(crate) fn require_root() -> Option<()> {
    if rustix::process::geteuid().is_root() {
        return Some(());
    }
    skip("it needs root");
    None
}

/// Says that the test is skipped; panics where a skipped test is a failed one.
pub(crate) fn skip(reason: &str) {
    assert!(!required(), "{reason}, and TEST_REQUIRE_ALL is set");
    let thread = std::thread::current();
    let test = thread.name().unwrap_or("a test");
    // Past the capture of the test runner, which would hide it: the test passes.
    let _ = writeln!(io::stderr(), "skipped: {test}: {reason}");
}

fn required() -> bool {
    env::var_os("TEST_REQUIRE_ALL").is_some_and(|value| value == "1")
}

fn find(tool: &str) -> Option<PathBuf> {
    let built = BUILT.iter().find(|(name, _)| *name == tool);
    if let Some(path) = built.and_then(|(_, variable)| env::var_os(variable)) {
        let path = PathBuf::from(path);
        return path.is_file().then_some(path);
    }
    let folders = env::var_os("PATH")?;
    // Daemons stand in sbin, which is not in everybody's PATH.
    env::split_paths(&folders)
        .chain(["/usr/sbin", "/sbin"].map(PathBuf::from))
        .map(|folder| folder.join(tool))
        .find(|path| path.is_file())
}
