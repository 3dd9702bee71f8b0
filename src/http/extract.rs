//! Reading types out of a request: what a handler takes is already parsed, and allowed.

use std::future::{Ready, ready};
use std::pin::Pin;
use std::str::FromStr;

use actix_web::dev::Payload;
use actix_web::http::header::AUTHORIZATION;
use actix_web::http::{Method, StatusCode};
use actix_web::web::Data;
use actix_web::{FromRequest, HttpRequest};
use uuid::Uuid;

use super::error::ApiError;
use super::{Api, log};
use crate::auth::{
    AuthError, Authority, CatalogGrant, DeleteGrant, Identity, PullGrant, PushGrant,
};
use crate::oci::{Digest, ErrorCode, Reference, ReferenceError, RepositoryName};
use crate::registry::RegistryError;

type Extracting<T> = Pin<Box<dyn Future<Output = Result<T, ApiError>>>>;

/// Reads a segment of the path.
fn segment<T: FromStr<Err: Into<ApiError>>>(
    request: &HttpRequest,
    name: &str,
) -> Result<T, ApiError> {
    request.match_info().query(name).parse().map_err(Into::into)
}

/// Returns who asks.
pub(super) async fn identify(request: &HttpRequest, api: &Api) -> Result<Identity, ApiError> {
    let header = request.headers().get(AUTHORIZATION).map(|value| value.to_str());
    let authorization = header.transpose().map_err(|_| AuthError::Unauthorized)?;
    Ok(api.authority.identify(authorization).await?)
}

fn api(request: &HttpRequest) -> Data<Api> {
    request.app_data::<Data<Api>>().expect("the server is made with it").clone()
}

/// Asks for a grant about the repository of the path.
fn granted<Grant>(
    request: &HttpRequest,
    ask: impl AsyncFnOnce(&Authority, &Identity, RepositoryName) -> Result<Grant, AuthError> + 'static,
) -> Extracting<Grant> {
    log::about(request);
    let request = request.clone();
    Box::pin(async move {
        let api = api(&request);
        let name = segment(&request, "name")?;
        Ok(ask(&api.authority, &identify(&request, &api).await?, name).await?)
    })
}

impl FromRequest for PullGrant {
    type Error = ApiError;
    type Future = Extracting<Self>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        granted(request, Authority::pull)
    }
}

impl FromRequest for PushGrant {
    type Error = ApiError;
    type Future = Extracting<Self>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        granted(request, Authority::push)
    }
}

impl FromRequest for DeleteGrant {
    type Error = ApiError;
    type Future = Extracting<Self>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        granted(request, Authority::delete)
    }
}

impl FromRequest for CatalogGrant {
    type Error = ApiError;
    type Future = Extracting<Self>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let request = request.clone();
        Box::pin(async move {
            let api = api(&request);
            Ok(api.authority.catalog(&identify(&request, &api).await?).await?)
        })
    }
}

impl FromRequest for Digest {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(segment(request, "digest"))
    }
}

impl FromRequest for Reference {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let reference: Result<_, ReferenceError> = request.match_info().query("reference").parse();
        ready(reference.map_err(|error| match error {
            // Only a push can be told to name it otherwise. To read or delete, it is one tag more
            // that is not there; the conformance suite of v1.1.1 asks in this way.
            ReferenceError::Tag(error) if request.method() != Method::PUT => {
                ApiError::new(StatusCode::NOT_FOUND, ErrorCode::ManifestUnknown, error.to_string())
            }
            error => error.into(),
        }))
    }
}

/// The name of an upload.
pub(super) struct UploadId(pub(super) String);

impl FromRequest for UploadId {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let id = request.match_info().query("upload");
        ready(match Uuid::try_parse(id) {
            Ok(_) => Ok(Self(id.to_owned())),
            Err(_) => Err(RegistryError::UploadUnknown(id.to_owned()).into()),
        })
    }
}

/// The parameters behind the question mark, decoded; of a name that may be there once, the first counts.
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Reads a parameter, if it is there.
    pub(super) fn parse<T: FromStr<Err: Into<ApiError>>>(
        &self,
        name: &str,
    ) -> Result<Option<T>, ApiError> {
        self.get(name).map(str::parse).transpose().map_err(Into::into)
    }

    /// Reads a parameter that may be there several times.
    pub(super) fn parse_all<T: FromStr<Err: Into<ApiError>>>(
        &self,
        name: &str,
    ) -> Result<Vec<T>, ApiError> {
        let values = self.0.iter().filter(|(key, _)| key == name);
        values.map(|(_, value)| value.parse().map_err(Into::into)).collect()
    }
}

impl FromRequest for Query {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let pairs =
            actix_web::web::Query::<Vec<(String, String)>>::from_query(request.query_string());
        ready(pairs.map(|pairs| Self(pairs.into_inner())).map_err(|error| {
            ApiError::malformed(
                ErrorCode::Unsupported,
                format!("the parameters cannot be read: {error}"),
            )
        }))
    }
}
