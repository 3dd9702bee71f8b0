//! Who a token is of.

use serde::{Deserialize, Serialize};

/// What kind of caller a token is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SubjectKind {
    /// A client that has not signed in.
    Anonymous,
    /// A user.
    User,
    /// A robot of a namespace.
    Robot,
    /// A workload of an issuer that the operator trusts.
    Workload,
}

/// Who a token is of, for ever: names are given anew once their bearer is gone, ids never are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    /// Its kind.
    pub kind: SubjectKind,
    /// Its id; empty for anonymous clients. That of a workload is its issuer's: the issuer and the subject there.
    pub id: String,
    /// The name that people know it by, which decides nothing; empty for anonymous clients.
    pub name: String,
    /// The credential that the token was had for, so that it ends with it: the id of a personal access token, or
    /// what stands for the present password.
    pub credential: Option<String>,
    /// The rules that let a workload in, by their ids.
    pub rules: Vec<String>,
}

impl Subject {
    /// A client that has not signed in.
    #[must_use]
    pub fn anonymous() -> Self {
        Self::new(SubjectKind::Anonymous, "", "")
    }

    /// One of that kind, by its id and its name.
    #[must_use]
    pub fn new(kind: SubjectKind, id: impl Into<String>, name: impl Into<String>) -> Self {
        Self { kind, id: id.into(), name: name.into(), credential: None, rules: Vec::new() }
    }
}
