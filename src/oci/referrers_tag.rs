//! Tags under which clients keep what refers to a manifest, where a registry has no list of referrers
//! (distribution-spec, "Referrers Tag Schema").

use super::{Algorithm, Digest, Tag};

/// How many digits of a digest such a tag has.
const DIGITS: usize = 64;

/// What cosign writes behind the tags of signatures, attestations and SBOMs.
const SUFFIXES: [&str; 3] = [".sig", ".att", ".sbom"];

impl Tag {
    /// Returns the tag of what refers to a manifest: the algorithm of its digest, and of the digits no more than 64.
    ///
    /// ```
    /// use roadstead::oci::{Algorithm, Digest, Tag};
    ///
    /// let digest = Digest::of(Algorithm::Sha256, b"image");
    /// let tag = Tag::of_referrers(&digest);
    /// assert_eq!(tag.as_str(), digest.to_string().replace(':', "-"));
    /// ```
    ///
    /// # Panics
    /// Never: an algorithm and digits are a tag.
    #[must_use]
    pub fn of_referrers(digest: &Digest) -> Self {
        let hex: String = digest.hex().chars().take(DIGITS).collect();
        format!("{}-{hex}", digest.algorithm()).parse().expect("an algorithm and digits are a tag")
    }

    /// Tells whether it is such a tag: `sha256-<hex>`, or with `.sig`, `.att` or `.sbom` behind it.
    ///
    /// ```
    /// use roadstead::oci::Tag;
    ///
    /// let hex = "0123456789abcdef".repeat(4);
    /// assert!(format!("sha256-{hex}.sig").parse::<Tag>()?.is_of_referrers());
    /// assert!(!"v1".parse::<Tag>()?.is_of_referrers());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn is_of_referrers(&self) -> bool {
        let parts = self.without_suffix().split_once('-');
        let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        parts.is_some_and(|(algorithm, hex)| {
            algorithm.parse::<Algorithm>().is_ok()
                && hex.len() == DIGITS
                && hex.bytes().all(is_digit)
        })
    }

    /// Tells whether it is the tag of what refers to this manifest.
    ///
    /// ```
    /// use roadstead::oci::{Algorithm, Digest, Tag};
    ///
    /// let digest = Digest::of(Algorithm::Sha256, b"image");
    /// let signature: Tag = format!("{}.sig", Tag::of_referrers(&digest)).parse()?;
    /// assert!(signature.refers_to(&digest));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn refers_to(&self, digest: &Digest) -> bool {
        self.without_suffix() == Self::of_referrers(digest).as_str()
    }

    fn without_suffix(&self) -> &str {
        let text = self.as_str();
        SUFFIXES.iter().find_map(|suffix| text.strip_suffix(suffix)).unwrap_or(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tag_of_a_long_digest_is_cut() {
        for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
            let digest = Digest::of(algorithm, b"image");
            let tag = Tag::of_referrers(&digest);
            assert_eq!(tag.as_str(), format!("{algorithm}-{}", &digest.hex()[..64]));
        }
    }

    #[test]
    fn tags_of_referrers_are_known() {
        for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
            let (digest, other) = (Digest::of(algorithm, b"a"), Digest::of(algorithm, b"b"));
            for suffix in ["", ".sig", ".att", ".sbom"] {
                let tag: Tag = format!("{}{suffix}", Tag::of_referrers(&digest)).parse().unwrap();
                assert!(tag.is_of_referrers() && tag.refers_to(&digest), "{tag}");
                assert!(!tag.refers_to(&other), "{tag}");
            }
        }
        for text in ["v1", "sha256-abc", "sha256-latest.sig", "sha256"] {
            assert!(!text.parse::<Tag>().unwrap().is_of_referrers(), "{text}");
        }
    }

    #[test]
    fn only_a_whole_digest_makes_a_tag_that_of_a_subject() {
        let hex = "0123456789abcdef".repeat(4);
        for (tag, expected) in [
            (format!("sha256-{hex}"), true),
            (format!("sha256-{hex}.sig"), true),
            (format!("sha256-{hex}.att"), true),
            (format!("sha256-{hex}.sbom"), true),
            (format!("sha256-{hex}.sig.sig"), false),
            (format!("sha256-{hex}.zip"), false),
            (format!("sha256-{}", &hex[1..]), false),
            (format!("sha256_{hex}"), false),
            (format!("sha512-{hex}"), true),
            (format!("sha512-{}", &hex[1..]), false),
            (format!("md5-{hex}"), false),
            ("v1".to_owned(), false),
        ] {
            let found: Tag = tag.parse().unwrap();
            assert_eq!(found.is_of_referrers(), expected, "{tag}");
            let digest = format!("sha256:{hex}").parse().unwrap();
            assert_eq!(found.refers_to(&digest), expected && tag.starts_with("sha256"), "{tag}");
        }
    }
}
