//! `Content-Disposition`: under which name an answer is to be saved (RFC 6266).

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// What is no `attr-char` of RFC 8187.
const NOT_ATTR_CHAR: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'!')
    .remove(b'#')
    .remove(b'$')
    .remove(b'&')
    .remove(b'+')
    .remove(b'-')
    .remove(b'.')
    .remove(b'^')
    .remove(b'_')
    .remove(b'`')
    .remove(b'|')
    .remove(b'~');

/// Returns the header that has an answer saved under a name, which may be any text.
pub(super) fn attachment(name: &str) -> String {
    // What would end the quotes, lead to another folder or break the header is in no name.
    let is_plain = |letter: char| {
        (letter.is_ascii_graphic() || letter == ' ') && !matches!(letter, '"' | '\\' | '/')
    };
    let plain: String =
        name.chars().map(|letter| if is_plain(letter) { letter } else { '_' }).collect();
    let mut header = format!("attachment; filename=\"{plain}\"");
    if !name.is_ascii() {
        header.push_str("; filename*=UTF-8''");
        let safe: String = name
            .chars()
            .map(|letter| if letter.is_ascii() && !is_plain(letter) { '_' } else { letter })
            .collect();
        header.extend(utf8_percent_encode(&safe, NOT_ATTR_CHAR));
    }
    header
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_neither_ends_the_header_nor_leads_elsewhere() {
        for (name, expected) in [
            ("foobar.bin", "attachment; filename=\"foobar.bin\""),
            ("a b;c.car", "attachment; filename=\"a b;c.car\""),
            ("../x\"\\\r\n", "attachment; filename=\".._x____\""),
            (
                "testтест.ipns-record",
                "attachment; filename=\"test____.ipns-record\"; \
                 filename*=UTF-8''test%D1%82%D0%B5%D1%81%D1%82.ipns-record",
            ),
            ("é/\n%", "attachment; filename=\"___%\"; filename*=UTF-8''%C3%A9__%25"),
        ] {
            assert_eq!(attachment(name), expected, "{name:?}");
        }
    }
}
