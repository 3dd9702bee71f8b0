//! Texts for the tests of parsers: what is right, what is nearly right, and anything at all. Each
//! room's parsers meet them.

use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::string::string_regex;

/// What parsers stumble over.
const PIECES: &[&str] = &[
    "",
    "/",
    "//",
    ".",
    "..",
    ":",
    "-",
    "--",
    "_",
    "___",
    "@",
    "=",
    ",",
    ";",
    "%",
    "%2f",
    "+",
    "0",
    "00",
    "9",
    "A",
    "a",
    "ä",
    "\u{0}",
    "\n",
    "\r\n",
    " ",
    "\t",
    "\"",
    "\\",
    "{",
    "[",
    "]",
    "\u{feff}",
    "\u{2215}",
    "18446744073709551615",
    "18446744073709551616",
    "-1",
    "0x1",
    "1e3",
    "null",
    "sha256:",
];

/// A position in a text, how many characters go there, and what comes instead.
type Edit = (Index, usize, &'static str);

/// Gives texts of the grammar, such texts with a few edits, and anything.
pub(crate) fn texts(grammar: &str) -> impl Strategy<Value = String> + use<> {
    let right = || string_regex(grammar).expect("the grammar is a regular expression");
    prop_oneof![2 => right(), 5 => edited(right()), 1 => "\\PC{0,60}", 1 => any::<String>()]
}

/// Gives what a strategy gives, with a few edits.
pub(crate) fn edited(right: impl Strategy<Value = String>) -> impl Strategy<Value = String> {
    let edit = (any::<Index>(), 0_usize..3, select(PIECES));
    (right, prop::collection::vec(edit, 1..4))
        .prop_map(|(text, edits)| edits.into_iter().fold(text, |text, edit| apply(&text, edit)))
}

fn apply(text: &str, (position, removed, piece): Edit) -> String {
    let characters: Vec<char> = text.chars().collect();
    let position = position.index(characters.len() + 1);
    let rest = (position + removed).min(characters.len());
    let before = characters[..position].iter().copied();
    before.chain(piece.chars()).chain(characters[rest..].iter().copied()).collect()
}
