//! The schema.

use std::sync::LazyLock;

use async_graphql::{EmptySubscription, Schema};

use super::bounds::{COMPLEXITY, COMPLEXITY_OF_INTROSPECTION, DEPTH, DIRECTIVES, NESTING};
use super::mutations::Mutation;
use super::queries::Query;

/// The schema of the management API.
pub(super) type ManagementSchema = Schema<Query, Mutation, EmptySubscription>;

/// The schema, made once: what a request needs comes with it.
pub(super) static SCHEMA: LazyLock<ManagementSchema> = LazyLock::new(|| limited_to(COMPLEXITY));

/// The same for requests that read the schema: there a list counts as one, however long it is.
pub(super) static READABLE_SCHEMA: LazyLock<ManagementSchema> =
    LazyLock::new(|| limited_to(COMPLEXITY_OF_INTROSPECTION));

fn limited_to(complexity: usize) -> ManagementSchema {
    Schema::build(Query, Mutation, EmptySubscription)
        .limit_depth(DEPTH)
        .limit_complexity(complexity)
        .limit_recursive_depth(NESTING)
        .limit_directives(DIRECTIVES)
        .disable_suggestions()
        .finish()
}
