//! Patterns of names and tags.

/// Tells whether a text matches a pattern: `*` is anything within a component, `**` anything.
pub(super) fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    // The positions of the pattern that may be reached: as many steps as both are long.
    let mut reached = vec![false; pattern.len() + 1];
    reached[0] = true;
    let is_star = |position: usize| pattern.get(position) == Some(&b'*');
    let is_deep = |position: usize| {
        is_star(position) && (is_star(position + 1) || position.checked_sub(1).is_some_and(is_star))
    };
    let skip_stars = |reached: &mut Vec<bool>| {
        for position in 0..pattern.len() {
            if reached[position] && is_star(position) {
                reached[position + 1] = true;
            }
        }
    };
    skip_stars(&mut reached);
    for byte in text {
        let mut next = vec![false; pattern.len() + 1];
        for position in (0..pattern.len()).filter(|position| reached[*position]) {
            if is_star(position) {
                next[position] |= *byte != b'/' || is_deep(position);
            } else if pattern[position] == *byte {
                next[position + 1] = true;
            }
        }
        skip_stars(&mut next);
        reached = next;
    }
    reached[pattern.len()]
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
