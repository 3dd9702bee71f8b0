//! Patterns of tags.

use crate::glob::Glob;
use crate::oci::Tag;

/// Which tags a rule is about: a tag in which `*` stands for any text, none too. Nothing else has a meaning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TagPattern {
    text: String,
    glob: Glob,
}

impl TagPattern {
    /// The pattern of that text, which may be any.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self { text: text.to_owned(), glob: Glob::new(text, &[]) }
    }

    /// The pattern as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Tells whether a tag is as the pattern says, from its first character to its last.
    #[must_use]
    pub fn matches(&self, tag: &Tag) -> bool {
        self.glob.matches(tag.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_text() {
        for (pattern, tag, expected) in [
            ("v1", "v1", true),
            ("v1", "v10", false),
            ("v1", "xv1", false),
            ("", "v1", false),
            ("*", "v1", true),
            ("**", "v1", true),
            ("v*", "v1.2.3", true),
            ("v*", "1v", false),
            ("*-rc", "v1-rc", true),
            ("*-rc", "v1-rc1", false),
            ("v*.0", "v1.0", true),
            ("v*.0", "v.0", true),
            ("v*0", "v0", true),
            ("v0*0", "v0", false),
            ("a*b*c", "aXbYc", true),
            ("a*b*c", "acb", false),
            ("a*bc*bc", "abcbc", true),
            ("a*bc*bc", "abc", false),
            ("V*", "v1", false),
        ] {
            let tag = tag.parse().unwrap();
            assert_eq!(TagPattern::new(pattern).matches(&tag), expected, "{pattern} {tag}");
        }
    }
}
