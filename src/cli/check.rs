//! `roadstead check`: is the store what it should be, and what of it can be mended?

use std::process::ExitCode;

use anyhow::Context;
use clap::Args;

use super::progress::Bar;
use super::{CommonArguments, output, runtime};
use crate::app::{App, AppError, ServerMender, expect_registry, sources};
use crate::config::Settings;
use crate::registry::Report;

/// Reads all content and reports what is wrong; works while a server is running
#[derive(Debug, Args)]
#[command(
    after_help = "--repair puts back what is missing or has changed: from the index, from the other tree, or from a source \
        (a gateway of `federation.gateways`, or a Kubo node; only what is public is looked for there). What it cannot \
        mend it names. Blobs among that are missing for clients from then on, so the next push of the image brings \
        them; manifests and tags stay. Pushes and pulls go on; a server that runs on the data folder does the work.\n\n\
    Exit code 0: all is well, or was mended. 1: something is wrong.\n\n\
    Examples:\n  roadstead check --data /var/lib/roadstead --json | jq .findings\n  \
        roadstead check --repair --data /var/lib/roadstead"
)]
pub(super) struct CheckArguments {
    /// Mends what can be mended
    #[arg(long)]
    repair: bool,
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
        let repair = arguments.repair;
        match App::open(&settings).await {
            Ok(app) if repair => {
                let registry = app.registry.clone().mending_from(sources(&settings)?);
                Ok(registry.check_and_repair(&registry, &bar).await?)
            }
            Ok(app) => Ok(app.registry.check(&bar).await?),
            Err(AppError::Locked { .. }) => {
                let beside = App::open_read_only(&settings).await?;
                if !repair {
                    return Ok(beside.registry.check(&bar).await?);
                }
                let server = ServerMender::new(&settings.server.data);
                Ok(beside.registry.check_and_repair(&server, &bar).await?)
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
    for finding in &report.mended {
        text.extend(["mended ", &finding.about, ": ", &finding.what, "\n"]);
    }
    for finding in &report.findings {
        text.extend([&finding.about, ": ", &finding.what, "\n"]);
    }
    let verdict = match report.findings.len() {
        0 if report.mended.len() == 1 => "mended 1 thing: all is well".to_owned(),
        0 if !report.mended.is_empty() => {
            format!("mended {} things: all is well", report.mended.len())
        }
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
