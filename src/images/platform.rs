//! Platforms: what an image of an index is for.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::oci::Digest;

/// An operating system and a processor (image-spec, "Image Index").
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
pub(crate) struct Platform {
    /// Such as `linux`.
    #[serde(default)]
    pub(crate) os: String,
    /// Such as `amd64`.
    #[serde(default)]
    pub(crate) architecture: String,
    /// Such as `v7`; empty where there is one alone.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) variant: String,
}

impl Platform {
    /// Returns the one that images for this machine have.
    pub(crate) fn of_this_machine() -> Self {
        let architecture = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            "x86" => "386",
            "powerpc64" => "ppc64le",
            other => other,
        };
        Self {
            os: "linux".to_owned(),
            architecture: architecture.to_owned(),
            variant: String::new(),
        }
    }

    /// Tells whether an image of the other platform is meant; no variant means any.
    pub(crate) fn matches(&self, other: &Self) -> bool {
        let variant = |it: &Self| match (&*it.architecture, &*it.variant) {
            ("arm64", "") => "v8".to_owned(),
            (_, variant) => variant.to_owned(),
        };
        self.os == other.os
            && self.architecture == other.architecture
            && (self.variant.is_empty() || variant(self) == variant(other))
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.os, self.architecture)?;
        if self.variant.is_empty() { Ok(()) } else { write!(formatter, "/{}", self.variant) }
    }
}

impl FromStr for Platform {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts: Vec<&str> = text.split('/').collect();
        let is_part =
            |part: &&str| !part.is_empty() && part.bytes().all(|it| it.is_ascii_graphic());
        if !(2..=3).contains(&parts.len()) || !parts.iter().all(is_part) {
            return Err("expected a platform such as linux/amd64 or linux/arm/v7".to_owned());
        }
        let part = |index: usize| parts.get(index).copied().unwrap_or_default().to_owned();
        Ok(Self { os: part(0), architecture: part(1), variant: part(2) })
    }
}

/// Lists the platforms of an index with the digests of their images; entries that name none are left out.
pub(crate) fn platforms(index: &[u8]) -> Vec<(Platform, Digest)> {
    #[derive(Deserialize)]
    struct Index {
        manifests: Option<Vec<Entry>>,
    }
    #[derive(Deserialize)]
    struct Entry {
        digest: String,
        platform: Option<Platform>,
    }

    let entries = serde_json::from_slice::<Index>(index).ok().and_then(|index| index.manifests);
    let named = entries.unwrap_or_default().into_iter();
    named.filter_map(|entry| Some((entry.platform?, entry.digest.parse().ok()?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_platform_is_read_and_matched() {
        let read = |text: &str| text.parse::<Platform>().unwrap();
        for (one, other, matches) in [
            ("linux/amd64", "linux/amd64", true),
            ("linux/arm64", "linux/arm64/v8", true),
            ("linux/arm64/v8", "linux/arm64", true),
            ("linux/arm", "linux/arm/v7", true),
            ("linux/arm/v6", "linux/arm/v7", false),
            ("windows/amd64", "linux/amd64", false),
        ] {
            assert_eq!(read(one).matches(&read(other)), matches, "{one} {other}");
            assert_eq!(read(one).to_string(), one);
        }
        for text in ["", "linux", "linux/", "/", "a/b/c/d", "a /b"] {
            assert!(text.parse::<Platform>().is_err(), "{text}");
        }
    }
}
