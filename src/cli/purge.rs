//! `roadstead purge`: an image that should never have been pushed.

use std::process::ExitCode;

use anyhow::Context;
use clap::Args;
use serde_json::json;

use super::progress::Bar;
use super::publish::publish;
use super::{CommonArguments, output, runtime};
use crate::app::{App, AppError, expect_registry, publisher, request_purge};
use crate::config::Settings;
use crate::oci::{Digest, RepositoryName};
use crate::registry::{Progress, Purged, Steps, Trigger, Withdrawn};

/// Deletes an image and removes its content, from earlier roots too
#[derive(Debug, Args)]
#[command(
    after_help = "Use it, for example, for an image with a password in it. The manifest and its tags are deleted, \
        and, for an index, the children that no tag and no other index references. Manifests and blobs that \
        nothing else references are removed, and no longer served by the gateway below any root. The new root is \
        published at once. A manifest or blob that was deleted before can be purged, too. A server that runs on \
        the data folder does the work, else the command does.\n\n\
    Copies that others have fetched cannot be removed; the output lists where they may be. Change a password that \
    was public.\n\n\
    Exit code 1: nothing was purged, or the command could not publish the new root. A server publishes by itself: \
        `roadstead status` shows the result.\n\n\
    Example:\n  roadstead purge team/app@$DIGEST --data /var/lib/roadstead"
)]
pub(super) struct PurgeArguments {
    /// The repository and the digest, such as `team/app@sha256:0123…`
    #[arg(value_name = "NAME@DIGEST", value_parser = parse)]
    target: Target,
    /// Prints JSON
    #[arg(long)]
    json: bool,
}

/// What is to be purged.
#[derive(Debug, Clone)]
struct Target {
    repository: RepositoryName,
    digest: Digest,
}

fn parse(text: &str) -> Result<Target, String> {
    let (name, digest) = text
        .split_once('@')
        .ok_or("missing digest: give NAME@DIGEST, such as `team/app@sha256:0123…`")?;
    let repository = name.parse().map_err(|error| format!("`{name}`: {error}"))?;
    let digest = digest.parse().map_err(|error: crate::oci::DigestError| error.to_string())?;
    Ok(Target { repository, digest })
}

/// Purges.
pub(super) fn run(
    common: &CommonArguments,
    arguments: &PurgeArguments,
) -> anyhow::Result<ExitCode> {
    let Target { repository, digest } = &arguments.target;
    let settings = Settings::load(&common.sources(Vec::new()))?;
    expect_registry(&settings)?;
    let bar = Bar::new(arguments.json);
    bar.begin("purging", Steps::Unknown);
    let (purged, unpublished) = runtime()?.block_on(async {
        match App::open(&settings).await {
            Ok(app) => {
                let purged = app.registry.purge(repository, digest).await?;
                let published = match publisher(&settings, &app.registry)? {
                    Some(publisher) => publish(&publisher, Trigger::Now).await,
                    None => Ok(()),
                };
                anyhow::Ok((purged, published.err()))
            }
            Err(AppError::Locked { .. }) => {
                Ok((request_purge(&settings.server.data, repository, digest).await?, None))
            }
            Err(error) => Err(error.into()),
        }
    })?;
    drop(bar);
    let text = if arguments.json {
        let Purged { root, withdrawn, needed, needed_by } = &purged;
        let unpublished = unpublished.as_ref().map(|error| format!("{error:#}"));
        let shown = json!({
            "repository": repository,
            "digest": digest,
            "root": root,
            "withdrawn": withdrawn,
            "needed": needed,
            "needed_by": needed_by,
            "unpublished": unpublished,
        });
        serde_json::to_string_pretty(&shown)? + "\n"
    } else {
        describe(&settings, &arguments.target, &purged)
    };
    output::print(&text).context("cannot write to standard output")?;
    match unpublished {
        None => Ok(ExitCode::SUCCESS),
        Some(error) => Err(error.context(
            "purged, but the new root is not published: fix that, and run `roadstead publish`",
        )),
    }
}

fn describe(settings: &Settings, target: &Target, purged: &Purged) -> String {
    let mut lines = vec![format!("purged     {}@{}", target.repository, target.digest)];
    for Withdrawn { digest, size, owners } in &purged.withdrawn {
        let mut line = format!("withdrawn  {digest}, {size} bytes");
        if !owners.is_empty() {
            let names = owners.join(", ");
            line.extend([
                "; its content remains for repositories that have it as a blob: ",
                &names,
            ]);
        }
        lines.push(line);
    }
    for needed in &purged.needed {
        let by = purged.needed_by.get(needed).map_or_else(String::new, |by| by.join(", "));
        lines.push(format!("stays      {needed}, which other manifests need: {by}"));
    }
    lines.push(format!("root       {}\n\nWhat cannot be removed:", purged.root));
    for lasting in [
        "- what clients, caches, other registries, nodes and backups have fetched",
        "- names of tags and digests in the directories of earlier roots",
    ] {
        lines.push(lasting.to_owned());
    }
    if settings.publish.is_enabled() {
        let ttl = settings.publish.ttl.as_secs();
        lines.push(format!(
            "- the earlier root in the DNS, until the new one is published and {ttl} seconds have passed"
        ));
    }
    if settings.storage.driver == "kubo" {
        lines.push("- blocks on the Kubo node, until `ipfs repo gc`".to_owned());
    }
    lines.join("\n") + "\n"
}
