//! The fields of a head of HTTP/2, which are counted without memory for them.

/// A head, whose fields are counted and not read (RFC 7541, 6).
#[derive(Default)]
pub(super) struct Head {
    /// In bytes, as far as it was announced.
    pub(super) length: usize,
    /// How many fields have begun.
    pub(super) fields: usize,
    pub(super) step: FieldStep,
}

/// What the next byte of a head belongs to.
#[derive(Debug, Clone, Copy, Default)]
pub(super) enum FieldStep {
    /// A field.
    #[default]
    Begin,
    /// The rest of a number, behind which so many texts follow.
    Number { texts: usize },
    /// The length of a text, after which so many more texts follow.
    Length { texts: usize },
    /// More of that length.
    MoreLength { length: usize, shift: u32, texts: usize },
    /// A text, of which so much is left.
    Text { left: usize, texts: usize },
}

impl FieldStep {
    /// Goes on where so many texts follow.
    fn texts(texts: usize) -> Self {
        texts.checked_sub(1).map_or(Self::Begin, |texts| Self::Length { texts })
    }

    /// Goes on where a text of that length follows, and so many more texts.
    fn text(left: usize, texts: usize) -> Self {
        if left == 0 { Self::texts(texts) } else { Self::Text { left, texts } }
    }
}

impl Head {
    /// Goes on with a part of it.
    pub(super) fn read(&mut self, mut bytes: &[u8]) {
        while let Some((&first, rest)) = bytes.split_first() {
            bytes = rest;
            self.step = match self.step {
                FieldStep::Begin => {
                    self.fields += 1;
                    begin(first)
                }
                FieldStep::Number { texts } if first & 0x80 != 0 => FieldStep::Number { texts },
                FieldStep::Number { texts } => FieldStep::texts(texts),
                FieldStep::Length { texts } => match usize::from(first & 0x7f) {
                    length @ 0x7f => FieldStep::MoreLength { length, shift: 0, texts },
                    length => FieldStep::text(length, texts),
                },
                FieldStep::MoreLength { length, shift, texts } => {
                    let more = usize::from(first & 0x7f).checked_shl(shift).unwrap_or(usize::MAX);
                    let length = length.saturating_add(more);
                    if first & 0x80 == 0 {
                        FieldStep::text(length, texts)
                    } else {
                        FieldStep::MoreLength { length, shift: shift.saturating_add(7), texts }
                    }
                }
                FieldStep::Text { left, texts } => {
                    // This byte is one of them.
                    let more = rest.len().min(left - 1);
                    bytes = &rest[more..];
                    FieldStep::text(left - 1 - more, texts)
                }
            };
        }
    }
}

/// Returns what follows the first byte of a field.
fn begin(first: u8) -> FieldStep {
    // How many bits its number has, and how many texts follow one that is not zero.
    let (bits, texts) = match first {
        0x80.. => (7, 0),
        0x40.. => (6, 1),
        // The size of the table: no field, but nothing that needs to come often.
        0x20.. => (5, 0),
        _ => (4, 1),
    };
    let most = (1 << bits) - 1;
    match first & most {
        0 if texts == 1 => FieldStep::texts(2),
        number if number == most => FieldStep::Number { texts },
        _ => FieldStep::texts(texts),
    }
}
