//! `roadstead token`: access tokens of users and robots.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::runtime;
use super::session::{RegistryArguments, Session};
use super::table::{Column, print, print_done, print_list};
use crate::config::parse_duration;

const COLUMNS: &[Column] = &[
    ("ID", "id"),
    ("NAME", "name"),
    ("OWNER", "owner"),
    ("EXPIRES", "expires"),
    ("LAST USED", "lastUsed"),
    ("REVOKED", "isRevoked"),
    ("SCOPES", "scopes"),
];

const LIST: &str = "query($owner: String, $after: String, $first: Int) \
    { tokens(owner: $owner, after: $after, first: $first) \
    { items { id name owner scopes created expires lastUsed isRevoked } next } }";

const ROBOT_COLUMNS: &[Column] = &[
    ("NAME", "name"),
    ("NAMESPACE", "namespace"),
    ("MAKER", "maker"),
    ("DISABLED", "isDisabled"),
    ("CREATED", "created"),
];

const LIST_ROBOTS: &str = "query($namespace: String, $after: String, $first: Int) \
    { robots(namespace: $namespace, after: $after, first: $first) \
    { items { name namespace maker isDisabled created } next } }";

const CREATE: &str = "mutation($name: String!, $robot: RobotInput, $scopes: [String!]!, $lifetime: Int) \
    { createToken(name: $name, robot: $robot, scopes: $scopes, lifetime: $lifetime) \
    { secret token { id name owner scopes created expires } } }";

/// Manages access tokens, which stand in the place of passwords
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  roadstead token create ci --robot --namespace acme --scope 'acme/**:pull,push' --expires 90d"
)]
pub(in crate::cli) struct TokenArguments {
    #[command(flatten)]
    target: RegistryArguments,
    #[command(subcommand)]
    command: TokenCommand,
}

#[derive(Debug, Subcommand)]
enum TokenCommand {
    /// Makes an access token: of your own, or with --robot of a robot
    #[command(
        after_help = "The secret is printed once, and is the password of its owner at `docker login`. A token may do what \
            its scopes say, as long as its owner and who made it may: `PATTERN:pull,push,delete` in repositories, \
            `admin`, `audit`, `metrics`, `namespaces` or `tokens` elsewhere.\n\n\
        Examples:\n  roadstead token create laptop --scope '**:pull' --expires 30d\n  \
        roadstead token create ci --robot --namespace acme --scope 'acme/**:pull,push' --expires 1d --quiet > ci.secret"
    )]
    Create {
        /// The name of the token; with --robot the name of the robot, which is made if it is not there
        name: String,
        /// Makes it for a robot
        #[arg(long, requires = "namespace")]
        robot: bool,
        /// The namespace of the robot
        #[arg(long, value_name = "NS", requires = "robot")]
        namespace: Option<String>,
        /// What it is good for; may be repeated
        #[arg(long = "scope", value_name = "PATTERN:ACTS", required = true)]
        scopes: Vec<String>,
        /// How long it is good for, such as 90d (default: for good)
        #[arg(long, value_name = "DURATION", value_parser = duration)]
        expires: Option<Duration>,
        /// Prints the secret alone
        #[arg(short, long)]
        quiet: bool,
    },
    /// Lists the tokens that you made, or those of a user or robot; with --robots the robots themselves
    #[command(
        after_help = "`roadstead user disable NAME` and `remove NAME` are for robots, too.\n\n\
        Examples:\n  roadstead token list\n  roadstead token list acme-ci\n  roadstead token list --robots --namespace acme"
    )]
    List {
        /// The user or robot
        owner: Option<String>,
        /// Lists robots: those of the namespaces that you own, or, for administrators, all
        #[arg(long, conflicts_with = "owner")]
        robots: bool,
        /// Only those of this namespace
        #[arg(long, value_name = "NS", requires = "robots")]
        namespace: Option<String>,
    },
    /// Revokes a token for good
    #[command(after_help = "Example:\n  roadstead token revoke mfzwizltoq4tamrt")]
    Revoke {
        /// Its id, as `roadstead token list` shows it
        id: String,
    },
}

fn duration(text: &str) -> Result<Duration, String> {
    // A number alone would be seconds, and is meant as days.
    let has_unit = text.ends_with(|last: char| last.is_ascii_alphabetic());
    let duration = has_unit.then(|| parse_duration(text)).flatten();
    duration.ok_or_else(|| "expected a duration with its unit, such as 1d or 12h".to_owned())
}

/// Runs the subcommand.
pub(in crate::cli) fn run(arguments: &TokenArguments) -> anyhow::Result<ExitCode> {
    runtime()?.block_on(carry_out(arguments))?;
    Ok(ExitCode::SUCCESS)
}

async fn carry_out(arguments: &TokenArguments) -> anyhow::Result<()> {
    let TokenArguments { target, command } = arguments;
    let session = Session::open(target.registry.as_ref())?;
    match command {
        TokenCommand::Create { name, namespace, scopes, expires, quiet, .. } => {
            let robot = namespace.as_ref().map(|it| json!({ "name": name, "namespace": it }));
            let lifetime = expires.map(|it| i32::try_from(it.as_secs()).unwrap_or(i32::MAX));
            let variables =
                json!({ "name": name, "robot": robot, "scopes": scopes, "lifetime": lifetime });
            let mut data = session.run(CREATE, variables).await?;
            let mut made = data["createToken"]["token"].take();
            made["secret"] = data["createToken"]["secret"].take();
            if *quiet {
                let secret = made["secret"].as_str().context("no secret was sent")?;
                return print(&format!("{secret}\n"));
            }
            show(&made, target.json)
        }
        TokenCommand::List { robots: true, namespace, .. } => {
            let robots =
                session.list(LIST_ROBOTS, "robots", json!({ "namespace": namespace })).await?;
            print_list(&robots, ROBOT_COLUMNS, target.json)
        }
        TokenCommand::List { owner, .. } => {
            let tokens = session.list(LIST, "tokens", json!({ "owner": owner })).await?;
            print_list(&tokens, COLUMNS, target.json)
        }
        TokenCommand::Revoke { id } => {
            session
                .run("mutation($id: String!) { revokeToken(id: $id) }", json!({ "id": id }))
                .await?;
            print_done(&json!({ "id": id }), &format!("revoked {id}"), target.json)
        }
    }
}

/// Prints a token that was just made.
fn show(made: &Value, as_json: bool) -> anyhow::Result<()> {
    if as_json {
        return print(&(serde_json::to_string_pretty(made)? + "\n"));
    }
    let text = |field: &str| made[field].as_str().unwrap_or("-");
    print(&format!(
        "id       {}\nuser     {}\nexpires  {}\nsecret   {}\nThe secret is not shown again.\n",
        text("id"),
        text("owner"),
        made["expires"].as_str().unwrap_or("never"),
        text("secret")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lifetime_has_its_unit() {
        let days = |days: u64| Some(Duration::from_hours(days * 24));
        for (text, expected) in [
            ("90d", days(90)),
            ("12h", Some(Duration::from_hours(12))),
            ("90", None),
            ("1.5", None),
            ("", None),
            ("d", None),
            ("90 days and nights", None),
            ("-1d", None),
        ] {
            assert_eq!(duration(text).ok(), expected, "{text}");
        }
    }
}
