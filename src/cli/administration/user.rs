//! `roadstead user`: users of a registry.

use std::fmt::Write as _;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::bail;
use clap::{Args, Subcommand};
use secrecy::ExposeSecret;
use serde_json::{Value, json};

use super::import::{self, ImportedUser};
use super::session::{RegistryArguments, Session};
use super::table::{Column, print_done, print_list};
use super::{CommonArguments, offline, password, runtime};

const COLUMNS: &[Column] = &[
    ("NAME", "name"),
    ("ADMINISTRATOR", "isAdministrator"),
    ("DISABLED", "isDisabled"),
    ("CREATED", "created"),
];

const LIST: &str = "query($after: String, $first: Int) { users(after: $after, first: $first) \
    { items { name isAdministrator isDisabled created } next } }";

/// Manages the users of a registry
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  roadstead user list\n  cat password | roadstead user add anna --password-stdin"
)]
pub(in crate::cli) struct UserArguments {
    #[command(flatten)]
    target: RegistryArguments,
    #[command(subcommand)]
    command: UserCommand,
}

#[derive(Debug, Subcommand)]
enum UserCommand {
    /// Adds a user, who owns the namespace of that name
    #[command(after_help = "Example:\n  cat password | roadstead user add anna --password-stdin")]
    Add {
        /// The name: lower-case letters and digits, with single `_` or `-` between
        name: String,
        /// Reads the password from standard input
        #[arg(long)]
        password_stdin: bool,
        /// Makes the user an administrator
        #[arg(long)]
        admin: bool,
    },
    /// Adds the users of a password file, as `htpasswd -B` makes it
    #[command(
        after_help = "Passwords stay the same; each hash is replaced by one of argon2id at the first sign-in. A user who is \
            there already stays unchanged, so the command can be repeated. A file with a line that cannot be used is refused \
            as a whole.\n\n\
        Exit code 1: a name is taken, for example by a namespace; the others were added.\n\n\
        Example:\n  roadstead user import htpasswd"
    )]
    Import {
        /// The file
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// Makes a user an administrator
    #[command(after_help = "Example:\n  roadstead user promote anna")]
    Promote {
        /// The name
        name: String,
    },
    /// Makes an administrator a user like any other; the last one who can sign in stays
    #[command(after_help = "Example:\n  roadstead user demote anna")]
    Demote {
        /// The name
        name: String,
    },
    /// Lists users
    #[command(after_help = "Example:\n  roadstead user list --json")]
    List,
    /// Disables a user or a robot, and with a user all that it made
    #[command(after_help = "Example:\n  roadstead user disable anna")]
    Disable {
        /// The name
        name: String,
    },
    /// Enables a user or a robot again
    #[command(after_help = "Example:\n  roadstead user enable anna")]
    Enable {
        /// The name
        name: String,
    },
    /// Removes a user or a robot for good
    #[command(
        after_help = "Its tokens, grants and memberships go with it. Its namespaces become the administrators', and the \
            name cannot be used again.\n\n\
        Example:\n  roadstead user remove anna"
    )]
    Remove {
        /// The name
        name: String,
    },
    /// Gives a robot to a user, whose rights bound it from then on: to you, or by an administrator to another user
    #[command(
        after_help = "A robot may do no more than the user who made it. When that user leaves: take the robot over, make a new \
            token for it and give that to CI, then remove the user, whose tokens end with that. A robot whose maker was removed \
            already is disabled; take it over, enable it, and make a new token.\n\n\
        Examples:\n  roadstead user maker acme-ci\n  roadstead user maker acme-ci ben"
    )]
    Maker {
        /// The robot
        robot: String,
        /// The user, where an administrator gives it to another one
        user: Option<String>,
    },
    /// Gives a user another password
    #[command(
        after_help = "With --data or --config the password is set in that data folder, without signing in; no server may \
            run on it.\n\n\
        Examples:\n  cat password | roadstead user password anna --password-stdin\n  \
        cat password | roadstead user password anna --password-stdin --data /var/lib/roadstead"
    )]
    Password {
        /// The name
        name: String,
        /// Reads the password from standard input, as without a terminal
        #[arg(long)]
        password_stdin: bool,
    },
}

impl UserArguments {
    /// Tells whether it works on a data folder.
    pub(in crate::cli) fn uses_data(&self) -> bool {
        matches!(self.command, UserCommand::Password { .. }) && self.target.registry.is_none()
    }
}

/// Runs the subcommand.
pub(in crate::cli) fn run(
    common: &CommonArguments,
    arguments: &UserArguments,
) -> anyhow::Result<ExitCode> {
    if let UserCommand::Import { file } = &arguments.command {
        return runtime()?.block_on(import_file(&arguments.target, file));
    }
    runtime()?.block_on(carry_out(common, arguments))?;
    Ok(ExitCode::SUCCESS)
}

