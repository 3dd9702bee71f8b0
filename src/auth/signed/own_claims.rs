//! What a token of the registry says, as it is written.

use serde::{Deserialize, Serialize};

use super::super::Access;
use super::subject::SubjectKind;

/// The claims of the stock registry's token specification, and one of ours, which others pass over.
#[derive(Serialize, Deserialize)]
pub(super) struct OwnClaims {
    pub(super) iss: String,
    pub(super) sub: String,
    pub(super) aud: String,
    pub(super) exp: u64,
    pub(super) nbf: u64,
    pub(super) iat: u64,
    pub(super) jti: String,
    pub(super) access: Vec<Access>,
    pub(super) roadstead: OwnSubject,
}

/// Who the token is of: `sub` is only a name.
#[derive(Serialize, Deserialize)]
pub(super) struct OwnSubject {
    pub(super) kind: SubjectKind,
    pub(super) id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) credential: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) rules: Vec<String>,
}
