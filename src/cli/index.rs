//! `roadstead index`: the index as a whole.

use std::process::ExitCode;

use anyhow::Context;
use clap::{Args, Subcommand};

use super::progress::Bar;
use super::{CommonArguments, output, runtime};
use crate::app::{App, Notice, expect_registry};
use crate::config::Settings;
use crate::registry::{Progress, Steps};

/// Manages the index
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
        after_help = "Back up the data folder first: damaged manifests and blobs are dropped for good; --dry-run \
            shows them.\n\n\
        Queued changes are committed first. Manifests that a push would refuse are dropped, and listed. Blobs \
        that no manifest references are removed from the tree. A damaged index is renamed, and a new one \
        created.\n\n\
        Exit code 1: something was dropped, or a change may have been lost; with --dry-run, something would be \
        dropped.\n\n\
        Examples:\n  roadstead index rebuild --dry-run --data /var/lib/roadstead\n  \
        roadstead index rebuild --data /var/lib/roadstead"
    )]
    Rebuild {
        /// Prints what would be dropped and removed, and changes nothing
        #[arg(long)]
        dry_run: bool,
    },
}

/// Runs the subcommand.
pub(super) fn run(
    common: &CommonArguments,
    arguments: &IndexArguments,
) -> anyhow::Result<ExitCode> {
    let IndexCommand::Rebuild { dry_run } = arguments.command;
    let settings = Settings::load(&common.sources(Vec::new()))?;
    expect_registry(&settings)?;
    let bar = Bar::new(false);
    let mut is_loss = false;
    let rebuilt = runtime()?.block_on(async {
        if dry_run {
            let app = App::open_for_rebuild_plan(&settings).await?;
            let waiting = app.registry.open_change_count().await?;
            if waiting > 0 {
                bar.say(&format!("queued changes that would be committed first: {waiting}"));
            }
            return anyhow::Ok(app.registry.plan_rebuild(&bar).await?);
        }
        bar.begin("committing queued changes", Steps::Unknown);
        let mut tell = |notice| match notice {
            Notice::Lost(sentence) => {
                is_loss = true;
                bar.say(&sentence);
            }
            Notice::Aside(file) => {
                bar.say(&format!("the index is damaged: renamed it to {}", file.display()));
            }
        };
        let app = App::open_for_rebuild(&settings, &mut tell).await?;
        anyhow::Ok(app.registry.rebuild_index(&bar).await?)
    })?;
    drop(bar);
    is_loss |= !rebuilt.dropped.is_empty();
    let mut lines = rebuilt.dropped;
    if rebuilt.leftovers > 0 {
        let what = output::counts([(rebuilt.leftovers, "leftover")]);
        let bytes = rebuilt.leftover_bytes;
        lines.push(format!("removed {what} of deletions ({bytes} bytes) from the public tree"));
    }
    lines.extend(rebuilt.left);
    if dry_run {
        for line in &mut lines {
            for (done, planned) in [("dropped ", "would drop "), ("removed ", "would remove ")] {
                if let Some(rest) = line.strip_prefix(done) {
                    *line = format!("{planned}{rest}");
                }
            }
        }
    }
    lines.push(
        output::counts([
            (rebuilt.repositories, "repository"),
            (rebuilt.manifests, "manifest"),
            (rebuilt.tags, "tag"),
            (rebuilt.blobs, "blob"),
        ]) + "\n",
    );
    output::print(&lines.join("\n")).context("cannot write to standard output")?;
    Ok(if is_loss { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
