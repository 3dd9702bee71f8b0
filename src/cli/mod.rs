//! The command line: arguments, and which command they start.
//!
//! `main` calls [`run`] and turns what it returns into an exit code. A file holds one command: its
//! arguments, and what it prints. Commands never print but by
//! `output`. Rooms are composed by [`crate::app`].

mod adopt;
mod check;
mod cid;
mod completions;
mod config;
mod export;
mod import;
mod index;
mod man;
mod output;
mod progress;
mod publish;
mod purge;
mod resolve;
mod restore;
mod root;
mod serve;
mod status;
mod uploads;

pub use output::printable;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::{Args, Parser, Subcommand};
use tokio::runtime::Runtime;

use crate::config::{Flag, Sources};

/// A container registry whose storage is IPFS.
#[derive(Debug, Parser)]
#[command(
    version,
    arg_required_else_help = true,
    after_help = "Settings come from their defaults, then the file, then the environment \
                  (ROADSTEAD_SERVER__LISTEN=…), then flags.\n\
                  Exit codes: 0 success, 1 failure or a problem found, 2 wrong usage or settings.\n\
                  There is no garbage collection yet; `roadstead purge` removes the content of one image.\n\n\
                  Example:\n  roadstead serve"
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
    /// The settings file (default: `$ROADSTEAD_CONFIG`, else `./roadstead.toml`)
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The data folder (setting `server.data`)
    #[arg(long, global = true, value_name = "DIR")]
    data: Option<String>,
}

#[derive(Debug, Subcommand)]
enum Command {
    Serve(serve::ServeArguments),
    Root(root::RootArguments),
    Status(status::StatusArguments),
    Publish(publish::PublishArguments),
    Uploads(uploads::UploadsArguments),
    Purge(purge::PurgeArguments),
    Cid(cid::CidArguments),
    Check(check::CheckArguments),
    Adopt(adopt::AdoptArguments),
    Export(export::ExportArguments),
    Import(import::ImportArguments),
    Restore(restore::RestoreArguments),
    Resolve(resolve::ResolveArguments),
    Index(index::IndexArguments),
    Config(config::ConfigArguments),
    Completions(completions::CompletionsArguments),
    Man(man::ManArguments),
}

impl CommonArguments {
    /// Returns them as they are to be typed for another command.
    fn typed(&self) -> String {
        let config = self.config.as_ref().map(|path| path.display().to_string());
        let given = [("--config", config), ("--data", self.data.clone())];
        let words = given.into_iter().filter_map(|(flag, value)| Some((flag, value?)));
        let quoted = |value: String| format!("'{}'", value.replace('\'', r"'\''"));
        words
            .flat_map(|(flag, value)| {
                [" ".to_owned(), flag.to_owned(), " ".to_owned(), quoted(value)]
            })
            .collect()
    }

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
        Command::Serve(command) => serve::run(common, command),
        Command::Root(command) => root::run(common, command),
        Command::Status(command) => status::run(common, command),
        Command::Publish(command) => publish::run(common, command),
        Command::Uploads(command) => uploads::run(common, command),
        Command::Purge(command) => purge::run(common, command),
        Command::Cid(command) => cid::run(command),
        Command::Check(command) => check::run(common, command),
        Command::Adopt(command) => adopt::run(common, command),
        Command::Export(command) => export::run(common, command),
        Command::Import(command) => import::run(common, command),
        Command::Restore(command) => restore::run(common, command),
        Command::Resolve(command) => resolve::run(common, command),
        Command::Index(command) => index::run(common, command),
        Command::Config(command) => config::run(common, command),
        Command::Completions(command) => completions::run(command),
        Command::Man(command) => man::run(command),
    }
}

/// Makes the runtime that a command runs on.
fn runtime() -> anyhow::Result<Runtime> {
    Runtime::new().context("cannot start the runtime")
}
