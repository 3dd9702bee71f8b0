//! The removal of repositories over the management API.

use async_graphql::Result;

use super::super::Api;
use super::visibility::{denied, read, refusal};
use crate::auth::{Caller, Meant};

/// Removes a repository; it is gone when this returns.
pub(super) async fn remove(api: &Api, caller: &Caller, name: &str) -> Result<()> {
    let repository = read("remove", name)?;
    let record = api.registry.record_for(caller, &repository).await;
    let record = record.map_err(|error| refusal(&error))?;
    let meant = Meant { record, ..repository.clone().into() };
    let grant = api.authority.removal(caller, meant).await;
    let grant = grant.map_err(|error| denied(error, &repository))?;
    api.registry.remove_repository(&grant).await.map_err(|error| refusal(&error))
}
