//! References: what a manifest is requested by.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use super::{Digest, DigestError};

/// A tag: `[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tag(String);

impl Tag {
    /// Returns the tag as text.
    ///
    /// ```
    /// use roadstead::oci::Tag;
    ///
    /// assert_eq!("v1.0".parse::<Tag>()?.as_str(), "v1.0");
    /// assert!("-v1".parse::<Tag>().is_err());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Tag {
    type Err = TagError;

    fn from_str(text: &str) -> Result<Self, TagError> {
        let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        let bytes = text.as_bytes();
        let well_formed = bytes.first().is_some_and(|first| is_word(*first))
            && bytes.iter().all(|byte| is_word(*byte) || matches!(byte, b'.' | b'-'));
        if well_formed && bytes.len() <= 128 {
            Ok(Self(text.to_owned()))
        } else {
            Err(TagError(text.to_owned()))
        }
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// The text is not a tag.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{0}` is not a tag")]
pub struct TagError(String);

/// A tag or a digest; a colon tells them apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reference {
    /// By tag.
    Tag(Tag),
    /// By digest.
    Digest(Digest),
}

impl FromStr for Reference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        if text.contains(':') {
            Ok(Self::Digest(text.parse()?))
        } else {
            Ok(Self::Tag(text.parse()?))
        }
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tag(tag) => fmt::Display::fmt(tag, formatter),
            Self::Digest(digest) => fmt::Display::fmt(digest, formatter),
        }
    }
}

/// Why a text is not a reference.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ReferenceError {
    /// It has a colon, but is no digest.
    #[error(transparent)]
    Digest(#[from] DigestError),
    /// It has no colon, and is no tag.
    #[error(transparent)]
    Tag(#[from] TagError),
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use proptest::prelude::*;
    use regex_lite::Regex;

    use super::super::hostile;
    use super::*;

    #[test]
    fn a_reference_is_a_tag_or_a_digest() {
        for tag in ["v1", "latest", "_", "1.0-rc.1", "A_b", &"x".repeat(128)] {
            assert!(matches!(tag.parse(), Ok(Reference::Tag(_))), "{tag}");
        }
        for text in ["", ".a", "-a", "a b", "ü", "a/b", &"x".repeat(129), "..", "a\n"] {
            assert!(matches!(text.parse::<Reference>(), Err(ReferenceError::Tag(_))), "{text}");
        }
        for text in ["sha256:abc", "a:b", ":"] {
            assert!(matches!(text.parse::<Reference>(), Err(ReferenceError::Digest(_))), "{text}");
        }
    }

    /// As the specification writes it.
    static TAG: LazyLock<Regex> =
        LazyLock::new(|| Regex::new("^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$").unwrap());

    proptest! {
        #[test]
        fn what_is_a_tag_the_specification_says(
            text in hostile::texts("[a-zA-Z0-9_][a-zA-Z0-9._-]{0,8}([a-z]{118,121})?")
        ) {
            match text.parse::<Reference>() {
                Ok(reference) => {
                    prop_assert!(TAG.is_match(&text) || text.parse::<Digest>().is_ok());
                    prop_assert_eq!(reference.to_string(), text);
                }
                Err(_) => prop_assert!(!TAG.is_match(&text), "{text:?} was refused"),
            }
        }
    }
}
