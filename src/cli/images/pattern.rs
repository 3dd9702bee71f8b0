//! Patterns of names and tags.

use crate::glob::Glob;

/// Tells whether a text matches a pattern: `*` is anything within a component, `**` anything.
pub(super) fn matches(pattern: &str, text: &str) -> bool {
    Glob::new(pattern, &['/']).matches(text)
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn a_star_is_within_a_component_and_two_are_any() {
        for (pattern, text, is_match) in [
            ("team/app", "team/app", true),
            ("team/app", "team/apps", false),
            ("team/*", "team/app", true),
            ("team/*", "team/a/b", false),
            ("team/**", "team/a/b", true),
            ("**", "a/b", true),
            ("*", "a/b", false),
            ("*", "v1", true),
            ("v1.*", "v1.2", true),
            ("v1.*", "v2.1", false),
            ("*-rc*", "v1-rc.1", true),
            ("", "", true),
            ("", "a", false),
            ("a*b*c", "axxbyyc", true),
        ] {
            assert_eq!(matches(pattern, text), is_match, "{pattern} {text}");
        }
        assert!(!matches(&"*a".repeat(50), &"a".repeat(49).replace("aaa", "aab")));
    }
}
