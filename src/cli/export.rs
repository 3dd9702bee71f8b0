//! `roadstead export`: the public tree as one file.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::Args;

use super::progress::Bar;
use super::{CommonArguments, output, runtime};
use crate::app::{App, AppError, expect_registry};
use crate::config::Settings;
use crate::ipld::{car_frame, car_header};
use crate::oci::TreeId;
use crate::registry::{Export, Progress, Steps};

/// Writes the whole public tree to one CAR file; works while a server is running
#[derive(Debug, Args)]
#[command(
    after_help = "The file gets its name once it is complete and on the disk. `roadstead import` makes a registry \
        of it, `ipfs dag import` loads it into a node. The same root always gives the same file. The root is \
        printed on standard output, or on standard error where the file is `-`.\n\n\
    Example:\n  roadstead export /backup/registry.car --data /var/lib/roadstead"
)]
pub(super) struct ExportArguments {
    /// The file; `-` is standard output
    file: PathBuf,
}

/// Exports.
pub(super) fn run(
    common: &CommonArguments,
    arguments: &ExportArguments,
) -> anyhow::Result<ExitCode> {
    let settings = Settings::load(&common.sources(Vec::new()))?;
    expect_registry(&settings)?;
    let is_piped = arguments.file == Path::new("-");
    let bar = Bar::new(false);
    let runtime = runtime()?;
    if !is_piped {
        let advice = format!("{} was not written", arguments.file.display());
        bar.end_on_signal(&runtime, draft_of(&arguments.file), advice)?;
    }
    let root = runtime.block_on(async {
        // Also as long as it takes: the lock on the folder is the app's.
        let (registry, _app) = match App::open(&settings).await {
            Ok(app) => (app.registry.clone(), Some(app)),
            Err(AppError::Locked { .. }) => (App::open_read_only(&settings).await?.registry, None),
            Err(error) => return Err(anyhow::Error::from(error)),
        };
        let export = registry.export(TreeId::Public).await?;
        let root = export.root;
        bar.begin("writing blocks", Steps::Bytes(export.bytes));
        if is_piped {
            let _written = write(export, io::stdout(), &bar).await?;
        } else {
            write_file(export, &arguments.file, &bar).await?;
        }
        Ok(root)
    })?;
    drop(bar);
    let line = format!("{root}\n");
    if is_piped {
        // If that fails, it cannot be reported.
        let _ = io::stderr().write_all(output::printable(&line).as_bytes());
    } else {
        output::print(&line).context("cannot write to standard output")?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The name under which a file is written until it is whole.
fn draft_of(file: &Path) -> Option<PathBuf> {
    let mut name = file.file_name()?.to_owned();
    name.push(".part");
    Some(file.with_file_name(name))
}

/// Writes to another name first, which goes again if that fails.
async fn write_file(export: Export, file: &Path, bar: &Bar) -> anyhow::Result<()> {
    let failed = || format!("cannot write {}", file.display());
    if file.metadata().is_ok_and(|found| !found.is_file()) {
        // A pipe or a device stays what it is.
        let output = File::options().write(true).open(file).with_context(failed)?;
        return write(export, output, bar).await.map(drop).with_context(failed);
    }
    let draft = draft_of(file).with_context(|| format!("{} is not a file", file.display()))?;
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    let written = async {
        let output = File::create(&draft).with_context(failed)?;
        let output = write(export, output, bar).await.with_context(failed)?;
        output
            .sync_all()
            .and_then(|()| fs::rename(&draft, file))
            .and_then(|()| File::open(folder)?.sync_all())
            .with_context(failed)
    };
    let written = written.await;
    if written.is_err() {
        // What matters is why it could not be written.
        let _ = fs::remove_file(&draft);
    }
    written
}

async fn write<W: Write>(mut export: Export, output: W, bar: &Bar) -> anyhow::Result<W> {
    let mut output = BufWriter::new(output);
    output.write_all(&car_header(&export.root))?;
    while let Some(block) = export.next().await? {
        for part in car_frame(&block) {
            output.write_all(&part)?;
        }
        bar.advance(block.bytes.len() as u64);
    }
    Ok(output.into_inner().map_err(io::IntoInnerError::into_error)?)
}
