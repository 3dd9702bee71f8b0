//! `roadstead uploads`: uploads that were begun and have not ended.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::{Args, Subcommand};
use jiff::Timestamp;
use serde::Serialize;

use super::{CommonArguments, output, runtime};
use crate::app::{Uploads, expect_registry};
use crate::config::{Settings, parse_duration};
use crate::oci::RepositoryName;
use crate::registry::UploadSummary;

/// Lists and clears unfinished uploads
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  roadstead uploads list\n  roadstead uploads clear --older-than 1d"
)]
pub(super) struct UploadsArguments {
    #[command(subcommand)]
    command: UploadsCommand,
}

#[derive(Debug, Subcommand)]
enum UploadsCommand {
    /// Lists uploads under way, also beside a running server
    #[command(after_help = "Example:\n  roadstead uploads list --json | jq .[].bytes")]
    List {
        /// Prints JSON
        #[arg(long)]
        json: bool,
    },
    /// Removes the content of unfinished uploads; their clients have to start again
    #[command(
        after_help = "Uploads that a request is writing to are left out. A server that runs on the data folder \
            does the work, else the command does.\n\n\
        Examples:\n  roadstead uploads clear\n  roadstead uploads clear --older-than 1d"
    )]
    Clear {
        /// Only uploads that no client has continued for this long, such as 1d
        #[arg(long, value_name = "DURATION", value_parser = duration)]
        older_than: Option<Duration>,
        /// Only these uploads (default: all)
        #[arg(value_name = "ID")]
        ids: Vec<String>,
    },
}

/// What is printed as JSON.
#[derive(Serialize)]
struct Listed<'a> {
    repository: Option<&'a str>,
    id: &'a str,
    bytes: u64,
    touched: Option<Timestamp>,
    active: bool,
}

fn duration(text: &str) -> Result<Duration, String> {
    parse_duration(text).ok_or_else(|| "expected a duration such as 1d or 12h".to_owned())
}

/// Runs the subcommand.
pub(super) fn run(
    common: &CommonArguments,
    arguments: &UploadsArguments,
) -> anyhow::Result<ExitCode> {
    let settings = Settings::load(&common.sources(Vec::new()))?;
    expect_registry(&settings)?;
    let (text, code) = runtime()?.block_on(async {
        let uploads = Uploads::open(&settings).await?;
        let found = uploads.list().await?;
        anyhow::Ok(match &arguments.command {
            UploadsCommand::List { json: true } => (as_json(&found)?, ExitCode::SUCCESS),
            UploadsCommand::List { json: false } => (describe(&found), ExitCode::SUCCESS),
            UploadsCommand::Clear { older_than, ids } => {
                clear(&uploads, &found, *older_than, ids).await?
            }
        })
    })?;
    output::print(&text).context("cannot write to standard output")?;
    Ok(code)
}

async fn clear(
    uploads: &Uploads,
    found: &[UploadSummary],
    older_than: Option<Duration>,
    ids: &[String],
) -> anyhow::Result<(String, ExitCode)> {
    let unknown: Vec<&String> =
        ids.iter().filter(|id| !found.iter().any(|upload| upload.id == **id)).collect();
    let least = older_than.map_or(0, |age| i64::try_from(age.as_millis()).unwrap_or(i64::MAX));
    let latest = Timestamp::now().as_millisecond().saturating_sub(least);
    let selected = found
        .iter()
        .filter(|upload| (ids.is_empty() || ids.contains(&upload.id)) && upload.touched <= latest);
    let (active, selected): (Vec<_>, Vec<_>) = selected.partition(|upload| upload.is_active);
    let mut freed = 0;
    for upload in &selected {
        uploads.clear(&upload.id).await?;
        freed += upload.bytes;
    }
    let mut text =
        format!("{}, {freed} bytes cleared\n", output::counts([(selected.len(), "upload")]));
    for upload in active {
        text.extend([
            "left out: a request is writing to ",
            &upload.id,
            ", or did within the last minute\n",
        ]);
    }
    for id in &unknown {
        text.extend(["no upload ", &id.escape_debug().to_string(), "\n"]);
    }
    let code = if unknown.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    Ok((text, code))
}

fn as_json(uploads: &[UploadSummary]) -> anyhow::Result<String> {
    let listed = uploads.iter().map(|upload| Listed {
        repository: upload.repository.as_ref().map(RepositoryName::as_str),
        id: &upload.id,
        bytes: upload.bytes,
        touched: Timestamp::from_millisecond(upload.touched).ok(),
        active: upload.is_active,
    });
    Ok(serde_json::to_string_pretty(&listed.collect::<Vec<_>>())? + "\n")
}

fn describe(uploads: &[UploadSummary]) -> String {
    let mut text = String::new();
    for upload in uploads {
        let repository = upload.repository.as_ref().map_or("?", RepositoryName::as_str);
        let age = Timestamp::now().as_millisecond().saturating_sub(upload.touched).max(0) / 1000;
        let active = if upload.is_active { ", a request is writing to it" } else { "" };
        let (id, bytes, age) = (&upload.id, upload.bytes, short(age));
        text.extend([
            format!("{id}  {repository}  {bytes} bytes"),
            format!("  last continued {age} ago{active}\n"),
        ]);
    }
    let bytes: u64 = uploads.iter().map(|upload| upload.bytes).sum();
    text + &format!("{}, {bytes} bytes\n", output::counts([(uploads.len(), "upload")]))
}

/// A number of seconds in the largest unit that it fills.
fn short(seconds: i64) -> String {
    for (unit, length) in [("d", 86_400), ("h", 3600), ("m", 60)] {
        if seconds >= length {
            return format!("{}{unit}", seconds / length);
        }
    }
    format!("{seconds}s")
}
