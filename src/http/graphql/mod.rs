//! `/graphql`: the management API, over [`crate::accounts`].
//!
//! `POST` with a JSON body is all that there is. Each request signs in by itself: `Basic` with a password, or with an access
//! token in its place, whose scopes bound what it may do. The tokens of `/v2/token` are for images and are refused here.
//! The schema is `schema.graphql`, which a test compares.

mod bounds;
mod browse;
mod collection;
mod count;
mod error;
mod fields;
mod handler;
mod images;
mod lists;
mod manifests;
mod moment;
mod mutations;
mod queries;
mod removal;
mod schema;
mod sender;
#[cfg(test)]
mod tests;
mod types;
mod visibility;

pub(super) use handler::post;
