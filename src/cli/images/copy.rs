//! `roadstead copy`: an image from anywhere to anywhere, such as from one registry to another.

use std::process::ExitCode;

use clap::Args;

use super::location::Location;
use super::transfer::{self, Transfer, TransferArguments};

/// Copies an image from one registry to another
#[derive(Debug, Args)]
#[command(
    after_help = "The bytes go from one registry to the other, and not over the disk; within one registry layers are mounted. \
        All platforms are copied, or that of --platform. Without a tag the copy has that of the original. FROM and TO may also \
        be layouts and archives, as `roadstead push` and `roadstead pull` have them.\n\n\
    Examples:\n  roadstead copy docker.io/library/alpine:3 registry.example/base/alpine:3\n  \
        roadstead copy registry.example/team/app:v1 localhost:5000/team/app --referrers"
)]
pub(in crate::cli) struct CopyArguments {
    /// The image: HOST/NAME:TAG or HOST/NAME@DIGEST
    #[arg(value_name = "FROM")]
    from: Location,
    /// Where it is copied to: HOST/NAME:TAG
    #[arg(value_name = "TO", value_parser = parse)]
    to: Location,
    #[command(flatten)]
    transfer: TransferArguments,
}

fn parse(text: &str) -> Result<Location, String> {
    match text.parse()? {
        Location::Archive(None, _) => Err("expected a file: docker-archive:FILE".to_owned()),
        location => Ok(location),
    }
}

/// Copies it.
pub(in crate::cli) fn run(arguments: &CopyArguments) -> anyhow::Result<ExitCode> {
    let CopyArguments { from, to, transfer } = arguments;
    transfer::run(&Transfer { doing: "copying", done: "copied", from, to, arguments: transfer })
}
