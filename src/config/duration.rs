//! Durations as people write them.

use std::time::Duration;

/// Units by their suffix, in milliseconds. `ms` stands before the suffixes that it ends in.
const UNITS: [(&str, u64); 6] = [
    ("ms", 1),
    ("s", 1000),
    ("m", 60 * 1000),
    ("h", 60 * 60 * 1000),
    ("d", 24 * 60 * 60 * 1000),
    ("w", 7 * 24 * 60 * 60 * 1000),
];

/// Parses one whole number with a unit (`500ms`, `30s`, `15m`, `2h`, `7d`, `1w`), or without one:
/// seconds.
pub fn parse(text: &str) -> Option<Duration> {
    let (digits, milliseconds) = UNITS
        .iter()
        .find_map(|(suffix, unit)| Some((text.strip_suffix(suffix)?, *unit)))
        .unwrap_or((text, 1000));
    let digits = digits.trim_end();
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let count: u64 = digits.parse().ok()?;
    count.checked_mul(milliseconds).map(Duration::from_millis)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::oci::hostile;

    #[test]
    fn a_number_with_a_unit_is_a_duration() {
        for (text, seconds) in
            [("0", 0), ("30", 30), ("30s", 30), ("15m", 900), ("2 h", 7200), ("7d", 604_800)]
        {
            assert_eq!(parse(text), Some(Duration::from_secs(seconds)), "{text}");
        }
        assert_eq!(parse("500ms"), Some(Duration::from_millis(500)));
        assert_eq!(parse("1w"), parse("7d"));
    }

    #[test]
    fn anything_else_is_none() {
        for text in ["", "s", "-1s", "+1s", "1.5h", "1h30m", "1 year", "soon", "99999999999999999d"]
        {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_duration_is_a_number_with_a_unit(text in hostile::texts("[0-9]{1,12} ?(ms|s|m|h|d|w)?")) {
            let Some(duration) = parse(&text) else { return Ok(()) };
            prop_assert!(text.starts_with(|first: char| first.is_ascii_digit()), "{text:?}");
            let milliseconds = duration.as_millis();
            prop_assert_eq!(parse(&format!("{milliseconds}ms")), Some(duration));
        }
    }
}
