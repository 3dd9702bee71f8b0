//! `roadstead namespace`: the first components of repositories' names.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::json;

use super::runtime;
use super::session::{RegistryArguments, Session};
use super::table::{Column, print_done, print_list};

const COLUMNS: &[Column] = &[("NAME", "name"), ("OWNER", "owner"), ("CREATED", "created")];

const LIST: &str = "query($after: String, $first: Int) { namespaces(after: $after, first: $first) \
    { items { name owner created } next } }";

/// Manages namespaces, the first components of repositories' names
#[derive(Debug, Args)]
#[command(
    after_help = "Names of namespaces are not secret.\n\nExamples:\n  roadstead namespace add acme\n  roadstead namespace list"
)]
pub(in crate::cli) struct NamespaceArguments {
    #[command(flatten)]
    target: RegistryArguments,
    #[command(subcommand)]
    command: NamespaceCommand,
}

#[derive(Debug, Subcommand)]
enum NamespaceCommand {
    /// Makes a namespace, which you own
    #[command(
        after_help = "Examples:\n  roadstead namespace add acme\n  roadstead namespace add acme --owner anna"
    )]
    Add {
        /// The name
        name: String,
        /// The user who owns it, where an administrator makes it
        #[arg(long, value_name = "USER")]
        owner: Option<String>,
    },
    /// Lists your namespaces; all, for administrators
    #[command(after_help = "Example:\n  roadstead namespace list")]
    List,
    /// Gives a namespace to another user; an administrator also to all of them, by naming none
    #[command(
        after_help = "Examples:\n  roadstead namespace owner acme anna\n  roadstead namespace owner acme"
    )]
    Owner {
        /// The name
        name: String,
        /// The user
        owner: Option<String>,
    },
    /// Removes a namespace that is empty: without repositories, robots and a quota
    #[command(
        after_help = "Roles that were given in it go with it. The name can be used again: where others may still pull by it, \
            leave the namespace, since who makes it next may push what they get.\n\n\
        Example:\n  roadstead namespace remove acme"
    )]
    Remove {
        /// The name
        name: String,
    },
}

/// Runs the subcommand.
pub(in crate::cli) fn run(arguments: &NamespaceArguments) -> anyhow::Result<ExitCode> {
    runtime()?.block_on(carry_out(arguments))?;
    Ok(ExitCode::SUCCESS)
}

async fn carry_out(arguments: &NamespaceArguments) -> anyhow::Result<()> {
    let NamespaceArguments { target, command } = arguments;
    let session = Session::open(target.registry.as_ref())?;
    let (field, name, owner) = match command {
        NamespaceCommand::List => {
            let namespaces = session.list(LIST, "namespaces", json!({})).await?;
            return print_list(&namespaces, COLUMNS, target.json);
        }
        NamespaceCommand::Remove { name } => {
            let query = "mutation($name: String!) { removeNamespace(name: $name) }";
            let variables = json!({ "name": name });
            session.run(query, variables.clone()).await?;
            return print_done(&variables, &format!("removed {name}"), target.json);
        }
        NamespaceCommand::Add { name, owner } => ("addNamespace", name, owner),
        NamespaceCommand::Owner { name, owner } => ("setNamespaceOwner", name, owner),
    };
    let query = format!(
        "mutation($name: String!, $owner: String) \
         {{ {field}(name: $name, owner: $owner) {{ name owner created }} }}"
    );
    let data = session.run(&query, json!({ "name": name, "owner": owner })).await?;
    let owner = data[field]["owner"].as_str().unwrap_or("the administrators");
    print_done(&data[field], &format!("{name} belongs to {owner}"), target.json)
}
