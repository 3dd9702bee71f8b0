//! Versions, as tags write them.

use std::cmp::Ordering;

/// A tag such as `v1.2.3-alpine`: three numbers as semantic versions have them, perhaps with a `v` before them, and perhaps
/// with `-` or `_` and more behind them. Anything else is no version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Version<'tag> {
    /// Of the digits of each, the most significant number first.
    numbers: [&'tag str; 3],
    /// What comes behind them. Only versions with the same are compared: nobody knows which of `1.0.0-rc1` and
    /// `1.0.0-alpine` is the higher one.
    pub(super) suffix: &'tag str,
}

impl<'tag> Version<'tag> {
    /// Reads a tag; none where it is no version.
    pub(super) fn parse(tag: &'tag str) -> Option<Self> {
        let text = tag.strip_prefix('v').unwrap_or(tag);
        let end = text.find(['-', '_']).unwrap_or(text.len());
        let (core, suffix) = text.split_at(end);
        let mut parts = core.split('.');
        let mut number = || {
            let digits = parts.next()?;
            let is_number = !digits.is_empty()
                && digits.bytes().all(|byte| byte.is_ascii_digit())
                && (digits == "0" || !digits.starts_with('0'));
            is_number.then_some(digits)
        };
        let numbers = [number()?, number()?, number()?];
        parts.next().is_none().then_some(Self { numbers, suffix })
    }

    /// Compares the numbers, of whatever length they are.
    pub(super) fn compare(&self, other: &Self) -> Ordering {
        let key = |version: &Self| version.numbers.map(|digits| (digits.len(), digits));
        key(self).cmp(&key(other))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_numbers_are_a_version_and_nothing_else_is() {
        for (tag, suffix) in [
            ("1.2.3", Some("")),
            ("v0.0.0", Some("")),
            ("v1.2.3-alpine", Some("-alpine")),
            ("1.2.3-rc.1", Some("-rc.1")),
            ("1.2.3_build.5", Some("_build.5")),
            ("99999999999999999999999.0.1", Some("")),
            ("latest", None),
            ("v1", None),
            ("1.2", None),
            ("1.2.3.4", None),
            ("01.2.3", None),
            ("1.2.03", None),
            ("V1.2.3", None),
            ("vv1.2.3", None),
            ("1..3", None),
            ("1.2.3alpine", None),
            ("-1.2.3", None),
            ("", None),
        ] {
            let read = Version::parse(tag).map(|version| version.suffix);
            assert_eq!(read, suffix, "{tag}");
        }
    }

    #[test]
    fn numbers_are_compared_as_numbers() {
        let rising = ["0.0.9", "v0.0.10", "0.2.0", "v1.0.0", "1.0.1", "1.10.0", "10.0.0"];
        let rising = rising.map(|tag| Version::parse(tag).unwrap());
        for pair in rising.windows(2) {
            assert_eq!(pair[0].compare(&pair[1]), Ordering::Less, "{pair:?}");
        }
        let [one, other] = ["v1.2.3", "1.2.3"].map(|tag| Version::parse(tag).unwrap());
        assert_eq!(one.compare(&other), Ordering::Equal);
    }
}
