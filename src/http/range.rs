//! Ranges, in the forms of HTTP and of uploads.

use std::ops::Range;

use super::error::ApiError;
use crate::oci::ErrorCode;
use crate::registry::Extent;

/// What a `Range` header asks of content.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// All of it: there is no header, or one that RFC 9110 says to ignore.
    Whole,
    /// These bytes.
    Part(Range<u64>),
    /// Bytes that it does not have, or that nothing can have.
    Nothing,
}

/// Reads a `Range` header (RFC 9110, 14.2). One range is served; what is not a byte range, and
/// several ranges, are ignored. A range that ends before it begins may be ignored or refused; the
/// conformance suite counts only the refusal.
pub(super) fn wanted(header: Option<&str>, size: u64) -> Wanted {
    let Some(spec) = header.and_then(|header| header.trim().strip_prefix("bytes=")) else {
        return Wanted::Whole;
    };
    let Some((first, last)) = spec.trim().split_once('-') else { return Wanted::Whole };
    let (first, last) = (first.trim(), last.trim());
    if first.is_empty() {
        return match number(last) {
            Some(0) => Wanted::Nothing,
            Some(_) if size == 0 => Wanted::Nothing,
            Some(length) => Wanted::Part(size.saturating_sub(length)..size),
            None => Wanted::Whole,
        };
    }
    let Some(first) = number(first) else { return Wanted::Whole };
    let end = match (last, number(last)) {
        ("", _) => size,
        (_, Some(last)) if last < first => return Wanted::Nothing,
        (_, Some(last)) => size.min(last.saturating_add(1)),
        (_, None) => return Wanted::Whole,
    };
    if first >= size { Wanted::Nothing } else { Wanted::Part(first..end) }
}

/// Tells how much of content a `Range` header may ask for, whatever its length is. One that is to be ignored asks
/// for the whole.
pub(super) fn extent(header: Option<&str>) -> Extent {
    let Some(header) = header else { return Extent::Whole };
    match wanted(Some(header), u64::MAX) {
        Wanted::Whole => Extent::Whole,
        Wanted::Part(_) if header.trim().ends_with('-') || header.contains("=-") => Extent::Open,
        Wanted::Part(_) | Wanted::Nothing => Extent::Closed,
    }
}

/// Reads digits; a number beyond what fits stands for the largest.
pub(super) fn number(text: &str) -> Option<u64> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some(text.parse().unwrap_or(u64::MAX))
}

/// Reads the `Content-Range` of a chunk: `<first>-<last>`, both inclusive; a unit before and a
/// total behind are tolerated (distribution-spec, "Pushing a blob in chunks").
pub(super) fn chunk(header: &str) -> Result<Range<u64>, ApiError> {
    let malformed = || {
        ApiError::malformed(
            ErrorCode::BlobUploadInvalid,
            format!("the Content-Range `{header}` is not <first>-<last>"),
        )
    };
    let spec = header.trim();
    let spec = spec.strip_prefix("bytes").map_or(spec, |rest| rest.trim_start_matches([' ', '=']));
    let spec = spec.split_once('/').map_or(spec, |(range, _)| range);
    let (first, last) = spec.split_once('-').ok_or_else(malformed)?;
    let first = number(first).ok_or_else(malformed)?;
    let last =
        number(last).filter(|last| *last < u64::MAX && *last >= first).ok_or_else(malformed)?;
    Ok(first..last + 1)
}

