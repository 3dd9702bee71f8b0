//! `roadstead tags`: the tags of a repository.

use std::process::ExitCode;

use anyhow::Context;
use clap::Args;
use serde_json::json;

use super::advice::registry;
use super::lines::lines;
use super::name::{self, ImageName};
use crate::cli::administration::{RegistryHost, print};
use crate::cli::connection::ConnectionArguments;
use crate::cli::runtime;
use crate::images::again;
use crate::oci::{RepositoryName, Tag};

/// Lists the tags of a repository
#[derive(Debug, Args)]
#[command(after_help = "One a line, in the order of the registry.\n\n\
    JSON: {\"repository\": \"registry.example/team/app\", \"tags\": [\"v1\"]}\n\n\
    Example:\n  roadstead tags registry.example/team/app")]
pub(in crate::cli) struct TagsArguments {
    /// The repository: HOST/NAME
    #[arg(value_name = "NAME", value_parser = parse)]
    repository: (RegistryHost, RepositoryName),
    /// Prints JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connection: ConnectionArguments,
}

fn parse(text: &str) -> Result<(RegistryHost, RepositoryName), String> {
    let ImageName { host, repository, .. } = match name::split(text)? {
        (_, rest) if rest.contains([':', '@']) => {
            return Err("expected a repository without a tag: HOST/NAME".to_owned());
        }
        _ => text.parse()?,
    };
    Ok((host, repository))
}

/// Lists them.
pub(in crate::cli) fn run(arguments: &TagsArguments) -> anyhow::Result<ExitCode> {
    let (host, name) = &arguments.repository;
    let listed = runtime()?.block_on(async {
        let connection = arguments.connection.connect(host, Some(name)).await?;
        let repository = connection.repository(name);
        let listed = again(|| repository.tags().all()).await;
        listed.map_err(|error| registry(error, &[&connection]))
    })?;
    let tags: Vec<&str> = listed.iter().map(Tag::as_str).collect();
    let text = if arguments.json {
        let value = json!({ "repository": format!("{host}/{name}"), "tags": tags });
        serde_json::to_string_pretty(&value).context("cannot write JSON")? + "\n"
    } else {
        lines(tags)
    };
    print(&text)?;
    Ok(ExitCode::SUCCESS)
}
