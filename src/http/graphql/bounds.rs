//! How much one request may be about.

/// How deep fields may stand within others. Tools that read a schema need 13.
pub(super) const DEPTH: usize = 15;

/// How much a request may be about: a field counts one, those of a list as often as it may have entries, a change
/// [`CHANGE`].
pub(super) const COMPLEXITY: usize = 20_000;

/// What a change counts: so many fit into one request that a client cannot fill the queue of passwords by it.
pub(super) const CHANGE: usize = 1000;

/// How deep the text of a request may nest.
pub(super) const NESTING: usize = 32;

/// How many directives a field may have.
pub(super) const DIRECTIVES: usize = 4;
