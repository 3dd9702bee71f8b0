//! `roadstead completions`: what a shell needs to complete commands.

use std::process::ExitCode;

use anyhow::Context;
use clap::{Args, Command};
use clap_complete::{Shell, generate};

use super::output;

/// Prints the completion script of a shell
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    source <(roadstead completions bash)\n  \
    roadstead completions bash > /usr/share/bash-completion/completions/roadstead\n  \
    roadstead completions zsh > /usr/share/zsh/site-functions/_roadstead\n  \
    roadstead completions fish > ~/.config/fish/completions/roadstead.fish")]
pub(super) struct CompletionsArguments {
    /// The shell
    shell: Shell,
}

/// Prints the script for the whole command line.
pub(super) fn run(
    arguments: &CompletionsArguments,
    mut command: Command,
) -> anyhow::Result<ExitCode> {
    let name = command.get_name().to_owned();
    let mut script = Vec::new();
    generate(arguments.shell, &mut command, name, &mut script);
    let script = String::from_utf8(script).context("the script is not UTF-8")?;
    output::print(&script).context("cannot write to standard output")?;
    Ok(ExitCode::SUCCESS)
}
