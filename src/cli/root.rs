//! `roadstead root`: the public root.

use std::process::ExitCode;

use anyhow::Context;
use clap::Args;

use super::progress::Bar;
use super::{CommonArguments, output, runtime};
use crate::app::{App, AppError, expect_registry, request_root};
use crate::config::Settings;
use crate::registry::{Progress, Steps, peek_root};

/// Prints the root, the CID of the public tree; works while a server is running
#[derive(Debug, Args)]
#[command(
    after_help = "With storage.driver = \"kubo\" the Kubo node has the blocks, and can pin them. With the \
        embedded store, a node gets them by `roadstead export`.\n\n\
    Examples:\n  ipfs pin add $(roadstead root --config /etc/roadstead/roadstead.toml)\n  \
    roadstead export - | ipfs dag import"
)]
pub(super) struct RootArguments {}

/// Prints the root.
pub(super) fn run(common: &CommonArguments, _: &RootArguments) -> anyhow::Result<ExitCode> {
    let settings = Settings::load(&common.sources(Vec::new()))?;
    expect_registry(&settings)?;
    let bar = Bar::new(false);
    bar.begin("computing the root", Steps::Unknown);
    let root = runtime()?.block_on(async {
        match App::open(&settings).await {
            Ok(app) => Ok(app.registry.root().await?.to_string()),
            Err(AppError::Locked { .. }) => {
                if let Ok(root) = request_root(&settings.server.data).await {
                    return Ok(root);
                }
                // Another command has the folder, or the server is of another version or user.
                let index = App::open_read_only(&settings).await?.index;
                Ok(peek_root(index).await?.to_string())
            }
            Err(error) => Err(anyhow::Error::from(error)),
        }
    })?;
    drop(bar);
    output::print(&format!("{root}\n")).context("cannot write to standard output")?;
    Ok(ExitCode::SUCCESS)
}