/// Writes how much of an upload was received: `0-<last>`, and `0-0` also for nothing.
pub(super) fn received(offset: u64) -> String {
    format!("0-{}", offset.saturating_sub(1))
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use proptest::prelude::*;
    use regex_lite::Regex;

    use super::*;
    use crate::oci::hostile;

    #[test]
    fn a_single_byte_range_is_served_and_nonsense_ignored() {
        for (header, expected) in [
            ("bytes=0-0", Wanted::Part(0..1)),
            ("bytes=0-", Wanted::Part(0..10)),
            ("bytes=9-", Wanted::Part(9..10)),
            ("bytes=2-5", Wanted::Part(2..6)),
            ("bytes=2-500", Wanted::Part(2..10)),
            ("bytes=-3", Wanted::Part(7..10)),
            ("bytes=-300", Wanted::Part(0..10)),
            ("bytes=0-99999999999999999999999", Wanted::Part(0..10)),
            ("bytes=10-", Wanted::Nothing),
            ("bytes=10-20", Wanted::Nothing),
            ("bytes=-0", Wanted::Nothing),
            ("bytes=5-2", Wanted::Nothing),
            ("bytes=-", Wanted::Whole),
            ("bytes=a-b", Wanted::Whole),
            ("bytes=0-1,3-4", Wanted::Whole),
            ("bytes=+1-2", Wanted::Whole),
            ("chunks=0-1", Wanted::Whole),
            ("", Wanted::Whole),
        ] {
            assert_eq!(wanted(Some(header), 10), expected, "{header}");
        }
        assert_eq!(wanted(None, 10), Wanted::Whole);
        assert_eq!(wanted(Some("bytes=0-"), 0), Wanted::Nothing);
        assert_eq!(wanted(Some("bytes=-1"), 0), Wanted::Nothing);
    }

    #[test]
    fn a_chunk_says_where_it_belongs() {
        assert_eq!(chunk("0-9").unwrap(), 0..10);
        assert_eq!(chunk("bytes 10-19").unwrap(), 10..20);
        assert_eq!(chunk("bytes 10-19/*").unwrap(), 10..20);
        for header in ["", "-", "5", "9-0", "a-b", "0-", "-5", "0-18446744073709551615", "1.5-2"] {
            assert!(chunk(header).is_err(), "{header}");
        }
    }

    #[test]
    fn what_was_received_is_inclusive() {
        assert_eq!(received(0), "0-0");
        assert_eq!(received(1), "0-0");
        assert_eq!(received(10), "0-9");
    }

    /// One range of RFC 9110, 14.1.2.
    static RANGE: LazyLock<Regex> =
        LazyLock::new(|| Regex::new("^bytes=([0-9]*)-([0-9]*)$").unwrap());

    /// The `Content-Range` of distribution-spec, and what is tolerated around it.
    static CHUNK: LazyLock<Regex> =
        LazyLock::new(|| Regex::new("(?s)^(bytes[ =]*)?([0-9]+)-([0-9]+)(/.*)?$").unwrap());

    /// What the specification says of a range, reckoned with numbers that never overflow here.
    fn expected(header: &str, size: u64) -> Option<Wanted> {
        let found = RANGE.captures(header)?;
        // Beyond what is reckoned with here one number is as large as the other.
        let number = |group: usize| {
            let digits = &found[group];
            (!digits.is_empty()).then(|| digits.parse().unwrap_or(u128::MAX - 1))
        };
        let size = u128::from(size);
        let (first, end) = match (number(1), number(2)) {
            (Some(first), Some(last)) if last < first => return Some(Wanted::Nothing),
            (Some(first), last) => (first, last.map_or(size, |last| size.min(last + 1))),
            (None, Some(length)) => (size - size.min(length), size),
            (None, None) => return Some(Wanted::Whole),
        };
        if first >= end {
            return Some(Wanted::Nothing);
        }
        Some(Wanted::Part(u64::try_from(first).unwrap()..u64::try_from(end).unwrap()))
    }

    proptest! {
        #[test]
        fn a_range_is_what_the_specification_says_and_lies_within_the_content(
            header in hostile::texts("bytes=[0-9]{0,3}-[0-9]{0,21}"),
            size in prop_oneof![0_u64..2000, any::<u64>()],
        ) {
            let wanted = wanted(Some(&header), size);
            if let Wanted::Part(range) = &wanted {
                prop_assert!(range.start < range.end && range.end <= size, "{range:?} of {size}");
            }
            if let Some(expected) = expected(&header, size) {
                prop_assert_eq!(wanted, expected);
            }
        }

        #[test]
        fn a_chunk_is_two_numbers(header in hostile::texts("(bytes )?[0-9]{1,3}-[0-9]{3,20}(/(\\*|[0-9]{1,3}))?")) {
            let found = CHUNK.captures(header.trim());
            let number = |group: usize| found.as_ref()?[group].parse::<u128>().ok();
            let (first, last) = (number(2), number(3));
            match chunk(&header) {
                Ok(range) => {
                    prop_assert!(range.start < range.end);
                    // Numbers beyond any content stand for the largest.
                    prop_assert_eq!(first, Some(u128::from(range.start)));
                    prop_assert_eq!(last, Some(u128::from(range.end) - 1));
                    let again = format!("{}-{}", range.start, range.end - 1);
                    prop_assert_eq!(chunk(&again).unwrap(), range);
                }
                Err(_) => prop_assert!(
                    first.zip(last).is_none_or(|(first, last)| first > last || last >= u128::from(u64::MAX)),
                    "{header:?} was refused"
                ),
            }
        }
    }
}
