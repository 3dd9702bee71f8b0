//! `roadstead man`: the manual, a page for each command.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::{fs, io};

use anyhow::Context;
use clap::error::ErrorKind;
use clap::{Args, Command};
use clap_mangen::Man;

use super::output;

/// Prints a manual page, or writes all of them to a folder
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    roadstead man index rebuild | man -l -\n  \
    roadstead man --out /usr/local/share/man/man1")]
pub(super) struct ManArguments {
    /// The command (default: roadstead itself)
    #[arg(value_name = "COMMAND")]
    path: Vec<String>,
    /// Writes all pages into this folder, which is created if it is missing
    #[arg(long, value_name = "DIR", conflicts_with = "path")]
    out: Option<PathBuf>,
}

/// Prints a page of the whole command line, or writes all.
pub(super) fn run(arguments: &ManArguments, root: Command) -> anyhow::Result<ExitCode> {
    // From here on each command has the flags that all take, and its whole name.
    let mut root = root.disable_help_subcommand(true);
    root.build();
    if let Some(folder) = &arguments.out {
        let context = || format!("cannot write to {}", folder.display());
        fs::create_dir_all(folder).with_context(context)?;
        write_all(&root, folder).with_context(context)?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut command: &Command = &root;
    for name in &arguments.path {
        let Some(found) = command.find_subcommand(name) else {
            let what = format!("unknown command `{}`", arguments.path.join(" "));
            return Err(root.error(ErrorKind::InvalidSubcommand, what).into());
        };
        command = found;
    }
    let mut page = Vec::new();
    page_of(command).render(&mut page).context("cannot create a page")?;
    let page = String::from_utf8(page).context("a page is not UTF-8")?;
    output::print(&page).context("cannot write to standard output")?;
    Ok(ExitCode::SUCCESS)
}

/// Writes the pages of a command and of all below it.
fn write_all(command: &Command, folder: &Path) -> io::Result<()> {
    for command in command.get_subcommands().filter(|command| !command.is_hide_set()) {
        write_all(command, folder)?;
    }
    page_of(command).generate_to(folder).map(drop)
}

/// The page of a command, which says at its foot of which version it is.
fn page_of(command: &Command) -> Man {
    Man::new(command.clone()).source(concat!("roadstead ", env!("CARGO_PKG_VERSION")))
}
