//! The steps of finding a root, as `roadstead resolve` prints them.

use serde::Serialize;

use super::record::Ignored;
use super::{Resolved, Result};

/// How many characters of a record are shown.
const SHOWN_TEXT: usize = 512;

/// How many records of a name are shown.
const SHOWN_RECORDS: usize = 32;

/// All steps of resolving one name, and the result. Nothing of it came from the cache.
#[derive(Debug)]
pub struct Trace {
    /// The steps, in order.
    pub steps: Vec<Step>,
    /// The result.
    pub outcome: Result<Resolved>,
}

/// One step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "step", rename_all = "snake_case")]
pub enum Step {
    /// TXT records were queried.
    Query {
        /// The name.
        name: String,
        /// The aliases that the answer came through (CNAME).
        #[serde(skip_serializing_if = "Vec::is_empty")]
        through: Vec<String>,
        /// How many seconds it may be cached, as the server says.
        #[serde(skip_serializing_if = "Option::is_none")]
        ttl: Option<u64>,
        /// The result of DNSSEC, where it is on.
        #[serde(skip_serializing_if = "Option::is_none")]
        validation: Option<Validation>,
        /// The records, the first few.
        records: Vec<Seen>,
        /// Why nothing was found.
        #[serde(skip_serializing_if = "Option::is_none")]
        failure: Option<String>,
    },
    /// The record of an IPNS key was fetched.
    Key {
        /// The key in base36.
        name: String,
        /// Its target.
        #[serde(skip_serializing_if = "Option::is_none")]
        value: Option<String>,
        /// How many seconds that may be cached, as its owner says.
        #[serde(skip_serializing_if = "Option::is_none")]
        ttl: Option<u64>,
        /// Why there is no good record.
        #[serde(skip_serializing_if = "Option::is_none")]
        failure: Option<String>,
    },
}

/// A TXT record, and whether it was used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Seen {
    /// The record, its segments joined; a long one is cut.
    pub text: String,
    /// Why it was passed over, if it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ignored: Option<String>,
}

/// The result of DNSSEC for an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Validation {
    /// It is signed, up to a key that is trusted.
    Secure,
    /// It is proven that its zone is not signed.
    Insecure,
}

impl Seen {
    /// Shows the first few of these records, each with why it was passed over.
    pub(super) fn all(texts: &[Vec<u8>], verdicts: &[Option<Ignored>]) -> Vec<Self> {
        let shown = |(text, verdict): (&Vec<u8>, &Option<Ignored>)| {
            let text = String::from_utf8_lossy(text).chars().take(SHOWN_TEXT).collect();
            Self { text, ignored: verdict.as_ref().map(ToString::to_string) }
        };
        texts.iter().zip(verdicts).take(SHOWN_RECORDS).map(shown).collect()
    }
}
