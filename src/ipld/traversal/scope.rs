//! What is requested: all of something, or a part (`dag-scope` and `entity-bytes` of the trustless gateway's
//! specification).

use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use super::super::RangeError;

/// How much of what is at the end of the path is traversed (`dag-scope`). The
/// blocks that prove the path are always part of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// The first block: it tells what is there, and how long a file is.
    Block,
    /// A whole file or a part of it, or the listing of a directory; what is no file is listed, whatever
    /// the part. Parts of a file that are empty are left out, as they prove nothing.
    Entity(Option<ByteRange>),
    /// Every block below, each time that one is linked to. Content and entries are not returned, nor is
    /// checked that files are sound.
    All {
        /// How many blocks there may be, those of the path among them: a small graph can have more ways
        /// through it than any reader can go.
        limit: u64,
    },
}

/// From the first to the last byte of a part (`entity-bytes`), both counted from the end where they are negative.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ByteRange {
    from: i64,
    to: Option<i64>,
}

impl ByteRange {
    /// A range from one byte to another one, or to the end where there is none.
    ///
    /// ```
    /// use roadstead::ipld::ByteRange;
    ///
    /// assert_eq!(ByteRange::new(-1024, None)?, "-1024:*".parse()?);
    /// assert!(ByteRange::new(5, Some(4)).is_err());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// When both count from the same side, and the last byte stands before the first.
    pub fn new(from: i64, to: Option<i64>) -> Result<Self, RangeError> {
        match to {
            Some(to) if (from < 0) == (to < 0) && from > to => Err(RangeError),
            _ => Ok(Self { from, to }),
        }
    }

    /// The bytes that it means of a file of that size: empty where the file has none of them.
    ///
    /// ```
    /// use roadstead::ipld::ByteRange;
    ///
    /// assert_eq!(ByteRange::new(0, Some(0))?.within(5000), 0..1);
    /// assert_eq!(ByteRange::new(-1024, None)?.within(5000), 3976..5000);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn within(self, size: u64) -> Range<u64> {
        let start = from_either_side(self.from, size).unwrap_or(0).min(size);
        let end = match self.to {
            None => size,
            Some(to) => from_either_side(to, size).map_or(0, |last| last.saturating_add(1)),
        };
        start..end.min(size).max(start)
    }
}

/// A position in a file, or none where it is before the first byte.
fn from_either_side(position: i64, size: u64) -> Option<u64> {
    if position < 0 {
        size.checked_sub(position.unsigned_abs())
    } else {
        Some(position.unsigned_abs())
    }
}

impl FromStr for ByteRange {
    type Err = RangeError;

    fn from_str(text: &str) -> Result<Self, RangeError> {
        let (from, to) = text.split_once(':').ok_or(RangeError)?;
        Self::new(number(from)?, if to == "*" { None } else { Some(number(to)?) })
    }
}

fn number(text: &str) -> Result<i64, RangeError> {
    if text.starts_with('+') { Err(RangeError) } else { text.parse().map_err(|_| RangeError) }
}

impl fmt::Display for ByteRange {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.to {
            Some(to) => write!(formatter, "{}:{to}", self.from),
            None => write!(formatter, "{}:*", self.from),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn within(text: &str, size: u64) -> Range<u64> {
        text.parse::<ByteRange>().unwrap().within(size)
    }

    #[test]
    fn the_examples_of_the_specification_mean_what_it_says() {
        assert_eq!(within("0:*", 5000), 0..5000);
        assert_eq!(within("-1024:*", 5000), 3976..5000);
        assert_eq!(within("499:-1000", 5000), 499..4001);
        assert_eq!(within("0:0", 5000), 0..1);
    }

    #[test]
    fn what_a_file_does_not_have_is_left_out() {
        assert_eq!(within("-1024:*", 10), 0..10);
        assert_eq!(within("3:100", 10), 3..10);
        assert_eq!(within("10:100", 10), 10..10);
        assert_eq!(within("100:*", 10), 10..10);
        assert_eq!(within("5:-8", 10), 5..5);
        assert_eq!(within("0:-11", 10), 0..0);
        assert_eq!(within("-3:2", 10), 7..7);
        assert_eq!(within("0:*", 0), 0..0);
        assert_eq!(within(&format!("{}:{}", i64::MIN, i64::MAX), 10), 0..10);
        assert_eq!(within(&format!("0:{}", i64::MAX), u64::MAX), 0..1 << 63);
    }

    #[test]
    fn texts_that_are_no_range_are_refused() {
        for text in [
            "",
            ":",
            "1",
            "1:",
            ":1",
            "*:1",
            "*",
            "1:2:3",
            "1-2",
            " 1:2",
            "+1:2",
            "1:+2",
            "a:b",
            "2:1",
            "-1:-2",
            "1:**",
            "0x1:2",
            "9223372036854775808:*",
            "--1:*",
        ] {
            assert!(text.parse::<ByteRange>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_range_reads_back_the_same(from: i64, to: Option<i64>) {
            if let Ok(range) = ByteRange::new(from, to) {
                prop_assert_eq!(range.to_string().parse(), Ok(range));
            }
        }

        #[test]
        fn a_range_is_within_every_file(from: i64, to: Option<i64>, size: u64) {
            if let Ok(range) = ByteRange::new(from, to) {
                let within = range.within(size);
                prop_assert!(within.start <= within.end && within.end <= size);
            }
        }

        #[test]
        fn anything_is_a_range_or_refused(text in "[-+0-9:*a]{0,12}") {
            if let Ok(range) = text.parse::<ByteRange>() {
                prop_assert_eq!(range.to_string().parse(), Ok(range));
            }
        }
    }
}
