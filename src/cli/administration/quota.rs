//! `roadstead quota`: what namespaces may have at most.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::json;

use super::byte_count::ByteCount;
use super::runtime;
use super::session::{RegistryArguments, Session};
use super::table::{Column, print_done, print_list};

const COLUMNS: &[Column] = &[
    ("NAMESPACE", "namespace"),
    ("BYTES", "usedBytes"),
    ("OF", "bytes"),
    ("UNREFERENCED", "usedUnreferenced"),
    ("OF", "unreferenced"),
    ("REPOSITORIES", "usedRepositories"),
    ("OF", "repositories"),
    ("TAGS", "usedTags"),
    ("OF", "tags"),
];

/// All that there is to say of a quota.
const FIELDS: &str = "namespace bytes unreferenced repositories tags \
    usedBytes usedUnreferenced usedRepositories usedTags";

/// Manages quotas: what the repositories of a namespace may have at most, together
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  roadstead quota set acme --bytes 10GB --repositories 50\n  roadstead quota list"
)]
pub(in crate::cli) struct QuotaArguments {
    #[command(flatten)]
    target: RegistryArguments,
    #[command(subcommand)]
    command: QuotaCommand,
}

#[derive(Debug, Subcommand)]
enum QuotaCommand {
    /// Limits a namespace; what is not named stays as it is
    #[command(
        after_help = "Content counts once, however many repositories of the namespace have it, as long as a manifest \
        names it.\n\nExamples:\n  roadstead quota set acme --bytes 10GB\n  \
        roadstead quota set acme --repositories 50 --tags 500"
    )]
    Set {
        /// The namespace
        namespace: String,
        /// How many bytes its images may have, such as 500MB or 10GiB
        #[arg(long, value_name = "SIZE")]
        bytes: Option<ByteCount>,
        /// How many bytes of blobs there may be that no manifest names (with --bytes: twice as many)
        #[arg(long, value_name = "SIZE")]
        unreferenced: Option<ByteCount>,
        /// How many repositories it may have
        #[arg(long, value_name = "NUMBER")]
        repositories: Option<u64>,
        /// How many tags they may have
        #[arg(long, value_name = "NUMBER")]
        tags: Option<u64>,
    },
    /// Lists quotas, and how much of each is used: of your namespaces; all, for administrators
    #[command(after_help = "Example:\n  roadstead quota list --json")]
    List,
    /// Takes all limits of a namespace away
    #[command(after_help = "Example:\n  roadstead quota remove acme")]
    Remove {
        /// The namespace
        namespace: String,
    },
}

/// Runs the subcommand.
pub(in crate::cli) fn run(arguments: &QuotaArguments) -> anyhow::Result<ExitCode> {
    runtime()?.block_on(carry_out(arguments))?;
    Ok(ExitCode::SUCCESS)
}

async fn carry_out(arguments: &QuotaArguments) -> anyhow::Result<()> {
    let QuotaArguments { target, command } = arguments;
    let session = Session::open(target.registry.as_ref())?;
    match command {
        QuotaCommand::List => {
            let query = format!(
                "query($after: String, $first: Int) {{ quotas(after: $after, first: $first) \
                 {{ items {{ {FIELDS} }} next }} }}"
            );
            let quotas = session.list(&query, "quotas", json!({})).await?;
            print_list(&quotas, COLUMNS, target.json)
        }
        QuotaCommand::Set { namespace, bytes, unreferenced, repositories, tags } => {
            let query = format!(
                "mutation($namespace: String!, $bytes: Count, $unreferenced: Count, $repositories: Count, \
                 $tags: Count) {{ setQuota(namespace: $namespace, bytes: $bytes, unreferenced: $unreferenced, \
                 repositories: $repositories, tags: $tags) {{ {FIELDS} }} }}"
            );
            let variables = json!({
                "namespace": namespace,
                "bytes": bytes.map(ByteCount::number),
                "unreferenced": unreferenced.map(ByteCount::number),
                "repositories": repositories,
                "tags": tags,
            });
            let data = session.run(&query, variables).await?;
            let quota = &data["setQuota"];
            let limits = ["bytes", "unreferenced", "repositories", "tags"].into_iter();
            let limits = limits.filter(|name| !quota[*name].is_null());
            let limits: Vec<String> =
                limits.map(|name| format!("{name} {}", quota[name])).collect();
            let sentence = format!("{namespace} may have at most: {}", limits.join(", "));
            print_done(quota, &sentence, target.json)
        }
        QuotaCommand::Remove { namespace } => {
            let query =
                "mutation($namespace: String!) { removeQuota(namespace: $namespace) }".to_owned();
            let data = session.run(&query, json!({ "namespace": namespace })).await?;
            let sentence = format!("{namespace} has no quota any more");
            print_done(&data["removeQuota"], &sentence, target.json)
        }
    }
}
