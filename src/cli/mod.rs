//! The command line: arguments, and which command they start.
//!
//! `main` calls [`run`] and turns what it returns into an exit code. A file holds one command: its
//! arguments, and what it prints. Commands never print but by
//! `output`. Rooms are composed by [`crate::app`].

mod administration;
mod adopt;
mod arguments;
mod check;
mod cid;
mod completions;
mod config;
mod connection;
mod export;
mod graphql;
mod images;
mod import;
mod index;
mod man;
mod output;
mod progress;
mod publish;
mod purge;
mod resolve;
mod restore;
mod retention;
mod root;
mod serve;
mod status;
mod uploads;

pub use output::printable;

use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser, Subcommand};

use arguments::{CommonArguments, runtime};

/// A container registry whose storage is IPFS.
#[derive(Debug, Parser)]
#[command(
    version,
    arg_required_else_help = true,
    after_help = "Settings come from their defaults, then the file, then the environment \
                  (ROADSTEAD_SERVER__LISTEN=…), then flags.\n\
                  Exit codes: 0 success, 1 failure or a problem found, 2 wrong usage or settings.\n\
                  A server removes what no image needs by itself (`gc.interval`); `roadstead gc` does it at once.\n\n\
                  Example:\n  roadstead serve"
)]
pub struct Arguments {
    #[command(flatten)]
    common: CommonArguments,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Serve(serve::ServeArguments),
    Root(root::RootArguments),
    Status(status::StatusArguments),
    Publish(publish::PublishArguments),
    Uploads(uploads::UploadsArguments),
    Purge(purge::PurgeArguments),
    Gc(administration::GcArguments),
    Retention(retention::RetentionArguments),
    Cid(cid::CidArguments),
    Check(check::CheckArguments),
    Adopt(adopt::AdoptArguments),
    Export(export::ExportArguments),
    Import(import::ImportArguments),
    Restore(restore::RestoreArguments),
    Push(images::PushArguments),
    Pull(images::PullArguments),
    Copy(images::CopyArguments),
    List(images::ListArguments),
    Tags(images::TagsArguments),
    Info(images::InfoArguments),
    Delete(images::DeleteArguments),
    Undelete(images::UndeleteArguments),
    Resolve(resolve::ResolveArguments),
    Index(index::IndexArguments),
    Setup(administration::SetupArguments),
    Login(administration::LoginArguments),
    Logout(administration::LogoutArguments),
    User(administration::UserArguments),
    Token(administration::TokenArguments),
    Team(administration::TeamArguments),
    Grant(administration::GrantArguments),
    Namespace(administration::NamespaceArguments),
    Repository(administration::RepositoryArguments),
    Quota(administration::QuotaArguments),
    Usage(administration::UsageArguments),
    Audit(administration::AuditArguments),
    Config(config::ConfigArguments),
    Completions(completions::CompletionsArguments),
    #[command(hide = true)]
    CompleteNames(images::CompleteNamesArguments),
    Man(man::ManArguments),
}

impl Command {
    /// Tells whether it reads a data folder.
    fn uses_data(&self) -> bool {
        match self {
            Self::Serve(_)
            | Self::Root(_)
            | Self::Status(_)
            | Self::Publish(_)
            | Self::Uploads(_)
            | Self::Purge(_)
            | Self::Gc(_)
            | Self::Retention(_)
            | Self::Check(_)
            | Self::Adopt(_)
            | Self::Export(_)
            | Self::Import(_)
            | Self::Restore(_)
            | Self::Resolve(_)
            | Self::Index(_)
            | Self::Config(_) => true,
            Self::User(command) => command.uses_data(),
            Self::Cid(_)
            | Self::Push(_)
            | Self::Pull(_)
            | Self::Copy(_)
            | Self::List(_)
            | Self::Tags(_)
            | Self::Info(_)
            | Self::Delete(_)
            | Self::Undelete(_)
            | Self::Setup(_)
            | Self::Login(_)
            | Self::Logout(_)
            | Self::Token(_)
            | Self::Team(_)
            | Self::Grant(_)
            | Self::Namespace(_)
            | Self::Repository(_)
            | Self::Quota(_)
            | Self::Usage(_)
            | Self::Audit(_)
            | Self::Completions(_)
            | Self::CompleteNames(_)
            | Self::Man(_) => false,
        }
    }
}

/// Serves docker as its credential helper, if the program was started by the name of one
/// (`docker-credential-roadstead`): that is a link to it. Returns its exit code.
#[must_use]
pub fn run_as_credential_helper() -> Option<ExitCode> {
    let mut words = std::env::args_os();
    let is_meant = administration::is_credential_helper(words.next().as_ref());
    let act = words.next().and_then(|act| act.into_string().ok());
    is_meant.then(|| administration::credential_helper(act.as_deref()))
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
    if common.data.is_some() && !arguments.command.uses_data() {
        let message =
            "cannot use --data with this command: it reads no data folder; leave --data out";
        return Err(Arguments::command().error(ErrorKind::ArgumentConflict, message).into());
    }
    match &arguments.command {
        Command::Serve(command) => serve::run(common, command),
        Command::Root(command) => root::run(common, command),
        Command::Status(command) => status::run(common, command),
        Command::Publish(command) => publish::run(common, command),
        Command::Uploads(command) => uploads::run(common, command),
        Command::Purge(command) => purge::run(common, command),
        Command::Gc(command) => administration::gc(common, command),
        Command::Retention(command) => retention::run(common, command),
        Command::Cid(command) => cid::run(command),
        Command::Check(command) => check::run(common, command),
        Command::Adopt(command) => adopt::run(common, command),
        Command::Export(command) => export::run(common, command),
        Command::Import(command) => import::run(common, command),
        Command::Restore(command) => restore::run(common, command),
        Command::Push(command) => images::push(command),
        Command::Pull(command) => images::pull(command),
        Command::Copy(command) => images::copy(command),
        Command::List(command) => images::list(command),
        Command::Tags(command) => images::tags(command),
        Command::Info(command) => images::info(command),
        Command::Delete(command) => images::delete(command),
        Command::Undelete(command) => images::undelete(command),
        Command::Resolve(command) => resolve::run(common, command),
        Command::Index(command) => index::run(common, command),
        Command::Setup(command) => administration::setup(command),
        Command::Login(command) => administration::login(command),
        Command::Logout(command) => administration::logout(command),
        Command::User(command) => administration::user(common, command),
        Command::Token(command) => administration::token(command),
        Command::Team(command) => administration::team(command),
        Command::Grant(command) => administration::grant(command),
        Command::Namespace(command) => administration::namespace(command),
        Command::Repository(command) => administration::repository(command),
        Command::Quota(command) => administration::quota(command),
        Command::Usage(command) => administration::usage(command),
        Command::Audit(command) => administration::audit(command),
        Command::Config(command) => config::run(common, command),
        Command::Completions(command) => completions::run(command, Arguments::command()),
        Command::CompleteNames(command) => images::complete_names(command),
        Command::Man(command) => man::run(command, Arguments::command()),
    }
}
