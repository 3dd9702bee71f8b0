//! Certificates of authorities that a registry's own folder has, where docker and podman look for them.

use std::env;
use std::ffi::OsStr;
use std::fs;
use std::io::ErrorKind;
use std::path::PathBuf;

use anyhow::Context;

use super::host::RegistryHost;

/// Reads the certificates (`*.crt`) of a registry.
///
/// # Errors
/// When a file that is there cannot be read.
pub(in crate::cli) fn of(registry: &RegistryHost) -> anyhow::Result<Vec<Vec<u8>>> {
    let home = env::var_os("HOME").filter(|home| !home.is_empty()).map(PathBuf::from);
    let folders = ["/etc/docker", "/etc/containers"].map(PathBuf::from).into_iter().chain(
        home.iter().flat_map(|home| [home.join(".docker"), home.join(".config/containers")]),
    );
    let mut found = Vec::new();
    for folder in folders {
        let folder = folder.join("certs.d").join(registry.as_str());
        let failed = || format!("cannot read {}", folder.display());
        let entries = match fs::read_dir(&folder) {
            Err(error)
                if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) =>
            {
                continue;
            }
            entries => entries.with_context(failed)?,
        };
        for entry in entries {
            let path = entry.with_context(failed)?.path();
            if path.extension() == Some(OsStr::new("crt")) {
                let read = fs::read(&path);
                found.push(read.with_context(|| format!("cannot read {}", path.display()))?);
            }
        }
    }
    Ok(found)
}
