//! What a command prints.

use std::borrow::Cow;
use std::io::{self, ErrorKind, Write};

/// Writes a text to standard output, as [`printable`] has it. A reader that stops (`roadstead config | head -1`) is no
/// failure.
pub(super) fn print(text: &str) -> io::Result<()> {
    let mut output = io::stdout().lock();
    match output.write_all(printable(text).as_bytes()).and_then(|()| output.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}

/// Replaces what a terminal would obey, or would show in another order than it stands, by what JSON has for it:
/// names of files and texts out of records are whatever others made them. Lines and tabs stay.
#[must_use]
pub fn printable(text: &str) -> Cow<'_, str> {
    /// Marks that order text, end lines or are not seen.
    const MARKS: [char; 16] = [
        '\u{61c}', '\u{200b}', '\u{200e}', '\u{200f}', '\u{2028}', '\u{2029}', '\u{202a}',
        '\u{202b}', '\u{202c}', '\u{202d}', '\u{202e}', '\u{2066}', '\u{2067}', '\u{2068}',
        '\u{2069}', '\u{feff}',
    ];
    let is_obeyed = |character: char| {
        (character.is_control() && !"\n\t".contains(character)) || MARKS.contains(&character)
    };
    if !text.contains(is_obeyed) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        if is_obeyed(character) {
            // None of them is beyond 16 bits.
            shown.extend(["\\u", &format!("{:04x}", u32::from(character))]);
        } else {
            shown.push(character);
        }
    }
    Cow::Owned(shown)
}

/// Writes a text out of a folder or a record on one line, without anything that a terminal would obey.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\'' | '"' | '\\' => escaped.push(character),
            _ => escaped.extend(character.escape_debug()),
        }
    }
    escaped
}

/// Writes numbers of things with their nouns: `[(1, "tag"), (2, "repository")]` is `1 tag, 2 repositories`.
pub(super) fn counts<const N: usize>(things: [(usize, &str); N]) -> String {
    let text = things.map(|(number, noun)| match (number, noun.strip_suffix('y')) {
        (1, _) => format!("1 {noun}"),
        (_, Some(stem)) => format!("{number} {stem}ies"),
        (_, None) => format!("{number} {noun}s"),
    });
    text.join(", ")
}

#[cfg(test)]
mod tests {
    use super::{counts, escape, printable};

    #[test]
    fn what_is_printed_keeps_its_lines_and_is_obeyed_by_no_terminal() {
        for (text, shown) in [
            ("one\n\ttwo: bücher\n", "one\n\ttwo: bücher\n"),
            ("\u{1b}]0;x\u{7}\r", "\\u001b]0;x\\u0007\\u000d"),
            ("\u{7f}\u{9b}31m", "\\u007f\\u009b31m"),
            ("a\u{202e}b\u{2066}", "a\\u202eb\\u2066"),
        ] {
            assert_eq!(printable(text), shown);
        }
        let json = serde_json::to_string("\u{9b}\u{7f}\u{202e}\u{1b}").unwrap();
        let read: String = serde_json::from_str(&printable(&json)).unwrap();
        assert_eq!(read, "\u{9b}\u{7f}\u{202e}\u{1b}", "JSON says the same");
    }

    #[test]
    fn a_terminal_obeys_nothing_of_a_name() {
        for (name, shown) in [
            ("team/app: it's \"v1\"", "team/app: it's \"v1\""),
            ("bücher", "bücher"),
            ("\u{1b}[31m\u{7}\n", "\\u{1b}[31m\\u{7}\\n"),
            ("\u{9b}2J", "\\u{9b}2J"),
            ("a\u{202e}b", "a\\u{202e}b"),
        ] {
            assert_eq!(escape(name), shown);
        }
    }

    #[test]
    fn one_thing_has_no_plural() {
        assert_eq!(counts([(1, "repository"), (1, "tag")]), "1 repository, 1 tag");
        assert_eq!(counts([(0, "repository"), (2, "tag")]), "0 repositories, 2 tags");
    }
}
