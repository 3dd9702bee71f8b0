//! The schema, and the limits of a request.

use std::sync::LazyLock;

use async_graphql::{EmptySubscription, Schema};

use super::mutations::Mutation;
use super::queries::Query;

/// How deep fields may stand within others. Tools that read a schema need 13.
const DEPTH: usize = 15;

/// How much a request may be about: a field counts one, those of a list as often as it may have entries, a change
/// [`CHANGE`].
const COMPLEXITY: usize = 20_000;

/// What a change counts: so many fit into one request that a client cannot fill the queue of passwords by it.
pub(super) const CHANGE: usize = 1000;

/// How deep the text of a request may nest.
const NESTING: usize = 32;

/// How many directives a field may have.
const DIRECTIVES: usize = 4;

/// The schema of the management API.
pub(super) type ManagementSchema = Schema<Query, Mutation, EmptySubscription>;

/// The schema, made once: what a request needs comes with it.
pub(super) static SCHEMA: LazyLock<ManagementSchema> = LazyLock::new(|| {
    Schema::build(Query, Mutation, EmptySubscription)
        .limit_depth(DEPTH)
        .limit_complexity(COMPLEXITY)
        .limit_recursive_depth(NESTING)
        .limit_directives(DIRECTIVES)
        .disable_suggestions()
        .finish()
});
