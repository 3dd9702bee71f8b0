//! `roadstead grant`: who has which role where.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::json;

use super::runtime;
use super::session::{RegistryArguments, Session};
use super::table::{Column, print_done, print_list};

const COLUMNS: &[Column] =
    &[("HOLDER", "holder"), ("ROLE", "role"), ("PATTERN", "pattern"), ("CREATED", "created")];

const LIST: &str = "query($holder: String, $namespace: String, $after: String, $first: Int) \
    { grants(holder: $holder, namespace: $namespace, after: $after, first: $first) \
    { items { holder role pattern created } next } }";

/// Manages roles: who is reader, writer, maintainer or owner of which repositories
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  roadstead grant add anna writer 'acme/**'\n  roadstead grant list --namespace acme"
)]
pub(in crate::cli) struct GrantArguments {
    #[command(flatten)]
    target: RegistryArguments,
    #[command(subcommand)]
    command: GrantCommand,
}

#[derive(Debug, Subcommand)]
enum GrantCommand {
    /// Gives a role
    #[command(
        after_help = "A pattern is matched by component: `*` is one component, `**` at the end any number. Quote it.\n\n\
        Examples:\n  roadstead grant add anna reader acme/app\n  roadstead grant add team:dev writer 'acme/**'"
    )]
    Add(GrantedRole),
    /// Takes a role away
    #[command(after_help = "Example:\n  roadstead grant remove anna writer 'acme/**'")]
    Remove(GrantedRole),
    /// Lists roles: all that you may see, those of a holder, or those in a namespace
    #[command(
        after_help = "Examples:\n  roadstead grant list\n  roadstead grant list anna\n  roadstead grant list --namespace acme"
    )]
    List {
        /// A user, a robot or `team:NAME`
        holder: Option<String>,
        /// The namespace
        #[arg(long, value_name = "NS", conflicts_with = "holder")]
        namespace: Option<String>,
    },
}

#[derive(Debug, Args)]
struct GrantedRole {
    /// A user, a robot or `team:NAME`
    #[arg(value_name = "USER")]
    holder: String,
    /// reader, writer, maintainer or owner
    role: String,
    /// A repository, or a pattern such as `acme/**`
    pattern: String,
}

/// Runs the subcommand.
pub(in crate::cli) fn run(arguments: &GrantArguments) -> anyhow::Result<ExitCode> {
    runtime()?.block_on(carry_out(arguments))?;
    Ok(ExitCode::SUCCESS)
}

async fn carry_out(arguments: &GrantArguments) -> anyhow::Result<()> {
    let GrantArguments { target, command } = arguments;
    let session = Session::open(target.registry.as_ref())?;
    let (field, GrantedRole { holder, role, pattern }) = match command {
        GrantCommand::Add(granted) => ("addGrant", granted),
        GrantCommand::Remove(granted) => ("removeGrant", granted),
        GrantCommand::List { holder, namespace } => {
            let variables = json!({ "holder": holder, "namespace": namespace });
            let grants = session.list(LIST, "grants", variables).await?;
            return print_list(&grants, COLUMNS, target.json);
        }
    };
    let query = format!(
        "mutation($holder: String!, $role: String!, $pattern: String!) \
         {{ {field}(holder: $holder, role: $role, pattern: $pattern) }}"
    );
    let variables = json!({ "holder": holder, "role": role, "pattern": pattern });
    session.run(&query, variables.clone()).await?;
    let sentence = match command {
        GrantCommand::Remove(_) => format!("{holder} is no longer {role} of {pattern}"),
        _ => format!("{holder} is {role} of {pattern}"),
    };
    print_done(&variables, &sentence, target.json)
}
