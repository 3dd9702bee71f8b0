//! `roadstead root`: the public root.

use std::process::ExitCode;

use anyhow::Context;
use clap::Args;

use super::progress::Bar;
use super::{CommonArguments, output, runtime};
use crate::app::{App, AppError, expect_registry};
use crate::config::Settings;
use crate::registry::{Progress, Steps, peek_root};

/// Prints the CID of the public tree, also beside a running server
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  ipfs pin add $(roadstead root --data /var/lib/roadstead)")]
pub(super) struct RootArguments {}

/// Prints the root.
pub(super) fn run(common: &CommonArguments, _: &RootArguments) -> anyhow::Result<ExitCode> {
    let settings = Settings::load(&common.sources(Vec::new()))?;
    expect_registry(&settings)?;
    let bar = Bar::new(false);
    bar.begin("computing the root", Steps::Unknown);
    let root = runtime()?.block_on(async {
        match App::open(&settings).await {
            Ok(app) => Ok(app.registry.root().await?),
            Err(AppError::Locked { .. }) => {
                Ok(peek_root(App::beside(&settings).await?.index).await?)
            }
            Err(error) => Err(anyhow::Error::from(error)),
        }
    })?;
    drop(bar);
    output::print(&format!("{root}\n")).context("cannot write to standard output")?;
    Ok(ExitCode::SUCCESS)
}
