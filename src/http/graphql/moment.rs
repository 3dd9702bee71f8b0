//! Points in time.

use async_graphql::{InputValueError, InputValueResult, Scalar, ScalarType, Value};
use jiff::Timestamp;

/// A point in time, as `2026-01-31T12:00:00Z` (RFC 3339).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Moment(Timestamp);

impl Moment {
    /// Makes one of milliseconds since the Unix epoch; what no calendar has is as far as it goes.
    pub(super) fn of(milliseconds: i64) -> Self {
        let limit = if milliseconds < 0 { Timestamp::MIN } else { Timestamp::MAX };
        Self(Timestamp::from_millisecond(milliseconds).unwrap_or(limit))
    }

    pub(super) fn milliseconds(self) -> i64 {
        self.0.as_millisecond()
    }
}

/// A point in time, as `2026-01-31T12:00:00Z` (RFC 3339).
#[Scalar(name = "Timestamp")]
impl ScalarType for Moment {
    fn parse(value: Value) -> InputValueResult<Self> {
        match &value {
            Value::String(text) => {
                text.parse().map(Self).map_err(|_| InputValueError::expected_type(value.clone()))
            }
            _ => Err(InputValueError::expected_type(value)),
        }
    }

    fn to_value(&self) -> Value {
        Value::String(self.0.to_string())
    }
}
