//! `roadstead pull`: an image from a registry into the docker daemon, a folder or an archive.

use std::process::ExitCode;

use clap::Args;

use super::location::Location;
use super::name::ImageName;
use super::transfer::{self, Transfer, TransferArguments};

/// Pulls an image from a registry into docker, a folder or an archive
#[derive(Debug, Args)]
#[command(
    after_help = "Without TO, docker gets the image, under the name that was typed (docker-daemon:NAME: under another one). TO is \
        an OCI layout (oci:DIR; what it has stays), or an archive that `docker load` and `podman load` take \
        (docker-archive:FILE). Docker and archives get the image of one platform: that of --platform, else of this machine. A \
        Roadstead also serves the images of others: HOST/example.com/NAME:TAG by their domain, HOST/CID/NAME:TAG by the CID of a root.\n\n\
    Every byte is checked against its digest. A pull that was interrupted goes on with what is missing; the layout's index, \
        or the archive's own name, is written last. What docker gets is stored in TMPDIR on its way, and begins anew.\n\n\
    Examples:\n  roadstead pull registry.example/team/app:v1 && docker run --rm registry.example/team/app:v1\n  \
        roadstead pull registry.example/team/app:v1 oci:app\n  \
        roadstead pull registry.example/team/app:v1 docker-archive:app.tar && docker load -i app.tar"
)]
pub(in crate::cli) struct PullArguments {
    /// The image: HOST/NAME:TAG or HOST/NAME@DIGEST
    #[arg(value_name = "IMAGE")]
    image: ImageName,
    /// Where it goes: oci:DIR, docker-archive:FILE or docker-daemon:NAME (default: docker, under the name of the image)
    #[arg(value_name = "TO", value_parser = parse)]
    to: Option<Location>,
    #[command(flatten)]
    transfer: TransferArguments,
}

fn parse(text: &str) -> Result<Location, String> {
    match text.parse()? {
        Location::Registry(_) => {
            Err("expected oci:DIR, docker-archive:FILE or docker-daemon:NAME; \
            `roadstead copy` copies from one registry to another"
                .to_owned())
        }
        Location::Archive(None, _) => Err("expected a file: docker-archive:FILE".to_owned()),
        location => Ok(location),
    }
}

/// Pulls it.
pub(in crate::cli) fn run(arguments: &PullArguments) -> anyhow::Result<ExitCode> {
    let PullArguments { image, to, transfer } = arguments;
    transfer::run(&Transfer {
        doing: "pulling",
        done: "pulled",
        from: &Location::Registry(image.clone()),
        to: to.as_ref().unwrap_or(&Location::Daemon(None)),
        arguments: transfer,
    })
}
