//! What a command prints.

use std::io::{self, ErrorKind, Write};

/// Writes a text to standard output. That nobody reads on (`roadstead config | head -1`) is no
/// failure.
pub(super) fn print(text: &str) -> io::Result<()> {
    let mut output = io::stdout().lock();
    match output.write_all(text.as_bytes()).and_then(|()| output.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}

/// Writes a text out of a folder or a record on one line, without anything that a terminal would obey.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\'' | '"' => escaped.push(character),
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
    use super::{counts, escape};

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
