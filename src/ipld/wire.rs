//! The little of protocol buffers that dag-pb and UnixFS use: varints and length-delimited fields.

use bytes::Bytes;

use super::DecodeError;

/// The value of a field.
pub(super) enum Value {
    Number(u64),
    Bytes(Bytes),
    /// Four or eight bytes of fixed width; only timestamps hold them, so they are skipped.
    Fixed,
}

/// Reads the fields of one message. The values share the message's memory.
pub(super) struct Fields {
    rest: Bytes,
    format: &'static str,
}

impl Fields {
    pub(super) fn new(message: Bytes, format: &'static str) -> Self {
        Self { rest: message, format }
    }

    /// The next field's number and value, or `None` at the end of the message.
    pub(super) fn next(&mut self) -> Result<Option<(u64, Value)>, DecodeError> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let tag = self.varint()?;
        let value = match tag & 7 {
            0 => Value::Number(self.varint()?),
            1 => self.take(8).map(|_| Value::Fixed)?,
            2 => {
                let length = self.varint()?;
                Value::Bytes(self.take(length)?)
            }
            5 => self.take(4).map(|_| Value::Fixed)?,
            _ => return Err(self.malformed("unknown wire type")),
        };
        Ok(Some((tag >> 3, value)))
    }

    /// The next bare varint, or `None` at the end: the elements of a packed list.
    pub(super) fn next_packed(&mut self) -> Result<Option<u64>, DecodeError> {
        if self.rest.is_empty() { Ok(None) } else { self.varint().map(Some) }
    }

    pub(super) fn malformed(&self, reason: &'static str) -> DecodeError {
        DecodeError::Malformed { format: self.format, reason }
    }

    fn take(&mut self, length: u64) -> Result<Bytes, DecodeError> {
        match usize::try_from(length) {
            Ok(length) if length <= self.rest.len() => Ok(self.rest.split_to(length)),
            _ => Err(self.malformed("a field is longer than its message")),
        }
    }

    fn varint(&mut self) -> Result<u64, DecodeError> {
        let mut value = 0_u64;
        for (index, &byte) in self.rest.iter().enumerate().take(10) {
            let bits = u64::from(byte & 0x7f);
            if index == 9 && bits > 1 {
                return Err(self.malformed("a number exceeds 64 bits"));
            }
            value |= bits << (7 * index);
            if byte & 0x80 == 0 {
                if byte == 0 && index > 0 {
                    return Err(self.malformed("a number is not in its shortest form"));
                }
                self.rest = self.rest.slice(index + 1..);
                return Ok(value);
            }
        }
        Err(self.malformed("a number does not end"))
    }
}

pub(super) fn put_varint(buffer: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        buffer.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    buffer.push(value.to_le_bytes()[0]);
}

/// Writes a number field; fields above 15 do not occur in these formats.
pub(super) fn put_number(buffer: &mut Vec<u8>, field: u8, value: u64) {
    buffer.push(field << 3);
    put_varint(buffer, value);
}

/// Writes the tag and the length of a bytes field, whose content the caller writes next.
pub(super) fn put_header(buffer: &mut Vec<u8>, field: u8, length: usize) {
    buffer.push(field << 3 | 2);
    put_varint(buffer, length as u64);
}

pub(super) fn put_bytes(buffer: &mut Vec<u8>, field: u8, bytes: &[u8]) {
    put_header(buffer, field, bytes.len());
    buffer.extend_from_slice(bytes);
}

/// How many bytes a number field takes.
pub(super) const fn number_length(value: u64) -> usize {
    1 + varint_length(value)
}

/// How many bytes a bytes field takes.
pub(super) const fn bytes_length(length: usize) -> usize {
    1 + varint_length(length as u64) + length
}

const fn varint_length(value: u64) -> usize {
    ((u64::BITS - (value | 1).leading_zeros()) as usize).div_ceil(7)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Result<u64, DecodeError> {
        let mut fields = Fields::new(Bytes::copy_from_slice(bytes), "test");
        let value = fields.varint()?;
        assert!(fields.rest.is_empty());
        Ok(value)
    }

    #[test]
    fn numbers_survive_the_round_trip_and_have_the_length_foretold() {
        for shift in 0..64 {
            for value in [(1_u64 << shift) - 1, 1 << shift, u64::MAX >> shift] {
                let mut bytes = Vec::new();
                put_varint(&mut bytes, value);
                assert_eq!(bytes.len(), varint_length(value));
                assert_eq!(read(&bytes), Ok(value));
            }
        }
    }

    #[test]
    fn numbers_that_are_long_winded_endless_or_too_large_are_refused() {
        assert!(read(&[0x80, 0x00]).is_err());
        assert!(read(&[0x80]).is_err());
        assert!(read(&[0xff; 11]).is_err());
        assert!(read(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02]).is_err());
    }

    #[test]
    fn a_field_cannot_reach_beyond_its_message() {
        for message in [&[0x0a, 5, 1, 2][..], &[0x09, 1], &[0x0d, 1], &[0x0b]] {
            let mut fields = Fields::new(Bytes::copy_from_slice(message), "test");
            assert!(fields.next().is_err(), "{message:?}");
        }
    }
}
