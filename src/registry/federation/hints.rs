//! How many of the hints that a publisher gives are used.

/// How many of the gateways that a publisher names are used, and to how many of its nodes the operator's connects.
pub(super) const HINTS: usize = 4;
