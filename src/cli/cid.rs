//! `roadstead cid`: what `ipfs add -rnQ` would say.

use std::convert::Infallible;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};
use bytes::Bytes;
use clap::Args;

use super::output;
use crate::ipld::file::FileHasher;
use crate::ipld::{Cid, Directory, Entry, symlink};

/// Prints the CID of a local file or folder, as `ipfs add -rnQ` with the profile unixfs-v1-2025
#[derive(Debug, Args)]
#[command(
    after_help = "As with `ipfs add`, files below a folder that begin with a dot do not count.\n\n\
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
    let (cid, _) = identify(&path)?;
    output::print(&format!("{cid}\n")).context("cannot write to standard output")?;
    Ok(ExitCode::SUCCESS)
}

/// Returns the CID and the size of all blocks.
fn identify(path: &Path) -> anyhow::Result<(Cid, u64)> {
    let context = || format!("cannot read {}", path.display());
    let metadata = fs::symlink_metadata(path).with_context(context)?;
    if metadata.is_dir() {
        return identify_folder(path);
    }
    if metadata.is_symlink() {
        let target = fs::read_link(path).with_context(context)?;
        let Some(target) = target.to_str() else { bail!("{}: the target is not UTF-8", context()) };
        let block = symlink(target);
        return Ok((block.cid, block.bytes.len() as u64));
    }
    if !metadata.is_file() {
        bail!("{}: it is neither a file nor a folder", context());
    }
    let (mut file, mut hasher) = (File::open(path).with_context(context)?, FileHasher::new());
    let mut buffer = vec![0; 256 * 1024];
    loop {
        match file.read(&mut buffer).with_context(context)? {
            0 => break,
            size => hasher.append(&buffer[..size]),
        }
    }
    let identified = hasher.finish();
    Ok((identified.cid, identified.dag_size))
}

fn identify_folder(path: &Path) -> anyhow::Result<(Cid, u64)> {
    let context = || format!("cannot read {}", path.display());
    let mut directory = Directory::empty();
    // All that the directory is made of was put into it here.
    let mut nothing =
        |_: &Cid| -> Result<Bytes, Infallible> { unreachable!("no block is ever asked for") };
    for entry in fs::read_dir(path).with_context(context)? {
        let entry = entry.with_context(context)?;
        let Ok(name) = entry.file_name().into_string() else {
            bail!("{}: a name is not UTF-8", context())
        };
        if name.starts_with('.') {
            continue;
        }
        let (cid, size) = identify(&entry.path())?;
        directory.insert(Entry { name, cid, size }, &mut nothing)?;
    }
    Ok(directory.flush(&mut |_| (), &mut |_| ()))
}
