//! The name of an image at a registry: `HOST/NAME:TAG`, `HOST/NAME@DIGEST`.

use std::fmt;
use std::str::FromStr;

use crate::cli::administration::RegistryHost;
use crate::oci::{Digest, Reference, RepositoryName, Tag};

/// What docker takes a name without a tag for.
const LATEST: &str = "latest";

/// An image at a registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ImageName {
    pub(super) host: RegistryHost,
    pub(super) repository: RepositoryName,
    pub(super) tag: Option<Tag>,
    pub(super) digest: Option<Digest>,
}

impl ImageName {
    /// Returns what names it in its repository: the digest, else the tag, else `latest`.
    pub(super) fn reference(&self) -> Reference {
        match (&self.digest, &self.tag) {
            (Some(digest), _) => Reference::Digest(*digest),
            (None, Some(tag)) => Reference::Tag(tag.clone()),
            (None, None) => Reference::Tag(LATEST.parse().expect("it is a tag")),
        }
    }

    /// Tells whether neither tag nor digest was typed.
    pub(super) fn is_bare(&self) -> bool {
        self.tag.is_none() && self.digest.is_none()
    }

    /// Returns the tag that it is known by; none if it is known by a digest alone.
    pub(super) fn known_tag(&self) -> Option<Tag> {
        match (self.reference(), &self.tag) {
            (Reference::Tag(tag), _) => Some(tag),
            (Reference::Digest(_), tag) => tag.clone(),
        }
    }

    /// Returns `HOST/NAME`.
    pub(super) fn repository_name(&self) -> String {
        format!("{}/{}", self.host, self.repository)
    }
}

impl fmt::Display for ImageName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.host, self.repository)?;
        match self.reference() {
            Reference::Tag(tag) => write!(formatter, ":{tag}"),
            Reference::Digest(digest) => write!(formatter, "@{digest}"),
        }
    }
}

/// Splits `HOST/NAME` from what follows, as docker does it: a first component without a dot, a colon or the name
/// `localhost` is part of a name at Docker Hub.
pub(super) fn split(text: &str) -> Result<(RegistryHost, &str), String> {
    let text = text.strip_prefix("docker://").unwrap_or(text);
    let scheme = text.find("://").map_or(0, |position| position + 3);
    let (first, rest) = match text[scheme..].split_once('/') {
        Some((first, rest)) => (&text[..scheme + first.len()], rest),
        None => ("", &text[scheme..]),
    };
    let is_host = scheme > 0 || first.contains(['.', ':']) || first == "localhost";
    if first.is_empty() && scheme > 0 {
        return Err(format!("{text:?} names no image: expected HOST/NAME:TAG"));
    }
    let (host, rest) = if is_host { (first, rest) } else { ("docker.io", &text[scheme..]) };
    Ok((host.parse()?, rest))
}

/// Reads the name of a repository; of Docker Hub's those without a slash are in `library`.
pub(super) fn repository(host: &RegistryHost, name: &str) -> Result<RepositoryName, String> {
    let is_library = host.as_str() == "docker.io" && !name.contains('/');
    let name = if is_library { format!("library/{name}") } else { name.to_owned() };
    name.parse().map_err(|error: crate::oci::NameError| error.to_string())
}

impl FromStr for ImageName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (host, rest) = split(text)?;
        let (rest, digest) = match rest.split_once('@') {
            Some((rest, digest)) => {
                let digest = digest.parse::<Digest>().map_err(|error| error.to_string())?;
                (rest, Some(digest))
            }
            None => (rest, None),
        };
        let (name, tag) = match rest.rsplit_once(':') {
            Some((name, tag)) => {
                (name, Some(tag.parse::<Tag>().map_err(|error| error.to_string())?))
            }
            None => (rest, None),
        };
        let repository = repository(&host, name)?;
        Ok(Self { host, repository, tag, digest })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_docker_reads_them() {
        let digest = format!("sha256:{}", "a".repeat(64));
        for (text, read) in [
            ("registry.example/team/app:v1", Some("registry.example/team/app:v1")),
            ("registry.example/app", Some("registry.example/app:latest")),
            ("localhost/app:v1", Some("localhost/app:v1")),
            ("localhost:5000/example.com/app:v1", Some("localhost:5000/example.com/app:v1")),
            ("Registry.Example:443/app:v1", Some("registry.example/app:v1")),
            ("https://127.0.0.1:5000/app:v1", Some("127.0.0.1:5000/app:v1")),
            ("alpine", Some("docker.io/library/alpine:latest")),
            ("anna/app:v1", Some("docker.io/anna/app:v1")),
            ("index.docker.io/alpine:3", Some("docker.io/library/alpine:3")),
            (&format!("r.example/app@{digest}"), Some(&*format!("r.example/app@{digest}"))),
            (&format!("r.example/app:v1@{digest}"), Some(&*format!("r.example/app@{digest}"))),
            ("registry.example/", None),
            ("registry.example/App:v1", None),
            ("registry.example/app:", None),
            ("registry.example/app@sha256:abc", None),
            ("registry.example/../app", None),
            ("", None),
        ] {
            let name = text.parse::<ImageName>().ok().map(|name| name.to_string());
            assert_eq!(name.as_deref(), read, "{text}");
        }
    }
}
