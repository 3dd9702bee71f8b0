//! Numbers of bytes as people write them.

use std::str::FromStr;

/// A number of bytes: `1000`, `500MB` (a million each) or `10GiB` (2³⁰ each).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ByteCount(u64);

impl ByteCount {
    pub(super) fn number(self) -> u64 {
        self.0
    }
}

impl FromStr for ByteCount {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let refused = || format!("`{text}` is no number of bytes, such as 1000, 500MB or 10GiB");
        let end = text.find(|it: char| !it.is_ascii_digit()).unwrap_or(text.len());
        let (number, unit) = text.split_at(end);
        let number: u64 = number.parse().map_err(|_| refused())?;
        let (base, power) = match unit.trim_start().to_ascii_lowercase().as_str() {
            "" | "b" => (1, 1),
            "k" | "kb" => (1000, 1),
            "m" | "mb" => (1000, 2),
            "g" | "gb" => (1000, 3),
            "t" | "tb" => (1000, 4),
            "kib" => (1024, 1),
            "mib" => (1024, 2),
            "gib" => (1024, 3),
            "tib" => (1024, 4),
            _ => return Err(refused()),
        };
        let unit = u64::pow(base, power);
        number.checked_mul(unit).map(Self).ok_or_else(refused)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_people_write_them() {
        for (text, expected) in [
            ("0", 0),
            ("1000", 1000),
            ("12B", 12),
            ("5kB", 5000),
            ("500MB", 500_000_000),
            ("10 GB", 10_000_000_000),
            ("10GiB", 10 << 30),
            ("2tib", 2 << 40),
        ] {
            assert_eq!(text.parse(), Ok(ByteCount(expected)), "{text}");
        }
        for text in
            ["", "GB", "-1", "1.5GB", "1PB", "1 G B", "99999999999TB", "18446744073709551616"]
        {
            assert!(text.parse::<ByteCount>().is_err(), "{text}");
        }
    }
}
