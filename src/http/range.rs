//! Ranges, in the forms of HTTP and of uploads.

use std::ops::Range;

use crate::registry::Extent;

/// How many ranges one request may ask for: as many as podman does at most. Beyond that the header is ignored.
pub(super) const MAX_RANGES: usize = 1024;

/// What a `Range` header requests.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum RequestedRanges {
    /// All of it: there is no header, or one that RFC 9110 says to ignore.
    Whole,
    /// These bytes.
    Part(Range<u64>),
    /// These bytes, in this order: two ranges at least, which neither overlap nor touch.
    Parts(Vec<Range<u64>>),
    /// Bytes that it does not have, or that nothing can have.
    Nothing,
}

/// Which of several ranges are made one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Joined {
    /// Those that overlap or touch (RFC 9110, 15.3.7.2).
    Touching,
    /// Only those that overlap: for clients that take the nth part for the nth range of their request.
    Overlapping,
}

/// What one range of a header requests.
enum Spec {
    Satisfiable(Range<u64>),
    Unsatisfiable,
    /// It ends before it begins.
    Reversed,
    Malformed,
}

/// Reads a `Range` header (RFC 9110, 14.2). What is no set of byte ranges is ignored, and so are more than
/// [`MAX_RANGES`]. A range that ends before it begins may be ignored or refused; the conformance suite
/// counts only the refusal. Of several, those that the content does not have are left out, and some are `joined`.
pub(super) fn requested_ranges(header: Option<&str>, size: u64, joined: Joined) -> RequestedRanges {
    let Some(set) = header.and_then(byte_ranges) else { return RequestedRanges::Whole };
    let specs = || set.split(',').map(str::trim).filter(|spec| !spec.is_empty());
    if !(1..=MAX_RANGES).contains(&specs().take(MAX_RANGES + 1).count()) {
        return RequestedRanges::Whole;
    }
    let mut ranges = Vec::new();
    let mut is_reversed = false;
    for spec in specs() {
        match read_spec(spec, size) {
            Spec::Satisfiable(range) => ranges.push(range),
            Spec::Unsatisfiable => {}
            Spec::Reversed => is_reversed = true,
            Spec::Malformed => return RequestedRanges::Whole,
        }
    }
    let mut ranges = if is_reversed { Vec::new() } else { merged(ranges, joined) };
    match ranges.len() {
        0 => RequestedRanges::Nothing,
        1 => RequestedRanges::Part(ranges.remove(0)),
        _ => RequestedRanges::Parts(ranges),
    }
}

/// Returns what follows the unit, which is compared without case, if it is the one of bytes.
fn byte_ranges(header: &str) -> Option<&str> {
    let (unit, set) = header.trim().split_once('=')?;
    unit.eq_ignore_ascii_case("bytes").then_some(set)
}

fn read_spec(spec: &str, size: u64) -> Spec {
    let Some((first, last)) = spec.split_once('-') else { return Spec::Malformed };
    let (first, last) = (first.trim(), last.trim());
    if first.is_empty() {
        return match number(last) {
            None => Spec::Malformed,
            Some(length) if length == 0 || size == 0 => Spec::Unsatisfiable,
            Some(length) => Spec::Satisfiable(size.saturating_sub(length)..size),
        };
    }
    let Some(first) = number(first) else { return Spec::Malformed };
    let end = match (last, number(last)) {
        ("", _) => size,
        (_, Some(last)) if last < first => return Spec::Reversed,
        (_, Some(last)) => size.min(last.saturating_add(1)),
        (_, None) => return Spec::Malformed,
    };
    if first >= size { Spec::Unsatisfiable } else { Spec::Satisfiable(first..end) }
}

/// Makes one of ranges that overlap or touch; it comes at the position of the first of them.
fn merged(ranges: Vec<Range<u64>>, joined: Joined) -> Vec<Range<u64>> {
    let gap = u64::from(joined == Joined::Overlapping);
    let mut requested: Vec<(usize, Range<u64>)> = ranges.into_iter().enumerate().collect();
    requested.sort_by_key(|(_, range)| range.start);
    let mut merged: Vec<(usize, Range<u64>)> = Vec::with_capacity(requested.len());
    for (position, range) in requested {
        match merged.last_mut() {
            Some((first, last)) if range.start + gap <= last.end => {
                last.end = last.end.max(range.end);
                *first = position.min(*first);
            }
            _ => merged.push((position, range)),
        }
    }
    merged.sort_by_key(|(position, _)| *position);
    merged.into_iter().map(|(_, range)| range).collect()
}

