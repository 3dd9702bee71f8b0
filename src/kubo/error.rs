//! What can go wrong with a node. Kubo tells kinds of failure apart by texts alone, and this file alone
//! knows them; `tests/kubo/` holds each against a real node.

use std::error::Error;
use std::fmt;

use serde::Deserialize;

/// A failure of a node: its kind says what a caller can do about it.
#[derive(Debug)]
pub struct KuboError {
    /// What a caller can do about it.
    pub kind: KuboErrorKind,
    /// What was being done.
    pub context: String,
    /// What the node said, where it said something.
    message: Option<String>,
    source: Option<Box<dyn Error + Send + Sync>>,
}

/// What a caller can do about a failure of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KuboErrorKind {
    /// There is no such path in MFS, or no peer has such a record.
    NotFound,
    /// The name in MFS is taken, or there is such a pin.
    Exists,
    /// A block is not on the node.
    MissingBlock,
    /// The node dropped a folder from its cache while a name was made in it, because of a change at the top of its
    /// files: nothing was made, or nothing that lasts. It can be tried again.
    Displaced,
    /// The node's disk has no space. It may need a restart once there is some.
    Full,
    /// The node does not let us: a token is missing, or is another.
    Denied,
    /// The node's operator has switched that off.
    Disabled,
    /// The node does not answer, or not in time: the request may or may not have been carried out.
    Unavailable,
    /// Anything else.
    Failed,
}

/// Texts in Kubo's messages, and what they mean. The first that is found counts.
const TEXTS: &[(&str, KuboErrorKind)] = &[
    ("no space left on device", KuboErrorKind::Full),
    ("could not find", KuboErrorKind::MissingBlock),
    ("directory already has entry by that name", KuboErrorKind::Exists),
    ("already recursively pinned", KuboErrorKind::Exists),
    ("file does not exist", KuboErrorKind::NotFound),
    // A file is on the way to it.
    ("Not a directory", KuboErrorKind::NotFound),
    ("routing: not found", KuboErrorKind::NotFound),
    ("not pinned or pinned indirectly", KuboErrorKind::NotFound),
    ("Provide.Enabled", KuboErrorKind::Disabled),
    // The daemon is on its way down.
    ("repo not open", KuboErrorKind::Unavailable),
    ("datastore closed", KuboErrorKind::Unavailable),
    ("pinner closed", KuboErrorKind::Unavailable),
];

impl KuboError {
    /// Makes an error out of a failure to reach the node, or to hear all of its answer.
    pub(super) fn sending(context: impl Into<String>, source: reqwest::Error) -> Self {
        // The address is in the context already, and may hold more than is good to show.
        let source = Box::new(source.without_url());
        let kind = KuboErrorKind::Unavailable;
        Self { kind, context: context.into(), message: None, source: Some(source) }
    }

    /// Makes an error out of what the node answered.
    pub(super) fn answered(context: impl Into<String>, status: u16, body: &[u8]) -> Self {
        #[derive(Deserialize)]
        struct Answer {
            #[serde(rename = "Message")]
            message: String,
        }

        let message = match serde_json::from_slice::<Answer>(body) {
            Ok(answer) => answer.message,
            Err(_) => String::from_utf8_lossy(body).trim().to_owned(),
        };
        let known = kind_of_text(&message);
        let kind = match status {
            401 | 403 => KuboErrorKind::Denied,
            502..=504 => known.unwrap_or(KuboErrorKind::Unavailable),
            _ => known.unwrap_or(KuboErrorKind::Failed),
        };
        let message = format!("{status}: {message}");
        Self { kind, context: context.into(), message: Some(message), source: None }
    }

    /// Makes an error out of a failure that the node reported after it had begun to answer.
    pub(super) fn in_stream(context: impl Into<String>, message: &str) -> Self {
        let kind = kind_of_text(message).unwrap_or(KuboErrorKind::Failed);
        Self { kind, context: context.into(), message: Some(message.to_owned()), source: None }
    }

    /// Makes an error that has no cause of its own.
    pub(super) fn new(
        kind: KuboErrorKind,
        context: impl Into<String>,
        message: impl Into<String>,
    ) -> Self {
        Self { kind, context: context.into(), message: Some(message.into()), source: None }
    }
}

/// What a copy says that was made in a folder which the node has meanwhile dropped from its cache: a text at its
/// begin, and one at its end.
const DISPLACED: (&str, &str) = ("cannot flush the created file", "file does not exist");

fn kind_of_text(message: &str) -> Option<KuboErrorKind> {
    if message.contains(DISPLACED.0) && message.ends_with(DISPLACED.1) {
        return Some(KuboErrorKind::Displaced);
    }
    TEXTS.iter().find(|(text, _)| message.contains(text)).map(|(_, kind)| *kind)
}

impl fmt::Display for KuboError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Kubo: {}", self.context)?;
        match &self.message {
            Some(message) => write!(formatter, ": {message}"),
            None => Ok(()),
        }
    }
}

impl Error for KuboError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|source| source as &(dyn Error + 'static))
    }
}
