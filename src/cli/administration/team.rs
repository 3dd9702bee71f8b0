//! `roadstead team`: users and robots that are given roles together.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::json;

use super::runtime;
use super::session::{RegistryArguments, Session};
use super::table::{Column, print_done, print_list};

const TEAMS: &[Column] = &[("NAME", "name"), ("CREATED", "created")];
const MEMBERS: &[Column] = &[("NAME", "name"), ("KIND", "kind"), ("DISABLED", "isDisabled")];

const LIST: &str = "query($after: String, $first: Int) { teams(after: $after, first: $first) \
    { items { name created } next } }";

const LIST_MEMBERS: &str = "query($team: String!, $after: String, $first: Int) \
    { teamMembers(team: $team, after: $after, first: $first) { items { name kind isDisabled } next } }";

/// Manages teams, which are given roles as `team:NAME`
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  roadstead team add dev\n  roadstead team add dev anna\n  roadstead grant add team:dev writer 'acme/**'"
)]
pub(in crate::cli) struct TeamArguments {
    #[command(flatten)]
    target: RegistryArguments,
    #[command(subcommand)]
    command: TeamCommand,
}

#[derive(Debug, Subcommand)]
enum TeamCommand {
    /// Adds a team, or a member to one
    #[command(after_help = "Examples:\n  roadstead team add dev\n  roadstead team add dev anna")]
    Add {
        /// The team
        team: String,
        /// The user or robot who joins it
        member: Option<String>,
    },
    /// Removes a team with its grants, or a member from one
    #[command(
        after_help = "Examples:\n  roadstead team remove dev anna\n  roadstead team remove dev"
    )]
    Remove {
        /// The team
        team: String,
        /// The user or robot who leaves it
        member: Option<String>,
    },
    /// Lists teams, or the members of one
    #[command(after_help = "Examples:\n  roadstead team list\n  roadstead team list dev --json")]
    List {
        /// The team
        team: Option<String>,
    },
}

/// Runs the subcommand.
pub(in crate::cli) fn run(arguments: &TeamArguments) -> anyhow::Result<ExitCode> {
    runtime()?.block_on(carry_out(arguments))?;
    Ok(ExitCode::SUCCESS)
}

async fn carry_out(arguments: &TeamArguments) -> anyhow::Result<()> {
    let TeamArguments { target, command } = arguments;
    let session = Session::open(target.registry.as_ref())?;
    let (query, team, member, sentence) = match command {
        TeamCommand::List { team: None } => {
            let teams = session.list(LIST, "teams", json!({})).await?;
            return print_list(&teams, TEAMS, target.json);
        }
        TeamCommand::List { team: Some(team) } => {
            let variables = json!({ "team": team });
            let members = session.list(LIST_MEMBERS, "teamMembers", variables).await?;
            return print_list(&members, MEMBERS, target.json);
        }
        TeamCommand::Add { team, member: None } => {
            let query = "mutation($team: String!) { addTeam(name: $team) { name } }";
            (query, team, None, format!("added the team {team}"))
        }
        TeamCommand::Add { team, member: Some(member) } => {
            let query = "mutation($team: String!, $member: String!) \
                { addTeamMember(team: $team, member: $member) }";
            (query, team, Some(member), format!("added {member} to {team}"))
        }
        TeamCommand::Remove { team, member: None } => {
            let query = "mutation($team: String!) { removeTeam(name: $team) }";
            (query, team, None, format!("removed the team {team}"))
        }
        TeamCommand::Remove { team, member: Some(member) } => {
            let query = "mutation($team: String!, $member: String!) \
                { removeTeamMember(team: $team, member: $member) }";
            (query, team, Some(member), format!("removed {member} from {team}"))
        }
    };
    let variables = match member {
        Some(member) => json!({ "team": team, "member": member }),
        None => json!({ "team": team }),
    };
    session.run(query, variables.clone()).await?;
    print_done(&variables, &sentence, target.json)
}
