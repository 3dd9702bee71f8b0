//! `roadstead login`: signing in to a registry.

use std::io::{self, IsTerminal};
use std::process::ExitCode;

use anyhow::anyhow;
use clap::Args;
use clap::error::ErrorKind;

use super::docker_config::{self, DockerConfig, Login};
use super::host::RegistryHost;
use super::{noted, password, prompt, runtime, table};
use crate::cli::connection::ConnectionArguments;
use crate::client::{ClientErrorKind, Credentials};

/// Signs in to a registry, for its images and for the commands that administer it
#[derive(Debug, Args)]
#[command(
    after_help = "The credential is kept where docker keeps its own: by its credential helper where one is set, else in \
        config.json. An access token can be given in the place of the password. On a terminal, what is not given is asked for. \
        Hosts named by --token-service are remembered for this registry.\n\n\
    Examples:\n  roadstead login registry.example\n  \
        cat password | roadstead login registry.example -u anna --password-stdin"
)]
pub(in crate::cli) struct LoginArguments {
    /// The registry, such as registry.example or localhost:5000
    #[arg(value_name = "HOST")]
    host: RegistryHost,
    /// The user
    #[arg(short, long, value_name = "NAME")]
    username: Option<String>,
    /// Reads the password from standard input
    #[arg(long, requires = "username")]
    password_stdin: bool,
    #[command(flatten)]
    connection: ConnectionArguments,
}

/// Signs in.
pub(in crate::cli) fn run(arguments: &LoginArguments) -> anyhow::Result<ExitCode> {
    let LoginArguments { host, username, password_stdin, connection } = arguments;
    let can_ask = io::stdin().is_terminal() && io::stderr().is_terminal();
    if !password_stdin && !can_ask {
        let message = "there is no terminal: give -u NAME and --password-stdin, and write the password to standard input\n";
        return Err(clap::Error::raw(ErrorKind::MissingRequiredArgument, message).into());
    }
    let user = match username {
        Some(username) => username.clone(),
        None => prompt::name(&format!("User at {host}"))?,
    };
    if user.is_empty() || user.contains(':') {
        return Err(anyhow!("cannot sign in as {user:?}: a user has a name, and it has no colon"));
    }
    let password = if *password_stdin { password::read()? } else { prompt::password("Password")? };
    let credentials = Credentials { user: user.clone(), password };
    let folder = docker_config::folder()?;
    let mut config = DockerConfig::of_user()?;
    let runtime = runtime()?;
    let login = Login::Password(credentials.clone());
    let connected = runtime.block_on(connection.connect_as(host, Some(login)))?;
    let client = &connected.client;
    if runtime.block_on(client.is_open())? {
        return Err(anyhow!(
            "there is nothing to sign in to: {host} takes requests of everybody, without users; set auth.method to \
             accounts to have some"
        ));
    }
    runtime.block_on(client.ping()).map_err(|error| match error.kind {
        ClientErrorKind::Unauthorized => {
            anyhow!("{host} refuses the name or the password: check both")
        }
        _ => error.into(),
    })?;
    config.store(host.as_str(), &credentials)?;
    noted::note(&folder, &connected.host)?;
    noted::note_token_services(&folder, host, connection.token_services())?;
    table::print(&format!("signed in to {host} as {user}\n"))?;
    Ok(ExitCode::SUCCESS)
}
