//! Who may see a repository, changed over the management API.

use async_graphql::{Error, Result};

use super::super::Api;
use super::error::coded;
use super::types::{Repository, Visibility};
use crate::auth::{AuthError, Caller, Meant};
use crate::oci::RepositoryName;
use crate::registry::RegistryError;

/// Says who may see a repository; the change is done when this returns.
pub(super) async fn set(
    api: &Api,
    caller: &Caller,
    name: &str,
    visibility: Visibility,
) -> Result<Repository> {
    let repository = read("change", name)?;
    let record = api.registry.record_for(caller, &repository).await;
    let record = record.map_err(|error| refusal(&error))?;
    let meant = Meant { record, ..repository.clone().into() };
    let grant = api.authority.visibility(caller, meant).await;
    let grant = grant.map_err(|error| denied(error, &repository))?;
    let changed = api.registry.set_visibility(&grant, visibility.into()).await;
    changed.map_err(|error| refusal(&error))?;
    Ok(Repository { name: repository.to_string(), visibility })
}

/// Reads the name of a repository.
pub(super) fn read(doing: &str, name: &str) -> Result<RepositoryName> {
    let read = name.parse::<RepositoryName>();
    read.map_err(|error| coded("INVALID", format!("cannot {doing} the repository: {error}")))
}

/// Says why the caller may not do that.
pub(super) fn denied(error: AuthError, repository: &RepositoryName) -> Error {
    match error {
        AuthError::Denied(why) => coded("DENIED", why),
        AuthError::Busy { .. } | AuthError::Unavailable => coded("UNAVAILABLE", error.to_string()),
        // Not to be seen is as not there.
        AuthError::Unauthorized(_) => absent(repository),
    }
}

pub(super) fn refusal(error: &RegistryError) -> Error {
    match error {
        RegistryError::NameUnknown(name) => absent(name),
        RegistryError::MustBePublic(_) => coded("DENIED", error.to_string()),
        RegistryError::Waiting => coded("UNAVAILABLE", error.to_string()),
        error => {
            tracing::error!(%error, "failed to change a repository");
            coded("INTERNAL", "internal error: see the server's log")
        }
    }
}

fn absent(name: &RepositoryName) -> Error {
    coded("NOT_FOUND", format!("there is no repository `{name}`; see `roadstead repository list`"))
}
