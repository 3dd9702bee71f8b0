//! Statements that return nothing, with their parameters: in a transaction on SQLite they wait until something is read
//! or committed, and are run together then.

use sqlx::encode::IsNull;
use sqlx::error::BoxDynError;
use sqlx::sqlite::{SqliteArgumentsBuffer, SqliteTypeInfo};
use sqlx::{Encode, Sqlite, Type};

/// How many parameters statements that are run together have at the most to be prepared once for all times.
const PREPARED_VALUES: usize = 128;

/// A parameter.
#[derive(Debug, Clone)]
pub(super) enum Value {
    /// A number.
    Number(Option<i64>),
    /// A text.
    Text(Option<String>),
    /// Bytes.
    Bytes(Option<Vec<u8>>),
}

/// A statement that returns nothing.
pub(super) struct Statement {
    pub(super) doing: &'static str,
    text: String,
    values: Vec<Value>,
    /// What is wrong if it changes nothing, where that may not be.
    pub(super) must_change: Option<&'static str>,
}

impl Statement {
    /// Makes a statement of its text, whose parameters are `$1` and so on.
    pub(super) fn new(doing: &'static str, text: &str) -> Self {
        Self { doing, text: text.to_owned(), values: Vec::new(), must_change: None }
    }

    /// Gives the next parameter its value.
    pub(super) fn bind(mut self, value: impl Into<Value>) -> Self {
        self.values.push(value.into());
        self
    }

    /// Adds to the text.
    pub(super) fn push(mut self, text: &str) -> Self {
        self.text.push_str(text);
        self
    }

    /// Adds a parameter to the text, with its value.
    pub(super) fn push_bind(mut self, value: impl Into<Value>) -> Self {
        self.values.push(value.into());
        let number = self.values.len();
        self.push(&format!("${number}"))
    }

    /// Adds a list of parameters to the text, with commas between them.
    pub(super) fn push_list<T: Into<Value>>(mut self, values: impl IntoIterator<Item = T>) -> Self {
        for (index, value) in values.into_iter().enumerate() {
            self = if index == 0 { self } else { self.push(", ") };
            self = self.push_bind(value);
        }
        self
    }

    /// Makes it a failure that it changes nothing.
    pub(super) fn changing(self, why: &'static str) -> Self {
        Self { must_change: Some(why), ..self }
    }

    /// Tells whether it begins a transaction.
    pub(super) fn is_begin(&self) -> bool {
        self.text.starts_with("BEGIN")
    }

    /// Returns its text and its values.
    pub(super) fn parts(self) -> (String, Vec<Value>) {
        (self.text, self.values)
    }
}

/// Several statements as one.
#[derive(Default)]
pub(super) struct Script {
    pub(super) text: String,
    pub(super) values: Vec<Value>,
}

impl Script {
    /// Adds a statement, whose parameters get the numbers after those that are there.
    pub(super) fn push(&mut self, statement: &Statement) {
        if !self.text.is_empty() {
            self.text.push_str("; ");
        }
        let before = self.values.len();
        let mut pieces = statement.text.split('$');
        self.text.push_str(pieces.next().unwrap_or_default());
        for piece in pieces {
            let rest = piece.trim_start_matches(|it: char| it.is_ascii_digit());
            let number = piece[..piece.len() - rest.len()].parse().unwrap_or(0_usize);
            self.text.push('$');
            self.text.push_str(&(before + number).to_string());
            self.text.push_str(rest);
        }
        self.values.extend_from_slice(&statement.values);
    }

    /// Tells whether it is worth to be prepared once for all times: its text depends on what it is about.
    pub(super) fn is_prepared(&self) -> bool {
        self.values.len() <= PREPARED_VALUES
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Number(Some(number))
    }
}

impl From<Option<i64>> for Value {
    fn from(number: Option<i64>) -> Self {
        Self::Number(number)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(Some(text.to_owned()))
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(Some(text))
    }
}

impl From<Option<String>> for Value {
    fn from(text: Option<String>) -> Self {
        Self::Text(text)
    }
}

impl From<Option<&str>> for Value {
    fn from(text: Option<&str>) -> Self {
        Self::Text(text.map(str::to_owned))
    }
}

impl From<&[u8]> for Value {
    fn from(bytes: &[u8]) -> Self {
        Self::Bytes(Some(bytes.to_vec()))
    }
}

impl Type<Sqlite> for Value {
    fn type_info() -> SqliteTypeInfo {
        <Vec<u8> as Type<Sqlite>>::type_info()
    }
}

impl Encode<'_, Sqlite> for Value {
    fn encode_by_ref(&self, buffer: &mut SqliteArgumentsBuffer) -> Result<IsNull, BoxDynError> {
        match self {
            Self::Number(number) => Encode::<Sqlite>::encode(*number, buffer),
            Self::Text(text) => Encode::<Sqlite>::encode(text.clone(), buffer),
            Self::Bytes(bytes) => Encode::<Sqlite>::encode(bytes.clone(), buffer),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_numbered_anew() {
        let mut script = Script::default();
        let one = Statement::new("", "UPDATE a SET b = $2, c = $10 WHERE d = $1");
        script.push(&(0..10_i64).fold(one, Statement::bind));
        let two = Statement::new("", "DELETE FROM a WHERE b = ").push_bind("x").push(" AND c IN (");
        script.push(&two.push_list([1_i64, 2]).push(")"));
        assert_eq!(
            script.text,
            "UPDATE a SET b = $2, c = $10 WHERE d = $1; DELETE FROM a WHERE b = $11 AND c IN ($12, $13)"
        );
        assert_eq!(script.values.len(), 13);
    }
}
