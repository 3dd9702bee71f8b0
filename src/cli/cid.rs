//! `roadstead cid`: what `ipfs add -rnQ` would say.

use std::convert::Infallible;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};
use bytes::Bytes;
use clap::Args;

use super::output;
use super::progress::Bar;
use crate::ipld::file::FileHasher;
use crate::ipld::{Cid, Directory, Entry, symlink};
use crate::registry::{Progress, Steps};

/// Prints the CID of a local file or folder, as `ipfs add -rnQ` does with the profile unixfs-v1-2025
#[derive(Debug, Args)]
#[command(
    after_help = "As with `ipfs add`, files in a folder whose names begin with a dot are left out.\n\n\
    Example:\n  roadstead cid /var/lib/roadstead/public"
)]
pub(super) struct CidArguments {
    /// The file or folder
    path: PathBuf,
}

/// Prints the CID.
pub(super) fn run(arguments: &CidArguments) -> anyhow::Result<ExitCode> {
    // The argument itself may be a link; what stands below is taken as it is.
    let path = fs::canonicalize(&arguments.path)
        .with_context(|| format!("cannot read {}", arguments.path.display()))?;
    let bar = Bar::new(false);
    if bar.is_seen() {
        bar.begin("listing files", Steps::Unknown);
        let total = size(&path);
        bar.begin("reading", Steps::Bytes(total));
    }
    let (cid, _) = identify(&path, &bar)?;
    drop(bar);
    output::print(&format!("{cid}\n")).context("cannot write to standard output")?;
    Ok(ExitCode::SUCCESS)
}

/// Adds up the sizes of the files that count. What cannot be read is reported when it is reached.
fn size(path: &Path) -> u64 {
    let Ok(metadata) = fs::symlink_metadata(path) else { return 0 };
    if metadata.is_file() {
        return metadata.len();
    }
    let Some(entries) = metadata.is_dir().then(|| fs::read_dir(path).ok()).flatten() else {
        return 0;
    };
    let entries = entries.flatten().filter(|entry| !is_hidden(&entry.file_name()));
    entries.map(|entry| size(&entry.path())).sum()
}

fn is_hidden(name: &OsStr) -> bool {
    name.as_encoded_bytes().starts_with(b".")
}

/// Returns the CID and the size of all blocks.
fn identify(path: &Path, progress: &dyn Progress) -> anyhow::Result<(Cid, u64)> {
    let context = || format!("cannot read {}", path.display());
    let metadata = fs::symlink_metadata(path).with_context(context)?;
    if metadata.is_dir() {
        return identify_folder(path, progress);
    }
    if metadata.is_symlink() {
        let target = fs::read_link(path).with_context(context)?;
        let Some(target) = target.to_str() else {
            bail!("{}: the link's target is not UTF-8", context())
        };
        let block = symlink(target);
        return Ok((block.cid, block.bytes.len() as u64));
    }
    if !metadata.is_file() {
        bail!("{}: neither a file nor a folder", context());
    }
    let (mut file, mut hasher) = (File::open(path).with_context(context)?, FileHasher::new());
    let mut buffer = vec![0; 256 * 1024];
    loop {
        match file.read(&mut buffer).with_context(context)? {
            0 => break,
            size => {
                hasher.append(&buffer[..size]);
                progress.advance(size as u64);
            }
        }
    }
    let identified = hasher.finish();
    Ok((identified.cid, identified.dag_size))
}

fn identify_folder(path: &Path, progress: &dyn Progress) -> anyhow::Result<(Cid, u64)> {
    let context = || format!("cannot read {}", path.display());
    let mut directory = Directory::empty();
    // All that the directory is made of was put into it here.
    let mut nothing =
        |_: &Cid| -> Result<Bytes, Infallible> { unreachable!("no block is ever asked for") };
    for entry in fs::read_dir(path).with_context(context)? {
        let entry = entry.with_context(context)?;
        let name = entry.file_name();
        if is_hidden(&name) {
            continue;
        }
        let Ok(name) = name.into_string() else { bail!("{}: a name is not UTF-8", context()) };
        let (cid, size) = identify(&entry.path(), progress)?;
        directory.insert(Entry { name, cid, size }, &mut nothing)?;
    }
    Ok(directory.flush(&mut |_| (), &mut |_| ()))
}
