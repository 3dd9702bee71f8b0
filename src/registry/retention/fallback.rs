//! Tags that stand for the referrers of a digest, where a client knows no referrers API: `sha256-<hex>`, as the
//! specification has it, and with the endings of cosign.

use crate::oci::{Digest, Tag};

/// What cosign puts behind such a tag.
const ENDINGS: [&str; 3] = [".sig", ".att", ".sbom"];

/// How many digits of a digest such a tag has at most.
const DIGITS: usize = 64;

/// Such a tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fallback {
    /// How the digest that it is about begins.
    subject: String,
}

impl Fallback {
    /// Reads a tag; none if it is one like any other.
    pub(super) fn read(tag: &Tag) -> Option<Self> {
        let text = tag.as_str();
        let text = ENDINGS.iter().find_map(|ending| text.strip_suffix(ending)).unwrap_or(text);
        let (algorithm, hex) = text.split_once('-')?;
        let is_cut = algorithm == "sha512" && hex.len() == DIGITS;
        let whole = if is_cut { hex.repeat(2) } else { hex.to_owned() };
        format!("{algorithm}:{whole}").parse::<Digest>().ok()?;
        Some(Self { subject: format!("{algorithm}:{hex}") })
    }

    /// Tells whether it is about a digest.
    pub(super) fn is_about(&self, digest: &Digest) -> bool {
        digest.to_string().starts_with(&self.subject)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
            let found = Fallback::read(&tag.parse().unwrap());
            assert_eq!(found.is_some(), expected, "{tag}");
            let digest = format!("sha256:{hex}").parse().unwrap();
            let is_about = found.is_some_and(|found| found.is_about(&digest));
            assert_eq!(is_about, expected && tag.starts_with("sha256"), "{tag}");
        }
    }
}
