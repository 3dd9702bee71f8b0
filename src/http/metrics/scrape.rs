//! `GET /metrics`.

use actix_web::http::header::CONTENT_TYPE;
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};

use super::super::accept::Accept;
use super::super::error::Answer;
use super::super::{Api, caller};
use super::exposition;
use super::reading::Reading;
use crate::auth::Act;

/// `GET /metrics`, for who may read them: in the format
/// of OpenMetrics for clients that request it, as Prometheus does, and in the older one for all others.
pub(in super::super) async fn get(request: HttpRequest, api: Data<Api>) -> Answer {
    api.authority.decide(&caller::of(&request), Act::Metrics).await?;
    let reading = Reading::take(&api).await;
    let text = api.metrics.write(&reading.registry()).expect("a text takes what is written to it");
    let accept = Accept::read(&request);
    let known = [exposition::NAME, exposition::PLAIN_NAME];
    let ranges = accept.best_first();
    let best = ranges.into_iter().find(|range| known.contains(&range.media_type.as_str()));
    let is_open = best.is_some_and(|it| it.quality > 0.0 && it.media_type == exposition::NAME);
    let (content_type, text) = if is_open {
        (exposition::OPEN, text)
    } else {
        (exposition::PLAIN, exposition::plain(&text))
    };
    Ok(HttpResponse::Ok().insert_header((CONTENT_TYPE, content_type)).body(text))
}
