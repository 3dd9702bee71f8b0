//! The bytes of a file that are read, and what of a part is among them.

use bytes::Bytes;

use super::ByteRange;

/// The bytes of a file that are read.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Window {
    start: u64,
    end: u64,
}

impl Window {
    pub(super) fn of(range: Option<ByteRange>, size: u64) -> Self {
        let range = range.map_or(0..size, |range| range.within(size));
        Self { start: range.start, end: range.end }
    }

    /// Whether any byte of a part is read.
    pub(super) fn meets(self, offset: u64, size: u64) -> bool {
        let end = offset.saturating_add(size);
        self.start.max(offset) < self.end.min(end)
    }

    /// What is read of bytes that stand at that offset.
    pub(super) fn cut(self, offset: u64, bytes: &Bytes) -> Option<Bytes> {
        let within = |position: u64| {
            let position = position.saturating_sub(offset).min(bytes.len() as u64);
            usize::try_from(position).expect("it is within the bytes")
        };
        let (start, end) = (within(self.start), within(self.end));
        (start < end).then(|| bytes.slice(start..end))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_meets_what_has_a_byte_in_it_and_cuts_the_rest() {
        let window = Window { start: 10, end: 20 };
        let bytes = Bytes::from_static(b"0123456789");
        for (offset, expected) in [
            (0, ""),
            (1, "9"),
            (5, "56789"),
            (10, "0123456789"),
            (15, "01234"),
            (19, "0"),
            (20, ""),
            (u64::MAX, ""),
        ] {
            assert_eq!(window.cut(offset, &bytes).unwrap_or_default(), expected, "{offset}");
            assert_eq!(window.meets(offset, 10), !expected.is_empty(), "{offset}");
        }
        assert!(!window.meets(15, 0), "what is empty");
        assert!(!Window { start: 15, end: 15 }.meets(10, 10), "by what is empty");
        assert!(Window::of(None, u64::MAX).meets(0, u64::MAX));
    }
}
