//! What a rule gives to a workload.

/// What a rule gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkloadGrant {
    /// The id of the rule: the same as long as nothing of the rule is changed.
    pub rule: String,
    /// The role: `reader`, `writer` or `maintainer`.
    pub role: &'static str,
    /// The pattern of the repositories.
    pub pattern: String,
}
