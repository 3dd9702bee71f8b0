//! Reading types out of a request: what a handler takes is already parsed, and allowed.

use std::pin::Pin;
use std::str::FromStr;

use actix_web::dev::Payload;
use actix_web::http::{Method, StatusCode};
use actix_web::web::Data;
use actix_web::{FromRequest, HttpMessage, HttpRequest};
use uuid::Uuid;

use super::error::ApiError;
use super::namespace::Namespace;
use super::{Api, caller, client, form, log, path, range};
use crate::auth::{
    Act, Action, AuthError, Authority, Caller, CatalogGrant, DeleteGrant, Meant, PullGrant,
    PushGrant,
};
use crate::oci::{Digest, ErrorCode, Reference, ReferenceError, RepositoryName, read_domain};
use crate::registry::RegistryError;

type Extracting<T> = Pin<Box<dyn Future<Output = Result<T, ApiError>>>>;

/// What a handler takes: a grant, and then whatever it needs to know of the request. Nothing but
/// this reads a digest, a reference, an upload or parameters, so that a client learns what is wrong
/// with them only once it may do what it requests.
pub(super) struct Granted<Grant, Rest>(pub(super) Grant, pub(super) Rest);

impl<Grant: Ask + 'static, Rest: Read + 'static> FromRequest for Granted<Grant, Rest> {
    type Error = ApiError;
    type Future = Extracting<Self>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let request = request.clone();
        Box::pin(async move {
            let api = request.app_data::<Data<Api>>().expect("the server is made with it");
            let grant = Grant::ask(&request, api).await?;
            Ok(Self(grant, Rest::read(&request)?))
        })
    }
}

/// A right that can be requested.
pub(super) trait Ask: Sized {
    /// Asks for it on behalf of the caller.
    async fn ask(request: &HttpRequest, api: &Api) -> Result<Self, ApiError>;
}

/// Asks for a grant about the repository of the path, whose name is read only once that makes sense.
async fn ask<Grant>(
    request: &HttpRequest,
    Api { authority, registry, .. }: &Api,
    action: Action,
    ask: impl AsyncFnOnce(&Authority, &Caller, Meant) -> Result<Grant, AuthError>,
) -> Result<Grant, ApiError> {
    log::about(request);
    let caller = caller::of(request);
    let name = segment::<RepositoryName>(request, "name");
    if let Err(refusal) = authority.decide(&caller, Act::Any(action)).await {
        // Some clients ask for a token by nothing but the challenge.
        return Err(match name {
            Ok(name) => path::with_source(authority.about(refusal, action, &name), request).into(),
            Err(_) => refusal.into(),
        });
    }
    let name = name?;
    let namespace = Query::read(request)?.get("ns").map(str::to_owned);
    let mut meant = authority.names().meant(name, client::host(request), namespace.as_deref())?;
    let namespace = namespace.as_deref().and_then(read_domain);
    if let Some(namespace) = namespace.filter(|it| meant.name.namespace() == Some(it.as_str())) {
        request.extensions_mut().insert(Namespace(namespace));
    }
    if let Some(local) = authority.names().local(&meant) {
        meant.record = registry.record_for(&caller, local).await?;
    }
    if let Some(own) = &meant.own {
        // A foreign image that is cached is served while the index is away.
        meant.own_record = registry.record_for(&caller, own).await.unwrap_or_default();
    }
    let granted = ask(authority, &caller, meant).await;
    Ok(granted.map_err(|refusal| path::with_source(refusal, request))?)
}

impl Ask for PullGrant {
    async fn ask(request: &HttpRequest, api: &Api) -> Result<Self, ApiError> {
        let grant = ask(request, api, Action::Pull, Authority::pull).await?;
        let grant = api.registry.choose_repository(grant).await?;
        if grant.foreign().is_none() {
            // The answer is this registry's own.
            request.extensions_mut().remove::<Namespace>();
        }
        Ok(grant)
    }
}

impl Ask for PushGrant {
    async fn ask(request: &HttpRequest, api: &Api) -> Result<Self, ApiError> {
        ask(request, api, Action::Push, Authority::push).await
    }
}

impl Ask for DeleteGrant {
    async fn ask(request: &HttpRequest, api: &Api) -> Result<Self, ApiError> {
        ask(request, api, Action::Delete, Authority::delete).await
    }
}

impl Ask for CatalogGrant {
    async fn ask(request: &HttpRequest, api: &Api) -> Result<Self, ApiError> {
        Ok(api.authority.catalog(&caller::of(request)).await?)
    }
}

/// Something that a request's path or parameters say.
pub(super) trait Read: Sized {
    /// Reads it.
    fn read(request: &HttpRequest) -> Result<Self, ApiError>;
}

/// Reads a segment of the path.
fn segment<T: FromStr<Err: Into<ApiError>>>(
    request: &HttpRequest,
    name: &str,
) -> Result<T, ApiError> {
    request.match_info().query(name).parse().map_err(Into::into)
}

impl<First: Read, Second: Read> Read for (First, Second) {
    fn read(request: &HttpRequest) -> Result<Self, ApiError> {
        Ok((First::read(request)?, Second::read(request)?))
    }
}

impl Read for Digest {
    fn read(request: &HttpRequest) -> Result<Self, ApiError> {
        segment(request, "digest")
    }
}

impl Read for Reference {
    fn read(request: &HttpRequest) -> Result<Self, ApiError> {
        let reference: Result<_, ReferenceError> = request.match_info().query("reference").parse();
        reference.map_err(|error| match error {
            // Only a push can name it otherwise. To read or delete, it is one tag more
            // that is not there; the conformance suite of v1.1.1 asks in this way.
            ReferenceError::Tag(error) if request.method() != Method::PUT => {
                ApiError::new(StatusCode::NOT_FOUND, ErrorCode::ManifestUnknown, error.to_string())
            }
            error => error.into(),
        })
    }
}

/// Which upload a request is about, and where its client believes it to stand: `<id>` or
/// `<id>.<offset>`, as `Location` said.
pub(super) struct UploadPosition {
    pub(super) id: String,
    pub(super) offset: Option<u64>,
}

impl UploadPosition {
    /// Writes it as [`Read`] reads it.
    pub(super) fn segment(id: &str, offset: u64) -> String {
        format!("{id}.{offset}")
    }
}

impl Read for UploadPosition {
    fn read(request: &HttpRequest) -> Result<Self, ApiError> {
        let segment = request.match_info().query("upload");
        let unknown = || ApiError::from(RegistryError::UploadUnknown(segment.to_owned()));
        let (id, offset) = match segment.split_once('.') {
            Some((id, offset)) => (id, Some(range::number(offset).ok_or_else(unknown)?)),
            None => (segment, None),
        };
        Uuid::try_parse(id).map_err(|_| unknown())?;
        Ok(Self { id: id.to_owned(), offset })
    }
}

/// The parameters behind the question mark, decoded; of a name that may be there once, the first counts.
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Returns the values of a parameter that may be there several times.
    pub(super) fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.0.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str())
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
        self.all(name).map(|value| value.parse().map_err(Into::into)).collect()
    }
}

impl Read for Query {
    fn read(request: &HttpRequest) -> Result<Self, ApiError> {
        Self::parse_text(request.query_string())
    }
}

impl Query {
    /// Reads what is encoded as in a URL, such as a form.
    pub(super) fn parse_text(text: &str) -> Result<Self, ApiError> {
        form::pairs(text).map(Self).map_err(|error| {
            ApiError::malformed(
                ErrorCode::Unsupported,
                format!("cannot read the parameters: {error}"),
            )
        })
    }
}
