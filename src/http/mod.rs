//! The API over HTTP: the only room that knows actix.
//!
//! `app` mounts [`routes`] on a server. A handler extracts types from the request, calls one use
//! case of [`crate::registry`] and answers; nothing here decides about storage, rows or paths. The
//! caller is identified around all of `/v2/`, what a request may do while its grant is extracted.

mod accept;
mod api;
mod authorization;
mod base;
mod blobs;
mod body;
mod browsers;
mod byteranges;
mod caller;
mod catalog;
mod challenge;
mod client;
mod client_group;
mod condition;
mod cors;
mod credentials;
mod error;
mod extract;
mod form;
mod gateway;
mod graphql;
mod headers;
mod health;
mod limits;
mod log;
mod manifests;
mod memory;
mod metrics;
mod namespace;
mod own_names;
mod page;
mod path;
mod peer;
#[cfg(any(test, fuzzing))]
pub mod properties;
mod range;
mod rate_limits;
mod readiness;
mod referrers;
mod respond;
mod routing;
mod setup;
mod tags;
mod token;
mod trusted_proxies;
mod uploads;

use std::future::ready;
use std::rc::Rc;

use actix_web::http::Method;
use actix_web::middleware::{DefaultHeaders, from_fn};
use actix_web::web::{self, ServiceConfig, delete, get, head, patch, post, put, resource};
use actix_web::{FromRequest, Handler, Resource, Responder};

pub use api::Api;
pub use browsers::refuse_browsers;
pub use client::Client;
pub use cors::share_public;
pub use error::ApiError;
pub use limits::{BoundedHeads, LimitSettings, Limits, bound};
pub use log::log_requests;
pub use memory::ManifestMemory;
pub use metrics::Metrics;
pub use own_names::OwnNames;
pub use peer::Peer;
pub use rate_limits::{Rate, RateLimitSettings, RateLimits};
pub use readiness::Readiness;
pub use trusted_proxies::TrustedProxies;

/// The methods of what can only be read.
const READ: &str = "GET, HEAD";

/// Every route (distribution-spec, "Endpoints"). A name has slashes, so the most specific comes first, and
/// manifests before the other routes, since they are requested most. Below `/v2` the caller of each request is
/// identified first. What has no route is counted as `other`.
pub fn routes(config: &mut ServiceConfig, metrics: &Metrics) {
    let counted = |path: &str, route: &str, methods: &'static str| {
        let refuse = move |request| ready(error::method_not_allowed(&request, methods));
        let metrics = Rc::new(metrics.route(route));
        resource(path).app_data(metrics).default_service(web::to(refuse))
    };
    let resource = |path: &str, methods| counted(path, path, methods);
    let below = |path: &str, methods| counted(path, &format!("/v2{path}"), methods);
    let v2 = web::scope("/v2")
        .wrap(from_fn(caller::identify))
        .wrap(from_fn(browsers::refuse_pages))
        .service(readable(below("", READ), base::ping))
        .service(readable(below("/", READ), base::ping))
        .service(
            below("/token", "GET, POST").route(get().to(token::get)).route(post().to(token::post)),
        )
        .service(readable(below("/_catalog", READ), catalog::list))
        .service(
            below("/{name:.+}/manifests/{reference}", "GET, HEAD, PUT, DELETE")
                .route(get().to(manifests::get))
                .route(head().to(manifests::get))
                .route(put().to(manifests::put))
                .route(delete().to(manifests::delete)),
        )
        .service(readable(below("/{name:.+}/tags/list", READ), tags::list))
        .service(readable(below("/{name:.+}/referrers/{digest}", READ), referrers::list))
        .service(below("/{name:.+}/blobs/uploads", "POST").route(post().to(uploads::post)))
        .service(below("/{name:.+}/blobs/uploads/", "POST").route(post().to(uploads::post)))
        .service(
            below("/{name:.+}/blobs/uploads/{upload}", "GET, HEAD, PATCH, PUT, DELETE")
                .route(get().to(uploads::status))
                .route(head().to(uploads::status))
                .route(patch().to(uploads::patch))
                .route(put().to(uploads::put))
                .route(delete().to(uploads::cancel)),
        )
        .service(
            below("/{name:.+}/blobs/{digest}", "GET, HEAD, DELETE")
                .route(get().to(blobs::get))
                .route(head().to(blobs::head))
                .route(delete().to(blobs::delete)),
        )
        .default_service(web::to(error::not_found));
    let shared = |scope: &str, path: &str| {
        counted(path, &format!("{scope}{path}"), cors::METHODS)
            .route(web::method(Method::OPTIONS).to(cors::preflight))
    };
    let content = web::scope("/ipfs")
        .service(readable(shared("/ipfs", "/{cid}"), gateway::get))
        .service(readable(shared("/ipfs", "/{cid}/{path:.*}"), gateway::get))
        .default_service(web::to(error::not_found));
    let records = web::scope("/ipns")
        .service(readable(shared("/ipns", "/{key}"), gateway::ipns::get))
        .service(readable(shared("/ipns", "/{key}/{path:.*}"), gateway::ipns::get))
        .default_service(web::to(error::not_found));
    let providers = shared("/routing/v1", "/providers/{cid}");
    let routing = web::scope("/routing/v1")
        .service(readable(providers, routing::providers))
        .service(readable(shared("/routing/v1", "/peers/{id}"), routing::peers))
        .default_service(web::to(error::not_found));
    config
        .app_data(Rc::new(metrics.route("other")))
        .service(readable(resource("/healthz", READ), health::live))
        .service(readable(resource("/readyz", READ), health::ready))
        .service(readable(resource("/metrics", READ), metrics::get).wrap(from_fn(caller::identify)))
        .service(resource("/graphql", "POST").route(post().to(graphql::post)))
        .service(
            readable(resource("/setup", "GET, HEAD, POST"), setup::get)
                .route(post().to(setup::post)),
        )
        .service(readable(resource("/.well-known/jwks.json", READ), token::public_keys))
        .service(content)
        .service(records)
        .service(routing)
        .service(v2)
        .default_service(web::to(error::not_found));
}

/// Has a handler answer `GET` and `HEAD`.
fn readable<Arguments>(
    resource: Resource,
    handler: impl Handler<Arguments, Output: Responder + 'static>,
) -> Resource
where
    Arguments: FromRequest + 'static,
{
    resource.route(get().to(handler.clone())).route(head().to(handler))
}

/// The headers that every answer has, errors included.
#[must_use]
pub fn default_headers() -> DefaultHeaders {
    DefaultHeaders::new()
        .add(("Docker-Distribution-Api-Version", "registry/2.0"))
        .add(("X-Content-Type-Options", "nosniff"))
}
