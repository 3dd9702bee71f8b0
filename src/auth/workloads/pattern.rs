//! What the value of a claim has to be.

use crate::glob::Glob;

/// The longest value that is compared with stars.
const LONGEST: usize = 2048;

/// The characters that separate the parts of a value: paths, subjects and references have them.
static SEPARATORS: [char; 3] = ['/', ':', '@'];

/// A value, in which `*` is any text within one part, and `**` any text. Nothing else has a meaning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pattern(Glob);

impl Pattern {
    pub(super) fn new(text: &str) -> Self {
        Self(Glob::new(text, &SEPARATORS))
    }

    /// Tells whether a value is as the pattern says, from its first character to its last.
    pub(super) fn matches(&self, value: &str) -> bool {
        (value.len() <= LONGEST || !self.0.has_stars()) && self.0.matches(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stays_within_its_part() {
        for (pattern, value, expected) in [
            ("refs/heads/main", "refs/heads/main", true),
            ("refs/heads/main", "refs/heads/main2", false),
            ("refs/heads/main", "refs/heads/Main", false),
            ("refs/heads/main", "xrefs/heads/main", false),
            ("refs/heads/main", "", false),
            ("refs/tags/v*", "refs/tags/v1.2", true),
            ("refs/tags/v*", "refs/tags/v", true),
            ("refs/tags/v*", "refs/tags/v1/evil", false),
            ("refs/tags/v*", "refs/tags/x", false),
            ("refs/heads/release/**", "refs/heads/release/1/2", true),
            ("refs/heads/release/**", "refs/heads/release2", false),
            ("repo:org/*:environment:prod", "repo:org/app:environment:prod", true),
            ("repo:org/*:environment:prod", "repo:org/app:environment:prod:x", false),
            ("repo:org/*:environment:prod", "repo:org/a:ref:x:environment:prod", false),
            ("repo:org/*:environment:prod", "repo:org2/app:environment:prod", false),
            ("org/ci/build.yml@refs/heads/*", "org/ci/build.yml@refs/heads/main", true),
            ("org/*@refs/heads/main", "org/x@refs/tags/1@refs/heads/main", false),
            ("*-prod-*", "a-prod-b", true),
            ("*-prod-*", "a-prod", false),
            ("a*b*c", "abbbc", true),
            ("a**c", "a/b:c", true),
            ("a***c", "a/c", true),
            ("a.c", "abc", false),
            ("a?c", "abc", false),
            ("[ab]", "a", false),
            ("m\u{430}in", "main", false),
        ] {
            assert_eq!(Pattern::new(pattern).matches(value), expected, "{pattern} {value}");
        }
    }

    #[test]
    fn a_hostile_value_takes_no_long_time() {
        let pattern = Pattern::new(&"a**".repeat(200));
        let begin = std::time::Instant::now();
        assert!(!pattern.matches(&format!("{}b", "a".repeat(100))));
        assert!(!pattern.matches(&"a".repeat(LONGEST + 1)));
        assert!(begin.elapsed().as_secs() < 5);
    }
}
