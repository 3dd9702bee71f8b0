//! `roadstead push`: an image from a folder or an archive to a registry.

use std::process::ExitCode;

use clap::Args;

use super::location::Location;
use super::name::ImageName;
use super::transfer::{self, Transfer, TransferArguments};

/// Pushes an image from a folder or an archive to a registry
#[derive(Debug, Args)]
#[command(
    after_help = "FROM is an OCI layout (oci:DIR, or oci:DIR:NAME where it has several images), an archive of `docker save`, or \
        of a layout (docker-archive:FILE), or `-` for such an archive at standard input. Of an index, all images are pushed; \
        signatures and the like only with --referrers. Layers are pushed as they are: what is not compressed stays so.\n\n\
    What the registry has is not sent again, and a push that was interrupted goes on with what is missing. The tag is written \
        last. Credentials are docker's, or those of `roadstead login`.\n\n\
    Examples:\n  roadstead push oci:build registry.example/team/app:v1\n  \
        docker save team/app:v1 | roadstead push - registry.example/team/app:v1"
)]
pub(in crate::cli) struct PushArguments {
    /// The folder or archive: oci:DIR, docker-archive:FILE or `-`
    #[arg(value_name = "FROM", value_parser = parse)]
    from: Location,
    /// The image: HOST/NAME:TAG
    #[arg(value_name = "IMAGE")]
    image: ImageName,
    #[command(flatten)]
    transfer: TransferArguments,
}

fn parse(text: &str) -> Result<Location, String> {
    match text.parse()? {
        Location::Registry(_) => Err("expected oci:DIR, docker-archive:FILE or -; \
            `roadstead copy` copies from one registry to another"
            .to_owned()),
        location => Ok(location),
    }
}

/// Pushes it.
pub(in crate::cli) fn run(arguments: &PushArguments) -> anyhow::Result<ExitCode> {
    let PushArguments { from, image, transfer } = arguments;
    transfer::run(&Transfer {
        doing: "pushing",
        done: "pushed",
        from,
        to: &Location::Registry(image.clone()),
        arguments: transfer,
    })
}
