//! Digests: the names of content.

use std::fmt;
use std::str::FromStr;

use sha2::Digest as _;
use thiserror::Error;

/// A hash function that a digest may be made by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Algorithm {
    /// SHA-256, the canonical one: content stands under it.
    Sha256,
    /// SHA-512, an accepted second name.
    Sha512,
}

impl Algorithm {
    /// Returns the name as it stands before the colon of a digest.
    ///
    /// ```
    /// use roadstead::oci::Algorithm;
    ///
    /// assert_eq!(Algorithm::Sha512.as_str(), "sha512");
    /// assert_eq!("sha512".parse::<Algorithm>()?, Algorithm::Sha512);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Sha512 => "sha512",
        }
    }
}

impl FromStr for Algorithm {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        match text {
            "sha256" => Ok(Self::Sha256),
            "sha512" => Ok(Self::Sha512),
            _ => Err(DigestError::Algorithm(text.to_owned())),
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// A digest by one of the two algorithms, as a client names content by it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Digest {
    /// `sha256:` and 64 lower-case hexadecimal digits.
    Sha256([u8; 32]),
    /// `sha512:` and 128 lower-case hexadecimal digits.
    Sha512([u8; 64]),
}

impl Digest {
    /// Returns the digest of the bytes by that algorithm.
    ///
    /// ```
    /// use roadstead::oci::{Algorithm, Digest};
    ///
    /// let digest = Digest::of(Algorithm::Sha256, b"hello");
    /// assert!(digest.to_string().starts_with("sha256:2cf24dba5fb0a30e"));
    /// ```
    #[must_use]
    pub fn of(algorithm: Algorithm, bytes: &[u8]) -> Self {
        let mut hasher = Hasher::new(algorithm);
        hasher.update(bytes);
        hasher.finish()
    }

    /// Returns the algorithm.
    ///
    /// ```
    /// use roadstead::oci::{Algorithm, Digest};
    ///
    /// assert_eq!(Digest::of(Algorithm::Sha512, b"hello").algorithm(), Algorithm::Sha512);
    /// ```
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        match self {
            Self::Sha256(_) => Algorithm::Sha256,
            Self::Sha512(_) => Algorithm::Sha512,
        }
    }

    /// Returns the hexadecimal digits behind the colon.
    ///
    /// ```
    /// use roadstead::oci::{Algorithm, Digest};
    ///
    /// let digest = Digest::of(Algorithm::Sha256, b"hello");
    /// assert_eq!(format!("sha256:{}", digest.hex()).parse::<Digest>()?, digest);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn hex(&self) -> String {
        match self {
            Self::Sha256(bytes) => hex(bytes),
            Self::Sha512(bytes) => hex(bytes),
        }
    }

    /// Returns the digest as a canonical one, if it is by sha256.
    ///
    /// ```
    /// use roadstead::oci::{Algorithm, CanonicalDigest, Digest};
    ///
    /// let digest = Digest::of(Algorithm::Sha256, b"hello");
    /// assert_eq!(digest.canonical(), Some(CanonicalDigest::of(b"hello")));
    /// assert_eq!(Digest::of(Algorithm::Sha512, b"hello").canonical(), None);
    /// ```
    #[must_use]
    pub fn canonical(&self) -> Option<CanonicalDigest> {
        match self {
            Self::Sha256(bytes) => Some(CanonicalDigest(*bytes)),
            Self::Sha512(_) => None,
        }
    }
}

impl FromStr for Digest {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        let (algorithm, digits) =
            text.split_once(':').ok_or_else(|| DigestError::Form(text.to_owned()))?;
        let form = || DigestError::Form(text.to_owned());
        match algorithm.parse()? {
            Algorithm::Sha256 => unhex(digits).map(Self::Sha256).ok_or_else(form),
            Algorithm::Sha512 => unhex(digits).map(Self::Sha512).ok_or_else(form),
        }
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}", self.algorithm(), self.hex())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

/// The sha256 digest under which bytes stand in the storage, whatever name they were pushed by.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CanonicalDigest(pub [u8; 32]);

impl CanonicalDigest {
    /// Returns the canonical digest of the bytes.
    ///
    /// ```
    /// use roadstead::oci::CanonicalDigest;
    ///
    /// let digest = CanonicalDigest::of(b"hello");
    /// assert!(digest.to_string().starts_with("sha256:2cf24dba5fb0a30e"));
    /// ```
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(sha2::Sha256::digest(bytes).into())
    }

    /// Returns the 64 hexadecimal digits.
    ///
    /// ```
    /// use roadstead::oci::CanonicalDigest;
    ///
    /// assert_eq!(CanonicalDigest([0xab; 32]).hex(), "ab".repeat(32));
    /// ```
    #[must_use]
    pub fn hex(&self) -> String {
        hex(&self.0)
    }
}

impl From<CanonicalDigest> for Digest {
    fn from(canonical: CanonicalDigest) -> Self {
        Self::Sha256(canonical.0)
    }
}

impl FromStr for CanonicalDigest {
    type Err = DigestError;

    /// Accepts `sha256:<hex>` only.
    fn from_str(text: &str) -> Result<Self, DigestError> {
        text.parse::<Digest>()?.canonical().ok_or_else(|| DigestError::Form(text.to_owned()))
    }
}

