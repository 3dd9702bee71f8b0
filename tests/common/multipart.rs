//! `multipart/byteranges`, read as RFC 2046 has it: by the boundary.

use std::ops::Range;

use super::http::Response;

/// One range of an answer that has several.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Part {
    /// The value of its `Content-Range`.
    pub(crate) content_range: String,
    /// The value of its `Content-Type`.
    pub(crate) content_type: String,
    /// Its bytes.
    pub(crate) bytes: Vec<u8>,
}

/// Reads an answer of several ranges; panics where it is none.
pub(crate) fn parts(response: &Response) -> Vec<Part> {
    let kind = response.header("content-type");
    let boundary = kind.strip_prefix("multipart/byteranges; boundary=");
    let boundary = boundary.unwrap_or_else(|| panic!("not several ranges: {kind}"));
    let end = format!("\r\n--{boundary}--\r\n").into_bytes();
    let body = response.body.strip_suffix(end.as_slice()).expect("it ends with the boundary");
    // What stands before the first boundary begins with its end of line, where there is one.
    let body = [b"\r\n", body].concat();
    let between = format!("\r\n--{boundary}\r\n").into_bytes();
    let mut pieces = split(&body, &between);
    assert!(pieces.remove(0).is_empty(), "nothing stands before the first part");
    pieces.iter().map(|piece| part(piece)).collect()
}

/// Checks that an answer has these ranges of that content, and nothing else.
pub(crate) fn assert_parts(response: &Response, content: &[u8], ranges: &[Range<usize>]) {
    assert_eq!(response.status, 206, "{}", response.text());
    assert_eq!(response.header("content-range"), "", "each part has its own");
    assert_eq!(response.header("content-length"), response.body.len().to_string());
    let parts = parts(response);
    let actual: Vec<_> = parts.iter().map(|part| part.content_range.as_str()).collect();
    let expected: Vec<_> = ranges
        .iter()
        .map(|range| format!("bytes {}-{}/{}", range.start, range.end - 1, content.len()))
        .collect();
    assert_eq!(actual, expected);
    for (part, range) in parts.iter().zip(ranges) {
        assert_eq!(part.content_type, "application/octet-stream");
        assert!(part.bytes == content[range.clone()], "{}: other bytes", part.content_range);
    }
}

fn part(text: &[u8]) -> Part {
    let mut pieces = split(text, b"\r\n\r\n").into_iter();
    let head = String::from_utf8(pieces.next().expect("a part has a head")).expect("it is ASCII");
    let header = |name: &str| {
        let lines = head.split("\r\n").filter_map(|line| line.split_once(": "));
        let mut found = lines.filter(|(key, _)| key.eq_ignore_ascii_case(name));
        found.next().map_or(String::new(), |(_, value)| value.to_owned())
    };
    let bytes = text[head.len() + 4..].to_vec();
    Part { content_range: header("content-range"), content_type: header("content-type"), bytes }
}

fn split(text: &[u8], separator: &[u8]) -> Vec<Vec<u8>> {
    let mut pieces = Vec::new();
    let mut begin = 0;
    let mut at = 0;
    while at + separator.len() <= text.len() {
        if &text[at..at + separator.len()] == separator {
            pieces.push(text[begin..at].to_vec());
            at += separator.len();
            begin = at;
        } else {
            at += 1;
        }
    }
    pieces.push(text[begin..].to_vec());
    pieces
}