async fn carry_out(common: &CommonArguments, arguments: &UserArguments) -> anyhow::Result<()> {
    let UserArguments { target: RegistryArguments { registry, json: as_json }, command } =
        arguments;
    let as_json = *as_json;
    let is_offline = registry.is_none() && (common.data.is_some() || common.config.is_some());
    if let UserCommand::Password { password_stdin: false, .. } = command
        && std::io::stdin().is_terminal()
    {
        bail!("no password: write it to standard input, and say --password-stdin");
    }
    if let (UserCommand::Password { name, .. }, true) = (command, is_offline) {
        offline::set_password(common, name, password::read()?).await?;
        return print_done(
            &json!({ "name": name }),
            &format!("set the password of {name}"),
            as_json,
        );
    }
    let session = Session::open(registry.as_ref())?;
    match command {
        UserCommand::Add { name, password_stdin, admin } => {
            let password = password_stdin.then(password::read).transpose()?;
            let password = password.as_ref().map(ExposeSecret::expose_secret);
            let query = "mutation($name: String!, $password: String, $admin: Boolean!) { \
                addUser(name: $name, password: $password, isAdministrator: $admin) \
                { name isAdministrator isDisabled created } }";
            let variables = json!({ "name": name, "password": password, "admin": admin });
            let added = session.run(query, variables).await?;
            print_done(&added["addUser"], &format!("added the user {name}"), as_json)
        }
        UserCommand::Import { .. } => Ok(()),
        UserCommand::Promote { name } => set_administrator(&session, name, true, as_json).await,
        UserCommand::Demote { name } => set_administrator(&session, name, false, as_json).await,
        UserCommand::List => {
            let users = session.list(LIST, "users", json!({})).await?;
            print_list(&users, COLUMNS, as_json)
        }
        UserCommand::Disable { name } => disable(&session, name, true, as_json).await,
        UserCommand::Enable { name } => disable(&session, name, false, as_json).await,
        UserCommand::Remove { name } => {
            let query = "mutation($name: String!) { removeAccount(name: $name) }";
            session.run(query, json!({ "name": name })).await?;
            print_done(&named(name), &format!("removed {name}"), as_json)
        }
        UserCommand::Maker { robot, user } => {
            set_maker(&session, robot, user.as_deref(), as_json).await
        }
        UserCommand::Password { name, .. } => {
            let password = password::read()?;
            let query = "mutation($name: String!, $password: String!) \
                { setPassword(name: $name, password: $password) }";
            let variables = json!({ "name": name, "password": password.expose_secret() });
            session.run(query, variables).await?;
            print_done(&named(name), &format!("set the password of {name}"), as_json)
        }
    }
}

async fn disable(
    session: &Session,
    name: &str,
    is_disabled: bool,
    as_json: bool,
) -> anyhow::Result<()> {
    let query = "mutation($name: String!, $isDisabled: Boolean!) \
        { setDisabled(name: $name, isDisabled: $isDisabled) }";
    session.run(query, json!({ "name": name, "isDisabled": is_disabled })).await?;
    let done = if is_disabled { "disabled" } else { "enabled" };
    let value = json!({ "name": name, "isDisabled": is_disabled });
    print_done(&value, &format!("{done} {name}"), as_json)
}

async fn set_administrator(
    session: &Session,
    name: &str,
    is_administrator: bool,
    as_json: bool,
) -> anyhow::Result<()> {
    let query = "mutation($name: String!, $is: Boolean!) \
        { setAdministrator(name: $name, isAdministrator: $is) { name isAdministrator isDisabled created } }";
    let user = session.run(query, json!({ "name": name, "is": is_administrator })).await?;
    let is = if is_administrator { "is an administrator" } else { "is no administrator any more" };
    let sentence = format!("{name} {is}");
    print_done(&user["setAdministrator"], &sentence, as_json)
}

async fn set_maker(
    session: &Session,
    robot: &str,
    user: Option<&str>,
    as_json: bool,
) -> anyhow::Result<()> {
    let query = "mutation($name: String!, $maker: String) { setRobotMaker(name: $name, maker: $maker) \
        { name namespace maker isDisabled created } }";
    let data = session.run(query, json!({ "name": robot, "maker": user })).await?;
    let given = &data["setRobotMaker"];
    let maker = given["maker"].as_str().unwrap_or("-");
    let mut sentence = format!("{robot} may do no more than {maker}");
    if given["isDisabled"] == true {
        let _ = write!(sentence, "; it is disabled: `roadstead user enable {robot}`");
    }
    print_done(given, &sentence, as_json)
}

/// Adds the users of a file, one after the other.
async fn import_file(target: &RegistryArguments, file: &Path) -> anyhow::Result<ExitCode> {
    let users = import::read(file)?;
    let session = Session::open(target.registry.as_ref())?;
    let query = "mutation($name: String!, $hash: String!) \
        { importUser(name: $name, passwordHash: $hash) }";
    let (mut added, mut unchanged, mut refused) = (Vec::new(), Vec::new(), Vec::new());
    for ImportedUser { line, name, hash } in &users {
        let variables = json!({ "name": name, "hash": hash.expose_secret() });
        match session.answer(query, variables).await? {
            Ok(answer) if answer["importUser"] == true => added.push(name),
            Ok(_) => unchanged.push(name),
            Err(refusal) if refusal.code == "CONFLICT" => {
                refused.push(json!({ "line": line, "name": name, "why": refusal.message }));
            }
            Err(refusal) => bail!("line {line}: {}", refusal.message),
        }
    }
    let done = json!({ "added": added, "unchanged": unchanged, "refused": refused });
    let mut sentence =
        format!("added {} users; {} were there already", added.len(), unchanged.len());
    for it in &refused {
        let why = it["why"].as_str().unwrap_or_default();
        let _ = write!(sentence, "\nline {}: {why}", it["line"]);
    }
    print_done(&done, &sentence, target.json)?;
    Ok(if refused.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn named(name: &str) -> Value {
    json!({ "name": name })
}
