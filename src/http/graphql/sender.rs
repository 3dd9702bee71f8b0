//! Who sends a request, found out anew before each change in it: one change may have taken away what the next one needs.

use actix_web::HttpRequest;
use actix_web::web::Data;
use async_graphql::{Context, Result};

use super::super::client::{self, Client};
use super::super::{Api, credentials};
use super::error::coded;
use super::queries::parts;
use crate::accounts::Administration;
use crate::auth::{Caller, Credentials};

/// Who sends a request.
pub(super) enum Sender {
    /// One that has these credentials.
    Unknown {
        /// What knows them.
        api: Data<Api>,
        /// The credentials of the request.
        credentials: Credentials,
        /// The client.
        client: Client,
    },
    /// One that the test says.
    #[cfg(test)]
    Known,
}

impl Sender {
    /// Reads what a request says.
    pub(super) fn new(request: &HttpRequest, api: &Data<Api>) -> Self {
        let (credentials, client) = (credentials::of(request), client::of(request));
        Self::Unknown { api: Data::clone(api), credentials, client }
    }
}

/// Returns the use cases, and the caller with the rights that it has now.
pub(super) async fn present<'a>(context: &Context<'a>) -> Result<(&'a Administration, Caller)> {
    let (administration, caller) = parts(context)?;
    Ok((administration, now(context, caller).await?))
}

/// Returns the caller with the rights that it has now.
async fn now(context: &Context<'_>, first: &Caller) -> Result<Caller> {
    match context.data::<Sender>()? {
        Sender::Unknown { api, credentials, client } => {
            let identified = api.authority.identify(credentials, client.group()).await;
            let refused = |_| {
                let message =
                    "cannot do that: the credentials are not good any more; sign in again";
                coded("UNAUTHORIZED", message)
            };
            let caller = identified.map_err(refused)?;
            Ok(Caller { address: first.address, ..caller })
        }
        #[cfg(test)]
        Sender::Known => Ok(first.clone()),
    }
}
