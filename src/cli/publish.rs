//! `roadstead publish`: the public root into the DNS, now.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use clap::Args;
use serde_json::{Value, json};

use super::progress::Bar;
use super::{CommonArguments, output, runtime};
use crate::app::{
    App, AppError, Beside, RequestedPublication, expect_registry, publisher, request_publication,
};
use crate::config::{Settings, SettingsError};
use crate::dnslink::ServerAnswer;
use crate::registry::{Outcome, Plan, Progress, Publisher, Steps, Trigger, peek_root};

/// How long another process that publishes is waited for.
const TIMEOUT: Duration = Duration::from_mins(5);

const PAUSE: Duration = Duration::from_millis(100);

/// Publishes the public root under `publish.domain` now
#[derive(Debug, Args)]
#[command(
    after_help = "A server publishes by itself after each push. Use this command to see what would be published \
        (--dry-run), to replace a record that another program has changed (--force), or to wait until it is done \
        (--wait). A server that runs on the data folder does the work, else the command does.\n\n\
    Exit code 1: the root was not published, or with --dry-run, would not be.\n\n\
    Examples:\n  roadstead publish --dry-run\n  roadstead publish --wait"
)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub(super) struct PublishArguments {
    /// Shows the present and the new records, and changes nothing
    #[arg(long)]
    dry_run: bool,
    /// Waits until the zone's name servers answer with the new root
    #[arg(long, conflicts_with = "dry_run")]
    wait: bool,
    /// Replaces a record that another program has written
    #[arg(long)]
    force: bool,
    /// Prints JSON
    #[arg(long)]
    json: bool,
}

/// Publishes.
pub(super) fn run(
    common: &CommonArguments,
    arguments: &PublishArguments,
) -> anyhow::Result<ExitCode> {
    let settings = Settings::load(&common.sources(Vec::new()))?;
    if !settings.publish.is_enabled() {
        let (given, missing) = ("roadstead publish", "publish.domain");
        return Err(SettingsError::Needs { given, missing }.into());
    }
    expect_registry(&settings)?;
    let trigger = if arguments.force { Trigger::Force } else { Trigger::Now };
    let bar = Bar::new(arguments.json);
    bar.begin("publishing", Steps::Unknown);
    let (shown, text, is_done) = runtime()?.block_on(async {
        if arguments.dry_run {
            return dry_run(&settings, arguments.force).await;
        }
        match App::open(&settings).await {
            Ok(app) => {
                let publisher = expect(publisher(&settings, &app.registry)?)?;
                publish(&publisher, trigger).await?;
                Ok(shown_as(&app.registry.root().await?.to_string(), true))
            }
            Err(AppError::Locked { .. }) => ask(&settings, arguments).await,
            Err(error) => Err(error.into()),
        }
    })?;
    drop(bar);
    let text = if arguments.json { serde_json::to_string_pretty(&shown)? + "\n" } else { text };
    output::print(&text).context("cannot write to standard output")?;
    Ok(if is_done { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

type Shown = (Value, String, bool);

fn expect(publisher: Option<Publisher>) -> anyhow::Result<Publisher> {
    publisher.context("publishing is not set up: set `publish.domain`")
}

fn shown_as(root: &str, is_published: bool) -> Shown {
    let what = if is_published { "published" } else { "asked the server to publish" };
    (json!({ "root": root, "published": is_published }), format!("{what} {root}\n"), true)
}

/// Publishes where no server runs on the data folder; waits while a process on another machine publishes.
pub(super) async fn publish(publisher: &Publisher, trigger: Trigger) -> anyhow::Result<()> {
    let begun = Instant::now();
    loop {
        match publisher.publish(trigger).await? {
            Outcome::Published(_) | Outcome::Unchanged => return Ok(()),
            Outcome::Busy | Outcome::Overtaken if begun.elapsed() > TIMEOUT => {
                bail!(
                    "cannot publish: another process has been publishing for five minutes; see its log, and \
                     `roadstead status`"
                );
            }
            Outcome::Busy | Outcome::Overtaken => tokio::time::sleep(PAUSE).await,
        }
    }
}

/// Has the server that runs on the data folder publish.
async fn ask(settings: &Settings, arguments: &PublishArguments) -> anyhow::Result<Shown> {
    let data = &settings.server.data;
    let RequestedPublication { root, is_published } =
        request_publication(data, arguments.force, arguments.wait).await?;
    Ok(shown_as(&root, is_published))
}

async fn dry_run(settings: &Settings, force: bool) -> anyhow::Result<Shown> {
    let Beside { registry, index } = App::at_once(settings).await?;
    let publisher = expect(publisher(settings, &registry)?)?;
    let Plan { name, expected, responses, conflict } =
        publisher.plan(&peek_root(index).await?, force).await?;
    let mut text = String::new();
    for record in &expected {
        text.extend(["would write  ", &name, " TXT \"", record, "\"\n"]);
    }
    let mut servers = Vec::new();
    for response in &responses {
        let ServerAnswer { server, texts, alias } = response;
        let mut shown = match texts {
            Ok(texts) => json!({ "server": server, "records": texts }),
            Err(error) => json!({ "server": server, "failure": error.to_string() }),
        };
        if let Some(target) = alias {
            shown["alias"] = json!(target);
        }
        servers.push(shown);
        let fact: String =
            response.summary().chars().filter(|character| !character.is_control()).collect();
        text.extend([&format!("{server} says  "), &*fact, "\n"]);
    }
    if let Some(conflict) = &conflict {
        text.extend([&conflict.to_string(), "\n"]);
    }
    let shown = json!({
        "name": name,
        "wanted": expected,
        "servers": servers,
        "conflict": conflict.as_ref().map(ToString::to_string),
    });
    Ok((shown, text, conflict.is_none()))
}
