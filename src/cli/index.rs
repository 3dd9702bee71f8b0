//! `roadstead index`: the index as a whole.

use std::process::ExitCode;

use anyhow::Context;
use clap::{Args, Subcommand};

use super::progress::Bar;
use super::{CommonArguments, output, runtime};
use crate::app::{App, expect_registry};
use crate::config::Settings;

/// Works on the index as a whole
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  roadstead index rebuild")]
pub(super) struct IndexArguments {
    #[command(subcommand)]
    command: IndexCommand,
}

#[derive(Debug, Subcommand)]
enum IndexCommand {
    /// Makes the index anew from the tree; no server may run meanwhile
    #[command(
        after_help = "Changes that were accepted are carried out first. Manifests that a push would \
        refuse are dropped, and named.\n\n\
        Example:\n  roadstead index rebuild --data /var/lib/roadstead"
    )]
    Rebuild,
}

/// Runs the subcommand.
pub(super) fn run(
    common: &CommonArguments,
    arguments: &IndexArguments,
) -> anyhow::Result<ExitCode> {
    let IndexCommand::Rebuild = &arguments.command;
    let settings = Settings::load(&common.sources(Vec::new()))?;
    expect_registry(&settings.server.data)?;
    let bar = Bar::new(false);
    let rebuilt = runtime()?.block_on(async {
        let app = App::open_for_rebuild(&settings).await?;
        anyhow::Ok(app.registry.rebuild_index(&bar).await?)
    })?;
    drop(bar);
    let mut lines = rebuilt.dropped;
    lines.push(format!(
        "{} repositories, {} manifests, {} tags, {} blobs\n",
        rebuilt.repositories, rebuilt.manifests, rebuilt.tags, rebuilt.blobs
    ));
    output::print(&lines.join("\n")).context("cannot write to standard output")?;
    Ok(ExitCode::SUCCESS)
}
