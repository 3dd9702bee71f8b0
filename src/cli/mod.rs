//! The command line: arguments, and which command they start.
//!
//! `main` calls [`run`] and turns what it returns into an exit code. A file holds one command: its
//! arguments, and what it prints. Commands compose no rooms themselves, and never print but by
//! `output`.

mod config;
mod output;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::config::{Flag, Sources};

/// A container registry whose storage is IPFS.
#[derive(Debug, Parser)]
#[command(
    version,
    arg_required_else_help = true,
    after_help = "Settings come from their defaults, then the file, then the environment \
                  (ROADSTEAD_SERVER__LISTEN=…), then flags.\n\
                  Exit codes: 0 done, 1 found wrong or failed, 2 wrong usage or wrong settings.\n\n\
                  Example:\n  roadstead config --config roadstead.toml"
)]
pub struct Arguments {
    #[command(flatten)]
    common: CommonArguments,
    #[command(subcommand)]
    command: Command,
}

/// Arguments that every command takes.
#[derive(Debug, Args)]
struct CommonArguments {
    /// Reads settings from this file (default: the one that `ROADSTEAD_CONFIG` names)
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Keeps everything in this folder (setting `server.data`)
    #[arg(long, global = true, value_name = "DIR")]
    data: Option<String>,
}

#[derive(Debug, Subcommand)]
enum Command {
    Config(config::ConfigArguments),
}

impl CommonArguments {
    /// Says where settings are read from; `flags` are those of the command itself.
    fn sources(&self, flags: Vec<Flag>) -> Sources {
        let data = self.data.clone();
        let data = data.map(|value| Flag { flag: "--data", setting: "server.data", value });
        Sources::of_process(self.config.clone(), data.into_iter().chain(flags).collect())
    }
}

/// Runs the command that the arguments name. Returns 0 when it is done, 1 when it found something
/// wrong.
///
/// # Errors
///
/// Whatever kept the command from being done; a
/// [`SettingsError`](crate::config::SettingsError) when it was the settings.
pub fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let common = &arguments.common;
    match &arguments.command {
        Command::Config(command) => config::run(common, command),
    }
}
