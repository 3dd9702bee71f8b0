//! `roadstead status`: how a registry stands.

use std::collections::BTreeSet;
use std::process::ExitCode;

use anyhow::Context;
use clap::Args;
use jiff::Timestamp;
use serde::Serialize;

use super::{CommonArguments, output, runtime};
use crate::app::{App, Beside, expect_registry, index_kind, provider_id};
use crate::config::Settings;
use crate::registry::{Failure, Publication, peek_root, published};

/// How wide the names of facts are, with the space behind them.
const WIDTH: usize = 17;

/// Shows the root, the published root and queued changes; works while a server is running
#[derive(Debug, Args)]
#[command(
    after_help = "Exit code 1: the index cannot be read, the storage cannot be read or written, or publishing fails.\n\n\
    Examples:\n  roadstead status\n  roadstead status --json | jq .publishing.pending"
)]
pub(super) struct StatusArguments {
    /// Prints JSON
    #[arg(long)]
    json: bool,
}

/// What is printed as JSON.
#[derive(Serialize)]
struct Status {
    data: String,
    root: String,
    driver: &'static str,
    index: &'static str,
    queue: u64,
    broken: Vec<String>,
    publishing: Option<Publishing>,
    /// What was published last, where nothing is any more.
    #[serde(skip_serializing_if = "Option::is_none")]
    formerly: Option<Formerly>,
}

#[derive(Serialize)]
struct Formerly {
    domain: String,
    root: String,
}

#[derive(Serialize)]
struct Publishing {
    domain: String,
    provider: &'static str,
    root: Option<String>,
    published: Option<Timestamp>,
    pending: bool,
    hints: Vec<String>,
    #[serde(rename = "kept")]
    earlier_roots: Vec<ServedRoot>,
    failure: Option<Failing>,
}

#[derive(Serialize)]
struct ServedRoot {
    root: String,
    until: Option<Timestamp>,
}

#[derive(Serialize)]
struct Failing {
    kind: String,
    reason: String,
    since: Timestamp,
    tried: Timestamp,
}

