//! Where an image is, as it is typed.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use super::name::ImageName;
use crate::oci::Digest;

/// Where an image is.
#[derive(Debug, Clone)]
pub(super) enum Location {
    /// A folder in the OCI image layout, and what names the image in it.
    Layout(PathBuf, Option<String>),
    /// An archive, or standard input, and what names the image in it.
    Archive(Option<PathBuf>, Option<String>),
    /// The docker daemon, and what it calls the image; none is as the other side does.
    Daemon(Option<String>),
    /// A registry.
    Registry(ImageName),
}

/// What stands before the name of an image of the daemon.
const DAEMON: &str = "docker-daemon:";

impl FromStr for Location {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "-" {
            return Ok(Self::Archive(None, None));
        }
        if let Some(name) = text.strip_prefix(DAEMON) {
            return Self::of_daemon(name);
        }
        if let Some(rest) = text.strip_prefix("oci:") {
            let (path, name) = path_and_name(rest)?;
            return Ok(Self::Layout(path, name));
        }
        let archive = ["docker-archive:", "oci-archive:"];
        if let Some(rest) = archive.iter().find_map(|prefix| text.strip_prefix(prefix)) {
            if rest == "-" {
                return Ok(Self::Archive(None, None));
            }
            let (path, name) = path_and_name(rest)?;
            return Ok(Self::Archive(Some(path), name));
        }
        if Path::new(text).exists() {
            return Err(format!(
                "{text} is a file or folder: write oci:{text} or docker-archive:{text}, or docker-daemon:{text} for docker's image"
            ));
        }
        text.parse().map(Self::Registry)
    }
}

impl Location {
    /// Takes the name or id of an image of the docker daemon.
    pub(super) fn of_daemon(name: &str) -> Result<Self, String> {
        // Ids have the form of names, too.
        name.parse::<ImageName>()?;
        Ok(Self::Daemon(Some(name.to_owned())))
    }
}

/// Splits `PATH:NAME`. What is there is a path, however many colons it has.
fn path_and_name(text: &str) -> Result<(PathBuf, Option<String>), String> {
    let by_digest = text.rsplit_once('@').filter(|(_, it)| it.parse::<Digest>().is_ok());
    let (path, name) = match (by_digest, text.find(':')) {
        _ if Path::new(text).exists() => (text, None),
        (Some((path, digest)), _) => (path, Some(digest.to_owned())),
        // What follows the first colon may be a whole reference, with colons of its own.
        (None, Some(position)) => (&text[..position], Some(text[position + 1..].to_owned())),
        (None, None) => (text, None),
    };
    if path.is_empty() || name.as_ref().is_some_and(String::is_empty) {
        return Err("expected a path, or a path and a name, such as oci:DIR:v1".to_owned());
    }
    Ok((path.into(), name))
}

impl fmt::Display for Location {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Layout(path, _) => write!(formatter, "oci:{}", path.display()),
            Self::Archive(Some(path), _) => write!(formatter, "docker-archive:{}", path.display()),
            Self::Archive(None, _) => formatter.write_str("standard input"),
            Self::Daemon(Some(name)) => write!(formatter, "{DAEMON}{name}"),
            Self::Daemon(None) => formatter.write_str("docker"),
            Self::Registry(name) => write!(formatter, "{name}"),
        }
    }
}
