//! Tags that stand for the referrers of a digest, where a client knows no referrers API: `sha256-<hex>`, as the
//! specification has it, and with the endings of cosign.

use crate::oci::{Digest, Tag};

/// What cosign puts behind such a tag.
const ENDINGS: [&str; 3] = [".sig", ".att", ".sbom"];

/// Such a tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fallback {
    /// What it refers to.
    pub(super) subject: Digest,
}

impl Fallback {
    /// Reads a tag; none if it is one like any other.
    pub(super) fn read(tag: &Tag) -> Option<Self> {
        let text = tag.as_str();
        let text = ENDINGS.iter().find_map(|ending| text.strip_suffix(ending)).unwrap_or(text);
        let (algorithm, hex) = text.split_once('-')?;
        let subject = format!("{algorithm}:{hex}").parse().ok()?;
        Some(Self { subject })
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
            (format!("md5-{hex}"), false),
            ("v1".to_owned(), false),
        ] {
            let found = Fallback::read(&tag.parse().unwrap());
            assert_eq!(found.is_some(), expected, "{tag}");
            if let Some(found) = found {
                assert_eq!(found.subject.to_string(), format!("sha256:{hex}"));
            }
        }
    }
}
