//! Numbers that may be greater than `Int` allows.

use async_graphql::{InputValueError, InputValueResult, Scalar, ScalarType, Value};

/// A number of bytes or things, from 0 to 9007199254740991, as a JSON number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Count(u64);

/// The greatest number that every reader of JSON reads as it is.
const GREATEST: u64 = (1 << 53) - 1;

impl Count {
    /// Makes one of a number; what is too great is the greatest that there is.
    pub(super) fn of(number: u64) -> Self {
        Self(number.min(GREATEST))
    }

    pub(super) fn number(self) -> u64 {
        self.0
    }
}

/// A number of bytes or things, from 0 to 9007199254740991, as a JSON number.
#[Scalar(name = "Count")]
impl ScalarType for Count {
    fn parse(value: Value) -> InputValueResult<Self> {
        match &value {
            Value::Number(number) => number
                .as_u64()
                .filter(|number| *number <= GREATEST)
                .map(Self)
                .ok_or_else(|| InputValueError::expected_type(value.clone())),
            _ => Err(InputValueError::expected_type(value)),
        }
    }

    fn to_value(&self) -> Value {
        Value::Number(self.0.into())
    }
}
