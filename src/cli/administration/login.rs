//! `roadstead login`: signing in to a registry.

use std::process::ExitCode;

use anyhow::anyhow;
use clap::Args;

use super::docker_config::{self, DockerConfig};
use super::host::RegistryHost;
use super::{noted, password, runtime, table};
use crate::client::{Client, ClientErrorKind, Credentials, Options};

/// Signs in to a registry, for the commands that administer it
#[derive(Debug, Args)]
#[command(
    after_help = "The credential is kept where docker keeps its own: by its credential helper where one is set, else in \
        config.json. An access token can be given in the place of the password.\n\n\
    Example:\n  cat password | roadstead login registry.example -u anna --password-stdin"
)]
pub(in crate::cli) struct LoginArguments {
    /// The registry, such as registry.example or localhost:5000
    #[arg(value_name = "HOST")]
    host: RegistryHost,
    /// The user
    #[arg(short, long, value_name = "NAME")]
    username: String,
    /// Reads the password from standard input
    #[arg(long, required = true)]
    password_stdin: bool,
}

/// Signs in.
pub(in crate::cli) fn run(arguments: &LoginArguments) -> anyhow::Result<ExitCode> {
    let LoginArguments { host, username, .. } = arguments;
    if username.contains(':') {
        return Err(anyhow!("cannot sign in as {username:?}: no user's name has a colon"));
    }
    let credentials = Credentials { user: username.clone(), password: password::read()? };
    let folder = docker_config::folder()?;
    let mut config = DockerConfig::open(&folder)?;
    let options = Options { credentials: Some(credentials.clone()), ..Options::default() };
    let client = Client::with(&host.url(), options)?;
    let runtime = runtime()?;
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
    noted::note(&folder, Some(host))?;
    table::print(&format!("signed in to {host} as {username}\n"))?;
    Ok(ExitCode::SUCCESS)
}
