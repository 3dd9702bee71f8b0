//! `roadstead repository`: the repositories of a registry.

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use serde_json::json;

use super::session::{RegistryArguments, Session};
use super::table::{Column, print_done, print_list};
use super::{output, runtime};

const COLUMNS: &[Column] = &[("NAME", "name"), ("VISIBILITY", "visibility")];

const LIST: &str = "query($after: String, $first: Int) { repositories(after: $after, first: $first) \
    { items { name visibility } next } }";

/// Manages the repositories of a registry
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  roadstead repository list\n  roadstead repository owner acme/app anna"
)]
pub(in crate::cli) struct RepositoryArguments {
    #[command(flatten)]
    target: RegistryArguments,
    #[command(subcommand)]
    command: RepositoryCommand,
}

#[derive(Debug, Subcommand)]
enum RepositoryCommand {
    /// Lists the repositories that you may see
    #[command(after_help = "Example:\n  roadstead repository list --json")]
    List,
    /// Says who may see a repository: `public` (everybody), `internal` (who has signed in) or `private` (who has a role)
    #[command(
        after_help = "What was public may be in caches: browsers and proxies serve it for up to an hour, and what others have \
        fetched cannot be called back. What was published is withdrawn from this registry's gateway at once.\n\n\
        Example:\n  roadstead repository visibility acme/app public"
    )]
    Visibility {
        /// The repository
        repository: String,
        /// Who may see it
        #[arg(value_parser = ["public", "internal", "private"])]
        visibility: String,
    },
    /// Removes a repository with all its images: for who has the role owner there
    #[command(
        after_help = "Its tags, manifests and blobs are gone for every client at once, and for a public repository from every \
            root that the gateway serves. Roles that were given on its name stay; `roadstead grant list` shows them. What others \
            have fetched cannot be called back. On a terminal the command asks before, unless --yes is given.\n\n\
        Example:\n  roadstead repository remove acme/app --yes"
    )]
    Remove {
        /// The repository
        repository: String,
        /// Does not ask
        #[arg(long)]
        yes: bool,
    },
    /// Gives a user, a robot or `team:NAME` the role owner in one repository
    #[command(after_help = "`roadstead grant remove NAME owner REPOSITORY` takes it away.\n\n\
        Example:\n  roadstead repository owner acme/app anna")]
    Owner {
        /// The repository
        repository: String,
        /// A user, a robot or `team:NAME`
        owner: String,
    },
}

/// Runs the subcommand.
pub(in crate::cli) fn run(arguments: &RepositoryArguments) -> anyhow::Result<ExitCode> {
    runtime()?.block_on(carry_out(arguments))?;
    Ok(ExitCode::SUCCESS)
}

async fn carry_out(arguments: &RepositoryArguments) -> anyhow::Result<()> {
    let RepositoryArguments { target, command } = arguments;
    let session = Session::open(target.registry.as_ref())?;
    match command {
        RepositoryCommand::List => {
            let mut repositories = session.list(LIST, "repositories", json!({})).await?;
            for repository in &mut repositories {
                let visibility = repository["visibility"].as_str().map(str::to_ascii_lowercase);
                repository["visibility"] = json!(visibility);
            }
            print_list(&repositories, COLUMNS, target.json)
        }
        RepositoryCommand::Visibility { repository, visibility } => {
            let query = "mutation($name: String!, $visibility: Visibility!) \
                { setVisibility(name: $name, visibility: $visibility) { name visibility } }";
            let value = visibility.to_ascii_uppercase();
            session.run(query, json!({ "name": repository, "visibility": value })).await?;
            let done = json!({ "name": repository, "visibility": visibility });
            let note = match visibility.as_str() {
                "public" => "",
                _ => "; if it was public, shared caches may still serve it for up to an hour",
            };
            print_done(&done, &format!("{repository} is {visibility}{note}"), target.json)
        }
        RepositoryCommand::Remove { repository, yes } => {
            if !yes && !is_confirmed(repository)? {
                bail!("nothing was removed");
            }
            let query = "mutation($name: String!) { removeRepository(name: $name) }";
            session.run(query, json!({ "name": repository })).await?;
            print_done(
                &json!({ "name": repository }),
                &format!("removed {repository}"),
                target.json,
            )
        }
        RepositoryCommand::Owner { repository, owner } => {
            let query = "mutation($name: String!, $owner: String!) \
                { addRepositoryOwner(name: $name, owner: $owner) }";
            let variables = json!({ "name": repository, "owner": owner });
            session.run(query, variables.clone()).await?;
            print_done(&variables, &format!("{owner} is owner of {repository}"), target.json)
        }
    }
}

/// Asks the user on a terminal whether to remove the repository.
fn is_confirmed(repository: &str) -> anyhow::Result<bool> {
    const DOING: &str = "cannot ask";

    if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return Ok(true);
    }
    let shown = output::printable(repository);
    let mut terminal = io::stderr();
    write!(terminal, "Remove {shown} with all its images? Type yes: ").context(DOING)?;
    terminal.flush().context(DOING)?;
    let mut answer = String::new();
    io::stdin().read_line(&mut answer).context(DOING)?;
    Ok(answer.trim().eq_ignore_ascii_case("yes"))
}
