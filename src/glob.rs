//! Texts with stars.

/// A text in which `*` stands for any text within one part, and `**` for any text, none too. Nothing else has a meaning.
/// To match takes as many steps as both texts are long together multiplied, whatever they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Glob {
    pieces: Vec<Piece>,
    separators: &'static [char],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Piece {
    Exactly(char),
    WithinPart,
    Anything,
}

impl Glob {
    /// Reads a text whose parts are separated by these characters.
    #[must_use]
    pub fn new(text: &str, separators: &'static [char]) -> Self {
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
        Self { pieces, separators }
    }

    /// Tells whether it has a star.
    #[must_use]
    pub fn has_stars(&self) -> bool {
        self.pieces.iter().any(|piece| !matches!(piece, Piece::Exactly(_)))
    }

    /// Tells whether another text is as this one says, from its first character to its last.
    #[must_use]
    pub fn matches(&self, value: &str) -> bool {
        if !self.has_stars() {
            let own = self.pieces.iter().filter_map(|piece| match piece {
                Piece::Exactly(character) => Some(*character),
                Piece::WithinPart | Piece::Anything => None,
            });
            return own.eq(value.chars());
        }
        // All positions in the pattern that what was read so far may lead to.
        let mut reached = vec![false; self.pieces.len() + 1];
        reached[0] = true;
        self.pass_stars(&mut reached);
        for character in value.chars() {
            let mut next = vec![false; reached.len()];
            for (at, piece) in self.pieces.iter().enumerate().filter(|(at, _)| reached[*at]) {
                match piece {
                    Piece::Exactly(own) if *own == character => next[at + 1] = true,
                    Piece::WithinPart if !self.separators.contains(&character) => next[at] = true,
                    Piece::Anything => next[at] = true,
                    Piece::Exactly(_) | Piece::WithinPart => {}
                }
            }
            self.pass_stars(&mut next);
            reached = next;
        }
        reached[self.pieces.len()]
    }

    /// A star may also stand for nothing.
    fn pass_stars(&self, reached: &mut [bool]) {
        for (at, piece) in self.pieces.iter().enumerate() {
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
    fn a_star_stays_within_its_part_and_two_do_not() {
        for (pattern, text, expected) in [
            ("", "", true),
            ("", "a", false),
            ("a/b", "a/b", true),
            ("a/*", "a/b", true),
            ("a/*", "a/", true),
            ("a/*", "a/b/c", false),
            ("a/**", "a/b/c", true),
            ("a***c", "a/c", true),
            ("a?c", "abc", false),
        ] {
            assert_eq!(Glob::new(pattern, &['/']).matches(text), expected, "{pattern} {text}");
        }
        assert!(Glob::new("a*", &[]).matches("a/b"), "without separators there is one part");
    }
}
