//! Headers that several answers share.

use actix_web::HttpRequest;
use actix_web::http::header::{CACHE_CONTROL, ETAG, IF_NONE_MATCH, IF_RANGE, RANGE};
use actix_web::{HttpResponse, HttpResponseBuilder};
use cid::Cid;

use super::headers::{CONTENT_DIGEST, IPFS_PATH};
use super::range::Joined;
use super::{Api, condition};
use crate::auth::PullGrant;
use crate::oci::{Digest, RepositoryName};
use crate::registry::{Expected, SHARED_CACHE_TIME};

/// Says what the content is: its digest, its tag for caches, and where it stands in IPFS, if that is known.
pub(super) fn describe<'a>(
    response: &'a mut HttpResponseBuilder,
    digest: &Digest,
    cid: Option<&Cid>,
) -> &'a mut HttpResponseBuilder {
    if let Some(cid) = cid {
        response.insert_header((IPFS_PATH, format!("/ipfs/{cid}")));
    }
    let digest = digest.to_string();
    response.insert_header((ETAG, format!("\"{digest}\""))).insert_header((CONTENT_DIGEST, digest))
}

/// Says whether a shared cache may give content to others: only what anonymous clients may pull as well, and for an hour
/// only. Its digest names it for ever, but the repository may be made private, and a cache asks no one before it answers.
pub(super) async fn allow_caching(
    response: &mut HttpResponseBuilder,
    api: &Api,
    grant: &PullGrant,
    is_public: bool,
) {
    let is_public = is_public && api.authority.is_public(grant).await;
    let seconds = SHARED_CACHE_TIME.as_secs();
    let control = if is_public {
        format!("public, max-age={seconds}, s-maxage={seconds}")
    } else {
        "private".to_owned()
    };
    response.insert_header((CACHE_CONTROL, control));
}

/// Says of a name that was looked up below a foreign root that it may be out of date.
pub(super) fn tell_age(response: &mut HttpResponseBuilder, api: &Api, grant: &PullGrant) {
    if let Some(since) = api.registry.repository(grant).stale_since() {
        response.insert_header(("Roadstead-Stale-Since", since.to_string()));
    }
}

/// Returns the content that the client has already, as far as it says so.
pub(super) fn known(request: &HttpRequest) -> Option<Expected> {
    condition::entity_tags(request, &IF_NONE_MATCH).ok().flatten()
}

/// Tells whether the client has the content already.
pub(super) fn is_known(request: &HttpRequest, digest: &Digest) -> bool {
    known(request).is_some_and(|known| known.includes(digest))
}

/// Returns the value of the `Range` header, if it is to be heeded: a client may want a part only of
/// the content that it knows, and the whole of any other (RFC 9110, 13.1.5).
pub(super) fn range<'a>(request: &'a HttpRequest, digest: &Digest) -> Option<&'a str> {
    let text = |name| request.headers().get(name).map(|value| value.to_str().unwrap_or_default());
    let is_known = text(IF_RANGE).is_none_or(|tag| tag == format!("\"{digest}\""));
    text(RANGE).filter(|_| is_known)
}

/// Tells which of several ranges are made one for a client. containers/image (podman, CRI-O, Buildah), which sends
/// this header with every request, requests ranges that touch, and takes the nth part for the nth of them.
pub(super) fn joined(request: &HttpRequest) -> Joined {
    let counts_parts = request.headers().contains_key("Docker-Distribution-API-Version");
    if counts_parts { Joined::Overlapping } else { Joined::Touching }
}

/// Returns where something is to be found, as the operator wants it to be said.
pub(super) fn location(api: &Api, name: &RepositoryName, rest: &str) -> String {
    let base = api.external_url.as_deref().unwrap_or_default();
    format!("{base}/v2/{name}/{rest}")
}

/// Answers that something was deleted.
pub(super) fn accepted() -> HttpResponse {
    HttpResponse::Accepted().finish()
}
