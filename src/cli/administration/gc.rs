//! `roadstead gc`: garbage is collected.

use std::process::ExitCode;

use anyhow::Context;
use clap::Args;
use serde_json::json;

use super::super::progress::Bar;
use super::super::{CommonArguments, output};
use super::runtime;
use super::session::{RegistryArguments, Session};
use crate::app::{App, AppError, expect_registry, request_collection};
use crate::config::Settings;
use crate::index::Actor;
use crate::registry::{Amount, Collected, Progress, Retained, Steps};

const QUERY: &str = "mutation($dryRun: Boolean!) { collectGarbage(dryRun: $dryRun) { isDone isDryRun \
    began milliseconds candidates uploads links blobs blobBytes manifests manifestBytes leaks \
    retained { reason count bytes } } }";

/// Removes what no image needs any more; pushes and pulls go on
#[derive(Debug, Args)]
#[command(
    after_help = "A server collects by itself every `gc.interval`; this does it at once, and returns when it is done. What a \
        manifest names stays, and for `gc.grace` what a client may be about to name. A collection that runs already is \
        joined.\n\n\
    With --data it works on the data folder: a server that runs on it does the work, else the command does. Without, it \
        asks the registry that you have signed in to, as an administrator.\n\n\
    Examples:\n  roadstead gc --dry-run --data /var/lib/roadstead\n  roadstead gc --now --data /var/lib/roadstead\n  \
        roadstead gc --registry registry.example.com"
)]
pub(in crate::cli) struct GcArguments {
    #[command(flatten)]
    target: RegistryArguments,
    /// Shows what would go, and changes nothing
    #[arg(long, conflicts_with = "now")]
    dry_run: bool,
    /// Collects at once, even if the last collection has just ended: the default. `gc.grace` still applies
    #[arg(long)]
    now: bool,
    /// Says what stays, and why
    #[arg(long)]
    verbose: bool,
}

/// Collects garbage.
pub(in crate::cli) fn run(
    common: &CommonArguments,
    arguments: &GcArguments,
) -> anyhow::Result<ExitCode> {
    let GcArguments { target, dry_run, verbose, .. } = arguments;
    let bar = Bar::new(target.json);
    bar.begin("collecting garbage", Steps::Unknown);
    let uses_folder =
        target.registry.is_none() && (common.data.is_some() || common.config.is_some());
    let collected = runtime()?.block_on(async {
        if uses_folder {
            in_folder(common, *dry_run).await
        } else {
            over_api(target, *dry_run).await
        }
    })?;
    drop(bar);
    let text = if target.json {
        serde_json::to_string_pretty(&shown(&collected))? + "\n"
    } else {
        describe(&collected, *verbose)
    };
    output::print(&text).context("cannot write to standard output")?;
    Ok(ExitCode::SUCCESS)
}

async fn in_folder(common: &CommonArguments, dry_run: bool) -> anyhow::Result<Collected> {
    let settings = Settings::load(&common.sources(Vec::new()))?;
    expect_registry(&settings)?;
    match App::open(&settings).await {
        Ok(app) if dry_run => Ok(app.registry.plan_collection().await?),
        Ok(app) => Ok(app.registry.collect(Actor::default()).await?),
        Err(AppError::Locked { .. }) => {
            Ok(request_collection(&settings.server.data, dry_run).await?)
        }
        Err(error) => Err(error.into()),
    }
}

async fn over_api(target: &RegistryArguments, dry_run: bool) -> anyhow::Result<Collected> {
    let session = Session::open(target.registry.as_ref())
        .context("to work on a data folder, give --data DIR")?;
    loop {
        let data = session.run(QUERY, json!({ "dryRun": dry_run })).await?;
        let found = &data["collectGarbage"];
        if found["isDone"] != json!(true) {
            continue;
        }
        let number = |name: &str| found[name].as_u64().unwrap_or_default();
        let amount =
            |count: &str, bytes: &str| Amount { count: number(count), bytes: number(bytes) };
        let began = found["began"].as_str().and_then(|text| text.parse::<jiff::Timestamp>().ok());
        let retained =
            found["retained"].as_array().into_iter().flatten().map(|retained| Retained {
                reason: retained["reason"].as_str().unwrap_or_default().to_owned(),
                amount: Amount {
                    count: retained["count"].as_u64().unwrap_or_default(),
                    bytes: retained["bytes"].as_u64().unwrap_or_default(),
                },
            });
        return Ok(Collected {
            dry_run,
            began: began.map_or(0, jiff::Timestamp::as_millisecond),
            milliseconds: number("milliseconds"),
            candidates: number("candidates"),
            uploads: number("uploads"),
            links: number("links"),
            blobs: amount("blobs", "blobBytes"),
            manifests: amount("manifests", "manifestBytes"),
            leaks: number("leaks"),
            retained: retained.collect(),
        });
    }
}

fn shown(collected: &Collected) -> serde_json::Value {
    json!({
        "dry_run": collected.dry_run,
        "bytes": collected.bytes(),
        "uploads": collected.uploads,
        "links": collected.links,
        "blobs": collected.blobs,
        "manifests": collected.manifests,
        "leaks": collected.leaks,
        "candidates": collected.candidates,
        "retained": collected.retained,
        "milliseconds": collected.milliseconds,
    })
}

fn describe(collected: &Collected, verbose: bool) -> String {
    let Collected { dry_run, uploads, links, blobs, manifests, leaks, retained, .. } = collected;
    let mut lines = Vec::new();
    for (count, bytes, noun) in [
        (*uploads, None, "expired upload"),
        (*links, None, "blob of a repository, which no manifest names"),
        (blobs.count, Some(blobs.bytes), "stored blob that no repository has"),
        (manifests.count, Some(manifests.bytes), "deleted or refused manifest"),
        (*leaks, None, "stored file in no index"),
    ] {
        if count > 0 {
            let bytes = bytes.map_or_else(String::new, |bytes| format!(", {bytes} bytes"));
            lines.push(format!("{count} \u{d7} {noun}{bytes}"));
        }
    }
    let bytes = collected.bytes();
    lines.push(match (collected.is_empty(), dry_run) {
        (true, _) => "nothing to collect".to_owned(),
        (false, true) => format!("would free {bytes} bytes; nothing was changed"),
        (false, false) => format!("freed {bytes} bytes"),
    });
    let in_roots = retained.iter().find(|it| it.reason == "roots" && !verbose);
    if let Some(Retained { amount: Amount { bytes, .. }, .. }) = in_roots {
        lines.push(format!(
            "{bytes} bytes more go once earlier roots are no longer served (gateway.root_grace, publish.keep)"
        ));
    }
    if verbose {
        for Retained { reason, amount: Amount { count, bytes } } in retained {
            let why = match reason.as_str() {
                "grace" => "blobs that no manifest names: younger than gc.grace",
                "roots" => {
                    "contents that no repository has: in an earlier root, until gateway.root_grace and publish.keep \
                     have passed"
                }
                "uploads" => "uploads under way: until uploads.expire_after",
                other => other,
            };
            lines.push(format!("stays: {count} {why} ({bytes} bytes)"));
        }
    }
    lines.join("\n") + "\n"
}
