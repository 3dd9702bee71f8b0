//! The fields of a request, as events name what was refused: a client may give them any name in its answer.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, PoisonError};

use async_graphql::{Context, PathSegment, ServerError};

use super::error::is_denied;

/// Those of which the authority notes itself what it refuses, with the repository.
const NOTED: [&str; 4] = ["setVisibility", "removeRepository", "purgeManifest", "undelete"];

/// The outermost fields that were carried out, by their names in the answer.
#[derive(Default)]
pub(super) struct Fields(Mutex<HashMap<String, String>>);

impl Fields {
    /// Notes that a field is carried out, if it is an outermost one.
    pub(super) fn note(&self, context: &Context<'_>) {
        if context.path_node.is_none_or(|node| node.parent.is_some()) {
            return;
        }
        let field = context.field();
        let key = field.alias().unwrap_or(field.name());
        let mut fields = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        fields.insert(key.to_owned(), field.name().to_owned());
    }

    /// Returns which of them the caller may not do, each once.
    pub(super) fn denied(&self, errors: &[ServerError]) -> BTreeSet<String> {
        let fields = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let name = |error: &ServerError| {
            let Some(PathSegment::Field(key)) = error.path.first() else { return None };
            fields.get(key).filter(|name| !NOTED.contains(&name.as_str())).cloned()
        };
        errors.iter().filter(|error| is_denied(error)).filter_map(name).collect()
    }
}
