//! `roadstead push`: an image from the docker daemon, a folder or an archive to a registry.

use std::process::ExitCode;

use clap::Args;
use clap::error::ErrorKind;

use super::location::Location;
use super::name::ImageName;
use super::transfer::{self, Transfer, TransferArguments};

/// Pushes an image from docker, a folder or an archive to a registry
#[derive(Debug, Args)]
#[command(
    after_help = "FROM is the name or id of an image in docker, an OCI layout (oci:DIR, or oci:DIR:NAME where it has several \
        images), an archive of `docker save`, or of a layout (docker-archive:FILE), or `-` for such an archive at standard \
        input. An image of docker is pushed under its own name if no other is given. Of an index, all images are pushed; \
        signatures and the like only with --referrers. Layers are pushed as they are: what is not compressed stays so.\n\n\
    What the registry has is not sent again, and a push that was interrupted goes on with what is missing. The tag is written \
        last. Credentials are docker's, or those of `roadstead login`. Docker's daemon is that of DOCKER_HOST, else that of \
        docker's context; its export is stored in TMPDIR on its way.\n\n\
    Examples:\n  roadstead push registry.example/team/app:v1\n  roadstead push app:v1 registry.example/team/app:v1\n  \
        roadstead push oci:build registry.example/team/app:v1\n  \
        docker save team/app:v1 | roadstead push - registry.example/team/app:v1"
)]
pub(in crate::cli) struct PushArguments {
    /// The image: its name in docker, oci:DIR, docker-archive:FILE or `-`
    #[arg(value_name = "FROM", value_parser = parse)]
    from: Location,
    /// Where it is pushed to: HOST/NAME:TAG (default: its name in docker)
    #[arg(value_name = "IMAGE")]
    image: Option<ImageName>,
    #[command(flatten)]
    transfer: TransferArguments,
}

fn parse(text: &str) -> Result<Location, String> {
    match text.parse()? {
        Location::Registry(_) => Location::of_daemon(text),
        location => Ok(location),
    }
}

/// Pushes it.
pub(in crate::cli) fn run(arguments: &PushArguments) -> anyhow::Result<ExitCode> {
    let PushArguments { from, image, transfer } = arguments;
    let image = match (image, from) {
        (Some(image), _) => image.clone(),
        (None, Location::Daemon(Some(name))) => name.parse().map_err(anyhow::Error::msg)?,
        (None, _) => {
            let message = "name where the image is pushed to: HOST/NAME:TAG\n";
            return Err(clap::Error::raw(ErrorKind::MissingRequiredArgument, message).into());
        }
    };
    transfer::run(&Transfer {
        doing: "pushing",
        done: "pushed",
        from,
        to: &Location::Registry(image),
        arguments: transfer,
    })
}
