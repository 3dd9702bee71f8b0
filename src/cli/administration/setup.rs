//! `roadstead setup`: the first administrator of a registry.

use std::process::ExitCode;

use clap::Args;
use secrecy::ExposeSecret;
use serde_json::json;

use super::host::RegistryHost;
use super::{password, runtime, table};
use crate::client::{Client, Options};

/// Where the first administrator is made.
const PATH: &str = "/setup";

/// Makes the first administrator of a registry, by the code that `roadstead serve` has printed
#[derive(Debug, Args)]
#[command(
    after_help = "The same can be done in a browser, at the address that `roadstead serve` has printed. The code is good once.\n\n\
    Example:\n  cat password | roadstead setup localhost:5000 --code CODE --password-stdin"
)]
pub(in crate::cli) struct SetupArguments {
    /// The registry, such as registry.example or localhost:5000
    #[arg(value_name = "HOST")]
    host: RegistryHost,
    /// The code
    #[arg(long, value_name = "CODE")]
    code: String,
    /// Reads the password of the administrator from standard input
    #[arg(long, required = true)]
    password_stdin: bool,
}

/// Makes the administrator.
pub(in crate::cli) fn run(arguments: &SetupArguments) -> anyhow::Result<ExitCode> {
    let SetupArguments { host, code, .. } = arguments;
    let password = password::read()?;
    let client = Client::with(&host.url(), Options::default())?;
    let body = json!({ "code": code, "password": password.expose_secret() });
    let context = format!("cannot set up {host}");
    let answer = runtime()?.block_on(client.post_json(PATH, &body, context))?;
    let name = answer["user"].as_str().unwrap_or("admin");
    table::print(&format!(
        "{name} is an administrator; sign in with `roadstead login {} -u {name} --password-stdin`\n",
        host.typed()
    ))?;
    Ok(ExitCode::SUCCESS)
}
