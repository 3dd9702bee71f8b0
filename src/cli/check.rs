//! `roadstead check`: is the store what it should be?

use std::process::ExitCode;

use anyhow::Context;
use clap::Args;

use super::progress::Bar;
use super::{CommonArguments, output, runtime};
use crate::app::{App, AppError, expect_registry};
use crate::config::Settings;
use crate::registry::Report;

/// Reads all content and reports what is wrong; works while a server is running
#[derive(Debug, Args)]
#[command(after_help = "Exit code 1: something is wrong.\n\n\
    Example:\n  roadstead check --data /var/lib/roadstead --json | jq .findings")]
pub(super) struct CheckArguments {
    /// Prints JSON
    #[arg(long)]
    json: bool,
}

/// Checks.
pub(super) fn run(
    common: &CommonArguments,
    arguments: &CheckArguments,
) -> anyhow::Result<ExitCode> {
    let settings = Settings::load(&common.sources(Vec::new()))?;
    expect_registry(&settings)?;
    let bar = Bar::new(arguments.json);
    let report = runtime()?.block_on(async {
        match App::open(&settings).await {
            Ok(app) => Ok(app.registry.check(&bar).await?),
            Err(AppError::Locked { .. }) => {
                Ok(App::open_read_only(&settings).await?.registry.check(&bar).await?)
            }
            Err(error) => Err(anyhow::Error::from(error)),
        }
    })?;
    drop(bar);
    let text = if arguments.json {
        serde_json::to_string_pretty(&report)? + "\n"
    } else {
        describe(&report)
    };
    output::print(&text).context("cannot write to standard output")?;
    Ok(if report.findings.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn describe(report: &Report) -> String {
    let mut text = String::new();
    for finding in &report.findings {
        text.extend([&finding.about, ": ", &finding.what, "\n"]);
    }
    let verdict = match report.findings.len() {
        0 => "all is well".to_owned(),
        1 => "1 thing is wrong".to_owned(),
        count => format!("{count} things are wrong"),
    };
    let Report { blobs, bytes, repositories, tags, root, orphans, orphan_bytes, .. } = report;
    let orphans = match orphans {
        0 => String::new(),
        1 => format!("1 blob ({orphan_bytes} bytes) in no repository\n"),
        _ => format!("{orphans} blobs ({orphan_bytes} bytes) in no repository\n"),
    };
    text += &orphans;
    text += &leftovers(report);
    text + &format!(
        "{}, {bytes} bytes, root {root}: {verdict}\n",
        output::counts([(*repositories, "repository"), (*tags, "tag"), (*blobs, "blob")])
    )
}

/// Says what deletions have left, and which manifests have lost their tags.
fn leftovers(report: &Report) -> String {
    let mut lines = Vec::new();
    if report.unreferenced > report.orphans {
        let what = output::counts([(report.unreferenced, "blob")]);
        lines.push(format!(
            "{what} ({} bytes) that no manifest references\n",
            report.unreferenced_bytes
        ));
    }
    if report.leftovers > 0 {
        let what = output::counts([(report.leftovers, "leftover")]);
        lines.push(format!(
            "{what} of deletions ({} bytes) in the public tree: `roadstead index rebuild` removes them\n",
            report.leftover_bytes
        ));
    }
    if report.untagged > 0 {
        let what = output::counts([(report.untagged, "manifest")]);
        lines.push(format!("{what} without a tag: `roadstead check --json` names them\n"));
    }
    lines.concat()
}