/// Shows it.
pub(super) fn run(
    common: &CommonArguments,
    arguments: &StatusArguments,
) -> anyhow::Result<ExitCode> {
    let settings = Settings::load(&common.sources(Vec::new()))?;
    expect_registry(&settings)?;
    let status = runtime()?.block_on(look(&settings))?;
    let text = if arguments.json {
        serde_json::to_string_pretty(&status)? + "\n"
    } else {
        describe(&status)
    };
    output::print(&text).context("cannot write to standard output")?;
    let is_failing = !status.broken.is_empty()
        || status.publishing.is_some_and(|publishing| publishing.failure.is_some());
    Ok(if is_failing { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

async fn look(settings: &Settings) -> anyhow::Result<Status> {
    let Beside { index, registry } = App::at_once(settings).await?;
    let pinged = registry.ping_storage().await;
    let broken = pinged.err().map(|error| format!("storage: {error}"));
    let root = peek_root(index.clone()).await?.to_string();
    let record = published(index.as_ref()).await?;
    let formerly = record.as_ref().filter(|_| !settings.publish.is_enabled()).and_then(|record| {
        Some(Formerly { domain: record.domain.clone(), root: record.root?.to_string() })
    });
    let publishing = if settings.publish.is_enabled() {
        let record = record.filter(|record| record.domain == settings.publish.domain);
        let mut roots = index.published_roots().await?;
        roots.sort_by_key(|root| root.retained_since);
        let known = record.as_ref().and_then(|record| record.root);
        let others = roots.into_iter().filter(|root| Some(root.root) != known);
        let earlier_roots = others.map(|retained| ServedRoot {
            root: retained.root.to_string(),
            until: retained.expires.and_then(moment),
        });
        Some(publishing(settings, record, &root, earlier_roots.collect()))
    } else {
        None
    };
    let (driver, queue) = (settings.storage.driver, index.open_entry_count().await?);
    let data = settings.server.data.display().to_string();
    Ok(Status {
        data,
        root,
        driver,
        index: index_kind(settings),
        queue,
        broken: broken.into_iter().collect(),
        publishing,
        formerly,
    })
}

fn publishing(
    settings: &Settings,
    record: Option<Publication>,
    root: &str,
    earlier_roots: Vec<ServedRoot>,
) -> Publishing {
    let hints = record.iter().flat_map(|record| &record.ours);
    let hints = hints.filter_map(|text| text.strip_prefix("ipfsnode=")).map(str::to_owned);
    let known =
        record.as_ref().and_then(|record| Some((record.root?.to_string(), record.published)));
    Publishing {
        domain: settings.publish.domain.clone(),
        provider: settings.publish.provider,
        pending: known.as_ref().is_none_or(|(known, _)| known != root)
            || record.as_ref().is_some_and(|record| !is_in_force(settings, record)),
        published: known.as_ref().and_then(|(_, published)| moment(*published)),
        root: known.map(|(known, _)| known),
        hints: hints.collect(),
        earlier_roots,
        failure: record.and_then(|record| record.failure).map(failing),
    }
}

/// Returns whether the records were written with the settings as they are.
fn is_in_force(settings: &Settings, record: &Publication) -> bool {
    let publish = &settings.publish;
    let expected: BTreeSet<&str> = publish.hint.iter().map(String::as_str).collect();
    let known = record.ours.iter().filter_map(|text| text.strip_prefix("ipfsnode="));
    record.ttl == Some(publish.ttl.as_secs())
        && record.provider_id.as_deref() == Some(&*provider_id(publish))
        // Where none is given, only the server finds out which are expected.
        && (expected.is_empty() || known.collect::<BTreeSet<_>>() == expected)
}

fn failing(failure: Failure) -> Failing {
    let Failure { kind, reason, since, tried } = failure;
    let moment = |time| moment(time).unwrap_or_default();
    Failing { kind, reason, since: moment(since), tried: moment(tried) }
}

fn moment(milliseconds: i64) -> Option<Timestamp> {
    Timestamp::from_millisecond(milliseconds).ok()
}

fn describe(status: &Status) -> String {
    let Status { data, root, driver, index, queue, broken, publishing, formerly } = status;
    let mut text = String::new();
    let mut add = |what: &str, fact: &str| {
        let space = " ".repeat(WIDTH.saturating_sub(what.len()));
        // What is in the DNS may be foreign: it cannot move the cursor or begin another line.
        let fact: String = fact.chars().filter(|character| !character.is_control()).collect();
        text.extend([what, &space, &fact, "\n"]);
    };
    add("data", data);
    add("root", root);
    add("storage", driver);
    add("index", index);
    add("waiting changes", &queue.to_string());
    for what in broken {
        add("broken", what);
    }
    let Some(publishing) = publishing else {
        add("publishing", "no: publish.domain is not set");
        if let Some(Formerly { domain, root }) = formerly {
            add("still served", &format!("{root}, published under {domain} before"));
        }
        return text;
    };
    let Publishing { domain, provider, root, published, pending, hints, earlier_roots, failure } =
        publishing;
    add("publishing", &format!("under {domain}, by {provider}"));
    match (root, published) {
        (Some(root), Some(published)) => add("published", &format!("{root} at {published:.0}")),
        _ => add("published", "nothing yet"),
    }
    add("pending", if *pending { "yes" } else { "no" });
    for hint in hints {
        add("hint", hint);
    }
    for ServedRoot { root, until } in earlier_roots {
        match until {
            Some(until) => add("still served", &format!("{root} until {until:.0}")),
            None => add("still served", &format!("{root} until another root is published")),
        }
    }
    if let Some(Failing { reason, since, tried, .. }) = failure {
        add("failing", &format!("since {since:.0}, last at {tried:.0}: {reason}"));
    }
    text
}
