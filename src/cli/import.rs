//! `roadstead import`: an empty registry becomes a copy out of a file.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use clap::Args;

use super::progress::Bar;
use super::restore::{tell, unfinished};
use super::{CommonArguments, runtime};
use crate::app::{ImportSession, names};
use crate::config::Settings;
use crate::registry::{Progress, Restorable, Steps};
use crate::remote::{Archive, Remote};

/// Creates a registry in an empty data folder from a file of `roadstead export`
#[derive(Debug, Args)]
#[command(
    after_help = "Any CARv1 file of a registry's root is accepted, such as one of `ipfs dag export`, in any order \
        of blocks. Every block is verified against its hash, and the copy has the same root. Run the same command \
        again to continue after an interruption. Standard input is stored in the data folder until the import is \
        done.\n\n\
    Example:\n  roadstead import /backup/registry.car --data /var/lib/roadstead"
)]
pub(super) struct ImportArguments {
    /// The file; `-` is standard input
    file: PathBuf,
    /// Prints JSON
    #[arg(long)]
    json: bool,
}

/// Imports.
pub(super) fn run(
    common: &CommonArguments,
    arguments: &ImportArguments,
) -> anyhow::Result<ExitCode> {
    let settings = Settings::load(&common.sources(Vec::new()))?;
    let bar = Bar::new(arguments.json);
    let name = arguments.file.display().to_string();
    let failed = || format!("cannot read {name}");
    let runtime = runtime()?;
    bar.end_on_signal(&runtime, None, unfinished(&settings.server.data))?;
    let restored = runtime.block_on(async {
        let mut input = open(&arguments.file).with_context(failed)?;
        let unsound = || format!("{name} is not a CAR file, or is cut short");
        let (root, read) = Archive::begin(input.reader()).with_context(unsound)?;
        let session = ImportSession::restore(&settings, root).await?;
        let restored = async {
            let mut file = match input {
                Input::File(file) => file,
                Input::Pipe(mut pipe) => {
                    bar.begin("reading the archive", Steps::Unknown);
                    let mut file = session.scratch()?;
                    let written =
                        file.write_all(&read).and_then(|()| io::copy(&mut pipe, &mut file));
                    written.context("cannot store what comes through the pipe")?;
                    file
                }
            };
            file.seek(SeekFrom::Start(0)).with_context(failed)?;
            bar.begin("reading the archive", Steps::Bytes(file.metadata()?.len()));
            let notes = session.scratch()?;
            let archive = Archive::read(&name, file, notes, &mut |count| bar.advance(count));
            let archive = archive.with_context(unsound)?;
            let source = Restorable { root, remote: Remote::new(vec![Arc::new(archive)]) };
            let registry = &session.app.registry;
            anyhow::Ok(registry.restore(&source, None, &names(&settings), &bar).await?)
        };
        let restored = restored.await.with_context(|| unfinished(&settings.server.data))?;
        session.finish()?;
        anyhow::Ok(restored)
    })?;
    drop(bar);
    tell(&restored, arguments.json)
}

/// Where an archive is read from.
enum Input {
    /// It can be read at any place.
    File(File),
    /// It comes once.
    Pipe(Box<dyn Read>),
}

impl Input {
    fn reader(&mut self) -> &mut dyn Read {
        match self {
            Self::File(file) => file,
            Self::Pipe(pipe) => pipe.as_mut(),
        }
    }
}

fn open(path: &Path) -> io::Result<Input> {
    if path == Path::new("-") {
        return Ok(Input::Pipe(Box::new(io::stdin())));
    }
    let file = File::open(path)?;
    let is_file = file.metadata()?.is_file();
    Ok(if is_file { Input::File(file) } else { Input::Pipe(Box::new(file)) })
}
