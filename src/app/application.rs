//! The API as one worker serves it, on a listener that encrypts or not.

use std::time::Duration;

use actix_web::Error;
use actix_web::body::MessageBody;
use actix_web::dev::{ServiceFactory, ServiceRequest, ServiceResponse};
use actix_web::middleware::from_fn;
use actix_web::web::Data;

use crate::http::{self, Api};

/// How many bytes of an answer are collected before they are sent; a piece of content, which is
/// larger, is sent as it is. Each connection keeps that much.
pub(super) const WRITE_BUFFER: usize = 64 * 1024;

/// How long a connection may be idle: longer than proxies and clients keep one that they may use again.
pub(super) const KEEP_ALIVE: Duration = Duration::from_mins(2);

/// How long the body of a request is drained that was refused early, so that the client reads the answer.
pub(super) const DISCONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Makes the API for one worker.
pub(super) fn application(
    api: Data<Api>,
) -> actix_web::App<
    impl ServiceFactory<
        ServiceRequest,
        Config = (),
        Response = ServiceResponse<impl MessageBody>,
        Error = Error,
        InitError = (),
    >,
> {
    let metrics = api.metrics.clone();
    actix_web::App::new()
        .app_data(api)
        .wrap(from_fn(http::refuse_browsers))
        .wrap(from_fn(http::bound))
        .wrap(from_fn(http::share_public))
        .wrap(from_fn(http::log_requests))
        .wrap(http::default_headers())
        .configure(|config| http::routes(config, &metrics))
}
