//! `roadstead retention`: what the operator's rules come to for each tag.

use std::process::ExitCode;

use anyhow::Context;
use clap::Args;
use serde_json::{Value, json};

use super::{CommonArguments, output, runtime};
use crate::app::{App, AppError, expect_registry, request_retention};
use crate::config::Settings;
use crate::registry::{Decision, DeletedByRules, RetentionPlan};

/// Deletes the tags and manifests that the retention rules let go
#[derive(Debug, Args)]
#[command(
    after_help = "The rules are `[[retention]]` in the settings (docs/CLEANING.md). A server applies them by itself every \
        `gc.interval`; this does it at once. A server that runs on the data folder does the work, by its own rules, else \
        the command does. With --dry-run the rules are those of the command's own settings, so that new ones can be tried \
        beside a server.\n\n\
    What goes can be pushed again; `roadstead gc` frees the space after `gc.grace`.\n\n\
    Examples:\n  roadstead retention --dry-run --config /etc/roadstead/roadstead.toml\n  \
        roadstead retention --config /etc/roadstead/roadstead.toml"
)]
pub(super) struct RetentionArguments {
    /// Says for each tag whether it stays, by which rule and why; changes nothing
    #[arg(long)]
    dry_run: bool,
    /// Prints JSON
    #[arg(long)]
    json: bool,
}

/// Applies the rules, or says what they come to.
pub(super) fn run(
    common: &CommonArguments,
    arguments: &RetentionArguments,
) -> anyhow::Result<ExitCode> {
    let settings = Settings::load(&common.sources(Vec::new()))?;
    expect_registry(&settings)?;
    let text = runtime()?.block_on(async {
        if arguments.dry_run {
            plan(&settings, arguments.json).await
        } else {
            let DeletedByRules { tags, manifests } = apply(&settings).await?;
            Ok(if arguments.json {
                format!("{:#}\n", json!({ "tags": tags, "manifests": manifests }))
            } else {
                format!("deleted {tags} tags, and {manifests} manifests without a tag\n")
            })
        }
    })?;
    output::print(&text).context("cannot write to standard output")?;
    Ok(ExitCode::SUCCESS)
}

async fn apply(settings: &Settings) -> anyhow::Result<DeletedByRules> {
    match App::open(settings).await {
        Ok(app) => {
            let mut deleted = DeletedByRules::default();
            app.registry.retain(&mut deleted).await?;
            Ok(deleted)
        }
        Err(AppError::Locked { .. }) => Ok(request_retention(&settings.server.data).await?),
        Err(error) => Err(error.into()),
    }
}

async fn plan(settings: &Settings, as_json: bool) -> anyhow::Result<String> {
    let beside = App::open_read_only(settings).await?;
    let mut plans = Vec::new();
    beside.registry.plan_retention(|plan| plans.push(plan)).await?;
    if as_json {
        return Ok(format!("{:#}\n", plans.iter().map(shown).collect::<Value>()));
    }
    if plans.is_empty() {
        return Ok("no rule is about a repository that is there\n".to_owned());
    }
    let lines = plans.iter().flat_map(|RetentionPlan { repository, tags, untagged }| {
        let tags = tags.iter().map(move |Decision { tag, stays, rule, why, .. }| {
            let word = if *stays { "stays" } else { "goes" };
            let rule = rule.map_or_else(String::new, |number| format!(" (rule {number})"));
            format!("{word:<5}  {repository}:{tag}  {why}{rule}\n")
        });
        let untagged = untagged.iter().map(move |digest| {
            format!("goes   {repository}@{digest}  without a tag for too long\n")
        });
        tags.chain(untagged)
    });
    Ok(lines.collect())
}

fn shown(RetentionPlan { repository, tags, untagged }: &RetentionPlan) -> Value {
    let tags = tags.iter().map(|Decision { tag, digest, stays, rule, why }| {
        json!({
            "tag": tag.as_str(),
            "digest": digest.to_string(),
            "stays": stays,
            "rule": rule,
            "why": why,
        })
    });
    let untagged = untagged.iter().map(ToString::to_string);
    json!({
        "repository": repository.as_str(),
        "tags": tags.collect::<Value>(),
        "untagged": untagged.collect::<Value>(),
    })
}
