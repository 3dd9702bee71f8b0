//! A disk that can be full.

use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use super::process::succeed;
use super::tools::require_root;

/// A small disk of the test's own, unmounted when it is dropped.
pub(crate) struct Disk(TempDir);

impl Disk {
    /// Mounts one of that size, such as `32m`. Skips or fails as [`require_root`] does.
    pub(crate) fn mount(size: &str) -> Option<Self> {
        require_root()?;
        let folder = TempDir::new().expect("a temporary folder can be made");
        succeed(
            Command::new("mount")
                .args(["-t", "tmpfs", "-o", &format!("size={size}"), "roadstead-test"])
                .arg(folder.path()),
        );
        Some(Self(folder))
    }

    /// Makes it larger.
    pub(crate) fn grow(&self, size: &str) {
        let options = format!("remount,size={size}");
        succeed(Command::new("mount").args(["-o", &options]).arg(self.0.path()));
    }

    /// Where it is mounted.
    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        succeed(Command::new("umount").arg(self.0.path()));
    }
}