impl fmt::Display for CanonicalDigest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "sha256:{}", self.hex())
    }
}

impl fmt::Debug for CanonicalDigest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

/// Computes a digest from bytes as they come.
#[derive(Clone)]
pub enum Hasher {
    /// Computes a sha256 digest.
    Sha256(sha2::Sha256),
    /// Computes a sha512 digest.
    Sha512(sha2::Sha512),
}

impl Hasher {
    /// Starts with no bytes.
    ///
    /// ```
    /// use roadstead::oci::{Algorithm, Digest, Hasher};
    ///
    /// let empty = Hasher::new(Algorithm::Sha256).finish();
    /// assert_eq!(empty, Digest::of(Algorithm::Sha256, b""));
    /// ```
    #[must_use]
    pub fn new(algorithm: Algorithm) -> Self {
        match algorithm {
            Algorithm::Sha256 => Self::Sha256(sha2::Sha256::new()),
            Algorithm::Sha512 => Self::Sha512(sha2::Sha512::new()),
        }
    }

    /// Appends the bytes.
    ///
    /// ```
    /// use roadstead::oci::{Algorithm, Digest, Hasher};
    ///
    /// let mut hasher = Hasher::new(Algorithm::Sha512);
    /// hasher.update(b"hel");
    /// hasher.update(b"lo");
    /// assert_eq!(hasher.finish(), Digest::of(Algorithm::Sha512, b"hello"));
    /// ```
    pub fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha256(hasher) => hasher.update(bytes),
            Self::Sha512(hasher) => hasher.update(bytes),
        }
    }

    /// Returns the digest of all that was appended.
    ///
    /// ```
    /// use roadstead::oci::{Algorithm, CanonicalDigest, Hasher};
    ///
    /// let mut hasher = Hasher::new(Algorithm::Sha256);
    /// hasher.update(b"hello");
    /// assert_eq!(hasher.finish(), CanonicalDigest::of(b"hello").into());
    /// ```
    #[must_use]
    pub fn finish(self) -> Digest {
        match self {
            Self::Sha256(hasher) => Digest::Sha256(hasher.finalize().into()),
            Self::Sha512(hasher) => Digest::Sha512(hasher.finalize().into()),
        }
    }
}

/// Why a text is not a digest.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum DigestError {
    /// The part before the colon is no algorithm that the registry knows.
    #[error("digest algorithm `{0}` is not one of sha256, sha512")]
    Algorithm(String),
    /// There is no colon, or what follows is not the right number of lower-case hex digits.
    #[error("`{0}` is not a digest")]
    Form(String),
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        text.push(char::from(DIGITS[usize::from(byte >> 4)]));
        text.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    text
}

fn unhex<const N: usize>(digits: &str) -> Option<[u8; N]> {
    let digits = digits.as_bytes();
    if digits.len() != N * 2 {
        return None;
    }
    let value = |digit: u8| match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    };
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = value(pair[0])? << 4 | value(pair[1])?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use proptest::prelude::*;
    use regex_lite::Regex;

    use super::super::hostile;
    use super::*;

    const EMPTY: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn a_digest_reads_back_as_it_was_written() {
        let digest: Digest = EMPTY.parse().unwrap();
        assert_eq!(digest, Digest::of(Algorithm::Sha256, b""));
        assert_eq!(digest.to_string(), EMPTY);
        let long = Digest::of(Algorithm::Sha512, b"hello").to_string();
        assert_eq!(long.parse::<Digest>().unwrap().to_string(), long);
    }

    #[test]
    fn what_is_not_a_digest_is_refused() {
        for text in [
            "",
            ":",
            "sha256",
            "sha256:",
            "sha256:abc",
            "sha256:baddigeststring",
            &EMPTY.to_uppercase(),
            &EMPTY.replace('e', "E"),
            &format!("{EMPTY}0"),
            &format!(" {EMPTY}"),
            "sha256:../../../../../../../../../../../../../../../../../../../../../etc/p",
        ] {
            assert!(text.parse::<Digest>().is_err(), "{text}");
        }
        assert_eq!(
            "md5:d41d8cd98f00b204e9800998ecf8427e".parse::<Digest>(),
            Err(DigestError::Algorithm("md5".to_owned()))
        );
    }

    /// As the specification writes it, of the two algorithms that are known here.
    static GRAMMAR: LazyLock<Regex> =
        LazyLock::new(|| Regex::new("^(sha256:[a-f0-9]{64}|sha512:[a-f0-9]{128})$").unwrap());

    proptest! {
        #[test]
        fn what_is_a_digest_the_specification_says(
            text in hostile::texts("sha256:[a-f0-9]{64}|sha512:[a-f0-9]{128}|[a-z0-9]{1,6}:[a-f0-9]{0,9}")
        ) {
            match text.parse::<Digest>() {
                Ok(digest) => {
                    prop_assert!(GRAMMAR.is_match(&text), "{text:?} was taken");
                    prop_assert_eq!(digest.to_string(), &*text);
                    prop_assert_eq!(text.parse::<CanonicalDigest>().is_ok(), digest.canonical().is_some());
                }
                Err(error) => prop_assert!(!GRAMMAR.is_match(&text), "{text:?} was refused: {error}"),
            }
        }
    }
}
