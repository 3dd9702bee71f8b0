//! `roadstead logout`: forgetting a credential.

use std::process::ExitCode;

use clap::Args;

use super::docker_config::{self, DockerConfig};
use super::host::RegistryHost;
use super::{noted, table};

/// Removes the credential of a registry from this machine
#[derive(Debug, Args)]
#[command(after_help = "It stays valid: `roadstead token revoke` ends an access token.\n\n\
    Example:\n  roadstead logout registry.example")]
pub(in crate::cli) struct LogoutArguments {
    /// The registry
    #[arg(value_name = "HOST")]
    host: RegistryHost,
}

/// Removes it.
pub(in crate::cli) fn run(arguments: &LogoutArguments) -> anyhow::Result<ExitCode> {
    let host = &arguments.host;
    let folder = docker_config::folder()?;
    let erased = DockerConfig::of_user()?.erase(host.as_str());
    noted::forget(&folder, host)?;
    erased?;
    table::print(&format!("signed out of {host}\n"))?;
    Ok(ExitCode::SUCCESS)
}
