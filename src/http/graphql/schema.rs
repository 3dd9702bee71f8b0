//! The schema.

use std::sync::LazyLock;

use async_graphql::{EmptySubscription, Schema};

use super::bounds::{COMPLEXITY, DEPTH, DIRECTIVES, NESTING};
use super::mutations::Mutation;
use super::queries::Query;

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
