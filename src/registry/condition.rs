//! What a client demands of a tag or a manifest for it to be changed (RFC 9110, 13.1).

use serde::{Deserialize, Serialize};

use crate::oci::Digest;

/// What has to be at a name for a change to be made there. It is looked at together with the change,
/// so of several clients that demand the same, one is served. By default nothing is demanded.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Condition {
    /// Something of this has to be there (`If-Match`).
    pub only_if: Option<Expected>,
    /// Nothing of this may be there (`If-None-Match`).
    pub unless: Option<Expected>,
}

/// What may be at a name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Expected {
    /// Whatever it is.
    Anything,
    /// One of these; of none of them, nothing.
    OneOf(Vec<Digest>),
}

impl Expected {
    /// Returns whether a digest is among it.
    #[must_use]
    pub fn includes(&self, digest: &Digest) -> bool {
        match self {
            Self::Anything => true,
            Self::OneOf(digests) => digests.contains(digest),
        }
    }
}

impl Condition {
    /// Returns whether nothing is demanded.
    pub(super) fn is_none(&self) -> bool {
        *self == Self::default()
    }

    /// Returns whether a change may be made where that is, or nothing.
    pub(super) fn allows(&self, current: Option<&Digest>) -> bool {
        let stands = |expected: &Expected| current.is_some_and(|digest| expected.includes(digest));
        self.only_if.as_ref().is_none_or(stands) && !self.unless.as_ref().is_some_and(stands)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oci::Algorithm;

    #[test]
    fn a_change_is_made_only_where_what_is_demanded_stands() {
        let [here, other] = [b"here", b"else"].map(|bytes| Digest::of(Algorithm::Sha256, bytes));
        let only_if = |expected| Condition { only_if: Some(expected), unless: None };
        let unless = |expected| Condition { only_if: None, unless: Some(expected) };
        let one = |digest| Expected::OneOf(vec![digest]);
        // Where `here` is, and where nothing is.
        for (condition, on_here, on_nothing) in [
            (Condition::default(), true, true),
            (only_if(Expected::Anything), true, false),
            (only_if(one(here)), true, false),
            (only_if(Expected::OneOf(vec![other, here])), true, false),
            (only_if(one(other)), false, false),
            (only_if(Expected::OneOf(Vec::new())), false, false),
            (unless(Expected::Anything), false, true),
            (unless(one(here)), false, true),
            (unless(one(other)), true, true),
            (Condition { only_if: Some(one(here)), unless: Some(one(here)) }, false, false),
        ] {
            assert_eq!(condition.allows(Some(&here)), on_here, "{condition:?}");
            assert_eq!(condition.allows(None), on_nothing, "{condition:?}");
        }
    }
}
