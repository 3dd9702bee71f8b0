//! What the value of a claim has to be.

/// The longest value that is compared with stars.
const LONGEST: usize = 2048;

/// The characters that separate the parts of a value: paths, subjects and references have them.
const SEPARATORS: [char; 3] = ['/', ':', '@'];

/// A value, in which `*` is any text within one part, and `**` any text. Nothing else has a meaning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pattern(Vec<Piece>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Piece {
    Exactly(char),
    WithinPart,
    Anything,
}

impl Pattern {
    pub(super) fn new(text: &str) -> Self {
        let mut pieces = Vec::new();
        for character in text.chars() {
            match (character, pieces.last_mut()) {
                ('*', Some(last @ (Piece::WithinPart | Piece::Anything))) => {
                    *last = Piece::Anything;
                }
                ('*', _) => pieces.push(Piece::WithinPart),
                (other, _) => pieces.push(Piece::Exactly(other)),
            }
        }
        Self(pieces)
    }

    /// Tells whether a value is as the pattern says, from its first character to its last.
    pub(super) fn matches(&self, value: &str) -> bool {
        if self.0.iter().all(|piece| matches!(piece, Piece::Exactly(_))) {
            let own = self.0.iter().filter_map(|piece| match piece {
                Piece::Exactly(character) => Some(*character),
                _ => None,
            });
            return own.eq(value.chars());
        }
        if value.len() > LONGEST {
            return false;
        }
        // All positions in the pattern that what was read so far may lead to.
        let mut reached = vec![false; self.0.len() + 1];
        reached[0] = true;
        self.pass_stars(&mut reached);
        for character in value.chars() {
            let mut next = vec![false; reached.len()];
            for (at, piece) in self.0.iter().enumerate().filter(|(at, _)| reached[*at]) {
                match piece {
                    Piece::Exactly(own) if *own == character => next[at + 1] = true,
                    Piece::WithinPart if !SEPARATORS.contains(&character) => next[at] = true,
                    Piece::Anything => next[at] = true,
                    Piece::Exactly(_) | Piece::WithinPart => {}
                }
            }
            self.pass_stars(&mut next);
            reached = next;
        }
        reached[self.0.len()]
    }

    /// A star may also stand for nothing.
    fn pass_stars(&self, reached: &mut [bool]) {
        for (at, piece) in self.0.iter().enumerate() {
            if reached[at] && !matches!(piece, Piece::Exactly(_)) {
                reached[at + 1] = true;
            }
        }
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
