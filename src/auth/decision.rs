//! What a policy says about an act.

/// What a policy says about an act.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// The caller may do it.
    Allow,
    /// The caller has to sign in as a user who may.
    Challenge,
    /// The caller may not learn whether the repository is there.
    Hidden,
    /// The caller may not do it; the sentence says why.
    Denied(String),
}