/// Returns how much of content a `Range` header may request, whatever its length is. One that is to be ignored
/// requests the whole.
pub(super) fn extent(header: Option<&str>) -> Extent {
    let Some(set) = header.and_then(byte_ranges) else { return Extent::Whole };
    let is_open = |spec: &str| spec.starts_with('-') || spec.ends_with('-');
    match requested_ranges(header, u64::MAX, Joined::Touching) {
        RequestedRanges::Whole => Extent::Whole,
        RequestedRanges::Part(_) | RequestedRanges::Parts(_)
            if set.split(',').map(str::trim).any(is_open) =>
        {
            Extent::Open
        }
        RequestedRanges::Part(_) | RequestedRanges::Parts(_) | RequestedRanges::Nothing => {
            Extent::Closed
        }
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
/// total behind are tolerated (distribution-spec, "Pushing a blob in chunks"). None if it is not.
pub(super) fn chunk(header: &str) -> Option<Range<u64>> {
    let spec = header.trim();
    let unit = spec.get(..5).filter(|unit| unit.eq_ignore_ascii_case("bytes"));
    let spec = unit.map_or(spec, |unit| spec[unit.len()..].trim_start_matches([' ', '=']));
    let spec = spec.split_once('/').map_or(spec, |(range, _)| range);
    let (first, last) = spec.split_once('-')?;
    let first = number(first)?;
    let last = number(last).filter(|last| *last < u64::MAX && *last >= first)?;
    Some(first..last + 1)
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
            ("bytes=0-0", RequestedRanges::Part(0..1)),
            ("bytes=0-", RequestedRanges::Part(0..10)),
            ("bytes=9-", RequestedRanges::Part(9..10)),
            ("bytes=2-5", RequestedRanges::Part(2..6)),
            ("bytes=2-500", RequestedRanges::Part(2..10)),
            ("bytes=-3", RequestedRanges::Part(7..10)),
            ("bytes=-300", RequestedRanges::Part(0..10)),
            ("bytes=0-99999999999999999999999", RequestedRanges::Part(0..10)),
            ("bytes=10-", RequestedRanges::Nothing),
            ("bytes=10-20", RequestedRanges::Nothing),
            ("bytes=-0", RequestedRanges::Nothing),
            ("bytes=5-2", RequestedRanges::Nothing),
            ("bytes=-", RequestedRanges::Whole),
            ("bytes=a-b", RequestedRanges::Whole),
            ("BYTES=2-5", RequestedRanges::Part(2..6)),
            ("bytes=,", RequestedRanges::Whole),
            ("bytes=", RequestedRanges::Whole),
            ("bytes=0-1,a-b", RequestedRanges::Whole),
            ("bytes=0-1,5-2", RequestedRanges::Nothing),
            ("bytes=10-,-0", RequestedRanges::Nothing),
            ("bytes=+1-2", RequestedRanges::Whole),
            ("chunks=0-1", RequestedRanges::Whole),
            ("", RequestedRanges::Whole),
        ] {
            assert_eq!(requested_ranges(Some(header), 10, Joined::Touching), expected, "{header}");
        }
        assert_eq!(requested_ranges(None, 10, Joined::Touching), RequestedRanges::Whole);
        assert_eq!(
            requested_ranges(Some("bytes=0-"), 0, Joined::Touching),
            RequestedRanges::Nothing
        );
        assert_eq!(
            requested_ranges(Some("bytes=-1"), 0, Joined::Touching),
            RequestedRanges::Nothing
        );
    }

    #[test]
    #[expect(clippy::single_range_in_vec_init, reason = "one range is what is left")]
    fn several_ranges_come_in_the_order_of_the_request_and_merged() {
        let parts = |header: &str| match requested_ranges(Some(header), 100, Joined::Touching) {
            RequestedRanges::Parts(ranges) => ranges,
            RequestedRanges::Part(range) => vec![range],
            RequestedRanges::Whole | RequestedRanges::Nothing => Vec::new(),
        };
        assert_eq!(parts("bytes=0-1,3-4"), [0..2, 3..5]);
        assert_eq!(parts("bytes=50-59 , 3-4,\t,-1"), [50..60, 3..5, 99..100]);
        assert_eq!(parts("bytes=0-1,2-3"), [0..4], "they touch");
        assert_eq!(parts("bytes=90-,50-59,-20"), [80..100, 50..60], "the first two are one");
        assert_eq!(parts("bytes=50-59,0-0,10-20,15-49"), [10..60, 0..1]);
        assert_eq!(parts("bytes=7-7,7-7,7-7"), [7..8]);
        assert_eq!(parts("bytes=100-,5-6"), [5..7], "one is left");
        assert_eq!(parts("bytes=100-,5-6,-0,8-8,200-300"), [5..7, 8..9]);
        assert_eq!(parts("bytes=50-,0-49"), [0..100]);
        let apart = requested_ranges(Some("bytes=2-3,0-1,3-4,6-6"), 100, Joined::Overlapping);
        assert_eq!(
            apart,
            RequestedRanges::Parts(vec![2..5, 0..2, 6..7]),
            "those that touch stay apart"
        );
        let many = |count: u64| {
            let specs: Vec<_> = (0..count).map(|it| format!("{0}-{0}", it * 2)).collect();
            requested_ranges(Some(&format!("bytes={}", specs.join(","))), 100_000, Joined::Touching)
        };
        assert!(matches!(many(1024), RequestedRanges::Parts(ranges) if ranges.len() == 1024));
        assert_eq!(many(1025), RequestedRanges::Whole);
    }

    #[test]
    fn a_chunk_says_where_it_belongs() {
        assert_eq!(chunk("0-9").unwrap(), 0..10);
        assert_eq!(chunk("bytes 10-19").unwrap(), 10..20);
        assert_eq!(chunk("bytes 10-19/*").unwrap(), 10..20);
        assert_eq!(chunk("Bytes 10-19/30").unwrap(), 10..20);
        for header in ["", "-", "5", "9-0", "a-b", "0-", "-5", "0-18446744073709551615", "1.5-2"] {
            assert!(chunk(header).is_none(), "{header}");
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
        LazyLock::new(|| Regex::new("^(?i:bytes)=([0-9]*)-([0-9]*)$").unwrap());

    /// The `Content-Range` of distribution-spec, and what is tolerated around it.
    static CHUNK: LazyLock<Regex> =
        LazyLock::new(|| Regex::new("(?s)^((?i:bytes)[ =]*)?([0-9]+)-([0-9]+)(/.*)?$").unwrap());

    /// What the specification says of a range, reckoned with numbers that never overflow here.
    fn expected(header: &str, size: u64) -> Option<RequestedRanges> {
        let found = RANGE.captures(header)?;
        // Beyond what is reckoned with here one number is as large as the other.
        let number = |group: usize| {
            let digits = &found[group];
            (!digits.is_empty()).then(|| digits.parse().unwrap_or(u128::MAX - 1))
        };
        let size = u128::from(size);
        let (first, end) = match (number(1), number(2)) {
            (Some(first), Some(last)) if last < first => return Some(RequestedRanges::Nothing),
            (Some(first), last) => (first, last.map_or(size, |last| size.min(last + 1))),
            (None, Some(length)) => (size - size.min(length), size),
            (None, None) => return Some(RequestedRanges::Whole),
        };
        if first >= end {
            return Some(RequestedRanges::Nothing);
        }
        Some(RequestedRanges::Part(u64::try_from(first).unwrap()..u64::try_from(end).unwrap()))
    }

    proptest! {
        #[test]
        fn a_range_is_what_the_specification_says_and_lies_within_the_content(
            header in hostile::texts("bytes=[0-9]{0,3}-[0-9]{0,21}"),
            size in prop_oneof![0_u64..2000, any::<u64>()],
        ) {
            let requested = requested_ranges(Some(&header), size, Joined::Touching);
            if let RequestedRanges::Part(range) = &requested {
                prop_assert!(range.start < range.end && range.end <= size, "{range:?} of {size}");
            }
            if let Some(expected) = expected(&header, size) {
                prop_assert_eq!(requested, expected);
            }
        }

        #[test]
        fn several_ranges_cover_the_requested_bytes_and_lie_apart(
            requested in prop::collection::vec((0_u64..1000, 0_u64..200), 1..40),
            size in 0_u64..1000,
        ) {
            let specs: Vec<_> = requested.iter().map(|(first, more)| format!("{first}-{}", first + more)).collect();
            let ranges = match requested_ranges(Some(&format!("bytes={}", specs.join(","))), size, Joined::Touching) {
                RequestedRanges::Parts(ranges) => ranges,
                RequestedRanges::Part(range) => vec![range],
                RequestedRanges::Nothing => Vec::new(),
                RequestedRanges::Whole => return Err(TestCaseError::fail("it is a set of ranges")),
            };
            for byte in 0..size {
                let is_requested = requested.iter().any(|(first, more)| (*first..=first + more).contains(&byte));
                let count = ranges.iter().filter(|range| range.contains(&byte)).count();
                prop_assert_eq!(count, usize::from(is_requested), "byte {}", byte);
            }
            // Each comes at the position of the first requested range that lies in it.
            let mut expected = Vec::new();
            for (first, _) in requested.iter().filter(|(first, _)| *first < size) {
                let position = ranges.iter().position(|range| range.contains(first)).unwrap();
                if !expected.contains(&position) {
                    expected.push(position);
                }
            }
            prop_assert!(expected.is_sorted(), "{:?}", expected);
            let mut sorted = ranges.clone();
            sorted.sort_by_key(|range| range.start);
            prop_assert!(sorted.windows(2).all(|pair| pair[0].end < pair[1].start));
        }

        #[test]
        fn a_chunk_is_two_numbers(header in hostile::texts("(bytes )?[0-9]{1,3}-[0-9]{3,20}(/(\\*|[0-9]{1,3}))?")) {
            let found = CHUNK.captures(header.trim());
            let number = |group: usize| found.as_ref()?[group].parse::<u128>().ok();
            let (first, last) = (number(2), number(3));
            match chunk(&header) {
                Some(range) => {
                    prop_assert!(range.start < range.end);
                    // Numbers beyond any content stand for the largest.
                    prop_assert_eq!(first, Some(u128::from(range.start)));
                    prop_assert_eq!(last, Some(u128::from(range.end) - 1));
                    let again = format!("{}-{}", range.start, range.end - 1);
                    prop_assert_eq!(chunk(&again).unwrap(), range);
                }
                None => prop_assert!(
                    first.zip(last).is_none_or(|(first, last)| first > last || last >= u128::from(u64::MAX)),
                    "{header:?} was refused"
                ),
            }
        }
    }
}
