//! What was done to find a root, for somebody who asks why: `roadstead resolve`.

use serde::Serialize;

use super::record::Ignored;
use super::{Resolved, Result};

/// How many characters of a record are shown.
const SHOWN_TEXT: usize = 512;

/// How many records of a name are shown.
const SHOWN_RECORDS: usize = 32;

/// Everything that was done for one name, and what came of it. Nothing of it came from memory.
#[derive(Debug)]
pub struct Trace {
    /// What was done, in order.
    pub steps: Vec<Step>,
    /// What came of it.
    pub outcome: Result<Resolved>,
}

/// One thing that was done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "step", rename_all = "snake_case")]
pub enum Step {
    /// TXT records were asked for.
    Query {
        /// Of which name.
        name: String,
        /// Which names the answer came through (CNAME).
        #[serde(skip_serializing_if = "Vec::is_empty")]
        through: Vec<String>,
        /// How many seconds it may be kept, as the server says.
        #[serde(skip_serializing_if = "Option::is_none")]
        ttl: Option<u64>,
        /// What DNSSEC has shown, where it is on.
        #[serde(skip_serializing_if = "Option::is_none")]
        validation: Option<Validation>,
        /// What was found, the first few.
        records: Vec<Seen>,
        /// Why nothing was found.
        #[serde(skip_serializing_if = "Option::is_none")]
        failure: Option<String>,
    },
    /// The record of an IPNS key was fetched.
    Key {
        /// The key in base36.
        name: String,
        /// Where it leads to.
        #[serde(skip_serializing_if = "Option::is_none")]
        value: Option<String>,
        /// How many seconds that may be kept, as its owner says.
        #[serde(skip_serializing_if = "Option::is_none")]
        ttl: Option<u64>,
        /// Why there is no good record.
        #[serde(skip_serializing_if = "Option::is_none")]
        failure: Option<String>,
    },
}

/// A TXT record, and what was made of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Seen {
    /// The record, its segments joined; a long one is cut.
    pub text: String,
    /// Why it was passed over, if it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ignored: Option<String>,
}

/// What DNSSEC has shown of an answer.
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
