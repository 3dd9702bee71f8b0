//! `roadstead complete-names`: what a shell asks while a name is typed. It prints what the name may go on with, ends by itself in a
//! short time, and is silent about what fails: the user is typing.

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use tokio::time::timeout;

use super::lines::lines;
use super::name;
use crate::cli::administration::{DockerConfig, RegistryHost, print};
use crate::cli::connection::ConnectionArguments;
use crate::cli::runtime;
use crate::client::Client;

/// How long a registry may take. The shell waits meanwhile.
const LIMIT: Duration = Duration::from_secs(2);

/// How many names are printed at most.
const MOST: usize = 200;

/// How many names a page of a list has.
const PAGE: usize = 1000;

/// Prints what a name of an image may go on with, for the scripts of `roadstead completions`
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  roadstead complete-names registry.example/team/a")]
pub(in crate::cli) struct CompleteNamesArguments {
    /// What was typed so far
    #[arg(allow_hyphen_values = true)]
    typed: String,
}

/// Prints them.
pub(in crate::cli) fn run(arguments: &CompleteNamesArguments) -> anyhow::Result<ExitCode> {
    let runtime = runtime()?;
    let mut found = runtime.block_on(candidates(&arguments.typed));
    // What is under way in other threads ends with the process.
    runtime.shutdown_background();
    found.retain(|name| name.starts_with(&arguments.typed));
    found.truncate(MOST);
    print(&lines(found.iter().map(String::as_str)))?;
    Ok(ExitCode::SUCCESS)
}

async fn candidates(typed: &str) -> Vec<String> {
    let mut found = Vec::new();
    if !typed.contains('/') {
        let known = DockerConfig::of_user().map(|config| config.registries()).unwrap_or_default();
        return known.into_iter().map(|host| format!("{host}/")).collect();
    }
    // What came in time counts.
    let _ = timeout(LIMIT, list(typed, &mut found)).await;
    found
}

/// Lists the repositories of a registry, or the tags of a repository, with what stands before them as it was typed.
async fn list(typed: &str, found: &mut Vec<String>) -> anyhow::Result<()> {
    let (host, rest) = name::split(typed).map_err(anyhow::Error::msg)?;
    if rest.len() == typed.len() {
        // Without a host it is an image of docker's as often as one of Docker Hub, which is not asked about those.
        return Ok(());
    }
    let before = &typed[..typed.len() - rest.len()];
    let Some((name, _)) = rest.rsplit_once(':') else {
        return repositories(&host, before, rest, found).await;
    };
    let repository = name::repository(&host, name).map_err(anyhow::Error::msg)?;
    let client = connect(&host, Some(repository.as_str())).await?;
    let mut pages = client.repository(&repository).tags().of_size(PAGE);
    while let Some(page) = pages.next().await? {
        found.extend(page.iter().map(|tag| format!("{before}{name}:{tag}")));
    }
    Ok(())
}

async fn repositories(
    host: &RegistryHost,
    before: &str,
    begun: &str,
    found: &mut Vec<String>,
) -> anyhow::Result<()> {
    let mut pages = connect(host, None).await?.repositories().of_size(PAGE);
    while let Some(page) = pages.next().await? {
        let fitting = page.iter().filter(|name| name.as_str().starts_with(begun));
        found.extend(fitting.map(|name| format!("{before}{name}")));
    }
    Ok(())
}

/// Connects as who has signed in. No credential helper is run: it may ask its user for something.
async fn connect(host: &RegistryHost, repository: Option<&str>) -> anyhow::Result<Client> {
    let login = DockerConfig::of_user()?.login_at_hand(host.as_str(), repository)?;
    Ok(ConnectionArguments::default().connect_as(host, login).await?.client)
}
